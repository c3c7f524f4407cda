// Whether a server is up by the checks of its health: only so many results in a row against it change that.

/** What the checks have said; a value, never changed in place. */
export type Health = {
  readonly isUp: boolean;
  /** Results in a row that contradict isUp. */
  readonly against: number;
};

/** A server that has not been checked yet counts as up, so that a start waits for nothing. */
export const UNCHECKED: Health = { isUp: true, against: 0 };

/** The state after a check. `rise`: good ones in a row that bring it back; `fall`: failed ones that take it out. */
export function afterCheck(
  { isUp, against }: Health,
  isGood: boolean,
  { rise, fall }: { readonly rise: number; readonly fall: number },
): Health {
  if (isGood === isUp) return { isUp, against: 0 };
  return against + 1 >= (isUp ? fall : rise) ? { isUp: !isUp, against: 0 } : { isUp, against: against + 1 };
}

/** Milliseconds until the next check: `jitter` 0..1 spreads the checks of many nodes over a quarter of the interval. */
export function untilNextCheckMs(intervalMs: number, jitter: number): number {
  return intervalMs * (0.875 + jitter / 4);
}
