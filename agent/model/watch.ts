// Watches for drift, a day at a time: what is watched, by how popular it was before, and where the titles that were
// opened stood in the ranking. Each day is compared with the day before. Holds counts of titles, nothing of a viewer.
import { dayOf } from '../state-schema.ts';
import {
  binOf,
  type Chance,
  type DemandBins,
  type Drift,
  demandBins,
  driftOf,
  type KeptSample,
  newSample,
  type Sample,
} from './drift.ts';

/** What is watched. `demand`: plays by the titles' popularity before; `rank`: the ranks of what was opened. */
export const WATCHED = ['demand', 'rank'] as const;
/** One of WATCHED. */
export type Watched = (typeof WATCHED)[number];

/** What of a watch outlives the process. Bins are titles by their bin. */
export type KeptDrift = {
  readonly version: 1;
  readonly day: number;
  readonly trust: number;
  readonly windows: Readonly<Record<Watched, KeptWindows>>;
  readonly own: readonly (readonly string[])[] | undefined;
  readonly former: readonly (readonly string[])[] | undefined;
};

type KeptWindows = {
  readonly reference: KeptSample | undefined;
  readonly present: KeptSample;
  readonly own: KeptSample;
};

/** What openDriftWatch() needs. */
export type DriftWatchOptions = {
  /** Expected shares of the region's next views, largest first. */
  readonly shares: () => readonly { readonly titleId: string; readonly share: number }[];
  /** A title that came out lately: its rise is foreseen apart, and is no drift. */
  readonly isLaunch: (titleId: string) => boolean;
  readonly chance: Chance;
  readonly now: () => number;
  readonly onDrift: (what: Watched, drift: Drift) => void;
  /** As it was kept; of a day before yesterday's only the trust counts, since days are compared with the day before. */
  readonly kept?: KeptDrift | undefined;
};

/** A watch over drift. */
export type DriftWatch = {
  readonly played: (titleId: string) => void;
  /** The bin of a rank, by rankBin(). */
  readonly ranked: (bin: number) => void;
  /** Closes the window when its day is over. Every minute. */
  readonly sweep: () => void;
  /** The last comparison of each; undefined before the first. */
  readonly last: () => Readonly<Record<Watched, Drift | undefined>>;
  /** How far forecasts are to be trusted, 1 at most: halved by a day of drift, doubled by a day without. */
  readonly trust: () => number;
  readonly kept: () => KeptDrift;
};

/** Of a window so many are compared: then a shift of a tenth is found, and no smaller one matters. */
const WINDOW_SAMPLE = 2_000;
const LEAST_TRUST = 0.125;

/** Of one figure: this window in the bins of the one before, and in its own, for the next. */
type Windows = { reference: Sample | undefined; present: Sample; own: Sample };

const listed = (bins: DemandBins | undefined): KeptDrift['own'] => {
  if (bins === undefined) return undefined;
  const lists: string[][] = [];
  for (const [titleId, bin] of bins) {
    lists[bin] ??= [];
    lists[bin].push(titleId);
  }
  return Array.from(lists, (list) => list ?? []);
};

const unlisted = (lists: KeptDrift['own']): DemandBins | undefined =>
  lists && new Map(lists.flatMap((list, bin) => list.map((titleId) => [titleId, bin] as const)));

/** Opens it; the first comparison is at the end of the second day. */
export function openDriftWatch(options: DriftWatchOptions): DriftWatch {
  const { chance, now, isLaunch } = options;
  const kept = options.kept !== undefined && dayOf(now()) - options.kept.day <= 1 ? options.kept : undefined;
  const sampleOf = (from?: KeptSample): Sample => newSample(WINDOW_SAMPLE, chance, from);
  const openWindows = (what: Watched): Windows => {
    const from = kept?.windows[what];
    const reference = from?.reference && sampleOf(from.reference);
    return { reference, present: sampleOf(from?.present), own: sampleOf(from?.own) };
  };
  const windows: Readonly<Record<Watched, Windows>> = { demand: openWindows('demand'), rank: openWindows('rank') };
  const last: Record<Watched, Drift | undefined> = { demand: undefined, rank: undefined };
  let day = kept?.day ?? dayOf(now());
  let ownBins = unlisted(kept?.own);
  let formerBins = unlisted(kept?.former);
  let trust = options.kept?.trust ?? 1;

  const close = (what: Watched): boolean => {
    const { reference, present, own } = windows[what];
    const drift = reference === undefined ? undefined : driftOf(reference.counts, present.counts);
    last[what] = drift;
    Object.assign(windows[what], { reference: own, present: sampleOf(), own: sampleOf() });
    if (drift?.isDrifting !== true) return false;
    options.onDrift(what, drift);
    return true;
  };
  const keptOf = (what: Watched): KeptWindows => {
    const { reference, present, own } = windows[what];
    return { reference: reference?.kept(), present: present.kept(), own: own.kept() };
  };
  return {
    played: (titleId) => {
      if (isLaunch(titleId)) return;
      ownBins ??= demandBins(options.shares());
      windows.demand.present.add(binOf(formerBins ?? ownBins, titleId));
      windows.demand.own.add(binOf(ownBins, titleId));
    },
    ranked: (bin) => {
      windows.rank.present.add(bin);
      windows.rank.own.add(bin);
    },
    sweep: () => {
      const today = dayOf(now());
      if (today === day) return;
      day = today;
      const drifts = WATCHED.filter(close);
      formerBins = ownBins;
      ownBins = demandBins(options.shares());
      trust = drifts.length > 0 ? Math.max(LEAST_TRUST, trust / 2) : Math.min(1, trust * 2);
    },
    last: () => ({ ...last }),
    trust: () => trust,
    kept: () => ({
      ...{ version: 1, day, trust, own: listed(ownBins), former: listed(formerBins) },
      windows: { demand: keptOf('demand'), rank: keptOf('rank') },
    }),
  };
}
