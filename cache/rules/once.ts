// Ids that may be used a single time, remembered until their end.

/** Ends within the same span are forgotten together. */
const SPAN_MS = 10_000;

/** A bounded memory of ids by their ends: each use takes constant time, spread over many, and each ten seconds a step. */
export class UsedOnce {
  readonly #max: number;
  readonly #ids = new Set<string>();
  /** Ids by the span in which they end. */
  readonly #spans = new Map<number, string[]>();
  /** Every span before this one has been forgotten. */
  #next = Number.NEGATIVE_INFINITY;

  /** `max`: ids that are remembered at once; above it no other is taken. */
  constructor(max: number) {
    this.#max = max;
  }

  /** False when the id was used before, or nobody could remember that it is now. Times in ms since the epoch. */
  use(id: string, untilMs: number, nowMs: number): boolean {
    this.#forget(Math.floor(nowMs / SPAN_MS));
    if (this.#ids.has(id) || this.#ids.size >= this.#max) return false;
    this.#ids.add(id);
    // Of what is over already, as after a step of the clock, the next span will do.
    const span = Math.max(this.#next, Math.floor(untilMs / SPAN_MS));
    const ids = this.#spans.get(span);
    if (ids === undefined) this.#spans.set(span, [id]);
    else ids.push(id);
    return true;
  }

  #forget(before: number): void {
    if (before <= this.#next) return;
    // After a leap of the clock there are fewer spans with an id than spans that have passed.
    if (before - this.#next > this.#spans.size) for (const span of this.#spans.keys()) this.#drop(span, before);
    else for (let span = this.#next; span < before; span += 1) this.#drop(span, before);
    this.#next = before;
  }

  #drop(span: number, before: number): void {
    if (span >= before) return;
    for (const id of this.#spans.get(span) ?? []) this.#ids.delete(id);
    this.#spans.delete(span);
  }
}
