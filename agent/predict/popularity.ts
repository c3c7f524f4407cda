// Live popularity: exponentially decayed counters per region, shrunk to the global ones as far as the data ask for it.
// Counters add up, so those of two nodes merge into what one node would have counted.
import assert from 'node:assert/strict';
import { bump, type DecayedCounter, decayed } from './decay.ts';

/** Counters of one region. `squares` decays at twice the speed: the sum of squared worths, for the effective count. */
type RegionCounters = { readonly titles: Map<string, DecayedCounter>; total: DecayedCounter; squares: DecayedCounter };

/** A title's share of the next views, 0..1, all shares of one list adding up to at most 1. */
export type TitleShare = { readonly titleId: string; readonly share: number };

/** Serialised popularity. Readers refuse other versions. */
export type PopularitySnapshot = {
  readonly version: 1;
  readonly halfLifeMs: number;
  readonly regions: readonly {
    readonly region: string;
    readonly total: Readonly<DecayedCounter>;
    readonly squares: Readonly<DecayedCounter>;
    readonly titles: readonly (readonly [titleId: string, value: number, at: number])[];
  }[];
};

/** Views of what, where and when. `weight` is how much of a view it is, 0..1. */
export type View = {
  readonly titleId: string;
  readonly region: string;
  readonly at: number;
  readonly weight?: number;
};

/** Live popularity; no viewer is in it, only sums. */
export type Popularity = {
  /** Counts a view. One from the future counts as of `now`; an old one counts for what it is still worth. */
  readonly add: (view: View, now: number) => void;
  /** Shares in a region, shrunk to global, largest first, at most `limit`. An unknown region gets the global list. */
  readonly shares: (region: string, now: number, limit: number) => readonly TitleShare[];
  /**
   * Views that a region will have in so many days if it goes on as it did: a sum that decays by half in a half-life
   * stands at the rate times half-life / ln 2. Of an unknown region: 0.
   */
  readonly expectedViews: (region: string, days: number, now: number) => number;
  /** How much of the region's own counts went into shares(), 0..1. */
  readonly regionalWeight: (region: string, now: number) => number;
  readonly snapshot: (now: number) => PopularitySnapshot;
  /** Adds what another node counted; throws RangeError on another half-life. */
  readonly merge: (snapshot: PopularitySnapshot) => void;
};

/** `halfLifeMs` of a view's worth; the limits drop the least popular first. */
export type PopularityOptions = {
  readonly halfLifeMs: number;
  readonly maxTitles?: number;
  readonly maxRegions?: number;
};

const DAY_MS = 86_400_000;
/** 14 days: the best live half-life on ML-100k's global temporal split (test/agent/predict/popularity.test.ts). */
export const DEFAULT_HALF_LIFE_MS = 14 * 86_400_000;

/**
 * No region counts as more certain than a prior of this many views: on ML-100k regional demand alone loses to global
 * demand, so what the moments below say may only raise it.
 */
export const MINIMUM_PRIOR_VIEWS = 500;

/** A title enters the estimate of the prior only from this many expected views on; below, chi-square is noise. */
const MINIMUM_EXPECTED = 1;

/** Where views of regions beyond the limit are counted together. */
const OVERFLOW_REGION = 'other';

/**
 * Weight of a region's own shares, N / (N + m). N is its effective number of views (Kish: sum(w)^2 / sum(w^2), since
 * decayed views count less than their number). m, the views that the global shares count for, comes from the moments
 * of a Dirichlet-multinomial (Mosimann 1962): its counts vary (N + m) / (1 + m) times as much as multinomial ones, so
 * with the observed inflation c = chi-square / degrees of freedom, m = (N - c) / (c - 1). No more variance than chance
 * gives (c <= 1) means m without end: the region is the world. The posterior mean is then the shrunk share (Gelman et
 * al., Bayesian Data Analysis, section 3.4). Never less than MINIMUM_PRIOR_VIEWS.
 */
export function regionalWeight(
  own: ReadonlyMap<string, number>,
  global: ReadonlyMap<string, number>,
  effectiveViews: number,
): number {
  if (effectiveViews <= 0) return 0;
  let chiSquare = 0;
  let cells = 0;
  let restOwn = 1;
  let restGlobal = 1;
  for (const [titleId, share] of global) {
    if (share * effectiveViews < MINIMUM_EXPECTED) continue;
    const seen = own.get(titleId) ?? 0;
    chiSquare += (effectiveViews * (seen - share) ** 2) / share;
    cells += 1;
    restOwn -= seen;
    restGlobal -= share;
  }
  if (restGlobal * effectiveViews >= MINIMUM_EXPECTED) {
    chiSquare += (effectiveViews * (restOwn - restGlobal) ** 2) / restGlobal;
    cells += 1;
  }
  if (cells < 2) return 0;
  const inflation = chiSquare / (cells - 1);
  if (inflation <= 1) return 0;
  const prior = Math.max(MINIMUM_PRIOR_VIEWS, (effectiveViews - inflation) / (inflation - 1));
  return effectiveViews / (effectiveViews + prior);
}

/**
 * How long a list of shares may be used. Popularity is summed up anew after 5 s, and 11 ms more for each title that it
 * knows: summing 18,000 titles of four regions takes tens of milliseconds of the viewers' thread, so it may happen once
 * a minute and no more.
 */
export const sharesTtlMs = (shares: readonly TitleShare[]): number => 5_000 + 11 * shares.length;

/** Starts counting. */
export function createPopularity(options: PopularityOptions): Popularity {
  const { halfLifeMs, maxTitles = 50_000, maxRegions = 64 } = options;
  assert(halfLifeMs > 0, 'halfLifeMs must be above 0');
  const regions = new Map<string, RegionCounters>();

  const countersOf = (region: string, at: number): RegionCounters => {
    const name = regions.has(region) || regions.size < maxRegions ? region : OVERFLOW_REGION;
    const known = regions.get(name);
    if (known !== undefined) return known;
    const fresh = { titles: new Map(), total: { value: 0, at }, squares: { value: 0, at } };
    regions.set(name, fresh);
    return fresh;
  };
  const count = (counters: RegionCounters, titleId: string, amount: number, at: number): void => {
    const counter = counters.titles.get(titleId);
    if (counter !== undefined) {
      bump(counter, amount, at, halfLifeMs);
      return;
    }
    if (counters.titles.size >= maxTitles) dropLeast(counters.titles, at, halfLifeMs);
    counters.titles.set(titleId, { value: amount, at });
  };

  return {
    add: (view, now) => {
      const at = Math.min(view.at, now);
      const weight = Math.min(1, Math.max(0, view.weight ?? 1));
      if (!Number.isFinite(at) || !(weight > 0)) return;
      const counters = countersOf(view.region, at);
      count(counters, view.titleId, weight, at);
      bump(counters.total, weight, at, halfLifeMs);
      bump(counters.squares, weight ** 2, at, halfLifeMs / 2);
    },
    shares: (region, now, limit) => {
      const { global, own, weight } = splitRegion(regions, region, now, halfLifeMs);
      return [...global]
        .map(([titleId, share]) => ({ titleId, share: weight * (own.get(titleId) ?? 0) + (1 - weight) * share }))
        .sort((one, other) => other.share - one.share || (one.titleId < other.titleId ? -1 : 1))
        .slice(0, limit);
    },
    expectedViews: (region, days, now) => {
      const total = regions.get(region)?.total;
      if (total === undefined) return 0;
      return (decayed(total, now, halfLifeMs) * Math.LN2 * days * DAY_MS) / halfLifeMs;
    },
    regionalWeight: (region, now) => splitRegion(regions, region, now, halfLifeMs).weight,
    snapshot: (now) => ({
      version: 1,
      halfLifeMs,
      regions: [...regions].map(([region, { titles, total, squares }]) => ({
        region,
        total: { value: decayed(total, now, halfLifeMs), at: Math.max(now, total.at) },
        squares: { value: decayed(squares, now, halfLifeMs / 2), at: Math.max(now, squares.at) },
        titles: [...titles].map(([titleId, counter]) => [titleId, counter.value, counter.at] as const),
      })),
    }),
    merge: (snapshot) => {
      if (snapshot.version !== 1) throw new RangeError(`Popularity of version ${String(snapshot.version)} is unknown`);
      if (snapshot.halfLifeMs !== halfLifeMs) {
        throw new RangeError(`Half-lives differ: ${snapshot.halfLifeMs} ms and ${halfLifeMs} ms`);
      }
      for (const { region, titles, total, squares } of snapshot.regions) {
        const counters = countersOf(region, total.at);
        for (const [titleId, value, at] of titles) count(counters, titleId, value, at);
        bump(counters.total, total.value, total.at, halfLifeMs);
        bump(counters.squares, squares.value, squares.at, halfLifeMs / 2);
      }
    },
  };
}

/** Every title's share of what these regions count. */
function sharesOf(members: Iterable<RegionCounters>, now: number, halfLifeMs: number): Map<string, number> {
  const sums = new Map<string, number>();
  let total = 0;
  for (const { titles } of members) {
    for (const [titleId, counter] of titles) {
      const worth = decayed(counter, now, halfLifeMs);
      sums.set(titleId, (sums.get(titleId) ?? 0) + worth);
      total += worth;
    }
  }
  for (const [titleId, sum] of sums) sums.set(titleId, total > 0 ? sum / total : 0);
  return sums;
}

/** A region's own shares, all regions' shares, and the weight of the former. */
function splitRegion(
  regions: ReadonlyMap<string, RegionCounters>,
  region: string,
  now: number,
  halfLifeMs: number,
): { global: Map<string, number>; own: Map<string, number>; weight: number } {
  const global = sharesOf(regions.values(), now, halfLifeMs);
  const counters = regions.get(region);
  if (counters === undefined) return { global, own: new Map(), weight: 0 };
  const own = sharesOf([counters], now, halfLifeMs);
  const squares = decayed(counters.squares, now, halfLifeMs / 2);
  const effective = squares > 0 ? decayed(counters.total, now, halfLifeMs) ** 2 / squares : 0;
  return { global, own, weight: regions.size > 1 ? regionalWeight(own, global, effective) : 0 };
}

/** Makes room by forgetting the tenth that is worth least. */
function dropLeast(titles: Map<string, DecayedCounter>, now: number, halfLifeMs: number): void {
  const byWorth = [...titles].sort(
    ([, one], [, other]) => decayed(one, now, halfLifeMs) - decayed(other, now, halfLifeMs),
  );
  for (const [titleId] of byWorth.slice(0, Math.max(1, Math.ceil(titles.size / 10)))) titles.delete(titleId);
}
