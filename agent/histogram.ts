// Durations counted into the buckets that /metrics shows.
import { HISTOGRAM_SECONDS } from '../cache/cache.ts';

/** A cumulative histogram that still counts: counts[i] observations were <= HISTOGRAM_SECONDS[i]; the last is all. */
export type Observed = { readonly counts: number[]; sum: number };

/** An empty histogram over HISTOGRAM_SECONDS. */
export const newHistogram = (): Observed => ({
  counts: new Array<number>(HISTOGRAM_SECONDS.length + 1).fill(0),
  sum: 0,
});

/** Adds one duration in seconds. */
export function observe(histogram: Observed, seconds: number): void {
  histogram.sum += seconds;
  for (let i = 0; i < histogram.counts.length; i += 1) {
    if (seconds <= (HISTOGRAM_SECONDS[i] ?? Number.POSITIVE_INFINITY))
      histogram.counts[i] = (histogram.counts[i] ?? 0) + 1;
  }
}
