// A token bucket: how much of something may be taken on the mean, with one second's worth at once. It may go into debt, so
// that what is only known afterwards, such as the bytes of an answer, is paid off before more is given.

/** What is there to take; a value, never changed in place. Below 0: a debt. */
export type Bucket = {
  readonly tokens: number;
  /** Milliseconds on any monotonic clock. */
  readonly at: number;
};

/** The longest time that somebody is told to wait. */
const LONGEST_WAIT_SECONDS = 60;

/** A full bucket. */
export function openBucket(perSecond: number, nowMs: number): Bucket {
  return { tokens: mostOf(perSecond), at: nowMs };
}

/** One second's worth, and never less than one. */
function mostOf(perSecond: number): number {
  return Math.max(1, perSecond);
}

/** The bucket as it is now, with `most` tokens when it is full: one second's worth, or what is said. */
export function bucketAt(
  { tokens, at }: Bucket,
  perSecond: number,
  nowMs: number,
  most: number = mostOf(perSecond),
): Bucket {
  const grown = tokens + (perSecond * Math.max(0, nowMs - at)) / 1000;
  return { tokens: Math.min(most, grown), at: nowMs };
}

/** Whole seconds until there are `least` tokens again, 1..60; 0 when they are there. */
export function waitSeconds({ tokens }: Bucket, perSecond: number, least: number): number {
  if (tokens >= least) return 0;
  return Math.min(LONGEST_WAIT_SECONDS, Math.max(1, Math.ceil((least - tokens) / perSecond)));
}

/** The bucket without what was taken. */
export function afterTaking(bucket: Bucket, amount: number): Bucket {
  return { ...bucket, tokens: bucket.tokens - amount };
}
