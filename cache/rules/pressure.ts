// What a process short of memory gives up, and when it takes it back: first work for nobody in particular, then a part of
// the RAM tier.

/** How short memory is, and what of the RAM tier is left. */
export type Pressure = {
  /** Nothing begins that no viewer waits for. */
  readonly isTight: boolean;
  /** Of the configured RAM tier, 0..1. */
  readonly share: number;
};

/** Memory in use, as part of what there is, from which on work in the background waits, and to which it must fall. */
const TIGHT_RATIO = 0.85;
const RELIEVED_RATIO = 0.75;
/** From here on the RAM tier shrinks by a quarter per step; an eighth always stays, since its loss would free little. */
const SHRINK_RATIO = 0.9;
const SHRINK = 0.75;
const LEAST_SHARE = 1 / 8;
/** What it regains per step while there is room. */
const REGAIN = 1 / 64;

/** All is well. */
export const NO_PRESSURE: Pressure = { isTight: false, share: 1 };

/** The next step of a pressure, four a second; `ratio` is memory in use as part of what there is. */
export function nextPressure({ isTight, share }: Pressure, ratio: number): Pressure {
  if (ratio >= SHRINK_RATIO) return { isTight: true, share: Math.max(LEAST_SHARE, share * SHRINK) };
  if (ratio > RELIEVED_RATIO) return { isTight: isTight || ratio >= TIGHT_RATIO, share };
  return { isTight: false, share: Math.min(1, share + REGAIN) };
}
