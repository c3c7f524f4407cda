// Group commit of one directory: bodies are synced in batches, then their names, then their rows in one transaction.
import { BodyFile } from './body-file.ts';
import type { Disk } from './disk.ts';
import { type Entry, INLINE_BYTES } from './entry.ts';
import type { Rows } from './rows.ts';

/** From the first thing to commit until the batch begins. */
const GROUP_MS = 250;
/** Use counters alone wait this long; they ride along with any other commit. */
const USES_MS = 10_000;
/** Bodies synced at once, so that a hanging disk can't take every thread of libuv's pool. */
const SYNC_WIDTH = 2;

/** What the batches report. */
export type GroupEvents = {
  /** There is no disk copy of it any more, and its row will not come back. */
  readonly onLost: (entry: Entry) => void;
  readonly onError: (op: 'sync' | 'index' | 'remove', error: unknown) => void;
};

type Body = BodyFile | Buffer;

/** Orders what becomes durable when. Nothing here throws but close(). */
export class GroupCommit {
  readonly #disk: Disk;
  readonly #rows: Rows;
  readonly #events: GroupEvents;
  readonly #files = new Map<Entry, BodyFile>();
  #puts = new Map<Entry, Buffer | undefined>();
  #removes = new Map<number, boolean>();
  #uses = new Set<Entry>();
  #timer: { readonly handle: NodeJS.Timeout; readonly dueMs: number } | undefined;
  #soon: NodeJS.Immediate | undefined;
  #cycle: Promise<void> | undefined;
  #isLogBusy = false;
  /** Entries whose rows are committed and not synced; undefined when the log has nothing to sync. */
  #unsynced: Entry[] | undefined;
  #isClosed = false;

  constructor(disk: Disk, rows: Rows, events: GroupEvents) {
    this.#disk = disk;
    this.#rows = rows;
    this.#events = events;
  }

  /** Takes a new object; a file must be drained, a Buffer goes into the database. */
  put(entry: Entry, body: Body): void {
    if (this.#isClosed) {
      if (body instanceof BodyFile) void body.discard();
      this.#events.onLost(entry);
      return;
    }
    if (body instanceof BodyFile) this.#files.set(entry, body);
    else this.#puts.set(entry, body);
    this.#wake(GROUP_MS);
  }

  /** Writes the row of an object again, before the loop turns: its headers or its validity changed. */
  update(entry: Entry): void {
    if (this.#isClosed || !entry.isCommitted) return; // Otherwise its first row, still to come, has it all.
    if (!this.#puts.has(entry)) this.#puts.set(entry, undefined);
    this.#commitSoon();
  }

  /** Writes use counters and pin some time later. */
  use(entry: Entry): void {
    if (this.#isClosed || !entry.isCommitted) return;
    this.#uses.add(entry);
    this.#wake(USES_MS);
  }

  /** Removes row and body; the row before the loop turns, so that a purged object does not come back. */
  remove(entry: Entry): void {
    this.#puts.delete(entry);
    this.#uses.delete(entry);
    this.#disk.forget(entry.id);
    if (this.#isClosed) return;
    this.#removes.set(entry.id, entry.bytes > INLINE_BYTES);
    this.#commitSoon();
  }

  #commitSoon(): void {
    this.#soon ??= setImmediate(() => {
      this.#soon = undefined;
      this.#commitRows();
    });
  }

  #wake(dueMs: number): void {
    if (this.#isClosed) return;
    if (this.#timer !== undefined) {
      if (this.#timer.dueMs <= dueMs) return;
      clearTimeout(this.#timer.handle);
    }
    const handle = setTimeout(() => {
      this.#timer = undefined;
      void this.flush();
    }, dueMs);
    handle.unref();
    this.#timer = { handle, dueMs };
  }

  /** Makes everything taken so far durable, or lost. */
  async flush(): Promise<void> {
    while (this.#cycle !== undefined) await this.#cycle;
    this.#cycle = this.#runCycle();
    await this.#cycle;
  }

  async #runCycle(): Promise<void> {
    try {
      const durable = await this.#syncBodies();
      for (const entry of durable) if (!entry.isGone) this.#puts.set(entry, undefined);
      this.#commitRows();
      await this.#syncLog();
    } finally {
      this.#cycle = undefined;
    }
  }

  async #syncBodies(): Promise<Entry[]> {
    const batch = [...this.#files];
    this.#files.clear();
    const synced: Entry[] = [];
    const queue = batch.values();
    const work = async (): Promise<void> => {
      for (const [entry, file] of queue) {
        try {
          await file.sync();
          synced.push(entry);
        } catch (error) {
          this.#lose(entry);
          this.#events.onError('sync', error);
        }
      }
    };
    await Promise.all(Array.from({ length: SYNC_WIDTH }, work));
    if (synced.length === 0) return synced;
    try {
      await this.#disk.syncNames(synced.map((entry) => entry.id));
      return synced;
    } catch (error) {
      for (const entry of synced) this.#lose(entry);
      this.#events.onError('sync', error);
      return [];
    }
  }

  /** A failed sync is never tried again: the kernel may have dropped the very pages that failed. */
  #lose(entry: Entry): void {
    this.#removes.set(entry.id, entry.bytes > INLINE_BYTES);
    this.#events.onLost(entry);
    this.#wake(GROUP_MS);
  }

  /** One transaction over everything that is ready. */
  #commitRows(): void {
    if (this.#isLogBusy || this.#isClosed) return;
    if (this.#puts.size + this.#removes.size + this.#uses.size === 0) return;
    const puts = [...this.#puts].filter(([entry]) => !entry.isGone);
    const removes = this.#removes;
    const uses = this.#uses;
    this.#puts = new Map();
    this.#removes = new Map();
    this.#uses = new Set();
    try {
      this.#rows.commit({
        puts: puts.map(([entry, body]) => ({ entry, body })),
        removes: [...removes.keys()],
        uses: [...uses].filter((entry) => !entry.isGone),
      });
    } catch (error) {
      for (const [id, hasFile] of removes) this.#removes.set(id, hasFile);
      void this.#removeBodies(removes); // A full disk may take the rows' removal only when the bodies are gone.
      for (const [entry] of puts) this.#lose(entry);
      this.#wake(GROUP_MS);
      this.#events.onError('index', error);
      return;
    }
    void this.#removeBodies(removes);
    this.#unsynced ??= [];
    for (const [entry] of puts) this.#unsynced.push(entry);
    this.#wake(GROUP_MS);
    for (const [entry, body] of puts) settle(entry, body);
  }

  async #removeBodies(removes: ReadonlyMap<number, boolean>): Promise<void> {
    for (const [id, hasFile] of removes) {
      if (!hasFile) continue;
      try {
        await this.#disk.remove(id);
      } catch (error) {
        this.#events.onError('remove', error);
      }
    }
  }

  async #syncLog(): Promise<void> {
    const committed = this.#unsynced;
    if (committed === undefined) return;
    this.#unsynced = undefined;
    this.#isLogBusy = true;
    try {
      await this.#rows.sync();
    } catch (error) {
      for (const entry of committed) this.#lose(entry);
      this.#events.onError('sync', error);
    } finally {
      this.#isLogBusy = false;
      if (this.#puts.size + this.#removes.size > 0) this.#commitSoon();
    }
  }

  /** Takes nothing more; with `isOrderly` after everything taken is durable. Use counters are lost otherwise. */
  async close(isOrderly: boolean): Promise<void> {
    if (isOrderly) await this.flush();
    this.#isClosed = true;
    clearTimeout(this.#timer?.handle);
    clearImmediate(this.#soon);
    for (const [entry, file] of this.#files) {
      void file.discard();
      this.#events.onLost(entry);
    }
    this.#files.clear();
    await this.#rows.close(isOrderly);
  }
}

/** The row of an entry is in the database; an inline body needs no other copy. */
function settle(entry: Entry, body: Buffer | undefined): void {
  entry.isCommitted = true;
  if (body === undefined) return;
  entry.place = 'inline';
  entry.held = undefined;
}
