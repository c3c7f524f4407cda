// One first-in first-out queue made of many, one for each lane, so that the oldest of a lane is found as fast as that of all.
import { Queue, type Slots } from './queue.ts';

const EMPTY = -1;

/** A queue over shared slots, each of which belongs to a lane. Its order is that of one Queue, whatever the lanes. */
export class LaneQueue {
  readonly #slots: Slots;
  readonly #place: number;
  readonly #queues: (Queue | undefined)[] = [];
  /** Stamps of the heads of all lanes, beside each other, so that looking through them is fast; EMPTY without one. */
  readonly #heads: number[] = [];
  /** The last stamp given; it begins anew after 2^32, when ages are still right for all that came in since. */
  #clock = 0;
  /** Bytes of all that are in. */
  bytes = 0;

  /** `place`: 1 to 255, this queue's number among those over the same slots. */
  constructor(slots: Slots, place: number) {
    this.#slots = slots;
    this.#place = place;
  }

  /** Appends a slot that is in no queue and has its bytes and lane set. */
  push(slot: number): void {
    const { lanes, stamps, bytes } = this.#slots;
    const lane = lanes[slot] ?? 0;
    while (this.#queues.length <= lane) {
      this.#queues.push(undefined);
      this.#heads.push(EMPTY);
    }
    const queue = this.#queues[lane] ?? new Queue(this.#slots, this.#place);
    this.#queues[lane] = queue;
    if (stamps.length > 0) {
      this.#clock = (this.#clock + 1) >>> 0;
      stamps[slot] = this.#clock;
    }
    queue.push(slot);
    this.bytes += bytes[slot] ?? 0;
    this.#note(lane, queue);
  }

  /** Takes out a slot that is in this queue. */
  remove(slot: number): void {
    const lane = this.#slots.lanes[slot] ?? 0;
    const queue = this.#queues[lane];
    if (queue === undefined) return;
    queue.remove(slot);
    this.bytes -= this.#slots.bytes[slot] ?? 0;
    this.#note(lane, queue);
  }

  #note(lane: number, { head }: Queue): void {
    this.#heads[lane] = head < 0 ? EMPTY : (this.#slots.stamps[head] ?? 0);
  }

  /** The oldest of a lane, or of all; -1 when there is none. */
  head(lane: number | undefined): number {
    if (lane !== undefined) return this.#queues[lane]?.head ?? -1;
    if (this.#queues.length <= 1) return this.#queues[0]?.head ?? -1;
    let [oldest, oldestAge] = [-1, -1];
    for (let at = 0; at < this.#heads.length; at += 1) {
      const stamp = this.#heads[at] ?? EMPTY;
      if (stamp === EMPTY) continue;
      const age = (this.#clock - stamp) >>> 0;
      if (age > oldestAge) [oldest, oldestAge] = [at, age];
    }
    return this.#queues[oldest]?.head ?? -1;
  }

  /** Bytes of a lane, or of all. */
  bytesOf(lane: number | undefined): number {
    return lane === undefined ? this.bytes : (this.#queues[lane]?.bytes ?? 0);
  }
}
