// Slots in a binary heap, the least priority first; each slot knows its place, so any of them can leave.

/** A binary heap (Williams, "Algorithm 232: Heapsort", CACM 7(6), 1964); a slot is in it at most once. */
export class Heap {
  readonly #slots: number[] = [];
  readonly #indexes = new Map<number, number>();
  readonly #priorities: number[] = [];

  /** Who has the least priority; undefined when empty. */
  get least(): number | undefined {
    return this.#slots[0];
  }

  /** Whether the slot is in. */
  has(slot: number): boolean {
    return this.#indexes.has(slot);
  }

  /** The slot's last priority. */
  priority(slot: number): number {
    return this.#priorities[slot] ?? 0;
  }

  /** Takes a slot in, or moves it to where its new priority belongs. */
  set(slot: number, priority: number): void {
    this.#priorities[slot] = priority;
    this.#settle(slot, this.#indexes.get(slot) ?? this.#slots.length);
  }

  /** Takes out a slot that is in. */
  remove(slot: number): void {
    const index = this.#indexes.get(slot) ?? 0;
    const last = this.#slots.pop() ?? slot;
    this.#indexes.delete(slot);
    if (last !== slot) this.#settle(last, index);
  }

  #place(slot: number, index: number): void {
    this.#slots[index] = slot;
    this.#indexes.set(slot, index);
  }

  #settle(slot: number, from: number): void {
    const slots = this.#slots;
    const weight = this.priority(slot);
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = slots[parent] ?? 0;
      if (this.priority(above) <= weight) break;
      this.#place(above, index);
      index = parent;
    }
    for (let child = 2 * index + 1; child < slots.length; child = 2 * index + 1) {
      const right = slots[child + 1];
      if (right !== undefined && this.priority(right) < this.priority(slots[child] ?? 0)) child += 1;
      const below = slots[child] ?? 0;
      if (weight <= this.priority(below)) break;
      this.#place(below, index);
      index = child;
    }
    this.#place(slot, index);
  }
}
