// The planner of trials: what it believes, what it asks for, and the ladder that comes of it, on titles whose curves are
// known.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { COEFFICIENTS } from '../../../encoder/plan/coefficients.ts';
import {
  type CurveFeatures,
  forecast,
  learn,
  type Place,
  priorCurves,
  toPointsOf,
  toScore,
} from '../../../encoder/plan/curves.ts';
import { observe, predict } from '../../../encoder/plan/gaussian.ts';
import { earnStorage, reach } from '../../../encoder/plan/ladder.ts';
import { poolParts, poolScores, samplingError } from '../../../encoder/plan/metric.ts';
import type { Measured, SearchTitle, Wish } from '../../../encoder/plan/outlook.ts';
import { ROUNDS, wishesOf } from '../../../encoder/plan/search.ts';
import { planTitle } from '../../../encoder/plan/title.ts';
import { longestUnit, unitsOf } from '../../../encoder/plan/units.ts';

const ratio = fc.double({ min: 0, max: 1, noNaN: true });
const features: fc.Arbitrary<CurveFeatures> = fc.record({
  ...{ spatial: ratio, temporal: ratio, motion: ratio, noise: ratio, darkness: ratio },
});
/** A unit and how much harder it is than its features say. */
const unit = fc.record({
  frames: fc.integer({ min: 12, max: 120 }),
  features,
  surprise: fc.double({ min: -1, max: 1, noNaN: true }),
});
const titles = fc.array(unit, { minLength: 1, maxLength: 6 });
type Hidden = readonly { frames: number; features: CurveFeatures; surprise: number }[];

const titleOf = (units: Hidden): SearchTitle => ({
  units,
  ...{ width: 1280, height: 720, heights: [720, 480, 360] },
  model: COEFFICIENTS,
  limits: { maxRungs: 5, qualityCap: 95, minimumStep: 6, floorDrop: 4 },
  search: { mostSeeds: 3, mostTrials: 9, tolerance: 1, snap: 1, step: 1, trust: 1 },
});

/** What an encode of a hidden title would give: curves of the trained shape, shifted by the surprise. */
const encode =
  (units: Hidden, preset = 0) =>
  ({ unit: at, height, crf }: Wish): { bits: number; quality: number } => {
    const { frames, features: seen, surprise } = units[at] ?? { frames: 1, features: NONE, surprise: 0 };
    const { quality, bitsPerPixel } = forecast(priorCurves(seen, COEFFICIENTS), {
      below: Math.log2(720 / height),
      crf,
    });
    const points = toPointsOf(toScore(quality) - surprise + preset);
    return { quality: points, bits: bitsPerPixel * 2 ** (surprise + preset) * frames * height * height * (16 / 9) };
  };
const NONE: CurveFeatures = { spatial: 0.4, temporal: 0.1, motion: 0.1, noise: 0.1, darkness: 0.1 };

const play = (title: SearchTitle, units: Hidden): Measured[] => {
  const trials: Measured[] = [];
  for (const round of ROUNDS) {
    trials.push(...wishesOf(title, trials, round).map((wish) => ({ ...wish, ...encode(units)(wish), ships: true })));
  }
  return trials;
};

describe('beliefs', () => {
  test('an observation moves the mean to what was seen and only ever narrows', () => {
    const prior = {
      mean: [1, 0],
      covariance: [
        [1, 0.2],
        [0.2, 0.5],
      ],
    };
    const after = observe(prior, { basis: [1, 2], value: 5, variance: 1e-9 });
    expect(predict(after, [1, 2]).mean).toBeCloseTo(5);
    for (const basis of [
      [1, 0],
      [0, 1],
      [1, 2],
      [3, -1],
    ]) {
      expect(predict(after, basis).variance).toBeLessThanOrEqual(predict(prior, basis).variance + 1e-12);
    }
  });

  test('points and scores are inverses, and curves fall with CRF around what was measured', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 100, noNaN: true }), features, (points, seen) => {
        expect(toPointsOf(toScore(points))).toBeCloseTo(points, 6);
        const place: Place = { below: 0, crf: 28 };
        const curves = learn(priorCurves(seen, COEFFICIENTS), place, { quality: 85, bitsPerPixel: 0.05 });
        expect(Math.abs(forecast(curves, place).quality - 85)).toBeLessThan(2);
        expect(forecast(curves, { below: 0, crf: 31 }).quality).toBeLessThan(85);
        expect(forecast(curves, { below: 0, crf: 31 }).bitsPerPixel).toBeLessThan(0.05);
        expect(forecast(curves, place).qualityError).toBeLessThan(
          forecast(priorCurves(seen, COEFFICIENTS), place).qualityError,
        );
      }),
    );
  });

  test('less trust is more doubt', () => {
    const place = { below: 0, crf: 28 };
    const [sure, unsure] = [
      forecast(priorCurves(NONE, COEFFICIENTS), place),
      forecast(priorCurves(NONE, COEFFICIENTS, 0.5), place),
    ];
    expect(unsure.qualityError).toBeCloseTo(2 * sure.qualityError);
    expect(unsure.quality).toBeCloseTo(sure.quality);
  });
});

describe('search', () => {
  test('asks for few trials, each once, at the given heights, and ends', () => {
    fc.assert(
      fc.property(titles, (units) => {
        const title = titleOf(units);
        const seeds = wishesOf(title, [], 'seeds');
        expect(new Set(seeds.map((wish) => wish.unit)).size).toBe(Math.min(units.length, 2));
        for (const at of units.keys()) {
          expect(seeds.filter((wish) => wish.unit === at).length).toBeLessThanOrEqual(3);
        }
        const trials = play(title, units);
        expect(trials.length).toBeLessThanOrEqual(units.length * 9);
        expect(new Set(trials.map((trial) => JSON.stringify([trial.unit, trial.height, trial.crf]))).size).toBe(
          trials.length,
        );
        expect(trials.every((trial) => title.heights.includes(trial.height))).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  test('the ladder keeps its promises on what was measured', () => {
    fc.assert(
      fc.property(titles, (units) => {
        const title = titleOf(units);
        const trials = play(title, units);
        const { rungs } = planTitle(trials, {
          title,
          durationSeconds: 10,
          audience: { medianBps: 5e6, spread: 1, views: 1e9 },
        });
        expect(rungs.length).toBeGreaterThan(0);
        for (const [at, rung] of rungs.entries()) {
          expect(rung.trials.map((trial) => trial.unit)).toEqual([...units.keys()]);
          expect(new Set(rung.trials.map((trial) => trial.height))).toEqual(new Set([rung.height]));
          const above = rungs[at - 1];
          if (above !== undefined) expect(above.quality - rung.quality).toBeGreaterThanOrEqual(6);
          for (const { unit: which, quality } of rung.trials) {
            const best = trials.filter((trial) => trial.unit === which && trial.height === rung.height);
            const isBest = best.every((trial) => trial.quality <= quality);
            expect(quality >= rung.quality - 4 - 1e-9 || isBest).toBe(true);
          }
        }
      }),
      { numRuns: 30 },
    );
  });

  test('with a final preset of its own, nothing of the proposing one ships, and its shift is learnt', () => {
    const units = [0, 0.5, -0.5].map((surprise) => ({ frames: 96, features: NONE, surprise }));
    const title = titleOf(units);
    const seeds = wishesOf(title, [], 'seeds');
    const trials: Measured[] = seeds.map((wish) => ({ ...wish, ...encode(units)(wish), ships: false }));
    const counts = (['pilots', 'most', 'all', 'fix'] as const).map((round) => {
      const wishes = wishesOf(title, trials, round);
      trials.push(...wishes.map((wish) => ({ ...wish, ...encode(units, 0.4)(wish), ships: true })));
      return wishes.length;
    });
    expect(counts[0]).toBe(2);
    const plan = { title, durationSeconds: 12, audience: { medianBps: 5e6, spread: 1, views: 1e9 } };
    const { rungs } = planTitle(trials, plan);
    expect(rungs.flatMap((rung) => rung.trials).every((trial) => trial.ships)).toBe(true);
    expect(rungs.length).toBeGreaterThan(2);
    expect(Math.abs((rungs[0]?.quality ?? 0) - 95)).toBeLessThan(3);
  });

  test('a title without a whole height cannot be planned', () => {
    const units = [0, 0].map((surprise) => ({ frames: 96, features: NONE, surprise }));
    const one = { unit: 0, height: 720, crf: 28, bits: 1e6, quality: 80, ships: true };
    const plan = { title: titleOf(units), durationSeconds: 8, audience: { medianBps: 5e6, spread: 1, views: 1e9 } };
    expect(planTitle([one], plan).rungs).toEqual([]);
  });
});

describe('rungs earn their storage', () => {
  const rungs = [4e6, 2e6, 1e6, 5e5].map((bps, at) => ({ bits: bps * 10, quality: 95 - 7 * at }));
  test('many views keep all, few keep the most used and the lowest', () => {
    const audience = { medianBps: 3e6, spread: 0.8 };
    expect(earnStorage(rungs, 10, { ...audience, views: 1000 })).toEqual(rungs);
    const few = earnStorage(rungs, 10, { ...audience, views: 6 });
    expect(few.length).toBeLessThan(rungs.length);
    expect(few.at(-1)).toBe(rungs.at(-1));
    expect(earnStorage(rungs, 10, { ...audience, views: 0.01 })).toEqual(rungs.slice(-1));
  });
  test('a faster audience needs no low rungs but the lowest', () => {
    const fast = earnStorage(rungs, 10, { medianBps: 1e8, spread: 0.3, views: 1000 });
    expect(fast).toEqual([rungs[0], rungs[3]]);
  });
  test('half of the audience carries the median, with headroom', () => {
    expect(reach(4e6, { medianBps: 5e6, spread: 1, views: 1 })).toBeCloseTo(0.5, 6);
    expect(reach(4e6, { medianBps: 5e6 * Math.E, spread: 1, views: 1 })).toBeCloseTo(0.841345, 5);
  });
});

describe('scores of parts', () => {
  test('one part pools like its scores; a part scored twice as densely counts no more', () => {
    const scores = [90, 80, 100, 20];
    expect(poolParts([{ scores, frames: 20 }]).mean).toBeCloseTo(poolScores(scores).mean);
    expect(poolParts([{ scores, frames: 20 }]).harmonicMean).toBeCloseTo(poolScores(scores).harmonicMean);
    const parts = [
      { scores: [100, 100, 100, 100], frames: 8 },
      { scores: [50], frames: 8 },
    ];
    expect(poolParts(parts)).toMatchObject({ mean: 75, p5: 50 });
    expect(() => poolParts([])).toThrow(RangeError);
  });

  test('a drift leaves the mean certain, a flicker does not, and scoring all leaves no doubt', () => {
    const drift = Array.from({ length: 20 }, (_, at) => 80 + at * 0.2);
    const flicker = Array.from({ length: 20 }, (_, at) => 80 + (at % 2) * 8);
    expect(samplingError(drift, 100)).toBeLessThan(0.1);
    expect(samplingError(flicker, 100)).toBeGreaterThan(1);
    expect(samplingError(flicker, 20)).toBe(0);
    expect(samplingError([80], 5)).toBe(Number.POSITIVE_INFINITY);
  });
});

test('units cover the shots exactly, none longer than a segment', () => {
  const lengths = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(lengths, fc.integer({ min: 1, max: 120 }), (frames, longest) => {
      let start = 0;
      const shots = frames.map((count) => {
        start += count;
        return { start: start - count, frames: count, checksums: Array.from({ length: count }, (_, at) => start + at) };
      });
      const units = unitsOf(shots, longest);
      expect(units.flatMap((part) => part.checksums)).toEqual(shots.flatMap((shot) => shot.checksums));
      for (const [at, part] of units.entries()) {
        expect(part.frames).toBeLessThanOrEqual(longest);
        expect(part.checksums).toHaveLength(part.frames);
        expect(units[at + 1]?.start ?? start).toBe(part.start + part.frames);
      }
    }),
  );
  expect(longestUnit(4, { num: 24_000, den: 1001 })).toBe(95);
  expect(longestUnit(0.001, { num: 25, den: 1 })).toBe(1);
});
