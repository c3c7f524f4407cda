// Chooses the rungs of a title from its allocations. Pure.
import { convexHull, type QualityPoint } from './hull.ts';

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

/**
 * Rungs, best first, all on the convex hull of the candidates: what lies below it pays more bits for its quality than a
 * mixture of its neighbours. The top one is the cheapest that reaches the cap, or the best where none does: more is
 * not seen. Each further rung is the best that is at least `minimumStep` below the one above: closer ones look alike.
 * Never empty unless there are no candidates.
 */
export function chooseLadder<Candidate extends QualityPoint>(
  candidates: readonly Candidate[],
  limits: LadderLimits,
): Candidate[] {
  const hull = convexHull(candidates);
  const rungs: Candidate[] = [];
  let next = hull.find((candidate) => candidate.quality >= limits.qualityCap) ?? hull.at(-1);
  while (next !== undefined && rungs.length < limits.maxRungs) {
    rungs.push(next);
    const { bits, quality } = next;
    next = hull.findLast((candidate) => candidate.bits < bits && candidate.quality <= quality - limits.minimumStep);
  }
  return rungs;
}
