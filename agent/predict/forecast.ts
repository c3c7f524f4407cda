// Hours that this region will watch of each title in the next day and week, each with an interval that is meant to hold
// four times in five, and is widened or narrowed by how often it did. Of nobody in particular. Pure.
import { launchStrength } from './launch.ts';

const DAY_MS = 86_400_000;
/** Days of history. */
const HISTORY_DAYS = 28;
/** Days after which a day of history counts half. Chosen on the workload's seed 6. */
const HALF_LIFE_DAYS = 14;
/** Days without anybody that every title is taken to have had before: who was watched once will not be as often again. */
const PRIOR_DAYS = 0.4;
/** What an interval is to hold. */
const HELD = 0.8;
/** How fast an interval that held too often or too seldom changes: Gibbs, Candès, NeurIPS 2021, (2), of its logarithm. */
const LEARNING = 0.5;
/** Titles that are expected to be watched less are too many to say anything by, hours. */
const LEAST_HOURS = 0.5;
/** What a title may have at least of its best week, once its launch is over. */
const LEAST_COURSE = 0.01;

/** How many days ahead. */
export const HORIZONS = [1, 7] as const;
/** One of HORIZONS. */
export type Horizon = (typeof HORIZONS)[number];

/** Hours that are expected, and within which they should be four times in five. */
export type Interval = { readonly low: number; readonly mean: number; readonly high: number };

/** A title's forecast, and what it was made of. Days are counted back from today, which is not among them. */
export type ForecastExplained = {
  /** How it is computed; figures of two versions are not compared. */
  readonly model: 'hours-1';
  /** Undefined: see `why`. */
  readonly day: Interval | undefined;
  readonly week: Interval | undefined;
  readonly why: 'counted' | 'no whole day has been counted yet' | 'nobody has watched it here yet';
  readonly madeOf: {
    /** Hours watched on each whole day, oldest first. */
    readonly hoursByDay: readonly number[];
    /** Hours a day that they say, newer days counting more, at the height of its course; and how many days say so. */
    readonly hoursPerDay: number;
    readonly effectiveDays: number;
    /** What of that height is expected of tomorrow, by the age of a release; 1: it was always there. */
    readonly courseRatio: number;
    /** Variance of a day's hours for each hour, over all titles. */
    readonly noiseHours: number;
    /** By how much intervals of a day and a week are wider than they would be of known rates. */
    readonly spread: Readonly<Record<Horizon, number>>;
    /** Intervals so far that held, and how many were judged. */
    readonly heldRatio: number;
    readonly judged: number;
  };
};

/** Serialised history. Readers refuse other versions. */
export type ForecastSnapshot = {
  readonly version: 1;
  /** Of the latest day in `hours`, days since the epoch. */
  readonly day: number;
  readonly spread: Readonly<Record<Horizon, number>>;
  /** By title: its latest days, oldest first. */
  readonly hours: readonly (readonly [titleId: string, hours: readonly number[]])[];
};

type Title = { readonly hours: Float32Array; readonly since: number };

/** Forecasts that wait for their days to be over. */
type Made = { readonly from: number; readonly horizon: Horizon; readonly intervals: ReadonlyMap<string, Interval> };

/** What of a release's best week is to be expected on a day. */
function courseOn(day: number, releaseAt: number | undefined): number {
  if (releaseAt === undefined) return 1;
  const noon = day * DAY_MS + DAY_MS / 2;
  return noon < releaseAt ? 0 : Math.max(LEAST_COURSE, launchStrength(releaseAt, noon));
}

/** A quantile of a gamma distribution of that mean and variance (Wilson, Hilferty, 1931); `deviate`: the normal one. */
function gammaQuantile(mean: number, variance: number, deviate: number): number {
  const ninth = variance / (9 * mean * mean);
  return mean * Math.max(0, 1 - ninth + deviate * Math.sqrt(ninth)) ** 3;
}

/** The normal quantile, 0 to 1 (Abramowitz and Stegun, 26.2.23: off by less than 0.00045). */
function normalQuantile(share: number): number {
  const tail = Math.min(share, 1 - share);
  if (tail <= 0) return share < 0.5 ? -8 : 8;
  const t = Math.sqrt(-2 * Math.log(tail));
  const above = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
  return share < 0.5 ? -above : above;
}

/** History of all titles, and forecasts from it. */
export class Forecast {
  readonly #titles = new Map<string, Title>();
  readonly #maxTitles: number;
  readonly #releaseOf: (titleId: string) => number | undefined;
  #made: Made[] = [];
  #today: number;
  readonly #since: number;
  /** By how much intervals are wider than they would be of a known rate. */
  readonly #spread: Record<Horizon, number> = { 1: 1, 7: 1 };
  /** Variance of a day's hours for each hour of their mean, over all titles; in hours: views differ in length. */
  readonly #noise = { squares: 2, sum: 1 };
  #held = { hits: 0, tries: 0 };

  /** `releaseOf`: when a title was or will be released; undefined: it was always there. */
  constructor(now: number, releaseOf: (titleId: string) => number | undefined, maxTitles = 20_000) {
    this.#today = Math.floor(now / DAY_MS);
    this.#since = this.#today;
    this.#releaseOf = releaseOf;
    this.#maxTitles = maxTitles;
  }

  /** Somebody watched so much of a title. */
  watched(titleId: string, seconds: number, now: number): void {
    this.#advance(now);
    let title = this.#titles.get(titleId);
    if (title === undefined) {
      if (this.#titles.size >= this.#maxTitles) return;
      title = { hours: new Float32Array(HISTORY_DAYS), since: this.#today };
      this.#titles.set(titleId, title);
    }
    const at = this.#today % HISTORY_DAYS;
    title.hours[at] = (title.hours[at] ?? 0) + seconds / 3600;
  }

  /** A day is over: what was forecast for it is judged, and the next is forecast. */
  #advance(now: number): void {
    const day = Math.floor(now / DAY_MS);
    for (; this.#today < day; this.#today += 1) {
      this.#learnNoise();
      this.#judge();
      const from = this.#today + 1;
      // The slot of the new day still has what was watched 28 days before.
      for (const { hours } of this.#titles.values()) hours[from % HISTORY_DAYS] = 0;
      if (day - from > HISTORY_DAYS) continue;
      for (const horizon of HORIZONS) {
        const intervals = new Map<string, Interval>();
        for (const titleId of this.#titles.keys()) {
          const interval = this.#intervalFrom(titleId, horizon, from);
          if (interval.mean >= LEAST_HOURS) intervals.set(titleId, interval);
        }
        this.#made.push({ from, horizon, intervals });
      }
    }
  }

  /** The variance of the last day's hours around what its title had before. */
  #learnNoise(): void {
    for (const [titleId, { hours }] of this.#titles) {
      const { mean } = this.#level(titleId, this.#today);
      const expected = mean * courseOn(this.#today, this.#releaseOf(titleId));
      if (expected < LEAST_HOURS) continue;
      const off = (hours[this.#today % HISTORY_DAYS] ?? 0) - expected;
      this.#noise.squares = this.#noise.squares * 0.9999 + off * off;
      this.#noise.sum = this.#noise.sum * 0.9999 + expected;
    }
  }

  #judge(): void {
    const due = this.#made.filter(({ from, horizon }) => from + horizon - 1 <= this.#today);
    this.#made = this.#made.filter((made) => !due.includes(made));
    for (const { from, horizon, intervals } of due) {
      if (intervals.size === 0) continue;
      let hits = 0;
      for (const [titleId, { low, high }] of intervals) {
        const hours = this.#sum(titleId, from, horizon);
        if (hours >= low - 1e-6 && hours <= high + 1e-6) hits += 1;
      }
      this.#held = { hits: this.#held.hits + hits, tries: this.#held.tries + intervals.size };
      // A day of few titles says little.
      const weight = LEARNING * Math.min(1, intervals.size / 100);
      this.#spread[horizon] *= Math.exp(weight * (HELD - hits / intervals.size));
    }
  }

  #sum(titleId: string, from: number, days: number): number {
    const hours = this.#titles.get(titleId)?.hours;
    let sum = 0;
    for (let day = from; day < from + days; day += 1) sum += hours?.[day % HISTORY_DAYS] ?? 0;
    return sum;
  }

  /** Hours a day in its best week, and the days, decayed, that say so. */
  #level(titleId: string, from: number): { readonly mean: number; readonly days: number } {
    const title = this.#titles.get(titleId);
    const releaseAt = this.#releaseOf(titleId);
    let [sum, days] = [0, PRIOR_DAYS];
    const first = Math.max(this.#since, from - HISTORY_DAYS + 1);
    for (let day = first; day < from; day += 1) {
      const weight = 2 ** (-(from - day) / HALF_LIFE_DAYS);
      sum += weight * (title?.hours[day % HISTORY_DAYS] ?? 0);
      days += weight * courseOn(day, releaseAt);
    }
    return { mean: sum / days, days };
  }

  #intervalFrom(titleId: string, horizon: Horizon, from: number): Interval {
    const { mean: perDay, days } = this.#level(titleId, from);
    let course = 0;
    for (let day = from; day < from + horizon; day += 1) course += courseOn(day, this.#releaseOf(titleId));
    const mean = perDay * course;
    if (mean <= 0) return { low: 0, mean: 0, high: 0 };
    const noise = this.#noise.squares / this.#noise.sum;
    // Of what comes, and of the level, which is known from so many days alone.
    const variance = noise * mean * (1 + course / days);
    // Whoever is not watched at all is below any interval: chance has it that nobody comes (of a Poisson process).
    const nobody = Math.exp((-2 * mean) / noise);
    const below = nobody > (1 - HELD) / 2 ? 0 : (1 - HELD) / 2;
    const low = below === 0 ? 0 : gammaQuantile(mean, variance, normalQuantile(below));
    const high = gammaQuantile(mean, variance, normalQuantile(below + HELD));
    const spread = this.#spread[horizon];
    const down = below === 0 ? mean : Math.min(mean, spread * (mean - low));
    return { low: mean - down, mean, high: mean + spread * Math.max(0, high - mean) };
  }

  /** What is expected from today on; undefined before a whole day has been seen, and of a title that nobody has watched. */
  expected(titleId: string, horizon: Horizon, now: number): Interval | undefined {
    this.#advance(now);
    if (this.#today === this.#since || !this.#titles.has(titleId)) return undefined;
    return this.#intervalFrom(titleId, horizon, this.#today);
  }

  /** The forecasts of a title with all that they were made of. */
  explained(titleId: string, now: number): ForecastExplained {
    const [day, week] = [this.expected(titleId, 1, now), this.expected(titleId, 7, now)];
    const { mean: hoursPerDay, days: effectiveDays } = this.#level(titleId, this.#today);
    const { ratio: heldRatio, count: judged } = this.held();
    const first = Math.max(this.#since, this.#today - HISTORY_DAYS + 1);
    const unseen = this.#today === this.#since ? 'no whole day has been counted yet' : 'nobody has watched it here yet';
    return {
      ...{ model: 'hours-1', day, week, why: day === undefined ? unseen : 'counted' },
      madeOf: {
        hoursByDay: Array.from({ length: this.#today - first }, (_, at) => this.#sum(titleId, first + at, 1)),
        ...{ hoursPerDay, effectiveDays, heldRatio, judged },
        courseRatio: courseOn(this.#today, this.#releaseOf(titleId)),
        noiseHours: this.#noise.squares / this.#noise.sum,
        spread: { ...this.#spread },
      },
    };
  }

  /** The share of intervals so far that held, and how many there were. */
  held(): { readonly ratio: number; readonly count: number } {
    const { hits, tries } = this.#held;
    return { ratio: tries === 0 ? 0 : hits / tries, count: tries };
  }

  /** As it can be kept. */
  snapshot(now: number): ForecastSnapshot {
    this.#advance(now);
    const days = Array.from({ length: HISTORY_DAYS }, (_, at) => this.#today - HISTORY_DAYS + 1 + at);
    const hours = [...this.#titles].map(([titleId, title]) => {
      const list = days.map((day) => (day < 0 ? 0 : Math.round((title.hours[day % HISTORY_DAYS] ?? 0) * 1000) / 1000));
      return [titleId, list] as const;
    });
    return { version: 1, day: this.#today, spread: { ...this.#spread }, hours };
  }

  /** Goes on from what was kept; throws RangeError for another version or for what is no number. */
  static restore(
    { version, day, spread, hours }: ForecastSnapshot,
    now: number,
    releaseOf: (titleId: string) => number | undefined,
  ): Forecast {
    const days = [day, ...Object.values(spread), ...hours.flatMap(([, list]) => list)];
    if (version !== 1 || !days.every((value) => Number.isFinite(value) && value >= 0)) {
      throw new RangeError('a forecast that cannot be read');
    }
    // History begins where the oldest hours are.
    const oldest = hours.map(([, list]) => list.findIndex((value) => value > 0)).filter((at) => at >= 0);
    const since = oldest.length === 0 ? day : day - HISTORY_DAYS + 1 + Math.min(...oldest);
    const made = new Forecast(Math.min(since * DAY_MS, now), releaseOf);
    made.#today = day;
    for (const [titleId, list] of hours) {
      const title: Title = { hours: new Float32Array(HISTORY_DAYS), since };
      for (const [at, value] of list.entries()) {
        title.hours[(((day - HISTORY_DAYS + 1 + at) % HISTORY_DAYS) + HISTORY_DAYS) % HISTORY_DAYS] = value;
      }
      made.#titles.set(titleId, title);
    }
    for (const horizon of HORIZONS) made.#spread[horizon] = spread[horizon];
    return made;
  }
}
