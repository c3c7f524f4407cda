// From the evidence of single frames to shots, and from shots to segments. Pure; everything is in whole frames.
import type { FrameEvidence } from './evidence.ts';
import { type Frames, frameAt } from './frames.ts';
import { findGradual } from './gradual.ts';

/** Frames of a shot: `start` and the next shot's start are cuts. */
export type FrameSpan = { readonly start: number; readonly frames: number };

/** Where one shot ends and the next begins: at the first frame of the next. */
export type Boundary = {
  readonly at: number;
  readonly kind: 'cut' | 'fade' | 'dissolve';
  /** How much parts the two shots; of two boundaries too near to each other the stronger stays. */
  readonly strength: number;
};

/**
 * What a hard cut must have, set on spliced titles whose frames are not those that measure it (test/bench/shots.ts):
 * this share of blocks that fit nowhere in the frame before; a residual of this share of the picture's contrast; and
 * this many times the residual of the frames around.
 */
const CUT = { novelty: 0.45, share: 0.15, prominence: 1.5 } as const;
/** Frames on each side that a cut must stand out from. */
const AROUND = 3;
/** Added to contrasts and residuals, in levels, so that noise in the dark is no evidence. */
const NOISE = { contrast: 6, residual: 1 } as const;
/** Two sides are alike when they differ by less than these shares of the jump and of the picture's contrast. */
const ALIKE = { jump: 0.35, contrast: 0.5 } as const;
/** A flash is over after this long. */
const FLASH_SECONDS = 0.3;

function isJump(evidence: Frames<FrameEvidence>, at: number): boolean {
  const frame = frameAt(evidence, at);
  if (frame === undefined || at === 0 || frame.novelty < CUT.novelty || shareOf(evidence, at) < CUT.share) return false;
  // The strongest of the frames around may be the next cut of a rapid series: the second strongest is the usual.
  const around: number[] = [];
  for (let near = Math.max(1, at - AROUND); near <= at + AROUND; near++) {
    if (near !== at) around.push(frameAt(evidence, near)?.residual ?? 0);
  }
  const usual = around.sort((one, other) => other - one)[1] ?? 0;
  return frame.residual >= CUT.prominence * (usual + NOISE.residual);
}

/** The residual as a share of the contrast of the richer of the two pictures. */
function shareOf(evidence: Frames<FrameEvidence>, at: number): number {
  const contrast = Math.max(frameAt(evidence, at)?.contrast ?? 0, frameAt(evidence, at - 1)?.contrast ?? 0);
  return (frameAt(evidence, at)?.residual ?? 0) / (contrast + NOISE.contrast);
}

/** Whether the two sides of a jump are alike within `longest` frames. */
function isFlash(evidence: Frames<FrameEvidence>, at: number, longest: number): boolean {
  const isAlike = (before: number, after: number): boolean => {
    const contrast = Math.max(frameAt(evidence, before)?.contrast ?? 0, frameAt(evidence, after)?.contrast ?? 0);
    return (
      unlikeness(evidence, before, after) < Math.min(ALIKE.jump * jump, ALIKE.contrast * (contrast + NOISE.contrast))
    );
  };
  const jump = unlikeness(evidence, at - 1, at);
  for (let reach = 1; reach < longest; reach++) {
    if (isAlike(at - 1, at + reach) || isAlike(at - 1 - reach, at)) return true;
  }
  return false;
}

/** Mean difference of two frames' thumbnails, in levels; endless where one of them is outside the title. */
function unlikeness(evidence: Frames<FrameEvidence>, one: number, other: number): number {
  const [first, second] = [frameAt(evidence, one)?.thumb, frameAt(evidence, other)?.thumb];
  if (first === undefined || second === undefined) return Number.POSITIVE_INFINITY;
  let sum = 0;
  for (let at = 0; at < first.length; at++) sum += Math.abs((first[at] ?? 0) - (second[at] ?? 0));
  return sum / first.length;
}

/** What shots must keep to, in frames. */
export type ShotLimits = { readonly framesPerSecond: number; readonly shortest: number; readonly longest: number };

/** Cuts, fades and dissolves in order, however near to each other; the first frame is none. */
export function findBoundaries(evidence: Frames<FrameEvidence>, framesPerSecond: number): Boundary[] {
  const jumps: number[] = [];
  for (let at = 1; at < evidence.length; at++) if (isJump(evidence, at)) jumps.push(at);
  const flash = Math.round(FLASH_SECONDS * framesPerSecond);
  const cuts = jumps.filter((at) => !isFlash(evidence, at, flash));
  const slow = findGradual(evidence, { framesPerSecond, jumps });
  const boundaries: Boundary[] = [
    ...cuts.map((at) => ({ at, kind: 'cut' as const, strength: 1 + shareOf(evidence, at) })),
    ...slow.map(({ at, kind }) => ({ at, kind, strength: kind === 'fade' ? 0.8 : 0.5 })),
  ];
  return boundaries.sort((one, other) => one.at - other.at || other.strength - one.strength);
}

/**
 * Shots covering all `evidence.length` frames exactly. A shot below `shortest` joins the neighbour from which a weaker
 * boundary parts it. One above `longest` is split evenly: features are means over a shot, and of an hour without a cut
 * they say little.
 */
export function planShots(evidence: Frames<FrameEvidence>, limits: ShotLimits): FrameSpan[] {
  const total = evidence.length;
  const kept = joinShort(findBoundaries(evidence, limits.framesPerSecond), total, limits.shortest);
  const edges = [0, ...kept.map((boundary) => boundary.at), total];
  return edges.slice(1).flatMap((edge, at) => {
    const start = edges[at] ?? 0;
    return splitEvenly(edge - start, limits.longest).map((part) => ({
      start: start + part.start,
      frames: part.frames,
    }));
  });
}

/** The boundaries without those that would leave a shot shorter than `shortest`, the weakest dropped first. */
function joinShort(boundaries: readonly Boundary[], total: number, shortest: number): Boundary[] {
  const kept = [...boundaries];
  for (;;) {
    const edges = [0, ...kept.map((boundary) => boundary.at), total];
    const short = kept.map((_, at) => {
      const [before = 0, own = 0, after = total] = edges.slice(at, at + 3);
      return own - before < shortest || after - own < shortest;
    });
    let weakest = -1;
    for (const [at, boundary] of kept.entries()) {
      if (short[at] === true && (weakest < 0 || boundary.strength < (kept[weakest]?.strength ?? 0))) weakest = at;
    }
    if (weakest < 0) return kept;
    kept.splice(weakest, 1);
  }
}

/** Fewest spans of at most `longest` frames that cover `frames`, their sizes at most one frame apart. */
export function splitEvenly(frames: number, longest: number): FrameSpan[] {
  const count = Math.max(1, Math.ceil(frames / longest));
  const edge = (at: number): number => Math.round((at * frames) / count);
  return Array.from({ length: count }, (_, at) => ({ start: edge(at), frames: edge(at + 1) - edge(at) }));
}
