// The counterfactual meter: what the origin would have sent with plain LRU, without prefetch, with twice the disk, by
// playing those caches beside the real one on a sample of its keys; and what each of these features saves.
import {
  type Cache,
  type FillOutcome,
  lru,
  type Purpose,
  type ServedRecord,
  Shards,
  s3fifo,
} from '../../cache/cache.ts';
import { BIN_SECONDS, bitsPerSecond, type Estimate, jackknife, percentile95 } from './billing.ts';
import { type DayStore, keepDay, restoreDays, Series } from './series.ts';

/** The caches that are played: this one as it is, and one for each thing that could be otherwise. */
export const PLAYED = ['as-is', 'lru', 'no-prefetch', 'double-disk'] as const;
export type PlayedName = (typeof PLAYED)[number];

/** What a feature saves: origin bytes of a cache without it less those of one with it. */
const FEATURES = [
  { feature: 'eviction by S3-FIFO', without: 'lru', with: 'as-is' },
  { feature: 'prefetch', without: 'no-prefetch', with: 'as-is' },
  { feature: 'as much disk again', without: 'as-is', with: 'double-disk' },
] as const;

/** Keys that a played cache holds at most; its 5-minute series takes 0.3 MB besides. */
const MAX_KEYS = 8192;
/** Groups of keys for the interval; Shards puts each key into one. */
const GROUPS = Shards.groups;
/** The column behind those of the played caches: what this node really fetched. */
const MEASURED = PLAYED.length * GROUPS;
/** Keys that are played at most, of all: half of them tell nearly as much, for half of the CPU time. */
const MAX_RATIO = 0.5;
const SNAPSHOT = 'what-if';
const SAVE_MS = 3_600_000;

/** What a feature saves over the days that are counted; negative: it costs. */
export type Saving = {
  readonly feature: string;
  readonly originBytes: Estimate;
  /** Of the 5-minute 95th percentile of origin bandwidth, in bits per second. */
  readonly originP95: Estimate;
};

/** All that the meter knows. */
export type MeterReport = {
  /** Milliseconds since the epoch; 0 before the first request. */
  readonly since: number;
  readonly days: number;
  /** Share of the keys that is played now. */
  readonly sampleRatio: number;
  /** What this node fetched, to judge `as-is` by, which plays it. */
  readonly measured: { readonly originBytes: number; readonly originP95: number };
  readonly played: Readonly<Record<PlayedName, { readonly originBytes: Estimate; readonly originP95: Estimate }>>;
  readonly savings: readonly Saving[];
};

/** What prefetch costs the origin: bytes and percentile with it less those without; below 0 it saves. */
export type PrefetchCost = {
  /** Over how long, in whole bins. */
  readonly hours: number;
  readonly originBytes: Estimate;
  readonly originP95: Estimate;
  readonly withoutBytes: number;
};

/** Figures for a scrape, without intervals: bytes since start, and the percentile over the days that are counted. */
export type MeterFigures = {
  readonly originBytes: Readonly<Record<PlayedName, number>>;
  readonly p95BytesPerSecond: Readonly<Record<PlayedName, number>>;
};

/** An open meter. */
export type Meter = {
  readonly served: (record: Pick<ServedRecord, 'at' | 'key' | 'status' | 'result' | 'bytes'>) => void;
  /** The cache with a fill that is told on. */
  readonly watch: (cache: Cache) => Cache;
  readonly figures: () => MeterFigures;
  readonly report: () => Promise<MeterReport>;
  /** What prefetch cost since a time, milliseconds since the epoch. */
  readonly prefetchCost: (sinceMs: number) => Promise<PrefetchCost>;
  /** Writes the current day down when the last time is an hour ago; `isLast`: in any case. */
  readonly save: (isLast?: boolean) => void;
};

/** What openMeter() needs. */
export type MeterOptions = {
  /** What the node's disks may hold. */
  readonly diskBytes: number;
  readonly days: DayStore;
  readonly now: () => number;
  /** Share of the keys that is played at most, above 0; default a half. */
  readonly maxRatio?: number;
};

type OnFetch = (cache: number, group: number, bytes: number) => void;

const COUNTED: ReadonlySet<string> = new Set(['hit', 'stale', 'revalidated', 'miss']);

function openShards({ diskBytes, maxRatio = MAX_RATIO }: MeterOptions, onFetch: OnFetch): Shards {
  const disk = () => {
    const policy = s3fifo();
    // As the disk's own policy has it: off-peak fills are past the trial of newcomers.
    const enterProven = (slot: number, bytes: number, key: number) => policy.restore(slot, { bytes, key, uses: 2 });
    return { policy, enterProven, capacityBytes: diskBytes, takesFills: true };
  };
  return new Shards(
    [
      disk(),
      { policy: lru(), capacityBytes: diskBytes, takesFills: true },
      { ...disk(), takesFills: false },
      { ...disk(), capacityBytes: 2 * diskBytes },
    ],
    { maxKeys: MAX_KEYS, maxRatio, onFetch },
  );
}

/** Columns of a played cache with their weights: all groups, or all but one, weighted up for it. */
function columnsOf(name: PlayedName, without?: number): readonly (readonly [number, number])[] {
  const first = PLAYED.indexOf(name) * GROUPS;
  const groups = Array.from({ length: GROUPS }, (_, group) => group).filter((group) => group !== without);
  return groups.map((group) => [first + group, GROUPS / groups.length] as const);
}

function byName<Value>(of: (name: PlayedName) => Value): Readonly<Record<PlayedName, Value>> {
  return {
    'as-is': of('as-is'),
    lru: of('lru'),
    'no-prefetch': of('no-prefetch'),
    'double-disk': of('double-disk'),
  };
}

const sumOf = (bins: Float64Array): number => bins.reduce((sum, bytes) => sum + bytes, 0);

type Figures = { readonly originBytes: number; readonly originP95: number };

const figuresOf = (bins: Float64Array): Figures => ({
  originBytes: sumOf(bins),
  originP95: bitsPerSecond(percentile95(bins)),
});

const less = (one: Figures, other: Figures): Figures => ({
  originBytes: one.originBytes - other.originBytes,
  originP95: one.originP95 - other.originP95,
});

async function report(series: Series, sampleRatio: number): Promise<MeterReport> {
  const all = new Map<PlayedName, Figures>();
  const replicates = new Map<PlayedName, readonly Figures[]>();
  for (const name of PLAYED) {
    all.set(name, figuresOf(series.bins(columnsOf(name))));
    const without: Figures[] = [];
    for (let group = 0; group < GROUPS; group += 1) {
      without.push(figuresOf(series.bins(columnsOf(name, group))));
      // A month sorts in about a millisecond, 32 of them between two requests would be felt.
      await new Promise((resolve) => setImmediate(resolve));
    }
    replicates.set(name, without);
  }
  const none: Figures = { originBytes: 0, originP95: 0 };
  const estimates = (one: (of: ReadonlyMap<PlayedName, Figures>) => Figures) => {
    const value = one(all);
    const others = Array.from({ length: GROUPS }, (_, group) =>
      one(new Map(PLAYED.map((name) => [name, replicates.get(name)?.[group] ?? none]))),
    );
    // The last ratio is the smallest of the month, so the interval is rather too wide.
    const estimate = (figure: keyof Figures): Estimate =>
      jackknife(
        value[figure],
        others.map((other) => other[figure]),
        sampleRatio,
      );
    return { originBytes: estimate('originBytes'), originP95: estimate('originP95') };
  };
  const playedOf = (name: PlayedName) => estimates((of) => of.get(name) ?? none);
  return {
    since: series.count === 0 ? 0 : series.sinceMs,
    days: (series.count * BIN_SECONDS) / 86_400,
    sampleRatio,
    measured: figuresOf(series.bins([[MEASURED, 1]])),
    played: byName(playedOf),
    savings: FEATURES.map((feature) => ({
      feature: feature.feature,
      ...estimates((of) => less(of.get(feature.without) ?? none, of.get(feature.with) ?? none)),
    })),
  };
}

async function prefetchCost(series: Series, sampleRatio: number, sinceMs: number): Promise<PrefetchCost> {
  const bins = Math.min(series.count, Math.max(0, series.latest - Math.floor(sinceMs / (BIN_SECONDS * 1000))));
  const latest = (name: PlayedName, without?: number): Figures => {
    const all = series.bins(columnsOf(name, without));
    return figuresOf(all.subarray(all.length - bins));
  };
  const value = less(latest('as-is'), latest('no-prefetch'));
  const replicates: Figures[] = [];
  for (let group = 0; group < GROUPS; group += 1) {
    replicates.push(less(latest('as-is', group), latest('no-prefetch', group)));
    await new Promise((resolve) => setImmediate(resolve));
  }
  const estimate = (figure: keyof Figures): Estimate =>
    jackknife(
      value[figure],
      replicates.map((one) => one[figure]),
      sampleRatio,
    );
  return {
    hours: (bins * BIN_SECONDS) / 3600,
    originBytes: estimate('originBytes'),
    originP95: estimate('originP95'),
    withoutBytes: latest('no-prefetch').originBytes,
  };
}

/** Opens a meter over what earlier runs left. What the played caches held is not kept: they begin empty. */
export function openMeter(options: MeterOptions): Meter {
  const { days, now } = options;
  const series = new Series(MEASURED + 1);
  restoreDays(series, days, SNAPSHOT, now());
  const totals = new Float64Array(PLAYED.length);
  let at = 0;
  const shards = openShards(options, (cache, group, bytes) => {
    totals[cache] = (totals[cache] ?? 0) + bytes;
    series.add(at, cache * GROUPS + group, bytes);
  });
  const filled = (key: string, bytes: number, purpose: Purpose): void => {
    at = now();
    series.add(at, MEASURED, bytes);
    shards.fill(key, bytes, purpose === 'off-peak');
  };
  let savedAt = now();
  let savedDay = series.day;
  /** Percentiles change with each bin, not with each scrape. */
  let percentiles = { bin: -1, of: byName(() => 0) };
  return {
    served: (record) => {
      const { status, result, bytes } = record;
      if (bytes === 0 || !COUNTED.has(result) || (status !== 200 && status !== 206)) return;
      at = record.at;
      if (result === 'miss') series.add(at, MEASURED, bytes);
      shards.ask(record.key, bytes);
    },
    watch: (cache) => ({
      ...cache,
      fill: async (url, how): Promise<FillOutcome> => {
        const outcome = await cache.fill(url, how);
        const key = outcome.outcome === 'stored' ? cache.has(url)?.key : undefined;
        if (key !== undefined && 'bytes' in outcome) filled(key, outcome.bytes, how.purpose);
        return outcome;
      },
    }),
    figures: () => {
      if (percentiles.bin !== series.latest) {
        const of = byName((name) => percentile95(series.bins(columnsOf(name))) / BIN_SECONDS);
        percentiles = { bin: series.latest, of };
      }
      return {
        originBytes: byName((name) => totals[PLAYED.indexOf(name)] ?? 0),
        p95BytesPerSecond: percentiles.of,
      };
    },
    report: () => report(series, shards.ratio),
    prefetchCost: (sinceMs) => prefetchCost(series, shards.ratio, sinceMs),
    save: (isLast = false) => {
      if (!isLast && series.day === savedDay && now() - savedAt < SAVE_MS) return;
      for (const day of new Set([savedDay, series.day])) keepDay(series, days, SNAPSHOT, day);
      savedDay = series.day;
      savedAt = now();
    },
  };
}
