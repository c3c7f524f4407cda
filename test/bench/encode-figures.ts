// The figures of bench:encode, from measured points. Pure.
import type { TitlePoint } from './encode-baselines.ts';
import { bdRate, interpolate, overlapOf, type RatePoint } from './encode-bd.ts';

/** All that is measured of one clip. */
export type Measured = {
  readonly clip: string;
  readonly isSingle: boolean;
  readonly seconds: number;
  readonly ours: { readonly rungs: readonly TitlePoint[]; readonly cpu: number; readonly trials: number };
  readonly fixed: readonly TitlePoint[];
  readonly hull: readonly TitlePoint[];
  readonly grid: readonly RatePoint[];
  readonly perShotTarget: readonly TitlePoint[];
  readonly perTitleTarget: readonly TitlePoint[];
};

/** In the order in which they are shown. */
export const FIGURE_NAMES = [
  ...(['bd_vs_ladder_mean', 'bd_vs_ladder_neg', 'bd_vs_ladder_psnr', 'bd_vs_hull_mean', 'bd_vs_hull_p5'] as const),
  ...(['bd_vs_target_mean', 'delivered_saving', 'cap_saving', 'pruning_saving', 'allocation_saving'] as const),
  ...(['cost_vs_ladder', 'cost_vs_search', 'loss_vs_grid'] as const),
] as const;

/** Percent, negative for fewer bits; ratios for costs. */
export type Figures = Readonly<Record<(typeof FIGURE_NAMES)[number], number>>;

/** Cap and step of a job's defaults. */
const CAP = 95;
const JND = 6;
/** Reaching a quality but for this much counts as reaching it: less than the metric can tell. */
const SLACK = 0.5;

const curve = (points: readonly TitlePoint[], of: (point: TitlePoint) => number): RatePoint[] =>
  points.map((point) => ({ bits: point.bits, quality: of(point) }));
const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

/**
 * A dense curve read at the qualities of a ladder, so that both are as sparse: a handful of rungs joined by a spline
 * would otherwise lose against any hull of many points, itself included.
 */
function readAt<Point extends RatePoint>(
  points: readonly Point[],
  rungs: readonly TitlePoint[],
  of: (p: Point) => number,
) {
  const bits = points.map((point) => ({ x: point.quality, y: Math.log(point.bits) }));
  const values = points.map((point) => ({ x: point.quality, y: of(point) }));
  const [low, high] = [points[0]?.quality ?? 0, points.at(-1)?.quality ?? 0];
  return rungs
    .filter(({ vmaf }) => vmaf >= low && vmaf <= high)
    .map(({ vmaf }) => ({ bits: Math.exp(interpolate(bits, vmaf)), quality: interpolate(values, vmaf) }));
}

/** The figures of one clip. */
export function figuresOf(clip: Measured): Figures {
  const { rungs } = clip.ours;
  const mean = curve(rungs, (point) => point.vmaf);
  const hull = clip.hull.map((point) => ({ ...point, quality: point.vmaf }));
  const delivered = deliveredOf(clip);
  return {
    bd_vs_ladder_mean: bdRate(
      curve(clip.fixed, (point) => point.vmaf),
      mean,
    ),
    bd_vs_ladder_neg: bdRate(
      curve(clip.fixed, (point) => point.neg),
      curve(rungs, (point) => point.neg),
    ),
    bd_vs_ladder_psnr: bdRate(
      curve(clip.fixed, (point) => point.psnr),
      curve(rungs, (point) => point.psnr),
    ),
    bd_vs_hull_mean: bdRate(
      readAt(hull, rungs, (point) => point.vmaf),
      mean,
    ),
    bd_vs_hull_p5: bdRate(
      readAt(hull, rungs, (point) => point.p5),
      curve(rungs, (point) => point.p5),
    ),
    bd_vs_target_mean: bdRate(
      curve(clip.perShotTarget, (point) => point.vmaf),
      mean,
    ),
    delivered_saving: delivered.all * 100,
    cap_saving: delivered.cap * 100,
    pruning_saving: delivered.pruning * 100,
    allocation_saving: delivered.allocation * 100,
    cost_vs_ladder: clip.ours.cpu / total(clip.fixed.map((point) => point.cpu)),
    cost_vs_search: clip.ours.cpu / total(clip.perShotTarget.map((point) => point.cpu)),
    loss_vs_grid: bdRate(
      readAt(clip.grid, rungs, (point) => point.quality),
      mean,
    ),
  };
}

/** How much of the fixed ladder's range of quality the comparison covers. */
export function coverageOf({ fixed, ours }: Measured): number {
  return overlapOf(
    curve(fixed, (point) => point.vmaf),
    curve(ours.rungs, (point) => point.vmaf),
  );
}

/** Ratios of the fixed ladder's bits. */
export type Delivered = {
  readonly all: number;
  readonly cap: number;
  readonly pruning: number;
  readonly allocation: number;
};

/**
 * Sessions spread evenly over the fixed rungs, each given the same quality, or the cap, from our ladder: `cap` is what
 * the fixed ladder's own curve would save by stopping at the cap, `pruning` what is saved where rungs within one JND
 * deliver the cheaper one, `allocation` the rest. Our rungs stand for themselves: a session gets the cheapest one that
 * is as good, or bits in between where none is but the curve goes on.
 */
export function deliveredOf({ fixed, ours }: Pick<Measured, 'fixed' | 'ours'>): Delivered {
  const knots = [...fixed]
    .sort((a, b) => a.bits - b.bits)
    .filter((point, at, all) => all.slice(0, at).every((before) => before.vmaf < point.vmaf))
    .map((point) => ({ x: point.vmaf, y: Math.log(point.bits) }));
  const fixedBits = (quality: number): number => Math.exp(interpolate(knots, quality));
  const rungs = [...ours.rungs].sort((a, b) => a.bits - b.bits);
  const ourBits = (quality: number): number =>
    rungs.find((rung) => rung.vmaf >= quality - SLACK)?.bits ??
    (rungs.at(-1)?.bits ?? 0) * (fixedBits(quality) / fixedBits(rungs.at(-1)?.vmaf ?? quality));
  const sessions = fixed
    .map((point) => ({ bits: point.bits, quality: Math.min(point.vmaf, CAP) }))
    .map((one) => ({ ...one, capped: Math.min(one.bits, fixedBits(one.quality)) }))
    .sort((a, b) => a.quality - b.quality || a.capped - b.capped);
  const kept: (typeof sessions)[number][] = [];
  const pruned = sessions.map((one) => {
    const below = kept.at(-1);
    if (below !== undefined && one.quality - below.quality < JND) return below;
    kept.push(one);
    return one;
  });
  const all = total(sessions.map((one) => one.bits));
  const capped = total(sessions.map((one) => one.capped));
  const afterPruning = total(pruned.map((one) => one.capped));
  const final = total(pruned.map((one) => ourBits(one.quality)));
  return {
    all: (all - final) / all,
    cap: (all - capped) / all,
    pruning: (capped - afterPruning) / all,
    allocation: (afterPruning - final) / all,
  };
}

/** Mean of each figure. */
export function meanFigures(all: readonly Figures[]): Figures {
  const of = (name: keyof Figures): number => total(all.map((one) => one[name])) / all.length;
  return {
    bd_vs_ladder_mean: of('bd_vs_ladder_mean'),
    bd_vs_ladder_neg: of('bd_vs_ladder_neg'),
    bd_vs_ladder_psnr: of('bd_vs_ladder_psnr'),
    bd_vs_hull_mean: of('bd_vs_hull_mean'),
    bd_vs_hull_p5: of('bd_vs_hull_p5'),
    bd_vs_target_mean: of('bd_vs_target_mean'),
    delivered_saving: of('delivered_saving'),
    cap_saving: of('cap_saving'),
    pruning_saving: of('pruning_saving'),
    allocation_saving: of('allocation_saving'),
    cost_vs_ladder: of('cost_vs_ladder'),
    cost_vs_search: of('cost_vs_search'),
    loss_vs_grid: of('loss_vs_grid'),
  };
}

/** Goals of each figure: at most, but for delivered_saving, which is at least. */
export const GOALS: Readonly<Partial<Record<keyof Figures, number>>> = {
  bd_vs_ladder_mean: -15,
  bd_vs_ladder_neg: -8,
  bd_vs_ladder_psnr: -8,
  bd_vs_hull_mean: -4,
  bd_vs_hull_p5: -10,
  bd_vs_target_mean: -15,
  delivered_saving: 40,
  cost_vs_ladder: 2,
  cost_vs_search: 1 / 3,
  loss_vs_grid: 1,
};
