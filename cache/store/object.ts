// What the store keeps of a response, and what it gives back: types between the store and the rest of the cache.
import type { Demand, Log, Purpose, StoreDirectory, StoreStats } from '../contract.ts';
import type { EvictionPlace } from '../rules/eviction/s3fifo.ts';

/** End-to-end header fields in the order received, names in lower case. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

/** A response as received, without its body. */
export type StoredResponse = {
  /** Primary key: origin name, method-independent URL without ignored query. */
  readonly key: string;
  /** Secondary key: the request's values of the fields that Vary names, normalised; '' without Vary. */
  readonly variant: string;
  /** Lower-case field names of Vary, sorted. */
  readonly varyOn: readonly string[];
  readonly status: number;
  readonly headers: HeaderList;
  /** When the request was sent and its head received, milliseconds since the epoch. */
  readonly requestedAt: number;
  readonly receivedAt: number;
  /** Bytes of the complete representation; undefined while an unsized body is still arriving. */
  readonly lengthBytes: number | undefined;
  readonly purpose: Purpose;
  /** What it can be found by beside its key: at most 64, each at most 128 UTF-16 code units; others are left out. */
  readonly tags: readonly string[];
};

/**
 * A stored response as it was when it was looked up, but for hits and tier, which are as they are now. The same object is
 * given again as long as nothing of it has changed; look it up again for the next request.
 */
export type StoredObject = StoredResponse & {
  readonly lengthBytes: number;
  readonly isPinned: boolean;
  /** Soft-purged: usable only after revalidation. */
  readonly isInvalidated: boolean;
  readonly hits: number;
  readonly tier: 'memory' | 'disk';
  /** Which bytes are there, sorted, half-open, disjoint; one range [0, lengthBytes) when complete. */
  readonly ranges: readonly (readonly [start: number, end: number])[];
};

/** Half-open byte range. */
export type ByteRange = { readonly start: number; readonly end: number };

/**
 * Bytes of an object. `memory`: at hand, verified. `disk`: verified block by block as they are read; next() gives
 * undefined at the end and rejects with CACHE_CORRUPT (the object is then already quarantined) or CACHE_DISK_READ.
 * close() must be called when reading stops early; it is idempotent. release() gives back bytes of next() that nobody
 * reads any more, so that their memory is used again; what is not given back is collected.
 */
export type BodyReader =
  | { readonly tier: 'memory'; readonly bytes: Buffer }
  | {
      readonly tier: 'disk';
      readonly next: () => Promise<Buffer | undefined>;
      readonly release: (bytes: Buffer) => void;
      readonly close: () => void;
    };

/**
 * Takes one body. write() never blocks and never throws: when the disk is too slow or fails the writer gives up by
 * itself (isAbandoned) and viewers go on from the fill. finish() resolves with the object, visible to find() at once
 * (from memory, while its disk copy is synced in a group behind it), or undefined when it was abandoned or refused.
 */
export type BodyWriter = {
  readonly write: (bytes: Buffer) => void;
  readonly isAbandoned: () => boolean;
  readonly finish: () => Promise<StoredObject | undefined>;
  readonly abort: () => void;
};

/** How a response is stored. `host`: the first name of the host that it was fetched for; absent or '': nobody's. */
export type WriteHint = {
  readonly isPinned: boolean;
  readonly worth: number | undefined;
  readonly host?: string;
};

/** The most that a host may take of all disks, bodies and rows; known by any of its names. */
export type DiskShare = { readonly names: readonly string[]; readonly maxBytes: number };

/** Fields of a stored object that change without its body: by a 304 (RFC 9111 section 4.3.4), a purge or a pin. */
export type ObjectPatch = Partial<
  Pick<StoredObject, 'headers' | 'tags' | 'requestedAt' | 'receivedAt' | 'isInvalidated' | 'isPinned'>
>;

/** Two tiers behind one face. Everything but reading, finishing and closing is synchronous. */
export type Store = {
  /** Every stored variant of a key. Does not count as use. Costs no memory for what is in use; reads a row otherwise. */
  readonly find: (key: string) => readonly StoredObject[];
  /** Counts a hit; true when it is the first since the fill, so that a prefetch can be called useful. */
  readonly touch: (object: StoredObject) => { readonly isFirst: boolean };
  /** Where its disk's policy has it wait to leave; undefined: pinned, in memory alone, or not counted yet. */
  readonly placeOf: (object: StoredObject) => EvictionPlace | undefined;
  readonly read: (object: StoredObject, range: ByteRange) => BodyReader;
  /** Undefined: refused (too large, no room that may be evicted, store degraded and object beyond RAM). */
  readonly write: (response: StoredResponse, hint: WriteHint) => BodyWriter | undefined;
  readonly update: (object: StoredObject, patch: ObjectPatch) => void;
  readonly remove: (object: StoredObject) => void;
  /** Keys that begin with a prefix and come after `after`, in the order of their UTF-8 bytes, at most `limit` of them. */
  readonly keys: (prefix: string, limit: number, after?: string) => readonly string[];
  /** Keys of objects with that tag that come after `after`, in the same order, at most `limit` of them. */
  readonly keysByTag: (tag: string, limit: number, after?: string) => readonly string[];
  /** Resolves when every removal and update given so far is on disk, or its disk was taken out. */
  readonly settled: () => Promise<void>;
  /** These hosts have quotas from now on, and no others; who is above its own loses objects soon. */
  readonly limitHosts: (quotas: readonly DiskShare[]) => void;
  /** Lowers the RAM tier at once, or lets it grow again up to what was configured. */
  readonly limitMemory: (bytes: number) => void;
  readonly stats: () => StoreStats;
  /** Syncs what is pending and closes; at most `deadlineMs`. */
  readonly close: (deadlineMs: number) => Promise<void>;
};

/** What openStore() needs. `onEvict` hears every object that left, with whether it was ever used. */
export type StoreOptions = {
  readonly ramBytes: number;
  readonly dirs: readonly StoreDirectory[];
  /** True: a directory that cannot be used is an error at start; false: the store runs from memory alone. */
  readonly required: boolean;
  readonly onEvict?: (object: { readonly purpose: Purpose; readonly bytes: number; readonly wasUsed: boolean }) => void;
  readonly now: () => number;
  readonly log: Log;
  /** In which the scrub reads every stored block once; 0: no scrub. Default 30. */
  readonly scrubDays?: number;
  /** See limitHosts(). */
  readonly hostQuotas?: readonly DiskShare[];
  /** What is expected of keys; absent: the policy alone decides who leaves. */
  readonly demand?: Demand | undefined;
  /** Default true. False only to measure what syncing costs: then a power cut may take everything. */
  readonly isSynced?: boolean;
};
