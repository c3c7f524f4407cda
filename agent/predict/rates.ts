// How often titles are begun in this region: counts with a memory, a release's known course, and what a series' other
// episodes say of one that nobody has begun yet. Of nobody in particular. Pure.
import { launchStrength } from './launch.ts';

const DAY_MS = 86_400_000;

/** How rates are estimated. Chosen on the workload's validation seed (test/bench/prefetch.ts). */
export type RateTuning = {
  /** Days after which a start counts half: what is loved changes over months. */
  readonly halfLifeDays: number;
  /** Starts that the mean of all titles counts for in a title's own estimate; small, for titles differ by decades. */
  readonly priorStarts: number;
  /** Starts that a series' mean counts for in an episode's. */
  readonly seriesStarts: number;
};

/** See RateTuning. */
export const RATE_TUNING: RateTuning = { halfLifeDays: 28, priorStarts: 0.3, seriesStarts: 3 };

/** What is known of a title before anybody begins it. */
export type RatedTitle = {
  /** Milliseconds since the epoch; undefined: it was always there. */
  readonly releaseAt: number | undefined;
  /** Titles of one series have the same; undefined: none. */
  readonly series: string | undefined;
  /** What was counted before, as by popularity's counters; 0: nothing is known. */
  readonly startsPerDay?: number;
};

/** Days that what was counted before counts for. */
const KNOWN_DAYS = 7;

/** A decayed count and the days it was counted over, of which each has the weight of its release's course. */
type Counter = { starts: number; days: number; at: number; readonly releaseAt: number | undefined };

/** Of a release's course, 1 in its best week; of an old title always 1. */
const course = (releaseAt: number | undefined, now: number): number => {
  if (releaseAt === undefined) return 1;
  return now < releaseAt ? 0 : Math.max(MIN_COURSE, launchStrength(releaseAt, now));
};
/** A title whose launch is long over still has its place in the catalogue. */
const MIN_COURSE = 0.01;

/** Starts a day of each title. Titles are numbers, dense from 0, as add() gives them. */
export class Rates {
  readonly #tuning: RateTuning;
  readonly #titles: { readonly counter: Counter; readonly series: Counter | undefined }[] = [];
  readonly #series = new Map<string, { readonly counter: Counter; members: number }>();
  readonly #members: ({ members: number } | undefined)[] = [];
  /** Starts a day of a title on the mean, old ones and releases in their best week; taken anew each day. */
  #means = { day: -1, old: 1, release: 1 };
  readonly #sinceMs: number;

  /** `sinceMs`: when counting begins, milliseconds since the epoch. */
  constructor(sinceMs: number, tuning: RateTuning = RATE_TUNING) {
    this.#tuning = tuning;
    this.#sinceMs = sinceMs;
  }

  /** Takes in a title and gives its number. */
  add({ releaseAt, series, startsPerDay = 0 }: RatedTitle): number {
    const counter = this.#counter(releaseAt);
    if (startsPerDay > 0) [counter.starts, counter.days] = [startsPerDay * KNOWN_DAYS, KNOWN_DAYS];
    const known = series === undefined ? undefined : this.#series.get(series);
    const group = series === undefined ? undefined : (known ?? { counter: this.#counter(releaseAt), members: 0 });
    if (series !== undefined && group !== undefined) {
      group.members += 1;
      this.#series.set(series, group);
    }
    this.#titles.push({ counter, series: group?.counter });
    this.#members.push(group);
    return this.#titles.length - 1;
  }

  #counter(releaseAt: number | undefined): Counter {
    return { starts: 0, days: 0, at: this.#sinceMs, releaseAt };
  }

  /** A view of the title began. */
  start(title: number, now: number): void {
    const found = this.#titles[title];
    if (found === undefined) return;
    for (const counter of [found.counter, found.series]) {
      if (counter === undefined) continue;
      this.#age(counter, now);
      counter.starts += 1;
    }
  }

  /** Lets a counter forget, and counts the days since. */
  #age(counter: Counter, now: number): void {
    const { halfLifeDays } = this.#tuning;
    while (counter.at < now) {
      const step = Math.min(now - counter.at, DAY_MS) / DAY_MS;
      const kept = 2 ** (-step / halfLifeDays);
      counter.starts *= kept;
      counter.days = counter.days * kept + step * course(counter.releaseAt, counter.at + (step * DAY_MS) / 2);
      counter.at += step * DAY_MS;
    }
  }

  /** Expected starts a day of the title as things are at `now`; of one that is released within a day, as then. */
  perDay(title: number, now: number): number {
    const releaseAt = this.#titles[title]?.counter.releaseAt;
    // A night before its release a title is filled for it.
    const isNear = releaseAt !== undefined && now < releaseAt && releaseAt - now <= DAY_MS;
    return this.best(title, now) * course(releaseAt, isNear ? releaseAt : now);
  }

  /** The same in its best week: what its course is applied to. */
  best(title: number, now: number): number {
    const found = this.#titles[title];
    if (found === undefined) return 0;
    const { priorStarts, seriesStarts } = this.#tuning;
    this.#age(found.counter, now);
    const { old, release } = this.#meansAt(now);
    const mean = found.counter.releaseAt === undefined ? old : release;
    const { starts, days } = found.counter;
    if (found.series === undefined) return (starts + priorStarts) / (days + priorStarts / mean);
    this.#age(found.series, now);
    const members = this.#members[title]?.members ?? 1;
    const ofSeries = (found.series.starts + priorStarts) / (found.series.days + priorStarts / (mean * members));
    return (starts + seriesStarts) / (days + (seriesStarts * members) / ofSeries);
  }

  /** Starts that an estimate rests on, those that are only assumed among them: the fewer, the likelier it is far off. */
  evidence(title: number, now: number): number {
    const found = this.#titles[title];
    if (found === undefined) return 0;
    const { priorStarts, seriesStarts } = this.#tuning;
    this.#age(found.counter, now);
    if (found.series === undefined) return found.counter.starts + priorStarts;
    this.#age(found.series, now);
    return found.counter.starts + Math.min(seriesStarts, found.series.starts + priorStarts);
  }

  #meansAt(now: number): { readonly old: number; readonly release: number } {
    const day = Math.floor(now / DAY_MS);
    if (day === this.#means.day) return this.#means;
    // A day of one start: what a region without any history begins with.
    const sums = { old: { starts: 1, days: 1 }, release: { starts: 1, days: 1 } };
    for (const { counter } of this.#titles) {
      this.#age(counter, now);
      const sum = counter.releaseAt === undefined ? sums.old : sums.release;
      sum.starts += counter.starts;
      sum.days += counter.days;
    }
    const { old, release } = sums;
    this.#means = { day, old: old.starts / old.days, release: release.starts / release.days };
    return this.#means;
  }
}
