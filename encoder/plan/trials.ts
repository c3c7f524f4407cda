// Which trial encodes a title gets: heights, sizes, and what a trial costs. Pure.

/** Heights that players and people know. */
const STANDARD_HEIGHTS = [2160, 1440, 1080, 720, 480, 360, 240, 144];
/** The next height is at most this much of the one above, so that two are worth their trials. */
const HEIGHT_STEP = 0.76;
const MOST_HEIGHTS = 3;

/**
 * Heights to try, best first: those asked for that are not above the source (rounded to even), or, when none is asked
 * for, the source's own and the next two standard ones below. Never empty.
 */
export function chooseHeights(sourceHeight: number, wanted: readonly number[] | undefined): number[] {
  if (wanted !== undefined) {
    const fitting = [...new Set(wanted.map(even))].filter((height) => height <= sourceHeight).sort((a, b) => b - a);
    return fitting.length > 0 ? fitting : [even(sourceHeight)];
  }
  const heights = [even(sourceHeight)];
  for (const height of STANDARD_HEIGHTS) {
    if (heights.length < MOST_HEIGHTS && height <= (heights.at(-1) ?? 0) * HEIGHT_STEP) heights.push(height);
  }
  return heights;
}

/** Width that keeps the picture's shape at this height, even. */
export function widthAt(source: { readonly width: number; readonly height: number }, height: number): number {
  return Math.max(2, even((source.width * height) / source.height));
}

function even(pixels: number): number {
  return Math.round(pixels / 2) * 2;
}

/**
 * Relative CPU cost of one trial: encoding its pixels, and scoring at the source's size, which dominates (x264 veryfast
 * 1.06 and libvmaf 2.37 * 0.44 CPU-seconds for 100 frames of 720p).
 */
export function trialCost(frames: number, trialPixels: number, sourcePixels: number): number {
  return frames * (1.06 * trialPixels + 1.35 * sourcePixels);
}
