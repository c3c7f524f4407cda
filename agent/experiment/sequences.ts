// Confidence sequences: intervals that hold at every time at once, so that looking daily, or stopping when one likes what
// one sees, costs nothing. Pure.

/** Sums of a sample: enough for its mean and its variance. */
export type Sums = { readonly count: number; readonly sum: number; readonly squares: number };

/** An interval around an estimate. */
export type Interval = { readonly estimate: number; readonly low: number; readonly high: number };

/** Sums of values. */
export function sumsOf(values: Iterable<number>): Sums {
  let count = 0;
  let sum = 0;
  let squares = 0;
  for (const value of values) {
    count += 1;
    sum += value;
    squares += value * value;
  }
  return { count, sum, squares };
}

/** Sample at which the sequence is tightest, unless a caller plans for another. */
const PLANNED_COUNT = 5_000;

/** Mean of a sample; 0 of an empty one. */
export const meanOf = ({ count, sum }: Sums): number => (count === 0 ? 0 : sum / count);

/** Unbiased variance of a sample; 0 of fewer than two. */
export function varianceOf({ count, sum, squares }: Sums): number {
  return count < 2 ? 0 : Math.max(0, (squares - (sum * sum) / count) / (count - 1));
}

/**
 * The parameter rho with which the sequence is tightest at `count` values of unit variance (Waudby-Smith, Arbour, Sinha,
 * Kennedy and Ramdas 2024, "Time-uniform central limit theory and asymptotic confidence sequences", appendix B.2).
 */
export function tightestAt(count: number, alpha: number): number {
  return Math.sqrt((-2 * Math.log(alpha) + Math.log(-2 * Math.log(alpha) + 1)) / count);
}

/**
 * Half the width of the asymptotic confidence sequence at level 1 - `alpha` (their theorem 2.2):
 * deviation * sqrt(2 (t rho^2 + 1) / (t^2 rho^2) * ln(sqrt(t rho^2 + 1) / alpha)). Infinite of fewer than two values.
 */
export function sequenceRadius(
  { count, variance }: { readonly count: number; readonly variance: number },
  alpha: number,
  plannedCount = PLANNED_COUNT,
): number {
  if (count < 2) return Number.POSITIVE_INFINITY;
  const rho = tightestAt(plannedCount, alpha) ** 2;
  const grown = count * rho + 1;
  return Math.sqrt(variance * ((2 * grown) / (count * count * rho)) * Math.log(Math.sqrt(grown) / alpha));
}

/** Sequence of a mean. */
export function meanSequence(sums: Sums, alpha: number, plannedCount = PLANNED_COUNT): Interval {
  const estimate = meanOf(sums);
  const radius = sequenceRadius({ count: sums.count, variance: varianceOf(sums) }, alpha, plannedCount);
  return { estimate, low: estimate - radius, high: estimate + radius };
}

/**
 * Sequence of the difference of two means, `treated` - `control`, of samples that grow at a constant ratio: that of the
 * mean of treated / share - control / (1 - share) over all units, whose variance per unit is
 * n (variance_1 / n_1 + variance_0 / n_0).
 */
export function differenceSequence(
  treated: Sums,
  control: Sums,
  alpha: number,
  plannedCount = PLANNED_COUNT,
): Interval {
  const estimate = meanOf(treated) - meanOf(control);
  if (treated.count < 2 || control.count < 2)
    return { estimate, low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY };
  const count = treated.count + control.count;
  const variance = count * (varianceOf(treated) / treated.count + varianceOf(control) / control.count);
  const radius = sequenceRadius({ count, variance }, alpha, plannedCount);
  return { estimate, low: estimate - radius, high: estimate + radius };
}
