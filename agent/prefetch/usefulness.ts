// What became of each object that was fetched ahead, and what follows from it: chances are corrected by what came true, and
// the least chance that is fetched for rises with what is wasted. Nothing here is about a viewer. Pure.

import { remember } from '../remember.ts';
import type { PrefetchReason } from './decisions.ts';

/** What became of it: asked for when it was there, asked for while it waited or ran, or not asked for in time. */
export const USES = ['useful', 'late', 'wasted'] as const;
/** One of USES. */
export type Use = (typeof USES)[number];

/** What is followed of one object. `group`: objects whose chances are corrected together. */
export type Tracked = {
  readonly reason: PrefetchReason;
  readonly group: string;
  readonly chance: number;
  readonly bytes: number;
  /** Wasted when nobody has asked until then. Milliseconds. */
  readonly until: number;
};

/** How the learning stands. */
export type UsefulnessStats = {
  readonly objects: Readonly<Record<PrefetchReason, Readonly<Record<Use, number>>>>;
  readonly bytes: Readonly<Record<Use, number>>;
  /** The least corrected chance that is fetched for. */
  readonly threshold: number;
  /** Share of bytes that were wasted lately, 0..1. */
  readonly wastedRatio: number;
};

/** What openUsefulness() needs; the defaults hold in the simulated site (test/bench/prefetch-session.ts). */
export type UsefulnessOptions = {
  /** Share of bytes that may be wasted. */
  readonly maxWastedRatio: number;
  readonly startThreshold?: number;
  /** Objects followed at once; what was followed first is dropped uncounted. */
  readonly maxTracked?: number;
};

/** Follows objects and learns from them. */
export type Usefulness = {
  /** The chance as it came true for its group so far. */
  readonly corrected: (group: string, chance: number) => number;
  readonly threshold: () => number;
  /** An object was not worth a fetch: only its chance is learned from. */
  readonly look: (url: string, object: Tracked) => void;
  /** An object is fetched ahead. */
  readonly track: (url: string, object: Tracked) => void;
  /** It is in the cache now, `bytes` large. */
  readonly stored: (url: string, bytes: number) => void;
  /** It will not come: cancelled, refused, failed, or there already. */
  readonly dropped: (url: string) => void;
  /** A viewer asked for a URL, and the cache had it or not; how that was foreseen, if it was. */
  readonly asked: (url: string, isHit: boolean) => Use | undefined;
  /** Counts what nobody asked for in time; call it every second or so. */
  readonly sweep: (now: number) => void;
  readonly stats: () => UsefulnessStats;
};

type Followed = Tracked & { readonly isFetched: boolean; readonly isStored: boolean };
type Group = { foreseen: number; came: number };

const MAX_GROUPS = 512;
/** Objects that one sweep looks at, so that no viewer waits for it. */
const MAX_SWEPT = 1_000;
/** Weight of what is known beforehand, in objects. */
const PRIOR_OBJECTS = 20;
/** A group forgets: its sums are halved when so many were foreseen. */
const GROUP_MEMORY = 2_000;
/** Bounds and step of the threshold, for each object of the mean size. */
const LEAST = 0.005;
const MOST = 0.95;
const STEP = 0.002;
/** Weight of one object in the shares that are told. */
const RECENT = 0.005;

function counts(): Record<PrefetchReason, Record<Use, number>> {
  const none = () => ({ useful: 0, late: 0, wasted: 0 });
  return {
    'off-peak': none(),
    'next-segments': none(),
    rendition: none(),
    seek: none(),
    'next-object': none(),
    'next-episode': none(),
    hover: none(),
    likely: none(),
    operator: none(),
  };
}

class Learner {
  readonly #options: Required<UsefulnessOptions>;
  readonly #tracked = new Map<string, Followed>();
  readonly #groups = new Map<string, Group>();
  readonly #objects = counts();
  readonly #bytes = { useful: 0, late: 0, wasted: 0 };
  #threshold: number;
  #meanBytes = 0;
  #wasted = 0;
  #all = 0;

  constructor(options: UsefulnessOptions) {
    this.#options = { startThreshold: 0.1, maxTracked: 50_000, ...options };
    this.#threshold = this.#options.startThreshold;
  }

  get threshold(): number {
    return this.#threshold;
  }

  corrected(group: string, chance: number): number {
    const known = this.#groups.get(group);
    if (known === undefined) return chance;
    // Both sums begin as if PRIOR_OBJECTS had come as foreseen.
    return Math.min(1, (chance * (known.came + PRIOR_OBJECTS)) / (known.foreseen + PRIOR_OBJECTS));
  }

  track(url: string, { reason, group, chance, bytes, until }: Tracked, isFetched: boolean): void {
    const before = this.#tracked.get(url);
    if (before !== undefined && (before.isStored || !isFetched)) return;
    const entry = { reason, group, chance, bytes, until, isFetched, isStored: false };
    remember(this.#tracked, url, entry, this.#options.maxTracked);
  }

  stored(url: string, bytes: number): void {
    const object = this.#tracked.get(url);
    if (object !== undefined) this.#tracked.set(url, { ...object, bytes, isStored: true });
  }

  dropped(url: string): void {
    // What is there already may still be of use, or be a waste.
    if (this.#tracked.get(url)?.isStored === false) this.#tracked.delete(url);
  }

  asked(url: string, isHit: boolean): Use | undefined {
    const object = this.#tracked.get(url);
    if (object === undefined) return undefined;
    this.#tracked.delete(url);
    this.#learn(object, 1);
    if (!object.isFetched) return undefined;
    const use = isHit ? 'useful' : 'late';
    this.#count(object, use);
    return use;
  }

  sweep(now: number): void {
    let left = Math.min(MAX_SWEPT, this.#tracked.size);
    for (const [url, object] of this.#tracked) {
      if (left === 0) return;
      left -= 1;
      this.#tracked.delete(url);
      if (object.until > now) {
        // Looked at goes behind those that were not.
        this.#tracked.set(url, object);
        continue;
      }
      this.#learn(object, 0);
      // What never came cost nothing.
      if (object.isStored) this.#count(object, 'wasted');
    }
  }

  #learn({ group, chance }: Followed, came: 0 | 1): void {
    if (!this.#groups.has(group) && this.#groups.size >= MAX_GROUPS) return;
    const known = this.#groups.get(group) ?? { foreseen: 0, came: 0 };
    known.foreseen += chance;
    known.came += came;
    if (known.foreseen > GROUP_MEMORY) {
      known.foreseen /= 2;
      known.came /= 2;
    }
    this.#groups.set(group, known);
  }

  #count({ reason, bytes }: Followed, use: Use): void {
    this.#objects[reason][use] += 1;
    this.#bytes[use] += bytes;
    const came = use === 'wasted' ? 0 : 1;
    this.#meanBytes += this.#meanBytes === 0 ? bytes : RECENT * (bytes - this.#meanBytes);
    const weight = bytes / Math.max(1, this.#meanBytes);
    this.#all += RECENT * (weight - this.#all);
    this.#wasted += RECENT * (weight * (1 - came) - this.#wasted);
    // A step up for each wasted byte, down for each useful one, that balance where the share is as allowed.
    const { maxWastedRatio } = this.#options;
    const step = STEP * Math.min(4, weight) * (1 - came - maxWastedRatio);
    this.#threshold = Math.max(LEAST, Math.min(MOST, this.#threshold + step));
  }

  stats(): UsefulnessStats {
    return {
      objects: structuredClone(this.#objects),
      bytes: { ...this.#bytes },
      threshold: this.#threshold,
      wastedRatio: this.#all > 0 ? this.#wasted / this.#all : 0,
    };
  }
}

/** Opens the account of what was of use. */
export function openUsefulness(options: UsefulnessOptions): Usefulness {
  const learner = new Learner(options);
  return {
    corrected: (group, chance) => learner.corrected(group, chance),
    threshold: () => learner.threshold,
    look: (url, object) => learner.track(url, object, false),
    track: (url, object) => learner.track(url, object, true),
    stored: (url, bytes) => learner.stored(url, bytes),
    dropped: (url) => learner.dropped(url),
    asked: (url, isHit) => learner.asked(url, isHit),
    sweep: (now) => learner.sweep(now),
    stats: () => learner.stats(),
  };
}
