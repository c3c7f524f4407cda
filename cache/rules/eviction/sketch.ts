// How often a key was asked for lately, in a few bytes: a count-min sketch whose counters are halved now and then.

const ROWS = 4;
/** Counters stop here: four bits in the paper. */
const MAX_COUNT = 15;
/** Additions per counter of a row until all are halved (W / C in the paper, section 3.3). */
const AGING = 8;
/** Odd multipliers, one per row (Knuth, TAOCP 3, section 6.4, and murmur3's constants). */
const MULTIPLIERS = [0x9e3779b1, 0x85ebca6b, 0xc2b2ae35, 0x27d4eb2f] as const;

/**
 * A count-min sketch with conservative update and aging (Einziger, Friedman, Manes: "TinyLFU: A Highly Efficient Cache
 * Admission Policy", ACM TOS 13(4), 2017, sections 3.2 to 3.4). A count is at least the truth up to 15, or above it.
 */
export class FrequencySketch {
  readonly #width: number;
  readonly #counters: Uint8Array;
  #additions = 0;

  /** `keys`: how many are to be told apart, at least 1. */
  constructor(keys: number) {
    this.#width = 2 ** Math.ceil(Math.log2(Math.max(16, keys)));
    this.#counters = new Uint8Array(this.#width * ROWS);
  }

  #at(row: number, key: number): number {
    let mixed = Math.imul(key ^ (key >>> 16), MULTIPLIERS[row] ?? 1);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return row * this.#width + (((mixed ^ (mixed >>> 15)) >>> 0) & (this.#width - 1));
  }

  /** Uses of a key since they began to be halved away, 0 to 15. */
  count(key: number): number {
    let least = MAX_COUNT;
    for (let row = 0; row < ROWS; row += 1) least = Math.min(least, this.#counters[this.#at(row, key)] ?? 0);
    return least;
  }

  /** Counts one use. */
  add(key: number): void {
    const least = this.count(key);
    if (least < MAX_COUNT) {
      for (let row = 0; row < ROWS; row += 1) {
        const at = this.#at(row, key);
        if (this.#counters[at] === least) this.#counters[at] = least + 1;
      }
    }
    this.#additions += 1;
    if (this.#additions < this.#width * AGING) return;
    for (let at = 0; at < this.#counters.length; at += 1) this.#counters[at] = (this.#counters[at] ?? 0) >> 1;
    this.#additions >>= 1;
  }
}
