// Admission of addresses with a query: floods stay out, what is asked for twice comes in, the rest is as if there were none.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createAdmission } from '../../../cache/rules/admission.ts';

const open = (queriesPerPath = 16, seed = 7) => createAdmission({ queriesPerPath, seed });

test('an address without a query is always stored', () => {
  const { admits } = open(0);
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(admits(`main /${text.replaceAll('?', '')}`, 0)).toBe(true);
    }),
  );
});

test('of one path so many queries are stored at first sight, the others at their second request', () => {
  const { admits } = open();
  const first = Array.from({ length: 1_000 }, (_, n) => admits(`main /seg.m4s?x=${n}`, 0));
  expect(first.slice(0, 16)).toEqual(new Array(16).fill(true));
  // Of what came later a few in a thousand are taken for known.
  expect(first.slice(16).filter(Boolean).length).toBeLessThan(10);
  for (let n = 0; n < 1_000; n += 1) expect(admits(`main /seg.m4s?x=${n}`, 0)).toBe(true);
});

test('a flood on one path does not touch ordinary queries of others', () => {
  const { admits } = open();
  for (let n = 0; n < 50_000; n += 1) admits(`main /flooded?x=${n}`, 0);
  const others = Array.from({ length: 1_000 }, (_, n) => admits(`main /title-${n}/seg.m4s?v=1`, 0));
  expect(others.filter((isIn) => !isIn).length).toBeLessThan(10);
});

test('a path is judged by what is lately asked of it', () => {
  const { admits } = open(16);
  for (let n = 0; n < 100; n += 1) admits(`main /a?x=${n}`, 0);
  expect(admits('main /a?new', 599_999)).toBe(false);
  // 101 halves to 12 in three windows.
  for (const window of [1, 2, 3]) admits('main /b?x', window * 600_000);
  expect(admits('main /a?newer', 3 * 600_000)).toBe(true);
});

test('a clock that went back does not stop the forgetting', () => {
  const { admits } = open(2);
  expect([1, 2, 3].map((n) => admits(`main /a?${n}`, 1e12))).toEqual([true, true, false]);
  expect(admits('main /a?4', 0)).toBe(true);
});

test('however many keys come, nothing grows and a second request soon after the first is known', () => {
  const { admits } = open(0);
  for (let n = 0; n < 300_000; n += 1) admits(`main /p${n % 97}?x=${n}`, n);
  admits('main /p?y', 300_000);
  expect(admits('main /p?y', 300_001)).toBe(true);
});
