// Chooses the rungs of a title from its allocations. Pure.
import { convexHull, type QualityPoint, slope } from './hull.ts';

/** What the ladder must keep to; qualities in points. */
export type LadderLimits = { readonly maxRungs: number; readonly qualityCap: number; readonly minimumStep: number };

/**
 * The candidates that are not beaten: cheapest first, quality strictly growing with bits.
 */
export function paretoFront<Candidate extends QualityPoint>(candidates: readonly Candidate[]): Candidate[] {
  const sorted = [...candidates].sort((a, b) => a.bits - b.bits || b.quality - a.quality);
  const front: Candidate[] = [];
  for (const candidate of sorted) {
    if (candidate.quality > (front.at(-1)?.quality ?? Number.NEGATIVE_INFINITY)) front.push(candidate);
  }
  return front;
}

/** A rung may pay this much more than the hull for its quality: less than rungs lose by lying where nothing was tried. */
const NEAR_HULL = 1.02;
/** This much below the cap still reaches it: less than the metric can tell. */
const CAP_SLACK = 0.5;

/**
 * Rungs, best first, all on or all but on the convex hull of the candidates: what lies below it pays more bits for its
 * quality than a mixture of its neighbours. The top one is the cheapest that reaches the cap, give or take half a point,
 * or the best where none does: more is not seen. Each further rung is the best that is at least `minimumStep` below the
 * one above: closer ones look alike. Never empty unless there are no candidates.
 */
export function chooseLadder<Candidate extends QualityPoint>(
  candidates: readonly Candidate[],
  limits: LadderLimits,
): Candidate[] {
  const hull = convexHull(candidates);
  const near = paretoFront(candidates).filter(({ bits, quality }) => bits <= NEAR_HULL * hullBits(hull, quality));
  const rungs: Candidate[] = [];
  let next = near.find((candidate) => candidate.quality >= limits.qualityCap - CAP_SLACK) ?? near.at(-1);
  while (next !== undefined && rungs.length < limits.maxRungs) {
    rungs.push(next);
    const { bits, quality } = next;
    next = near.findLast((candidate) => candidate.bits < bits && candidate.quality <= quality - limits.minimumStep);
  }
  return rungs;
}

/** Bits of the hull at a quality that it reaches. */
function hullBits(hull: readonly QualityPoint[], quality: number): number {
  const above = hull.findIndex((point) => point.quality >= quality);
  const [a, b] = [hull[above - 1], hull[above]];
  if (a === undefined || b === undefined) return b?.bits ?? Number.POSITIVE_INFINITY;
  return a.bits + (quality - a.quality) / slope(a, b);
}

/** Who watches: throughput is log-normal around `medianBps`, `spread` its standard deviation in natural logarithms. */
export type Audience = {
  readonly medianBps: number;
  readonly spread: number;
  /** Views of the title while it is stored: a bit that is stored must save a bit that is delivered. */
  readonly views: number;
};

/** Players take a rung when their throughput is this many times its rate. */
const HEADROOM = 1.25;

/**
 * Drops rungs that are not worth storing, best first as they came. A rung serves the viewers whose throughput carries it
 * and not the one above; without it they would get the one below. What it adds for them, in bits of the ladder's own
 * rate-quality curve over all views, must exceed the bits that it takes to store. The lowest rung stays: it is reach.
 */
export function earnStorage<Rung extends QualityPoint>(
  rungs: readonly Rung[],
  durationSeconds: number,
  audience: Audience,
): Rung[] {
  const kept = [...rungs];
  for (;;) {
    const worths = kept.slice(0, -1).map((rung, at) => {
      const above = kept[at - 1];
      const share =
        reach(rung.bits / durationSeconds, audience) -
        (above === undefined ? 0 : reach(above.bits / durationSeconds, audience));
      return (share * audience.views * (rung.bits - (kept[at + 1]?.bits ?? 0))) / rung.bits;
    });
    const least = Math.min(...worths);
    if (!(least < 1)) return kept;
    kept.splice(worths.indexOf(least), 1);
  }
}

/** Share of the audience whose throughput carries a rate. */
export function reach(bps: number, { medianBps, spread }: Audience): number {
  return 1 - normal(Math.log((bps * HEADROOM) / medianBps) / Math.max(1e-9, spread));
}

/** Distribution function of the standard normal (Abramowitz and Stegun 26.2.17, error below 1e-7). */
function normal(z: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(z));
  const poly = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  const tail = (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * poly;
  return z > 0 ? 1 - tail : tail;
}
