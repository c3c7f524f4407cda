// Requests for parts of objects that are not stored whole: what to ask an origin for, and reading what is there with
// what is missing, and a little ahead.
import type { Delivery, StoredAnswer } from '../deliver/deliver.ts';
import { passRest, type Sender } from '../deliver/pass.ts';
import type { CacheError } from '../errors.ts';
import type { FillRequest } from '../fill/fill-head.ts';
import type { Fills } from '../fill/fills.ts';
import { RecentKeys } from '../recent.ts';
import { neededParts, type Part } from '../rules/range.ts';
import { planFirstRun, planRun, SLICE_BYTES } from '../rules/slices.ts';
import type { Counters } from '../stats.ts';
import type { BodyReader, ByteRange, Store, StoredObject } from '../store/object.ts';
import type { Visit } from '../visit.ts';
import type { Way } from './part-head.ts';
import { findSlice, firstMissing, type Sliced, slicedOf } from './sliced.ts';
import { planAhead, readSliced } from './sliced-body.ts';

/** How long it is remembered that blocks of a key cannot be combined. */
const WAY_MS = 60_000;
/** Blocks that are read ahead of a viewer: at 8 Mbit/s about 2 s. */
const AHEAD_BLOCKS = 2;
/** Reads ahead at once; one more is left out. */
const MAX_AHEAD = 32;

/** How a request goes on when it must go to the origin. */
export type Ask = Pick<FillRequest, 'revalidates' | 'part'>;

/** What parts of objects are served from. */
export type SlicesParts = {
  readonly store: Store;
  readonly fills: Fills;
  readonly delivery: Delivery;
  readonly sender: Sender;
  readonly counters: Counters;
  readonly now: () => number;
};

/** How an answer from blocks is given. `request`: how the origin is asked for what is missing. */
export type ServeOptions = Pick<StoredAnswer, 'reuse' | 'facts'> & {
  readonly request: FillRequest;
  /** It may not be fetched. */
  readonly onNotCached: () => void;
  /** It ended before its head was written. */
  readonly onLost: (error: CacheError) => void;
};

/** Objects that are stored in part. */
export class Slices {
  readonly #store: Store;
  readonly #fills: Fills;
  readonly #delivery: Delivery;
  readonly #sender: Sender;
  readonly #counters: Counters;
  readonly #now: () => number;
  readonly #ways = new RecentKeys<Way>();
  #ahead = 0;

  constructor({ store, fills, delivery, sender, counters, now }: SlicesParts) {
    this.#delivery = delivery;
    this.#sender = sender;
    this.#counters = counters;
    this.#store = store;
    this.#fills = fills;
    this.#now = now;
  }

  /** How requests for parts of this key go, when its blocks cannot be combined. */
  wayOf(key: string): Way | undefined {
    return this.#ways.get(key, this.#now());
  }

  /** Blocks of this key cannot be combined. */
  avoid(key: string, way: Way): void {
    this.#ways.set(key, way, this.#now() + WAY_MS);
  }

  /** Whether all that a visit asks for is stored. `sliced` undefined: the object is stored whole. */
  holds(visit: Visit, sliced: Sliced | undefined): boolean {
    return sliced === undefined || visit.isHead || this.#missing(visit, sliced) === undefined;
  }

  #missing(visit: Visit, sliced: Sliced): number | undefined {
    const range = this.#delivery.rangeOf(visit, sliced.object);
    return firstMissing(this.#store, sliced, neededParts(range, sliced.version.total));
  }

  /** What to ask the origin for: missing blocks, which tell whether the others still hold, or else a confirmation. */
  ask(key: string, stored: StoredObject | undefined, range: string | undefined): Ask {
    const sliced = stored === undefined ? undefined : slicedOf(stored);
    if (sliced === undefined) {
      const isPart = stored === undefined && range !== undefined && this.wayOf(key) === undefined;
      const part = isPart ? planFirstRun(range) : undefined;
      return { revalidates: stored, ...(part !== undefined && { part }) };
    }
    const { total } = sliced.version;
    const parts = neededParts(range, total);
    const missing = firstMissing(this.#store, sliced, parts);
    const position = missing ?? parts[0]?.start ?? 0;
    const need = parts.find(({ start, end }) => start <= position && position < end);
    const end = missing === undefined ? position + 1 : (need?.end ?? position + 1);
    const isThere = (index: number) =>
      findSlice(this.#store, sliced, index) !== undefined || this.#fills.brings(key, index * SLICE_BYTES);
    return {
      part: planRun({ position, end, total }, isThere),
      revalidates: missing === undefined ? stored : undefined,
    };
  }

  /** Answers from blocks; what is missing of the part that is asked for is fetched. */
  serve(visit: Visit, sliced: Sliced, how: ServeOptions): void {
    const { request, reuse, onLost } = how;
    const { object } = sliced;
    let { facts } = how;
    const missing = facts.hit !== true || visit.isHead ? undefined : this.#missing(visit, sliced);
    if (missing !== undefined) {
      if (visit.demands.onlyIfCached) {
        how.onNotCached();
        return;
      }
      const collapsed = this.#fills.brings(request.key, missing);
      if (collapsed) this.#counters.coalesced += 1;
      visit.result = 'miss';
      visit.forward = 'partial';
      facts = { fwd: 'partial', stored: true, collapsed };
    }
    // Its blocks count their own uses; without its head none of them can be found.
    if (sliced.stored !== undefined) this.#store.touch(sliced.stored);
    this.#delivery.stored(visit, object, {
      reuse,
      facts,
      read: (part) => this.#read(sliced, request, part),
      onLost: (error, rest) => {
        if (visit.isGone) return;
        if (rest === undefined) onLost(error);
        // Not even the origin has the rest of that version.
        else if (error.code === 'CACHE_ORIGIN_CHANGED') visit.response.destroy();
        else passRest(visit, this.#sender, object.headers, { ...rest, total: object.lengthBytes });
      },
    });
  }

  /** A reader over a part of it; `request` says how the origin is asked for what is missing. */
  #read(sliced: Sliced, request: FillRequest, range: ByteRange): BodyReader {
    const parts = { store: this.#store, fills: this.#fills, request, sliced };
    const onUnsliceable = (way: Way) => this.avoid(request.key, way);
    return readSliced({ ...parts, onUnsliceable, onLastBlock: () => this.#readAhead(parts, range) }, range);
  }

  #readAhead(parts: Parameters<typeof planAhead>[0], range: Part): void {
    const part = this.#ahead < MAX_AHEAD ? planAhead(parts, range, AHEAD_BLOCKS) : undefined;
    if (part === undefined) return;
    const { version } = parts.sliced;
    const request = { ...parts.request, part, version, revalidates: undefined };
    this.#ahead += 1;
    void this.#fills.keep(request, { priority: 'in-session' }).done.then(() => {
      this.#ahead -= 1;
    });
  }
}
