// One store directory while it is usable: its body files, rows and group commit, its room and who must leave it.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import type { Demand } from '../contract.ts';
import type { EvictionPlace } from '../rules/eviction/s3fifo.ts';
import { type Backlog, BodyFile } from './body-file.ts';
import { keyHash } from './checksum.ts';
import { isDamaged, lockDirectory, notDatabase, setAside } from './database.ts';
import { Disk } from './disk.ts';
import { type Entry, INLINE_BYTES, purposeCode, purposeOf } from './entry.ts';
import { type DiskPolicy, openDiskPolicy } from './policy.ts';
import type { RowSlice } from './row-writer.ts';
import { type Row, Rows } from './rows.ts';
import type { DirectoryUse, Evictor, HostShares } from './shares.ts';
import { GroupCommit, type GroupEvents } from './sync.ts';
import { type Known, ObjectTable } from './table.ts';

/** Charged to each object beside its body: its row, and its share of indexes and file system. */
export const ROW_BYTES = 1024;
/** Bytes of bodies that may wait for one directory. */
const MAX_BACKLOG_BYTES = 64 * 1024 * 1024;
/** Rows that are taken in at once at start: some 2 ms of the loop. */
const SLICE_ROWS = 8192;
/** How long opening waits for all rows to be counted; the others are taken in behind it. */
const COUNT_WAIT_MS = 500;
/** Objects used in this time before a start get a second chance after it. */
const RECENT_MS = 24 * 3600 * 1000;
/** Objects for which memory is reserved at most, whatever the database claims to hold. */
const MAX_RESERVED = 2 ** 26;
/** No id of ours is greater: a start's first id is its time in milliseconds times this, and ids count up. */
const MAX_ID = 2 ** 52;
const IDS_PER_MS = 1024;

/** What a mount asks of the store. */
export type MountEvents = GroupEvents & {
  /** The object must leave to make room; it has left when this returns. */
  readonly onEvict: (entry: Entry) => void;
  /** One that was not at hand has left to make room. */
  readonly onEvictCold: (object: Known) => void;
  /** All rows are known in memory. */
  readonly onCounted: (objects: number) => void;
  /** The thread that writes rows has ended by itself. */
  readonly onDied: (error: unknown) => void;
};

/** Which directory, and how it is opened. */
export type MountStart = {
  readonly path: string;
  readonly maxBytes: number;
  /** What it holds is given up. */
  readonly isEmptied: boolean;
  readonly isSynced: boolean;
  /** What hosts may take of all directories. */
  readonly shares: HostShares;
  /** What is expected of keys. */
  readonly demand?: Demand | undefined;
};

/** An object that a look-up found in the rows; `row` is undefined when it is damaged. */
export type Found = { readonly id: number; readonly slot: number; readonly row: Row | undefined };

/** A usable directory. After close() it takes nothing and loses what it is given. */
export class Mount {
  readonly disk: Disk;
  readonly rows: Rows;
  readonly group: GroupCommit;
  readonly backlog: Backlog = { bytes: 0 };
  /** Entries at hand by id. */
  readonly entries = new Map<number, Entry>();
  readonly #table = new ObjectTable();
  readonly #policy: DiskPolicy;
  readonly #events: MountEvents;
  readonly #shares: HostShares;
  readonly #use: DirectoryUse;
  readonly #demand: Demand | undefined;
  readonly #evictor: Evictor = { evictOf: (lane) => this.#evicted(this.#policy.evictOf(lane)) };
  readonly #lock: { readonly release: () => void };
  readonly #firstId: number;
  #nextId: number;
  /** What the database claims to hold and has not been counted yet. */
  #claimed: { objects: number; bytes: number };
  #isCounted = false;
  usedBytes: number;
  limitBytes: number;
  evictions = 0;
  isClosed = false;

  /** Locks, repairs by beginning empty, and loads. Rejects with CACHE_STORE_LOCKED, CACHE_FORMAT_NEWER or the system's error. */
  static async open(start: MountStart, events: MountEvents): Promise<Mount> {
    await mkdir(join(start.path, 'bodies'), { recursive: true });
    const lock = lockDirectory(start.path);
    try {
      if (start.isEmptied) setAside(start.path);
      return await Mount.#openRows(start, lock, events).catch(async (error: unknown) => {
        if (!isDamaged(error)) throw error;
        setAside(start.path);
        return await Mount.#openRows(start, lock, events);
      });
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  static async #openRows(
    start: MountStart,
    lock: { readonly release: () => void },
    events: MountEvents,
  ): Promise<Mount> {
    const { path, isSynced } = start;
    const rows = await Rows.open({ directory: path, isSynced, onDied: events.onDied });
    try {
      const mount = new Mount(start, { rows, lock, events });
      await mount.#startCounting();
      return mount;
    } catch (error) {
      await rows.close(false);
      throw error;
    }
  }

  private constructor(
    start: MountStart,
    parts: { readonly rows: Rows; readonly lock: { readonly release: () => void }; readonly events: MountEvents },
  ) {
    const { rows, lock, events } = parts;
    const { facts } = rows;
    if (!(facts.lastId >= 0 && facts.lastId < MAX_ID)) throw notDatabase(`an id that nobody gave: ${facts.lastId}`);
    this.disk = new Disk(start.path);
    this.rows = rows;
    this.#lock = lock;
    this.#events = events;
    this.#firstId = Math.max(Date.now() * IDS_PER_MS, Math.ceil((facts.lastId + 1) / IDS_PER_MS) * IDS_PER_MS);
    this.#nextId = this.#firstId;
    this.#demand = start.demand;
    this.#policy = openDiskPolicy(this.#table.slots, start.demand);
    this.#shares = start.shares;
    this.#use = start.shares.join(this.#evictor);
    this.#claimed = { objects: facts.objects, bytes: facts.bytes + facts.objects * ROW_BYTES };
    this.#table.reserve(Math.min(MAX_RESERVED, facts.objects + (facts.objects >> 4)));
    this.usedBytes = this.#claimed.bytes;
    this.limitBytes = start.maxBytes;
    const hashOf = (entry: Entry): number => keyHash(facts.seed, entry.key);
    const { isSynced } = start;
    this.group = new GroupCommit({ disk: this.disk, rows, backlog: this.backlog, hashOf, isSynced, events });
  }

  /** Objects here, as far as they are known or claimed. */
  get objects(): number {
    return this.#table.size + this.#claimed.objects;
  }

  /** Counts all rows, but returns after COUNT_WAIT_MS; look-ups ask the rows by key until it is done. */
  async #startCounting(): Promise<void> {
    const counting = this.#count();
    const waited = new AbortController();
    try {
      await Promise.race([counting, delay(COUNT_WAIT_MS, undefined, { signal: waited.signal })]);
    } finally {
      waited.abort();
    }
    counting.then(
      () => this.isClosed || this.#events.onCounted(this.objects),
      (error: unknown) => this.isClosed || this.#events.onError('index', error),
    );
  }

  async #count(): Promise<void> {
    const recentSince = Date.now() - RECENT_MS;
    const read = (after: number): Promise<RowSlice> =>
      this.rows.scan({ after, below: this.#firstId, limit: SLICE_ROWS, recentSince });
    for (let reading: Promise<RowSlice> | undefined = read(0); reading !== undefined; ) {
      const slice: RowSlice = await reading;
      if (this.isClosed) return;
      reading = slice.next === undefined ? undefined : read(slice.next);
      reading?.catch(() => undefined); // Awaited in the next round; the thread may end before that.
      for (let at = 0; at < slice.count; at += 1) this.#admit(slice, at);
      await turn();
    }
    this.usedBytes -= this.#claimed.bytes; // What is left was claimed wrongly, or removed before it was counted.
    this.#claimed = { objects: 0, bytes: 0 };
    this.#isCounted = true;
    this.#shares.shrink(); // A quota may have become smaller since they were stored.
  }

  #admit(slice: RowSlice, at: number): void {
    const id = slice.ids[at] ?? 0;
    if (this.group.isRemoving(id)) return;
    const [hash = 0, bytes = 0, purpose = 0] = [slice.hashes[at], slice.bytes[at], slice.purposes[at]];
    const lane = this.#shares.laneOf(slice.hosts[at] ?? 0);
    const entry = this.entries.get(id);
    const isPinned = entry?.isPinned ?? slice.pins[at] === 1;
    const hits = entry?.hits ?? slice.hits[at] ?? 0;
    const slot = this.#table.add({ id, hash, bytes, purpose, lane, isPinned, isUsed: hits > 0 });
    this.#use.add(lane, bytes + ROW_BYTES);
    if (entry !== undefined) entry.slot = slot;
    if (!isPinned) this.#policy.restore(slot, { purpose: purposeOf(purpose), hits, isRecent: slice.recents[at] === 1 });
    this.#claimed.objects = Math.max(0, this.#claimed.objects - 1);
    this.#claimed.bytes -= bytes + ROW_BYTES;
  }

  /** Objects whose key has the hash of `key`, or while rows are being counted, is that key; without those at hand. */
  lookUp(key: string): Found[] {
    const hash = keyHash(this.rows.facts.seed, key);
    const places = this.#isCounted
      ? this.#table.slotsOf(hash).map((slot) => ({ slot, id: this.#table.at(slot).id }))
      : this.rows.idsOf(key).map((id) => ({ slot: this.#table.slotOf(hash, id), id }));
    return places
      .filter(({ id }) => !this.entries.has(id) && !this.group.isRemoving(id))
      .map(({ id, slot }) => ({ id, slot, row: this.rows.row(id) }));
  }

  /** The slot of an object, whose key may be unknown; -1 when it has none, or is not to be found. */
  slotOf(id: number, key: string | undefined): number {
    const hash = key === undefined ? this.rows.hashOf(id) : keyHash(this.rows.facts.seed, key);
    return hash === undefined ? -1 : this.#table.slotOf(hash, id);
  }

  /** An id that no object of this directory has. */
  newId(): number {
    this.#nextId += 1;
    return this.#nextId;
  }

  /** A body file for that id, or undefined when too much waits for this disk already. */
  newBody(id: number): BodyFile | undefined {
    return this.hasBacklogRoom(0) ? new BodyFile(this.disk, id, this.backlog) : undefined;
  }

  hasBacklogRoom(bytes: number): boolean {
    return !this.isClosed && this.backlog.bytes + bytes <= MAX_BACKLOG_BYTES;
  }

  /** Takes room for a host, evicting for it, of its own objects within its quota; false when there is none to be taken. */
  reserve(bytes: number, host: number): boolean {
    if (this.isClosed || bytes > this.limitBytes) return false;
    const lane = this.#shares.laneOf(host);
    if (bytes > this.#shares.limitOf(lane)) return false;
    this.#charge(bytes, lane);
    if (this.#shares.makeRoom(lane, this.#evictor) && this.evictTo(this.limitBytes)) return true;
    this.#charge(-bytes, lane);
    return false;
  }

  #charge(bytes: number, lane: number): void {
    this.usedBytes += bytes;
    this.#use.add(lane, bytes);
  }

  release(bytes: number, host: number): void {
    this.#charge(-bytes, this.#shares.laneOf(host));
  }

  /** The most that one object of a host may take, with its row. */
  limitFor(host: number): number {
    return Math.min(this.limitBytes, this.#shares.limitOf(this.#shares.laneOf(host)));
  }

  /** Evicts until at most `bytes` are used; false when what is left may not go. */
  evictTo(bytes: number): boolean {
    while (this.usedBytes > bytes) if (!this.#evicted(this.#policy.evict())) return false;
    return true;
  }

  /** Lets go of what the policy took out; false: it took out nothing. */
  #evicted(slot: number): boolean {
    if (slot < 0) return false;
    this.evictions += 1;
    const known = this.#table.at(slot);
    const entry = this.entries.get(known.id);
    if (entry !== undefined) this.#events.onEvict(entry);
    else {
      this.removeCold(known.id, slot);
      this.#events.onEvictCold(known);
    }
    return true;
  }

  /** A new object, whose room is taken already, may be evicted from now on if it is not pinned. */
  enter(entry: Entry): void {
    const { id, bytes, isPinned, hits } = entry;
    const purpose = purposeCode(entry.purpose);
    const lane = this.#shares.laneOf(entry.host);
    const hash = keyHash(this.rows.facts.seed, entry.key);
    this.entries.set(id, entry);
    entry.slot = this.#table.add({ id, hash, bytes, purpose, lane, isPinned, isUsed: hits > 0 });
    this.#group(entry);
    if (!isPinned) this.#policy.enter(entry.slot, entry.purpose);
  }

  /** Asks which group an object is of, that has a slot. */
  #group({ slot, key }: Entry): void {
    if (this.#demand !== undefined) this.#table.slots.setGroup(slot, this.#demand.groupOf(key) ?? 0);
  }

  touch(entry: Entry): void {
    this.group.use(entry);
    if (entry.slot < 0) return;
    this.#policy.touch(entry.slot);
    this.#table.markUsed(entry.slot);
    // After a start, or when it was stored before its title was known: asked at its 1st, 2nd, 4th, 8th... use.
    const isDue = (entry.hits & (entry.hits - 1)) === 0;
    if (isDue && (this.#table.slots.groups[entry.slot] ?? 0) === 0) this.#group(entry);
  }

  /** Where it waits to leave; undefined: it may not, or is not counted yet. */
  placeOf(entry: Entry): EvictionPlace | undefined {
    return entry.slot < 0 ? undefined : this.#policy.placeOf(entry.slot);
  }

  pin(entry: Entry): void {
    this.group.use(entry, true);
    if (entry.slot < 0) return;
    this.#table.markPinned(entry.slot, entry.isPinned);
    if (entry.isPinned) this.#policy.leave(entry.slot);
    else this.#policy.restore(entry.slot, { purpose: entry.purpose, hits: entry.hits, isRecent: true });
  }

  /** Removes row and body and gives its room back. */
  remove(entry: Entry): void {
    const { bytes, id } = entry;
    this.forget(entry);
    this.group.remove(id, bytes > INLINE_BYTES);
  }

  /** The disk copy was lost already: only its room is given back. */
  forget(entry: Entry): void {
    this.entries.delete(entry.id);
    if (entry.slot >= 0) this.#freeSlot(entry.slot); // Without a slot it was not counted yet.
    entry.slot = -1;
  }

  /** Removes an object that is not at hand; its slot is -1 when it was not counted yet. */
  removeCold(id: number, slot: number): void {
    const bytes = slot < 0 ? Number.POSITIVE_INFINITY : this.#table.at(slot).bytes;
    if (slot >= 0) this.#freeSlot(slot);
    this.group.remove(id, bytes > INLINE_BYTES);
  }

  #freeSlot(slot: number): void {
    this.#policy.leave(slot);
    const { bytes, lane } = this.#table.at(slot);
    this.#charge(-bytes - ROW_BYTES, lane);
    this.#table.remove(slot);
  }

  /** Removes body files without a row; gives how many. */
  sweep(): Promise<number> {
    return this.disk.sweep((low, high) => {
      if (this.isClosed) return undefined;
      return high > this.#firstId ? undefined : new Set(this.rows.idsWithin(low, high));
    });
  }

  async close(isOrderly: boolean): Promise<void> {
    if (this.isClosed) return;
    this.#shares.leave(this.#evictor);
    this.#use.clear();
    try {
      await this.group.close(isOrderly);
    } finally {
      this.isClosed = true;
      this.disk.close();
      this.#lock.release();
    }
  }
}
