// A miniature of a cache: it holds the sizes of a sample of the keys and so much less than the cache it stands for.
import type { EvictionPolicy } from './policy.ts';

/** A cache that is played in miniature. */
export type Played = {
  /** What the whole cache would hold. */
  readonly capacityBytes: number;
  readonly policy: EvictionPolicy;
  /** How a fill enters the policy that is past the trial of newcomers; absent: as any other. */
  readonly enterProven?: EvictionPolicy['enter'];
};

const OUT = -1;

/**
 * A miniature simulation (Waldspurger, Saemundsson, Ahmad, Park: "Cache Modeling and Optimization using Miniature
 * Simulations", USENIX ATC 2017, section 3): of a sample of 1 in n keys, played in a cache of 1 in n of the bytes. Keys
 * are small integers from 0, and the policy's slots; `onLeave` hears of each that is held no longer.
 */
export class Miniature {
  readonly #played: Played;
  readonly #onLeave: (key: number) => void;
  /** Bytes held of each key; OUT: not held. */
  #sizes = new Float64Array(1024).fill(OUT);
  #limitBytes: number;
  #used = 0;
  #count = 0;

  constructor(played: Played, onLeave: (key: number) => void) {
    this.#played = played;
    this.#onLeave = onLeave;
    this.#limitBytes = played.capacityBytes;
  }

  /** How many keys it holds. */
  get count(): number {
    return this.#count;
  }

  /** Whether it holds something of a key. */
  holds(key: number): boolean {
    return (this.#sizes[key] ?? OUT) >= 0;
  }

  /** The keys that it holds. */
  keys(): readonly number[] {
    return Array.from(this.#sizes.keys()).filter((key) => this.holds(key));
  }

  /**
   * Bytes that a viewer's request for so many bytes fetches from the origin; what is missing is stored. `name` is what
   * the policy remembers of the key when it has left.
   */
  ask(key: number, bytes: number, name: number): number {
    const before = this.#sizes[key] ?? OUT;
    if (before < 0) {
      this.#store(key, bytes, name, this.#played.policy.enter);
      return bytes;
    }
    this.#played.policy.touch(key);
    if (bytes <= before) return 0;
    // An earlier viewer left early or asked for a part; the rest is fetched now, and the object is larger than thought.
    this.remove(key);
    this.#store(key, bytes, name, this.#played.enterProven ?? this.#played.policy.enter);
    return bytes - before;
  }

  /** Bytes that a fill ahead of viewers fetches; 0 when the object is there. */
  fill(key: number, bytes: number, { name, isProven }: { readonly name: number; readonly isProven: boolean }): number {
    if (this.holds(key)) return 0;
    const enter = isProven ? this.#played.enterProven : undefined;
    this.#store(key, bytes, name, enter ?? this.#played.policy.enter);
    return bytes;
  }

  /** Lets a key go that is held. */
  remove(key: number): void {
    this.#played.policy.leave(key);
    this.#forget(key);
  }

  /** Goes on as the part `ratio` of the whole cache. */
  resize(ratio: number): void {
    this.#limitBytes = this.#played.capacityBytes * ratio;
    this.#makeRoom(0);
  }

  #forget(key: number): void {
    this.#used -= this.#sizes[key] ?? 0;
    this.#sizes[key] = OUT;
    this.#count -= 1;
    this.#onLeave(key);
  }

  #makeRoom(bytes: number): void {
    while (this.#used + bytes > this.#limitBytes) {
      const victim = this.#played.policy.evict();
      if (victim < 0) return;
      this.#forget(victim);
    }
  }

  #store(key: number, bytes: number, name: number, enter: EvictionPolicy['enter']): void {
    if (bytes > this.#limitBytes) return;
    this.#makeRoom(bytes);
    if (key >= this.#sizes.length) this.#grow(key);
    this.#sizes[key] = bytes;
    this.#used += bytes;
    this.#count += 1;
    enter(key, bytes, name);
  }

  #grow(key: number): void {
    const sizes = this.#sizes;
    this.#sizes = new Float64Array(Math.max(key + 1, sizes.length * 2)).fill(OUT);
    this.#sizes.set(sizes);
  }
}
