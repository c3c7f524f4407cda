// Plays a seeded region against edge caches that differ in what they are told and filled with, all in one pass.
import type { Audience } from '../predict/audience.ts';
import { type PlanOptions, planFills } from '../prefetch/plan.ts';
import { BIN_SECONDS, percentile95 } from './billing.ts';
import { EdgeCache, type EdgeCatalogue } from './edge.ts';
import type { EdgeRequests } from './workload.ts';

const DAY_SECONDS = 86_400;
/** The hours in which fills are fetched, and by when they must have ended. */
const WINDOW = { from: 2 * 3600, seconds: 4 * 3600 } as const;
/** What was filled so lately may still be watched. */
const WAITING_DAYS = 7;

/** One cache of a play. */
export type EdgeRun = {
  readonly name: string;
  readonly capacityBytes: number;
  /** What its retention and its fills go by; absent: no prediction. */
  readonly audience?: Audience | undefined;
  readonly keeps: boolean;
  /** Share of it for first seconds, which are protected; default none. */
  readonly headRatio?: number;
  /** `none`; `plan`: as the node does; or objects that somebody who knows the future chooses for a night. */
  readonly fill: 'none' | 'plan' | ((fromSeconds: number) => readonly number[]);
  readonly plan?: PlanOptions;
};

/** What came of a run, from the first day that counts on. */
export type EdgeOutcome = {
  readonly name: string;
  readonly capacityBytes: number;
  readonly servedBytes: number;
  readonly hitBytes: number;
  /** With what was filled. */
  readonly originBytes: number;
  readonly filledBytes: number;
  /** Of what was filled: never asked for while it was there. What was filled in the last week and waits is in neither. */
  readonly unwatchedRatio: number;
  /** Of what was filled: gone before anybody asked for it. */
  readonly goneRatio: number;
  /** Origin bytes of the hours of the day in which viewers get most. */
  readonly peakBytes: number;
  /** The mean over days of the day's busiest hour. */
  readonly busiestHourBytes: number;
  /** Of 5-minute means, bytes in 5 minutes. */
  readonly p95Bytes: number;
  /** Views whose first seconds were there. */
  readonly startupHitRatio: number;
};

/** One run while it is played. */
class Playing {
  readonly run: EdgeRun;
  readonly cache: EdgeCache;
  readonly #catalogue: EdgeCatalogue;
  readonly #countFrom: number;
  readonly bins: Float64Array;
  #queue: number[] = [];
  #now = 0;
  served = 0;
  hit = 0;
  starts = 0;
  startHits = 0;
  #storedBefore = 0;
  #intake = 0;

  constructor(run: EdgeRun, catalogue: EdgeCatalogue, days: number, countFrom: number) {
    this.run = run;
    this.#catalogue = catalogue;
    this.#countFrom = countFrom;
    this.bins = new Float64Array((days * DAY_SECONDS) / BIN_SECONDS);
    const { audience, keeps, capacityBytes } = run;
    const { sizes, places } = catalogue;
    const demand = {
      groupOf: (object: number) => {
        const place = places[object];
        return place === undefined ? 0 : (audience?.groupOf(place.title.id, place.track, place.seconds) ?? 0);
      },
      scoreOf: (group: number) => audience?.score(group, this.#now * 1000) ?? 0,
    };
    this.cache = new EdgeCache({ sizes, capacityBytes, ...(keeps && audience !== undefined ? { demand } : {}) });
  }

  /** A request for an object; `isStart`: a viewer waits for it to begin. */
  ask(object: number, now: number, isStart: boolean): void {
    this.#now = now;
    const bytes = this.#catalogue.sizes[object] ?? 0;
    const isHit = this.cache.ask(object);
    if (!isHit) this.#fetched(bytes);
    if (now < this.#countFrom) return;
    this.served += bytes;
    if (isHit) this.hit += bytes;
    if (isStart) this.starts += 1;
    if (isStart && isHit) this.startHits += 1;
  }

  #fetched(bytes: number): void {
    const bin = Math.floor(this.#now / BIN_SECONDS);
    this.bins[bin] = (this.bins[bin] ?? 0) + bytes;
  }

  /** Begins 5 minutes: plans when the window opens, and fills while it is open, within the headroom under the percentile. */
  tick(now: number): void {
    this.#now = now;
    const inDay = now % DAY_SECONDS;
    if (now === this.#countFrom) this.cache.countFills();
    if (inDay === 0) this.#lookAhead();
    if (this.run.fill === 'none') return;
    if (inDay === WINDOW.from) this.#plan(now);
    if (inDay >= WINDOW.from + WINDOW.seconds) this.#queue = [];
    if (this.#queue.length === 0) return;
    const bin = Math.floor(now / BIN_SECONDS);
    const usual = this.bins[bin - 1] ?? 0;
    let headroom = percentile95(this.bins.subarray(Math.max(0, bin - 30 * 288), bin)) * 0.9 - usual;
    for (let object = this.#queue.shift(); object !== undefined; object = this.#queue.shift()) {
      const bytes = this.#catalogue.sizes[object] ?? 0;
      if (this.cache.fill(object, now)) {
        this.#fetched(bytes);
        headroom -= bytes;
      }
      if (headroom <= 0) break;
    }
  }

  /** An object that is kept stays as long as it takes to fetch the whole cache anew. */
  #lookAhead(): void {
    const { storedBytes } = this.cache;
    const today = storedBytes - this.#storedBefore;
    this.#storedBefore = storedBytes;
    this.#intake = this.#intake === 0 ? today : 0.7 * this.#intake + 0.3 * today;
    if (this.#intake > 0) this.run.audience?.lookAhead(horizonSeconds(this.run.capacityBytes, this.#intake));
    const { headRatio = 0, capacityBytes, audience } = this.run;
    if (headRatio > 0) audience?.protect(headRatio * capacityBytes, { renditions: Infinity, now: this.#now * 1000 });
  }

  #plan(now: number): void {
    const { run, cache } = this;
    if (typeof run.fill === 'function') {
      this.#queue = [...run.fill(now)].filter((object) => !cache.holds(object));
      return;
    }
    const { audience } = run;
    if (audience === undefined) return;
    const candidates = this.#catalogue.titles.map(({ timeline }) => ({
      timeline,
      expected: (track: number, seconds: number) =>
        audience.expected({ titleId: timeline.titleId, track, seconds }, now * 1000),
      chance: (expected: number) => audience.chance(timeline.titleId, expected, now * 1000),
      isProtected: (track: number) => audience.isProtected(timeline.titleId, track),
      reasons: [],
    }));
    const plan = planFills({
      candidates,
      isHeld: (url) => cache.holds(Number(url)),
      budgetBytes: run.capacityBytes * (run.keeps ? 1 : 0.2),
      freeBytes: run.capacityBytes - cache.usedBytes,
      capacityBytes: run.capacityBytes,
      ...(run.plan === undefined ? {} : { options: run.plan }),
    });
    this.#queue = plan.items.map(({ url }) => Number(url));
  }
}

/** How far it pays to look ahead: as long as an object stays that is kept, between half an hour and two weeks. */
const horizonSeconds = (capacityBytes: number, bytesPerDay: number): number =>
  Math.min(14 * DAY_SECONDS, Math.max(1800, (capacityBytes / bytesPerDay) * DAY_SECONDS));

/** The two hours next to each other in which most bytes are served. */
function peakHours(requests: EdgeRequests): readonly number[] {
  const hours = new Float64Array(24);
  for (const [at, seconds] of requests.at.entries()) {
    const hour = Math.floor(seconds / 3600) % 24;
    hours[hour] = (hours[hour] ?? 0) + (requests.bytes[at] ?? 0);
  }
  return [hours.indexOf(Math.max(...hours))];
}

function outcomeOf(playing: Playing, countFrom: number, peak: readonly number[]): EdgeOutcome {
  const { run, cache, bins, served, hit, starts, startHits } = playing;
  const counted = bins.subarray(countFrom / BIN_SECONDS);
  const hours = new Float64Array(counted.length / 12);
  for (const [at, bytes] of counted.entries()) {
    const hour = Math.floor(at / 12);
    hours[hour] = (hours[hour] ?? 0) + bytes;
  }
  const days = Array.from({ length: hours.length / 24 }, (_, day) => hours.subarray(day * 24, day * 24 + 24));
  const originBytes = hours.reduce((sum, bytes) => sum + bytes, 0);
  const { filled, watched, gone } = cache.fills;
  const judged = filled - cache.waitingSince(bins.length * BIN_SECONDS - WAITING_DAYS * DAY_SECONDS);
  return {
    name: run.name,
    capacityBytes: run.capacityBytes,
    servedBytes: served,
    hitBytes: hit,
    originBytes,
    filledBytes: filled,
    unwatchedRatio: judged === 0 ? 0 : 1 - watched / judged,
    goneRatio: filled === 0 ? 0 : gone / filled,
    peakBytes: days.reduce((sum, day) => sum + peak.reduce((total, hour) => total + (day[hour] ?? 0), 0), 0),
    busiestHourBytes: days.reduce((sum, day) => sum + Math.max(...day), 0) / Math.max(1, days.length),
    p95Bytes: percentile95(Float64Array.from(counted)),
    startupHitRatio: starts === 0 ? 0 : startHits / starts,
  };
}

/** What is played. `audiences`: all that the runs go by, each fed once with every request. */
export type EdgePlay = {
  readonly requests: EdgeRequests;
  readonly catalogue: EdgeCatalogue;
  readonly days: number;
  readonly countFromDay: number;
  readonly runs: readonly EdgeRun[];
  readonly audiences: readonly Audience[];
};

/** Plays every run in one pass. */
export function playEdge({
  requests,
  catalogue,
  days,
  countFromDay,
  runs,
  audiences,
}: EdgePlay): readonly EdgeOutcome[] {
  const { objects, at, begins } = requests;
  const { places, headOf } = catalogue;
  for (const audience of audiences) for (const title of catalogue.titles) audience.open(title);
  const countFrom = countFromDay * DAY_SECONDS;
  const playing = runs.map((run) => new Playing(run, catalogue, days, countFrom));
  let tick = -1;
  for (let index = 0; index < objects.length; index += 1) {
    const [object, now, isStart] = [objects[index] ?? 0, at[index] ?? 0, begins[index] === 1];
    for (; tick < Math.floor(now / BIN_SECONDS); tick += 1)
      for (const one of playing) one.tick((tick + 1) * BIN_SECONDS);
    const head = headOf[object] ?? -1;
    for (const one of playing) {
      if (head >= 0) one.ask(head, now, isStart);
      one.ask(object, now, isStart && head < 0);
    }
    const place = places[object];
    if (place === undefined) continue;
    const seconds = head >= 0 ? 0 : place.seconds;
    for (const audience of audiences)
      audience.enter({ titleId: place.title.id, track: place.track, seconds }, now * 1000);
  }
  const peak = peakHours(requests);
  return playing.map((one) => outcomeOf(one, countFrom, peak));
}
