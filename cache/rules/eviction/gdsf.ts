// Greedy dual size frequency: small and often used objects stay; wins requests rather than bytes.
import { Heap } from './heap.ts';
import type { EvictionPolicy } from './policy.ts';

/**
 * GDSF (Cherkasova, "Improving WWW proxies performance with Greedy-Dual-Size-Frequency caching policy", HP Labs
 * HPL-98-69R1, 1998) with cost 1: priority = age + uses / bytes, where age is the priority of who was evicted last.
 */
export function gdsf(): EvictionPolicy {
  const heap = new Heap();
  const sizes: number[] = [];
  const uses: number[] = [];
  let age = 0;
  const weigh = (slot: number): void => heap.set(slot, age + (uses[slot] ?? 0) / Math.max(1, sizes[slot] ?? 0));
  return {
    enter: (slot, bytes) => {
      sizes[slot] = bytes;
      uses[slot] = 1;
      weigh(slot);
    },
    touch: (slot) => {
      if (!heap.has(slot)) return;
      uses[slot] = (uses[slot] ?? 0) + 1;
      weigh(slot);
    },
    leave: (slot) => {
      if (heap.has(slot)) heap.remove(slot);
    },
    evict: () => {
      const slot = heap.least;
      if (slot === undefined) return -1;
      age = heap.priority(slot);
      heap.remove(slot);
      return slot;
    },
  };
}
