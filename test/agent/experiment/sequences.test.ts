// Confidence sequences and the check of shares against their formulas worked by hand, and against peeking.
import { describe, expect, test } from 'vitest';
import { checkRatio, logGamma } from '../../../agent/experiment/ratio.ts';
import {
  differenceSequence,
  meanSequence,
  sequenceRadius,
  sumsOf,
  tightestAt,
  varianceOf,
} from '../../../agent/experiment/sequences.ts';
import { chances } from '../../fake/chance.ts';

describe('sequence', () => {
  test('rho is the square root of (-2 ln a + ln(-2 ln a + 1)) / t', () => {
    // -2 ln 0.05 = 5.991464547; ln 6.991464547 = 1.944690040; their sum over 100 is 0.0793615.
    expect(tightestAt(100, 0.05)).toBeCloseTo(Math.sqrt(0.07936154587), 8);
  });

  test('its radius, by hand', () => {
    // t = 100, rho^2 = 0.07936154587: t rho^2 + 1 = 8.936154587; 2 * 8.936154587 / (100 * 7.936154587) = 0.0225201;
    // ln(sqrt(8.936154587) / 0.05) = 4.0908193; sqrt(0.0225201 * 4.0908193) = 0.3035205.
    expect(sequenceRadius({ count: 100, variance: 1 }, 0.05, 100)).toBeCloseTo(0.3035, 4);
    expect(sequenceRadius({ count: 100, variance: 4 }, 0.05, 100)).toBeCloseTo(0.607, 3);
  });

  test('fewer than two values say nothing', () => {
    expect(meanSequence(sumsOf([1]), 0.05).high).toBe(Number.POSITIVE_INFINITY);
    expect(differenceSequence(sumsOf([1, 2]), sumsOf([]), 0.05).low).toBe(Number.NEGATIVE_INFINITY);
  });

  test('of a difference: its variance is that of both means', () => {
    const [ours, theirs] = [sumsOf([1, 3, 5, 7]), sumsOf([0, 2])];
    const { estimate, high } = differenceSequence(ours, theirs, 0.05, 10);
    expect(estimate).toBeCloseTo(3, 12);
    const variance = 6 * (varianceOf(ours) / 4 + varianceOf(theirs) / 2);
    expect(high - estimate).toBeCloseTo(sequenceRadius({ count: 6, variance }, 0.05, 10), 12);
    expect(varianceOf(ours)).toBeCloseTo(20 / 3, 12);
  });

  test('a look after every value finds a true mean outside in few of many lives', () => {
    let missed = 0;
    for (let life = 0; life < 200; life += 1) {
      const random = chances(life + 1);
      let [count, sum] = [0, 0];
      let isOut = false;
      for (let n = 0; n < 2_000; n += 1) {
        const value = random() < 0.3 ? 1 : 0;
        count += 1;
        sum += value;
        if (count < 100) continue;
        const { low, high } = meanSequence({ count, sum, squares: sum }, 0.05, 1_000);
        isOut ||= low > 0.3 || high < 0.3;
      }
      if (isOut) missed += 1;
    }
    expect(missed).toBeLessThanOrEqual(10);
  });
});

describe('shares', () => {
  test('the Bayes factor of one unit, by hand: Dirichlet(1, 1) says 1/2, as the plan does', () => {
    expect(checkRatio([1, 0], [0.5, 0.5], 2).pValue).toBeCloseTo(1, 12);
    // Three of three: Beta(4, 1) / Beta(1, 1) = 1/4 against 1/8: factor 2, p 1/2.
    expect(checkRatio([3, 0], [0.5, 0.5], 2).pValue).toBeCloseTo(0.5, 9);
  });

  test.each([
    [[5_000, 5_100], [0.5, 0.5], true],
    [[5_000, 5_600], [0.5, 0.5], false],
    [[900, 9_100], [0.1, 0.9], true],
    [[700, 9_300], [0.1, 0.9], false],
    [[0, 0], [0.5, 0.5], true],
  ])('%j of %j: %j', (counts, shares, isSound) => expect(checkRatio(counts, shares).isSound).toBe(isSound));

  test.each([
    [1, 0],
    [0.5, 0.5723649429247001],
    [5, 3.1780538303479458],
    [100, 359.1342053695754],
  ])('ln gamma(%d)', (x, value) => expect(logGamma(x)).toBeCloseTo(value, 9));
});
