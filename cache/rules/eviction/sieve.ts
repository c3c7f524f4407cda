// SIEVE: a queue in order of arrival, and a hand that spares who was used since it last came by.
import type { EvictionPolicy } from './policy.ts';
import { Queue, Slots } from './queue.ts';

/**
 * SIEVE (Zhang, Yang, Yue, Vigfusson, Rashmi: "SIEVE is Simpler than LRU", NSDI 2024, Algorithm 1). The hand moves from
 * the oldest to the youngest; who is spared keeps its place, so those that came later are tried first.
 */
export function sieve(): EvictionPolicy {
  const slots = new Slots();
  const queue = new Queue(slots, 1);
  let hand = -1;
  const remove = (slot: number): void => {
    if (slot === hand) hand = slots.next[slot] ?? -1;
    queue.remove(slot);
  };
  return {
    enter: (slot, bytes) => {
      slots.ensure(slot);
      slots.bytes[slot] = bytes;
      slots.uses[slot] = 0;
      queue.push(slot);
    },
    touch: (slot) => {
      if (slots.isIn(slot)) slots.uses[slot] = 1;
    },
    leave: (slot) => {
      if (slots.isIn(slot)) remove(slot);
    },
    evict: () => {
      let slot = hand >= 0 ? hand : queue.head;
      while (slot >= 0 && slots.uses[slot] === 1) {
        slots.uses[slot] = 0;
        const younger = slots.next[slot] ?? -1;
        slot = younger >= 0 ? younger : queue.head;
      }
      if (slot < 0) return -1;
      hand = slot;
      remove(slot);
      return slot;
    },
  };
}
