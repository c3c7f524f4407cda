// What an operator pays for: the 95th percentile of 5-minute means, and how far an estimate from a sample may be off.

/** Seconds over which traffic is averaged before the percentile is taken. */
export const BIN_SECONDS = 300;

/**
 * The 95th percentile of bytes per bin: after the highest 5 % (rounded down) are left out, the highest. 0 of nothing.
 * "95/5" as transit is billed (Dimitropoulos et al., "On the 95-percentile billing method", PAM 2009, section 2).
 */
export function percentile95(bins: Float64Array): number {
  const sorted = bins.toSorted();
  return sorted[sorted.length - 1 - Math.floor(sorted.length * 0.05)] ?? 0;
}

/** Bits per second of so many bytes in a bin. */
export const bitsPerSecond = (bytesOfBin: number): number => (bytesOfBin * 8) / BIN_SECONDS;

/** A value and where it lies with 95 % confidence, as far as the sample of keys decides. */
export type Estimate = { readonly value: number; readonly low: number; readonly high: number };

/** 97.5 % quantile of Student's t with 7 degrees of freedom: of 8 groups. */
const T_7 = 2.365;

/**
 * Delete-a-group jackknife (Kott, "The delete-a-group jackknife", Journal of Official Statistics 17(4), 2001, section 2;
 * Wolter, "Introduction to Variance Estimation", 2007, chapter 4). `replicates`: the same figure without each of 8
 * groups, weighted up by 8/7. `sampleRatio`: what part of all keys the groups are, 0 to 1; of all of them nothing is
 * uncertain (Cochran, "Sampling Techniques", 1977, section 2.6).
 */
export function jackknife(value: number, replicates: readonly number[], sampleRatio: number): Estimate {
  const mean = replicates.reduce((sum, one) => sum + one, 0) / replicates.length;
  const squares = replicates.reduce((sum, one) => sum + (one - mean) ** 2, 0);
  const variance = ((replicates.length - 1) / replicates.length) * squares * (1 - sampleRatio);
  const margin = T_7 * Math.sqrt(variance);
  return { value, low: value - margin, high: value + margin };
}
