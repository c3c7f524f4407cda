// The bandit against closed forms, against sampling, and as a learner in a world whose truth is known.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Belief,
  believe,
  bestChances,
  chooseArm,
  discount,
  observe,
  type Posterior,
  UNSEEN,
} from '../../../agent/preview/bandit.ts';

/** mulberry32: a published 32-bit generator, so that a failure repeats. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Beta(a, b) for integers: the a-th smallest of a + b - 1 uniforms; knows nothing of densities or gamma functions. */
function drawBeta({ alpha, beta }: Belief, random: () => number): number {
  const uniforms = Array.from({ length: alpha + beta - 1 }, random).toSorted((x, y) => x - y);
  return uniforms[alpha - 1] ?? Number.NaN;
}

/** P(A > B) for integer parameters as a finite sum of beta functions, by logarithms of factorials. */
function chanceOfGreater(a: Belief, b: Belief): number {
  const logFactorial = (n: number) => Array.from({ length: n }, (_, i) => Math.log(i + 1)).reduce((x, y) => x + y, 0);
  const logBeta = (x: number, y: number) => logFactorial(x - 1) + logFactorial(y - 1) - logFactorial(x + y - 1);
  let sum = 0;
  for (let i = 0; i < a.alpha; i += 1)
    sum += Math.exp(
      logBeta(b.alpha + i, a.beta + b.beta) - Math.log(a.beta + i) - logBeta(1 + i, a.beta) - logBeta(b.alpha, b.beta),
    );
  return sum;
}

const HALF_LIFE_MS = 1000;

describe('chance of being best', () => {
  test('Beta(a, 1) arms: a_i over the sum, within 1e-8', () => {
    const shape = fc.double({ min: 1, max: 1e5, noNaN: true });
    fc.assert(
      fc.property(fc.array(shape, { minLength: 1, maxLength: 6 }), (shapes) => {
        const sum = shapes.reduce((x, y) => x + y, 0);
        const chances = bestChances(shapes.map((alpha) => ({ alpha, beta: 1 })));
        for (const [index, shape] of shapes.entries())
          expect(Math.abs((chances[index] ?? 0) - shape / sum)).toBeLessThan(1e-8);
      }),
      { numRuns: 100 },
    );
  });

  test('two Beta(1, b) arms mirror that, within 1e-8', () => {
    const shape = fc.double({ min: 1, max: 1e5, noNaN: true });
    fc.assert(
      fc.property(shape, shape, (b1, b2) => {
        const [first] = bestChances([
          { alpha: 1, beta: b1 },
          { alpha: 1, beta: b2 },
        ]);
        expect(Math.abs((first ?? 0) - b2 / (b1 + b2))).toBeLessThan(1e-8);
      }),
      { numRuns: 100 },
    );
  });

  test('two arms of integer parameters: the finite sum, within 1e-8', () => {
    const whole = fc.integer({ min: 1, max: 150 });
    const belief = fc.record({ alpha: whole, beta: whole });
    fc.assert(
      fc.property(belief, belief, (a, b) => {
        expect(Math.abs((bestChances([a, b])[0] ?? 0) - chanceOfGreater(a, b))).toBeLessThan(1e-8);
      }),
      { numRuns: 100 },
    );
  });

  test('equal arms share equally, however narrow', () => {
    for (const size of [1, 30, 1e5])
      for (const count of [2, 4, 6])
        for (const chance of bestChances(Array.from({ length: count }, () => ({ alpha: size, beta: 2 * size }))))
          expect(chance).toBeCloseTo(1 / count, 9);
  });

  test.each([
    [
      [3, 7],
      [4, 6],
      [2, 9],
      [1, 1],
    ],
    [
      [20, 180],
      [25, 175],
      [15, 185],
    ],
    [
      [1, 1],
      [40, 60],
    ],
  ])('against 10 000 samples (%j ...)', (...pairs) => {
    const beliefs = pairs.map(([alpha = 1, beta = 1]) => ({ alpha, beta }));
    const random = seeded(7);
    const samples = 10_000;
    const wins = beliefs.map(() => 0);
    for (let n = 0; n < samples; n += 1) {
      const values = beliefs.map((belief) => drawBeta(belief, random));
      const best = values.indexOf(Math.max(...values));
      wins[best] = (wins[best] ?? 0) + 1;
    }
    for (const [index, chance] of bestChances(beliefs).entries()) {
      const error = Math.sqrt((chance * (1 - chance)) / samples);
      expect(Math.abs((wins[index] ?? 0) / samples - chance)).toBeLessThan(4.5 * error + 1e-4);
    }
  });

  test('refuses a belief that is no posterior of ours', () => {
    expect(() => bestChances([{ alpha: 0.5, beta: 1 }])).toThrow(RangeError);
    expect(() => bestChances([{ alpha: Number.NaN, beta: 1 }])).toThrow(RangeError);
  });
});

describe('choice', () => {
  const belief = fc.record({
    alpha: fc.double({ min: 1, max: 5000, noNaN: true }),
    beta: fc.double({ min: 1, max: 5000, noNaN: true }),
  });
  const unit = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

  test('propensities sum to 1, keep the floor, and the draw repeats with its number', () => {
    fc.assert(
      fc.property(fc.array(belief, { minLength: 1, maxLength: 5 }), unit, unit, (beliefs, explorationRatio, random) => {
        const choice = chooseArm(beliefs, { explorationRatio, random });
        expect(choice.propensities.reduce((x, y) => x + y, 0)).toBeCloseTo(1, 9);
        for (const chance of choice.propensities)
          expect(chance).toBeGreaterThanOrEqual(explorationRatio / beliefs.length - 1e-12);
        expect(choice.propensity).toBe(choice.propensities[choice.index]);
        expect(chooseArm(beliefs, { explorationRatio, random })).toEqual(choice);
      }),
      { numRuns: 100 },
    );
  });

  test('arms are drawn as often as their propensity says', () => {
    const beliefs = [
      believe({ successes: 3, failures: 20, at: 0 }),
      believe({ successes: 5, failures: 20, at: 0 }),
      believe(UNSEEN),
    ];
    const drawn = [0, 0, 0];
    const steps = 2000;
    let propensities: readonly number[] = [];
    for (let n = 0; n < steps; n += 1) {
      const choice = chooseArm(beliefs, { explorationRatio: 0.1, random: (n + 0.5) / steps });
      drawn[choice.index] = (drawn[choice.index] ?? 0) + 1;
      propensities = choice.propensities;
    }
    for (const [index, count] of drawn.entries())
      expect(Math.abs(count / steps - (propensities[index] ?? 0))).toBeLessThan(1.5 / steps);
  });
});

describe('posterior', () => {
  test('halves in a half-life, never grows, and a clock set back changes nothing', () => {
    const old: Posterior = { successes: 8, failures: 4, at: 5000 };
    expect(discount(old, 6000, HALF_LIFE_MS)).toEqual({ successes: 4, failures: 2, at: 6000 });
    expect(discount(old, 1000, HALF_LIFE_MS)).toMatchObject({ successes: 8, failures: 4 });
    expect(discount(old, 1e15, HALF_LIFE_MS).successes).toBe(0);
  });

  test('one reward after another, at once or step by step, is the same', () => {
    const a = observe(observe(UNSEEN, { reward: 1, now: 100, halfLifeMs: HALF_LIFE_MS }), {
      reward: 0,
      now: 1100,
      halfLifeMs: HALF_LIFE_MS,
    });
    expect(a).toEqual({ successes: 0.5, failures: 1, at: 1100 });
  });

  test('taste moves a young title more than an old one', () => {
    const taste = { affinityRatio: 1, strength: 6 };
    const mean = ({ alpha, beta }: Belief) => alpha / (alpha + beta);
    const shift = (posterior: Posterior) => mean(believe(posterior, taste)) - mean(believe(posterior));
    expect(shift(UNSEEN)).toBeGreaterThan(10 * shift({ successes: 100, failures: 900, at: 0 }));
  });
});

test('learns the best of four arms, follows when the best changes, and its log gives the truth back by SNIPS', () => {
  const random = seeded(11);
  const rates = (step: number) => (step < 3000 ? [0.1, 0.3, 0.1, 0.15] : [0.1, 0.1, 0.3, 0.15]);
  let posteriors: Posterior[] = [UNSEEN, UNSEEN, UNSEEN, UNSEEN];
  const log: { index: number; propensity: number; reward: 0 | 1; step: number }[] = [];
  for (let step = 0; step < 6000; step += 1) {
    const beliefs = posteriors.map((posterior) => believe(discount(posterior, step, 500)));
    const { index, propensity } = chooseArm(beliefs, { explorationRatio: 0.1, random: random() });
    const reward = random() < (rates(step)[index] ?? 0) ? 1 : 0;
    posteriors = posteriors.map((posterior, arm) =>
      arm === index ? observe(posterior, { reward, now: step, halfLifeMs: 500 }) : posterior,
    );
    log.push({ index, propensity, reward, step });
  }
  const share = (arm: number, from: number, to: number) =>
    log.filter((one) => one.index === arm && one.step >= from && one.step < to).length / (to - from);
  expect(share(1, 2000, 3000)).toBeGreaterThan(0.7);
  expect(share(2, 5000, 6000)).toBeGreaterThan(0.7);
  const first = log.filter((one) => one.step < 3000);
  for (const [arm, truth] of rates(0).entries()) {
    const own = first.filter((one) => one.index === arm);
    const weight = own.reduce((sum, one) => sum + 1 / one.propensity, 0);
    const snips = own.reduce((sum, one) => sum + one.reward / one.propensity, 0) / weight;
    expect(Math.abs(snips - truth)).toBeLessThan(0.09);
  }
}, 20_000);
