// Belady's oracle: who is used again last, or never, leaves first. It knows the requests to come, so it is a bound.
import { Heap } from './heap.ts';
import type { EvictionPolicy } from './policy.ts';

/** For each request the index of the next one for the same object; the number of requests when there is none. */
export function nextUses(objects: Uint32Array, count: number): Uint32Array {
  const next = new Uint32Array(objects.length);
  const later = new Uint32Array(count).fill(objects.length);
  for (let at = objects.length - 1; at >= 0; at -= 1) {
    const object = objects[at] ?? 0;
    next[at] = later[object] ?? objects.length;
    later[object] = at;
  }
  return next;
}

/**
 * Belady's MIN (IBM Systems Journal 5(2), 1966) with bypass: who would be the next to leave is not let in. Of those that
 * are never used again the largest leaves first. Optimal for objects of one size; for others a close bound, since the
 * optimum is NP-hard (Berger, Beckmann, Harchol-Balter, "Practical bounds on optimal caching with variable object
 * sizes", SIGMETRICS 2018). For one run over exactly these requests, whose object numbers are the slots.
 */
export function belady(
  requests: { readonly objects: Uint32Array; readonly count: number },
  capacityBytes: number,
): EvictionPolicy {
  const next = nextUses(requests.objects, requests.count);
  const heap = new Heap();
  const sizes: number[] = [];
  let used = 0;
  let at = -1;
  /** Of the object of the current request; the least leaves first. */
  const rank = (bytes: number): number => {
    const use = next[at] ?? next.length;
    return use < next.length ? -use : -next.length - 1 - bytes;
  };
  const remove = (slot: number): void => {
    heap.remove(slot);
    used -= sizes[slot] ?? 0;
  };
  return {
    admits: (_slot, bytes) => {
      at += 1;
      const isUsed = (next[at] ?? next.length) < next.length;
      if (!isUsed || used + bytes <= capacityBytes) return isUsed;
      return heap.least === undefined || rank(bytes) > heap.priority(heap.least);
    },
    enter: (slot, bytes) => {
      sizes[slot] = bytes;
      used += bytes;
      heap.set(slot, rank(bytes));
    },
    touch: (slot) => {
      at += 1;
      if (heap.has(slot)) heap.set(slot, rank(sizes[slot] ?? 0));
    },
    leave: (slot) => {
      if (heap.has(slot)) remove(slot);
    },
    evict: () => {
      const slot = heap.least;
      if (slot === undefined) return -1;
      remove(slot);
      return slot;
    },
  };
}
