// How sure the nightly fill must be, by what became of what it fetched.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { afterNight, chancesAt, factorIn, kept } from '../../../agent/prefetch/caution.ts';

const MIB = 2 ** 20;
const night = (wastedMib: number, usefulMib: number) => ({
  wastedBytes: wastedMib * MIB,
  usefulBytes: usefulMib * MIB,
});

test.each([
  ['nothing was settled', 2, night(0, 0), 2],
  ['too little was settled', 2, night(63, 0), 2],
  ['as much was wasted as may be', 2, night(35, 65), 2],
  ['all was wasted', 1, night(100, 0), Math.exp(1.3)],
  ['nothing was wasted', 4, night(0, 100), 4 * Math.exp(-0.7)],
  ['never below what the plan needs by itself', 1, night(0, 1_000), 1],
  ['never above six times the odds', 5, night(1_000, 0), 6],
])('%s', (_name, factor, settled, after) => {
  expect(afterNight(factor, settled, 0.35)).toBeCloseTo(after, 10);
});

test('at first it is as sure as the plan by itself, at most 0.95', () => {
  expect(chancesAt(1).leastChance).toBeCloseTo(0.75, 10);
  expect(chancesAt(1).leastPrefixChance).toBeCloseTo(0.6, 10);
  expect(chancesAt(6).leastChance).toBeLessThan(0.951);
});

test('more waste never makes it less sure, whatever the nights', () => {
  const mib = fc.integer({ min: 0, max: 2_000 });
  fc.assert(
    fc.property(fc.array(fc.tuple(mib, mib), { maxLength: 20 }), fc.nat(19), fc.nat(2_000), (nights, at, more) => {
      const sure = (extra: number) =>
        nights.reduce(
          // What is more wasted was useful otherwise.
          (factor, [wasted, useful], index) =>
            afterNight(
              factor,
              night(
                index === at ? wasted + Math.min(extra, useful) : wasted,
                index === at ? useful - Math.min(extra, useful) : useful,
              ),
              0.35,
            ),
          1,
        );
      expect(sure(more)).toBeGreaterThanOrEqual(sure(0));
    }),
  );
});

test.each([
  undefined,
  '',
  '{',
  'null',
  '[]',
  '{"version":2,"factor":3}',
  '{"version":1,"factor":"3"}',
  '{"version":1,"factor":7}',
])('what cannot be read begins anew: %s', (json) => {
  expect(factorIn(json)).toBe(1);
});

test('what was written down is read again', () => {
  expect(factorIn(kept(2.5))).toBe(2.5);
});
