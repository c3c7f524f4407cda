// How much a new title is asked for by its age: a prior until its own views tell.

/**
 * Hours watched of a film in its n-th week after release, week 2 being 1 (Netflix's weekly
 * top-10 lists). Past the last week the last figure halves every week.
 */
const RELEASE_DECAY = [0.89, 1, 0.34, 0.2, 0.16, 0.12] as const;
const WEEK_MS = 7 * 86_400_000;
/** A launch is over by this age: halved four times, the sixth week's .12 is below .01. */
export const LAUNCH_WINDOW_MS = 9 * WEEK_MS;

/** Expected demand of a title by its age, 1 in its best week; 0 before its release and once it is below 1 %. */
export function launchStrength(releaseAt: number, now: number): number {
  const week = Math.floor((now - releaseAt) / WEEK_MS);
  if (!(week >= 0)) return 0;
  const strength = RELEASE_DECAY[week] ?? RELEASE_DECAY[5] * 2 ** -(week - RELEASE_DECAY.length + 1);
  return strength < 0.01 ? 0 : strength;
}
