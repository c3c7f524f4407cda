// The scrub of one directory: reads every stored block now and then, so that decay is found before a viewer asks for it.
import { BLOCK_BYTES, blockChecksum } from './checksum.ts';
import { errorCode } from './disk.ts';
import { INLINE_BYTES } from './entry.ts';
import type { Mount } from './mount.ts';
import type { Row } from './rows.ts';

const DAY_MS = 24 * 3600 * 1000;
/** Share of the disk's time that the scrub may take: after a block it rests 99 times as long as reading took. */
const REST_RATIO = 99;
/** Rests at most this long, so that a small store is looked at, too. */
const MAX_REST_MS = 3600 * 1000;

/** What the scrub of all directories has done since the start. */
export type ScrubCounters = { bytes: number; damaged: number; passes: number };

/** What a scrub is given. */
export type ScrubParts = {
  readonly mount: Mount;
  /** In which the whole directory is to be read once. */
  readonly days: number;
  readonly counters: ScrubCounters;
  /** An object whose row (block `row`) or body is not what was stored; it leaves when this returns. */
  readonly onDamaged: (id: number, block: number | 'row', row: Row | undefined) => void;
  /** The disk would not give it. */
  readonly onError: (op: 'read' | 'index', error: unknown) => void;
};

/**
 * Milliseconds to rest after a block of `bytes` that took `readMs` to read: so long that `usedBytes` take `days`, and that
 * reading takes at most 1 % of the time; an hour at most.
 */
export function restMs(block: { readonly bytes: number; readonly readMs: number }, usedBytes: number, days: number) {
  const paceMs = (days * DAY_MS * block.bytes) / Math.max(1, usedBytes);
  return Math.min(MAX_REST_MS, Math.max(paceMs, block.readMs * REST_RATIO));
}

/** Goes round and round until the signal aborts. Never rejects. */
export async function scrub(parts: ScrubParts, signal: AbortSignal): Promise<void> {
  const { mount, counters } = parts;
  let [at, bytes, readMs] = [mount.rows.facts.scrubbedTo, BLOCK_BYTES, 0];
  try {
    for (;;) {
      await rest(restMs({ bytes, readMs }, mount.usedBytes, parts.days), signal);
      const next = find(parts, at);
      [bytes, readMs] = [BLOCK_BYTES, 0];
      if (next === undefined) {
        if (at > 0) counters.passes += 1;
        at = 0;
      } else {
        for await (const block of scrubObject(parts, next)) {
          counters.bytes += block.bytes;
          [bytes, readMs] = [block.bytes, block.readMs];
          if (!block.isLast) await rest(restMs(block, mount.usedBytes, parts.days), signal);
        }
        at = next;
      }
      mount.group.scrubbed(at);
    }
  } catch (error) {
    if (!signal.aborted) parts.onError('index', error);
  }
}

/** Rejects when the signal aborts. */
function rest(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  timer.unref();
  const stop = (): void => {
    clearTimeout(timer);
    reject(signal.reason);
  };
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true });
  return promise.finally(() => signal.removeEventListener('abort', stop));
}

function find({ mount, onError }: ScrubParts, after: number): number | undefined {
  try {
    return mount.rows.idAfter(after);
  } catch (error) {
    onError('index', error);
    return undefined;
  }
}

type Block = { readonly bytes: number; readonly readMs: number; readonly isLast: boolean };

/** Reads an object block by block. One that leaves meanwhile is nobody's loss. */
async function* scrubObject(parts: ScrubParts, id: number): AsyncGenerator<Block> {
  const { mount, counters, onDamaged, onError } = parts;
  const isGone = (): boolean => mount.isClosed || mount.group.isRemoving(id) || mount.rows.idAfter(id - 1) !== id;
  const damaged = (block: number | 'row', row: Row | undefined): void => {
    if (isGone()) return;
    counters.damaged += 1;
    onDamaged(id, block, row);
  };
  const row = mount.rows.row(id);
  if (row === undefined) {
    damaged('row', undefined);
    return;
  }
  const { key, variant, lengthBytes } = row.head;
  const began = performance.now();
  if (lengthBytes <= INLINE_BYTES) {
    const body = mount.rows.body(id);
    const isRight =
      body?.length === lengthBytes &&
      (lengthBytes === 0 || blockChecksum({ id, key, variant }, 0, body) === row.blocks[0]);
    if (!isRight) damaged(0, row);
    yield { bytes: lengthBytes, readMs: performance.now() - began, isLast: true };
    return;
  }
  const body = mount.disk.hold(id, lengthBytes);
  const buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  try {
    for (const [index, checksum] of row.blocks.entries()) {
      const target = buffer.subarray(0, Math.min(BLOCK_BYTES, lengthBytes - index * BLOCK_BYTES));
      const start = performance.now();
      const isThere = await body.read(index * BLOCK_BYTES, target);
      const readMs = performance.now() - start;
      if (!isThere || blockChecksum({ id, key, variant }, index, target) !== checksum) {
        damaged(index, row);
        return;
      }
      yield { bytes: target.length, readMs, isLast: index + 1 === row.blocks.length };
    }
  } catch (error) {
    if (isGone()) return;
    if (errorCode(error) === 'ENOENT') damaged(0, row);
    else onError('read', error);
  } finally {
    body.release();
  }
}
