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

/** A key of the sample: 29 bits that tell it from others, and where in the sample it lies. */
export type SampledKey = { id: number; position: number };

/**
 * A miniature simulation (Waldspurger, Saemundsson, Ahmad, Park: "Cache Modeling and Optimization using Miniature
 * Simulations", USENIX ATC 2017, section 3): of a sample of 1 in n keys, played in a cache of 1 in n of the bytes.
 */
export class Miniature {
  readonly #played: Played;
  readonly #policy: EvictionPolicy;
  /** By the key's number; slots are dense, those that left are used again. */
  readonly #slots = new Map<number, number>();
  readonly #ids: number[] = [];
  readonly #positions: number[] = [];
  readonly #sizes: number[] = [];
  readonly #free: number[] = [];
  #limitBytes: number;
  #used = 0;

  constructor(played: Played) {
    this.#played = played;
    this.#policy = played.policy;
    this.#limitBytes = played.capacityBytes;
  }

  /** How many keys it holds. */
  get keys(): number {
    return this.#slots.size;
  }

  /** Positions of the keys that it holds, the lowest first. */
  positions(): Float64Array {
    return Float64Array.from(this.#slots.values(), (slot) => this.#positions[slot] ?? 0).sort();
  }

  /** Bytes that a viewer's request for so many bytes fetches from the origin; what is missing is stored. */
  ask(key: SampledKey, bytes: number): number {
    const slot = this.#slots.get(key.id);
    if (slot === undefined) {
      this.#store(key, bytes, false);
      return bytes;
    }
    this.#policy.touch(slot);
    const more = bytes - (this.#sizes[slot] ?? 0);
    if (more <= 0) return 0;
    // An earlier viewer left early or asked for a part; the rest is fetched now, and the object is larger than thought.
    this.#remove(slot);
    this.#store(key, bytes, true);
    return more;
  }

  /** Bytes that a fill ahead of viewers fetches; 0 when the object is there. */
  fill(key: SampledKey, bytes: number, isProven: boolean): number {
    if (this.#slots.has(key.id)) return 0;
    this.#store(key, bytes, isProven);
    return bytes;
  }

  /** Keeps the keys below a position, in the part `ratio` of the cache's bytes. */
  shrink(position: number, ratio: number): void {
    for (const slot of [...this.#slots.values()]) {
      if ((this.#positions[slot] ?? 0) >= position) this.#remove(slot);
    }
    this.#limitBytes = this.#played.capacityBytes * ratio;
    this.#makeRoom(0);
  }

  #remove(slot: number): void {
    this.#policy.leave(slot);
    this.#forget(slot);
  }

  #forget(slot: number): void {
    this.#slots.delete(this.#ids[slot] ?? -1);
    this.#used -= this.#sizes[slot] ?? 0;
    this.#free.push(slot);
  }

  #makeRoom(bytes: number): void {
    while (this.#used + bytes > this.#limitBytes) {
      const victim = this.#policy.evict();
      if (victim < 0) return;
      this.#forget(victim);
    }
  }

  #store({ id, position }: SampledKey, bytes: number, isProven: boolean): void {
    if (bytes > this.#limitBytes) return;
    this.#makeRoom(bytes);
    const slot = this.#free.pop() ?? this.#ids.length;
    this.#ids[slot] = id;
    this.#positions[slot] = position;
    this.#sizes[slot] = bytes;
    this.#slots.set(id, slot);
    this.#used += bytes;
    const enter = (isProven ? this.#played.enterProven : undefined) ?? this.#policy.enter;
    enter(slot, bytes, id);
  }
}
