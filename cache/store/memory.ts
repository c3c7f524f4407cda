// The RAM tier: whole verified bodies, least recently used by bytes. The only file that knows lru-cache.
import { LRUCache } from 'lru-cache';

/** Charged to each body beside its bytes, so that a flood of empty objects is bounded too. */
const OVERHEAD_BYTES = 512;

/** Bodies at hand, by object id. */
export type Memory = {
  readonly maxBodyBytes: number;
  readonly get: (id: number) => Buffer | undefined;
  /** Looks without counting as use. */
  readonly peek: (id: number) => Buffer | undefined;
  /** Ignored when the body is larger than maxBodyBytes. */
  readonly set: (id: number, body: Buffer) => void;
  readonly delete: (id: number) => void;
  readonly clear: () => void;
  /** From now on it holds at most so much, or what it was opened with if that is less. */
  readonly limit: (bytes: number) => void;
  readonly limitBytes: () => number;
  readonly usedBytes: () => number;
  readonly evictions: () => number;
};

/** A RAM tier of at most `maxBytes`; a body may take an eighth of it. `onEvict` hears each body pushed out by another. */
export function openMemory(maxBytes: number, onEvict: (id: number) => void): Memory {
  const maxBodyBytes = Math.floor(maxBytes / 8);
  if (maxBodyBytes <= OVERHEAD_BYTES) return noMemory();
  let evictions = 0;
  let limitBytes = maxBytes;
  const bodies = new LRUCache<number, Buffer>({
    maxSize: maxBytes,
    sizeCalculation: (body) => body.length + OVERHEAD_BYTES,
    disposeAfter: (_body, id, reason) => {
      if (reason !== 'evict') return;
      evictions += 1;
      onEvict(id);
    },
  });
  const shrink = (): void => {
    while (bodies.calculatedSize > limitBytes) bodies.pop();
  };
  return {
    maxBodyBytes,
    get: (id) => bodies.get(id),
    peek: (id) => bodies.peek(id),
    set: (id, body) => {
      if (body.length > maxBodyBytes) return;
      bodies.set(id, body);
      shrink();
    },
    delete: (id) => {
      bodies.delete(id);
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
