// A token bucket over bytes that are known only after they came: what was taken too much is waited for. Pure.

/** A rate cap. `now` in milliseconds on a steady clock. */
export type Bucket = {
  /** Milliseconds until something may start; 0 when it may now. */
  readonly waitMs: (now: number) => number;
  readonly spend: (bytes: number, now: number) => void;
};

/** Fills at `bytesPerSecond` up to one second's worth; it may be overdrawn, and then waits. */
export function createBucket(bytesPerSecond: number, now: number): Bucket {
  let tokens = bytesPerSecond;
  let filledAt = now;
  const fillUp = (at: number): void => {
    tokens = Math.min(bytesPerSecond, tokens + (Math.max(0, at - filledAt) * bytesPerSecond) / 1000);
    filledAt = Math.max(filledAt, at);
  };
  return {
    waitMs: (at) => {
      fillUp(at);
      return tokens > 0 ? 0 : Math.ceil(((1 - tokens) * 1000) / bytesPerSecond);
    },
    spend: (bytes, at) => {
      fillUp(at);
      tokens -= bytes;
    },
  };
}
