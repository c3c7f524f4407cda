// What one small frame says about a cut before it: how much of it the frame before cannot explain even when its parts
// are moved, how its light and colours are spread, and a thumbnail for the slow changes. Pure.
import { SMALL } from './features.ts';

/** Luma at half the size of the small frame, which halves noise and quarters the search. */
const HALF = { width: SMALL.width / 2, height: SMALL.height / 2 } as const;
/** Blocks that move by themselves: 10 x 5 of them. */
const BLOCK = { width: 8, height: 9 } as const;
const COLUMNS = HALF.width / BLOCK.width;
const ROWS = HALF.height / BLOCK.height;
/** Furthest that a block is looked for, in pixels of the half frame: a tenth of its width. */
const REACH = 8;
/** Thumbnail: means of 10 x 10 pixels of luma. */
const THUMB = { width: 16, height: 9, pixels: 144 } as const;
/** Bins of the histograms: luma, then each chroma plane. */
const BINS = { luma: 32, chroma: 16 } as const;

/** Evidence of one frame against the frame before it; the first frame of a title has no differences. */
export type FrameEvidence = {
  /** Mean absolute luma difference that is left after every block was moved to where it fits best, 0..255. */
  readonly residual: number;
  /** Share of blocks that fit nowhere: what is left is more than half of the block's own contrast, 0..1. */
  readonly novelty: number;
  /** Distance of the histograms of luma and both chroma planes, 0..1. */
  readonly histogram: number;
  /** Mean length of the blocks' vectors over the longest, 0..1. */
  readonly motion: number;
  /** Mean luma 0..255, and its standard deviation. */
  readonly luma: number;
  readonly contrast: number;
  /** Contrast of the median block, 0..255: nothing is on a picture whose is near 0 but bars, text or a logo. */
  readonly detail: number;
  /** Luma of 16 x 9 parts, row by row. */
  readonly thumb: Uint8Array;
};

/** What the next frame is compared with. */
type Kept = { readonly half: Uint8Array; readonly bins: Float64Array; readonly vectors: Int8Array };

/** Compares frames in the order in which they come; `frame` holds planes Y, U, V of SMALL and is not kept. */
export function openEvidence(): (frame: Uint8Array) => FrameEvidence {
  let before: Kept | undefined;
  return (frame) => {
    const half = halve(frame);
    const bins = histogramOf(frame);
    const vectors = new Int8Array(2 * COLUMNS * ROWS);
    const { mean, deviation } = spreadOf(half);
    const contrasts = contrastsOf(half);
    const moved = before === undefined ? STILL : compensate(half, before, { vectors, contrasts, deviation });
    const histogram = before === undefined ? 0 : histogramDistance(bins, before.bins);
    const detail = contrasts.toSorted()[contrasts.length >> 1] ?? 0;
    before = { half, bins, vectors };
    return { ...moved, histogram, luma: mean, contrast: deviation, detail, thumb: thumbOf(half) };
  };
}

const STILL = { residual: 0, novelty: 0, motion: 0 } as const;

/** Means of 2 x 2 pixels. */
function halve(frame: Uint8Array): Uint8Array {
  const half = new Uint8Array(HALF.width * HALF.height);
  for (let y = 0, to = 0; y < HALF.height; y++) {
    for (let x = 0, at = 2 * y * SMALL.width; x < HALF.width; x++, at += 2, to++) {
      const below = at + SMALL.width;
      half[to] = ((frame[at] ?? 0) + (frame[at + 1] ?? 0) + (frame[below] ?? 0) + (frame[below + 1] ?? 0) + 2) >> 2;
    }
  }
  return half;
}

function spreadOf(half: Uint8Array): { mean: number; deviation: number } {
  let sum = 0;
  let squares = 0;
  for (const value of half) {
    sum += value;
    squares += value * value;
  }
  const mean = sum / half.length;
  return { mean, deviation: Math.sqrt(Math.max(0, squares / half.length - mean * mean)) };
}

function thumbOf(half: Uint8Array): Uint8Array {
  const thumb = new Uint8Array(THUMB.pixels);
  const [wide, high] = [HALF.width / THUMB.width, HALF.height / THUMB.height];
  for (let at = 0; at < thumb.length; at++) {
    const from = Math.floor(at / THUMB.width) * high * HALF.width + (at % THUMB.width) * wide;
    let sum = 0;
    for (let y = 0; y < high; y++) for (let x = 0; x < wide; x++) sum += half[from + y * HALF.width + x] ?? 0;
    thumb[at] = Math.round(sum / (wide * high));
  }
  return thumb;
}

/** Shares of the luma and chroma bins, each plane's summing to 1. */
function histogramOf(frame: Uint8Array): Float64Array {
  const bins = new Float64Array(BINS.luma + 2 * BINS.chroma);
  const pixels = SMALL.width * SMALL.height;
  const count = (from: number, to: number, place: { shift: number; offset: number }): void => {
    const share = 1 / (to - from);
    for (let at = from; at < to; at++) {
      const bin = place.offset + ((frame[at] ?? 0) >> place.shift);
      bins[bin] = (bins[bin] ?? 0) + share;
    }
  };
  count(0, pixels, { shift: 3, offset: 0 });
  count(pixels, pixels * 1.25, { shift: 4, offset: BINS.luma });
  count(pixels * 1.25, pixels * 1.5, { shift: 4, offset: BINS.luma + BINS.chroma });
  return bins;
}

/** Earth mover's distance along each plane's axis, in bins, so that a little more light is a little distance. */
function histogramDistance(bins: Float64Array, others: Float64Array): number {
  let distance = 0;
  let carried = 0;
  for (let at = 0; at < bins.length; at++) {
    if (at === BINS.luma || at === BINS.luma + BINS.chroma) carried = 0;
    carried += (bins[at] ?? 0) - (others[at] ?? 0);
    distance += Math.abs(carried) / (at < BINS.luma ? BINS.luma : BINS.chroma / 2);
  }
  return Math.min(1, distance / 3);
}

/** Vectors tried from the best so far, nearer and nearer: a small logarithmic search. */
const STEPS = [4, 2, 1] as const;
const AROUND = [
  [-1, 0],
  [1, 0],
  [0, -1],
  [0, 1],
] as const;

type Moved = Pick<FrameEvidence, 'residual' | 'novelty' | 'motion'>;

type Vector = readonly [dx: number, dy: number];

function vectorOf(vectors: Int8Array, block: number): Vector {
  return [vectors[2 * block] ?? 0, vectors[2 * block + 1] ?? 0];
}

/** Looks for every block of `half` in the frame before; writes the vectors found. */
function compensate(
  half: Uint8Array,
  before: Kept,
  own: { readonly vectors: Int8Array; readonly contrasts: Float64Array; readonly deviation: number },
): Moved {
  const { vectors, contrasts, deviation } = own;
  let residual = 0;
  let novel = 0;
  let length = 0;
  for (let block = 0; block < COLUMNS * ROWS; block++) {
    const place = { x: (block % COLUMNS) * BLOCK.width, y: Math.floor(block / COLUMNS) * BLOCK.height };
    const starts: readonly Vector[] = [
      [0, 0],
      vectorOf(before.vectors, block),
      block % COLUMNS === 0 ? [0, 0] : vectorOf(vectors, block - 1),
    ];
    const found = searchBlock(half, before.half, { ...place, starts });
    vectors[2 * block] = found.dx;
    vectors[2 * block + 1] = found.dy;
    residual += found.left;
    length += Math.hypot(found.dx, found.dy);
    if (found.left > 0.5 * ((contrasts[block] ?? 0) + 0.15 * deviation) + 1) novel += 1;
  }
  const count = COLUMNS * ROWS;
  return { residual: residual / count, novelty: novel / count, motion: Math.min(1, length / count / REACH) };
}

/** Mean absolute deviation of every block from its mean. */
function contrastsOf(half: Uint8Array): Float64Array {
  return new Float64Array(COLUMNS * ROWS).map((_, block) => {
    const first = Math.floor(block / COLUMNS) * BLOCK.height * HALF.width + (block % COLUMNS) * BLOCK.width;
    const count = BLOCK.width * BLOCK.height;
    let sum = 0;
    for (let row = 0; row < BLOCK.height; row++) {
      const at = first + row * HALF.width;
      for (let column = 0; column < BLOCK.width; column++) sum += half[at + column] ?? 0;
    }
    const mean = sum / count;
    let deviation = 0;
    for (let row = 0; row < BLOCK.height; row++) {
      const at = first + row * HALF.width;
      for (let column = 0; column < BLOCK.width; column++) deviation += Math.abs((half[at + column] ?? 0) - mean);
    }
    return deviation / count;
  });
}

type Search = { readonly x: number; readonly y: number; readonly starts: readonly Vector[] };

/** The vector under which the block differs least from the frame before, and the mean difference that is left. */
function searchBlock(half: Uint8Array, before: Uint8Array, { x, y, starts }: Search) {
  let best = { dx: 0, dy: 0, left: Number.POSITIVE_INFINITY };
  const attempt = (dx: number, dy: number): void => {
    const isOutside =
      Math.max(Math.abs(dx), Math.abs(dy)) > REACH ||
      x + dx < 0 ||
      y + dy < 0 ||
      x + dx + BLOCK.width > HALF.width ||
      y + dy + BLOCK.height > HALF.height;
    if (isOutside) return;
    const limit = best.left * BLOCK.width * BLOCK.height;
    let sum = 0;
    for (let row = 0; row < BLOCK.height && sum < limit; row++) {
      const at = (y + row) * HALF.width + x;
      const from = at + dy * HALF.width + dx;
      for (let column = 0; column < BLOCK.width; column++) {
        sum += Math.abs((half[at + column] ?? 0) - (before[from + column] ?? 0));
      }
    }
    if (sum < limit) best = { dx, dy, left: sum / (BLOCK.width * BLOCK.height) };
  };
  for (const [dx, dy] of starts) attempt(dx, dy);
  for (const step of STEPS) {
    const { dx, dy } = best;
    for (const [right, down] of AROUND) attempt(dx + right * step, dy + down * step);
  }
  return best;
}
