// Reads a body file block by block; no byte of a block is given out before its checksum was right.
import { CacheError } from '../errors.ts';
import { BLOCK_BYTES, blockChecksum } from './checksum.ts';
import type { HeldBody } from './disk.ts';
import type { Entry } from './entry.ts';
import type { BodyReader, ByteRange, StoredObject } from './object.ts';

/** Pieces up to this are copied out of a block buffer, so that a slow viewer holds no more than he takes. */
const COPY_BYTES = 64 * 1024;
/** Block buffers kept for reuse: 32 MiB. A new one costs as much as reading it, for its pages must be mapped. */
const MAX_SCRATCH = 32;

/** Block buffers, used again. */
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

type Piece = {
  readonly bytes: Buffer;
  /** The buffer that `bytes` lie in and that may be used again after them; absent when they have their own. */
  readonly block: Buffer | undefined;
};

/** A reader over [start, end) of a body file; the range lies within the body and is not empty. */
export function readBody(parts: ReaderParts, range: ByteRange): BodyReader {
  const { entry, body, scratch } = parts;
  const isWhole = range.start === 0 && range.end === entry.bytes;
  const whole = isWhole && parts.onWhole !== undefined ? Buffer.allocUnsafeSlow(entry.bytes) : undefined;
  const lent = new Map<Buffer, Buffer>();
  let position = range.start;
  let ahead: Promise<Piece> | undefined;
  let isOpen = true;
  const close = (): void => {
    if (!isOpen) return;
    isOpen = false;
    // The file stays open for what is being read ahead; whether that succeeds is nothing to anybody.
    if (ahead === undefined) body.release();
    else
      ahead
        .then(({ block }) => block && scratch.give(block))
        .catch(() => undefined)
        .finally(body.release);
  };
  const start = (): Promise<Piece> | undefined => {
    if (position >= range.end) return undefined;
    const index = Math.floor(position / BLOCK_BYTES);
    const offset = index * BLOCK_BYTES;
    const piece = readPiece(parts, whole, {
      index,
      from: position - offset,
      to: Math.min(range.end - offset, BLOCK_BYTES),
    });
    position = Math.min(range.end, offset + BLOCK_BYTES);
    return piece;
  };
  const next = async (): Promise<Buffer | undefined> => {
    if (!isOpen) return undefined;
    const reading = ahead ?? start();
    ahead = undefined;
    try {
      const piece = await reading;
      if (piece === undefined || !isOpen) return undefined;
      if (piece.block !== undefined) lent.set(piece.bytes, piece.block);
      // The next block comes while this one is sent; its failure is told when it is asked for.
      ahead = start();
      ahead?.catch(() => undefined);
      if (ahead === undefined) {
        close();
        if (whole !== undefined) parts.onWhole?.(whole);
      }
      return piece.bytes;
    } catch (error) {
      close();
      throw error;
    }
  };
  const release = (bytes: Buffer): void => {
    const block = lent.get(bytes);
    if (block !== undefined && lent.delete(bytes)) scratch.give(block);
  };
  return { tier: 'disk', next, release, close };
}

type Wanted = { readonly index: number; readonly from: number; readonly to: number };

async function readPiece(parts: ReaderParts, whole: Buffer | undefined, wanted: Wanted): Promise<Piece> {
  const { entry, scratch } = parts;
  const { index, from, to } = wanted;
  const offset = index * BLOCK_BYTES;
  const size = Math.min(BLOCK_BYTES, entry.bytes - offset);
  if (whole !== undefined) {
    const target = whole.subarray(offset, offset + size);
    await readBlock(parts, index, target);
    return { bytes: target.subarray(from, to), block: undefined };
  }
  const block = scratch.take();
  try {
    await readBlock(parts, index, block.subarray(0, size));
  } catch (error) {
    scratch.give(block);
    throw error;
  }
  if (to - from > COPY_BYTES) return { bytes: block.subarray(from, to), block };
  const bytes = Buffer.from(block.subarray(from, to));
  scratch.give(block);
  return { bytes, block: undefined };
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
  return { tier: 'disk', next: () => Promise.reject(error), release: () => undefined, close: () => undefined };
}

/** The error of an object that is not there any more. */
export const gone = (key: string, cause?: unknown): CacheError =>
  new CacheError('CACHE_DISK_READ', `${key} left the store: fetch it again`, { cause, retryable: true });

/** Whether all bytes of a range are there. */
export const isWithin = (ranges: StoredObject['ranges'], range: ByteRange): boolean =>
  ranges.some(([start, end]) => start <= range.start && range.start <= range.end && range.end <= end);
