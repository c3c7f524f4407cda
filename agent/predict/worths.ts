// What is expected to be saved by each byte of much, counted so that it can be told what is worth the room there is. Pure.

const BINS_PER_OCTAVE = 8;
const OCTAVES = 32;

/** Bytes by what each is expected to save, in bins of a twelfth more: enough to tell where the room would be full. */
export class Worths {
  readonly #bytes = new Float64Array(2 * OCTAVES * BINS_PER_OCTAVE);

  /** Counts so many bytes that each save as much. */
  add(saved: number, bytes: number): void {
    if (saved <= 0) return;
    const bin = Math.round((Math.log2(saved) + OCTAVES) * BINS_PER_OCTAVE);
    const at = Math.min(this.#bytes.length - 1, Math.max(0, bin));
    this.#bytes[at] = (this.#bytes[at] ?? 0) + bytes;
  }

  /** The least that is worth its place among so many bytes; 0 when all is. */
  least(capacityBytes: number): number {
    let room = capacityBytes;
    for (let at = this.#bytes.length - 1; at >= 0; at -= 1) {
      room -= this.#bytes[at] ?? 0;
      if (room < 0) return 2 ** (at / BINS_PER_OCTAVE - OCTAVES);
    }
    return 0;
  }
}
