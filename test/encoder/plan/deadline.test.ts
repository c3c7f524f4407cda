// How many trials a deadline leaves: everything while there is time, the least in the end, and never late by choice.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openHaste } from '../../../encoder/deadline.ts';
import { gridWithin } from '../../../encoder/plan/deadline.ts';

const STANDING = { leftSeconds: 100, doneCost: 0, spentSeconds: 0, expectedSpeed: 1, otherCost: 10 };

describe('a shot gets', () => {
  test.each([
    ['everything without a deadline', { leftSeconds: Number.POSITIVE_INFINITY, expectedSpeed: 0 }, 'full'],
    ['everything while there is time', {}, 'full'],
    ['the least when the others would be late', { otherCost: 60 }, 'least'],
    ['the least when time is up', { leftSeconds: 0 }, 'least'],
    ['the least when time was up long ago', { leftSeconds: -1_000 }, 'least'],
    ['everything on a host that is faster than expected', { otherCost: 60, doneCost: 40, spentSeconds: 10 }, 'full'],
    ['the least on one that is slower', { doneCost: 1, spentSeconds: 60 }, 'least'],
  ] as const)('%s', (_name, part, grid) => {
    expect(gridWithin({ full: 30, least: 10 }, { ...STANDING, ...part })).toBe(grid);
  });
});

describe('a job', () => {
  /** Runs shots one after the other on a host of that many units a second; gives when it ended, and the hasty shots. */
  function run(costs: readonly number[], deadline: number, speed: number): { endedAt: number; hasty: number } {
    let now = 0;
    const shots = costs.map((least) => ({ full: 3 * least, least }));
    const haste = openHaste({ endsAt: deadline * 1000, processes: 1, shots, tailCost: 0, now: () => now });
    for (const [at, { full, least }] of shots.entries()) {
      const cost = haste.gridOf(at) === 'full' ? full : least;
      now += (cost / speed) * 1000;
      haste.spent(cost);
    }
    return { endedAt: now / 1000, hasty: haste.hastyShots() };
  }
  const UNIT = 100 * 1280 * 720;

  test('with time for everything has no hasty shot; with none at all, only such', () => {
    const costs = new Array<number>(20).fill(UNIT);
    expect(run(costs, 200, UNIT).hasty).toBe(0);
    expect(run(costs, 0.001, UNIT).hasty).toBe(20);
  });

  test('in time for the least, and some more, is done in time and uses half of that more', () => {
    const shots = fc.array(fc.double({ min: 0.1, max: 3, noNaN: true }), { minLength: 20, maxLength: 200 });
    const spare = fc.double({ min: 1.4, max: 3, noNaN: true });
    fc.assert(
      fc.property(shots, spare, fc.double({ min: 0.4, max: 8, noNaN: true }), (sizes, ratio, pace) => {
        const costs = sizes.map((size) => size * UNIT).sort((one, other) => other - one);
        const least = costs.reduce((sum, cost) => sum + cost, 0) / (UNIT * pace);
        const deadline = least * ratio + 10;
        const { endedAt, hasty } = run(costs, deadline, UNIT * pace);
        expect(endedAt).toBeLessThanOrEqual(deadline);
        if (hasty > 0) expect(endedAt).toBeGreaterThan(least + 0.5 * (Math.min(deadline, 3 * least) - least) * 0.8);
      }),
    );
  });
});
