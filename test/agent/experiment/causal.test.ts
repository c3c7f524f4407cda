// What a treatment changed: against numbers worked by hand, and worlds whose truth is known.
import { describe, expect, test } from 'vitest';
import { adjustedEffect, doubleMachineLearning, placeboTest, type Unit } from '../../../agent/experiment/causal.ts';
import { chances } from '../../fake/chance.ts';

/** Units whose outcome is 2 x + x^2 + effect * treatment + noise; `pull` makes those of large x treated more often. */
function world(count: number, { effect, pull, seed }: { effect: number; pull: number; seed: number }): Unit[] {
  const random = chances(seed);
  return Array.from({ length: count }, () => {
    const x = 2 * random() - 1;
    const isTreated = random() < 0.5 + pull * x;
    const outcome = 2 * x + x * x + (isTreated ? effect : 0) + random() - 0.5;
    return { isTreated, covariates: [x, random()], outcome };
  });
}

describe('regression adjustment', () => {
  test('without covariates: the difference of means, with the error of Welch', () => {
    const unit = (isTreated: boolean, outcome: number): Unit => ({ isTreated, covariates: [], outcome });
    const units = [unit(true, 3), unit(true, 5), unit(true, 7), unit(false, 1), unit(false, 2)];
    const found = adjustedEffect(units);
    expect(found?.estimate).toBeCloseTo(5 - 1.5, 9);
    // Variances 4 and 0.5: sqrt(4 / 3 + 0.5 / 2) = 1.258306.
    expect(((found?.high ?? 0) - 3.5) / 1.959963984540054).toBeCloseTo(1.2583057392, 8);
  });

  test('covariates make the same experiment surer, and no other', () => {
    const units = world(2_000, { effect: 0.1, pull: 0, seed: 3 });
    const adjusted = adjustedEffect(units);
    const plain = adjustedEffect(units.map((unit) => ({ ...unit, covariates: [] })));
    const width = (interval: typeof plain) => (interval === undefined ? Number.NaN : interval.high - interval.low);
    expect(width(adjusted)).toBeLessThan(0.5 * width(plain));
    expect(Math.abs((adjusted?.estimate ?? 0) - 0.1)).toBeLessThan(0.06);
  });

  test('a covariate that never varies is none; too few units give nothing', () => {
    const units = world(100, { effect: 1, pull: 0, seed: 4 }).map((unit) => ({ ...unit, covariates: [7] }));
    expect(adjustedEffect(units)?.estimate).toBeCloseTo(
      adjustedEffect(units.map((unit) => ({ ...unit, covariates: [] })))?.estimate ?? 0,
      6,
    );
    expect(adjustedEffect(units.slice(0, 2))).toBeUndefined();
    expect(adjustedEffect([])).toBeUndefined();
  });
});

describe('double machine learning', () => {
  test('finds an effect where treatment followed what was known, and the plain difference does not', () => {
    const units = world(3_000, { effect: 0.3, pull: 0.35, seed: 5 });
    const found = doubleMachineLearning(units);
    expect(found?.low).toBeLessThan(0.3);
    expect(found?.high).toBeGreaterThan(0.3);
    expect((found?.high ?? 9) - (found?.low ?? 0)).toBeLessThan(0.15);
    const plain = adjustedEffect(units.map((unit) => ({ ...unit, covariates: [] })));
    expect(plain?.low).toBeGreaterThan(0.5);
  });

  test('its 95 % interval holds the truth in about 95 % of worlds', () => {
    let held = 0;
    for (let seed = 1; seed <= 60; seed += 1) {
      const found = doubleMachineLearning(world(400, { effect: 0.2, pull: 0.3, seed: seed * 7_919 }));
      if (found !== undefined && found.low <= 0.2 && found.high >= 0.2) held += 1;
    }
    expect(held).toBeGreaterThanOrEqual(52);
  });

  test('agrees with the adjusted difference in an experiment', () => {
    const units = world(3_000, { effect: 0.2, pull: 0, seed: 6 });
    expect(doubleMachineLearning(units)?.estimate).toBeCloseTo(adjustedEffect(units)?.estimate ?? 0, 1);
  });

  test('few units, or all of them treated: nothing', () => {
    expect(doubleMachineLearning(world(49, { effect: 1, pull: 0, seed: 7 }))).toBeUndefined();
    expect(
      doubleMachineLearning(world(100, { effect: 1, pull: 0, seed: 8 }).map((unit) => ({ ...unit, isTreated: true }))),
    ).toBeUndefined();
  });
});

describe('placebo', () => {
  test('finds nothing in an experiment', () => {
    expect(placeboTest(world(2_000, { effect: 1, pull: 0, seed: 9 }), chances(1)).isSound).toBe(true);
  });

  test('finds that treatment followed what nobody wrote down', () => {
    const random = chances(10);
    const units = Array.from({ length: 2_000 }, (): Unit => {
      const hidden = random();
      return { isTreated: random() < hidden, covariates: [hidden + 0.1 * random(), random()], outcome: hidden };
    });
    const { before, isSound } = placeboTest(units, chances(2));
    expect(before?.low).toBeGreaterThan(0);
    expect(isSound).toBe(false);
  });
});
