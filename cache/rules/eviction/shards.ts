// Several caches played at once on one sample of the keys, which shrinks until what they hold fits into a given memory.
import { Miniature, type Played, type SampledKey } from './miniature.ts';

/** Positions are below this: P in the paper, section 3.1. */
export const MODULUS = 2 ** 24;
/** What is kept when the sample shrinks: a quarter leaves at once, so that it seldom has to. */
const KEPT_RATIO = 0.75;

/**
 * Position and number of a key, 53 bits together, spread evenly: two lanes of a multiply-xor hash (the primes are those of Fowler, Noll and Vo's FNV
 * and of murmur3), finished by murmur3's mixer. Not for adversaries: who knows it can choose what is sampled.
 */
export function hashInto(key: string, into: SampledKey): void {
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

/**
 * SHARDS at fixed size (Waldspurger, Park, Garthwaite, Ahmad: "Efficient MRC Construction with SHARDS", FAST 2015,
 * sections 3.1 and 4.2): a key is sampled when its hash lies below a threshold, and when one of the played caches holds
 * more than `maxKeys`, the threshold is lowered and the keys above it leave all of them. What is fetched counts for
 * 1 / ratio as much, at the ratio of its moment (Horvitz and Thompson, JASA 47(260), 1952), so sums stay unbiased.
 */
export class Shards {
  /** Keys are put into so many groups by other bits of their hash, to tell how far another sample would have differed. */
  static readonly groups = 16;
  readonly #caches: readonly Miniature[];
  readonly #takesFills: readonly boolean[];
  readonly #maxKeys: number;
  readonly #onFetch: OnFetch;
  /** Of the current request, made once: a served record should cost no garbage. */
  readonly #key: SampledKey = { id: 0, position: 0 };
  #threshold = MODULUS;

  constructor(
    caches: readonly (Played & { readonly takesFills: boolean })[],
    { maxKeys, onFetch }: { readonly maxKeys: number; readonly onFetch: OnFetch },
  ) {
    this.#caches = caches.map((cache) => new Miniature(cache));
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
    hashInto(key, this.#key);
    if (this.#key.position >= this.#threshold) return;
    for (let at = 0; at < this.#caches.length; at += 1) this.#count(at, this.#caches[at]?.ask(this.#key, bytes) ?? 0);
  }

  /** An object was fetched ahead of viewers; `isProven`: past the trial of newcomers, as off-peak fills are. */
  fill(key: string, bytes: number, isProven: boolean): void {
    hashInto(key, this.#key);
    if (this.#key.position >= this.#threshold) return;
    for (let at = 0; at < this.#caches.length; at += 1) {
      if (this.#takesFills[at] === true) this.#count(at, this.#caches[at]?.fill(this.#key, bytes, isProven) ?? 0);
    }
  }

  #count(at: number, fetched: number): void {
    if (fetched === 0) return;
    this.#onFetch(at, this.#key.id % Shards.groups, fetched / this.ratio);
    const cache = this.#caches[at];
    if (cache !== undefined && cache.keys > this.#maxKeys) this.#lower(cache);
  }

  #lower(fullest: Miniature): void {
    this.#threshold = Math.max(1, fullest.positions()[Math.floor(this.#maxKeys * KEPT_RATIO)] ?? 1);
    for (const cache of this.#caches) cache.shrink(this.#threshold, this.ratio);
  }
}
