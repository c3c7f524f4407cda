// The hot index: what is known of each object without asking a disk.
import type { Purpose } from '../contract.ts';
import type { StoredObject, StoredResponse } from './object.ts';

/** Bodies up to this live in the database, larger ones in files. */
export const INLINE_BYTES = 64 * 1024;

/** Head of a stored object: its response and the flags that are stored with it. */
export type Head = StoredResponse & Pick<StoredObject, 'lengthBytes' | 'isInvalidated' | 'ranges'>;

/** Where the disk copy is: `none`; `pending` = not yet readable; `file` = a body file; `inline` = in the database. */
export type Place = 'none' | 'pending' | 'file' | 'inline';

/** One object. Mutable; owned by the store. */
export type Entry = {
  readonly id: number;
  readonly key: string;
  readonly variant: string;
  /** Length of the complete body. */
  readonly bytes: number;
  /** Bytes of it that are there. */
  readonly storedBytes: number;
  readonly purpose: Purpose;
  /** Milliseconds since the epoch at which its response came. */
  storedAt: number;
  /** Index of its directory in the options; -1 when only in RAM. */
  disk: number;
  place: Place;
  /** Its row is in the database. */
  isCommitted: boolean;
  /** Absent until the row was read. */
  head: Head | undefined;
  /** CRC-32 per block; absent until the row was read. */
  blocks: readonly number[] | undefined;
  /** The body while it is on its way to the disk. */
  held: Buffer | undefined;
  isPinned: boolean;
  hits: number;
  lastUsedAt: number;
  /** It left the store; readers that have it open may end. */
  isGone: boolean;
};

/** Entries by key and by id. */
export class Index {
  readonly #byKey = new Map<string, Entry[]>();
  readonly #byId = new Map<number, Entry>();

  get size(): number {
    return this.#byId.size;
  }

  byKey(key: string): readonly Entry[] {
    return this.#byKey.get(key) ?? [];
  }

  byId(id: number): Entry | undefined {
    return this.#byId.get(id);
  }

  /** The entry of that id as a list of at most one. */
  withId(id: number): readonly Entry[] {
    const entry = this.#byId.get(id);
    return entry === undefined ? [] : [entry];
  }

  /** Takes the entry in; gives the one of the same key and variant that it replaces, already taken out. */
  add(entry: Entry): Entry | undefined {
    const old = this.byKey(entry.key).find((other) => other.variant === entry.variant);
    if (old !== undefined) this.remove(old);
    const same = this.#byKey.get(entry.key);
    if (same === undefined) this.#byKey.set(entry.key, [entry]);
    else same.push(entry);
    this.#byId.set(entry.id, entry);
    return old;
  }

  /** False when it was not there. */
  remove(entry: Entry): boolean {
    if (this.#byId.get(entry.id) !== entry) return false;
    this.#byId.delete(entry.id);
    const rest = this.byKey(entry.key).filter((other) => other !== entry);
    if (rest.length === 0) this.#byKey.delete(entry.key);
    else this.#byKey.set(entry.key, rest);
    return true;
  }

  keys(prefix: string, limit: number, after = ''): string[] {
    const found: string[] = [];
    for (const key of this.#byKey.keys()) if (key > after && key.startsWith(prefix)) found.push(key);
    return found.sort().slice(0, limit);
  }

  entries(): IterableIterator<Entry> {
    return this.#byId.values();
  }
}
