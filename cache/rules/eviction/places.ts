// A hash table of places in somebody's arrays: which places hold a given 32-bit hash, in 6 to 7.5 bytes a place.

/** Spreads hashes over the table: 2^32 divided by the golden ratio (Knuth, The Art of Computer Programming 3, 6.4). */
const SPREAD = 0x9e3779b1;
/** Table entries for each place: at most two thirds are taken. */
const ROOM = 1.5;
/** Entries of an outgrown table that are moved with each change: more than are needed until it is outgrown again. */
const MOVES = 16;
const NOTHING = new Uint32Array(0);

/**
 * Open addressing with linear probing. Places are integers from 0; several may have the same hash. An outgrown table is
 * moved to a larger one bit by bit, so that no change takes long.
 */
export class Places {
  readonly #hashOf: (place: number) => number;
  #capacity = 0;
  /** Places plus one; 0: empty. */
  #table = NOTHING;
  /** What has not been moved yet; empty before `#moved`. */
  #old = NOTHING;
  #moved = 0;

  /** `hashOf` gives the signed 32-bit hash of a place that is in the table. */
  constructor(hashOf: (place: number) => number) {
    this.#hashOf = hashOf;
  }

  /** Begins anew, empty, with room for that many places. */
  reset(capacity: number): void {
    this.#capacity = capacity;
    this.#table = new Uint32Array(Math.ceil(capacity * ROOM) + 1);
    this.#old = NOTHING;
  }

  /** Makes room for that many places. */
  ensure(capacity: number): void {
    if (capacity <= this.#capacity) return;
    this.#move(Number.POSITIVE_INFINITY);
    const old = this.#table;
    this.reset(Math.max(1024, capacity, this.#capacity + (this.#capacity >> 2)));
    this.#old = old;
    this.#moved = 0;
  }

  /** Visits the places of that hash until `visit` gives true; gives that place, or -1. Nothing may change meanwhile. */
  find(hash: number, visit: (place: number) => boolean): number {
    const found = this.#findIn(this.#table, hash, visit);
    return found >= 0 || this.#old.length === 0 ? found : this.#findIn(this.#old, hash, visit);
  }

  #findIn(table: Uint32Array, hash: number, visit: (place: number) => boolean): number {
    if (table.length === 0) return -1;
    for (let at = home(table, hash); ; at = after(table, at)) {
      const place = (table[at] ?? 0) - 1;
      if (place < 0) return -1;
      if (this.#hashOf(place) === hash && visit(place)) return place;
    }
  }

  /** Takes in a place that is not in, for which there is room. */
  insert(place: number): void {
    this.#move(MOVES);
    this.#put(place);
  }

  #put(place: number): void {
    const table = this.#table;
    let at = home(table, this.#hashOf(place));
    while (table[at] !== 0) at = after(table, at);
    table[at] = place + 1;
  }

  /** Takes out a place, whose hash must still be there; false when it is not in. */
  remove(place: number): boolean {
    this.#move(MOVES);
    return this.#removeFrom(this.#table, place) || this.#removeFrom(this.#old, place);
  }

  #removeFrom(table: Uint32Array, place: number): boolean {
    if (table.length === 0) return false;
    let at = home(table, this.#hashOf(place));
    while (table[at] !== place + 1) {
      if (table[at] === 0) return false;
      at = after(table, at);
    }
    this.#clear(table, at);
    return true;
  }

  /** Empties an entry and moves up who was pushed past it (Knuth 3, 6.4, algorithm R). */
  #clear(table: Uint32Array, entry: number): void {
    const { length } = table;
    let gap = entry;
    for (let at = after(table, gap); table[at] !== 0; at = after(table, at)) {
      const wished = home(table, this.#hashOf((table[at] ?? 0) - 1));
      if ((at - wished + length) % length < (at - gap + length) % length) continue; // It lies behind the gap.
      table[gap] = table[at] ?? 0;
      gap = at;
    }
    table[gap] = 0;
  }

  #move(steps: number): void {
    const old = this.#old;
    if (old.length === 0) return;
    for (let step = 0; step < steps && this.#moved < old.length; step += 1) {
      const place = (old[this.#moved] ?? 0) - 1;
      if (place < 0) this.#moved += 1;
      else {
        this.#clear(old, this.#moved);
        this.#put(place);
      }
    }
    if (this.#moved === old.length) this.#old = NOTHING;
  }
}

const home = (table: Uint32Array, hash: number): number =>
  Math.floor(((Math.imul(hash, SPREAD) >>> 0) * table.length) / 2 ** 32);

const after = (table: Uint32Array, at: number): number => (at + 1 === table.length ? 0 : at + 1);
