// The store: a RAM tier over disks behind one face. It knows what is at hand; the volumes know where the rest is.
import assert from 'node:assert';
import { setTimeout as delay } from 'node:timers/promises';
import type { StoreStats } from '../contract.ts';
import type { EvictionPlace } from '../rules/eviction/s3fifo.ts';
import { Bodies } from './bodies.ts';
import type { BodyFile } from './body-file.ts';
import { type Entry, type Head, INLINE_BYTES, purposeOf, Snapshot } from './entry.ts';
import { keptTags } from './head.ts';
import { Hot } from './hot.ts';
import { keysFrom, keysWithTag } from './listing.ts';
import { type Memory, openMemory } from './memory.ts';
import { type Mount, ROW_BYTES } from './mount.ts';
import type {
  BodyReader,
  BodyWriter,
  ByteRange,
  DiskShare,
  ObjectPatch,
  Store,
  StoredObject,
  StoredResponse,
  StoreOptions,
  WriteHint,
} from './object.ts';
import { failedReader, gone, isWithin } from './reader.ts';
import { entryOf, type Row } from './rows.ts';
import { HostShares, hostCode } from './shares.ts';
import { chooseVolume, diskStats, Volume } from './volume.ts';
import { Writer, type WritingBudget, type Written } from './writer.ts';

/** RAM that bodies may take while they are written, beside the RAM tier. */
const WRITING_BYTES = 64 * 1024 * 1024;
/** In which every stored block is read once by the scrub. */
const SCRUB_DAYS = 30;
/** How long letting go of directories may take once nothing is to be kept. */
const ENDING_MS = 2000;
const EMPTY = Buffer.alloc(0);
const NONE: readonly StoredObject[] = Object.freeze([]);
const FIRST = Object.freeze({ isFirst: true });
const AGAIN = Object.freeze({ isFirst: false });

/**
 * Opens the store. Pass the very objects that find() gave, not copies of them.
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
  readonly #memory: Memory;
  readonly #hot: Hot;
  readonly #volumes: readonly Volume[];
  readonly #bodies: Bodies;
  readonly #budget: WritingBudget;
  readonly #shares = new HostShares();
  readonly #copying = new Set<Promise<void>>();
  #nextRamId = -1;

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#shares.limit(options.hostQuotas ?? []);
    this.#budget = { bytes: 0, maxBytes: Math.max(WRITING_BYTES, options.ramBytes) };
    this.#memory = openMemory(options.ramBytes, (entry) => this.#onRamEvicted(entry));
    this.#hot = new Hot({
      isInRam: (entry) => this.#memory.peek(entry) !== undefined,
      onCooled: (entry) => this.#mountOf(entry)?.entries.delete(entry.id),
    });
    this.#volumes = options.dirs.map((directory, disk) => {
      const events = {
        onEvict: (entry: Entry) => this.#drop(entry),
        onEvictCold: (known: { readonly purpose: number; readonly bytes: number; readonly isUsed: boolean }) =>
          options.onEvict?.({ purpose: purposeOf(known.purpose), bytes: known.bytes, wasUsed: known.isUsed }),
        onCommitted: (entry: Entry) => void this.#hot.loose.delete(entry),
        onLost: (entry: Entry) => this.#onLost(entry),
        onDamaged: (id: number, block: number | 'row', row: Row | undefined) =>
          this.#bodies.onScrubbed(disk, { id, block, row }),
        onUp: () => this.#onUp(disk),
        onDown: (mount: Mount) => this.#onDown(mount),
      };
      const { isSynced = true, scrubDays = SCRUB_DAYS, demand } = options;
      return new Volume({ ...directory, isSynced, scrubDays, shares: this.#shares, demand }, events, options.log);
    });
    this.#bodies = new Bodies({
      ...{ memory: this.#memory, volumes: this.#volumes, log: options.log },
      drop: (entry) => this.#dropCurrent(entry),
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

  #mountOf(entry: Entry): Mount | undefined {
    return this.#volumes[entry.disk]?.mount;
  }

  readonly find = (key: string): readonly StoredObject[] => {
    const known = this.#hot.find(key);
    if (known !== undefined) return known;
    for (const disk of this.#volumes.keys()) this.#load(key, disk);
    return this.#hot.find(key) ?? NONE;
  };

  /** Brings what a disk has of a key to hand. Of two objects of one variant the newer one stays. */
  #load(key: string, disk: number): void {
    const volume = this.#volumes[disk];
    for (const { id, slot, row } of volume?.lookUp(key) ?? []) {
      if (row === undefined) this.#bodies.quarantine({ disk, id, key, block: 'row', bytes: undefined }, slot);
      else if (row.head.key === key) {
        const rival = this.#hot.entries(key).find(({ variant }) => variant === row.head.variant);
        if (rival !== undefined && rival.head.receivedAt >= row.head.receivedAt) volume?.mount?.removeCold(id, slot);
        else {
          if (rival !== undefined) this.#drop(rival);
          const entry = entryOf(row, slot, disk);
          volume?.mount?.entries.set(id, entry);
          this.#hot.add(entry);
        }
      }
    }
  }

  /** The entry that stands for an object now; undefined when it has left. */
  #entryOf(object: StoredObject): Entry | undefined {
    const entry = Snapshot.entryOf(object);
    assert(entry !== undefined, 'pass the object that find() or finish() gave, not a copy of it');
    if (entry.isGone) return undefined;
    if (entry.isHot) return entry;
    this.find(entry.key);
    return this.#mountOf(entry)?.entries.get(entry.id);
  }

  readonly touch = (object: StoredObject): { readonly isFirst: boolean } => {
    const entry = this.#entryOf(object);
    if (entry === undefined) return AGAIN;
    entry.hits += 1;
    entry.lastUsedAt = this.#options.now();
    this.#mountOf(entry)?.touch(entry);
    return entry.hits === 1 ? FIRST : AGAIN;
  };

  readonly placeOf = (object: StoredObject): EvictionPlace | undefined => {
    const entry = this.#entryOf(object);
    return entry === undefined ? undefined : this.#mountOf(entry)?.placeOf(entry);
  };

  readonly read = (object: StoredObject, range: ByteRange): BodyReader => {
    const entry = this.#entryOf(object);
    assert(isWithin(object.ranges, range), 'range outside of what is stored');
    if (range.start === range.end) return { tier: 'memory', bytes: EMPTY };
    return entry === undefined ? failedReader(gone(object.key)) : this.#bodies.read(entry, this.#mountOf(entry), range);
  };

  /** A reader may outlive the time for which its entry stood for the row. */
  #dropCurrent(entry: Entry): void {
    const current = this.#entryOf(this.#hot.snapshot(entry));
    if (current !== undefined) this.#drop(current);
  }

  readonly write = (response: StoredResponse, hint: WriteHint): BodyWriter | undefined => {
    const host = hostCode(hint.host ?? '');
    const mount = chooseVolume(this.#volumes, response.key)?.mount;
    const length = response.lengthBytes ?? 0;
    const maxRamBytes = Math.max(this.#memory.maxBodyBytes, mount === undefined ? -1 : INLINE_BYTES);
    const fitsDisk = mount !== undefined && length + ROW_BYTES <= mount.limitFor(host) && mount.hasBacklogRoom(0);
    if (length > maxRamBytes && !fitsDisk) return undefined;
    return new Writer({
      id: mount?.newId() ?? this.#nextRamId--,
      response,
      mount: fitsDisk ? mount : undefined,
      host,
      maxRamBytes,
      budget: this.#budget,
      onDiskFailed: (failed, error) => this.#onDiskFailed(failed, error),
      onWritten: (written) => this.#install({ response, host, isPinned: hint.isPinned }, written),
    });
  };

  #onDiskFailed(mount: Mount, error: unknown): void {
    this.#volumes.find((volume) => volume.mount === mount)?.reportWrite(error);
  }

  #install(
    {
      response,
      host,
      isPinned,
    }: { readonly response: StoredResponse; readonly host: number; readonly isPinned: boolean },
    { id, bytes, ram, disk }: Written,
  ): StoredObject | undefined {
    const tags = keptTags(response.tags);
    const head: Head = { ...response, tags, lengthBytes: bytes, isInvalidated: false, ranges: [[0, bytes]] };
    const entry: Entry = {
      ...{ id, key: response.key, variant: response.variant, bytes, purpose: response.purpose, host },
      ...{ slot: -1, place: 'none', row: 'none', waiting: 0, isHot: false, isGone: false },
      ...{ head, blocks: disk?.blocks, held: undefined, isPinned, hits: 0, lastUsedAt: this.#options.now() },
      disk: disk === undefined ? -1 : this.#volumes.findIndex((volume) => volume.mount === disk.mount),
    };
    if (disk === undefined && (ram === undefined || bytes > this.#memory.maxBodyBytes)) return undefined;
    this.find(entry.key); // Brings the variant to hand that this one replaces.
    const old = this.#hot.entries(entry.key).find((other) => other.variant === entry.variant);
    if (old !== undefined) this.#drop(old);
    this.#hot.add(entry);
    if (ram !== undefined) this.#memory.set(entry, ram);
    if (disk !== undefined) this.#startCopy(entry, ram, disk);
    const isReadable = entry.place !== 'none' || this.#memory.peek(entry) !== undefined; // A pending copy is held.
    if (!entry.isGone && !isReadable) this.#drop(entry);
    return entry.isGone ? undefined : this.#hot.snapshot(entry);
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
    entry.slot = -1;
    entry.place = 'none';
    entry.row = 'none';
    entry.held = undefined;
    if (this.#memory.peek(entry) === undefined) this.#drop(entry);
    else this.#hot.loose.add(entry);
  }

  #onDown(mount: Mount): void {
    for (const entry of mount.entries.values()) this.#toRam(entry);
  }

  /** What came meanwhile stands beside what the disk has; a key is at hand with all that it has, or not at all. */
  #onUp(disk: number): void {
    for (const key of this.#hot.keys()) this.#load(key, disk);
  }

  #onRamEvicted(entry: Entry): void {
    if (entry.place === 'none') this.#drop(entry);
  }

  /** The object leaves, from every tier. */
  #drop(entry: Entry): void {
    if (entry.isGone) return;
    entry.isGone = true;
    entry.held = undefined;
    this.#memory.delete(entry);
    this.#hot.remove(entry);
    this.#mountOf(entry)?.remove(entry);
    this.#options.onEvict?.({ purpose: entry.purpose, bytes: entry.bytes, wasUsed: entry.hits > 0 });
  }

  readonly update = (object: StoredObject, patch: ObjectPatch): void => {
    const entry = this.#entryOf(object);
    if (entry === undefined) return;
    const { isPinned = entry.isPinned, tags = entry.head.tags, ...changes } = patch;
    const mount = this.#mountOf(entry);
    const isPinChanged = isPinned !== entry.isPinned;
    entry.isPinned = isPinned;
    if (isPinChanged) mount?.pin(entry);
    entry.head = { ...entry.head, ...changes, tags: keptTags(tags) };
    this.#hot.changed(entry);
    if (mount === undefined) return;
    this.#hot.loose.add(entry); // Until its row says the same.
    mount.group.update(entry);
  };

  readonly limitHosts = (quotas: readonly DiskShare[]): void => this.#shares.limit(quotas);

  readonly limitMemory = (bytes: number): void => this.#memory.limit(bytes);

  readonly remove = (object: StoredObject): void => {
    const entry = this.#entryOf(object);
    if (entry !== undefined) this.#drop(entry);
  };

  readonly keys = (prefix: string, limit: number, after = ''): readonly string[] =>
    keysFrom({ hot: this.#hot, volumes: this.#volumes }, { prefix, limit, after });

  readonly keysByTag = (tag: string, limit: number, after = ''): readonly string[] =>
    keysWithTag({ hot: this.#hot, volumes: this.#volumes }, { tag, limit, after });

  readonly settled = async (): Promise<void> => {
    await Promise.all(this.#volumes.map((volume) => volume.mount?.group.commit()));
  };

  readonly stats = (): StoreStats => {
    const { objects, used, limit, evictions, isDegraded, errors, scrub } = diskStats(this.#volumes);
    return {
      objects: objects + [...this.#hot.loose].filter(({ disk }) => disk < 0).length,
      usedBytes: { memory: this.#memory.usedBytes(), disk: used },
      limitBytes: { memory: this.#memory.limitBytes(), disk: limit },
      evictions: { memory: this.#memory.evictions(), disk: evictions },
      corruptBlocks: this.#bodies.corruptBlocks,
      ...{ isDegraded, errors, scrub, hosts: this.#shares.stats() },
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
    // A thread that hangs in its disk can't be ended from here; the process ends without it.
    const ended = Promise.allSettled(this.#volumes.map((volume) => volume.close(false)));
    await Promise.race([ended, delay(ENDING_MS, undefined, { ref: false })]);
    this.#memory.clear();
  };
}
