// An allowance that is used up by events and grows back with time: so much at once, and so much per second on the mean. For debts, which are
// paid off later, there is bucket.ts.

/** Units at once, and units that come back per second. */
export type AllowanceSize = { readonly burst: number; readonly perSecond: number };

/** One allowance; full at first. Times are milliseconds; a clock that goes back gives nothing. */
export class Allowance {
  readonly #size: AllowanceSize;
  #left: number;
  #atMs: number;

  constructor(size: AllowanceSize, nowMs: number) {
    this.#size = size;
    this.#left = size.burst;
    this.#atMs = nowMs;
  }

  /** Takes one; false when nothing is left. */
  take(nowMs: number): boolean {
    const { burst, perSecond } = this.#size;
    this.#left = Math.min(burst, this.#left + (Math.max(0, nowMs - this.#atMs) / 1000) * perSecond);
    this.#atMs = nowMs;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
