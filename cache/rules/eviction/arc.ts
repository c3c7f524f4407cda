// ARC: one list of objects used once, one of objects used again, and a balance learnt from who was missed too early.
import { Ghost } from './ghost.ts';
import type { EvictionPolicy } from './policy.ts';
import { Queue, Slots } from './queue.ts';

const ONCE = 1;
const AGAIN = 2;

/** How much faster the target moves towards the list whose memory is the shorter; empty objects fill no memory. */
const stepOf = (other: number, own: number): number => (own > 0 ? Math.max(1, other / own) : 1);

/**
 * ARC (Megiddo, Modha: "ARC: A Self-Tuning, Low Overhead Replacement Cache", FAST 2003, Figure 4) over bytes in place of
 * pages: T1 and T2 are `once` and `again`, B1 and B2 the memories of who left them, and the target p of T1 moves by the
 * bytes of the object that was missed too early. `capacityBytes` is the c of the paper.
 */
export function arc(capacityBytes: number): EvictionPolicy {
  const slots = new Slots();
  const once = new Queue(slots, ONCE);
  const again = new Queue(slots, AGAIN);
  const leftOnce = new Ghost();
  const leftAgain = new Ghost();
  let target = 0;
  /** What admits() found of the object that comes in next. */
  let isBack = false;
  let isBackFromAgain = false;

  const learn = (bytes: number, key: number): void => {
    const [onceBytes, againBytes] = [leftOnce.bytes, leftAgain.bytes];
    isBackFromAgain = false;
    isBack = leftOnce.take(key);
    if (isBack) {
      target = Math.min(capacityBytes, target + bytes * stepOf(againBytes, onceBytes));
      return;
    }
    isBackFromAgain = leftAgain.take(key);
    isBack = isBackFromAgain;
    if (isBack) target = Math.max(0, target - bytes * stepOf(onceBytes, againBytes));
  };
  /** Keeps |T1| + |B1| <= c, and all four lists together <= 2c. */
  const evictFrom = (queue: Queue): number => {
    const slot = queue.head;
    if (slot < 0) return -1;
    queue.remove(slot);
    const [key, bytes] = [slots.keys[slot] ?? 0, slots.bytes[slot] ?? 0];
    if (queue === once) leftOnce.add(key, bytes, Math.max(0, capacityBytes - once.bytes));
    else leftAgain.add(key, bytes, Math.max(0, 2 * capacityBytes - once.bytes - again.bytes - leftOnce.bytes));
    return slot;
  };
  return {
    admits: (_slot, bytes, key) => {
      learn(bytes, key);
      return true;
    },
    enter: (slot, bytes, key) => {
      slots.ensure(slot);
      slots.keys[slot] = key;
      slots.bytes[slot] = bytes;
      (isBack ? again : once).push(slot);
      isBack = false;
      isBackFromAgain = false;
    },
    touch: (slot) => {
      if (!slots.isIn(slot)) return;
      (slots.place[slot] === ONCE ? once : again).remove(slot);
      again.push(slot);
    },
    leave: (slot) => {
      if (slots.isIn(slot)) (slots.place[slot] === ONCE ? once : again).remove(slot);
    },
    evict: () => {
      const isOnceLong = once.bytes > target || (isBackFromAgain && once.bytes === target);
      const takesOnce = again.head < 0 || (once.head >= 0 && isOnceLong);
      return evictFrom(takesOnce ? once : again);
    },
  };
}
