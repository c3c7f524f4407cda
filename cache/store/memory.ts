// The RAM tier: whole verified bodies, least recently used by bytes. The only file that knows lru-cache.
import { LRUCache } from 'lru-cache';
import type { Entry } from './entry.ts';

/** Charged to each body beside its bytes for its head, which stays at hand with it; bounds a flood of empty objects too. */
const OVERHEAD_BYTES = 2048;

/** Bodies at hand. */
export type Memory = {
  readonly maxBodyBytes: number;
  readonly get: (entry: Entry) => Buffer | undefined;
  /** Looks without counting as use. */
  readonly peek: (entry: Entry) => Buffer | undefined;
  /** Ignored when the body is larger than maxBodyBytes. */
  readonly set: (entry: Entry, body: Buffer) => void;
  readonly delete: (entry: Entry) => void;
  readonly clear: () => void;
  /** From now on it holds at most so much, or what it was opened with if that is less. */
  readonly limit: (bytes: number) => void;
  readonly limitBytes: () => number;
  readonly usedBytes: () => number;
  readonly evictions: () => number;
};

/** A RAM tier of at most `maxBytes`; a body may take an eighth of it. `onEvict` hears each body pushed out by another. */
export function openMemory(maxBytes: number, onEvict: (entry: Entry) => void): Memory {
  const maxBodyBytes = Math.floor(maxBytes / 8);
  if (maxBodyBytes <= OVERHEAD_BYTES) return noMemory();
  let evictions = 0;
  let limitBytes = maxBytes;
  const bodies = new LRUCache<Entry, Buffer>({
    maxSize: maxBytes,
    sizeCalculation: (body) => body.length + OVERHEAD_BYTES,
    disposeAfter: (_body, entry, reason) => {
      if (reason !== 'evict') return;
      evictions += 1;
      onEvict(entry);
    },
  });
  const shrink = (): void => {
    while (bodies.calculatedSize > limitBytes) bodies.pop();
  };
  return {
    maxBodyBytes,
    get: (entry) => bodies.get(entry),
    peek: (entry) => bodies.peek(entry),
    set: (entry, body) => {
      if (body.length > maxBodyBytes) return;
      bodies.set(entry, body);
      shrink();
    },
    delete: (entry) => {
      bodies.delete(entry);
    },
    clear: () => bodies.clear(),
    limit: (bytes) => {
      limitBytes = Math.min(maxBytes, Math.floor(bytes));
      shrink();
    },
    limitBytes: () => limitBytes,
    usedBytes: () => bodies.calculatedSize,
    evictions: () => evictions,
  };
}

function noMemory(): Memory {
  const nothing = (): undefined => undefined;
  const none = (): number => 0;
  return {
    maxBodyBytes: -1,
    get: nothing,
    peek: nothing,
    set: nothing,
    delete: nothing,
    clear: nothing,
    limit: nothing,
    limitBytes: none,
    usedBytes: none,
    evictions: none,
  };
}
