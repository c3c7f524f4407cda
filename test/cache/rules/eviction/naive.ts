// Slow, plain models of the eviction policies: arrays and scans, straight from the papers' pseudocode.
import type { EvictionPolicy } from '../../../../cache/rules/eviction/policy.ts';
import type { S3FifoTuning } from '../../../../cache/rules/eviction/s3fifo.ts';
import { FrequencySketch } from '../../../../cache/rules/eviction/sketch.ts';

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

/** Figure 4 of the paper over arrays, in bytes; `admits` does what the figure does before REPLACE. */
export function naiveArc(capacityBytes: number): EvictionPolicy {
  let [t1, t2]: [Held[], Held[]] = [[], []];
  type Gone = { readonly key: number; readonly bytes: number };
  let [b1, b2]: [Gone[], Gone[]] = [[], []];
  let p = 0;
  let cameFrom: 'b1' | 'b2' | 'nowhere' = 'nowhere';
  const forget = (list: Gone[], limit: number): Gone[] => {
    const kept = [...list];
    while (kept.length > 0 && sumOf(kept) > Math.max(0, limit)) kept.shift();
    return kept;
  };
  return {
    admits: (_slot, bytes, key) => {
      const isIn = (list: readonly Gone[]) => list.some((gone) => gone.key === key);
      cameFrom = isIn(b1) ? 'b1' : isIn(b2) ? 'b2' : 'nowhere';
      const [one, two] = [sumOf(b1), sumOf(b2)];
      if (cameFrom === 'b1') {
        p = Math.min(capacityBytes, p + bytes * (one > 0 ? Math.max(1, two / one) : 1));
        b1 = b1.filter((gone) => gone.key !== key);
      } else if (cameFrom === 'b2') {
        p = Math.max(0, p - bytes * (two > 0 ? Math.max(1, one / two) : 1));
        b2 = b2.filter((gone) => gone.key !== key);
      }
      return true;
    },
    enter: (slot, bytes, key) => {
      (cameFrom === 'nowhere' ? t1 : t2).push({ slot, bytes, key, uses: 0 });
      cameFrom = 'nowhere';
    },
    touch: (slot) => {
      const held = [...t1, ...t2].find((one) => one.slot === slot);
      if (held === undefined) return;
      t1 = without(t1, slot);
      t2 = [...without(t2, slot), held];
    },
    leave: (slot) => {
      t1 = without(t1, slot);
      t2 = without(t2, slot);
    },
    evict: () => {
      const isLong = sumOf(t1) > p || (cameFrom === 'b2' && sumOf(t1) === p);
      const isFirst = t1.length > 0 && (t2.length === 0 || isLong);
      const held = (isFirst ? t1 : t2).shift();
      if (held === undefined) return -1;
      const gone = { key: held.key, bytes: held.bytes };
      if (isFirst) b1 = forget([...b1.filter(({ key }) => key !== gone.key), gone], capacityBytes - sumOf(t1));
      else
        b2 = forget(
          [...b2.filter(({ key }) => key !== gone.key), gone],
          2 * capacityBytes - sumOf([...t1, ...t2, ...b1]),
        );
      return held.slot;
    },
  };
}

/** Arrays over the same sketch, which has tests of its own. */
export function naiveWTinyLfu(objects: number): EvictionPolicy {
  const sketch = new FrequencySketch(objects);
  let [window, probation, kept]: [Held[], Held[], Held[]] = [[], [], []];
  let isFull = false;
  const isLong = () => window.length > 0 && sumOf(window) > 0.01 * sumOf([...window, ...probation, ...kept]);
  return {
    enter: (slot, bytes, key) => {
      sketch.add(key);
      while (!isFull && isLong()) probation.push(...window.splice(0, 1));
      isFull = false;
      window.push({ slot, bytes, key, uses: 0 });
    },
    touch: (slot) => {
      const held = [...window, ...probation, ...kept].find((one) => one.slot === slot);
      if (held === undefined) return;
      sketch.add(held.key);
      if (window.includes(held)) window = [...without(window, slot), held];
      if (kept.includes(held)) kept = [...without(kept, slot), held];
      if (!probation.includes(held)) return;
      probation = without(probation, slot);
      kept.push(held);
      while (kept.length > 1 && sumOf(kept) > 0.8 * sumOf([...probation, ...kept]))
        probation.push(...kept.splice(0, 1));
    },
    leave: (slot) => {
      window = without(window, slot);
      probation = without(probation, slot);
      kept = without(kept, slot);
    },
    evict: () => {
      isFull = true;
      const main = probation.length > 0 ? probation : kept;
      const [candidate] = window;
      const [victim] = main;
      if (candidate !== undefined && isLong()) {
        if (victim === undefined || sketch.count(candidate.key) <= sketch.count(victim.key)) {
          return window.shift()?.slot ?? -1;
        }
        main.shift();
        probation.push(...window.splice(0, 1));
        return victim.slot;
      }
      return (victim === undefined ? window.shift() : main.shift())?.slot ?? -1;
    },
  };
}

/** Misses of one-byte objects in the best cache of so many bytes, by trying every choice; it may let objects pass by. */
export function fewestMisses(objects: readonly number[], capacity: number): number {
  const step = (at: number, held: readonly number[]): number => {
    const object = objects[at];
    if (object === undefined) return 0;
    if (held.includes(object)) return step(at + 1, held);
    const choices = [held, ...(held.length < capacity ? [[...held, object]] : [])];
    if (held.length >= capacity) for (const out of held) choices.push([...held.filter((one) => one !== out), object]);
    return 1 + Math.min(...choices.map((next) => step(at + 1, next)));
  };
  return step(0, []);
}
