// Eviction by what somebody expects: of a few objects the one that is expected least leaves. What nobody has an
// expectation of leaves when S3-FIFO says so.
import type { Slots } from './queue.ts';
import type { S3Fifo } from './s3fifo.ts';

export { Slots } from './queue.ts';

/**
 * Objects that are looked at before one leaves. With 16 of them the one that leaves is of the lowest sixteenth on the mean,
 * which Redis found as good as exact for its own order (antirez, "Random notes on improving the Redis LRU algorithm",
 * 2016); 32 gained nothing more on our workload.
 */
const SAMPLE = 16;
/** Slots that are tried for one sample: free ones and those of unknown objects are passed over. */
const TRIES = 64;
/** What is expected less than this has run out, and goes before what nothing is known of. */
const RUN_OUT = 0.01;

/** What is expected of a group of objects. */
export type Expected = {
  /** Requests of each object of the group, those to come discounted by when; 0 or above; Infinity: it leaves after all else. */
  readonly scoreOf: (group: number) => number;
};

/** Integers that look random: Marsaglia's xorshift, "Xorshift RNGs", Journal of Statistical Software 8(14), 2003. */
function numbers(): () => number {
  let state = 0x9e3779b9;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/**
 * S3-FIFO whose victims are compared with a sample by their groups' scores; `slots` are those of the policy. An object
 * that S3-FIFO would have let go and that is spared goes to the end of the main queue.
 */
export function scored(policy: S3Fifo, slots: Slots, { scoreOf }: Expected): S3Fifo {
  const random = numbers();
  const scoreAt = (slot: number): number | undefined => {
    const group = slots.groups[slot] ?? 0;
    return group === 0 ? undefined : scoreOf(group);
  };
  /** The least expected of a sample, if below `limit`; -1: none. */
  const least = (limit: number, lane: number | undefined): number => {
    let [slot, score] = [-1, limit];
    const { length } = slots.place;
    for (let tries = 0, seen = 0; tries < TRIES && seen < SAMPLE; tries += 1) {
      const other = random() % length;
      if (slots.place[other] === 0 || (lane !== undefined && (slots.lanes[other] ?? 0) !== lane)) continue;
      const found = scoreAt(other);
      // What is to stay says nothing of what is to leave, and would take the sample's places.
      if (found === undefined || found === Number.POSITIVE_INFINITY) continue;
      seen += 1;
      if (found < score) [slot, score] = [other, found];
    }
    return slot;
  };
  const choose = (first: number, lane: number | undefined): number => {
    if (first < 0 || slots.groups.length === 0) return first;
    const own = scoreAt(first);
    const slot = least(own ?? RUN_OUT, lane);
    if (slot < 0) return first;
    policy.leave(slot);
    policy.restore(first, { bytes: slots.bytes[first] ?? 0, key: slots.keys[first] ?? 0, uses: 2 });
    return slot;
  };
  return {
    ...policy,
    evict: () => choose(policy.evict(), undefined),
    evictOf: (lane) => choose(policy.evictOf(lane), lane),
  };
}
