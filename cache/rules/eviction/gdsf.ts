// Greedy dual size frequency: small and often used objects stay; wins requests rather than bytes.
import type { EvictionPolicy } from './policy.ts';
import { Slots } from './queue.ts';

const IN = 1;

/**
 * GDSF (Cherkasova, "Improving WWW proxies performance with Greedy-Dual-Size-Frequency caching policy", HP Labs
 * HPL-98-69R1, 1998, section 3) with cost 1: priority = age + uses / bytes, where age is the priority of who left last.
 * A binary heap; entering, touching and leaving cost its height.
 */
export function gdsf(): EvictionPolicy {
  const slots = new Slots();
  /** Slots, the least priority first. */
  const heap: number[] = [];
  const at: number[] = [];
  const priority: number[] = [];
  const uses: number[] = [];
  let age = 0;

  const isBefore = (one: number, other: number): boolean => (priority[one] ?? 0) < (priority[other] ?? 0);
  const place = (slot: number, index: number): void => {
    heap[index] = slot;
    at[slot] = index;
  };
  const rise = (slot: number, from: number): number => {
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent] ?? 0;
      if (!isBefore(slot, above)) break;
      place(above, index);
      index = parent;
    }
    return index;
  };
  const sink = (slot: number, from: number): number => {
    let index = from;
    for (let child = 2 * index + 1; child < heap.length; child = 2 * index + 1) {
      const right = heap[child + 1];
      if (right !== undefined && isBefore(right, heap[child] ?? 0)) child += 1;
      const below = heap[child] ?? 0;
      if (!isBefore(below, slot)) break;
      place(below, index);
      index = child;
    }
    return index;
  };
  const settle = (slot: number, index: number): void => {
    place(slot, sink(slot, rise(slot, index)));
  };
  const weigh = (slot: number): void => {
    priority[slot] = age + (uses[slot] ?? 0) / Math.max(1, slots.bytes[slot] ?? 0);
  };
  const remove = (slot: number): void => {
    const index = at[slot] ?? 0;
    const last = heap.pop() ?? slot;
    if (last !== slot) settle(last, index);
    slots.place[slot] = 0;
  };
  return {
    enter: (slot, bytes) => {
      slots.ensure(slot);
      slots.bytes[slot] = bytes;
      slots.place[slot] = IN;
      uses[slot] = 1;
      weigh(slot);
      heap.push(slot);
      settle(slot, heap.length - 1);
    },
    touch: (slot) => {
      if (!slots.isIn(slot)) return;
      uses[slot] = (uses[slot] ?? 0) + 1;
      weigh(slot);
      settle(slot, at[slot] ?? 0);
    },
    leave: (slot) => {
      if (slots.isIn(slot)) remove(slot);
    },
    evict: () => {
      const slot = heap[0];
      if (slot === undefined) return -1;
      age = priority[slot] ?? age;
      remove(slot);
      return slot;
    },
  };
}
