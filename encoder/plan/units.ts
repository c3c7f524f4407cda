// Units of encoding: a shot, or the even parts of one that is longer than a segment may be. Each is encoded on its own,
// begins with a keyframe, and gets its own share of the bits. Pure.
import { type FrameSpan, splitEvenly } from './cuts.ts';

/** A unit of a shot; `shot` is the shot's index. */
export type Unit<Shot extends FrameSpan> = Shot & { readonly shot: number };

/** Longest unit in frames at a rate; at least 1. */
export function longestUnit(segmentSeconds: number, rate: { readonly num: number; readonly den: number }): number {
  return Math.max(1, Math.floor((segmentSeconds * rate.num) / rate.den + 1e-6));
}

/** The units of all shots, in order, none longer than `longest` frames: they cover the shots exactly. */
export function unitsOf<Shot extends FrameSpan & { readonly checksums: readonly number[] }>(
  shots: readonly Shot[],
  longest: number,
): Unit<Shot>[] {
  return shots.flatMap((shot, index) =>
    splitEvenly(shot.frames, longest).map(({ start, frames }) => ({
      ...shot,
      shot: index,
      start: shot.start + start,
      frames,
      checksums: shot.checksums.slice(start, start + frames),
    })),
  );
}
