// What this region's viewers are expected to ask for, part by part: how often titles are begun, on which renditions, where
// their viewers are now and who is expected back. Counts alone, of nobody in particular. Pure.
import { Devices } from './devices.ts';
import { type Ahead, BUCKET_SECONDS, Flow } from './flow.ts';
import { RATE_TUNING, Rates, type RateTuning } from './rates.ts';
import { Worths } from './worths.ts';

/** A rendition or an audio track, as long as its title. */
export type AudienceTrack = { readonly kind: 'video' | 'audio'; readonly bitsPerSecond: number };

/** A title as its viewers meet it: a film or an episode. */
export type AudienceTitle = {
  readonly id: string;
  readonly durationSeconds: number;
  readonly tracks: readonly AudienceTrack[];
  readonly releaseAt?: number | undefined;
  readonly series?: string | undefined;
  /** The episode before it. */
  readonly previousId?: string | undefined;
  /** Of a byte from its origin, beside other titles'; default 1. */
  readonly cost?: number;
};

/** What is expected within the horizon, requests of each part; those to come discounted by when. */
export type AudienceOptions = {
  /** When counting begins, milliseconds since the epoch. */
  readonly sinceMs: number;
  /** How long an object that is kept stays: what comes after that counts 1/e and less. */
  readonly horizonSeconds: number;
  /** Titles that are told apart; further ones are not known. Default 20 000. */
  readonly maxTitles?: number;
  readonly tuning?: RateTuning;
  /** Views a day that begin by themselves, in place of counts. */
  readonly startsPerDay?: ((titleId: string, now: number) => number) | undefined;
  /** False: views are not followed from part to part, each that begins counts for itself. Default true. */
  readonly follows?: boolean;
};

type Known = {
  readonly title: AudienceTitle;
  /** In Rates. */
  readonly number: number;
  /** In Flow, by track. */
  readonly lanes: readonly number[];
  shares: readonly number[];
  version: number;
};

type Lane = {
  readonly of: Known;
  readonly track: number;
  enteredAt: number;
  readAt: number;
  expected: Float32Array;
  isProtected: boolean;
};

/** Groups of a lane: its buckets, 21 hours of them and what comes later with the last, and its first seconds. */
const GROUPS = 256;
const HEAD = GROUPS - 1;
/** The first seconds of a title, which whoever starts it waits for: a segment or two, during which the next ones come. */
export const HEAD_SECONDS = 6;
/** A request for them counts this many times: it is a tenth of a bucket's bytes, and a viewer waits for it. */
const HEAD_WEIGHT = 4;
/** Episodes before one whose viewers are expected to come to it: of those further back hardly any do. */
const MAX_EPISODES = 8;
/** Counts that a rate is certain from. */
const CERTAIN = 1e9;
/** A rendition that nobody has entered is read anew after this many buckets' time. */
const STALE_TICKS = 6;

/** The bucket of a time in a title. */
const bucketOf = (seconds: number): number => Math.min(HEAD - 1, Math.floor(Math.max(0, seconds) / BUCKET_SECONDS));

/** Expected requests by title, track and bucket. */
export class Audience {
  readonly #rates: Rates;
  readonly #flow = new Flow();
  readonly #devices = new Devices();
  readonly #titles = new Map<string, Known>();
  /** Whose previous title is not known yet, by that. */
  readonly #waiting = new Map<string, Known[]>();
  readonly #lanes: Lane[] = [];
  readonly #maxTitles: number;
  readonly #startsPerDay: AudienceOptions['startsPerDay'];
  readonly #follows: boolean;
  #ahead: Ahead;
  /** The least that is expected of first seconds that are protected, and how far the next look at all has come. */
  #leastProtected = Number.POSITIVE_INFINITY;
  #looked = 0;
  #heads = new Worths();
  horizonSeconds: number;

  constructor({ sinceMs, horizonSeconds, maxTitles = 20_000, tuning = RATE_TUNING, ...rest }: AudienceOptions) {
    this.#startsPerDay = rest.startsPerDay;
    this.#follows = rest.follows ?? true;
    this.#rates = new Rates(sinceMs, tuning);
    this.#ahead = this.#flow.ahead(horizonSeconds);
    this.horizonSeconds = horizonSeconds;
    this.#maxTitles = maxTitles;
  }

  /** Looks so far ahead from now on. */
  lookAhead(horizonSeconds: number): void {
    this.horizonSeconds = horizonSeconds;
    this.#ahead = this.#flow.ahead(horizonSeconds);
    for (const lane of this.#lanes) lane.readAt = Number.NEGATIVE_INFINITY;
  }

  /** Whether the title is known as it is now; false also for one whose tracks or length have changed. */
  knows({ id, tracks, durationSeconds }: Pick<AudienceTitle, 'id' | 'tracks' | 'durationSeconds'>): boolean {
    const known = this.#titles.get(id)?.title;
    return known?.tracks.length === tracks.length && known.durationSeconds === durationSeconds;
  }

  /** Takes in a title, again when it has changed. False: there are too many. `startsPerDay`: as far as known before. */
  open(title: AudienceTitle, startsPerDay = 0): boolean {
    if (!this.#titles.has(title.id) && this.#titles.size >= this.#maxTitles) return false;
    const { releaseAt, series } = title;
    const number = this.#titles.get(title.id)?.number ?? this.#rates.add({ releaseAt, series, startsPerDay });
    const buckets = 1 + bucketOf(title.durationSeconds - 0.001);
    const lanes = title.tracks.map(() => this.#flow.add(buckets, -1));
    const known: Known = { title, number, lanes, shares: [], version: -1 };
    for (const [track] of lanes.entries()) {
      const never = Number.NEGATIVE_INFINITY;
      this.#lanes.push({
        of: known,
        track,
        enteredAt: never,
        readAt: never,
        expected: new Float32Array(buckets),
        isProtected: false,
      });
    }
    this.#titles.set(title.id, known);
    this.#link(known);
    return true;
  }

  #link(known: Known): void {
    const { id, previousId } = known.title;
    const previous = previousId === undefined ? undefined : this.#titles.get(previousId);
    if (previous !== undefined) this.#follow(previous, known);
    else if (previousId !== undefined) this.#waiting.set(previousId, [...(this.#waiting.get(previousId) ?? []), known]);
    for (const next of this.#waiting.get(id) ?? []) this.#follow(known, next);
    this.#waiting.delete(id);
  }

  /** Viewers go on with the next title's track of the same kind whose bit rate is nearest. */
  #follow(from: Known, to: Known): void {
    for (const [at, track] of to.title.tracks.entries()) {
      const distance = ({ bitsPerSecond }: AudienceTrack): number =>
        Math.abs(Math.log((bitsPerSecond + 1) / (track.bitsPerSecond + 1)));
      let nearest = -1;
      for (const [other, candidate] of from.title.tracks.entries()) {
        if (candidate.kind !== track.kind) continue;
        const best = from.title.tracks[nearest];
        if (best === undefined || distance(candidate) < distance(best)) nearest = other;
      }
      this.#flow.link(to.lanes[at] ?? -1, from.lanes[nearest] ?? -1);
    }
  }

  /** A viewer came to the part of a track that begins at `seconds`, the first of its bucket or of the title. */
  enter(at: { readonly titleId: string; readonly track: number; readonly seconds: number }, now: number): void {
    const known = this.#titles.get(at.titleId);
    const lane = known?.lanes[at.track];
    const kind = known?.title.tracks[at.track];
    if (known === undefined || lane === undefined || kind === undefined) return;
    const entry = this.#lanes[lane];
    if (entry !== undefined) entry.enteredAt = now;
    const bucket = bucketOf(at.seconds);
    const isStart = this.#follows ? this.#flow.enter(lane, bucket, now) : bucket === 0;
    if (kind.kind !== 'video') return;
    if (at.seconds < BUCKET_SECONDS) this.#devices.add(kind.bitsPerSecond);
    if (isStart) this.#rates.start(known.number, now);
  }

  /** The group of a part; undefined when the title or track is not known. 1 or above. */
  groupOf(titleId: string, track: number, seconds: number): number | undefined {
    const lane = this.#titles.get(titleId)?.lanes[track];
    if (lane === undefined) return undefined;
    return lane * GROUPS + (seconds < HEAD_SECONDS ? HEAD : bucketOf(seconds)) + 1;
  }

  /** What keeping a byte of a group is worth: requests that are expected of it, times its cost; 0 of what was replaced, Infinity of what is protected. */
  score(group: number, now: number): number {
    const entry = this.#lanes[Math.floor((group - 1) / GROUPS)];
    if (entry === undefined) return 0;
    const bucket = (group - 1) % GROUPS;
    if (bucket === HEAD && entry.isProtected) return Number.POSITIVE_INFINITY;
    const expected = this.#expected(entry, now);
    const { cost = 1 } = entry.of.title;
    return cost * (bucket === HEAD ? HEAD_WEIGHT * (expected[0] ?? 0) : (expected[bucket] ?? 0));
  }

  /**
   * Looks at the first seconds of so many renditions more: they are protected, and leave after all else, when they are
   * expected as much as the least of those that fitted into `bytes` when all were looked at the last time.
   */
  protect(bytes: number, { renditions, now }: { readonly renditions: number; readonly now: number }): void {
    const end = Math.min(this.#lanes.length, this.#looked + renditions);
    for (; this.#looked < end; this.#looked += 1) {
      const entry = this.#lanes[this.#looked];
      const track = entry?.of.title.tracks[entry.track];
      if (entry === undefined || track === undefined) continue;
      const { cost = 1 } = entry.of.title;
      const worth = cost * (this.#expected(entry, now)[0] ?? 0);
      entry.isProtected = worth > 0 && worth >= this.#leastProtected;
      this.#heads.add(worth, (track.bitsPerSecond / 8) * HEAD_SECONDS);
    }
    if (this.#looked < this.#lanes.length) return;
    this.#leastProtected = this.#heads.least(bytes);
    this.#heads = new Worths();
    this.#looked = 0;
  }

  /** Whether the first seconds of a track are protected. */
  isProtected(titleId: string, track: number): boolean {
    return this.#lanes[this.#titles.get(titleId)?.lanes[track] ?? -1]?.isProtected ?? false;
  }

  /** Requests that are expected of the part of a track that begins at `seconds`. */
  expected(at: { readonly titleId: string; readonly track: number; readonly seconds: number }, now: number): number {
    const entry = this.#lanes[this.#titles.get(at.titleId)?.lanes[at.track] ?? -1];
    return entry === undefined ? 0 : (this.#expected(entry, now)[bucketOf(at.seconds)] ?? 0);
  }

  /**
   * Chance of a title that anybody asks for what is expected so often: a Poisson process whose rate is known from so many
   * counts (gamma-distributed), of which none comes with the chance of the negative binomial's zero.
   */
  chance(titleId: string, expected: number, now: number): number {
    const evidence = this.#evidence(titleId, now);
    return evidence <= 0 ? 0 : 1 - (1 + expected / evidence) ** -evidence;
  }

  /** What a title's rate is known from: its own starts, or those of the episodes that its viewers come from. */
  #evidence(titleId: string, now: number): number {
    if (this.#startsPerDay !== undefined) return CERTAIN;
    let most = 0;
    let known = this.#titles.get(titleId);
    for (let back = 0; known !== undefined && back <= MAX_EPISODES; back += 1) {
      most = Math.max(most, this.#rates.evidence(known.number, now));
      known = known.title.previousId === undefined ? undefined : this.#titles.get(known.title.previousId);
    }
    return most;
  }

  #expected(entry: Lane, now: number, depth = 0): Float32Array {
    const age = now - entry.readAt;
    const tickMs = BUCKET_SECONDS * 1000;
    if (age < tickMs || (age < STALE_TICKS * tickMs && entry.enteredAt < entry.readAt)) return entry.expected;
    entry.readAt = now;
    const { of, track } = entry;
    const lane = of.lanes[track];
    if (lane === undefined || this.#titles.get(of.title.id) !== of) return entry.expected.fill(0);
    const startsPerDay = this.startsPerDay(of.title.id, now) * this.#share(of, track);
    const previous = depth < MAX_EPISODES && this.#follows ? this.#lanes[this.#flow.previousOf(lane)] : undefined;
    const before = previous && this.#expected(previous, now, depth + 1);
    this.#ahead.read(lane, { startsPerDay, before, now }, entry.expected);
    return entry.expected;
  }

  /** A track's part of its title's views. */
  #share(known: Known, track: number): number {
    if (known.version !== this.#devices.version) {
      const { tracks } = known.title;
      const video = this.#devices.shares(tracks.flatMap((one) => (one.kind === 'video' ? [one.bitsPerSecond] : [])));
      const audio = 1 / Math.max(1, tracks.filter(({ kind }) => kind === 'audio').length);
      let next = 0;
      known.shares = tracks.map(({ kind }) => {
        if (kind === 'audio') return audio;
        next += 1;
        return video[next - 1] ?? 0;
      });
      known.version = this.#devices.version;
    }
    return known.shares[track] ?? 0;
  }

  /** Views a day of a title that begin by themselves. */
  startsPerDay(titleId: string, now: number): number {
    if (this.#startsPerDay !== undefined) return this.#startsPerDay(titleId, now);
    const known = this.#titles.get(titleId);
    return known === undefined ? 0 : this.#rates.perDay(known.number, now);
  }
}
