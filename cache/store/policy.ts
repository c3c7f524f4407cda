// Which object leaves a full disk: S3-FIFO over the ids of one directory.
import { crc32 } from 'node:zlib';
import { EARNED_USES, s3fifo } from '../rules/eviction/s3fifo.ts';
import type { Entry } from './entry.ts';

/** What the policy needs to know of an object. */
export type Evictable = Pick<Entry, 'id' | 'key' | 'variant' | 'storedBytes' | 'purpose' | 'hits'>;

/** Decides who leaves. It hears of every object that may be evicted; pinned ones are never entered. */
export type DiskPolicy = {
  /** An object came. */
  readonly enter: (object: Evictable) => void;
  /** An object that was here before, at a start or under a pin, may be evicted again; its hits still count. */
  readonly restore: (object: Evictable) => void;
  /** It was used. Unknown ids are ignored. */
  readonly touch: (id: number) => void;
  /** It left, but by eviction, or may not be evicted any more. Unknown ids are ignored. */
  readonly leave: (id: number) => void;
  /** Takes out who should leave next. Undefined: nobody may. */
  readonly evict: () => number | undefined;
};

/**
 * S3-FIFO. An object that comes back has a new id, so who left is remembered by a checksum of key and variant; of two
 * that share one, the second may skip its trial, which costs nothing. After a restart uses and their order come from
 * the rows; who had left is forgotten. Off-peak fills go past the trial: demand was foretold for them, under a budget of
 * their own, and a night of them, longer than the small queue, would push out its own beginning before the evening.
 */
export function openDiskPolicy(): DiskPolicy {
  const policy = s3fifo();
  const slots = new Map<number, number>();
  const ids: number[] = [];
  const free: number[] = [];

  /** The slot for an id, which leaves where it was. */
  const slotFor = (id: number): number => {
    leave(id);
    const slot = free.pop() ?? ids.length;
    ids[slot] = id;
    slots.set(id, slot);
    return slot;
  };
  const leave = (id: number): void => {
    const slot = slots.get(id);
    if (slot === undefined) return;
    policy.leave(slot);
    slots.delete(id);
    free.push(slot);
  };
  const restore = (object: Evictable): void => {
    const uses = object.purpose === 'off-peak' ? Math.max(EARNED_USES, object.hits) : object.hits;
    policy.restore(slotFor(object.id), { bytes: object.storedBytes, key: identity(object), uses });
  };
  return {
    enter: (object) => {
      if (object.purpose === 'off-peak') restore(object);
      else policy.enter(slotFor(object.id), object.storedBytes, identity(object));
    },
    restore,
    touch: (id) => {
      const slot = slots.get(id);
      if (slot !== undefined) policy.touch(slot);
    },
    leave,
    evict: () => {
      const slot = policy.evict();
      const id = slot < 0 ? undefined : ids[slot];
      if (id === undefined) return undefined;
      slots.delete(id);
      free.push(slot);
      return id;
    },
  };
}

const identity = ({ key, variant }: Evictable): number => crc32(`${key}\n${variant}`) | 0;
