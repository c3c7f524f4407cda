// Whether what is watched, or how well it is foreseen, is no longer what it was: two samples over the same ten bins are
// compared by the population stability index, against a threshold that knows how large they are.

/** Bins of every comparison. */
export const BINS = 10;
/** The 99 % point of chi-square with BINS - 1 degrees of freedom. */
const CHI2_99 = 21.666;
/** Smaller samples say nothing: the threshold is one of large samples. */
const LEAST_SAMPLE = 200;
/** Added to each bin, so that an empty one has a logarithm (Jeffreys' prior). */
const PRIOR = 0.5;

/** A comparison. Without enough in both samples there is no statistic, and no drift. */
export type Drift = {
  readonly statistic: number | undefined;
  readonly threshold: number;
  readonly isDrifting: boolean;
};

const total = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0);

/**
 * Population stability index, sum of (p - q) ln(p / q), of two samples of n and m. Without drift it is distributed as
 * (1/n + 1/m) chi-square with BINS - 1 degrees (Yurdakul 2018, theorem 3.2); fixed thresholds such as 0.1 are wrong by
 * the size of the samples.
 */
export function driftOf(reference: readonly number[], present: readonly number[]): Drift {
  const [n, m] = [total(reference), total(present)];
  const threshold = (1 / n + 1 / m) * CHI2_99;
  if (n < LEAST_SAMPLE || m < LEAST_SAMPLE) return { statistic: undefined, threshold, isDrifting: false };
  const shareOf = (counts: readonly number[], bin: number, size: number): number =>
    ((counts[bin] ?? 0) + PRIOR) / (size + PRIOR * BINS);
  let statistic = 0;
  for (let bin = 0; bin < BINS; bin += 1) {
    const [p, q] = [shareOf(reference, bin, n), shareOf(present, bin, m)];
    statistic += (p - q) * Math.log(p / q);
  }
  return { statistic, threshold, isDrifting: statistic > threshold };
}

/** Bins of a rank from 1 on: each of the first four, then wider ones; 9 for what was no candidate. */
export function rankBin(rank: number | undefined): number {
  if (rank === undefined) return BINS - 1;
  const upTo = [1, 2, 3, 4, 7, 12, 25, 60];
  const bin = upTo.findIndex((last) => rank <= last);
  return bin < 0 ? BINS - 2 : bin;
}

/**
 * Titles in ten groups, each of about a tenth of what is expected to be watched, most watched first; titles that are
 * not among `shares` belong to the last. Gives the group of a title.
 */
export function demandBins(
  shares: readonly { readonly titleId: string; readonly share: number }[],
): (titleId: string) => number {
  const all = shares.reduce((sum, { share }) => sum + share, 0);
  const bins = new Map<string, number>();
  let before = 0;
  for (const { titleId, share } of shares) {
    const middle = (before + share / 2) / Math.max(all, Number.MIN_VALUE);
    bins.set(titleId, Math.min(BINS - 1, Math.floor(middle * BINS)));
    before += share;
  }
  return (titleId) => bins.get(titleId) ?? BINS - 1;
}

/** Chance in 0..1, for the sample of a window. */
export type Chance = () => number;

/** A window's sample: at most `most` of what came, each with the same chance (Vitter 1985, algorithm R). */
export type Sample = { readonly counts: readonly number[]; readonly add: (bin: number) => void };

/** An empty sample. */
export function newSample(most: number, chance: Chance): Sample {
  const kept: number[] = [];
  const counts = new Array<number>(BINS).fill(0);
  let seen = 0;
  return {
    counts,
    add: (bin) => {
      seen += 1;
      const place = kept.length < most ? kept.length : Math.floor(chance() * seen);
      if (place >= most) return;
      const replaced = kept[place];
      if (replaced !== undefined) counts[replaced] = (counts[replaced] ?? 0) - 1;
      kept[place] = bin;
      counts[bin] = (counts[bin] ?? 0) + 1;
    },
  };
}
