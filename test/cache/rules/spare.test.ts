// What fills in the background may take beside viewers: everything when nobody is served, else what leaves turns short.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ALL_SPARE, type Spare, type SpareLook, spareAfter } from '../../../cache/rules/spare.ts';

const MIB = 1024 * 1024;
const LOOK_MS = 5;
const quiet = { lateMs: 0, busyMs: 1, answered: 1 };
const long = { lateMs: 9, busyMs: 10, answered: 1 };

/** Looks of one kind, so many, each 5 ms after the one before. */
function after(spare: Spare, count: number, look: Omit<SpareLook, 'atMs'>): Spare {
  let now = spare;
  for (let index = 0; index < count; index += 1) now = spareAfter(now, { atMs: now.atMs + LOOK_MS, ...look });
  return now;
}
const began = after(ALL_SPARE, 1, quiet);

test('nobody is served: no limit, however long turns are', () => {
  expect(after(ALL_SPARE, 1_000, { ...long, answered: 0 })).toEqual(ALL_SPARE);
});

test('the first viewer limits at once, and rates double four times a second until a long turn', () => {
  expect(began.perSecond).toBe(8 * MIB);
  expect(after(began, 50, quiet).perSecond).toBeCloseTo(16 * MIB, -1);
});

test('a long turn takes three tenths; from then on rates grow by 4 MiB a second', () => {
  const cut = after(after(began, 100, quiet), 1, long);
  expect(cut.perSecond).toBeCloseTo(after(began, 100, quiet).perSecond * 0.7, -1);
  expect(after(cut, 200, quiet).perSecond).toBeCloseTo(cut.perSecond + 4 * MIB, -1);
});

test.each([
  ['late for want of a CPU that others have', { ...long, busyMs: 2 }],
  ['busy, yet in time', { ...long, lateMs: 4 }],
])('%s: no cut', (_name, look) => {
  expect(after(began, 40, look).perSecond).toBeGreaterThan(began.perSecond);
});

test('what one cut has changed shows before the next', () => {
  const cut = after(after(began, 100, quiet), 1, long);
  expect(after(cut, 19, long).perSecond).toBe(cut.perSecond);
  expect(after(cut, 20, long).perSecond).toBeCloseTo(cut.perSecond * 0.7, -1);
});

test('long turns all the time leave 4 MiB a second', () => {
  expect(after(began, 2_000, long).perSecond).toBe(4 * MIB);
});

test('two seconds without a viewer lift the limit', () => {
  const limited = after(began, 100, long);
  const alone = { ...quiet, answered: 0 };
  expect(after(limited, 2_000 / LOOK_MS, alone).perSecond).toBeLessThan(Number.POSITIVE_INFINITY);
  expect(after(limited, 2_000 / LOOK_MS + 1, alone)).toEqual(ALL_SPARE);
});

test('whatever one long turn costs in bytes, long turns become rare, and the rest is used', () => {
  fc.assert(
    fc.property(fc.integer({ min: 8, max: 256 }), (mibPerTurn) => {
      // A collection of the heap each so many MiB.
      let spare = began;
      let bytes = 0;
      let turns = 0;
      let taken = 0;
      for (let look = 0; look < 40_000; look += 1) {
        bytes += (spare.perSecond * LOOK_MS) / 1000;
        const isLong = bytes > mibPerTurn * MIB;
        if (isLong) bytes = 0;
        spare = spareAfter(spare, { atMs: spare.atMs + LOOK_MS, ...(isLong ? long : quiet) });
        if (look < 20_000) continue;
        if (isLong) turns += 1;
        taken += (spare.perSecond * LOOK_MS) / 1000;
      }
      expect(turns / 100).toBeLessThan(1.5);
      expect(taken / 100).toBeGreaterThan(8 * MIB);
    }),
    { numRuns: 20 },
  );
});
