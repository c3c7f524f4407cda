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
};

/** What came of it. Ratios are 0 to 1, and 0 of nothing. */
export type Outcome = {
  readonly requestMissRatio: number;
  readonly byteMissRatio: number;
  /** The most that was held after any request. */
  readonly peakBytes: number;
};

/** Plays all requests from an empty cache; each miss is fetched and stored. */
export function simulate(simulation: Simulation, requests: Requests): Outcome {
  const { policy, capacityBytes, maxObjectBytes = capacityBytes, changedSize = 'hit' } = simulation;
  const { objects, bytes } = requests;
  const isStrict = changedSize === 'miss';
  /** Bytes held of each object; -1: not held. */
  const held = new Float64Array(requests.count).fill(-1);
  let used = 0;
  let peak = 0;
  let misses = 0;
  let missedBytes = 0;
  let totalBytes = 0;
  for (let at = 0; at < objects.length; at += 1) {
    const object = objects[at] ?? 0;
    const size = bytes[at] ?? 0;
    const before = held[object] ?? -1;
    totalBytes += size;
    if (before >= 0 && (!isStrict || before === size)) {
      policy.touch(object);
      continue;
    }
    misses += 1;
    missedBytes += size;
    if (before >= 0) {
      policy.leave(object);
      held[object] = -1;
      used -= before;
    }
    if (size > maxObjectBytes) continue;
    while (used + size > capacityBytes) {
      const victim = policy.evict();
      if (victim < 0) break;
      used -= held[victim] ?? 0;
      held[victim] = -1;
    }
    policy.enter(object, size, object);
    held[object] = size;
    used += size;
    if (used > peak) peak = used;
  }
  return {
    requestMissRatio: objects.length === 0 ? 0 : misses / objects.length,
    byteMissRatio: totalBytes === 0 ? 0 : missedBytes / totalBytes,
    peakBytes: peak,
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
