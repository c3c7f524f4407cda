// Which object leaves a full disk: S3-FIFO over the slots of one directory.
import type { Purpose } from '../contract.ts';
import type { Slots } from '../rules/eviction/queue.ts';
import { type EvictionPlace, s3fifo } from '../rules/eviction/s3fifo.ts';
import { type Expected, scored } from '../rules/eviction/scored.ts';

/** Fetched because somebody is expected to ask, by a forecast for the hours to come, and not for a viewer who is there. */
const FORETOLD: ReadonlySet<Purpose> = new Set<Purpose>(['off-peak', 'publish', 'operator']);

/** What the policy needs to know of an object; its bytes and key are in the slot. */
export type Evictable = { readonly purpose: Purpose; readonly hits: number; readonly isRecent: boolean };

/** Decides who leaves. It hears of every object that may be evicted; pinned ones are never entered. */
export type DiskPolicy = {
  /** Where it waits to leave; undefined: it is not in. */
  readonly placeOf: (slot: number) => EvictionPlace | undefined;
  /** An object came that was not here before. */
  readonly enter: (slot: number, purpose: Purpose) => void;
  /** An object that was here before, at a start or under a pin, may be evicted again; its hits still count. */
  readonly restore: (slot: number, object: Evictable) => void;
  /** It was used. Slots that are not in are ignored. */
  readonly touch: (slot: number) => void;
  /** It left, but by eviction, or may not be evicted any more. Slots that are not in are ignored. */
  readonly leave: (slot: number) => void;
  /** Takes out who should leave next. -1: nobody may. */
  readonly evict: () => number;
  /** The same among the objects of one lane (see Slots.setLane()). */
  readonly evictOf: (lane: number) => number;
};

/**
 * S3-FIFO. An object that comes back has a new slot, so who left is remembered by the hash of its key; of two that share
 * one, the second may skip its trial, which costs nothing. After a restart uses come from the rows, their order from the
 * ids, which count up; who had left is forgotten. Off-peak fills wait for their first viewer in a queue of their own:
 * a night of them, longer than the small queue, would push out its own beginning before the evening, and without bounds
 * it would push out what viewers come back for. With `expected`, what is expected least leaves first (scored.ts).
 */
export function openDiskPolicy(slots: Slots, expected?: Expected): DiskPolicy {
  const plain = s3fifo(undefined, slots);
  const policy = expected === undefined ? plain : scored(plain, slots, expected);
  const of = (slot: number) => ({ bytes: slots.bytes[slot] ?? 0, key: slots.keys[slot] ?? 0 });
  return {
    placeOf: policy.placeOf,
    enter: (slot, purpose) => {
      const { bytes, key } = of(slot);
      if (FORETOLD.has(purpose)) policy.foretell(slot, bytes, key);
      else policy.enter(slot, bytes, key);
    },
    restore: (slot, { purpose, hits, isRecent }) => {
      policy.leave(slot);
      policy.restore(slot, { ...of(slot), uses: hits, isForetold: FORETOLD.has(purpose), isRecent });
    },
    touch: policy.touch,
    leave: policy.leave,
    evict: policy.evict,
    evictOf: policy.evictOf,
  };
}
