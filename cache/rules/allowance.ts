// An allowance that is used up by events and grows back with time: a token bucket whose size is said apart from its rate.
import { afterTaking, type Bucket, bucketAt } from './bucket.ts';

/** Units at once, and units that come back per second. */
export type AllowanceSize = { readonly burst: number; readonly perSecond: number };

/** One allowance; full at first. Times are milliseconds; a clock that goes back gives nothing. */
export class Allowance {
  readonly #size: AllowanceSize;
  #bucket: Bucket;

  constructor(size: AllowanceSize, nowMs: number) {
    this.#size = size;
    this.#bucket = { tokens: size.burst, at: nowMs };
  }

  /** Takes one; false when nothing is left. */
  take(nowMs: number): boolean {
    const { burst, perSecond } = this.#size;
    this.#bucket = bucketAt(this.#bucket, perSecond, nowMs, burst);
    if (this.#bucket.tokens < 1) return false;
    this.#bucket = afterTaking(this.#bucket, 1);
    return true;
  }
}
