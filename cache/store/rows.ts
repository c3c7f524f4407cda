// The rows of one directory in node:sqlite, as FORMAT.md lays them out: read here, written by a thread of their own.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { CacheError } from '../errors.ts';
import { blockCount, rowChecksum, sealed, unpackBlocks } from './checksum.ts';
import { type Database, databasePath, FORMAT_VERSION, openReading } from './database.ts';
import { type Entry, type Head, INLINE_BYTES } from './entry.ts';
import { decodeHead } from './head.ts';
import type { RowCommand, RowError, RowReply, RowThreadData } from './row-thread.ts';
import type { RowChanges, RowFacts, RowScan, RowSlice } from './row-writer.ts';

/** The thread must have opened the database by then; replaying a long log takes seconds. */
const OPEN_MS = 60_000;

/** A row whose checksum was right. */
export type Row = {
  readonly id: number;
  readonly head: Head;
  /** CRC-32 per block. */
  readonly blocks: readonly number[];
  readonly isPinned: boolean;
  readonly hits: number;
  readonly lastUsedAt: number;
  /** Code of the host that it was fetched for; 0: nobody's. */
  readonly host: number;
};

/** How rows are opened. */
export type RowsStart = {
  readonly directory: string;
  /** False only to measure what syncing costs: then a power cut may take everything. */
  readonly isSynced: boolean;
  /** The writing thread has ended by itself, and with it what was not committed. */
  readonly onDied: (error: unknown) => void;
};

type Waiting = { readonly resolve: (slice: RowSlice | undefined) => void; readonly reject: (error: unknown) => void };

/** An open database. Reading is synchronous and throws what SQLite throws; writing is the thread's. */
export class Rows {
  readonly facts: RowFacts;
  readonly #thread: Worker;
  readonly #database: Database;
  readonly #statements: ReturnType<typeof prepareAll>;
  readonly #waiting: Waiting[] = [];
  #ended: { readonly error: unknown } | undefined;
  #isClosing = false;

  /** Rejects with CACHE_FORMAT_NEWER for a database of a later version; with an error of isDamaged() for a bad one. */
  static async open({ directory, isSynced, onDied }: RowsStart): Promise<Rows> {
    const path = databasePath(directory);
    const data: RowThreadData = { path, isSynced };
    const thread = new Worker(new URL('./row-thread.ts', import.meta.url), { workerData: data, execArgv: [] });
    try {
      const [first]: unknown[] = await once(thread, 'message', { signal: AbortSignal.timeout(OPEN_MS) });
      const reply = first as RowReply; // Sound: the thread sends nothing else.
      if (reply.kind === 'failed') throw errorOf(reply.error);
      if (reply.kind !== 'opened') throw new Error(`the writing thread began with ${reply.kind}`);
      return new Rows(thread, openReading(path), { facts: reply.facts, onDied });
    } catch (error) {
      await thread.terminate();
      throw error;
    }
  }

  private constructor(
    thread: Worker,
    database: Database,
    { facts, onDied }: { readonly facts: RowFacts } & Pick<RowsStart, 'onDied'>,
  ) {
    this.facts = facts;
    this.#thread = thread;
    this.#database = database;
    try {
      this.#statements = prepareAll(database);
    } catch (error) {
      database.close();
      throw error;
    }
    thread.on('message', (reply: RowReply) => this.#onReply(reply));
    thread.on('error', (error) => this.#onEnd(error, onDied));
    thread.on('exit', (code) => this.#onEnd(new Error(`the writing thread ended with ${code}`), onDied));
    thread.unref();
  }

  #onReply(reply: RowReply): void {
    const next = this.#waiting.shift();
    if (reply.kind === 'failed') next?.reject(errorOf(reply.error));
    else next?.resolve(reply.kind === 'done' ? reply.slice : undefined);
    if (this.#waiting.length === 0) this.#thread.unref();
  }

  #onEnd(error: unknown, onDied: (error: unknown) => void): void {
    if (this.#ended !== undefined) return;
    this.#ended = { error };
    for (const { reject } of this.#waiting.splice(0)) reject(error);
    if (!this.#isClosing) onDied(error);
  }

  #tell(command: RowCommand): void {
    if (this.#ended === undefined) this.#thread.postMessage(command);
  }

  #ask(command: RowCommand): Promise<RowSlice | undefined> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended.error);
    const { promise, resolve, reject } = Promise.withResolvers<RowSlice | undefined>();
    this.#waiting.push({ resolve, reject });
    this.#thread.ref(); // Who waits for an answer keeps the process alive.
    this.#tell(command);
    return promise;
  }

  /** Hands changes to the thread, for the transaction that the next commit() ends. */
  apply(changes: RowChanges): void {
    this.#tell({ kind: 'apply', changes });
  }

  /** Resolves when everything applied survives a power cut; rejects when nothing since the last commit is there. */
  async commit(): Promise<void> {
    await this.#ask({ kind: 'commit' });
  }

  /** Some rows by id, between the commits. */
  async scan(scan: RowScan): Promise<RowSlice> {
    const slice = await this.#ask({ kind: 'scan', scan });
    if (slice === undefined) throw new Error('a scan without a result');
    return slice;
  }

  /** The row of an id; undefined when it is missing or damaged. */
  row(id: number): Row | undefined {
    const row = this.#statements.row.get(id);
    if (row === undefined) return undefined;
    const { format, bytes, key, variant, head, blocks: packed, checksum, isPinned, hits, lastUsedAt, host } = row;
    if (typeof key !== 'string' || typeof variant !== 'string' || typeof head !== 'string') return undefined;
    if (!(packed instanceof Uint8Array) || !(checksum instanceof Uint8Array)) return undefined;
    const covered = { id, key, variant, bytes: Number(bytes), head };
    if (!rowChecksum(sealed(Number(format), covered), packed).equals(checksum)) return undefined;
    const blocks = unpackBlocks(packed);
    const decoded = decodeHead(key, variant, head);
    if (decoded?.lengthBytes !== covered.bytes || blocks?.length !== blockCount(covered.bytes)) return undefined;
    const counters = {
      isPinned: isPinned === 1,
      hits: Number(hits),
      lastUsedAt: Number(lastUsedAt),
      host: Number(host),
    };
    return { id, head: decoded, blocks, ...counters };
  }

  /** Ids of all rows with that key that this version reads. */
  idsOf(key: string): number[] {
    return this.#statements.idsOf.all(key, FORMAT_VERSION).map((row) => Number(row['id']));
  }

  /** Visits keys from `from` on in the order of their UTF-8 bytes, one per row, until `visit` gives false. */
  keys(from: string, visit: (key: string, id: number) => boolean): void {
    for (const row of this.#statements.keys.iterate(from, FORMAT_VERSION)) {
      if (!visit(String(row['key']), Number(row['id']))) return;
    }
  }

  /** Visits keys of rows with that tag after `after`, in the order of their UTF-8 bytes, until `visit` gives false. */
  tagged(tag: string, after: string, visit: (key: string, id: number) => boolean): void {
    for (const row of this.#statements.tagged.iterate(tag, after)) {
      if (!visit(String(row['key']), Number(row['id']))) return;
    }
  }

  /** The hash of a row's key, unverified; undefined without a row. */
  hashOf(id: number): number | undefined {
    const hash = this.#statements.hashOf.get(id)?.['hash'];
    return hash === undefined ? undefined : Number(hash);
  }

  /** Ids of rows of any format from `low` to below `high`. */
  idsWithin(low: number, high: number): number[] {
    return this.#statements.idsWithin.all(low, high).map((row) => Number(row['id']));
  }

  /** The first id of this format above `after`; undefined at the end. */
  idAfter(after: number): number | undefined {
    const id = this.#statements.idAfter.get(after, FORMAT_VERSION)?.['id'];
    return id === undefined ? undefined : Number(id);
  }

  /** The body of an inline object, unverified. */
  body(id: number): Buffer | undefined {
    const body = this.#statements.body.get(id)?.['body'];
    return body instanceof Uint8Array ? Buffer.from(body.buffer, body.byteOffset, body.byteLength) : undefined;
  }

  /** With `isOrderly` commits what was applied and folds in the log, else lets go of everything at once. */
  async close(isOrderly: boolean): Promise<void> {
    this.#isClosing = true;
    const hasEnded = this.#ended !== undefined;
    if (this.#database.isOpen) this.#database.close();
    try {
      if (isOrderly && !hasEnded) await this.#ask({ kind: 'close' });
    } finally {
      this.#ended ??= { error: new Error('the database was closed') };
      for (const { reject } of this.#waiting.splice(0)) reject(this.#ended.error);
      await this.#thread.terminate();
    }
  }
}

/** An entry for a row, which is in a directory of that number in the options. */
export function entryOf(row: Row, slot: number, disk: number): Entry {
  const { id, head, blocks, isPinned, hits, lastUsedAt, host } = row;
  const { key, variant, lengthBytes: bytes, purpose } = head;
  return {
    ...{ id, key, variant, bytes, purpose, head, blocks, isPinned, hits, lastUsedAt, host, slot, disk },
    ...{ place: bytes > INLINE_BYTES ? 'file' : 'inline', row: 'committed', waiting: 0, held: undefined },
    ...{ isHot: false, isGone: false },
  };
}

function errorOf({ message, errcode, code }: RowError): Error {
  if (code === 'CACHE_FORMAT_NEWER') return new CacheError(code, message);
  return Object.assign(new Error(message), errcode !== undefined && { errcode }, code !== undefined && { code });
}

function prepareAll(database: Database) {
  return {
    row: database.prepare(
      `SELECT format, bytes, key, variant, head, blocks, checksum, isPinned, hits, lastUsedAt, host
        FROM objects JOIN details USING (id) WHERE id = ?`,
    ),
    idsOf: database.prepare('SELECT id FROM details JOIN objects USING (id) WHERE key = ? AND format = ?'),
    keys: database.prepare(
      'SELECT key, id FROM details CROSS JOIN objects USING (id) WHERE key >= ? AND format = ? ORDER BY key',
    ),
    tagged: database.prepare('SELECT key, id FROM tags WHERE tag = ? AND key > ? ORDER BY key'),
    idsWithin: database.prepare('SELECT id FROM objects WHERE id >= ? AND id < ?'),
    idAfter: database.prepare('SELECT id FROM objects WHERE id > ? AND format = ? ORDER BY id LIMIT 1'),
    hashOf: database.prepare('SELECT hash FROM objects WHERE id = ?'),
    body: database.prepare('SELECT body FROM bodies WHERE id = ?'),
  };
}
