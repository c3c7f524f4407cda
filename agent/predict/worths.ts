// What is expected to be saved by each byte of much, counted so that it can be told what is worth the room there is. Pure.

const BINS_PER_OCTAVE = 8;
const OCTAVES = 32;

/** The bin of what is expected to be saved, above 0: the more, the higher. */
export const binOf = (saved: number): number =>
  Math.min(2 * OCTAVES * BINS_PER_OCTAVE - 1, Math.max(0, Math.round((Math.log2(saved) + OCTAVES) * BINS_PER_OCTAVE)));

/** Where the room ends: all bins above it fit, and so many bytes of it. */
export type Cut = { readonly bin: number; readonly bytes: number };

/** Bytes by what each is expected to save, in bins of a twelfth more: enough to tell where the room would be full. */
export class Worths {
  readonly #bytes = new Float64Array(2 * OCTAVES * BINS_PER_OCTAVE);

  /** Counts so many bytes that each save as much. */
  add(saved: number, bytes: number): void {
    if (saved <= 0) return;
    const at = binOf(saved);
    this.#bytes[at] = (this.#bytes[at] ?? 0) + bytes;
  }

  /** Where so many bytes end; a bin below all others when all fits. */
  cut(capacityBytes: number): Cut {
    let room = capacityBytes;
    for (let bin = this.#bytes.length - 1; bin >= 0; bin -= 1) {
      const bytes = this.#bytes[bin] ?? 0;
      if (bytes > room) return { bin, bytes: room };
      room -= bytes;
    }
    return { bin: -1, bytes: room };
  }

  /** The least that is worth its place among so many bytes; 0 when all is. */
  least(capacityBytes: number): number {
    const { bin } = this.cut(capacityBytes);
    return bin < 0 ? 0 : 2 ** (bin / BINS_PER_OCTAVE - OCTAVES);
  }
}
