// Least recently used: who was not used for longest leaves.
import type { EvictionPolicy } from './policy.ts';
import { Queue, Slots } from './queue.ts';

/** Least recently used, the yardstick of the others (Mattson et al., IBM Systems Journal 9(2), 1970, section "LRU"). */
export function lru(): EvictionPolicy {
  const slots = new Slots();
  const queue = new Queue(slots, 1);
  return {
    enter: (slot, bytes) => {
      slots.ensure(slot);
      slots.bytes[slot] = bytes;
      queue.push(slot);
    },
    touch: (slot) => {
      if (slot === queue.tail || !slots.isIn(slot)) return;
      queue.remove(slot);
      queue.push(slot);
    },
    leave: (slot) => {
      if (slots.isIn(slot)) queue.remove(slot);
    },
    evict: () => {
      const slot = queue.head;
      if (slot >= 0) queue.remove(slot);
      return slot;
    },
  };
}
