// The 99th percentile of hits over what has come since the last look, from the cumulative histogram of /metrics.
import { HISTOGRAM_SECONDS, type Histogram } from '../../cache/cache.ts';

/** Fewer hits say nothing of one in a hundred. */
const LEAST_HITS = 200;

/**
 * The 99th percentile between two readings of one histogram, seconds; within its bucket evenly spread, as Prometheus'
 * histogram_quantile() does it. Undefined when fewer than LEAST_HITS came in between; beyond the last bucket its bound.
 */
export function p99Between(before: readonly number[], after: readonly number[]): number | undefined {
  const grown = after.map((count, at) => count - (before[at] ?? 0));
  const all = grown.at(-1) ?? 0;
  if (all < LEAST_HITS) return undefined;
  const rank = 0.99 * all;
  const bucket = grown.findIndex((count) => count >= rank);
  const upper = HISTOGRAM_SECONDS[bucket];
  if (upper === undefined) return HISTOGRAM_SECONDS.at(-1);
  const lower = HISTOGRAM_SECONDS[bucket - 1] ?? 0;
  const below = grown[bucket - 1] ?? 0;
  const inside = (grown[bucket] ?? 0) - below;
  return lower + (upper - lower) * (inside > 0 ? (rank - below) / inside : 1);
}

/** Gives a function that is handed the histogram at each reading and says the p99 once enough hits have come. */
export function hitP99(): (hits: Histogram) => number | undefined {
  let before: readonly number[] = [];
  return ({ counts }) => {
    if (before.length === 0) before = [...counts];
    const p99 = p99Between(before, counts);
    if (p99 !== undefined) before = [...counts];
    return p99;
  };
}
