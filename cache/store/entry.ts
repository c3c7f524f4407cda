// One object in use: what of its row is at hand, and how it shows itself outside the store.
import { PURPOSES, type Purpose } from '../contract.ts';
import type { StoredObject, StoredResponse } from './object.ts';

/** Bodies up to this live in the database, larger ones in files. */
export const INLINE_BYTES = 64 * 1024;

/** Numbers of purposes in rows and in the table of objects; FORMAT.md lists them, so none may change. */
const PURPOSE_CODES: Readonly<Record<Purpose, number>> = {
  viewer: 0,
  revalidate: 1,
  'in-session': 2,
  'off-peak': 3,
  publish: 4,
  operator: 5,
};

/** The number of a purpose, 0 to 7. */
export const purposeCode = (purpose: Purpose): number => PURPOSE_CODES[purpose];

const BY_CODE = new Map(PURPOSES.map((purpose) => [PURPOSE_CODES[purpose], purpose]));

/** The inverse; what is unknown counts as a viewer's. */
export const purposeOf = (code: number): Purpose => BY_CODE.get(code) ?? 'viewer';

/** Head of a stored object: its response and the flags that are stored with it. */
export type Head = StoredResponse & Pick<StoredObject, 'lengthBytes' | 'isInvalidated' | 'ranges'>;

/** Where the disk copy is: `none`; `pending` = not yet readable; `file` = a body file; `inline` = in the database. */
export type Place = 'none' | 'pending' | 'file' | 'inline';

/** One object. Mutable; owned by the store. */
export type Entry = {
  readonly id: number;
  readonly key: string;
  readonly variant: string;
  /** Length of the body. */
  readonly bytes: number;
  readonly purpose: Purpose;
  /** Code of the host that it was fetched for; 0: nobody's. */
  readonly host: number;
  /** Index of its directory in the options; -1 when only in RAM. */
  disk: number;
  /** Its slot in the directory's table; -1 while it has none: in RAM only, or its rows are still being counted. */
  slot: number;
  place: Place;
  /** Its row: not on its way, handed to the writing thread, in the database. */
  row: 'none' | 'sent' | 'committed';
  /** How many things of it wait to be committed: until then it stays at hand. */
  waiting: number;
  head: Head;
  /** CRC-32 per block; undefined without a disk copy. */
  blocks: readonly number[] | undefined;
  /** The body while it is on its way to the disk. */
  held: Buffer | undefined;
  isPinned: boolean;
  hits: number;
  lastUsedAt: number;
  /** Among the objects at hand: the one that stands for its row. */
  isHot: boolean;
  /** It left the store; readers that have it open may end. */
  isGone: boolean;
};

/** What an entry shows: its head as it was then; hits and tier as they are now. */
export class Snapshot implements StoredObject {
  readonly key: string;
  readonly variant: string;
  readonly varyOn: readonly string[];
  readonly status: number;
  readonly headers: StoredObject['headers'];
  readonly requestedAt: number;
  readonly receivedAt: number;
  readonly lengthBytes: number;
  readonly purpose: Purpose;
  readonly tags: readonly string[];
  readonly isInvalidated: boolean;
  readonly ranges: StoredObject['ranges'];
  readonly isPinned: boolean;
  readonly #entry: Entry;
  readonly #isInRam: (entry: Entry) => boolean;

  /** `isInRam`: whether the body is in the RAM tier. */
  constructor(entry: Entry, isInRam: (entry: Entry) => boolean) {
    const { head } = entry;
    this.key = head.key;
    this.variant = head.variant;
    this.varyOn = head.varyOn;
    this.status = head.status;
    this.headers = head.headers;
    this.requestedAt = head.requestedAt;
    this.receivedAt = head.receivedAt;
    this.lengthBytes = head.lengthBytes;
    this.purpose = head.purpose;
    this.tags = head.tags;
    this.isInvalidated = head.isInvalidated;
    this.ranges = head.ranges;
    this.isPinned = entry.isPinned;
    this.#entry = entry;
    this.#isInRam = isInRam;
    Object.freeze(this);
  }

  get hits(): number {
    return this.#entry.hits;
  }

  get tier(): 'memory' | 'disk' {
    return this.#entry.held !== undefined || this.#isInRam(this.#entry) ? 'memory' : 'disk';
  }

  /** The entry behind an object that the store gave; undefined for a copy. */
  static entryOf(object: StoredObject): Entry | undefined {
    return #entry in object ? object.#entry : undefined;
  }
}
