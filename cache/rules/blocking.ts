// Requests that an origin holds on purpose: a live playlist asked for before it is there.

/**
 * How long a blocking playlist reload may be held (draft-pantos-hls-rfc8216bis section 6.2.5.2: a server gives up after
 * three target durations); ours does not know the target duration, so that of 10 s is taken, as long as any live one.
 */
const BLOCKING_MS = 30_000;

/** Milliseconds that the origin may hold its answer, beyond the origin's own limit; 0: no longer than that. */
export function holdMsOf(resource: string): number {
  return /[?&]_HLS_msn=\d/.test(resource) ? BLOCKING_MS : 0;
}
