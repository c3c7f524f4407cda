// The store's long fault loops: many kills, and damage at many places of its database.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { temporary } from '../cache/store/support.ts';
import { sweepDatabase } from '../cache/store/sweep.ts';
import { crash } from './crash.ts';

let directory: ReturnType<typeof temporary>;
beforeEach(() => {
  directory = temporary();
});
afterEach(() => directory.remove());

/** Drawn anew each run; the report of a failure names it. */
const seed = Math.floor(Math.random() * 2 ** 31);

test(`40 kills (seed ${seed}): no wrong byte, nothing lost, nothing returned`, async () => {
  const report = await crash({ discipline: 'store', directory: directory.path, cycles: 40, seed });
  console.log(JSON.stringify({ seed, ...report }));
  expect(report).toMatchObject({ wrong: 0, caught: 0, lost: 0, returned: 0 });
  expect(report.removed).toBeGreaterThan(0);
  expect(report.kept).toBeGreaterThan(20);
  expect(report.readyMs).toBeLessThan(2000);
});

test(`10 kills of a naive store (seed ${seed}) are caught`, async () => {
  const report = await crash({ discipline: 'naive', directory: directory.path, cycles: 10, seed });
  console.log(JSON.stringify({ seed, ...report }));
  expect(report.wrong).toBeGreaterThan(0);
});

test('the database damaged at 4 x 150 places', async () => {
  await sweepDatabase(directory.path, 150);
});
