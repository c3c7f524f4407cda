// Group commit of one directory: bodies are synced in batches, then their names, then their rows in one transaction.
import { type Backlog, BodyFile } from './body-file.ts';
import type { Disk } from './disk.ts';
import { type Entry, INLINE_BYTES, purposeCode } from './entry.ts';
import { encodeHead } from './head.ts';
import type { RowPut, RowUse } from './row-writer.ts';
import type { Rows } from './rows.ts';

/** From the first thing to commit until the batch begins. */
const GROUP_MS = 250;
/** Use counters alone wait this long; they ride along with any other commit. */
const USES_MS = 30_000;
/** Use counters beyond which they do not wait. */
const MAX_USES = 4096;
/** Bodies synced at once, so that a hanging disk can't take every thread of libuv's pool. */
const SYNC_WIDTH = 2;

/** What the batches report. */
export type GroupEvents = {
  /** Its row is in the database, and survives a power cut. */
  readonly onCommitted: (entry: Entry) => void;
  /** There is no disk copy of it any more, and its row will not come back. */
  readonly onLost: (entry: Entry) => void;
  readonly onError: (op: 'sync' | 'index' | 'remove', error: unknown) => void;
};

/** What a group works on. */
export type GroupParts = {
  readonly disk: Disk;
  readonly rows: Rows;
  /** Charged with inline bodies until they are committed. */
  readonly backlog: Backlog;
  /** Of an object's key. */
  readonly hashOf: (entry: Entry) => number;
  /** False only to measure what syncing costs. */
  readonly isSynced: boolean;
  readonly events: GroupEvents;
};

/** One transaction on its way: what was handed to the thread since the last commit. */
type Batch = { readonly puts: [Entry, body: Buffer | undefined][]; readonly uses: Entry[]; readonly removes: number[] };

const emptyBatch = (): Batch => ({ puts: [], uses: [], removes: [] });

/** Orders what becomes durable when. Nothing here throws but close(). */
export class GroupCommit {
  readonly #parts: GroupParts;
  readonly #files = new Map<Entry, BodyFile>();
  /** Not handed to the thread yet. */
  readonly #puts = new Map<Entry, Buffer | undefined>();
  readonly #uses = new Set<Entry>();
  #removes: number[] = [];
  #scrubbedTo: number | undefined;
  #batch = emptyBatch();
  /** Ids whose rows are on their way out, and whether they have a body file. */
  readonly #removing = new Map<number, boolean>();
  #timer: { readonly handle: NodeJS.Timeout; readonly dueMs: number } | undefined;
  #soon: NodeJS.Immediate | undefined;
  #isCommitSoon = false;
  #cycle: Promise<void> | undefined;
  #committing: Promise<void> | undefined;
  #isAgain = false;
  #isClosed = false;

  constructor(parts: GroupParts) {
    this.#parts = parts;
  }

  /** Takes a new object; a file must be drained, a Buffer goes into the database. */
  put(entry: Entry, body: BodyFile | Buffer): void {
    if (this.#isClosed) {
      if (body instanceof BodyFile) void body.discard();
      this.#parts.events.onLost(entry);
      return;
    }
    entry.waiting += 1;
    if (body instanceof BodyFile) this.#files.set(entry, body);
    else {
      this.#parts.backlog.bytes += body.length;
      this.#puts.set(entry, body);
      this.#handSoon();
    }
    this.#wake(GROUP_MS);
  }

  /** Writes the row of an object again, without delay: its headers or its validity changed. */
  update(entry: Entry): void {
    if (this.#isClosed || entry.row === 'none') return; // Otherwise its first row, still to come, has it all.
    this.#putRow(entry);
    this.#commitSoon();
  }

  /** Writes use counters and pin some time later, or with `isSoon` without delay. */
  use(entry: Entry, isSoon = false): void {
    if (this.#isClosed || entry.row === 'none') return;
    if (!this.#uses.has(entry)) {
      entry.waiting += 1;
      this.#uses.add(entry);
    }
    if (isSoon || this.#uses.size > MAX_USES) this.#commitSoon();
    else this.#wake(USES_MS);
  }

  /** Removes row and body, without delay, so that a purged object does not come back. */
  remove(id: number, hasFile: boolean): void {
    this.#parts.disk.forget(id);
    if (this.#isClosed) return;
    this.#removes.push(id);
    this.#removing.set(id, hasFile);
    this.#commitSoon();
  }

  /** Whether a row that may still be read is to go. */
  isRemoving(id: number): boolean {
    return this.#removing.has(id);
  }

  /** How far the scrub has come; written with some later commit. */
  scrubbed(id: number): void {
    this.#scrubbedTo = id;
    this.#wake(USES_MS);
  }

  #putRow(entry: Entry): void {
    if (this.#puts.has(entry)) return;
    entry.waiting += 1;
    this.#puts.set(entry, undefined);
  }

  /** Hands over what came in this turn of the loop; the thread works on it before its commit is due. */
  #handSoon(): void {
    this.#soon ??= setImmediate(() => {
      this.#soon = undefined;
      if (this.#isCommitSoon) void this.commit();
      else this.#hand(false);
    });
  }

  #commitSoon(): void {
    this.#isCommitSoon = true;
    this.#handSoon();
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
      for (const entry of await this.#syncBodies()) {
        entry.waiting -= 1;
        if (!entry.isGone) this.#putRow(entry);
      }
      await this.commit();
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
          await file.sync(this.#parts.isSynced);
          synced.push(entry);
        } catch (error) {
          entry.waiting -= 1;
          this.#lose(entry);
          this.#parts.events.onError('sync', error);
        }
      }
    };
    await Promise.all(Array.from({ length: SYNC_WIDTH }, work));
    if (synced.length === 0 || !this.#parts.isSynced) return synced;
    try {
      await this.#parts.disk.syncNames(synced.map((entry) => entry.id));
      return synced;
    } catch (error) {
      for (const entry of synced) {
        entry.waiting -= 1;
        this.#lose(entry);
      }
      this.#parts.events.onError('sync', error);
      return [];
    }
  }

  /** A failed sync is never tried again: the kernel may have dropped the very pages that failed. */
  #lose(entry: Entry): void {
    if (entry.isGone) return;
    this.remove(entry.id, entry.bytes > INLINE_BYTES);
    entry.row = 'none';
    this.#parts.events.onLost(entry);
  }

  /** Resolves when the removals, updates and rows of now are durable or lost. Bodies that wait to be synced are not waited for. */
  async commit(): Promise<void> {
    this.#isCommitSoon = false;
    this.#isAgain = true;
    this.#committing ??= this.#commitAll();
    await this.#committing;
  }

  /** One commit at a time; what comes meanwhile makes the next, larger one. */
  async #commitAll(): Promise<void> {
    try {
      while (this.#isAgain && !this.#isClosed) {
        this.#isAgain = false;
        await this.#commitBatch();
      }
    } finally {
      this.#committing = undefined;
    }
  }

  #hand(isCommit: boolean): void {
    if (this.#isClosed) return;
    const { hashOf, rows } = this.#parts;
    const batch = this.#batch;
    const uses = isCommit ? [...this.#uses] : [];
    if (isCommit) this.#uses.clear();
    const puts: RowPut[] = [];
    for (const [entry, body] of this.#puts) {
      batch.puts.push([entry, body]);
      if (entry.isGone) continue;
      puts.push(rowOf(entry, hashOf(entry), body));
      entry.row = entry.row === 'none' ? 'sent' : entry.row;
    }
    this.#puts.clear();
    const scrubbedTo = isCommit ? this.#scrubbedTo : undefined;
    if (isCommit) this.#scrubbedTo = undefined;
    const removes = this.#removes;
    this.#removes = [];
    batch.removes.push(...removes);
    batch.uses.push(...uses);
    if (puts.length + removes.length + uses.length === 0 && scrubbedTo === undefined) return;
    const changes = { removes, puts, uses: uses.filter(({ isGone }) => !isGone).map(useOf) };
    rows.apply({ ...changes, ...(scrubbedTo !== undefined && { scrubbedTo }) });
  }

  async #commitBatch(): Promise<void> {
    this.#hand(true);
    const batch = this.#batch;
    this.#batch = emptyBatch();
    try {
      await this.#parts.rows.commit();
      this.#settle(batch);
    } catch (error) {
      this.#fail(batch, error);
    }
  }

  #release({ puts, uses }: Batch): void {
    for (const entry of uses) entry.waiting -= 1;
    for (const [entry, body] of puts) {
      entry.waiting -= 1;
      this.#parts.backlog.bytes -= body?.length ?? 0;
    }
  }

  #settle(batch: Batch): void {
    this.#release(batch);
    void this.#removeBodies(batch.removes);
    for (const id of batch.removes) this.#removing.delete(id);
    for (const [entry, body] of batch.puts) {
      if (entry.isGone || entry.row === 'none') continue;
      entry.row = 'committed';
      if (body !== undefined) {
        entry.place = 'inline';
        entry.held = undefined;
      }
      this.#parts.events.onCommitted(entry);
    }
  }

  /** Nothing of the batch is there: its objects are lost, and its removals are tried again. */
  #fail(batch: Batch, error: unknown): void {
    this.#release(batch);
    // A full disk may take the rows' removal only when the bodies are gone.
    void this.#removeBodies(batch.removes);
    if (!this.#isClosed) {
      for (const id of batch.removes) if (this.#removing.has(id)) this.#removes.push(id);
      this.#wake(GROUP_MS);
    }
    for (const [entry] of batch.puts) if (entry.row !== 'none') this.#lose(entry);
    this.#parts.events.onError('index', error);
  }

  async #removeBodies(ids: readonly number[]): Promise<void> {
    for (const id of ids.filter((one) => this.#removing.get(one) === true)) {
      try {
        await this.#parts.disk.remove(id);
      } catch (error) {
        this.#parts.events.onError('remove', error);
      }
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
      this.#parts.events.onLost(entry);
    }
    this.#files.clear();
    await this.#parts.rows.close(isOrderly);
  }
}

const useOf = ({ id, hits, lastUsedAt, isPinned }: Entry): RowUse => ({
  ...{ id, hits, isPinned },
  lastUsedAt: Math.trunc(lastUsedAt),
});

function rowOf(entry: Entry, hash: number, body: Buffer | undefined): RowPut {
  const { id, key, variant, bytes, host, head, blocks = [], isPinned, hits, lastUsedAt } = entry;
  return {
    ...{ id, key, variant, hash, bytes, purpose: purposeCode(entry.purpose), host, isPinned, hits },
    ...{ lastUsedAt: Math.trunc(lastUsedAt), head: encodeHead(head), blocks, tags: head.tags, body },
    isNew: entry.row === 'none',
  };
}
