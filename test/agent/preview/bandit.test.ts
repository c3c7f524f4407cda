// Policies against closed forms: chances are exact, floors hold, and what is drawn is what was logged.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { drawArm, envelopeShares, policyShares, withFloor } from '../../../agent/preview/bandit.ts';
import { chances } from '../../fake/chance.ts';

const doubles = (...values: number[]) => Float64Array.from(values);

describe('LinUCB with a random width', () => {
  test.each([
    ['the higher of equal deviations, always', doubles(0.2, 0.1), doubles(0.1, 0.1), 2, [1, 0]],
    // 0.2 + 0.1 z and 0.1 + 0.2 z cross at z = 1.
    ['half of the widths to each', doubles(0.2, 0.1), doubles(0.1, 0.2), 2, [0.5, 0.5]],
    // 0.3 and 0.2 + 0.1 z cross at 1; 0.2 + 0.1 z and 0.1 + 0.15 z at 2; the end is 4.
    ['three lines', doubles(0.3, 0.2, 0.1), doubles(0, 0.1, 0.15), 4, [0.25, 0.25, 0.5]],
    ['lines through one point: the steepest', doubles(0.3, 0.2, 0.1), doubles(0, 0.1, 0.2), 2, [0.5, 0, 0.5]],
    ['equal arms: the first', doubles(0.1, 0.1), doubles(0.1, 0.1), 2, [1, 0]],
    ['equal means: the steeper', doubles(0.1, 0.1), doubles(0.1, 0.2), 2, [0, 1]],
    ['no width: the highest mean', doubles(0.1, 0.2), doubles(0.9, 0.1), 0, [0, 1]],
  ])('%s', (_name, means, slopes, widest, shares) => {
    const found = envelopeShares(means, slopes, widest);
    for (const [index, share] of shares.entries()) expect(found[index]).toBeCloseTo(share, 12);
  });

  test('a share is how often a drawn width puts the arm highest', () => {
    const arm = fc.record({
      mean: fc.double({ min: -1, max: 1, noNaN: true }),
      slope: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(arm, { minLength: 1, maxLength: 8 }), (arms) => {
        const means = Float64Array.from(arms, ({ mean }) => mean);
        const slopes = Float64Array.from(arms, ({ slope }) => slope);
        const shares = envelopeShares(means, slopes, 2);
        expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 9);
        const counted = arms.map(() => 0);
        for (let n = 0; n < 2_000; n += 1) {
          const heights = arms.map(({ mean, slope }) => mean + ((n + 0.5) / 1_000) * slope);
          const best = heights.indexOf(Math.max(...heights));
          counted[best] = (counted[best] ?? 0) + 1 / 2_000;
        }
        // Arms that lie on each other may be swapped between; the best height never.
        const got = arms.reduce((sum, { mean, slope }, i) => sum + (shares[i] ?? 0) * (mean + slope), 0);
        const want = arms.reduce((sum, { mean, slope }, i) => sum + (counted[i] ?? 0) * (mean + slope), 0);
        expect(Math.abs(got - want)).toBeLessThan(0.01);
      }),
      { numRuns: 100 },
    );
  });
});

describe('Thompson sampling', () => {
  const thompson = (means: Float64Array, covariance: Float64Array) => {
    const random = chances(7);
    const total = means.map(() => 0);
    for (let n = 0; n < 100; n += 1) {
      for (const [i, share] of policyShares(
        { means, covariance },
        { policy: 'thompson', confidence: 1, random },
      ).entries())
        total[i] = (total[i] ?? 0) + share / 100;
    }
    return total;
  };

  test('of two independent arms the first wins with chance Phi(difference / deviation)', () => {
    // Phi(0.1 / sqrt(0.01 + 0.01)) = Phi(0.70711) = 0.76025.
    const shares = thompson(doubles(0.2, 0.1), doubles(0.01, 0, 0, 0.01));
    expect(shares[0]).toBeCloseTo(0.76025, 1);
    expect(Math.abs((shares[0] ?? 0) - 0.76025)).toBeLessThan(0.015);
  });

  test('arms that vary together are told apart by their means alone', () => {
    const shares = thompson(doubles(0.11, 0.1), doubles(0.01, 0.01, 0.01, 0.01));
    expect(shares[0]).toBeCloseTo(1, 9);
  });
});

test('uniform is uniform, and one arm has no rival', () => {
  const options = { policy: 'uniform', confidence: 1, random: () => 0 } as const;
  expect([...policyShares({ means: doubles(1, 0), covariance: doubles(0, 0, 0, 0) }, options)]).toEqual([0.5, 0.5]);
  expect([...policyShares({ means: doubles(1), covariance: doubles(0) }, { ...options, policy: 'thompson' })]).toEqual([
    1,
  ]);
});

test('every arm keeps its floor and chances sum to 1', () => {
  const shares = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 9 }).map((values) => {
    const sum = values.reduce((total, value) => total + value, 0);
    return sum > 0 ? values.map((value) => value / sum) : values.map(() => 1 / values.length);
  });
  const ratio = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(
    fc.property(shares, ratio, ratio, (own, explorationRatio, leastPropensity) => {
      const chances = withFloor(own, { explorationRatio, leastPropensity });
      expect(chances.reduce((sum, chance) => sum + chance, 0)).toBeCloseTo(1, 9);
      const least = Math.min(1 / own.length, Math.max(explorationRatio / own.length, leastPropensity));
      for (const chance of chances) expect(chance).toBeGreaterThanOrEqual(least - 1e-12);
    }),
  );
});

test('an arm is drawn as often as its chance, and never one without', () => {
  const chances = [0, 0.25, 0.75, 0];
  const drawn = Array.from({ length: 1_000 }, (_, n) => drawArm(chances, n / 1_000));
  expect([0, 1, 2, 3].map((arm) => drawn.filter((one) => one === arm).length)).toEqual([0, 250, 750, 0]);
  expect(drawArm([0.5, 0.5 - 1e-16, 0], 1 - 2 ** -53)).toBe(1);
});
