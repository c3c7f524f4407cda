// How many trials a shot may have when the title must be ready by a time. Pure: costs are in units of trialCost().

/** What one shot costs: with every trial, and with one encode at each height. */
export type ShotCosts = { readonly full: number; readonly least: number };

/** Where a job stands when the trials of one more shot are chosen. */
export type Standing = {
  /** Until the deadline; may be negative. */
  readonly leftSeconds: number;
  /** Units done, and seconds of wall-clock time that they took; 0 before the first. */
  readonly doneCost: number;
  readonly spentSeconds: number;
  /** Units a second to be expected of this host before it has shown what it can do. */
  readonly expectedSpeed: number;
  /** Units that were begun and are not done, of the other shots at their least, and of what comes after all trials. */
  readonly otherCost: number;
};

/** A host's own speed counts as much as what was expected of it after this many seconds. */
const PRIOR_SECONDS = 2;
/** Of the time that is left, only this much is planned with: the last shot ends when it ends. */
const SAFETY_RATIO = 0.85;

/** All trials of the shot if there is time for them and for the least of everything else; otherwise the least. */
export function gridWithin({ full }: ShotCosts, standing: Standing): 'full' | 'least' {
  const { leftSeconds, doneCost, spentSeconds, expectedSpeed, otherCost } = standing;
  if (leftSeconds === Number.POSITIVE_INFINITY) return 'full';
  const speed = (doneCost + expectedSpeed * PRIOR_SECONDS) / (spentSeconds + PRIOR_SECONDS);
  return full + otherCost <= speed * leftSeconds * SAFETY_RATIO ? 'full' : 'least';
}

/** Units of trialCost() in a CPU-second: it is in CPU-seconds for 100 frames of 720p. */
export const COST_PER_CPU_SECOND = 100 * 1280 * 720;

/** Package and check after the trials: audio, and decoding every rendition once, a third of an encode each. */
export function tailCost(frames: number, sourcePixels: number): number {
  return frames * sourcePixels;
}
