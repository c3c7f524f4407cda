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
  readonly usedBytes: () => number;
  readonly evictions: () => number;
};

/** A RAM tier of at most `maxBytes`; a body may take an eighth of it. `onEvict` hears each body pushed out by another. */
export function openMemory(maxBytes: number, onEvict: (id: number) => void): Memory {
  const maxBodyBytes = Math.floor(maxBytes / 8);
  if (maxBodyBytes <= OVERHEAD_BYTES) return noMemory();
  let evictions = 0;
  const bodies = new LRUCache<number, Buffer>({
    maxSize: maxBytes,
    sizeCalculation: (body) => body.length + OVERHEAD_BYTES,
    disposeAfter: (_body, id, reason) => {
      if (reason !== 'evict') return;
      evictions += 1;
      onEvict(id);
    },
  });
  return {
    maxBodyBytes,
    get: (id) => bodies.get(id),
    peek: (id) => bodies.peek(id),
    set: (id, body) => {
      if (body.length <= maxBodyBytes) bodies.set(id, body);
    },
    delete: (id) => {
      bodies.delete(id);
    },
    clear: () => bodies.clear(),
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
    usedBytes: none,
    evictions: none,
  };
}
