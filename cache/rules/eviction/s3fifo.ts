// S3-FIFO: a small queue on trial, a main queue for who was used again, a memory of who failed the trial; and a queue of
// its own for what was fetched on a forecast and not used yet.
import { Ghost } from './ghost.ts';
import { LaneQueue } from './lanes.ts';
import type { EvictionPolicy } from './policy.ts';
import { bytesBefore, Slots } from './queue.ts';

const SMALL = 1;
const MAIN = 2;
const FORETOLD = 3;
/** Uses beyond this are not counted: two bits in the paper. */
const MAX_USES = 3;
/** Uses in the small queue that earn a place in the main one. */
const EARNED_USES = 2;

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

/** Foretold objects that nobody used yet may hold this share of all bytes before they push out each other. */
const FORETOLD_RATIO = 0.2;

/** An object with uses from an earlier life; bytes and key as in enter(). */
type Earlier = {
  readonly bytes: number;
  readonly key: number;
  readonly uses: number;
  /** It was fetched on a forecast. */
  readonly isForetold?: boolean;
  /** Used lately: it gets a second chance before it leaves the main queue. */
  readonly isRecent?: boolean;
};

/** Where an object waits to leave. `small`: on trial; `main`: it was used again; `foretold`: for its first viewer. */
export type EvictionPlace = {
  readonly queue: 'small' | 'main' | 'foretold';
  /** Uses that count for it, 0..3: in the main queue each gives it another round. */
  readonly uses: number;
  /** Bytes of those before it in that queue; `isMore`: at least, for only the nearest were looked at. */
  readonly beforeBytes: number;
  readonly isMore: boolean;
};

/** Those before an object that are looked at: about a millisecond. */
const MAX_LOOKED_AT = 16_384;

/** S3-FIFO, how an object comes in that was used before, and one that is expected to be used. */
export type S3Fifo = EvictionPolicy & {
  /** Undefined: it is out. */
  readonly placeOf: (slot: number) => EvictionPlace | undefined;
  /** Enters the main queue when its uses have earned that, else the small one, where they count. */
  readonly restore: (slot: number, object: Earlier) => void;
  /** An object came that nobody has asked for yet, but somebody is expected to. */
  readonly foretell: (slot: number, bytes: number, key: number) => void;
  /** As evict(), of a lane alone (see Slots.setLane()). */
  readonly evictOf: (lane: number) => number;
};

/** The two queues of the paper, and what moves an object from another one into them. */
type Asked = Omit<EvictionPolicy, 'evict'> & {
  /** Of a lane, or of all. */
  readonly evict: (lane: number | undefined) => number;
  readonly put: (slot: number, object: Earlier) => void;
  /** Takes a slot of no queue, its bytes and key already set, into the main queue. */
  readonly promote: (slot: number) => void;
  readonly heldBytes: (lane: number | undefined) => number;
};

/** Algorithm 1: objects that were used, or came because somebody asked. */
function openAsked(tuning: S3FifoTuning, slots: Slots): Asked {
  const small = new LaneQueue(slots, SMALL);
  const main = new LaneQueue(slots, MAIN);
  const ghost = new Ghost();
  let largestBytes = 0;

  const put = (slot: number, bytes: number, queue: LaneQueue): void => {
    largestBytes = Math.max(largestBytes, bytes);
    queue.push(slot);
  };
  const heldBytes = (lane: number | undefined): number => small.bytesOf(lane) + main.bytesOf(lane);
  const isMainFull = (lane: number | undefined): boolean => {
    const held = heldBytes(lane);
    const floor = Math.min(held / 2, tuning.smallLargest * largestBytes);
    return main.bytesOf(lane) > held - Math.max(held * tuning.smallRatio, floor);
  };
  const evictMain = (lane: number | undefined): number => {
    for (let slot = main.head(lane); slot >= 0; slot = main.head(lane)) {
      const uses = slots.uses[slot] ?? 0;
      main.remove(slot);
      if (uses === 0) return slot;
      slots.uses[slot] = uses - 1;
      main.push(slot);
    }
    return -1;
  };
  const evictSmall = (lane: number | undefined): number => {
    for (let slot = small.head(lane); slot >= 0; slot = small.head(lane)) {
      const held = heldBytes(undefined);
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
    heldBytes,
    enter: (slot, bytes, key) => put(slot, bytes, ghost.take(key) ? main : small),
    put: (slot, { bytes, uses, isRecent = false }) => {
      put(slot, bytes, uses >= EARNED_USES ? main : small);
      slots.uses[slot] = uses >= EARNED_USES ? Number(isRecent) : uses;
    },
    promote: (slot) => put(slot, slots.bytes[slot] ?? 0, main),
    touch: (slot) => {
      const uses = slots.uses[slot] ?? 0;
      if (uses < MAX_USES) slots.uses[slot] = uses + 1;
    },
    leave: (slot) => (slots.place[slot] === SMALL ? small : main).remove(slot),
    evict: (lane) => {
      if (small.head(lane) < 0 || (main.head(lane) >= 0 && isMainFull(lane))) return evictMain(lane);
      const slot = evictSmall(lane);
      return slot >= 0 ? slot : evictMain(lane);
    },
  };
}

/**
 * S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache eviction", SOSP 2023, Algorithm 1 and
 * Figure 5). Shares are of the bytes held, not of a limit, so that what is pinned or still being written shifts none.
 *
 * Beyond the paper: foretold objects wait for their first use in a first-in first-out queue that takes no room from the
 * others once it is beyond its share, and gives none back below it. The first use, a forecast come true, moves them to
 * the main queue. Who leaves it unused is not remembered.
 *
 * Slots may be divided into lanes: evict() does not look at them, evictOf() judges a lane's queues as if there were no
 * others, but for the memory of who left and the largest object, which are of all.
 *
 * `slots` may be shared with a caller that numbers its objects by them and reads their bytes and keys.
 */
export function s3fifo(tuning: S3FifoTuning = S3FIFO_TUNING, slots: Slots = new Slots()): S3Fifo {
  const asked = openAsked(tuning, slots);
  const foretold = new LaneQueue(slots, FORETOLD);
  const take = (slot: number, bytes: number, key: number): void => {
    slots.ensure(slot);
    slots.keys[slot] = key;
    slots.bytes[slot] = bytes;
    slots.uses[slot] = 0;
  };
  const evictForetold = (lane: number | undefined): number => {
    const slot = foretold.head(lane);
    if (slot >= 0) foretold.remove(slot);
    return slot;
  };
  const evict = (lane: number | undefined): number => {
    const unused = foretold.bytesOf(lane);
    if (unused > (unused + asked.heldBytes(lane)) * FORETOLD_RATIO) return evictForetold(lane);
    const slot = asked.evict(lane);
    return slot >= 0 ? slot : evictForetold(lane);
  };
  return {
    enter: (slot, bytes, key) => {
      take(slot, bytes, key);
      asked.enter(slot, bytes, key);
    },
    foretell: (slot, bytes, key) => {
      take(slot, bytes, key);
      foretold.push(slot);
    },
    placeOf: (slot) => {
      if (!slots.isIn(slot)) return undefined;
      const { bytes: beforeBytes, isMore } = bytesBefore(slots, slot, MAX_LOOKED_AT);
      const queue = slots.place[slot] === FORETOLD ? 'foretold' : slots.place[slot] === MAIN ? 'main' : 'small';
      return { queue, uses: slots.uses[slot] ?? 0, beforeBytes, isMore };
    },
    restore: (slot, object) => {
      take(slot, object.bytes, object.key);
      if (object.isForetold !== true) asked.put(slot, object);
      else if (object.uses === 0) foretold.push(slot);
      else asked.put(slot, { ...object, uses: object.uses + 1 }); // The forecast is as good as a use.
    },
    touch: (slot) => {
      if (!slots.isIn(slot)) return;
      if (slots.place[slot] !== FORETOLD) asked.touch(slot);
      else {
        foretold.remove(slot);
        asked.promote(slot);
      }
    },
    leave: (slot) => {
      if (!slots.isIn(slot)) return;
      if (slots.place[slot] === FORETOLD) foretold.remove(slot);
      else asked.leave(slot);
    },
    evict: () => evict(undefined),
    evictOf: evict,
  };
}
