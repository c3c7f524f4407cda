// What a policy would have done: plays requests against a cache of a given size, without any bytes. Pure.
import type { EvictionPolicy } from './policy.ts';

/** Requests in order, one element each. */
export type Requests = {
  /** Dense object numbers, from 0. */
  readonly objects: Uint32Array;
  /** Bytes of the object as asked for then. */
  readonly bytes: Float64Array;
  /** How many objects there are: each number is below it. */
  readonly count: number;
};

/** The cache that is played. */
export type Simulation = {
  readonly policy: EvictionPolicy;
  readonly capacityBytes: number;
  /** Larger objects pass by. At most `capacityBytes`, which is the default. */
  readonly maxObjectBytes?: number;
  /**
   * What an object of another size than the one held is: `hit` as most simulators have it, where the size held stays, or
   * `miss`, since the bytes held are not those asked for.
   */
  readonly changedSize?: 'hit' | 'miss';
  /** How an object enters the policy that was filled ahead of requests; default: as any other. */
  readonly enterFilled?: EvictionPolicy['enter'];
};

/** A cache of sizes alone: what a policy holds of objects whose numbers are below `count`. */
export class SimulatedCache {
  readonly #policy: EvictionPolicy;
  readonly #capacityBytes: number;
  readonly #maxObjectBytes: number;
  readonly #isStrict: boolean;
  readonly #enterFilled: EvictionPolicy['enter'];
  /** Bytes held of each object; -1: not held. */
  readonly #held: Float64Array;
  #used = 0;
  /** The most that was held after any request. */
  peakBytes = 0;

  constructor(simulation: Simulation, count: number) {
    const { policy, capacityBytes, maxObjectBytes = capacityBytes, changedSize = 'hit' } = simulation;
    this.#policy = policy;
    this.#capacityBytes = capacityBytes;
    this.#maxObjectBytes = maxObjectBytes;
    this.#isStrict = changedSize === 'miss';
    this.#enterFilled = simulation.enterFilled ?? policy.enter;
    this.#held = new Float64Array(count).fill(-1);
  }

  /** Whether something of that object is held. */
  holds(object: number): boolean {
    return (this.#held[object] ?? -1) >= 0;
  }

  /** A request: whether it hit. A miss is fetched and stored. */
  ask(object: number, size: number): boolean {
    const before = this.#held[object] ?? -1;
    if (before >= 0 && (!this.#isStrict || before === size)) {
      this.#policy.touch(object);
      return true;
    }
    if (before >= 0) {
      this.#policy.leave(object);
      this.#held[object] = -1;
      this.#used -= before;
    }
    this.#store(object, size);
    return false;
  }

  /** A fill ahead of requests: whether it was fetched. Held or too large an object is not. */
  fill(object: number, size: number): boolean {
    if (this.holds(object) || size > this.#maxObjectBytes) return false;
    this.#store(object, size, this.#enterFilled);
    return true;
  }

  #store(object: number, size: number, enter = this.#policy.enter): void {
    const isAdmitted = this.#policy.admits?.(object, size, object) ?? true;
    if (!isAdmitted || size > this.#maxObjectBytes) return;
    while (this.#used + size > this.#capacityBytes) {
      const victim = this.#policy.evict();
      if (victim < 0) break;
      this.#used -= this.#held[victim] ?? 0;
      this.#held[victim] = -1;
    }
    enter(object, size, object);
    this.#held[object] = size;
    this.#used += size;
    if (this.#used > this.peakBytes) this.peakBytes = this.#used;
  }
}

/** What came of it. Ratios are 0 to 1, and 0 of nothing. */
export type Outcome = {
  readonly requestMissRatio: number;
  readonly byteMissRatio: number;
  /** The most that was held after any request. */
  readonly peakBytes: number;
};

/** Plays all requests from an empty cache. Those before index `from` (default 0) only warm it and are not counted. */
export function simulate(simulation: Simulation, requests: Requests, from = 0): Outcome {
  const { objects, bytes } = requests;
  const cache = new SimulatedCache(simulation, requests.count);
  let misses = 0;
  let missedBytes = 0;
  let totalBytes = 0;
  for (let at = 0; at < objects.length; at += 1) {
    const size = bytes[at] ?? 0;
    const isHit = cache.ask(objects[at] ?? 0, size);
    if (at < from) continue;
    totalBytes += size;
    if (isHit) continue;
    misses += 1;
    missedBytes += size;
  }
  return {
    requestMissRatio: objects.length <= from ? 0 : misses / (objects.length - from),
    byteMissRatio: totalBytes === 0 ? 0 : missedBytes / totalBytes,
    peakBytes: cache.peakBytes,
  };
}

/** Numbers objects densely in the order in which they first appear. */
export function requestsOf(lines: readonly { readonly id: string; readonly bytes: number }[]): Requests {
  const numbers = new Map<string, number>();
  const objects = new Uint32Array(lines.length);
  const bytes = new Float64Array(lines.length);
  for (const [at, line] of lines.entries()) {
    const number = numbers.get(line.id) ?? numbers.size;
    numbers.set(line.id, number);
    objects[at] = number;
    bytes[at] = line.bytes;
  }
  return { objects, bytes, count: numbers.size };
}

/** The bytes of every object once, each as last asked for. */
export function footprintBytes(requests: Requests): number {
  const last = new Float64Array(requests.count);
  for (const [at, object] of requests.objects.entries()) last[object] = requests.bytes[at] ?? 0;
  return last.reduce((sum, bytes) => sum + bytes, 0);
}
