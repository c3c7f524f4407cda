// Whether a body comes fast enough: its mean over a span in which somebody was ready to take it.

/** What has come since the last judgement; a value, never changed in place. */
export type Rate = {
  readonly bytes: number;
  /** Milliseconds in which the body was let come, up to `at`. */
  readonly activeMs: number;
  /** Milliseconds on any monotonic clock. */
  readonly at: number;
  readonly isPaused: boolean;
};

/** A body that begins now. */
export function rateFrom(at: number, isPaused: boolean): Rate {
  return { bytes: 0, activeMs: 0, at, isPaused };
}

/** The same rate at a later time. */
export function rateAt(rate: Rate, at: number): Rate {
  return { ...rate, at, activeMs: rate.activeMs + (rate.isPaused ? 0 : Math.max(0, at - rate.at)) };
}

/** Milliseconds of taking that are left until the rate can be judged over `spanMs`; 0: now. */
export function untilJudged(rate: Rate, spanMs: number): number {
  return Math.max(0, spanMs - rate.activeMs);
}

/** Whether less came than `minimumBytesPerSecond` in the time that was counted. */
export function isTooSlow(rate: Rate, minimumBytesPerSecond: number): boolean {
  return rate.bytes < (minimumBytesPerSecond * rate.activeMs) / 1000;
}
