// S3-FIFO: a small queue on trial, a main queue for who was used again, and a memory of who failed the trial.
import { Ghost } from './ghost.ts';
import type { EvictionPolicy } from './policy.ts';
import { Queue, Slots } from './queue.ts';

const SMALL = 1;
const MAIN = 2;
/** Uses beyond this are not counted: two bits in the paper. */
const MAX_USES = 3;
/** Uses in the small queue that earn a place in the main one. */
export const EARNED_USES = 2;

/** How S3-FIFO divides the bytes that it holds. */
export type S3FifoTuning = {
  /** The small queue's share of them, above 0 and below 1. */
  readonly smallRatio: number;
  /** The small queue is at least this many times the largest object seen, but at most half of all. 0: no such floor. */
  readonly smallLargest: number;
  /** The ghost remembers objects of this share of them. */
  readonly ghostRatio: number;
};

/** The paper's shares, with a floor under the small queue: four segments at least must get their chance to be used. */
export const S3FIFO_TUNING: S3FifoTuning = { smallRatio: 0.1, smallLargest: 4, ghostRatio: 0.9 };

/** An object with uses from an earlier life; bytes and key as in enter(). */
type Earlier = { readonly bytes: number; readonly key: number; readonly uses: number };

/** S3-FIFO, and how an object comes in that was used before. */
export type S3Fifo = EvictionPolicy & {
  /** Enters the main queue when its uses have earned that, else the small one, where they count. */
  readonly restore: (slot: number, object: Earlier) => void;
};

/**
 * S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache eviction", SOSP 2023, Algorithm 1 and
 * Figure 5). Shares are of the bytes held, not of a limit, so that what is pinned or still being written shifts none.
 */
export function s3fifo(tuning: S3FifoTuning = S3FIFO_TUNING): S3Fifo {
  const slots = new Slots();
  const small = new Queue(slots, SMALL);
  const main = new Queue(slots, MAIN);
  const ghost = new Ghost();
  let largestBytes = 0;

  const put = (slot: number, { bytes, key }: Omit<Earlier, 'uses'>, queue: Queue): void => {
    slots.ensure(slot);
    slots.keys[slot] = key;
    slots.bytes[slot] = bytes;
    slots.uses[slot] = 0;
    largestBytes = Math.max(largestBytes, bytes);
    queue.push(slot);
  };
  const isMainFull = (): boolean => {
    const held = small.bytes + main.bytes;
    const floor = Math.min(held / 2, tuning.smallLargest * largestBytes);
    return main.bytes > held - Math.max(held * tuning.smallRatio, floor);
  };
  const evictMain = (): number => {
    for (let slot = main.head; slot >= 0; slot = main.head) {
      const uses = slots.uses[slot] ?? 0;
      main.remove(slot);
      if (uses === 0) return slot;
      slots.uses[slot] = uses - 1;
      main.push(slot);
    }
    return -1;
  };
  const evictSmall = (): number => {
    for (let slot = small.head; slot >= 0; slot = small.head) {
      const held = small.bytes + main.bytes;
      small.remove(slot);
      if ((slots.uses[slot] ?? 0) < EARNED_USES) {
        ghost.add(slots.keys[slot] ?? 0, slots.bytes[slot] ?? 0, held * tuning.ghostRatio);
        return slot;
      }
      slots.uses[slot] = 0;
      main.push(slot);
    }
    return -1;
  };
  return {
    enter: (slot, bytes, key) => put(slot, { bytes, key }, ghost.take(key) ? main : small),
    restore: (slot, { bytes, key, uses }) => {
      const isProven = uses >= EARNED_USES;
      put(slot, { bytes, key }, isProven ? main : small);
      slots.uses[slot] = uses === 1 ? 1 : 0;
    },
    touch: (slot) => {
      if (!slots.isIn(slot)) return;
      const uses = slots.uses[slot] ?? 0;
      if (uses < MAX_USES) slots.uses[slot] = uses + 1;
    },
    leave: (slot) => {
      if (slots.isIn(slot)) (slots.place[slot] === SMALL ? small : main).remove(slot);
    },
    evict: () => {
      if (small.head < 0 || (main.head >= 0 && isMainFull())) return evictMain();
      const slot = evictSmall();
      return slot >= 0 ? slot : evictMain();
    },
  };
}
