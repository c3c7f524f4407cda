// Greedy dual size frequency: small and often used objects stay; wins requests rather than bytes.
import type { EvictionPolicy } from './policy.ts';

/** Slots in a binary heap, the least priority first; each slot knows its place. */
class Heap {
  readonly #slots: number[] = [];
  readonly #indexes = new Map<number, number>();
  readonly #priorities: number[] = [];

  get least(): number | undefined {
    return this.#slots[0];
  }

  has(slot: number): boolean {
    return this.#indexes.has(slot);
  }

  priority(slot: number): number {
    return this.#priorities[slot] ?? 0;
  }

  /** Takes a slot in, or moves it to where its new priority belongs. */
  set(slot: number, priority: number): void {
    this.#priorities[slot] = priority;
    this.#settle(slot, this.#indexes.get(slot) ?? this.#slots.length);
  }

  /** Takes out a slot that is in. */
  remove(slot: number): void {
    const index = this.#indexes.get(slot) ?? 0;
    const last = this.#slots.pop() ?? slot;
    this.#indexes.delete(slot);
    if (last !== slot) this.#settle(last, index);
  }

  #place(slot: number, index: number): void {
    this.#slots[index] = slot;
    this.#indexes.set(slot, index);
  }

  #settle(slot: number, from: number): void {
    const slots = this.#slots;
    const weight = this.priority(slot);
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = slots[parent] ?? 0;
      if (this.priority(above) <= weight) break;
      this.#place(above, index);
      index = parent;
    }
    for (let child = 2 * index + 1; child < slots.length; child = 2 * index + 1) {
      const right = slots[child + 1];
      if (right !== undefined && this.priority(right) < this.priority(slots[child] ?? 0)) child += 1;
      const below = slots[child] ?? 0;
      if (weight <= this.priority(below)) break;
      this.#place(below, index);
      index = child;
    }
    this.#place(slot, index);
  }
}

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
