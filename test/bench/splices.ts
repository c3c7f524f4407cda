// Cuts, dissolves and fades whose places are known, made in memory of decoded small frames: two or three places of the
// clips one after the other. Seeded; what tunes and what measures comes from different seconds of the clips.

import { seededRandom } from '../../agent/train/random.ts';
import { SMALL } from '../../encoder/plan/features.ts';

/** A clip decoded once to small frames, and the frames at which its shots begin and end, transitions left out. */
export type Reel = {
  readonly frames: readonly Uint8Array[];
  readonly shots: readonly Stretch[];
  readonly name: string;
};
/** Frames from `from` up to, not including, `to`. */
export type Stretch = { readonly from: number; readonly to: number };

/** One made title: its frames, and the first frame of each piece after the first. */
export type Splice = {
  readonly kind: string;
  readonly frames: readonly Uint8Array[];
  readonly cuts: readonly number[];
};
/** One made transition: its frames, and which of them are mixed. */
export type Mixed = {
  readonly kind: 'dissolve' | 'fade';
  readonly frames: readonly Uint8Array[];
  readonly mixed: Stretch;
};

/** Which seconds of the clips: those of `tune` set the thresholds, those of `measure` are never looked at but to score. */
export type Half = 'tune' | 'measure';

/** Frames of the blocks that go to one half or the other in turn. */
const BLOCK_FRAMES = 48;
/** A piece whose first frame differs less than this from the frame before it (mean luma levels) has no cut to find. */
const VISIBLE = 3;
/** Darker than this on average is dark. */
const DARK = 70;

type Piece = { readonly reel: Reel; readonly shot: Stretch; readonly frames: readonly Uint8Array[] };
type Wanted = { readonly frames: number; readonly isDark: boolean; readonly half: Half };

/** Draws pieces of single shots from one half of the reels. */
class Drawer {
  readonly #reels: readonly Reel[];
  readonly chance: () => number;

  constructor(reels: readonly Reel[], seed: number) {
    this.#reels = reels;
    this.chance = seededRandom(seed);
  }

  between(low: number, high: number): number {
    return low + Math.floor(this.chance() * (high - low + 1));
  }

  /** A piece of another shot than those before, and one that looks different from where the last one ends. */
  draw(wanted: Wanted, before: readonly Piece[]): Piece {
    for (let attempt = 0; attempt < 10_000; attempt++) {
      const reel = this.#reels[this.between(0, this.#reels.length - 1)];
      const shot = reel?.shots[this.between(0, reel.shots.length - 1)];
      if (reel === undefined || shot === undefined || before.some((piece) => piece.shot === shot)) continue;
      const block = 2 * this.between(0, reel.frames.length / BLOCK_FRAMES / 2) + (wanted.half === 'tune' ? 0 : 1);
      const from = Math.max(block * BLOCK_FRAMES, shot.from);
      const to = Math.min((block + 1) * BLOCK_FRAMES, shot.to);
      if (to - from < wanted.frames) continue;
      const start = this.between(from, to - wanted.frames);
      const frames = reel.frames.slice(start, start + wanted.frames);
      const [first, last] = [frames[0], before.at(-1)?.frames.at(-1)];
      if (first === undefined || frames.some((frame) => contrast(frame) < 5)) continue;
      if (wanted.isDark && mean(first) > DARK) continue;
      if (last !== undefined && difference(last, first) < VISIBLE) continue;
      return { reel, shot, frames };
    }
    throw new Error('the clips have no such piece');
  }
}

const PIXELS = SMALL.width * SMALL.height;

function mean(frame: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < PIXELS; at++) sum += frame[at] ?? 0;
  return sum / PIXELS;
}

function contrast(frame: Uint8Array): number {
  const middle = mean(frame);
  let sum = 0;
  for (let at = 0; at < PIXELS; at++) sum += Math.abs((frame[at] ?? 0) - middle);
  return sum / PIXELS;
}

function difference(one: Uint8Array, other: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < PIXELS; at++) sum += Math.abs((one[at] ?? 0) - (other[at] ?? 0));
  return sum / PIXELS;
}

/** How titles with hard cuts are made. */
export type SpliceOptions = { readonly seed: number; readonly half: Half; readonly cuts: number };

/**
 * Titles of three pieces, so two cuts each: a quarter dark beside dark, a quarter with a middle of 5 to 12 frames, the
 * rest any piece after any other.
 */
export function makeSplices(reels: readonly Reel[], { seed, half, cuts }: SpliceOptions): Splice[] {
  const drawer = new Drawer(reels, seed);
  return Array.from({ length: cuts / 2 }, (_, index): Splice => {
    const kind = ['dark', 'rapid', 'any', 'any'][index % 4] ?? 'any';
    const isDark = kind === 'dark';
    const pieces: Piece[] = [];
    for (let at = 0; at < 3; at++) {
      const frames =
        at === 1 && kind === 'rapid' ? drawer.between(5, 12) : isDark ? drawer.between(8, 16) : drawer.between(16, 40);
      pieces.push(drawer.draw({ frames, isDark, half }, pieces));
    }
    const [one = 0, two = 0] = pieces.map((piece) => piece.frames.length);
    return { kind, frames: pieces.flatMap((piece) => piece.frames), cuts: [one, one + two] };
  });
}

/** `share` of the second picture over the first, plane by plane. */
function mix(one: Uint8Array, other: Uint8Array, share: number): Uint8Array {
  return one.map((value, at) => Math.round(value * (1 - share) + (other[at] ?? 0) * share));
}

const BLACK = new Uint8Array(SMALL.bytes).fill(128).fill(16, 0, PIXELS);

/** How titles with one slow transition are made. */
export type MixOptions = { readonly seed: number; readonly half: Half; readonly count: number };

/** Titles of two pieces: half dissolve into each other over 8 to 24 frames, half fade out to black and in again. */
export function makeMixed(reels: readonly Reel[], { seed, half, count }: MixOptions): Mixed[] {
  const drawer = new Drawer(reels, seed);
  return Array.from({ length: count }, (_, index): Mixed => {
    const kind = index % 2 === 0 ? 'dissolve' : 'fade';
    const length = drawer.between(8, 24);
    const one = drawer.draw({ frames: length + drawer.between(12, 20), isDark: false, half }, []);
    const two = drawer.draw({ frames: length + drawer.between(12, 20), isDark: false, half }, [one]);
    const start = one.frames.length - length;
    const out = one.frames.slice(start);
    const into = two.frames.slice(0, length);
    const share = (at: number): number => (at + 1) / (length + 1);
    const blended =
      kind === 'dissolve'
        ? out.map((frame, at) => mix(frame, into[at] ?? frame, share(at)))
        : [
            ...out.map((frame, at) => mix(frame, BLACK, share(at))),
            ...Array.from({ length: drawer.between(1, 6) }, () => BLACK),
            ...into.map((frame, at) => mix(BLACK, frame, share(at))),
          ];
    const frames = [...one.frames.slice(0, start), ...blended, ...two.frames.slice(length)];
    return { kind, frames, mixed: { from: start, to: start + blended.length } };
  });
}

/** Titles of one piece with a photographic flash of 1 to 3 frames in it: no cut is in them. */
export function makeFlashes(reels: readonly Reel[], { seed, half, count }: MixOptions): Splice[] {
  const drawer = new Drawer(reels, seed);
  const white = new Uint8Array(SMALL.bytes).fill(128).fill(235, 0, PIXELS);
  return Array.from({ length: count }, (): Splice => {
    const { frames } = drawer.draw({ frames: drawer.between(24, 40), isDark: false, half }, []);
    const [from, length, share] = [drawer.between(6, 12), drawer.between(1, 3), 0.4 + drawer.chance() / 2];
    const lit = frames.map((frame, at) => (at >= from && at < from + length ? mix(frame, white, share) : frame));
    return { kind: 'flash', frames: lit, cuts: [] };
  });
}
