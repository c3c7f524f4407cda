// Decisions under chance, on data whose truth is known: drift alarms, and whether one ranking beats another.
import { describe, expect, test } from 'vitest';
import { pairedDifference, type ViewerPair } from '../../../agent/model/bootstrap.ts';
import { BINS, demandBins, driftOf, newSample, rankBin } from '../../../agent/model/drift.ts';
import { gainAt, openTrial, placeOf } from '../../../agent/model/trial.ts';
import { raw } from '../../../agent/telemetry/event.ts';
import { drawIndex, type Random, seededRandom } from '../../../agent/train/random.ts';

/** Counts of `size` draws. */
function countsOf(weights: readonly number[], size: number, random: Random): readonly number[] {
  const counts = new Array<number>(BINS).fill(0);
  for (let draw = 0; draw < size; draw += 1) {
    const bin = drawIndex(weights, random);
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
  return counts;
}

/** Share of `rounds` comparisons that alarm. */
function alarms(
  before: { readonly weights: readonly number[]; readonly size: number },
  after: { readonly weights: readonly number[]; readonly size: number },
  rounds: number,
): number {
  const random = seededRandom(20_260_101);
  let found = 0;
  for (let round = 0; round < rounds; round += 1) {
    const reference = countsOf(before.weights, before.size, random);
    if (driftOf(reference, countsOf(after.weights, after.size, random)).isDrifting) found += 1;
  }
  return found / rounds;
}

const EVEN = new Array<number>(BINS).fill(0.1);
/** Ranks of a good model: most choices near the top. */
const RANKS = [0.3, 0.15, 0.1, 0.08, 0.07, 0.07, 0.06, 0.06, 0.05, 0.06];
/** A tenth of all moves into one bin. */
const shifted = (weights: readonly number[], into: number): readonly number[] =>
  weights.map((weight, bin) => 0.9 * weight + (bin === into ? 0.1 : 0));

describe('drift', () => {
  test.each([
    ['even bins, 1,000 against 1,000', EVEN, 1000, 1000],
    ['uneven bins, 1,000 against 1,000', RANKS, 1000, 1000],
    ['small samples', RANKS, 200, 200],
    ['a small sample against a large one', EVEN, 1000, 250],
  ])('alarms falsely in at most 1.5 percent of comparisons: %s', (_, weights, n, m) => {
    expect(alarms({ weights, size: n }, { weights, size: m }, 1200)).toBeLessThanOrEqual(0.015);
  });

  test.each([
    ['even bins, into the first', EVEN, 0],
    ['even bins, into the last', EVEN, 9],
    ['uneven bins, from the top into misses', RANKS, 9],
  ])('finds a shift of a tenth at n = 1,000 in at least 95 percent of comparisons: %s', (_, weights, into) => {
    const before = { weights, size: 1000 };
    expect(alarms(before, { weights: shifted(weights, into), size: 1000 }, 400)).toBeGreaterThanOrEqual(0.95);
  });

  test('a fixed threshold would be wrong both ways: 0.1 alarms by chance on 100, and misses a shift of a tenth on 1,000', () => {
    const random = seededRandom(3);
    const over = (n: number, weights: readonly number[]) =>
      Array.from({ length: 300 }, () => driftOf(countsOf(EVEN, n, random), countsOf(weights, n, random))).filter(
        ({ statistic }) => (statistic ?? 0) > 0.1,
      ).length / 300;
    expect(over(200, EVEN)).toBeGreaterThan(0.1);
    expect(over(1000, shifted(EVEN, 0))).toBeLessThan(0.6);
  });

  test('says nothing of too few, of none, or of empty bins alone', () => {
    expect(driftOf(new Array(10).fill(10), new Array(10).fill(100))).toMatchObject({ isDrifting: false });
    expect(driftOf([], [])).toMatchObject({ statistic: undefined, isDrifting: false });
    const first = [1000, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    expect(driftOf(first, first)).toMatchObject({ statistic: 0, isDrifting: false });
    expect(driftOf(first, first.toReversed())).toMatchObject({ isDrifting: true });
  });

  test('titles fall into tenths of what is expected; an unknown one into the last', () => {
    const bins = demandBins(Array.from({ length: 100 }, (_, at) => ({ titleId: `t${at}`, share: 0.01 })));
    expect([bins('t0'), bins('t9'), bins('t10'), bins('t55'), bins('t99'), bins('new')]).toEqual([0, 0, 1, 5, 9, 9]);
    expect(demandBins([])('any')).toBe(9);
    expect([1, 2, 3, 4, 5, 8, 20, 60, 61, undefined].map(rankBin)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test('a sample keeps each of what came with the same chance, and never more than its size', () => {
    const random = seededRandom(1);
    const mean = new Array<number>(BINS).fill(0);
    for (let round = 0; round < 400; round += 1) {
      const sample = newSample(50, random);
      for (let at = 0; at < 500; at += 1) sample.add(Math.floor(at / 50));
      expect(sample.counts.reduce((sum, count) => sum + count, 0)).toBe(50);
      sample.counts.forEach((count, bin) => {
        mean[bin] = (mean[bin] ?? 0) + count / 400;
      });
    }
    for (const count of mean) expect(Math.abs(count - 5)).toBeLessThan(0.6);
  });
});

/** Viewers with tastes of their own, so that a viewer's questions hang together; `gain` is how much better ours is. */
function viewersOf(count: number, gain: number, random: Random): readonly ViewerPair[] {
  return Array.from({ length: count }, () => {
    const questions = 3 + Math.floor(random() * 15);
    const taste = 0.2 + 0.3 * random();
    const own = (random() - 0.5) * 0.2;
    let ours = 0;
    let theirs = 0;
    for (let question = 0; question < questions; question += 1) {
      if (random() < taste + own + gain) ours += 1;
      if (random() < taste) theirs += 1;
    }
    return { questions, ours, theirs };
  });
}

describe('the bootstrap by viewers', () => {
  const options = { seed: 1, rounds: 400, alpha: 0.025 };

  test('its interval holds the truth about as often as it says', () => {
    const random = seededRandom(9);
    let low = 0;
    let high = 0;
    for (let round = 0; round < 200; round += 1) {
      const difference = pairedDifference(viewersOf(100, 0.05, random), options);
      if (difference.low > 0.05) low += 1;
      if (difference.high < 0.05) high += 1;
    }
    expect(low / 200).toBeLessThan(0.06);
    expect(high / 200).toBeLessThan(0.06);
    expect((low + high) / 200).toBeGreaterThan(0.01);
  });

  test('the same pairs and seed give the same answer; no viewers leave all open', () => {
    const pairs = viewersOf(50, 0.1, seededRandom(2));
    expect(pairedDifference(pairs, options)).toEqual(pairedDifference(pairs, options));
    expect(pairedDifference([], options)).toMatchObject({ low: -Infinity, high: Infinity, viewers: 0 });
  });

  test('more viewers than are drawn one by one are put together, with the same width', () => {
    const pairs = viewersOf(6000, 0.05, seededRandom(4));
    const many = pairedDifference(pairs, options);
    expect(many.viewers).toBe(6000);
    expect(many.high - many.low).toBeLessThan(0.03);
    expect(many.low).toBeLessThan(0.05);
    expect(many.high).toBeGreaterThan(0.05);
  });
});

/** A whole trial of a challenger that is better by `gain` than a champion of 0.4, until it is decided. */
function verdictOf(seed: number, gain: number, rules = 0.2): string {
  const random = seededRandom(seed);
  const trial = openTrial();
  const own = Array.from({ length: 40 }, () => (random() - 0.5) * 0.2);
  for (let question = 0; question < 16_500; question += 1) {
    const viewer = Math.floor(random() * own.length);
    const hit = (chance: number) => (random() < chance ? 1 : 0);
    trial.add(raw(`v${viewer}`), {
      champion: hit(0.4),
      other: hit(0.4 + gain + (own[viewer] ?? 0)),
      baselines: { rules: hit(rules) },
    });
    const look = question % 250 === 0 ? trial.look('challenger') : undefined;
    if (look !== undefined && look.verdict !== 'none') return look.verdict;
  }
  return 'none';
}

describe('the trial', () => {
  test('promotes hardly any challenger that is no better, and almost all that are', () => {
    const seeds = Array.from({ length: 30 }, (_, seed) => seed);
    const promoted = (gain: number) =>
      seeds.filter((seed) => verdictOf(seed, gain) === 'promote').length / seeds.length;
    expect(promoted(0)).toBeLessThanOrEqual(0.05);
    expect(promoted(0.1)).toBeGreaterThanOrEqual(0.95);
  });

  test('better than the champion is not enough: plain rules must be beaten too', () => {
    expect(verdictOf(1, 0.1, 0.55)).toBe('rollBack');
    expect(verdictOf(1, 0.1, 0.3)).toBe('promote');
  });

  test('one that is worse is withdrawn; a champion that falls behind the one before it is rolled back', () => {
    expect(verdictOf(5, -0.15)).toBe('withdraw');
    const random = seededRandom(8);
    const trial = openTrial();
    for (let question = 0; question < 1200; question += 1) {
      const gains = { champion: random() < 0.3 ? 1 : 0, other: random() < 0.5 ? 1 : 0, baselines: {} };
      trial.add(raw(`v${question % 50}`), gains);
    }
    expect(trial.look('predecessor')).toMatchObject({ verdict: 'rollBack' });
    // Looked at: the next decision is at twice as many.
    expect(trial.look('predecessor')).toBeUndefined();
    expect(trial.report()).toMatchObject({ viewers: 50, questions: 1200, nextLook: 2000 });
  });

  test('few viewers decide nothing, however much they ask; who is forgotten counts no more', () => {
    const trial = openTrial();
    for (let question = 0; question < 5000; question += 1) {
      trial.add(raw(`v${question % 20}`), { champion: 0, other: 1, baselines: { rules: 0 } });
    }
    expect(trial.look('challenger')).toBeUndefined();
    trial.forget(new Set(['v0', 'v1']));
    expect(trial.report()).toMatchObject({ viewers: 18, questions: 4500, championNdcg: 0, otherNdcg: 1 });
  });

  test('places and gains', () => {
    expect([placeOf([1, 3, 2], 1), placeOf([1, 3, 2], 0), placeOf([1, 1, 1], 0), placeOf([1], 4)]).toEqual([
      1,
      3,
      2,
      undefined,
    ]);
    expect([gainAt(1), gainAt(3), gainAt(11), gainAt(undefined)]).toEqual([1, 0.5, 0, 0]);
  });
});
