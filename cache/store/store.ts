// The store: a RAM tier over disks behind one face. It knows where each object is; the volumes keep it there.
import assert from 'node:assert';
import { setTimeout as delay } from 'node:timers/promises';
import type { StoreStats } from '../contract.ts';
import type { BodyFile } from './body-file.ts';
import { blockChecksum, blockCount } from './checksum.ts';
import { errorCode } from './disk.ts';
import { type Entry, type Head, INLINE_BYTES, Index } from './entry.ts';
import { keptTags } from './head.ts';
import { type Memory, openMemory } from './memory.ts';
import { type Mount, ROW_BYTES } from './mount.ts';
import type {
  BodyReader,
  BodyWriter,
  ByteRange,
  ObjectPatch,
  Store,
  StoredObject,
  StoredResponse,
  StoreOptions,
} from './object.ts';
import { corrupt, failedReader, gone, isWithin, readBody, Scratch } from './reader.ts';
import type { HotRow } from './rows.ts';
import { chooseVolume, sumOf, Volume } from './volume.ts';
import { Writer, type WritingBudget, type Written } from './writer.ts';

/** RAM that bodies may take while they are written, beside the RAM tier. */
const WRITING_BYTES = 64 * 1024 * 1024;
const EMPTY = Buffer.alloc(0);

/**
 * Opens the store. Objects handed out are snapshots: pass the very object that find() gave, not a copy.
 * Rejects with CACHE_STORE_LOCKED, CACHE_STORE_UNUSABLE or CACHE_FORMAT_NEWER when a directory can't be used and
 * `required` is set; otherwise the store goes on without it and tries it again later.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const store = new TieredStore(options);
  await store.open();
  return store;
}

class TieredStore implements Store {
  readonly #options: StoreOptions;
  readonly #index = new Index();
  readonly #memory: Memory;
  readonly #volumes: readonly Volume[];
  readonly #owners = new WeakMap<StoredObject, Entry>();
  readonly #scratch = new Scratch();
  readonly #budget: WritingBudget;
  readonly #copying = new Set<Promise<void>>();
  #nextRamId = -1;
  #corruptBlocks = 0;

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#budget = { bytes: 0, maxBytes: Math.max(WRITING_BYTES, options.ramBytes) };
    this.#memory = openMemory(options.ramBytes, (id) => this.#onRamEvicted(id));
    this.#volumes = options.dirs.map((directory, disk) => {
      const events = {
        onRow: (row: HotRow) => this.#load(row, disk),
        onEvict: (id: number) => this.#evict(id),
        onLost: (entry: Entry) => this.#onLost(entry),
        onDown: () => this.#onDown(disk),
        isKnown: (id: number) => this.#index.byId(id)?.disk === disk,
      };
      return new Volume(directory, events, options.log);
    });
  }

  async open(): Promise<void> {
    const opened = await Promise.allSettled(this.#volumes.map((volume) => volume.open()));
    const failed = opened.find((result) => result.status === 'rejected');
    if (failed !== undefined && this.#options.required) {
      await this.close(0);
      throw failed.reason;
    }
    for (const result of opened) {
      if (result.status === 'rejected')
        this.#options.log('error', 'store.disk.unusable', { cause: String(result.reason) });
    }
    for (const volume of this.#volumes) volume.watch();
  }

  #load(row: HotRow, disk: number): void {
    const { isInline, ...rest } = row;
    const place = isInline ? 'inline' : 'file';
    const fresh = { head: undefined, blocks: undefined, held: undefined, isGone: false, isCommitted: true } as const;
    const entry: Entry = { ...rest, ...fresh, disk, place };
    const mount = this.#mountOf(entry);
    const rival = this.#index.byKey(row.key).find((other) => other.variant === row.variant);
    const isOlder = rival !== undefined && rival.storedAt >= entry.storedAt;
    mount?.admit(entry);
    if (this.#index.byId(entry.id) !== undefined || isOlder) {
      mount?.remove(entry);
      return;
    }
    if (rival !== undefined) this.#drop(rival);
    this.#index.add(entry);
  }

  #mountOf(entry: Entry): Mount | undefined {
    return this.#volumes[entry.disk]?.mount;
  }

  readonly find = (key: string): readonly StoredObject[] => {
    const found: StoredObject[] = [];
    for (const entry of this.#index.byKey(key)) {
      const head = this.#headOf(entry);
      if (head !== undefined) found.push(this.#snapshot(entry, head));
    }
    return found;
  };

  #snapshot(entry: Entry, head: Head): StoredObject {
    const isAtHand = entry.held !== undefined || this.#memory.peek(entry.id) !== undefined;
    const object: StoredObject = {
      ...head,
      isPinned: entry.isPinned,
      hits: entry.hits,
      tier: isAtHand ? 'memory' : 'disk',
    };
    this.#owners.set(object, entry);
    return object;
  }

  /** The head of an entry, read from its row the first time; undefined when the row can't be trusted or read. */
  #headOf(entry: Entry): Head | undefined {
    const mount = this.#mountOf(entry);
    if (entry.head !== undefined || mount === undefined) return entry.head;
    try {
      const detail = mount.rows.detail(entry);
      if (detail === undefined || detail.blocks.length !== blockCount(entry.bytes)) {
        this.#quarantine(entry, 'row');
        return undefined;
      }
      entry.head = detail.head;
      entry.blocks = detail.blocks;
      return entry.head;
    } catch (error) {
      this.#volumes[entry.disk]?.report('index', error);
      return undefined;
    }
  }

  #entryOf(object: StoredObject): Entry {
    const entry = this.#owners.get(object);
    assert(entry !== undefined, 'pass the object that find() or finish() gave, not a copy of it');
    return entry;
  }

  readonly touch = (object: StoredObject): { readonly isFirst: boolean } => {
    const entry = this.#entryOf(object);
    entry.hits += 1;
    entry.lastUsedAt = this.#options.now();
    if (!entry.isGone) this.#mountOf(entry)?.touch(entry);
    return { isFirst: entry.hits === 1 };
  };

  readonly read = (object: StoredObject, range: ByteRange): BodyReader => {
    const entry = this.#entryOf(object);
    assert(isWithin(object.ranges, range), 'range outside of what is stored');
    const body = range.start === range.end ? EMPTY : (this.#memory.get(entry.id) ?? entry.held);
    if (body === EMPTY) return { tier: 'memory', bytes: EMPTY };
    if (body !== undefined) return { tier: 'memory', bytes: body.subarray(range.start, range.end) };
    const mount = this.#mountOf(entry);
    if (entry.isGone || mount === undefined || entry.blocks === undefined) return failedReader(gone(entry));
    return entry.place === 'inline' ? this.#readInline(mount, entry, range) : this.#readFile(mount, entry, range);
  };

  #readInline(mount: Mount, entry: Entry, range: ByteRange): BodyReader {
    try {
      const body = mount.rows.body(entry.id);
      if (body?.length === entry.bytes && blockChecksum(entry, 0, body) === entry.blocks?.[0]) {
        this.#memory.set(entry.id, body);
        return { tier: 'memory', bytes: body.subarray(range.start, range.end) };
      }
      this.#quarantine(entry, 0);
      return failedReader(corrupt(entry, 0));
    } catch (error) {
      this.#volumes[entry.disk]?.report('index', error);
      return failedReader(gone(entry, error));
    }
  }

  #readFile(mount: Mount, entry: Entry, range: ByteRange): BodyReader {
    const fits = entry.bytes <= this.#memory.maxBodyBytes;
    const parts = {
      entry,
      blocks: entry.blocks ?? [],
      body: mount.disk.hold(entry.id, entry.bytes),
      scratch: this.#scratch,
      onWhole: fits ? (body: Buffer) => this.#promote(entry, body) : undefined,
      onCorrupt: (block: number) => this.#quarantine(entry, block),
      onError: (error: unknown) => this.#onReadError(entry, error),
    };
    return readBody(parts, range);
  }

  #promote(entry: Entry, body: Buffer): void {
    if (!entry.isGone) this.#memory.set(entry.id, body);
  }

  #onReadError(entry: Entry, error: unknown): void {
    this.#volumes[entry.disk]?.report('read', error);
    if (errorCode(error) === 'ENOENT') this.#drop(entry);
  }

  /** What is damaged leaves at once, so that the next viewer is a miss and brings a good copy. */
  #quarantine(entry: Entry, block: number | 'row'): void {
    this.#corruptBlocks += 1;
    const { disk, key, bytes } = entry;
    this.#options.log('error', 'store.object.corrupt', { disk: this.#volumes[disk]?.path, key, block, bytes });
    this.#drop(entry);
  }

  readonly write = (
    response: StoredResponse,
    hint: { readonly isPinned: boolean; readonly worth: number | undefined },
  ): BodyWriter | undefined => {
    const mount = chooseVolume(this.#volumes, response.key)?.mount;
    const length = response.lengthBytes ?? 0;
    const maxRamBytes = Math.max(this.#memory.maxBodyBytes, mount === undefined ? -1 : INLINE_BYTES);
    const fitsDisk = mount !== undefined && length + ROW_BYTES <= mount.limitBytes && mount.hasBacklogRoom(0);
    if (length > maxRamBytes && !fitsDisk) return undefined;
    return new Writer({
      id: mount?.newId() ?? this.#nextRamId--,
      response,
      mount: fitsDisk ? mount : undefined,
      maxRamBytes,
      budget: this.#budget,
      onDiskFailed: (failed, error) => this.#onDiskFailed(failed, error),
      onWritten: (written) => this.#install(response, written, hint.isPinned),
    });
  };

  #onDiskFailed(mount: Mount, error: unknown): void {
    this.#volumes.find((volume) => volume.mount === mount)?.reportWrite(error);
  }

  #install(response: StoredResponse, written: Written, isPinned: boolean): StoredObject | undefined {
    const { id, bytes, ram, disk } = written;
    const tags = keptTags(response.tags);
    const head: Head = { ...response, tags, lengthBytes: bytes, isInvalidated: false, ranges: [[0, bytes]] };
    const entry: Entry = {
      ...{ id, key: response.key, variant: response.variant, bytes, storedBytes: bytes, purpose: response.purpose },
      ...{ storedAt: response.receivedAt, lastUsedAt: this.#options.now(), hits: 0, isPinned },
      ...{ head, blocks: disk?.blocks, held: undefined, isGone: false, isCommitted: false },
      disk: disk === undefined ? -1 : this.#volumes.findIndex((volume) => volume.mount === disk.mount),
      place: 'none',
    };
    if (disk === undefined && (ram === undefined || bytes > this.#memory.maxBodyBytes)) return undefined;
    const old = this.#index.byKey(entry.key).find((other) => other.variant === entry.variant);
    if (old !== undefined) this.#drop(old);
    this.#index.add(entry);
    if (ram !== undefined) this.#memory.set(id, ram);
    if (disk !== undefined) this.#startCopy(entry, ram, disk);
    const isReadable = entry.place !== 'none' || this.#memory.peek(id) !== undefined; // A pending copy is held.
    if (!entry.isGone && !isReadable) this.#drop(entry);
    return entry.isGone ? undefined : this.#snapshot(entry, head);
  }

  #startCopy(entry: Entry, ram: Buffer | undefined, disk: NonNullable<Written['disk']>): void {
    const { mount, file } = disk;
    if (mount.isClosed || entry.disk < 0) {
      void file?.discard();
      entry.disk = -1;
      return;
    }
    mount.enter(entry);
    entry.place = 'pending';
    entry.held = ram;
    if (file === undefined) {
      if (ram !== undefined) mount.group.put(entry, ram);
      return;
    }
    if (ram === undefined) {
      entry.place = 'file';
      mount.group.put(entry, file);
      return;
    }
    const copied = this.#finishCopy(entry, mount, file).finally(() => this.#copying.delete(copied));
    this.#copying.add(copied);
  }

  async #finishCopy(entry: Entry, mount: Mount, file: BodyFile): Promise<void> {
    try {
      await file.drained();
    } catch (error) {
      this.#onLost(entry);
      this.#onDiskFailed(mount, error);
      void file.discard();
      return;
    }
    if (entry.isGone || mount.isClosed) {
      this.#onLost(entry);
      void file.discard();
      return;
    }
    entry.place = 'file';
    entry.held = undefined;
    mount.group.put(entry, file);
  }

  /** There is no disk copy any more: the object lives on in RAM, or leaves. */
  #onLost(entry: Entry): void {
    if (entry.isGone || entry.disk < 0) return;
    this.#mountOf(entry)?.forget(entry);
    this.#toRam(entry);
  }

  #toRam(entry: Entry): void {
    entry.disk = -1;
    entry.place = 'none';
    entry.isCommitted = false;
    entry.held = undefined;
    if (this.#memory.peek(entry.id) === undefined || this.#headOf(entry) === undefined) this.#drop(entry);
  }

  #onDown(disk: number): void {
    for (const entry of [...this.#index.entries()]) if (entry.disk === disk) this.#toRam(entry);
  }

  #onRamEvicted(id: number): void {
    const entry = this.#index.byId(id);
    if (entry !== undefined && entry.place === 'none') this.#drop(entry);
  }

  #evict(id: number): void {
    const entry = this.#index.byId(id);
    if (entry !== undefined) this.#drop(entry);
  }

  /** The object leaves, from every tier. */
  #drop(entry: Entry): void {
    if (!this.#index.remove(entry)) return;
    entry.isGone = true;
    entry.held = undefined;
    this.#memory.delete(entry.id);
    this.#mountOf(entry)?.remove(entry);
    this.#options.onEvict?.({ purpose: entry.purpose, bytes: entry.bytes, wasUsed: entry.hits > 0 });
  }

  readonly update = (object: StoredObject, patch: ObjectPatch): void => {
    const entry = this.#entryOf(object);
    const head = this.#headOf(entry);
    if (entry.isGone || head === undefined) return;
    const { isPinned = entry.isPinned, ...changes } = patch;
    const mount = this.#mountOf(entry);
    if (isPinned !== entry.isPinned) {
      entry.isPinned = isPinned;
      mount?.pin(entry);
    }
    entry.head = { ...head, ...changes };
    entry.storedAt = entry.head.receivedAt;
    mount?.group.update(entry);
  };

  readonly remove = (object: StoredObject): void => this.#drop(this.#entryOf(object));

  readonly keys: Store['keys'] = (...asked) => this.#index.keys(...asked);

  readonly keysByTag = (tag: string, limit: number, after = ''): readonly string[] => {
    const found: Entry[] = [...this.#index.entries()].filter((entry) => !entry.isCommitted);
    for (const one of this.#volumes) for (const id of one.tagged(tag)) found.push(...this.#index.withId(id));
    const tagged = found.filter((entry) => entry.key > after && this.#headOf(entry)?.tags.includes(tag));
    return [...new Set(tagged.map(({ key }) => key))].sort().slice(0, limit);
  };

  readonly settled = async (): Promise<void> => {
    await Promise.all(this.#volumes.map((volume) => volume.mount?.group.flush()));
  };

  readonly stats = (): StoreStats => {
    const sum = (of: (mount: Mount) => number): number => sumOf(this.#volumes, of);
    return {
      objects: this.#index.size,
      usedBytes: { memory: this.#memory.usedBytes(), disk: sum((mount) => mount.usedBytes) },
      limitBytes: { memory: this.#options.ramBytes, disk: sum((mount) => mount.limitBytes) },
      evictions: {
        memory: this.#memory.evictions(),
        disk: this.#volumes.reduce((total, one) => total + one.evictions, 0),
      },
      corruptBlocks: this.#corruptBlocks,
      isDegraded: this.#volumes.some((volume) => volume.isDegraded),
      errors: this.#volumes.flatMap((volume) => volume.errors()),
    };
  };

  readonly close = async (deadlineMs: number): Promise<void> => {
    const ending = new AbortController();
    const flushed = Promise.all(this.#copying).then(() =>
      Promise.allSettled(this.#volumes.map((one) => one.close(true))),
    );
    const late = delay(deadlineMs, undefined, { signal: ending.signal }).catch(() => undefined); // Aborted: not late.
    await Promise.race([flushed, late]);
    ending.abort();
    await Promise.allSettled(this.#volumes.map((volume) => volume.close(false)));
    this.#memory.clear();
  };
}
