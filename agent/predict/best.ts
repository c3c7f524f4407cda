// The few highest of many, without putting the many in order.

/** Keeps the items of the highest scores, highest first, at most `count`; of equal scores those offered first. */
export class Best<T> {
  readonly #count: number;
  readonly #items: T[] = [];
  readonly #scores: number[] = [];
  #floor = Number.NEGATIVE_INFINITY;

  constructor(count: number) {
    this.#count = count;
  }

  offer(item: T, score: number): void {
    if (score <= this.#floor || this.#count === 0) return;
    let at = this.#scores.length;
    while (at > 0 && (this.#scores[at - 1] ?? 0) < score) at -= 1;
    this.#scores.splice(at, 0, score);
    this.#items.splice(at, 0, item);
    if (this.#scores.length > this.#count) {
      this.#scores.pop();
      this.#items.pop();
    }
    if (this.#scores.length === this.#count) this.#floor = this.#scores.at(-1) ?? this.#floor;
  }

  items(): readonly T[] {
    return this.#items;
  }
}
