// The bytes of an object that is stored in part: stored blocks from the store, the missing ones from fetches that all
// who want them share, in order and of one version.

import type { FillHead, FillReader, Listener } from '../deliver/reader.ts';
import { CacheError } from '../errors.ts';
import type { FillRequest } from '../fill/fill-head.ts';
import type { Fills } from '../fill/fills.ts';
import type { Part } from '../rules/range.ts';
import { isSameVersion, planRun, SLICE_BYTES, sliceAt, sliceLength } from '../rules/slices.ts';
import type { BodyReader, Store, StoredObject } from '../store/object.ts';
import type { Way } from './part-head.ts';
import { findSlice, type Sliced } from './sliced.ts';

/** What reading needs. */
export type SlicedParts = {
  readonly store: Store;
  readonly fills: Fills;
  /** How the origin is asked for what is missing. */
  readonly request: FillRequest;
  readonly sliced: Sliced;
  /** Hears that blocks of this object cannot be combined any more. */
  readonly onUnsliceable: (way: Way) => void;
  /** Hears once that bytes of the last block of the range have come. */
  readonly onLastBlock: () => void;
};

/** A stored block that is being read. */
type OpenSlice = { readonly slice: StoredObject; readonly body: Extract<BodyReader, { tier: 'disk' }> };

/** A reader over a part of the object, not empty; what is at hand in one block is given at once. */
export function readSliced(parts: SlicedParts, range: Part): BodyReader {
  const index = sliceAt(range.start);
  const slice = sliceAt(range.end - 1) === index ? findSlice(parts.store, parts.sliced, index) : undefined;
  const body = slice === undefined ? undefined : readSlice(parts.store, slice, within(range, index));
  if (body?.tier === 'memory') {
    parts.onLastBlock();
    return body;
  }
  const reading = new SlicedBody(parts, range, slice === undefined || body === undefined ? undefined : { slice, body });
  const next = () => reading.next();
  return { tier: 'disk', next, release: (bytes) => reading.release(bytes), close: () => reading.close() };
}

function within(range: Part, index: number): Part {
  const base = index * SLICE_BYTES;
  return { start: range.start - base, end: Math.min(SLICE_BYTES, range.end - base) };
}

function readSlice(store: Store, slice: StoredObject, range: Part): BodyReader {
  store.touch(slice);
  return store.read(slice, range);
}

class SlicedBody {
  readonly #parts: SlicedParts;
  readonly #end: number;
  #sliced: Sliced;
  #position: number;
  #stored: OpenSlice | undefined;
  #reader: FillReader | undefined;
  #error: CacheError | undefined;
  /** Nobody else's fetch serves. */
  #isAlone = false;
  #isNearEnd = false;
  #isOpen = true;
  #wake: () => void = () => undefined;
  /** Bytes of stored blocks, by whose reader they came. */
  readonly #lent = new Map<Buffer, OpenSlice['body']>();

  constructor(parts: SlicedParts, range: Part, stored: OpenSlice | undefined) {
    this.#parts = parts;
    this.#stored = stored;
    this.#sliced = parts.sliced;
    this.#position = range.start;
    this.#end = range.end;
  }

  async next(): Promise<Buffer | undefined> {
    while (this.#isOpen && this.#position < this.#end) {
      const bytes = await this.#piece();
      if (bytes === undefined) continue;
      this.#position += bytes.length;
      this.#noteProgress();
      return bytes;
    }
    this.close();
    return undefined;
  }

  release(bytes: Buffer): void {
    this.#lent.get(bytes)?.release(bytes);
    this.#lent.delete(bytes);
  }

  close(): void {
    this.#isOpen = false;
    this.#stored?.body.close();
    this.#stored = undefined;
    this.#leave();
    this.#wake();
  }

  /** The next bytes; undefined: look again. */
  async #piece(): Promise<Buffer | undefined> {
    if (this.#stored !== undefined) return this.#fromDisk(this.#stored);
    if (this.#reader === undefined) return this.#open();
    return this.#fromFill(this.#reader);
  }

  async #fromDisk({ slice, body }: OpenSlice): Promise<Buffer | undefined> {
    try {
      const bytes = await body.next();
      if (bytes === undefined) this.#stored = undefined;
      else this.#lent.set(bytes, body);
      return bytes;
    } catch {
      // Damaged or out of reach, which the store has logged: this block is fetched again.
      this.#stored = undefined;
      this.#parts.store.remove(slice);
      return undefined;
    }
  }

  async #fromFill(reader: FillReader): Promise<Buffer | undefined> {
    if (this.#error !== undefined) {
      this.close();
      throw this.#error;
    }
    const bytes = reader.pull();
    if (bytes !== undefined) {
      reader.settle();
      return bytes;
    }
    if (reader.isAtEnd()) {
      this.#leave();
      return undefined;
    }
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    return undefined;
  }

  #leave(): void {
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.leave();
  }

  /** Finds the source of the byte at the present position. */
  #open(): Buffer | undefined {
    const { store, fills, request } = this.#parts;
    const index = sliceAt(this.#position);
    const slice = findSlice(store, this.#sliced, index);
    if (slice !== undefined) {
      const body = readSlice(store, slice, within({ start: this.#position, end: this.#end }, index));
      if (body.tier === 'memory') return body.bytes;
      this.#stored = { slice, body };
      return undefined;
    }
    const { version } = this.#sliced;
    const part = planRun(
      { position: this.#position, end: this.#end, total: version.total },
      (other) => findSlice(store, this.#sliced, other) !== undefined || fills.brings(request.key, other * SLICE_BYTES),
    );
    this.#reader = fills.join({ ...request, part, version, revalidates: undefined }, this.#listener(), this.#isAlone);
    return undefined;
  }

  #listener(): Listener {
    const again = () => {
      this.#reader = undefined;
      this.#wake();
    };
    return {
      onHead: (head, reader) => {
        this.#onHead(head, reader);
        this.#wake();
      },
      onReady: () => this.#wake(),
      onUnshared: () => {
        this.#isAlone = true;
        again();
      },
      onBehind: again,
      onError: (error) => {
        this.#error = error;
        this.#wake();
      },
    };
  }

  #onHead(head: FillHead, reader: FillReader): void {
    if (head.outcome === 'slices' && isSameVersion(head.sliced.version, this.#sliced.version)) {
      this.#sliced = head.sliced;
      reader.select(this.#position, this.#end);
      return;
    }
    // Whoever begins anew goes on with the new version's blocks.
    reader.select(this.#position, this.#position);
    if (head.outcome === 'unsliceable' && head.isOfObject) this.#parts.onUnsliceable(head.way);
    const text = 'The object changed at the origin between two of its blocks.';
    this.#error = new CacheError('CACHE_ORIGIN_CHANGED', text, { retryable: true });
  }

  #noteProgress(): void {
    if (this.#isNearEnd || sliceAt(this.#position - 1) < sliceAt(this.#end - 1)) return;
    this.#isNearEnd = true;
    this.#parts.onLastBlock();
  }
}

/** The blocks to read ahead after a range of which viewers seem to go on: at most `count` that are not there. */
export function planAhead(
  parts: Pick<SlicedParts, 'store' | 'fills' | 'request' | 'sliced'>,
  range: Part,
  count: number,
): Part | undefined {
  const { store, fills, request, sliced } = parts;
  const { total } = sliced.version;
  const isThere = (index: number): boolean =>
    findSlice(store, sliced, index) !== undefined || fills.brings(request.key, index * SLICE_BYTES);
  const first = sliceAt(range.start);
  const last = sliceAt(range.end - 1);
  // A probe is one block on its own; who goes on has come from the block before.
  const isSequential = last > first || (first > 0 && isThere(first - 1));
  let next = last + 1;
  const end = Math.min(total, (next + count) * SLICE_BYTES);
  while (next * SLICE_BYTES < end && isThere(next)) next += 1;
  if (!isSequential || next * SLICE_BYTES >= end || sliceLength(next, total) <= 0) return undefined;
  return planRun({ position: next * SLICE_BYTES, end, total }, isThere);
}
