// One store directory while it is usable: its body files, rows and group commit, its room and who must leave it.
import { randomInt } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Backlog, BodyFile } from './body-file.ts';
import { Disk } from './disk.ts';
import type { Entry } from './entry.ts';
import { openDiskPolicy } from './policy.ts';
import { type HotRow, isDamaged, lockDirectory, Rows, setAside } from './rows.ts';
import { GroupCommit, type GroupEvents } from './sync.ts';

/** Charged to each object beside its body: its row, and its share of indexes and file system. */
export const ROW_BYTES = 1024;
/** Bytes of bodies that may wait for one directory. */
const MAX_BACKLOG_BYTES = 64 * 1024 * 1024;

/** What a mount asks of the store. */
export type MountEvents = GroupEvents & {
  /** The object must leave to make room; it has left when this returns. */
  readonly onEvict: (id: number) => void;
};

/** Which directory, and whether what it holds is given up. */
export type MountStart = { readonly path: string; readonly maxBytes: number; readonly isEmptied: boolean };

/** A usable directory and the rows that were there, least recently used first. */
export type Opened = { readonly mount: Mount; readonly hot: readonly HotRow[] };

/** A usable directory. After close() it takes nothing and loses what it is given. */
export class Mount {
  readonly disk: Disk;
  readonly rows: Rows;
  readonly group: GroupCommit;
  readonly backlog: Backlog = { bytes: 0 };
  readonly #policy = openDiskPolicy();
  readonly #events: MountEvents;
  readonly #lock: { readonly release: () => void };
  readonly #firstId = randomInt(2 ** 42) * 1024;
  #nextId = this.#firstId;
  #foreign: ReadonlySet<number> = new Set();
  usedBytes = 0;
  limitBytes: number;
  evictions = 0;
  isClosed = false;

  /** Locks, repairs by beginning empty, and loads. Rejects with CACHE_STORE_LOCKED, CACHE_FORMAT_NEWER or the system's error. */
  static async open(start: MountStart, events: MountEvents): Promise<Opened> {
    await mkdir(join(start.path, 'bodies'), { recursive: true });
    const lock = lockDirectory(start.path);
    try {
      if (start.isEmptied) setAside(start.path);
      const { rows, hot, foreign } = await openRows(start.path);
      const mount = new Mount(start, { rows, lock, events });
      mount.#foreign = foreign;
      return { mount, hot };
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  private constructor(
    start: MountStart,
    parts: { readonly rows: Rows; readonly lock: { readonly release: () => void }; readonly events: MountEvents },
  ) {
    this.disk = new Disk(start.path);
    this.rows = parts.rows;
    this.#lock = parts.lock;
    this.#events = parts.events;
    this.limitBytes = start.maxBytes;
    this.group = new GroupCommit(this.disk, this.rows, parts.events);
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

  /** Takes room, evicting for it; false when there is none that may be taken. */
  reserve(bytes: number): boolean {
    if (this.isClosed || bytes > this.limitBytes) return false;
    this.usedBytes += bytes;
    if (this.evictTo(this.limitBytes)) return true;
    this.usedBytes -= bytes;
    return false;
  }

  release(bytes: number): void {
    this.usedBytes -= bytes;
  }

  /** Evicts until at most `bytes` are used; false when what is left may not go. */
  evictTo(bytes: number): boolean {
    while (this.usedBytes > bytes) {
      const victim = this.#policy.evict();
      if (victim === undefined) return false;
      this.evictions += 1;
      this.#events.onEvict(victim);
    }
    return true;
  }

  /** An object that was there at start: its room is taken, however much that is. */
  admit(entry: Entry): void {
    this.usedBytes += entry.storedBytes + ROW_BYTES;
    if (!entry.isPinned) this.#policy.restore(entry);
  }

  /** An object whose room is taken may be evicted from now on, if it is not pinned. */
  enter(entry: Entry): void {
    if (!entry.isPinned) this.#policy.enter(entry);
  }

  touch(entry: Entry): void {
    this.#policy.touch(entry.id);
    this.group.use(entry);
  }

  pin(entry: Entry): void {
    if (entry.isPinned) this.#policy.leave(entry.id);
    else this.#policy.restore(entry);
    this.group.use(entry);
  }

  /** Removes row and body and gives its room back. */
  remove(entry: Entry): void {
    this.#policy.leave(entry.id);
    this.release(entry.storedBytes + ROW_BYTES);
    this.group.remove(entry);
  }

  /** The disk copy was lost already: only its room is given back. */
  forget(entry: Entry): void {
    this.#policy.leave(entry.id);
    this.release(entry.storedBytes + ROW_BYTES);
  }

  /** Removes body files that nothing knows; gives how many. */
  sweep(isKnown: (id: number) => boolean): Promise<number> {
    const isOurs = (id: number): boolean => id >= this.#firstId && id <= this.#nextId;
    return this.disk.sweep((id) => isOurs(id) || this.#foreign.has(id) || isKnown(id));
  }

  async close(isOrderly: boolean): Promise<void> {
    if (this.isClosed) return;
    try {
      await this.group.close(isOrderly);
    } finally {
      this.isClosed = true;
      this.disk.close();
      this.#lock.release();
    }
  }
}

type Loaded = { readonly rows: Rows; readonly hot: readonly HotRow[]; readonly foreign: ReadonlySet<number> };

async function openRows(path: string): Promise<Loaded> {
  try {
    return await loadRows(path);
  } catch (error) {
    if (!isDamaged(error)) throw error;
    setAside(path);
    return await loadRows(path);
  }
}

async function loadRows(path: string): Promise<Loaded> {
  const rows = await Rows.open(path);
  try {
    const hot: HotRow[] = [];
    const foreign = rows.load((row) => hot.push(row));
    return { rows, hot, foreign };
  } catch (error) {
    await rows.close(false);
    throw error;
  }
}
