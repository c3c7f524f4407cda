// The bytes of a running fill that are still in memory: appended at the end, read anywhere, trimmed at the start.

/** A contiguous piece [start, end) of a body, kept as the chunks in which it came. */
export class FillWindow {
  #chunks: Buffer[] = [];
  /** Offset in the body of each chunk's first byte. */
  #offsets: number[] = [];
  #end: number;

  /** `start`: offset of the first byte that will come. */
  constructor(start = 0) {
    this.#end = start;
  }

  /** Offset of the first byte that is still here. */
  get start(): number {
    return this.#offsets[0] ?? this.#end;
  }

  /** Offset behind the last byte that has come. */
  get end(): number {
    return this.#end;
  }

  /** Bytes held in memory. */
  get sizeBytes(): number {
    return this.#end - this.start;
  }

  append(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#chunks.push(bytes);
    this.#offsets.push(this.#end);
    this.#end += bytes.length;
  }

  /** What one chunk holds from `offset` on, at most to `limit`; undefined when that has not come yet or is trimmed. */
  read(offset: number, limit: number): Buffer | undefined {
    if (offset < this.start || offset >= Math.min(this.#end, limit)) return undefined;
    let low = 0;
    let high = this.#offsets.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#offsets[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    const chunkStart = this.#offsets[low] ?? 0;
    return this.#chunks[low]?.subarray(offset - chunkStart, limit - chunkStart);
  }

  /** Lets go of the whole chunks before `offset`. */
  trim(offset: number): void {
    let count = 0;
    while (count < this.#chunks.length && (this.#offsets[count + 1] ?? this.#end) <= offset) count += 1;
    if (count === 0) return;
    this.#chunks = this.#chunks.slice(count);
    this.#offsets = this.#offsets.slice(count);
  }
}
