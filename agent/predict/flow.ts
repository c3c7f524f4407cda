// Where this region's viewers are in titles, as counts: how many are at each 5 minutes of each rendition, how many left
// there, and so how often each part is going to be asked for. No viewer is known by it, only how many. Pure.

/** Seconds of a bucket: of a rendition what is counted together. */
export const BUCKET_SECONDS = 300;
const BUCKET_MS = BUCKET_SECONDS * 1000;
/** Hours within which somebody who left is expected back. */
const BACK_HOURS = 96;
const BUCKETS_PER_HOUR = 3600 / BUCKET_SECONDS;
/** Who comes back sooner than this was only pausing. */
const PAUSE_BUCKETS = BUCKETS_PER_HOUR;
/** Those who left a rendition that are remembered, the latest. */
const MAX_LEFT = 512;

/** A rendition of a title. */
type Lane = {
  readonly buckets: number;
  /** The rendition of the episode before that its viewers come from; -1: none. */
  previous: number;
  hasNext: boolean;
  /** Number of the 5 minutes that `here` is about. */
  tick: number;
  /** Viewers who came into each bucket in this tick, and those of the tick before who have not moved on. */
  here: Float32Array;
  before: Float32Array;
  /** Who left, oldest first: bucket, tick, how many. The last bucket's have watched to the end. */
  left: { readonly bucket: number; readonly tick: number; count: number }[];
};

/** Chance of something, counted. */
class Share {
  #hits: number;
  #tries: number;

  /** What is assumed, and how many tries that counts for. */
  constructor(assumed: number, weight: number) {
    this.#hits = assumed * weight;
    this.#tries = weight;
  }

  add(hits: number, tries: number): void {
    this.#hits += hits;
    this.#tries += tries;
  }

  get value(): number {
    return Math.min(1, this.#hits / this.#tries);
  }
}

/** How long those who come back were away: a share of leavers, by hour. */
class Returns {
  readonly share: Share;
  readonly #hours = new Float64Array(BACK_HOURS).fill(1 / BACK_HOURS);

  constructor(share: Share) {
    this.share = share;
  }

  add(ticks: number): void {
    const hour = Math.min(BACK_HOURS - 1, Math.floor(ticks / BUCKETS_PER_HOUR));
    this.#hours[hour] = (this.#hours[hour] ?? 0) + 1;
    this.share.add(1, 0);
  }

  /** By hours since they left: the discounted chance that one who has not come back yet does; `hourly`: the discount. */
  expected(hourly: number): Float64Array {
    const sum = this.#hours.reduce((total, hour) => total + hour, 0);
    const expected = new Float64Array(BACK_HOURS + 1);
    let away = 1 - this.share.value;
    let back = 0;
    for (let hour = BACK_HOURS - 1; hour >= 0; hour -= 1) {
      const chance = (this.share.value * (this.#hours[hour] ?? 0)) / sum;
      back = back * hourly + chance;
      away += chance;
      expected[hour] = away > 0 ? back / away : 0;
    }
    return expected;
  }
}

/**
 * Counts of viewers by rendition and bucket. Somebody who comes into a bucket is taken from the one before; who does not
 * come on within two ticks has left there. Chances to go on, to take the next episode and to come back are counted too.
 */
export class Flow {
  readonly #lanes: Lane[] = [];
  // Assumed until counted: a fifth leaves in the first minutes, few later (facts of the workload are not used).
  readonly #goesOn = { first: new Share(0.8, 50), later: new Share(0.97, 200) };
  readonly #next = new Share(0.5, 20);
  readonly #returns = { left: new Returns(new Share(0.2, 20)), ended: new Returns(new Share(0.2, 20)) };

  /** Takes in a rendition and gives its number. `previous`: the same rendition of the episode before; -1: none. */
  add(buckets: number, previous: number): number {
    const [here, before] = [new Float32Array(buckets), new Float32Array(buckets)];
    this.#lanes.push({ buckets, previous: -1, hasNext: false, tick: 0, here, before, left: [] });
    this.link(this.#lanes.length - 1, previous);
    return this.#lanes.length - 1;
  }

  /** Says which rendition of the episode before a rendition's viewers come from, once that is known. */
  link(lane: number, previous: number): void {
    const [to, source] = [this.#lanes[lane], this.#lanes[previous]];
    if (to === undefined || source === undefined) return;
    to.previous = previous;
    source.hasNext = true;
  }

  /** A viewer came into a bucket. True: a view of the title began, by itself and not from what went before. */
  enter(lane: number, bucket: number, now: number): boolean {
    const to = this.#lanes[lane];
    if (to === undefined || bucket < 0 || bucket >= to.buckets) return false;
    const tick = Math.floor(now / BUCKET_MS);
    this.#roll(to, tick);
    to.here[bucket] = (to.here[bucket] ?? 0) + 1;
    if (bucket === 0) return !this.#follows(to, tick);
    // A player that fills its buffer is ahead of the clock: it may have come into both within one tick.
    const from = [to.before, to.here].find((counts) => (counts[bucket - 1] ?? 0) > 0);
    if (from === undefined) this.#takeBack(to, bucket - 1, tick);
    else {
      from[bucket - 1] = Math.max(0, (from[bucket - 1] ?? 0) - 1);
      this.#goesOn[bucket === 1 ? 'first' : 'later'].add(1, 1);
    }
    return false;
  }

  /** Whether who begins comes from the episode before. */
  #follows(to: Lane, tick: number): boolean {
    const from = this.#lanes[to.previous];
    if (from === undefined) return false;
    this.#roll(from, tick);
    const last = from.buckets - 1;
    const ending = from.before[last] ?? 0;
    if (ending <= 0) return this.#takeBack(from, last, tick);
    from.before[last] = Math.max(0, ending - 1);
    this.#next.add(1, 1);
    return true;
  }

  #takeBack(lane: Lane, bucket: number, tick: number): boolean {
    const found = lane.left.find((one) => one.bucket === bucket && one.count > 0);
    if (found === undefined) return false;
    found.count -= 1;
    const returns = this.#returns[bucket === lane.buckets - 1 ? 'ended' : 'left'];
    if (tick - found.tick > PAUSE_BUCKETS) returns.add(tick - found.tick);
    else returns.share.add(0, -1); // It had not left.
    return true;
  }

  /** Brings a rendition to this tick: who was due and did not come has left. */
  #roll(lane: Lane, tick: number): void {
    if (tick <= lane.tick) return;
    this.#leave(lane, lane.tick - 1);
    const spare = lane.before;
    lane.before = lane.here;
    if (tick > lane.tick + 1) {
      this.#leave(lane, lane.tick);
      lane.before.fill(0);
    }
    spare.fill(0);
    lane.here = spare;
    lane.tick = tick;
    const oldest = tick - BACK_HOURS * BUCKETS_PER_HOUR;
    if ((lane.left[0]?.tick ?? tick) < oldest || lane.left.length > MAX_LEFT) {
      lane.left = lane.left.filter((one) => one.tick >= oldest && one.count > 0).slice(-MAX_LEFT);
    }
  }

  #leave(lane: Lane, tick: number): void {
    for (const [bucket, count] of lane.before.entries()) {
      if (count <= 0) continue;
      const isEnd = bucket === lane.buckets - 1;
      if (isEnd && !lane.hasNext) continue;
      if (isEnd) this.#next.add(0, count);
      else this.#goesOn[bucket === 0 ? 'first' : 'later'].add(0, count);
      // Who left at once was only looking.
      if (bucket === 0 && !isEnd) continue;
      this.#returns[isEnd ? 'ended' : 'left'].share.add(0, count);
      lane.left.push({ bucket, tick, count });
    }
  }

  /** Opens a look ahead in which what comes in `horizonSeconds` counts 1/e of what comes at once. */
  ahead(horizonSeconds: number): Ahead {
    return new Ahead(this, horizonSeconds);
  }

  /** For Ahead alone: discounted chances at an hour. */
  chances(horizonSeconds: number) {
    const hourly = Math.exp(-3600 / horizonSeconds);
    return {
      left: this.#returns.left.expected(hourly),
      ended: this.#returns.ended.expected(hourly),
      first: this.#goesOn.first.value,
      later: this.#goesOn.later.value,
      next: this.#next.value,
    };
  }

  /** The rendition of the episode before that a rendition's viewers come from; -1: none. */
  previousOf(lane: number): number {
    return this.#lanes[lane]?.previous ?? -1;
  }

  /** For Ahead alone: a rendition as of this tick. */
  at(lane: number, tick: number): Readonly<Lane> | undefined {
    const found = this.#lanes[lane];
    if (found !== undefined) this.#roll(found, tick);
    return found;
  }
}

/** What is known of who comes to a rendition. */
export type Coming = {
  /** Views of it that begin by themselves. */
  readonly startsPerDay: number;
  /** Expected requests of each bucket of the same rendition of the episode before; undefined: there is none. */
  readonly before: Readonly<Float32Array> | undefined;
  readonly now: number;
};

/** Expected requests of each bucket of a rendition, those to come discounted by when. */
export class Ahead {
  readonly #flow: Flow;
  readonly #horizonSeconds: number;
  #chances: ReturnType<Flow['chances']> | undefined;
  #hour = -1;

  constructor(flow: Flow, horizonSeconds: number) {
    this.#flow = flow;
    this.#horizonSeconds = horizonSeconds;
  }

  /**
   * Writes into `expected`, one number a bucket. Those who are behind a bucket come to it with the chance to go on, at once
   * or after a while; those who left before it may come back; those who are expected to end the episode before may follow.
   */
  read(lane: number, { startsPerDay, before, now }: Coming, expected: Float32Array): void {
    const tick = Math.floor(now / BUCKET_MS);
    const found = this.#flow.at(lane, tick);
    if (found === undefined) return;
    const chances = this.#now(tick);
    const discount = Math.exp(-BUCKET_SECONDS / this.#horizonSeconds);
    const back = this.#back(found, tick, 'left');
    // Of those who leave later than in the first minutes, some come back.
    const later = chances.later * discount + (1 - chances.later) * (chances.left[0] ?? 0);
    let coming = (startsPerDay * this.#horizonSeconds) / 86_400 + this.#fromBefore(found, { tick, before });
    expected[0] = coming;
    for (let bucket = 1; bucket < found.buckets; bucket += 1) {
      const behind = (found.before[bucket - 1] ?? 0) + (found.here[bucket - 1] ?? 0);
      coming = (coming + behind) * (bucket === 1 ? chances.first * discount : later) + (back[bucket] ?? 0);
      expected[bucket] = coming;
    }
  }

  #now(tick: number): ReturnType<Flow['chances']> {
    const hour = Math.floor(tick / BUCKETS_PER_HOUR);
    if (this.#chances === undefined || hour !== this.#hour) this.#chances = this.#flow.chances(this.#horizonSeconds);
    this.#hour = hour;
    return this.#chances;
  }

  /** Of those who left: expected in the bucket after. The last of the list are those who watched to the end. */
  #back(lane: Readonly<Lane>, tick: number, of: 'left' | 'ended'): Float32Array {
    const back = new Float32Array(lane.buckets + 1);
    const chances = this.#now(tick)[of];
    for (const { bucket, tick: since, count } of lane.left) {
      if ((bucket === lane.buckets - 1) !== (of === 'ended')) continue;
      const hours = Math.min(BACK_HOURS, Math.floor((tick - since) / BUCKETS_PER_HOUR));
      back[bucket + 1] = (back[bucket + 1] ?? 0) + count * (chances[hours] ?? 0);
    }
    return back;
  }

  /** Viewers of the episode before who are going to begin this one: those who are in it, and those who are yet to come. */
  #fromBefore(
    lane: Readonly<Lane>,
    { tick, before }: { readonly tick: number; readonly before: Coming['before'] },
  ): number {
    const from = this.#flow.at(lane.previous, tick);
    if (from === undefined || before === undefined) return 0;
    const { next, ended } = this.#now(tick);
    const last = from.buckets - 1;
    const ending = (before[last] ?? 0) + (from.before[last] ?? 0) + (from.here[last] ?? 0);
    const discount = Math.exp(-BUCKET_SECONDS / this.#horizonSeconds);
    const follows = next * discount + (1 - next) * (ended[0] ?? 0);
    return ending * follows + (this.#back(from, tick, 'ended')[from.buckets] ?? 0);
  }
}
