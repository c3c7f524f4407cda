// Who left lately: a first-in first-out memory of keys, bounded by the bytes that their objects had.
import { Places } from './places.ts';

/** Whatever the key was, the first is the one. */
const any = (): boolean => true;

/**
 * A bounded memory of keys in a ring, in the order in which they left: about 16 bytes each. A key taken back, or that
 * left again, stays in the ring as nobody's until its turn comes.
 */
export class Ghost {
  #keys = new Int32Array(1024);
  /** Bytes in single precision, which is what is added and what is taken away. */
  #sizes = new Float32Array(1024);
  readonly #places = new Places((place) => this.#keys[place] ?? 0);
  /** Where the oldest lies, and how many there are with those that are nobody's. */
  #first = 0;
  #count = 0;
  #bytes = 0;

  constructor() {
    this.#places.reset(this.#keys.length);
  }

  /** Bytes that the remembered objects had. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Remembers a key as the youngest, and forgets the oldest until at most `limitBytes` are remembered. */
  add(key: number, bytes: number, limitBytes: number): void {
    this.take(key);
    if (this.#count === this.#keys.length) this.#grow();
    const at = (this.#first + this.#count) % this.#keys.length;
    this.#keys[at] = key;
    this.#sizes[at] = bytes;
    this.#places.insert(at);
    this.#count += 1;
    this.#bytes += this.#sizes[at] ?? 0;
    while (this.#bytes > limitBytes && this.#count > 0) this.#forgetOldest();
  }

  /** Whether it was remembered; it no longer is. */
  take(key: number): boolean {
    const at = this.#places.find(key | 0, any);
    if (at < 0) return false;
    this.#places.remove(at);
    this.#bytes -= this.#sizes[at] ?? 0;
    this.#sizes[at] = 0;
    return true;
  }

  #forgetOldest(): void {
    this.#places.remove(this.#first);
    this.#bytes -= this.#sizes[this.#first] ?? 0;
    this.#first = (this.#first + 1) % this.#keys.length;
    this.#count -= 1;
  }

  /** A quarter more room; the oldest comes to lie at the beginning, and nobody's places go. */
  #grow(): void {
    const [keys, sizes, first] = [this.#keys, this.#sizes, this.#first];
    const { length } = keys;
    const larger = { keys: new Int32Array(length + (length >> 2)), sizes: new Float32Array(length + (length >> 2)) };
    let count = 0;
    for (let step = 0; step < length; step += 1) {
      const at = (first + step) % length;
      if (!this.#places.remove(at)) continue;
      larger.keys[count] = keys[at] ?? 0;
      larger.sizes[count] = sizes[at] ?? 0;
      count += 1;
    }
    [this.#keys, this.#sizes, this.#first, this.#count] = [larger.keys, larger.sizes, 0, count];
    this.#places.reset(larger.keys.length);
    for (let at = 0; at < count; at += 1) this.#places.insert(at);
  }
}
