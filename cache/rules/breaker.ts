// When an origin is left alone: opens after failures in a row, lets one request through after a pause, closes on success.

/** A breaker's state; a value, never changed in place. */
export type Breaker = {
  readonly failures: number;
  /** Closed while undefined; else when the next probe may go, milliseconds since the epoch. */
  readonly probeAt: number | undefined;
  readonly pauseMs: number;
  readonly isProbing: boolean;
};

/** Failures in a row that open it. */
export const FAILURES_TO_OPEN = 8;
/** The pause before the first probe; each failed one doubles it. */
const FIRST_PAUSE_MS = 1000;
/** The longest pause. */
export const LONGEST_PAUSE_MS = 30_000;

/** A closed breaker. */
export const CLOSED: Breaker = { failures: 0, probeAt: undefined, pauseMs: FIRST_PAUSE_MS, isProbing: false };

/** Whether a request may go to the origin now. */
export function mayPass(breaker: Breaker, nowMs: number): boolean {
  return breaker.probeAt === undefined || (!breaker.isProbing && nowMs >= breaker.probeAt);
}

/** The state after a request that mayPass allowed was sent. */
export function afterSending(breaker: Breaker): Breaker {
  return breaker.probeAt === undefined ? breaker : { ...breaker, isProbing: true };
}

/** The state after an answer that shows a working origin. */
export function afterSuccess(): Breaker {
  return CLOSED;
}

/** The state after a request ended without telling anything of the origin, as when the viewer left. */
export function afterNothing(breaker: Breaker): Breaker {
  return breaker.isProbing ? { ...breaker, isProbing: false } : breaker;
}

/** The state after a failure. `jitter` 0..1 spreads the probes of several nodes over a quarter of the pause. */
export function afterFailure(breaker: Breaker, nowMs: number, jitter: number): Breaker {
  const failures = breaker.failures + 1;
  if (breaker.probeAt !== undefined && !breaker.isProbing) return { ...breaker, failures };
  if (breaker.probeAt === undefined && failures < FAILURES_TO_OPEN) return { ...breaker, failures };
  const pauseMs = breaker.isProbing ? Math.min(breaker.pauseMs * 2, LONGEST_PAUSE_MS) : FIRST_PAUSE_MS;
  return { failures, probeAt: nowMs + pauseMs * (1 + jitter / 4), pauseMs, isProbing: false };
}
