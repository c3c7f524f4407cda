// Several caches played at once on one sample of the keys, which shrinks until what they hold fits into a given memory.
import { Miniature, type Played } from './miniature.ts';

/** Positions are below this: P in the paper, section 3.1. */
export const MODULUS = 2 ** 24;
/** What is kept when the sample shrinks: a quarter leaves at once, so that it seldom has to. */
const KEPT_RATIO = 0.75;

/** A key's hash: 29 bits that tell it from others, and where in a sample it lies. */
export type KeyHash = { id: number; position: number };

/**
 * Position and number of a key, 53 bits together, spread evenly: two lanes of a multiply-xor hash (the primes are those
 * of Fowler, Noll and Vo's FNV and of murmur3), finished by murmur3's mixer. Not for adversaries: who knows it can choose
 * what is sampled.
 */
export function hashInto(key: string, into: KeyHash): void {
  let one = 0x811c9dc5;
  let two = 0x9747b28c;
  for (let at = 0; at < key.length; at += 1) {
    const code = key.charCodeAt(at);
    one = Math.imul(one ^ code, 0x01000193);
    two = Math.imul(two ^ code, 0xcc9e2d51);
  }
  one = Math.imul(one ^ (one >>> 16) ^ two, 0x85ebca6b);
  one = Math.imul(one ^ (one >>> 13), 0xc2b2ae35);
  one ^= one >>> 16;
  two = Math.imul(two ^ (two >>> 15) ^ one, 0x2c1b3c6d);
  two ^= two >>> 16;
  into.position = one & (MODULUS - 1);
  into.id = two & 0x1fffffff;
}

/** Told of what a played cache fetched: its index, the key's group, and the bytes that stand for all keys. */
export type OnFetch = (cache: number, group: number, bytes: number) => void;

/** `maxRatio`: the share of the keys to begin with, above 0 and at most 1, which is the default. */
export type ShardsOptions = { readonly maxKeys: number; readonly maxRatio?: number; readonly onFetch: OnFetch };

/**
 * SHARDS at fixed size (Waldspurger, Park, Garthwaite, Ahmad: "Efficient MRC Construction with SHARDS", FAST 2015,
 * sections 3.1 and 4.2): a key is sampled when its hash lies below a threshold, and when one of the played caches holds
 * more than `maxKeys`, the threshold is lowered and the keys above it leave all of them. What is fetched counts for
 * 1 / ratio as much, at the ratio of its moment (Horvitz and Thompson, JASA 47(260), 1952), so sums stay unbiased.
 */
export class Shards {
  /** Keys are put into so many groups by other bits of their hash, to tell how far another sample would have differed. */
  static readonly groups = 8;
  readonly #caches: readonly Miniature[];
  readonly #takesFills: readonly boolean[];
  readonly #maxKeys: number;
  readonly #onFetch: OnFetch;
  /** Of the current request, made once: a served record should cost no garbage. */
  readonly #hash: KeyHash = { id: 0, position: 0 };
  /** The sampled keys that some cache holds, by the id of their hash: small integers, used again when all let it go. */
  readonly #keys = new Map<number, number>();
  readonly #ids: number[] = [];
  readonly #positions: number[] = [];
  readonly #free: number[] = [];
  /** The key of the current request, which stays known while it is moved within a cache. */
  #current = -1;
  #threshold: number;

  constructor(
    caches: readonly (Played & { readonly takesFills: boolean })[],
    { maxKeys, maxRatio = 1, onFetch }: ShardsOptions,
  ) {
    this.#threshold = Math.max(1, Math.floor(MODULUS * maxRatio));
    const onLeave = (key: number): void => {
      if (key !== this.#current) this.#release(key);
    };
    this.#caches = caches.map((cache) => new Miniature(cache, onLeave));
    for (const cache of this.#caches) cache.resize(this.ratio);
    this.#takesFills = caches.map(({ takesFills }) => takesFills);
    this.#maxKeys = maxKeys;
    this.#onFetch = onFetch;
  }

  /** Share of the keys that is sampled, above 0 and at most 1. */
  get ratio(): number {
    return this.#threshold / MODULUS;
  }

  /** A viewer was sent so many bytes of a key. */
  ask(key: string, bytes: number): void {
    if (!this.#begin(key)) return;
    const { id } = this.#hash;
    for (let at = 0; at < this.#caches.length; at += 1) {
      this.#count(at, this.#caches[at]?.ask(this.#current, bytes, id) ?? 0);
    }
    this.#end();
  }

  /** An object was fetched ahead of viewers; `isProven`: past the trial of newcomers, as off-peak fills are. */
  fill(key: string, bytes: number, isProven: boolean): void {
    if (!this.#begin(key)) return;
    const how = { name: this.#hash.id, isProven };
    for (let at = 0; at < this.#caches.length; at += 1) {
      if (this.#takesFills[at] === true) this.#count(at, this.#caches[at]?.fill(this.#current, bytes, how) ?? 0);
    }
    this.#end();
  }

  /** Whether the key is sampled; it is the current one then. */
  #begin(key: string): boolean {
    hashInto(key, this.#hash);
    const { id, position } = this.#hash;
    if (position >= this.#threshold) return false;
    this.#current = this.#keys.get(id) ?? -1;
    if (this.#current >= 0) return true;
    this.#current = this.#free.pop() ?? this.#ids.length;
    this.#ids[this.#current] = id;
    this.#positions[this.#current] = position;
    this.#keys.set(id, this.#current);
    return true;
  }

  #count(at: number, fetched: number): void {
    if (fetched > 0) this.#onFetch(at, this.#hash.id % Shards.groups, fetched / this.ratio);
  }

  #end(): void {
    const key = this.#current;
    this.#current = -1;
    this.#release(key);
    for (const cache of this.#caches) if (cache.count > this.#maxKeys) this.#lower(cache);
  }

  /** Forgets a key that no cache holds. */
  #release(key: number): void {
    for (const cache of this.#caches) if (cache.holds(key)) return;
    if (!this.#keys.delete(this.#ids[key] ?? -1)) return;
    this.#free.push(key);
  }

  #lower(fullest: Miniature): void {
    const positions = Float64Array.from(fullest.keys(), (key) => this.#positions[key] ?? 0).sort();
    this.#threshold = Math.max(1, positions[Math.floor(this.#maxKeys * KEPT_RATIO)] ?? 1);
    for (const cache of this.#caches) {
      for (const key of cache.keys()) if ((this.#positions[key] ?? 0) >= this.#threshold) cache.remove(key);
      cache.resize(this.ratio);
    }
  }
}
