// What is known in memory of every object of one directory: typed arrays over slots, and a hash table of them by key.
import { Places } from '../rules/eviction/places.ts';
import { Slots } from '../rules/eviction/queue.ts';

const PURPOSE = 0b0000_0111;
const PINNED = 0b0000_1000;
const USED = 0b0001_0000;

/** One object as the table knows it. */
export type Known = {
  readonly id: number;
  /** Of its key: signed 32 bits. */
  readonly hash: number;
  readonly bytes: number;
  /** Of PURPOSE_CODES: 0 to 7. */
  readonly purpose: number;
  /** Of the host that it was fetched for; 0: nobody's. */
  readonly lane: number;
  readonly isPinned: boolean;
  readonly isUsed: boolean;
};

/**
 * Objects in slots, small integers that are used again. About 31 bytes a slot, 22 of them shared with the eviction
 * policy, 6 more when there are hosts, 4 more when something is expected of them, and 6 to 7.5 in the hash table; a
 * quarter of both may be spare. No query is needed to know that a key is absent,
 * but for one chance in 2^32 per object, nor to evict.
 */
export class ObjectTable {
  /** Bytes and hash of each slot, and the eviction policy's queues over them. */
  readonly slots = new Slots();
  readonly #places = new Places((slot) => this.slots.keys[slot] ?? 0);
  /** Ids; of a free slot the next free one, or -1. */
  #ids = new Float64Array(0);
  #flags = new Uint8Array(0);
  #free = -1;
  #end = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Makes room for that many objects, so that taking them in takes no time for growing. */
  reserve(objects: number): void {
    if (objects > 0) this.#ensure(objects - 1);
  }

  #ensure(slot: number): void {
    this.slots.ensure(slot);
    this.#places.ensure(slot + 1);
    if (slot < this.#ids.length) return;
    const { length } = this.slots.place;
    const [ids, flags] = [this.#ids, this.#flags];
    this.#ids = new Float64Array(length);
    this.#ids.set(ids);
    this.#flags = new Uint8Array(length);
    this.#flags.set(flags);
  }

  /** Gives the slot that the object has from now on. */
  add({ id, hash, bytes, purpose, lane, isPinned, isUsed }: Known): number {
    const slot = this.#free >= 0 ? this.#free : this.#end;
    if (slot === this.#end) {
      this.#ensure(slot);
      this.#end += 1;
    } else this.#free = this.#ids[slot] ?? -1;
    this.#ids[slot] = id;
    this.#flags[slot] = (purpose & PURPOSE) | (isPinned ? PINNED : 0) | (isUsed ? USED : 0);
    this.slots.bytes[slot] = bytes;
    this.slots.keys[slot] = hash;
    this.slots.setLane(slot, lane);
    this.slots.setGroup(slot, 0);
    this.#places.insert(slot);
    this.#size += 1;
    return slot;
  }

  /** Gives up a slot that is taken; the policy must have let go of it. */
  remove(slot: number): void {
    this.#places.remove(slot);
    this.#ids[slot] = this.#free;
    this.#free = slot;
    this.#size -= 1;
  }

  /** Slots of all objects whose keys have that hash. */
  slotsOf(hash: number): number[] {
    const found: number[] = [];
    this.#places.find(hash, (slot) => {
      found.push(slot);
      return false;
    });
    return found;
  }

  /** The slot of an object; -1 when it is not here. */
  slotOf(hash: number, id: number): number {
    return this.#places.find(hash, (slot) => this.#ids[slot] === id);
  }

  /** What is known of a slot that is taken. */
  at(slot: number): Known {
    const flags = this.#flags[slot] ?? 0;
    return {
      id: this.#ids[slot] ?? 0,
      hash: this.slots.keys[slot] ?? 0,
      bytes: this.slots.bytes[slot] ?? 0,
      purpose: flags & PURPOSE,
      lane: this.slots.lanes[slot] ?? 0,
      isPinned: (flags & PINNED) !== 0,
      isUsed: (flags & USED) !== 0,
    };
  }

  markUsed(slot: number): void {
    this.#flags[slot] = (this.#flags[slot] ?? 0) | USED;
  }

  markPinned(slot: number, isPinned: boolean): void {
    const flags = this.#flags[slot] ?? 0;
    this.#flags[slot] = isPinned ? flags | PINNED : flags & ~PINNED;
  }
}
