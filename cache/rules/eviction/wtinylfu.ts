// W-TinyLFU: a small window for newcomers before a large main part, which only those enter that are asked for more often
// than who would have to leave it.
import type { EvictionPolicy } from './policy.ts';
import { Queue, Slots } from './queue.ts';
import { FrequencySketch } from './sketch.ts';

const WINDOW = 1;
const PROBATION = 2;
const PROTECTED = 3;

/** The window's share of the bytes held, and the protected queue's share of the rest (the paper, section 4.1). */
const SHARES = { window: 0.01, protected: 0.8 } as const;

/**
 * W-TinyLFU (Einziger, Friedman, Manes: "TinyLFU: A Highly Efficient Cache Admission Policy", ACM TOS 13(4), 2017,
 * section 4): a window of 1 % by LRU, and a segmented LRU. Shares are of the bytes held. `objects`: how many the cache
 * will hold, about, for the size of its sketch.
 */
export function wTinyLfu(objects: number): EvictionPolicy {
  const slots = new Slots();
  const window = new Queue(slots, WINDOW);
  const probation = new Queue(slots, PROBATION);
  const kept = new Queue(slots, PROTECTED);
  const queues: Readonly<Record<number, Queue>> = { [WINDOW]: window, [PROBATION]: probation, [PROTECTED]: kept };
  const sketch = new FrequencySketch(objects);
  const uses = (slot: number): number => sketch.count(slots.keys[slot] ?? 0);

  const promote = (slot: number): void => {
    probation.remove(slot);
    kept.push(slot);
    const limit = SHARES.protected * (probation.bytes + kept.bytes);
    while (kept.bytes > limit && kept.head !== kept.tail) {
      const oldest = kept.head;
      kept.remove(oldest);
      probation.push(oldest);
    }
  };
  const evictFrom = (queue: Queue): number => {
    const slot = queue.head;
    if (slot >= 0) queue.remove(slot);
    return slot;
  };
  /** Whether somebody had to leave for who comes next: only then the window's oldest must prove itself. */
  let isFull = false;
  const isWindowLong = (): boolean =>
    window.head >= 0 && window.bytes > SHARES.window * (window.bytes + probation.bytes + kept.bytes);
  const contest = (): number => {
    const main = probation.head >= 0 ? probation : kept;
    if (main.head < 0 || uses(window.head) <= uses(main.head)) return evictFrom(window);
    const victim = evictFrom(main);
    probation.push(evictFrom(window));
    return victim;
  };
  return {
    enter: (slot, bytes, key) => {
      slots.ensure(slot);
      slots.keys[slot] = key;
      slots.bytes[slot] = bytes;
      sketch.add(key);
      while (!isFull && isWindowLong()) probation.push(evictFrom(window));
      isFull = false;
      window.push(slot);
    },
    touch: (slot) => {
      if (!slots.isIn(slot)) return;
      sketch.add(slots.keys[slot] ?? 0);
      const queue = queues[slots.place[slot] ?? 0];
      if (queue === probation) {
        promote(slot);
        return;
      }
      queue?.remove(slot);
      queue?.push(slot);
    },
    leave: (slot) => {
      if (slots.isIn(slot)) queues[slots.place[slot] ?? 0]?.remove(slot);
    },
    evict: () => {
      isFull = true;
      if (isWindowLong()) return contest();
      for (const queue of [probation, kept, window]) if (queue.head >= 0) return evictFrom(queue);
      return -1;
    },
  };
}
