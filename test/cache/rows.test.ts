// Every row of the fault matrix that is said to be tested has a test of that name.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ROWS } from '../fault/rows.ts';

test.each(ROWS)('row $row: $file', ({ file, names }) => {
  const text = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');
  expect(names.filter((name) => !text.includes(`'${name}`) && !text.includes(`\`${name}`))).toEqual([]);
});

test('every row of storage, memory, origin, client, encoder and predictor, 1 to 50, has a test', () => {
  const rows = new Set(ROWS.map(({ row }) => row));
  const wanted = Array.from({ length: 50 }, (_, index) => index + 1);
  expect(wanted.filter((row) => !rows.has(row))).toEqual([]);
});

test('rows come in the order of the matrix', () => {
  const rows = ROWS.map(({ row }) => row);
  expect(rows).toEqual([...rows].sort((one, other) => one - other));
});
