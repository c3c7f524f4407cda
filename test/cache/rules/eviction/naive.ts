// Slow, plain models of the eviction policies: arrays and scans, straight from the papers' pseudocode.
import type { EvictionPolicy } from '../../../../cache/rules/eviction/policy.ts';
import type { S3FifoTuning } from '../../../../cache/rules/eviction/s3fifo.ts';

type Held = { readonly slot: number; readonly bytes: number; readonly key: number; uses: number };

const without = (list: readonly Held[], slot: number): Held[] => list.filter((held) => held.slot !== slot);
const sumOf = (list: readonly { readonly bytes: number }[]): number => list.reduce((sum, { bytes }) => sum + bytes, 0);

/** Oldest use first. */
export function naiveLru(): EvictionPolicy {
  let list: Held[] = [];
  return {
    enter: (slot, bytes, key) => void list.push({ slot, bytes, key, uses: 0 }),
    touch: (slot) => {
      list = [...without(list, slot), ...list.filter((held) => held.slot === slot)];
    },
    leave: (slot) => {
      list = without(list, slot);
    },
    evict: () => list.shift()?.slot ?? -1,
  };
}

/** Oldest arrival first; the hand is who it points to, kept across calls. */
export function naiveSieve(): EvictionPolicy {
  let list: Held[] = [];
  let hand: Held | undefined;
  const remove = (slot: number): void => {
    const at = list.findIndex((held) => held.slot === slot);
    if (at < 0) return;
    if (hand === list[at]) hand = list[at + 1];
    list.splice(at, 1);
  };
  return {
    enter: (slot, bytes, key) => {
      list = [...list, { slot, bytes, key, uses: 0 }];
    },
    touch: (slot) => {
      for (const held of list) if (held.slot === slot) held.uses = 1;
    },
    leave: remove,
    evict: () => {
      let candidate = hand ?? list[0];
      while (candidate !== undefined && candidate.uses > 0) {
        candidate.uses = 0;
        candidate = list[list.indexOf(candidate) + 1] ?? list[0];
      }
      if (candidate === undefined) return -1;
      hand = candidate;
      remove(candidate.slot);
      return candidate.slot;
    },
  };
}

/** Three arrays, oldest first. */
export function naiveS3Fifo({ smallRatio, smallLargest, ghostRatio }: S3FifoTuning): EvictionPolicy {
  let small: Held[] = [];
  let main: Held[] = [];
  let ghost: { readonly key: number; readonly bytes: number }[] = [];
  let largest = 0;
  const fromMain = (): number => {
    for (let held = main.shift(); held !== undefined; held = main.shift()) {
      if (held.uses === 0) return held.slot;
      held.uses -= 1;
      main.push(held);
    }
    return -1;
  };
  return {
    enter: (slot, bytes, key) => {
      largest = Math.max(largest, bytes);
      const isBack = ghost.some((gone) => gone.key === key);
      ghost = ghost.filter((gone) => gone.key !== key);
      (isBack ? main : small).push({ slot, bytes, key, uses: 0 });
    },
    touch: (slot) => {
      for (const held of [...small, ...main]) if (held.slot === slot) held.uses = Math.min(3, held.uses + 1);
    },
    leave: (slot) => {
      small = without(small, slot);
      main = without(main, slot);
    },
    evict: () => {
      const all = sumOf(small) + sumOf(main);
      const target = Math.max(all * smallRatio, Math.min(all / 2, smallLargest * largest));
      if (main.length > 0 && sumOf(main) > all - target) return fromMain();
      for (let held = small.shift(); held !== undefined; held = small.shift()) {
        if (held.uses >= 2) {
          main.push({ ...held, uses: 0 });
          continue;
        }
        const { key, bytes, slot } = held;
        ghost = [...ghost.filter((gone) => gone.key !== key), { key, bytes }];
        while (sumOf(ghost) > all * ghostRatio) ghost.shift();
        return slot;
      }
      return fromMain();
    },
  };
}

/** The priority of everybody who may leave, for GDSF: order among equals is nobody's business. */
export function naiveGdsf(): {
  readonly policy: Omit<EvictionPolicy, 'evict'>;
  readonly evicted: (slot: number) => boolean;
} {
  const priorities = new Map<number, { bytes: number; uses: number; priority: number }>();
  let age = 0;
  const weigh = (slot: number, bytes: number, uses: number): void =>
    void priorities.set(slot, { bytes, uses, priority: age + uses / Math.max(1, bytes) });
  return {
    policy: {
      enter: (slot, bytes) => weigh(slot, bytes, 1),
      touch: (slot) => {
        const held = priorities.get(slot);
        if (held !== undefined) weigh(slot, held.bytes, held.uses + 1);
      },
      leave: (slot) => void priorities.delete(slot),
    },
    /** Whether that one was right to leave; it is taken out. */
    evicted: (slot) => {
      const held = priorities.get(slot);
      if (held === undefined) return slot === -1 && priorities.size === 0;
      age = held.priority;
      const least = Math.min(...[...priorities.values()].map(({ priority }) => priority));
      priorities.delete(slot);
      return held.priority === least;
    },
  };
}
