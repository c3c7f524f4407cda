// Stores a run of an object as it comes, each block an object of its own.
import { SLICE_BYTES, sliceAt, sliceKey, sliceLength, type Version } from '../rules/slices.ts';
import type { BodyWriter, Store, StoredObject, StoredResponse, WriteHint } from '../store/object.ts';

/** What a run's blocks are stored under. */
export type SliceOptions = {
  readonly store: Store;
  /** The head of the object. */
  readonly response: StoredResponse;
  readonly version: Version;
  /** Offset of the run's first byte: a block's. */
  readonly start: number;
  readonly hint: WriteHint;
  /** What finish() gives: the head's own object. */
  readonly head: () => StoredObject | undefined;
};

/** Writes blocks one after the other; a block that the store refuses is left out. */
export class SliceWriter implements BodyWriter {
  readonly #options: SliceOptions;
  #position: number;
  #block: BodyWriter | undefined;
  #isOver = false;
  #hasRefused = false;
  #finishing: Promise<unknown> = Promise.resolve();

  constructor(options: SliceOptions) {
    this.#options = options;
    this.#position = options.start;
  }

  isAbandoned(): boolean {
    return this.#isOver || this.#hasRefused;
  }

  write(bytes: Buffer): void {
    let taken = 0;
    while (taken < bytes.length && !this.#isOver) {
      const at = this.#position % SLICE_BYTES;
      const piece = bytes.subarray(taken, taken + SLICE_BYTES - at);
      if (at === 0) this.#begin();
      this.#block?.write(piece);
      this.#position += piece.length;
      taken += piece.length;
      if (this.#position % SLICE_BYTES === 0) this.#end();
    }
  }

  #begin(): void {
    const { store, response, version, hint } = this.#options;
    const index = sliceAt(this.#position);
    const key = sliceKey(response.key, version.epoch, index);
    const lengthBytes = sliceLength(index, version.total);
    this.#block = store.write({ ...response, key, headers: [], tags: [], status: 206, lengthBytes }, hint);
    this.#hasRefused = this.#block === undefined;
  }

  #end(): void {
    const finished = this.#block?.finish() ?? Promise.resolve();
    this.#block = undefined;
    this.#finishing = Promise.all([this.#finishing, finished]);
    // Who awaits finish() hears of it.
    this.#finishing.catch(() => undefined);
  }

  abort(): void {
    this.#isOver = true;
    this.#block?.abort();
    this.#block = undefined;
  }

  async finish(): Promise<StoredObject | undefined> {
    if (!this.#isOver && this.#block !== undefined) this.#end();
    this.#isOver = true;
    await this.#finishing;
    return this.#options.head();
  }
}
