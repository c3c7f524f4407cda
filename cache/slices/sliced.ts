// Objects that are stored in part, as the store has them: a head without body, and blocks under keys of their own.
import type { Fields } from '../rules/fields.ts';
import type { Part } from '../rules/range.ts';
import {
  SLICE_BYTES,
  sliceAt,
  sliceCount,
  sliceKey,
  type Version,
  versionOf,
  withoutVersion,
} from '../rules/slices.ts';
import type { Store, StoredObject } from '../store/object.ts';

/** Blocks of one object that are removed at once; the others can no longer be found, and are evicted in time. */
const MAX_REMOVED = 1024;
/** Blocks that are looked for before an answer begins; what lies beyond counts as missing until its turn comes. */
const MAX_LOOKED_AT = 256;

/** An object of which blocks may be stored. */
export type Sliced = {
  readonly version: Version;
  /** The whole representation, as viewers get its head. The store does not know this object. */
  readonly object: StoredObject;
  /** Its head in the store. */
  readonly stored: StoredObject | undefined;
};

/** Keyed by the stored list, so that one stored head gives one list of fields. */
const plainHeaders = new WeakMap<Fields, Fields>();

/** What a stored object stands for, when it is the head of one that is stored in part. */
export function slicedOf(stored: StoredObject): Sliced | undefined {
  const version = versionOf(stored);
  if (version === undefined) return undefined;
  let headers = plainHeaders.get(stored.headers);
  if (headers === undefined) {
    headers = withoutVersion(stored.headers);
    plainHeaders.set(stored.headers, headers);
  }
  return { version, stored, object: { ...stored, headers, lengthBytes: version.total, ranges: [[0, version.total]] } };
}

/** A stored block. */
export function findSlice(
  store: Pick<Store, 'find'>,
  { version, object }: Sliced,
  index: number,
): StoredObject | undefined {
  const found = store.find(sliceKey(object.key, version.epoch, index));
  return found.find(({ variant }) => variant === object.variant);
}

/** The first offset of these parts whose block is not stored; undefined when all are. */
export function firstMissing(store: Store, sliced: Sliced, parts: readonly Part[]): number | undefined {
  let lookedAt = 0;
  for (const { start, end } of parts) {
    for (let index = sliceAt(start); index * SLICE_BYTES < end; index += 1) {
      lookedAt += 1;
      const isStored = lookedAt <= MAX_LOOKED_AT && findSlice(store, sliced, index) !== undefined;
      if (!isStored) return Math.max(start, index * SLICE_BYTES);
    }
  }
  return undefined;
}

function slicesOf(store: Pick<Store, 'find'>, sliced: Sliced): readonly StoredObject[] {
  const found: StoredObject[] = [];
  const count = Math.min(sliceCount(sliced.version.total), MAX_REMOVED);
  for (let index = 0; index < count; index += 1) {
    const slice = findSlice(store, sliced, index);
    if (slice !== undefined) found.push(slice);
  }
  return found;
}

/** Bytes that are stored of an object: of its blocks, or its own. */
export function storedBytes(store: Store, stored: StoredObject): number {
  const sliced = slicedOf(stored);
  if (sliced === undefined) return stored.lengthBytes;
  return slicesOf(store, sliced).reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
}

/** Removes a stored object with its blocks. */
export function removeStored(store: Pick<Store, 'find' | 'remove'>, stored: StoredObject): void {
  const sliced = slicedOf(stored);
  if (sliced !== undefined) for (const slice of slicesOf(store, sliced)) store.remove(slice);
  store.remove(stored);
}
