// What an access log foretells: which object a player asks for next, and what many ask for that has not been asked for
// lately. Every forecast is kept until it comes true or its time is over, so that it is known what warming would have
// saved and wasted before anything is warmed. Time is that of the log.
import type { SeenRequest } from './line.ts';

/** Why an object is foreseen: the next of numbered ones, what usually follows, what many ask for. */
export const WARM_REASONS = ['next', 'follows', 'popular'] as const;
/** One of WARM_REASONS. */
export type WarmReason = (typeof WARM_REASONS)[number];

/** An object that is worth being there soon. */
export type Forecast = {
  readonly path: string;
  readonly host: string | undefined;
  readonly reason: WarmReason;
  /** As it is expected to be. */
  readonly bytes: number;
};

/**
 * How forecasts ended. `saved`: asked for in time, and not there without warming; `there`: asked for in time, but there
 * anyway; `wasted`: not asked for in time.
 */
export type Tally = Readonly<Record<'saved' | 'there' | 'wasted', number>> & {
  readonly savedBytes: number;
  readonly wastedBytes: number;
};

/** Everything that was seen and foreseen. */
export type ForesightReport = {
  readonly requests: number;
  readonly bytes: number;
  /** Requests that the log calls misses; where it says nothing, first ones in REMEMBERED_MS. */
  readonly misses: number;
  readonly missedBytes: number;
  readonly forecasts: Readonly<Record<WarmReason, Tally>>;
  readonly waiting: number;
};

/** Foresight over one log. */
export type Foresight = {
  /** Takes a request; gives what is worth warming now. */
  readonly see: (request: SeenRequest) => readonly Forecast[];
  /** A request that was made to warm an object: a viewer's hit on it is then owed to that. */
  readonly warmed: (request: SeenRequest) => void;
  /** Whether forecasts of this reason have come true often enough to be warmed. */
  readonly isTrusted: (reason: WarmReason) => boolean;
  readonly report: () => ForesightReport;
};

/** An object asked for within this is taken to be in the cache. */
const REMEMBERED_MS = 600_000;
/** A player asks for the next object within it, and many ask again for what is popular. */
const HORIZON_MS = { next: 120_000, follows: 120_000, popular: REMEMBERED_MS } as const;
/** Objects ahead of a player among numbered ones. */
const DEPTH = 2;
const HALF_LIFE_MS = 3_600_000;
/** Objects, players, families, and forecasts that are remembered. */
const MOST = { objects: 200_000, clients: 50_000, families: 50_000, forecasts: 20_000 } as const;
const MAX_FOLLOWERS = 4;
const LEAST_FOLLOWED = 3;
/** Requests that one object gets within the horizon of popularity, from which on it is kept warm. */
const POPULAR_REQUESTS = 2;
/** Popular objects that are looked at, and how often. */
const POPULAR_EVERY_MS = 60_000;
const MAX_POPULAR = 200;
/** Forecasts of a reason that must have ended, and the share that must have come true. */
const LEAST_ENDED = 30;
const LEAST_PRECISION = 0.5;
/** Of what ended, the latest count: an older forecast weighs half after so many. */
const PRECISION_MEMORY = 200;

const FORGOTTEN_RATIO = 0.1;

type Known = { bytes: number; seenAt: number; score: number; readonly host: string | undefined };
type Family = { step: number; width: number; right: number; wrong: number; bytes: number; count: number };
type Waiting = Forecast & { readonly until: number; isWarmed: boolean };

/** The last number of a path's file name but for its extension, and the path around it: a family of numbered objects. */
const NUMBERED = /^(.*\/[^/]*?)(\d{1,15})(\D*(?:\.\w{1,5})?)$/;

type Place = {
  readonly family: string;
  readonly number: number;
  readonly width: number;
  readonly around: readonly [string, string];
};

function placeOf(path: string): Place | undefined {
  const found = NUMBERED.exec(path);
  if (found === null) return undefined;
  const [, before = '', digits = '', after = ''] = found;
  const isPadded = digits.startsWith('0') && digits.length > 1;
  return {
    family: `${before}*${after}`,
    number: Number(digits),
    width: isPadded ? digits.length : 0,
    around: [before, after],
  };
}

const pathAt = ({ around: [before, after], width }: Place, number: number): string =>
  `${before}${String(number).padStart(width, '0')}${after}`;

/** A map that forgets what was touched longest ago: a part at once, since the first keys of a map are slow to reach. */
class Recent<V> {
  readonly #most: number;
  readonly entries = new Map<string, V>();

  constructor(most: number) {
    this.#most = most;
  }

  touch(key: string, value: V): V {
    this.entries.delete(key);
    this.entries.set(key, value);
    if (this.entries.size <= this.#most) return value;
    let left = Math.ceil(this.#most * FORGOTTEN_RATIO);
    for (const oldest of this.entries.keys()) {
      this.entries.delete(oldest);
      left -= 1;
      if (left <= 0) break;
    }
    return value;
  }
}

const noTally = () => ({ saved: 0, there: 0, wasted: 0, savedBytes: 0, wastedBytes: 0 });

/** Opens it, knowing nothing. */
export function openForesight(): Foresight {
  return new Watcher().face();
}

class Watcher {
  readonly #objects = new Recent<Known>(MOST.objects);
  readonly #clients = new Recent<{ readonly path: string; readonly at: number }>(MOST.clients);
  readonly #families = new Recent<Family>(MOST.families);
  readonly #followers = new Recent<Map<string, number>>(MOST.families);
  readonly #waiting = new Recent<Waiting>(MOST.forecasts);
  readonly #tallies = { next: noTally(), follows: noTally(), popular: noTally() };
  readonly #precision = { next: { good: 0, ended: 0 }, follows: { good: 0, ended: 0 }, popular: { good: 0, ended: 0 } };
  readonly #seen = { requests: 0, bytes: 0, misses: 0, missedBytes: 0 };
  #popularAt = 0;
  #sweptAt = 0;

  face(): Foresight {
    return {
      see: (request) => this.#see(request),
      warmed: ({ path, wasHit }) => {
        const waiting = this.#waiting.entries.get(path);
        if (waiting !== undefined && wasHit !== true) waiting.isWarmed = true;
      },
      isTrusted: (reason) => this.#isTrusted(reason),
      report: () => ({
        ...this.#seen,
        forecasts: {
          next: { ...this.#tallies.next },
          follows: { ...this.#tallies.follows },
          popular: { ...this.#tallies.popular },
        },
        waiting: this.#waiting.entries.size,
      }),
    };
  }

  #see(request: SeenRequest): readonly Forecast[] {
    const { path, at, bytes, wasHit } = request;
    const known = this.#objects.entries.get(path);
    const isMiss = wasHit === undefined ? known === undefined || at - known.seenAt > REMEMBERED_MS : !wasHit;
    this.#seen.requests += 1;
    this.#seen.bytes += bytes;
    if (isMiss) this.#seen.misses += 1;
    if (isMiss) this.#seen.missedBytes += bytes;
    this.#sweep(at);
    this.#settle(request, isMiss);
    this.#learn(request, known);
    const found = [...this.#next(request), ...this.#follows(request), ...this.#popular(at)];
    return found.filter((forecast) => this.#expect(forecast, at));
  }

  /** A forecast of this object has come true. */
  #settle({ path, bytes }: SeenRequest, isMiss: boolean): void {
    const waiting = this.#waiting.entries.get(path);
    if (waiting === undefined) return;
    this.#waiting.entries.delete(path);
    const tally = this.#tallies[waiting.reason];
    const isSaved = isMiss || waiting.isWarmed;
    if (isSaved) tally.savedBytes += bytes;
    tally[isSaved ? 'saved' : 'there'] += 1;
    this.#note(waiting.reason, true);
  }

  /** Forecasts whose time is over. */
  #sweep(at: number): void {
    if (at - this.#sweptAt < 1_000) return;
    this.#sweptAt = at;
    for (const [path, { reason, bytes, until }] of this.#waiting.entries) {
      if (until > at) continue;
      this.#waiting.entries.delete(path);
      this.#tallies[reason].wasted += 1;
      this.#tallies[reason].wastedBytes += bytes;
      this.#note(reason, false);
    }
  }

  #note(reason: WarmReason, isGood: boolean): void {
    const record = this.#precision[reason];
    const keep = record.ended >= PRECISION_MEMORY ? 1 - 1 / PRECISION_MEMORY : 1;
    record.ended = record.ended * keep + 1;
    record.good = record.good * keep + (isGood ? 1 : 0);
  }

  #isTrusted(reason: WarmReason): boolean {
    const { good, ended } = this.#precision[reason];
    return ended >= LEAST_ENDED && good >= LEAST_PRECISION * ended;
  }

  #learn({ path, at, bytes, client, host }: SeenRequest, known: Known | undefined): void {
    const decay = known === undefined ? 0 : 2 ** ((known.seenAt - at) / HALF_LIFE_MS);
    const score = (known?.score ?? 0) * decay + 1;
    this.#objects.touch(path, { bytes: Math.max(bytes, known?.bytes ?? 0), seenAt: at, score, host });
    const before = this.#clients.entries.get(client);
    this.#clients.touch(client, { path, at });
    const place = placeOf(path);
    if (place !== undefined) this.#learnFamily(place, bytes, before?.path);
    if (before === undefined || before.path === path || at - before.at > HORIZON_MS.follows) return;
    if (place !== undefined && placeOf(before.path)?.family === place.family) return;
    const followers = this.#followers.touch(before.path, this.#followers.entries.get(before.path) ?? new Map());
    followers.set(path, (followers.get(path) ?? 0) + 1);
    if (followers.size <= MAX_FOLLOWERS) return;
    const [least] = [...followers].sort(([, one], [, other]) => one - other);
    if (least !== undefined) followers.delete(least[0]);
  }

  /** What one step is in this family, and whether players take it. */
  #learnFamily(place: Place, bytes: number, beforePath: string | undefined): void {
    const before = beforePath === undefined ? undefined : placeOf(beforePath);
    const empty: Family = { step: 1, width: place.width, right: 0, wrong: 0, bytes: 0, count: 0 };
    const family = this.#families.touch(place.family, this.#families.entries.get(place.family) ?? empty);
    family.bytes += bytes;
    family.count += 1;
    if (before?.family !== place.family || before.number === place.number) return;
    const step = place.number - before.number;
    if (step === family.step) family.right += 1;
    else family.wrong += 1;
    // Another step than the one believed: it is believed from now on if the old one was right less often than not.
    if (step > 0 && family.wrong > family.right) Object.assign(family, { step, right: 1, wrong: 0 });
  }

  *#next({ path, host }: SeenRequest): Generator<Forecast> {
    const place = placeOf(path);
    const family = place && this.#families.entries.get(place.family);
    if (place === undefined || family === undefined || family.right === 0 || family.right < family.wrong) return;
    for (let ahead = 1; ahead <= DEPTH; ahead += 1) {
      const bytes = family.bytes / family.count;
      yield { path: pathAt(place, place.number + ahead * family.step), host, reason: 'next', bytes };
    }
  }

  *#follows({ path, host }: SeenRequest): Generator<Forecast> {
    const followers = this.#followers.entries.get(path);
    if (followers === undefined) return;
    const all = [...followers.values()].reduce((sum, count) => sum + count, 0);
    for (const [next, count] of followers) {
      if (count < LEAST_FOLLOWED || count < all / 2) continue;
      yield { path: next, host, reason: 'follows', bytes: this.#objects.entries.get(next)?.bytes ?? 0 };
    }
  }

  /** What many ask for, and nobody has for a while: it may have been evicted, or gone stale. */
  *#popular(at: number): Generator<Forecast> {
    if (at - this.#popularAt < POPULAR_EVERY_MS) return;
    this.#popularAt = at;
    const expected = ({ score, seenAt }: Known): number =>
      score * 2 ** ((seenAt - at) / HALF_LIFE_MS) * Math.LN2 * (HORIZON_MS.popular / HALF_LIFE_MS);
    const due = [...this.#objects.entries].filter(
      ([, known]) => at - known.seenAt > REMEMBERED_MS && expected(known) >= POPULAR_REQUESTS,
    );
    for (const [path, { host, bytes }] of due.slice(-MAX_POPULAR)) yield { path, host, reason: 'popular', bytes };
  }

  /** Keeps a forecast until it ends; false for what is there already, or foreseen. */
  #expect(forecast: Forecast, at: number): boolean {
    const known = this.#objects.entries.get(forecast.path);
    if (this.#waiting.entries.has(forecast.path)) return false;
    if (known !== undefined && at - known.seenAt <= REMEMBERED_MS) return false;
    this.#waiting.touch(forecast.path, { ...forecast, until: at + HORIZON_MS[forecast.reason], isWarmed: false });
    return true;
  }
}
