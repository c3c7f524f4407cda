// Who left lately: a first-in first-out memory of keys, bounded by the bytes that their objects had.

/** A bounded memory of keys. */
export class Ghost {
  /** Key to the number of its arrival. Numbers count up, so older than `#first` means forgotten. */
  readonly #arrivals = new Map<number, number>();
  #keys = new Int32Array(1024);
  #sizes = new Float64Array(1024);
  #first = 0;
  #end = 0;
  #bytes = 0;

  /** Bytes that the remembered objects had. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Remembers a key as the youngest, and forgets the oldest until at most `limitBytes` are remembered. */
  add(key: number, bytes: number, limitBytes: number): void {
    this.take(key);
    if (this.#end - this.#first === this.#keys.length) this.#grow();
    const at = this.#end & (this.#keys.length - 1);
    this.#keys[at] = key;
    this.#sizes[at] = bytes;
    this.#arrivals.set(key | 0, this.#end);
    this.#end += 1;
    this.#bytes += bytes;
    while (this.#bytes > limitBytes && this.#first < this.#end) this.#forgetOldest();
  }

  /** Whether it was remembered; it no longer is. */
  take(key: number): boolean {
    const arrival = this.#arrivals.get(key | 0);
    if (arrival === undefined) return false;
    this.#arrivals.delete(key | 0);
    const at = arrival & (this.#keys.length - 1);
    this.#bytes -= this.#sizes[at] ?? 0;
    this.#sizes[at] = 0;
    return true;
  }

  #forgetOldest(): void {
    const at = this.#first & (this.#keys.length - 1);
    const key = this.#keys[at] ?? 0;
    if (this.#arrivals.get(key) === this.#first) this.#arrivals.delete(key);
    this.#bytes -= this.#sizes[at] ?? 0;
    this.#first += 1;
  }

  /** Twice the room, each arrival at its number modulo the new length. */
  #grow(): void {
    const length = this.#keys.length;
    const keys = new Int32Array(length * 2);
    const sizes = new Float64Array(length * 2);
    for (let arrival = this.#first; arrival < this.#end; arrival += 1) {
      keys[arrival & (length * 2 - 1)] = this.#keys[arrival & (length - 1)] ?? 0;
      sizes[arrival & (length * 2 - 1)] = this.#sizes[arrival & (length - 1)] ?? 0;
    }
    this.#keys = keys;
    this.#sizes = sizes;
  }
}
