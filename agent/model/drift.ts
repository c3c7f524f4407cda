// Whether what is watched, or how well it is foreseen, is no longer what it was: two samples over the same ten bins in an
// order are compared by what lies on either side of each cut, which sees a change that is spread over many bins, by each bin
// and its neighbours, and by the population stability index over all; against thresholds that know how large they are.

/** Bins of every comparison. */
export const BINS = 10;
/**
 * Where each comparison alarms: standard deviations at the cut that halves both samples best (.4 % of samples without drift),
 * at any other cut (.7 % over all of them, since they hang together), of any bins beside each other (.3 %); and a point of
 * chi-square with BINS - 1 degrees of freedom (.14 %), for bins that change here and there. Such scans are of Naus (1965); the
 * shares are measured: together 1 to 1.5 % alarm without drift (test/agent/model/drift.test.ts).
 */
const MOST_AT_HALF = 2.85;
const MOST_AT_CUT = 3.25;
const MOST_BESIDE = 3.9;
const MOST_CHI2 = 27;
/** Smaller samples say nothing: the threshold is one of large samples. */
const LEAST_SAMPLE = 200;
/** Added to each bin, so that an empty one has a logarithm (Jeffreys' prior). */
const PRIOR = 0.5;

/** What of two samples differs: single bins, or what lies on either side of a cut. */
export type DriftKind = 'bins' | 'order';

/** A comparison. `ratio`: the strongest evidence of drift by what is needed of it; undefined without enough in both samples. */
export type Drift = { readonly ratio: number | undefined; readonly kind: DriftKind; readonly isDrifting: boolean };

const total = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0);

/**
 * Population stability index, sum of (p - q) ln(p / q), of two samples of n and m, by (1/n + 1/m). Without drift it is
 * distributed as chi-square with BINS - 1 degrees (Yurdakul 2018, theorem 3.2); fixed thresholds such as 0.1 are wrong by the
 * size of the samples.
 */
export function stability(reference: readonly number[], present: readonly number[]): number {
  const [n, m] = [total(reference), total(present)];
  const shareOf = (counts: readonly number[], bin: number, size: number): number =>
    ((counts[bin] ?? 0) + PRIOR) / (size + PRIOR * BINS);
  let sum = 0;
  for (let bin = 0; bin < BINS; bin += 1) {
    const [p, q] = [shareOf(reference, bin, n), shareOf(present, bin, m)];
    sum += (p - q) * Math.log(p / q);
  }
  return sum / (1 / n + 1 / m);
}

/** Standard deviations between two shares, of `before` of n and of `after` of m. */
function apart(before: number, after: number, [n, m]: readonly [number, number]): number {
  const share = (before + after) / (n + m);
  const deviation = Math.sqrt(share * (1 - share) * (1 / n + 1 / m));
  return deviation === 0 ? 0 : Math.abs(before / n - after / m) / deviation;
}

/** The largest difference of any bins beside each other, in standard deviations by what is needed of it there. */
function scanned(reference: readonly number[], present: readonly number[]): { bins: number; order: number } {
  const sizes = [total(reference), total(present)] as const;
  let half = { distance: 1, deviations: 0 };
  const most = { bins: 0, order: 0 };
  for (let first = 0; first < BINS; first += 1) {
    let [before, after] = [0, 0];
    // All bins together, and what a cut has on its other side, say nothing more.
    for (let bin = first; bin < BINS - 1; bin += 1) {
      before += reference[bin] ?? 0;
      after += present[bin] ?? 0;
      const deviations = apart(before, after, sizes);
      if (first > 0) {
        most.bins = Math.max(most.bins, deviations / MOST_BESIDE);
        continue;
      }
      most.order = Math.max(most.order, deviations / MOST_AT_CUT);
      const distance = Math.abs((before + after) / (sizes[0] + sizes[1]) - 0.5);
      if (distance < half.distance) half = { distance, deviations };
    }
  }
  return { bins: most.bins, order: Math.max(most.order, half.deviations / MOST_AT_HALF) };
}

/** Compares counts by bin; nothing is said of fewer than LEAST_SAMPLE. */
export function driftOf(reference: readonly number[], present: readonly number[]): Drift {
  if (Math.min(total(reference), total(present)) < LEAST_SAMPLE) {
    return { ratio: undefined, kind: 'bins', isDrifting: false };
  }
  const { bins: beside, order } = scanned(reference, present);
  const bins = Math.max(beside, stability(reference, present) / MOST_CHI2);
  const ratio = Math.max(bins, order);
  return { ratio, kind: bins > order ? 'bins' : 'order', isDrifting: ratio > 1 };
}

/** Bins of a rank from 1 on: each of the first four, then wider ones; 9 for what was no candidate. */
export function rankBin(rank: number | undefined): number {
  if (rank === undefined) return BINS - 1;
  const upTo = [1, 2, 3, 4, 7, 12, 25, 60];
  const bin = upTo.findIndex((last) => rank <= last);
  return bin < 0 ? BINS - 2 : bin;
}

/** Bins by title; a title that is not there belongs to the last. */
export type DemandBins = ReadonlyMap<string, number>;

/** Titles in ten groups, each of about a tenth of what is expected to be watched, most watched first. */
export function demandBins(shares: readonly { readonly titleId: string; readonly share: number }[]): DemandBins {
  const all = shares.reduce((sum, { share }) => sum + share, 0);
  const bins = new Map<string, number>();
  let before = 0;
  for (const { titleId, share } of shares) {
    const middle = (before + share / 2) / Math.max(all, Number.MIN_VALUE);
    bins.set(titleId, Math.min(BINS - 1, Math.floor(middle * BINS)));
    before += share;
  }
  return bins;
}

/** The bin of a title. */
export const binOf = (bins: DemandBins, titleId: string): number => bins.get(titleId) ?? BINS - 1;

/** Chance in 0..1, for the sample of a window. */
export type Chance = () => number;

/** What a sample holds: bins in no order, and of how many they were drawn. */
export type KeptSample = { readonly seen: number; readonly bins: readonly number[] };

/** A window's sample: at most `most` of what came, each with the same chance (Vitter 1985, algorithm R). */
export type Sample = {
  readonly counts: readonly number[];
  readonly add: (bin: number) => void;
  readonly kept: () => KeptSample;
};

/** A sample, empty or as it was kept. */
export function newSample(most: number, chance: Chance, from: KeptSample = { seen: 0, bins: [] }): Sample {
  const kept: number[] = from.bins.slice(0, most);
  const counts = new Array<number>(BINS).fill(0);
  for (const bin of kept) counts[bin] = (counts[bin] ?? 0) + 1;
  let { seen } = from;
  return {
    counts,
    kept: () => ({ seen, bins: kept.slice() }),
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
