// Takes one body as it comes: into RAM when it fits, and block by block into a file; gives up by itself, never waits.
import type { BodyFile } from './body-file.ts';
import { BLOCK_BYTES, blockChecksum } from './checksum.ts';
import { INLINE_BYTES } from './entry.ts';
import { type Mount, ROW_BYTES } from './mount.ts';
import type { BodyWriter, StoredObject, StoredResponse } from './object.ts';

/** Bytes of one body that may wait for its disk. */
const MAX_PENDING_BYTES = 16 * 1024 * 1024;
/** First buffer of a body whose length is not known. */
const FIRST_BYTES = 64 * 1024;

/** RAM taken by bodies that are still being written, shared by all writers. */
export type WritingBudget = { bytes: number; readonly maxBytes: number };

/** A body that was taken completely. `disk` is absent when it has no way to a disk. */
export type Written = {
  readonly id: number;
  readonly bytes: number;
  /** The whole body, when it fitted. */
  readonly ram: Buffer | undefined;
  readonly disk:
    | { readonly mount: Mount; readonly blocks: readonly number[]; readonly file: BodyFile | undefined }
    | undefined;
};

/** What a writer needs of the store. */
export type WriterParts = {
  readonly id: number;
  readonly response: StoredResponse;
  readonly mount: Mount | undefined;
  /** Code of the host that pays for its room; 0: nobody. */
  readonly host: number;
  /** Largest body that may be kept in RAM meanwhile. */
  readonly maxRamBytes: number;
  readonly budget: WritingBudget;
  /** A disk copy was given up, or failed with this error. */
  readonly onDiskFailed: (mount: Mount, error: unknown) => void;
  /** Takes the object into the store. */
  readonly onWritten: (written: Written) => StoredObject | undefined;
};

/** The writer of one body. Its disk copy and its RAM copy are given up independently; without both it is abandoned. */
export class Writer implements BodyWriter {
  readonly #parts: WriterParts;
  readonly #blocks: number[] = [];
  #ram: Buffer | undefined;
  #budgeted = 0;
  #mount: Mount | undefined;
  #file: BodyFile | undefined;
  #reserved = 0;
  /** The block that is filling, when there is no RAM copy that holds it. */
  #block: Buffer | undefined;
  #length = 0;
  #isOver = false;

  constructor(parts: WriterParts) {
    this.#parts = parts;
    this.#mount = parts.mount;
    this.#growRam(parts.response.lengthBytes ?? FIRST_BYTES);
    if (this.#mount !== undefined && !this.#reserve(ROW_BYTES)) this.#dropDisk(undefined);
  }

  isAbandoned(): boolean {
    return this.#isOver;
  }

  write(bytes: Buffer): void {
    if (this.#isOver) return;
    const { lengthBytes } = this.#parts.response;
    if (lengthBytes !== undefined && this.#length + bytes.length > lengthBytes) this.abort();
    let taken = 0;
    while (taken < bytes.length && !this.#isOver) {
      const room = BLOCK_BYTES - (this.#length % BLOCK_BYTES);
      const piece = bytes.subarray(taken, taken + room);
      this.#take(piece);
      taken += piece.length;
    }
  }

  /** At most up to the end of the block that is filling. */
  #take(piece: Buffer): void {
    const at = this.#length % BLOCK_BYTES;
    if (this.#ram !== undefined) this.#growRam(this.#length + piece.length);
    if (this.#ram !== undefined) this.#ram.set(piece, this.#length);
    else if (this.#mount !== undefined) {
      this.#block ??= Buffer.allocUnsafeSlow(BLOCK_BYTES);
      this.#block.set(piece, at);
    }
    this.#length += piece.length;
    if (at + piece.length === BLOCK_BYTES) this.#endBlock(BLOCK_BYTES);
    this.#judge();
  }

  #growRam(needed: number): void {
    const { maxRamBytes, budget } = this.#parts;
    const ram = this.#ram;
    if (ram !== undefined && needed <= ram.length) return;
    const size = ram === undefined ? needed : Math.min(maxRamBytes, Math.max(needed, ram.length * 2));
    if (needed > maxRamBytes || budget.bytes - this.#budgeted + size > budget.maxBytes) {
      this.#dropRam();
      return;
    }
    const larger = Buffer.allocUnsafeSlow(size);
    ram?.copy(larger, 0, 0, this.#length);
    this.#ram = larger;
    this.#charge(size);
  }

  #charge(bytes: number): void {
    this.#parts.budget.bytes += bytes - this.#budgeted;
    this.#budgeted = bytes;
  }

  #dropRam(): void {
    const start = this.#length - (this.#length % BLOCK_BYTES);
    if (this.#ram !== undefined && this.#mount !== undefined && start < this.#length) {
      this.#block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
      this.#ram.copy(this.#block, 0, start, this.#length);
    }
    this.#ram = undefined;
    this.#charge(0);
  }

  /** Checksums the block that ends at the present length and queues it for the file. */
  #endBlock(size: number): void {
    const mount = this.#mount;
    if (mount === undefined) return;
    const start = this.#length - size;
    const bytes = this.#ram?.subarray(start, this.#length) ?? this.#block?.subarray(0, size);
    this.#block = undefined;
    if (bytes === undefined || !this.#reserve(size)) {
      this.#dropDisk(undefined);
      return;
    }
    const { id, response } = this.#parts;
    const owner = { id, key: response.key, variant: response.variant };
    this.#blocks.push(blockChecksum(owner, this.#blocks.length, bytes));
    if (this.#length <= INLINE_BYTES) {
      if (!mount.hasBacklogRoom(size)) {
        this.#dropDisk(undefined);
        return;
      }
      this.#ram ??= bytes; // RAM was short: the block itself is the whole body.
      return;
    }
    this.#file ??= mount.newBody(id);
    const waiting = (this.#file?.pendingBytes ?? 0) + size;
    if (this.#file === undefined || waiting > MAX_PENDING_BYTES || !mount.hasBacklogRoom(size)) {
      this.#dropDisk(undefined);
      return;
    }
    this.#file.push(bytes);
    if (this.#file.failure !== undefined) this.#dropDisk(this.#file.failure.error);
  }

  #reserve(bytes: number): boolean {
    if (this.#mount?.reserve(bytes, this.#parts.host) !== true) return false;
    this.#reserved += bytes;
    return true;
  }

  /** Gives the disk copy up. */
  #dropDisk(error: unknown): void {
    const mount = this.#mount;
    if (mount === undefined) return;
    this.#mount = undefined;
    void this.#file?.discard();
    this.#file = undefined;
    this.#block = undefined;
    mount.release(this.#reserved, this.#parts.host);
    this.#reserved = 0;
    this.#parts.onDiskFailed(mount, error);
  }

  #judge(): void {
    if (this.#ram === undefined && this.#mount === undefined) this.abort();
  }

  abort(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    void this.#file?.discard();
    this.#file = undefined;
    this.#mount?.release(this.#reserved, this.#parts.host);
    this.#mount = undefined;
    this.#block = undefined;
    this.#ram = undefined;
    this.#charge(0);
  }

  async finish(): Promise<StoredObject | undefined> {
    const { id, response, onWritten } = this.#parts;
    if (this.#isOver) return undefined;
    if (response.lengthBytes !== undefined && response.lengthBytes !== this.#length) {
      this.abort();
      return undefined;
    }
    if (this.#length % BLOCK_BYTES > 0) this.#endBlock(this.#length % BLOCK_BYTES);
    if (this.#length === 0) this.#ram ??= Buffer.alloc(0);
    if (this.#ram === undefined) await this.#drain();
    this.#judge();
    if (this.#isOver) return undefined;
    this.#isOver = true;
    const mount = this.#mount;
    const ram = this.#ram === undefined ? undefined : exactly(this.#ram, this.#length);
    this.#charge(0);
    const disk = mount === undefined ? undefined : { mount, blocks: this.#blocks, file: this.#file };
    return onWritten({ id, bytes: this.#length, ram, disk });
  }

  async #drain(): Promise<void> {
    try {
      await this.#file?.drained();
    } catch (error) {
      this.#dropDisk(error);
    }
  }
}

/** The first `length` bytes, in a buffer that holds little more. */
function exactly(buffer: Buffer, length: number): Buffer {
  return buffer.length === length ? buffer : Buffer.from(buffer.subarray(0, length));
}
