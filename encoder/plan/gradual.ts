// Slow transitions, by how they are made (Hampapur's production models, Alattar's variance test): in a fade detail falls
// steadily to nothing and rises again; in a dissolve every frame is a mix of the two at its ends, the share growing
// evenly, and mixing unlike pictures flattens them, so that the variance of luma sags between. Pure.
import type { FrameEvidence } from './evidence.ts';
import { type Frames, frameAt } from './frames.ts';

/** A slow transition: its frames, and the first frame that is counted to the next shot. */
export type Gradual = {
  readonly kind: 'fade' | 'dissolve';
  readonly at: number;
  readonly from: number;
  readonly to: number;
};

/** Frames a second, and the frames that differ abruptly from the one before: jumps and both ends of flashes. */
export type GradualOptions = { readonly framesPerSecond: number; readonly jumps: readonly number[] };

/** Fades and dissolves in order; none of them spans a jump. */
export function findGradual(evidence: Frames<FrameEvidence>, options: GradualOptions): Gradual[] {
  const fades = findFades(evidence, options);
  const dissolves = findDissolves(evidence, options).filter(
    (dissolve) => !fades.some((fade) => fade.from <= dissolve.to && dissolve.from <= fade.to),
  );
  return [...fades, ...dissolves].sort((one, other) => one.at - other.at);
}

/** Detail, in levels, below which a picture shows nothing, and from which a fade must come. */
const FLAT = 1;
const SHOWN = 3;
/** Luma of bars and of what is black, up to here. */
const BLACK = 20;
/** A slope of fewer frames than this is a jump. */
const SHORTEST_SLOPE = 4;
/** A flat stretch of less than this is one transition, a longer one has one on each side. */
const ONE_TRANSITION_SECONDS = 0.5;

function findFades(evidence: Frames<FrameEvidence>, { framesPerSecond, jumps }: GradualOptions): Gradual[] {
  const isFlat = (at: number): boolean => (frameAt(evidence, at)?.detail ?? Number.POSITIVE_INFINITY) < FLAT;
  const found: Gradual[] = [];
  for (let first = 1; first < evidence.length; first++) {
    if (!isFlat(first) || isFlat(first - 1)) continue;
    let next = first;
    while (isFlat(next)) next += 1;
    const start = slopeEnd(evidence, first, { step: -1, jumps });
    const end = next === evidence.length ? undefined : slopeEnd(evidence, next - 1, { step: 1, jumps });
    if (start !== undefined && end !== undefined && next - first < ONE_TRANSITION_SECONDS * framesPerSecond) {
      found.push({ kind: 'fade', at: (first + next) >> 1, from: start, to: end });
    } else {
      if (start !== undefined) found.push({ kind: 'fade', at: first, from: start, to: first });
      if (end !== undefined) found.push({ kind: 'fade', at: next, from: next, to: end });
    }
    first = next;
  }
  return found;
}

/** Where the steady slope away from a flat frame ends; undefined when there is none. */
function slopeEnd(
  evidence: Frames<FrameEvidence>,
  flat: number,
  { step, jumps }: { readonly step: 1 | -1; readonly jumps: readonly number[] },
): number | undefined {
  const detail = (at: number): number => frameAt(evidence, at)?.detail ?? 0;
  let at = flat;
  const isRising = (): boolean => Math.max(detail(at + step), detail(at + 2 * step)) > detail(at);
  while (isRising() && !jumps.includes(step > 0 ? at + 1 : at)) at += step;
  return Math.abs(at - flat) >= SHORTEST_SLOPE && detail(at) >= SHOWN ? at : undefined;
}

/** Half lengths of dissolves that are looked for. */
const HALF_SECONDS = [0.17, 0.25, 0.33, 0.5, 0.67, 0.85, 1] as const;
/** What a dissolve must keep to; set on made dissolves and on the clips without any (test/bench/shots.ts). */
const DISSOLVE = {
  /** Root mean square of the difference of the two ends, in levels. */
  difference: 8,
  /** Furthest from an even growth of the share. */
  uneven: 0.28,
  /** What no mix explains, as a share of the difference of the ends. */
  left: 0.36,
  /** How much of the sag of variance that the model foretells is there, and how deep that is at least. */
  sag: 0.5,
  depth: 0.12,
  /** Detail of the middle as a share of that of the ends: pans and passing things keep it, mixing does not. */
  detail: 0.88,
  /** Correlation of the two ends where one of them is lit: a picture that only grows lighter is like itself. */
  likeness: 0.6,
} as const;

type Candidate = { readonly at: number; readonly half: number; readonly score: number };

function findDissolves(evidence: Frames<FrameEvidence>, { framesPerSecond, jumps }: GradualOptions): Gradual[] {
  const halves = [...new Set(HALF_SECONDS.map((seconds) => Math.max(3, Math.round(seconds * framesPerSecond))))];
  const candidates: Candidate[] = [];
  let nextJump = 0;
  for (let at = 0; at < evidence.length; at++) {
    while ((jumps[nextJump] ?? Number.POSITIVE_INFINITY) <= at) nextJump += 1;
    const room = Math.min(at - (jumps[nextJump - 1] ?? 0), (jumps[nextJump] ?? evidence.length) - 1 - at);
    for (const half of halves) {
      if (half > room) break;
      const score = scoreDissolve(evidence, at, half);
      if (score > 0) candidates.push({ at, half, score });
    }
  }
  const kept: Candidate[] = [];
  for (const candidate of candidates.sort((one, other) => other.score - one.score)) {
    if (!kept.some((other) => Math.abs(other.at - candidate.at) <= other.half + candidate.half)) kept.push(candidate);
  }
  return kept.map(({ at, half }) => ({ kind: 'dissolve', at, from: at - half, to: at + half }));
}

/** 0 when frames at - half to at + half are no mix of the two at the ends, else the more the likelier. */
function scoreDissolve(evidence: Frames<FrameEvidence>, at: number, half: number): number {
  const [first, middle, last] = [frameAt(evidence, at - half), frameAt(evidence, at), frameAt(evidence, at + half)];
  if (first === undefined || middle === undefined || last === undefined) return 0;
  if (Math.min(first.detail, last.detail) < FLAT) return 0;
  const detail = (first.detail + last.detail) / 2;
  if (detail < SHOWN || middle.detail > DISSOLVE.detail * detail) return 0;
  if (correlation(first.thumb, last.thumb, BLACK) > DISSOLVE.likeness) return 0;
  const change = squares(first.thumb, last.thumb, last.thumb);
  const difference = Math.sqrt(change / first.thumb.length);
  if (difference < DISSOLVE.difference) return 0;
  const [before, after] = [first.contrast ** 2, last.contrast ** 2];
  const straight = (before + after) / 2;
  const mixed = (before + after + 2 * correlation(first.thumb, last.thumb, -1) * first.contrast * last.contrast) / 4;
  const depth = straight - mixed;
  if (depth < DISSOLVE.depth * straight) return 0;
  const sag = (straight - middle.contrast ** 2) / depth;
  if (sag < DISSOLVE.sag) return 0;
  let left = 0;
  for (let frame = at - half + 1; frame < at + half; frame++) {
    const thumb = frameAt(evidence, frame)?.thumb ?? first.thumb;
    const along = squares(first.thumb, thumb, last.thumb);
    const share = along / change;
    if (Math.abs(share - (frame - at + half) / (2 * half)) > DISSOLVE.uneven) return 0;
    left += Math.sqrt(Math.max(0, squares(first.thumb, thumb, thumb) - along * share) / change);
  }
  left /= 2 * half - 1;
  return left > DISSOLVE.left ? 0 : difference * (1 - left) * Math.sqrt(half);
}

/** Sum over all pixels of (one - origin) x (other - origin). */
function squares(origin: Uint8Array, one: Uint8Array, other: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < origin.length; at++) {
    const from = origin[at] ?? 0;
    sum += ((one[at] ?? 0) - from) * ((other[at] ?? 0) - from);
  }
  return sum;
}

/** Pearson's over the pixels of which one is above `dark`; 0 where one of the two is flat. */
function correlation(one: Uint8Array, other: Uint8Array, dark: number): number {
  let [count, sumOne, sumOther, squaresOne, squaresOther, products] = [0, 0, 0, 0, 0, 0];
  for (let at = 0; at < one.length; at++) {
    const [a, b] = [one[at] ?? 0, other[at] ?? 0];
    if (a <= dark && b <= dark) continue;
    count += 1;
    sumOne += a;
    sumOther += b;
    squaresOne += a * a;
    squaresOther += b * b;
    products += a * b;
  }
  const spread = (squaresOne - sumOne ** 2 / count) * (squaresOther - sumOther ** 2 / count);
  return spread <= 0 ? 0 : (products - (sumOne * sumOther) / count) / Math.sqrt(spread);
}
