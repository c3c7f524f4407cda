// Where a body comes from: RAM, the database or a file; and what happens to one that is not what was stored.
import type { Log, StoreStats } from '../contract.ts';
import { blockChecksum } from './checksum.ts';
import { errorCode } from './disk.ts';
import type { Entry } from './entry.ts';
import type { Memory } from './memory.ts';
import type { Mount } from './mount.ts';
import type { BodyReader, ByteRange } from './object.ts';
import { corrupt, failedReader, gone, readBody, Scratch } from './reader.ts';
import type { Row } from './rows.ts';
import type { Volume } from './volume.ts';

/** What reading asks of the store. */
export type BodiesParts = {
  readonly memory: Memory;
  readonly volumes: readonly Volume[];
  readonly log: Log;
  /** The entry's object leaves the store, whichever entry stands for it now. */
  readonly drop: (entry: Entry) => void;
};

/** A part of a stored object that is not what was stored: a block by its number, or the row. */
export type Damage = {
  readonly disk: number;
  readonly id: number;
  readonly block: number | 'row';
  /** Undefined when the row itself is damaged and nothing tells it. */
  readonly key: string | undefined;
  readonly bytes: number | undefined;
};

/** A view of a part; of the whole the body itself, which costs nothing. */
function partOf(body: Buffer, { start, end }: ByteRange): Buffer {
  return start === 0 && end === body.length ? body : body.subarray(start, end);
}

/** Reads bodies. Nothing here throws. */
export class Bodies {
  readonly #parts: BodiesParts;
  readonly #scratch = new Scratch();
  #corruptBlocks = 0;

  constructor(parts: BodiesParts) {
    this.#parts = parts;
  }

  /** Damaged blocks and rows that were found, by viewers and by the scrub. */
  get corruptBlocks(): StoreStats['corruptBlocks'] {
    return this.#corruptBlocks;
  }

  /** A reader over [start, end) of an entry that stands for its object; the range is not empty. */
  read(entry: Entry, mount: Mount | undefined, range: ByteRange): BodyReader {
    const body = this.#parts.memory.get(entry) ?? entry.held;
    if (body !== undefined) return { tier: 'memory', bytes: partOf(body, range) };
    if (mount === undefined || entry.blocks === undefined) return failedReader(gone(entry.key));
    return entry.place === 'inline' ? this.#readInline(mount, entry, range) : this.#readFile(mount, entry, range);
  }

  #readInline(mount: Mount, entry: Entry, range: ByteRange): BodyReader {
    try {
      const body = mount.rows.body(entry.id);
      if (body?.length === entry.bytes && blockChecksum(entry, 0, body) === entry.blocks?.[0]) {
        this.#parts.memory.set(entry, body);
        return { tier: 'memory', bytes: body.subarray(range.start, range.end) };
      }
      this.#onCorrupt(entry, 0);
      return failedReader(corrupt(entry, 0));
    } catch (error) {
      this.#parts.volumes[entry.disk]?.report('index', error);
      return failedReader(gone(entry.key, error));
    }
  }

  #readFile(mount: Mount, entry: Entry, range: ByteRange): BodyReader {
    const fits = entry.bytes <= this.#parts.memory.maxBodyBytes;
    const parts = {
      entry,
      blocks: entry.blocks ?? [],
      body: mount.disk.hold(entry.id, entry.bytes),
      scratch: this.#scratch,
      onWhole: fits ? (body: Buffer) => this.#promote(entry, body) : undefined,
      onCorrupt: (block: number) => this.#onCorrupt(entry, block),
      onError: (error: unknown) => this.#onReadError(entry, error),
    };
    return readBody(parts, range);
  }

  #promote(entry: Entry, body: Buffer): void {
    if (entry.isHot) this.#parts.memory.set(entry, body);
  }

  #onReadError(entry: Entry, error: unknown): void {
    this.#parts.volumes[entry.disk]?.report('read', error);
    if (errorCode(error) === 'ENOENT') this.#parts.drop(entry);
  }

  #onCorrupt(entry: Entry, block: number): void {
    const { disk, id, key, bytes } = entry;
    this.#note({ disk, id, key, bytes, block });
    this.#parts.drop(entry);
  }

  /** What is damaged leaves at once, so that the next viewer is a miss and brings a good copy. */
  quarantine(damage: Damage, slot: number): void {
    const mount = this.#parts.volumes[damage.disk]?.mount;
    const entry = mount?.entries.get(damage.id);
    this.#note(damage);
    if (entry !== undefined) this.#parts.drop(entry);
    else mount?.removeCold(damage.id, slot);
  }

  /** Quarantines what the scrub of a directory found. */
  onScrubbed(
    disk: number,
    found: { readonly id: number; readonly block: number | 'row'; readonly row: Row | undefined },
  ) {
    const { id, block, row } = found;
    const volume = this.#parts.volumes[disk];
    const key = row?.head.key;
    this.quarantine({ disk, id, block, key, bytes: row?.head.lengthBytes }, volume?.mount?.slotOf(id, key) ?? -1);
  }

  #note({ disk, key, block, bytes }: Damage): void {
    this.#corruptBlocks += 1;
    this.#parts.log('error', 'store.object.corrupt', { disk: this.#parts.volumes[disk]?.path, key, block, bytes });
  }
}
