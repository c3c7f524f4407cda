// Reads a body file block by block; no byte of a block is given out before its checksum was right.
import { CacheError } from '../errors.ts';
import { BLOCK_BYTES, blockChecksum } from './checksum.ts';
import type { HeldBody } from './disk.ts';
import type { Entry } from './entry.ts';
import type { BodyReader, ByteRange, StoredObject } from './object.ts';

/** Pieces up to this are copied out of a shared block buffer; larger ones keep a buffer of their own. */
const COPY_BYTES = 256 * 1024;
/** Block buffers kept for reuse. */
const MAX_SCRATCH = 8;

/** Block buffers that never leave the store. */
export class Scratch {
  readonly #free: Buffer[] = [];

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES);
  }

  give(buffer: Buffer): void {
    if (this.#free.length < MAX_SCRATCH) this.#free.push(buffer);
  }
}

/** What a reader needs of the store. */
export type ReaderParts = {
  readonly entry: Entry;
  readonly blocks: readonly number[];
  readonly body: HeldBody;
  readonly scratch: Scratch;
  /** Set when the whole body fits the RAM tier: hears the verified body when all of it was read. */
  readonly onWhole: ((body: Buffer) => void) | undefined;
  /** The block, or the file, is not what was stored. */
  readonly onCorrupt: (block: number) => void;
  /** The disk would not give it. */
  readonly onError: (error: unknown) => void;
};

/** A reader over [start, end) of a body file; the range lies within the body and is not empty. */
export function readBody(parts: ReaderParts, range: ByteRange): BodyReader {
  const { entry, body } = parts;
  const isWhole = range.start === 0 && range.end === entry.bytes;
  const whole = isWhole && parts.onWhole !== undefined ? Buffer.allocUnsafeSlow(entry.bytes) : undefined;
  let position = range.start;
  let isOpen = true;
  const close = (): void => {
    if (isOpen) body.release();
    isOpen = false;
  };
  const next = async (): Promise<Buffer | undefined> => {
    if (!isOpen) return undefined;
    const index = Math.floor(position / BLOCK_BYTES);
    const start = index * BLOCK_BYTES;
    const end = Math.min(range.end, start + BLOCK_BYTES);
    try {
      const piece = await readPiece(parts, whole, { index, from: position - start, to: end - start });
      position = end;
      if (position < range.end) return piece;
      close();
      if (whole !== undefined) parts.onWhole?.(whole);
      return piece;
    } catch (error) {
      close();
      throw error;
    }
  };
  return { tier: 'disk', next, close };
}

type Piece = { readonly index: number; readonly from: number; readonly to: number };

async function readPiece(parts: ReaderParts, whole: Buffer | undefined, piece: Piece): Promise<Buffer> {
  const { entry, scratch } = parts;
  const offset = piece.index * BLOCK_BYTES;
  const size = Math.min(BLOCK_BYTES, entry.bytes - offset);
  if (whole !== undefined) {
    const target = whole.subarray(offset, offset + size);
    await readBlock(parts, piece.index, target);
    return target.subarray(piece.from, piece.to);
  }
  if (piece.to - piece.from > COPY_BYTES) {
    const target = Buffer.allocUnsafeSlow(size);
    await readBlock(parts, piece.index, target);
    return target.subarray(piece.from, piece.to);
  }
  const shared = scratch.take();
  try {
    await readBlock(parts, piece.index, shared.subarray(0, size));
    return Buffer.from(shared.subarray(piece.from, piece.to));
  } finally {
    scratch.give(shared);
  }
}

async function readBlock(parts: ReaderParts, index: number, target: Buffer): Promise<void> {
  const { entry, blocks, body } = parts;
  let isRight: boolean;
  try {
    isRight = await body.read(index * BLOCK_BYTES, target);
  } catch (error) {
    parts.onError(error);
    throw new CacheError('CACHE_DISK_READ', `the disk did not give block ${index} of ${entry.key}: fetch it again`, {
      cause: error,
      retryable: true,
    });
  }
  if (isRight && blockChecksum(entry, index, target) === blocks[index]) return;
  parts.onCorrupt(index);
  throw corrupt(entry, index);
}

/** The error of a body whose bytes are not those that were stored. */
export const corrupt = (entry: Entry, index: number): CacheError =>
  new CacheError('CACHE_CORRUPT', `block ${index} of ${entry.key} is damaged on disk: fetch it again`, {
    retryable: true,
  });

/** A reader that only rejects. */
export function failedReader(error: CacheError): BodyReader {
  return { tier: 'disk', next: () => Promise.reject(error), close: () => undefined };
}

/** The error of an object that is not there any more. */
export const gone = (key: string, cause?: unknown): CacheError =>
  new CacheError('CACHE_DISK_READ', `${key} left the store: fetch it again`, { cause, retryable: true });

/** Whether all bytes of a range are there. */
export const isWithin = (ranges: StoredObject['ranges'], range: ByteRange): boolean =>
  ranges.some(([start, end]) => start <= range.start && range.start <= range.end && range.end <= end);
