// The linear model against hand-worked numbers: what it expects, how sure it is, and how evidence fades.
import { describe, expect, test } from 'vitest';
import {
  addChoice,
  addReward,
  emptyLinear,
  expectedReward,
  fade,
  fitScales,
  modelInput,
  NO_SCALES,
  precisionOf,
  priorFrom,
  scalePrior,
  score,
  solveLinear,
  vaguePrior,
} from '../../../agent/preview/bandit-linear.ts';

const doubles = (...values: number[]) => Float64Array.from(values);

describe('inputs', () => {
  test('1, the centred descriptor, its products with the taste, and their sum', () => {
    // One number: spread sqrt(3). 2 * 1 - 1 = 1 and 2 * 0.75 - 1 = 0.5, so 1.732..., 0.866..., and 1.5 for both.
    const input = modelInput([0.75], [1]);
    expect(input[0]).toBe(1);
    expect(input[1]).toBeCloseTo(Math.sqrt(3), 12);
    expect(input[2]).toBeCloseTo(1.5, 12);
    expect(input[3]).toBeCloseTo(1.5, 12);
  });

  test('without a taste nothing is personal; what is no number is neutral', () => {
    expect([...modelInput(undefined, [1, 0])].slice(3)).toEqual([0, 0, 0]);
    expect([...modelInput([Number.NaN, 1], [Number.NaN, Number.NaN])]).toEqual([1, 0, 0, 0, 0, 0]);
  });

  test('numbers out of all bounds are held', () => {
    expect(modelInput([1e9], [-1e9]).every((value) => Math.abs(value) < 100)).toBe(true);
  });
});

describe('posterior', () => {
  const prior = { mean: doubles(0.1, 0), precision: doubles(100, 4) };

  test('of two choices, by hand', () => {
    // Precision [[100 + 2, 2], [2, 4 + 2]] after x = (1, 1) twice with weight 1, rewards 1 and 0; response (10 + 1, 1).
    const model = emptyLinear(2);
    for (const reward of [1, 0]) {
      addChoice(model, doubles(1, 1), 1);
      addReward(model, doubles(1, 1), reward);
    }
    const solved = solveLinear(model, prior);
    const determinant = 102 * 6 - 4;
    expect(solved.coefficients[0]).toBeCloseTo((6 * 11 - 2 * 1) / determinant, 12);
    expect(solved.coefficients[1]).toBeCloseTo((102 * 1 - 2 * 11) / determinant, 12);
    const { means, covariance } = score(solved, [doubles(1, 0), doubles(0, 1)]);
    expect(means[0]).toBeCloseTo(64 / determinant, 12);
    expect(covariance[0]).toBeCloseTo(6 / determinant, 12);
    expect(covariance[1]).toBeCloseTo(-2 / determinant, 12);
    expect(covariance[3]).toBeCloseTo(102 / determinant, 12);
    expect(model.weight).toBe(2);
  });

  test('evidence that has faded away leaves the prior', () => {
    const model = emptyLinear(2);
    addChoice(model, doubles(1, 1), 50);
    addReward(model, doubles(1, 1), 50);
    fade(model, 0);
    const solved = solveLinear(model, prior);
    expect(expectedReward(solved, doubles(1, 1))).toBeCloseTo(0.1, 12);
    expect(model.weight).toBe(0);
  });

  test('a prior for another region has the mean, and no more certainty than allowed', () => {
    const model = emptyLinear(2);
    for (let n = 0; n < 1_000; n += 1) {
      addChoice(model, doubles(1, 0.5), 10);
      addReward(model, doubles(1, 0.5), 2);
    }
    const { mean, precision } = priorFrom(model, prior, 100);
    expect(mean[0]).toBeCloseTo(solveLinear(model, prior).coefficients[0] ?? 0, 12);
    expect(precision[0]).toBeCloseTo(100 + 100 * 10, 6);
    expect(precision[1]).toBeCloseTo(4 + 100 * 10 * 0.25, 6);
  });

  test('input that a damaged model gives stays finite', () => {
    const model = emptyLinear(2);
    model.information.set([-1e9, 0, 0, -1e9]);
    expect(solveLinear(model, prior).coefficients.every(Number.isFinite)).toBe(true);
  });
});

test.each([
  [0.5, 4],
  [0.1, 1 / 0.09],
  [-3, 1 / 0.0099],
  [7, 1 / 0.0099],
])('an expected reward of %d weighs %d', (expected, weight) => expect(precisionOf(expected)).toBeCloseTo(weight, 9));

test('before anything is seen one reward in ten is expected, of anything', () => {
  const solved = solveLinear(emptyLinear(vaguePrior(3).mean.length), vaguePrior(3));
  expect(expectedReward(solved, modelInput([0.1, 0.9, 0.4], [1, 0, 1]))).toBeCloseTo(0.1, 12);
});

describe('scales', () => {
  const prior = vaguePrior(4);
  /** Rewards of looks for tastes by `rewardOf`, once each. */
  function learnt(rewardOf: (taste: readonly number[], look: readonly number[]) => number) {
    const model = emptyLinear(prior.mean.length);
    const corners = Array.from({ length: 16 }, (_, n) => [n & 1, (n >> 1) & 1, (n >> 2) & 1, (n >> 3) & 1]);
    for (const taste of corners) {
      for (const look of corners) {
        const input = modelInput(taste, look);
        addChoice(model, input, 100);
        addReward(model, input, 100 * rewardOf(taste, look));
      }
    }
    return model;
  }
  function fitted(model: ReturnType<typeof learnt>) {
    let scales = NO_SCALES;
    for (let n = 0; n < 20; n += 1) scales = fitScales(solveLinear(model, scalePrior(prior, scales)), prior, scales);
    return scales;
  }

  test('without evidence they stay what they are', () => {
    const [descriptor, taste] = fitScales(solveLinear(emptyLinear(10), prior), prior, NO_SCALES);
    expect(descriptor).toBeCloseTo(1, 9);
    expect(taste).toBeCloseTo(1, 9);
  });

  test('where viewers do not differ the taste is held to little, the descriptor is not', () => {
    const [descriptor, taste] = fitted(learnt((_, look) => 0.1 + 0.1 * (look[0] ?? 0)));
    expect(taste).toBeGreaterThan(1);
    expect(taste).toBeGreaterThan(descriptor);
  });

  test('where they differ much the taste is let go', () => {
    const [, taste] = fitted(learnt((liked, look) => (liked[0] === look[0] ? 0.9 : 0.1)));
    expect(taste).toBeLessThan(0.7);
  });

  test('a prior at other scales keeps its mean, and the precision of the base', () => {
    const { mean, precision } = scalePrior(prior, [2, 3]);
    expect(mean).toEqual(prior.mean);
    expect([...precision].map((value, i) => value / (prior.precision[i] ?? 1))).toEqual([1, 2, 2, 2, 2, 3, 3, 3, 3, 3]);
  });
});
