// What the ladder saves against a fixed one, by cause, estimated from the title's own trials. Pure.
import type { QualityPoint } from './hull.ts';
import { type LadderLimits, paretoFront } from './ladder.ts';

/** The rungs of Apple's HLS authoring specification for H.264 (30 frames a second and below). */
export const FIXED_LADDER: readonly { readonly bitrateBps: number; readonly height: number }[] = [
  { bitrateBps: 7_800_000, height: 1080 },
  { bitrateBps: 6_000_000, height: 1080 },
  { bitrateBps: 4_500_000, height: 720 },
  { bitrateBps: 3_000_000, height: 720 },
  { bitrateBps: 2_000_000, height: 540 },
  { bitrateBps: 1_100_000, height: 432 },
  { bitrateBps: 730_000, height: 432 },
  { bitrateBps: 365_000, height: 360 },
];

/** Bits saved, as ratios of the reference's; they add up to the whole saving. */
export type Savings = {
  readonly referenceBps: number;
  readonly cap: number;
  readonly pruning: number;
  readonly allocation: number;
};

/** Trial results of a title, as whole-title points in bits a second. */
export type TitleCurves = {
  /** One CRF for all shots, per height. */
  readonly uniform: readonly { readonly height: number; readonly points: readonly QualityPoint[] }[];
  /** Allocations per shot, over all heights. */
  readonly allocated: readonly QualityPoint[];
};

/**
 * Compares sessions spread evenly over the rungs of Apple's fixed ladder that fit the source with the same sessions on
 * ours, at the same quality or the cap:
 * - a reference rung's quality is read off the one-CRF curve of the nearest tried height at its bitrate;
 * - `cap`: bits that curve saves by stopping at the cap;
 * - `pruning`: rungs that the cap brought within minimumStep of a cheaper rung deliver that rung instead;
 * - `allocation`: what is left, delivered at the same quality from the per-shot curve (choice of height included).
 * Curves are interpolated in log bits and never extrapolated: a reference rung that no trial brackets is left out, and
 * with none left all is 0. Fixed rungs are two-pass VBR in practice, which this takes as equal to one CRF per title.
 */
export function estimateSavings(curves: TitleCurves, sourceHeight: number, limits: LadderLimits): Savings {
  const rungs = FIXED_LADDER.filter((rung) => rung.height <= sourceHeight).flatMap((rung) => {
    const tried = [...curves.uniform].sort(
      (a, b) => Math.abs(a.height - rung.height) - Math.abs(b.height - rung.height),
    );
    const curve = paretoFront(tried[0]?.points ?? []);
    const quality = qualityAt(curve, rung.bitrateBps, limits.qualityCap);
    if (quality === undefined) return [];
    const capped = Math.min(quality, limits.qualityCap);
    return [{ bps: rung.bitrateBps, quality: capped, cappedBps: Math.min(rung.bitrateBps, bitsAt(curve, capped)) }];
  });
  const referenceBps = Math.round(sum(rungs.map((rung) => rung.bps)));
  if (referenceBps === 0) return { referenceBps: 0, cap: 0, pruning: 0, allocation: 0 };
  const cheapestFirst = [...rungs].sort((a, b) => a.quality - b.quality || a.cappedBps - b.cappedBps);
  const kept: (typeof rungs)[number][] = [];
  const delivered = cheapestFirst.map((rung) => {
    const below = kept.at(-1);
    if (below !== undefined && rung.quality - below.quality < limits.minimumStep) return below;
    kept.push(rung);
    return rung;
  });
  const allocated = paretoFront(curves.allocated);
  const capped = sum(rungs.map((rung) => rung.cappedBps));
  const pruned = sum(delivered.map((rung) => rung.cappedBps));
  const final = sum(delivered.map((rung) => Math.min(rung.cappedBps, bitsAt(allocated, rung.quality))));
  return {
    referenceBps,
    cap: (referenceBps - capped) / referenceBps,
    pruning: (capped - pruned) / referenceBps,
    allocation: (pruned - final) / referenceBps,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Quality at a bitrate; undefined outside the curve, unless the curve's best already reaches the cap. */
function qualityAt(front: readonly QualityPoint[], bits: number, cap: number): number | undefined {
  const above = front.findIndex((point) => point.bits >= bits);
  if (above === 0 && (front[0]?.bits ?? 0) > bits) return undefined;
  const [a, b] = [front[above - 1], front[above]];
  const best = front.at(-1)?.quality ?? 0;
  if (b === undefined) return best >= cap ? best : undefined;
  if (a === undefined) return b.quality;
  return a.quality + ((b.quality - a.quality) * Math.log(bits / a.bits)) / Math.log(b.bits / a.bits);
}

/** Bits for a quality; the cheapest point's where less is asked, Infinity where the curve does not reach it. */
function bitsAt(front: readonly QualityPoint[], quality: number): number {
  const above = front.findIndex((point) => point.quality >= quality);
  const [a, b] = [front[above - 1], front[above]];
  if (b === undefined) return Number.POSITIVE_INFINITY;
  if (a === undefined) return b.bits;
  return Math.exp(Math.log(a.bits) + (Math.log(b.bits / a.bits) * (quality - a.quality)) / (b.quality - a.quality));
}
