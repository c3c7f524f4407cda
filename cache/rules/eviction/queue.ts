// Doubly linked queues over typed arrays: a slot is in at most one queue, and any of them leaves in constant time.

const NONE = -1;

/** What is known of each slot: 22 bytes. Grows by a quarter, since a store holds many millions. */
export class Slots {
  /** The next younger in the same queue; -1 at its end. */
  next = new Int32Array(0);
  /** The next older; -1 for the oldest. */
  previous = new Int32Array(0);
  bytes = new Float64Array(0);
  /** What stays the same when the object comes again in another slot; kept by policies that remember who left. */
  keys = new Int32Array(0);
  /** 0: out. Otherwise the policy's own number of the queue that holds it. */
  place = new Uint8Array(0);
  /** Uses, or a mark of them, as the policy wants. */
  uses = new Uint8Array(0);
  /** Whose each slot is, and when it came into its queue: 6 bytes more. Empty while all are lane 0's. */
  lanes = new Uint16Array(0);
  stamps = new Uint32Array(0);
  /** Of those that are expected to be asked for alike: 4 bytes more. 0: nothing is known. Empty while all are 0. */
  groups = new Uint32Array(0);

  /** Makes room for that slot. */
  ensure(slot: number): void {
    const length = this.place.length;
    if (slot < length) return;
    const larger = Math.max(1024, slot + 1, length + (length >> 2));
    const { next, previous, bytes, keys, place, uses } = this;
    this.next = new Int32Array(larger);
    this.next.set(next);
    this.previous = new Int32Array(larger);
    this.previous.set(previous);
    this.bytes = new Float64Array(larger);
    this.bytes.set(bytes);
    this.keys = new Int32Array(larger);
    this.keys.set(keys);
    this.place = new Uint8Array(larger);
    this.place.set(place);
    this.uses = new Uint8Array(larger);
    this.uses.set(uses);
    if (this.lanes.length > 0) this.#ensureLanes(larger);
    if (this.groups.length > 0) this.#ensureGroups(larger);
  }

  #ensureGroups(length: number): void {
    const { groups } = this;
    this.groups = new Uint32Array(length);
    this.groups.set(groups);
  }

  /** Says in which group a slot is that has room here: 0 to 2^32 - 1. */
  setGroup(slot: number, group: number): void {
    if (this.groups.length === 0) {
      if (group === 0) return;
      this.#ensureGroups(this.place.length);
    }
    this.groups[slot] = group;
  }

  #ensureLanes(length: number): void {
    const { lanes, stamps } = this;
    this.lanes = new Uint16Array(length);
    this.lanes.set(lanes);
    this.stamps = new Uint32Array(length);
    this.stamps.set(stamps);
  }

  /** Says whose a slot is that has room here and is in no queue: 0 to 65,535. */
  setLane(slot: number, lane: number): void {
    if (this.lanes.length === 0) {
      if (lane === 0) return;
      this.#ensureLanes(this.place.length);
    }
    this.lanes[slot] = lane;
  }

  /** Whether the slot is in some queue. */
  isIn(slot: number): boolean {
    return slot < this.place.length && this.place[slot] !== 0;
  }
}

/** Who stands before a slot in its queue, of its own lane: their bytes, or, `isMore`, those of the nearest `steps`. */
export function bytesBefore(
  slots: Slots,
  slot: number,
  steps: number,
): { readonly bytes: number; readonly isMore: boolean } {
  let bytes = 0;
  let older = slots.previous[slot] ?? NONE;
  for (let step = 0; step < steps && older !== NONE; step += 1) {
    bytes += slots.bytes[older] ?? 0;
    older = slots.previous[older] ?? NONE;
  }
  return { bytes, isMore: older !== NONE };
}

/** A queue over shared slots: the oldest at its head. */
export class Queue {
  readonly #slots: Slots;
  readonly #place: number;
  /** The oldest; -1 when empty. */
  head = NONE;
  /** The youngest; -1 when empty. */
  tail = NONE;
  /** Bytes of all that are in. */
  bytes = 0;

  /** `place`: 1 to 255, this queue's number among those over the same slots. */
  constructor(slots: Slots, place: number) {
    this.#slots = slots;
    this.#place = place;
  }

  /** Appends a slot that is in no queue and has its bytes set. */
  push(slot: number): void {
    const slots = this.#slots;
    slots.place[slot] = this.#place;
    slots.next[slot] = NONE;
    slots.previous[slot] = this.tail;
    if (this.tail === NONE) this.head = slot;
    else slots.next[this.tail] = slot;
    this.tail = slot;
    this.bytes += slots.bytes[slot] ?? 0;
  }

  /** Takes out a slot that is in this queue. */
  remove(slot: number): void {
    const slots = this.#slots;
    const younger = slots.next[slot] ?? NONE;
    const older = slots.previous[slot] ?? NONE;
    if (older === NONE) this.head = younger;
    else slots.next[older] = younger;
    if (younger === NONE) this.tail = older;
    else slots.previous[younger] = older;
    slots.place[slot] = 0;
    this.bytes -= slots.bytes[slot] ?? 0;
  }
}
