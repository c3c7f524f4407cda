// Stops prefetch while the origin is in trouble: viewers need what it can still give. Pure.

/** When to stop and for how long. */
export type BreakerOptions = {
  /** Latest fills that are looked at. */
  readonly window: number;
  /** Share of failures among them that opens the breaker, 0..1. */
  readonly failureRatio: number;
  /** Fewer outcomes than this never open it. */
  readonly minimum: number;
  /** Pause before one fill is tried again; doubled for each failed trial up to maxPauseMs. */
  readonly pauseMs: number;
  readonly maxPauseMs: number;
};

/** A quarter of the last 20, at least 5; 2 s to 20 s, so that service is back within 30 s. */
export const DEFAULT_BREAKER: BreakerOptions = {
  window: 20,
  failureRatio: 0.25,
  minimum: 5,
  pauseMs: 2_000,
  maxPauseMs: 20_000,
};

/** Where it stands: `trial` lets one fill through. */
export type BreakerState = 'closed' | 'open' | 'trial';

/** A breaker; `now` in milliseconds on any steady clock. */
export type Breaker = {
  readonly state: (now: number) => BreakerState;
  readonly note: (outcome: 'good' | 'bad', now: number) => void;
  /** Milliseconds until it lets something through; 0 when it does now. */
  readonly waitMs: (now: number) => number;
};

/** A closed breaker. */
export function createBreaker(options: BreakerOptions = DEFAULT_BREAKER): Breaker {
  let recent: boolean[] = [];
  let openUntil: number | undefined;
  let pauseMs = options.pauseMs;
  return {
    state: (now) => (openUntil === undefined ? 'closed' : now < openUntil ? 'open' : 'trial'),
    waitMs: (now) => (openUntil === undefined ? 0 : Math.max(0, openUntil - now)),
    note: (outcome, now) => {
      if (openUntil !== undefined) {
        // What was under way when it opened says nothing of the origin's present.
        if (now < openUntil) return;
        pauseMs = outcome === 'good' ? options.pauseMs : Math.min(options.maxPauseMs, pauseMs * 2);
        openUntil = outcome === 'good' ? undefined : now + pauseMs;
        recent = [];
        return;
      }
      recent = [...recent, outcome === 'bad'].slice(-options.window);
      const failures = recent.filter((isBad) => isBad).length;
      if (recent.length < options.minimum || failures < options.failureRatio * recent.length) return;
      openUntil = now + pauseMs;
    },
  };
}
