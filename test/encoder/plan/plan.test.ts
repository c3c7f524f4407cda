// Hull, allocation, ladder and savings: properties that hold for every title.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allocate, meanQuality, uniform } from '../../../encoder/plan/allocate.ts';
import { convexHull, slope } from '../../../encoder/plan/hull.ts';
import { chooseLadder, paretoFront } from '../../../encoder/plan/ladder.ts';
import { METRICS, poolScores, toPoints } from '../../../encoder/plan/metric.ts';
import { estimateSavings } from '../../../encoder/plan/savings.ts';
import { chooseHeights, widthAt } from '../../../encoder/plan/trials.ts';

const point = fc.record({
  bits: fc.integer({ min: 1, max: 1_000_000 }),
  quality: fc.integer({ min: 0, max: 10_000 }).map((value) => value / 100),
});
const points = fc.array(point, { minLength: 1, maxLength: 12 });
const shots = fc.array(fc.record({ frames: fc.integer({ min: 1, max: 300 }), points }), { minLength: 1, maxLength: 8 });

describe('convex hull', () => {
  test('grows in bits and quality, and bends down', () => {
    fc.assert(
      fc.property(points, (all) => {
        const hull = convexHull(all);
        for (const [at, b] of hull.entries()) {
          const [a, c] = [hull[at - 1], hull[at + 1]];
          if (a === undefined) continue;
          expect(b.bits).toBeGreaterThan(a.bits);
          expect(b.quality).toBeGreaterThan(a.quality);
          if (c !== undefined) expect(slope(a, b)).toBeGreaterThan(slope(b, c));
        }
      }),
    );
  });

  test('no point lies above it', () => {
    fc.assert(
      fc.property(points, (all) => {
        const hull = convexHull(all);
        for (const p of all) {
          const after = hull.findIndex((h) => h.bits >= p.bits);
          const [a, b] = [hull[after - 1], hull[after]];
          const limit =
            b === undefined
              ? (hull.at(-1)?.quality ?? 0)
              : a === undefined
                ? b.quality
                : a.quality + slope(a, b) * (p.bits - a.bits);
          expect(p.quality).toBeLessThanOrEqual(limit + 1e-6);
        }
      }),
    );
  });

  test.each([
    ['none', [], []],
    ['one', [[5, 50]], [[5, 50]]],
    [
      'a dominated one',
      [
        [5, 50],
        [6, 40],
      ],
      [[5, 50]],
    ],
    [
      'equal bits',
      [
        [5, 40],
        [5, 50],
      ],
      [[5, 50]],
    ],
    [
      'a straight line',
      [
        [1, 10],
        [2, 20],
        [3, 30],
      ],
      [
        [1, 10],
        [3, 30],
      ],
    ],
    [
      'a dent',
      [
        [1, 10],
        [2, 11],
        [3, 30],
      ],
      [
        [1, 10],
        [3, 30],
      ],
    ],
  ])('%s', (_name, input, output) => {
    const toPoint = ([bits = 0, quality = 0]: readonly number[]) => ({ bits, quality });
    expect(convexHull(input.map(toPoint))).toEqual(output.map(toPoint));
  });
});

describe('allocation', () => {
  test('keeps every shot above the floor, unless it has no better encode', () => {
    fc.assert(
      fc.property(shots, fc.integer({ min: 0, max: 20 }), (title, drop) => {
        for (const { points: chosen, quality } of allocate(title, drop)) {
          for (const [at, p] of chosen.entries()) {
            const best = convexHull(title[at]?.points ?? []).at(-1);
            expect(p.quality >= quality - drop - 1e-9 || p === best).toBe(true);
          }
        }
      }),
    );
  });

  test('gives one trial of each shot, sums right, and rises from the cheapest to the best', () => {
    fc.assert(
      fc.property(shots, (title) => {
        const found = allocate(title, 100);
        for (const [at, allocation] of found.entries()) {
          expect(allocation.points.every((p, shot) => title[shot]?.points.includes(p))).toBe(true);
          expect(allocation.bits).toBe(allocation.points.reduce((sum, p) => sum + p.bits, 0));
          expect(allocation.quality).toBeCloseTo(meanQuality(title, allocation.points));
          const before = found[at - 1];
          if (before !== undefined) expect(allocation.quality).toBeGreaterThan(before.quality);
        }
        expect(found[0]?.points).toEqual(title.map((shot) => convexHull(shot.points)[0]));
        expect(found.at(-1)?.points).toEqual(title.map((shot) => convexHull(shot.points).at(-1)));
      }),
    );
  });

  test('is never worse than one CRF for all shots at the same bits', () => {
    fc.assert(
      fc.property(fc.array(fc.array(point, { minLength: 3, maxLength: 3 }), { minLength: 1, maxLength: 6 }), (all) => {
        const title = all.map((own) => ({ frames: 10, points: own }));
        const hull = convexHull(allocate(title, 100));
        for (const plain of uniform(title)) {
          const after = hull.findIndex((h) => h.bits >= plain.bits);
          const [a, b] = [hull[after - 1], hull[after]];
          const best = b === undefined ? hull.at(-1) : b;
          if (best === undefined) continue;
          const limit =
            a === undefined || b === undefined ? best.quality : a.quality + slope(a, b) * (plain.bits - a.bits);
          expect(plain.quality).toBeLessThanOrEqual(limit + 1e-6);
        }
      }),
    );
  });

  test('refuses a shot without trials', () => {
    expect(() => allocate([{ frames: 10, points: [] }], 4)).toThrow(RangeError);
  });
});

describe('ladder', () => {
  const limits = { maxRungs: 4, qualityCap: 95, minimumStep: 6 };

  test('steps down by at least the minimum, best first, at most maxRungs, never empty', () => {
    fc.assert(
      fc.property(points, (candidates) => {
        const rungs = chooseLadder(candidates, limits);
        expect(rungs.length).toBeGreaterThan(0);
        expect(rungs.length).toBeLessThanOrEqual(limits.maxRungs);
        for (const [at, rung] of rungs.entries()) {
          const above = rungs[at - 1];
          if (above === undefined) continue;
          expect(above.quality - rung.quality).toBeGreaterThanOrEqual(limits.minimumStep);
          expect(rung.bits).toBeLessThan(above.bits);
        }
      }),
    );
  });

  test('the top is the cheapest that reaches the cap', () => {
    const candidates = [
      { bits: 1, quality: 60 },
      { bits: 2, quality: 96 },
      { bits: 9, quality: 99 },
    ];
    expect(chooseLadder(candidates, limits).map((rung) => rung.bits)).toEqual([2, 1]);
  });

  test('the top is the best where none reaches the cap', () => {
    expect(chooseLadder([{ bits: 2, quality: 70 }], limits)).toEqual([{ bits: 2, quality: 70 }]);
  });

  test('the front grows strictly', () => {
    fc.assert(
      fc.property(points, (candidates) => {
        const front = paretoFront(candidates);
        expect(front.every((p, at) => at === 0 || p.quality > (front[at - 1]?.quality ?? 0))).toBe(true);
      }),
    );
  });
});

describe('savings', () => {
  const limits = { maxRungs: 5, qualityCap: 95, minimumStep: 6 };
  const curve = [0.3, 0.8, 2, 5, 9].map((mega, at) => ({ bits: mega * 1e6, quality: 55 + at * 11 }));

  test('parts lie in 0..1 and add up to at most the whole', () => {
    const front = fc.array(
      fc.record({ bits: fc.integer({ min: 1e5, max: 1e7 }), quality: fc.integer({ min: 1, max: 100 }) }),
      {
        minLength: 1,
        maxLength: 9,
      },
    );
    fc.assert(
      fc.property(front, front, (one, allocated) => {
        const { cap, pruning, allocation } = estimateSavings(
          { uniform: [{ height: 1080, points: one }], allocated },
          1080,
          limits,
        );
        for (const part of [cap, pruning, allocation]) expect(part).toBeGreaterThanOrEqual(-1e-9);
        expect(cap + pruning + allocation).toBeLessThanOrEqual(1 + 1e-9);
      }),
    );
  });

  test('the cap saves what lies above it, and nothing else when the allocation is the same curve', () => {
    const saved = estimateSavings({ uniform: [{ height: 1080, points: curve }], allocated: curve }, 1080, {
      ...limits,
      minimumStep: 0,
    });
    expect(saved.cap).toBeGreaterThan(0);
    expect(saved.pruning).toBeCloseTo(0);
    expect(saved.allocation).toBeCloseTo(0);
  });

  test('half the bits for the same quality is half saved', () => {
    const half = curve.map(({ bits, quality }) => ({ bits: bits / 2, quality }));
    const saved = estimateSavings({ uniform: [{ height: 1080, points: curve }], allocated: half }, 1080, {
      ...limits,
      qualityCap: 100,
      minimumStep: 0,
    });
    expect(saved.allocation).toBeCloseTo(0.5, 1);
  });

  test('claims nothing where no reference rung can be placed', () => {
    const none = { referenceBps: 0, cap: 0, pruning: 0, allocation: 0 };
    const dear = [{ bits: 9e6, quality: 50 }];
    expect(estimateSavings({ uniform: [{ height: 360, points: dear }], allocated: dear }, 360, limits)).toEqual(none);
  });
});

describe('metrics', () => {
  test.each(METRICS)('%s grows with quality and stays in 0..100', (metric) => {
    const scale = metric === 'ssim' ? 1 : 100;
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: scale, noNaN: true }),
        fc.double({ min: 0, max: scale, noNaN: true }),
        (a, b) => {
          const [low, high] = [toPoints[metric](Math.min(a, b)), toPoints[metric](Math.max(a, b))];
          expect(low).toBeLessThanOrEqual(high);
          expect(low).toBeGreaterThanOrEqual(0);
          expect(high).toBeLessThanOrEqual(100);
        },
      ),
    );
  });

  test('pools like libvmaf: harmonic mean below the mean, 5th percentile among the worst', () => {
    const pooled = poolScores([90, 80, 100, 20]);
    expect(pooled.mean).toBe(72.5);
    expect(pooled.harmonicMean).toBeCloseTo(4 / (1 / 91 + 1 / 81 + 1 / 101 + 1 / 21) - 1);
    expect(pooled.p5).toBe(20);
    expect(() => poolScores([])).toThrow(RangeError);
  });
});

describe('heights', () => {
  test.each([
    [1080, undefined, [1080, 720, 480]],
    [720, undefined, [720, 480, 360]],
    [2160, undefined, [2160, 1440, 1080]],
    [100, undefined, [100]],
    [720, [1080, 720, 360], [720, 360]],
    [300, [720], [300]],
  ])('%d lines, asked for %o', (source, wanted, expected) => {
    expect(chooseHeights(source, wanted)).toEqual(expected);
  });

  test('widths are even', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 4096 }), fc.integer({ min: 2, max: 4096 }), (width, height) => {
        expect(widthAt({ width, height }, 360) % 2).toBe(0);
      }),
    );
  });
});
