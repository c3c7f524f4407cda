// Drift alarms under chance, on samples whose truth is known: how seldom they are false, and which shifts they find.
import { describe, expect, test } from 'vitest';
import { BINS, binOf, demandBins, driftOf, newSample, rankBin, stability } from '../../../agent/model/drift.ts';
import { drawIndex, type Random, seededRandom } from '../../../agent/train/random.ts';

type Shares = readonly number[];

/** Counts of `size` draws. */
function countsOf(weights: Shares, size: number, random: Random): readonly number[] {
  const counts = new Array<number>(BINS).fill(0);
  for (let draw = 0; draw < size; draw += 1) {
    const bin = drawIndex(weights, random);
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
  return counts;
}

/** Share of `rounds` comparisons of a sample with one of `after` that alarm. */
function alarms(
  before: { readonly weights: Shares; readonly size: number },
  after: { readonly weights: Shares; readonly size: number },
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
const sum = (weights: Shares): number => weights.reduce((total, weight) => total + weight, 0);

/** A tenth of all moves into one bin. */
const into = (weights: Shares, bin: number): Shares =>
  weights.map((weight, at) => 0.9 * weight + (at === bin ? 0.1 : 0));

/** A tenth of all moves from some bins to others, in proportion to what they have. */
function moved(weights: Shares, from: readonly number[], to: readonly number[]): Shares {
  const massOf = (bins: readonly number[]): number => sum(bins.map((bin) => weights[bin] ?? 0));
  const [left, right] = [massOf(from), massOf(to)];
  return weights.map((weight, bin) => {
    if (from.includes(bin)) return weight * (1 - 0.1 / left);
    return to.includes(bin) ? weight * (1 + 0.1 / right) : weight;
  });
}

const [UPPER, LOWER] = [
  [0, 1, 2, 3, 4],
  [5, 6, 7, 8, 9],
];
const ENDS = [0, 1, 8, 9];

describe('of a thousand against a thousand', () => {
  test.each([
    ['even bins', EVEN, 1000, 1000],
    ['uneven bins', RANKS, 1000, 1000],
    ['small samples', RANKS, 200, 200],
    ['a small sample against a large one', EVEN, 1000, 250],
    ['full samples', EVEN, 2000, 2000],
  ])('at most 1.5 percent of comparisons alarm without drift: %s', (_, weights, n, m) => {
    expect(alarms({ weights, size: n }, { weights, size: m }, 1200)).toBeLessThanOrEqual(0.015);
  });

  test.each([
    ['even bins, into the first', EVEN, into(EVEN, 0)],
    ['even bins, into one in the middle', EVEN, into(EVEN, 4)],
    ['even bins, into the last', EVEN, into(EVEN, 9)],
    ['even bins, from the three first to the three last', EVEN, moved(EVEN, [0, 1, 2], [7, 8, 9])],
    ['even bins, from the three first to all others', EVEN, moved(EVEN, [0, 1, 2], [3, 4, ...LOWER])],
    ['even bins, from both ends to the middle', EVEN, moved(EVEN, ENDS, [4, 5])],
    ['uneven bins, from the top into misses', RANKS, into(RANKS, 9)],
    ['uneven bins, from the lower to the upper half', RANKS, moved(RANKS, LOWER, UPPER)],
    ['uneven bins, from the three first to the three last', RANKS, moved(RANKS, [0, 1, 2], [7, 8, 9])],
  ])('at least 95 percent find a shift of a tenth: %s', (_, weights, after) => {
    expect(alarms({ weights, size: 1000 }, { weights: after, size: 1000 }, 400)).toBeGreaterThanOrEqual(0.95);
  });

  test('a tenth that moves from half of all bins to the other half is nearly always found, and of 2,000 always', () => {
    // Who knew that very shift would find 98 percent of it in even bins among a thousand.
    for (const weights of [EVEN, RANKS]) {
      const after = moved(weights, UPPER, LOWER);
      expect(alarms({ weights, size: 1000 }, { weights: after, size: 1000 }, 400)).toBeGreaterThan(0.92);
      expect(alarms({ weights, size: 2000 }, { weights: after, size: 2000 }, 400)).toBeGreaterThan(0.99);
    }
  });

  test('titles that change their ranks: a tenth of demand leaves the most watched, and what nobody watched takes it', () => {
    const titles = Array.from({ length: 2_000 }, (_, at) => ({ titleId: `t${at}`, share: 1 / (at + 3) }));
    const bins = demandBins(titles);
    const whole = titles.reduce((total, { share }) => total + share, 0);
    /** Plays of titles whose ranks were exchanged, by the bins of before. */
    const playsOf = (exchanged: ReadonlyMap<string, string>): Shares => {
      const plays = new Array<number>(BINS).fill(0);
      for (const { titleId, share } of titles) {
        const bin = binOf(bins, exchanged.get(titleId) ?? titleId);
        plays[bin] = (plays[bin] ?? 0) + share / whole;
      }
      return plays;
    };
    const exchanged = new Map<string, string>();
    let left = 0.1 * whole;
    for (const [at, { titleId, share }] of titles.entries()) {
      // Each third of the well-known ones, until it is a tenth of what is watched.
      if (at % 3 !== 0 || left < share) continue;
      left -= share;
      exchanged.set(titleId, `t${1_999 - at}`).set(`t${1_999 - at}`, titleId);
      if (left < 0.001 * whole) break;
    }
    const found = alarms({ weights: playsOf(new Map()), size: 1000 }, { weights: playsOf(exchanged), size: 1000 }, 400);
    expect(found).toBeGreaterThanOrEqual(0.95);
  });

  test('a fixed threshold would be wrong both ways: 0.1 alarms by chance on 200, and misses a shift of a tenth', () => {
    const random = seededRandom(3);
    const over = (n: number, weights: Shares) =>
      Array.from({ length: 300 }, () => stability(countsOf(EVEN, n, random), countsOf(weights, n, random))).filter(
        (index) => (index * 2) / n > 0.1,
      ).length / 300;
    expect(over(200, EVEN)).toBeGreaterThan(0.1);
    expect(over(1000, into(EVEN, 0))).toBeLessThan(0.6);
  });
});

test('says nothing of too few, of none, or of empty bins alone', () => {
  expect(driftOf(new Array(10).fill(10), new Array(10).fill(100))).toMatchObject({ isDrifting: false });
  expect(driftOf([], [])).toEqual({ ratio: undefined, kind: 'bins', isDrifting: false });
  const first = [1000, 0, 0, 0, 0, 0, 0, 0, 0, 0];
  expect(driftOf(first, first)).toMatchObject({ ratio: 0, isDrifting: false });
  expect(driftOf(first, first.toReversed())).toMatchObject({ isDrifting: true });
});

test('tells what differs: one bin, or what lies on either side of a cut', () => {
  const even = new Array(10).fill(100);
  expect(driftOf(even, [91, 91, 91, 91, 181, 91, 91, 91, 91, 91])).toMatchObject({ kind: 'bins', isDrifting: true });
  expect(driftOf(even, [80, 80, 80, 80, 80, 120, 120, 120, 120, 120])).toMatchObject({
    kind: 'order',
    isDrifting: true,
  });
});

test('titles fall into tenths of what is expected; an unknown one into the last', () => {
  const bins = demandBins(Array.from({ length: 100 }, (_, at) => ({ titleId: `t${at}`, share: 0.01 })));
  expect(['t0', 't9', 't10', 't55', 't99', 'new'].map((titleId) => binOf(bins, titleId))).toEqual([0, 0, 1, 5, 9, 9]);
  expect(binOf(demandBins([]), 'any')).toBe(9);
  expect([1, 2, 3, 4, 5, 8, 20, 60, 61, undefined].map(rankBin)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

describe('a sample', () => {
  test('keeps each of what came with the same chance, and never more than its size, also over a restart', () => {
    const random = seededRandom(1);
    const mean = new Array<number>(BINS).fill(0);
    for (let round = 0; round < 400; round += 1) {
      let sample = newSample(50, random);
      for (let at = 0; at < 500; at += 1) {
        if (at % 200 === 100) sample = newSample(50, random, JSON.parse(JSON.stringify(sample.kept())));
        sample.add(Math.floor(at / 50));
      }
      expect(sum(sample.counts)).toBe(50);
      sample.counts.forEach((count, bin) => {
        mean[bin] = (mean[bin] ?? 0) + count / 400;
      });
    }
    for (const count of mean) expect(Math.abs(count - 5)).toBeLessThan(0.6);
  });

  test('of a larger one takes no more than it has place for', () => {
    const sample = newSample(3, () => 0, { seen: 9, bins: [1, 1, 2, 9] });
    expect(sample.counts).toEqual([0, 2, 1, 0, 0, 0, 0, 0, 0, 0]);
    expect(sample.kept()).toEqual({ seen: 9, bins: [1, 1, 2] });
  });
});
