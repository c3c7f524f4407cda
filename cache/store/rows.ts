// The rows of one directory in node:sqlite, as FORMAT.md lays them out. The only file of the cache that knows SQL.
import { existsSync, renameSync, rmSync, statSync, truncateSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync, type SQLOutputValue, type StatementSync } from 'node:sqlite';
import { PURPOSES, type Purpose } from '../contract.ts';
import { CacheError } from '../errors.ts';
import { packBlocks, rowChecksum, unpackBlocks } from './checksum.ts';
import { type Entry, type Head, INLINE_BYTES } from './entry.ts';
import { decodeHead, encodeHead } from './head.ts';

/** Version of the database's layout and of the rows this code writes (FORMAT.md, Versions). */
const FORMAT_VERSION = 1;
/** 'NCST' in ASCII: PRAGMA application_id of every store database. */
const APPLICATION_ID = 0x4e435354;
/** The write-ahead log is folded into the database when it is longer. */
const CHECKPOINT_BYTES = 16 * 1024 * 1024;

const SCHEMA = `
CREATE TABLE objects (
  id INTEGER PRIMARY KEY, key TEXT NOT NULL, variant TEXT NOT NULL, format INTEGER NOT NULL,
  lengthBytes INTEGER NOT NULL, storedBytes INTEGER NOT NULL, purpose TEXT NOT NULL, storedAt INTEGER NOT NULL, isInline INTEGER NOT NULL,
  lastUsedAt INTEGER NOT NULL, hits INTEGER NOT NULL, isPinned INTEGER NOT NULL) STRICT;
CREATE TABLE details (
  id INTEGER PRIMARY KEY, head TEXT NOT NULL, blocks BLOB NOT NULL, checksum BLOB NOT NULL) STRICT;
CREATE TABLE bodies (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
PRAGMA application_id = ${APPLICATION_ID};
PRAGMA user_version = ${FORMAT_VERSION};
`;

/** Rebuilt from no row: a store of an earlier version has no tags. */
const TAGS = `
CREATE TABLE IF NOT EXISTS tags (tag TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (tag, id)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tagsById ON tags (id);
`;

/** In the order in which a row is written. */
const OBJECT_COLUMNS = [
  ...['id', 'key', 'variant', 'format', 'lengthBytes', 'storedBytes', 'purpose', 'storedAt', 'isInline'],
  ...['lastUsedAt', 'hits', 'isPinned'],
] as const;

/** What start needs of a row; unverified, so nothing of it but sizes and order is trusted. */
export type HotRow = Pick<
  Entry,
  'id' | 'key' | 'variant' | 'bytes' | 'storedBytes' | 'purpose' | 'storedAt' | 'hits' | 'isPinned' | 'lastUsedAt'
> & { readonly isInline: boolean };

/** One transaction. */
export type Commit = {
  /** Entries whose whole row is written; a body where it lives in the database and isn't there yet. */
  readonly puts: readonly { readonly entry: Entry; readonly body: Buffer | undefined }[];
  readonly removes: readonly number[];
  /** Entries whose use counters are written. */
  readonly uses: readonly Entry[];
};

/** Holds a directory for this process until it is released or the process ends, however it ends. */
export function lockDirectory(directory: string): { readonly release: () => void } {
  const path = join(directory, 'lock');
  const take = (): DatabaseSync => {
    const lock = new DatabaseSync(path, { timeout: 0 });
    try {
      lock.exec('BEGIN EXCLUSIVE');
    } catch (error) {
      lock.close();
      throw error;
    }
    return lock;
  };
  try {
    const lock = take();
    return { release: () => lock.close() };
  } catch (error) {
    if (sqliteCode(error) === SQLITE.busy) {
      throw new CacheError('CACHE_STORE_LOCKED', `another process uses the store ${directory}; stop it first`, {
        cause: error,
      });
    }
    if (sqliteCode(error) !== SQLITE.notDatabase) throw error;
    truncateSync(path); // In place, so that a lock on it that somebody holds stays on the same file.
    const lock = take();
    return { release: () => lock.close() };
  }
}

/** SQLite's primary result codes that are told apart here. */
const SQLITE = { busy: 5, corrupt: 11, full: 13, notDatabase: 26 } as const;

function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return undefined;
  return error.errcode & 0xff;
}

/** True when the database itself is damaged, so that only a new one helps. */
export const isDamaged = (error: unknown): boolean => {
  const code = sqliteCode(error);
  return code === SQLITE.corrupt || code === SQLITE.notDatabase || isOutOfRange(error);
};

/** True when the disk has no room for a commit. */
export const isFull = (error: unknown): boolean => sqliteCode(error) === SQLITE.full;

/** A number in the database that no writer of this format has put there. */
const isOutOfRange = (error: unknown): boolean =>
  error instanceof RangeError && 'code' in error && error.code === 'ERR_OUT_OF_RANGE';

/** Puts a damaged or abandoned database out of the way; one such is kept for the operator. */
export function setAside(directory: string): void {
  const path = join(directory, 'index.db');
  for (const suffix of ['-wal', '-shm']) rmSync(path + suffix, { force: true });
  if (existsSync(path)) renameSync(path, `${path}.damaged`);
}

/** An open database. Every method but sync() and close() is synchronous and throws what SQLite throws. */
export class Rows {
  readonly #database: DatabaseSync;
  readonly #path: string;
  readonly #statements: ReturnType<typeof prepareAll>;
  #files: { readonly database: FileHandle; readonly log: FileHandle } | undefined;

  /** Rejects with CACHE_FORMAT_NEWER for a database of a later version; with an error of isDamaged() for a bad one. */
  static async open(directory: string): Promise<Rows> {
    const rows = new Rows(join(directory, 'index.db'));
    try {
      rows.#files = { database: await open(rows.#path, 'r'), log: await open(`${rows.#path}-wal`, 'r') };
    } catch (error) {
      rows.#database.close();
      throw error;
    }
    return rows;
  }

  private constructor(path: string) {
    this.#path = path;
    this.#database = new DatabaseSync(path, { timeout: 0 });
    try {
      this.#prepareDatabase();
      this.#statements = prepareAll(this.#database);
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  #prepareDatabase(): void {
    // Nothing here waits for the disk: sync() does, in libuv's threads, in the order FORMAT.md gives.
    this.#database.exec(
      'PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 0;',
    );
    const version = this.#pragma('user_version');
    const application = this.#pragma('application_id');
    const tables = Number(this.#database.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.['n']);
    if (application === APPLICATION_ID && version > FORMAT_VERSION) {
      throw new CacheError(
        'CACHE_FORMAT_NEWER',
        `${this.#path} has format ${version}, this version knows ${FORMAT_VERSION}: upgrade, or point store.dirs elsewhere`,
      );
    }
    // Either way something is written, so that the log is there to be synced.
    if (tables === 0) this.#database.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT;`);
    else if (application !== APPLICATION_ID || version !== FORMAT_VERSION) {
      throw Object.assign(new Error(`${this.#path} is not a store database`), { errcode: SQLITE.notDatabase });
    } else this.#database.exec(`PRAGMA user_version = ${FORMAT_VERSION};`);
    this.#database.exec(TAGS);
  }

  #pragma(name: string): number {
    return Number(this.#database.prepare(`PRAGMA ${name}`).get()?.[name]);
  }

  /** Visits every row this version can read, least recently used first; gives the ids of those it can't. */
  load(visit: (row: HotRow) => void): Set<number> {
    const foreign = new Set<number>();
    for (const row of this.#statements.load.iterate()) {
      const hot = Number(row['format']) === FORMAT_VERSION ? hotRow(row) : undefined;
      if (hot === undefined) foreign.add(Number(row['id']));
      else visit(hot);
    }
    return foreign;
  }

  /** Head and block checksums of an object; undefined when the row is missing, damaged, or not this object's. */
  detail(entry: Entry): { readonly head: Head; readonly blocks: number[] } | undefined {
    const row = this.#statements.detail.get(entry.id);
    const head = row?.['head'];
    const packed = row?.['blocks'];
    const checksum = row?.['checksum'];
    if (typeof head !== 'string' || !(packed instanceof Uint8Array) || !(checksum instanceof Uint8Array)) {
      return undefined;
    }
    if (!rowChecksum(sealed(entry, head), packed).equals(checksum)) return undefined;
    const blocks = unpackBlocks(packed);
    const decoded = decodeHead(entry.key, entry.variant, head);
    const isWhole = blocks !== undefined && decoded !== undefined && decoded.lengthBytes === entry.bytes;
    return isWhole ? { head: decoded, blocks } : undefined;
  }

  /** The body of an inline object, unverified. */
  body(id: number): Buffer | undefined {
    const body = this.#statements.body.get(id)?.['body'];
    return body instanceof Uint8Array ? Buffer.from(body.buffer, body.byteOffset, body.byteLength) : undefined;
  }

  /** Ids of the objects with that tag. */
  tagged(tag: string): number[] {
    return this.#statements.tagged.all(tag).map((row) => Number(row['id']));
  }

  /** One transaction, all or nothing. */
  commit(commit: Commit): void {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      for (const id of commit.removes) this.#remove(id);
      for (const { entry, body } of commit.puts) this.#put(entry, body);
      for (const entry of commit.uses) {
        this.#statements.use.run(Math.trunc(entry.lastUsedAt), entry.hits, Number(entry.isPinned), entry.id);
      }
      this.#database.exec('COMMIT');
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  #remove(id: number): void {
    const { removeObject, removeDetail, removeBody, removeTags } = this.#statements;
    for (const statement of [removeObject, removeDetail, removeBody, removeTags]) statement.run(id);
  }

  #put(entry: Entry, body: Buffer | undefined): void {
    const { id, key, variant, head, blocks } = entry;
    if (head === undefined || blocks === undefined) return; // Never read since start, so nothing of it can have changed.
    const text = encodeHead(head);
    const packed = packBlocks(blocks);
    this.#statements.putObject.run(
      ...[id, key, variant, FORMAT_VERSION, entry.bytes, entry.storedBytes, entry.purpose, Math.trunc(entry.storedAt)],
      ...[Number(entry.bytes <= INLINE_BYTES), Math.trunc(entry.lastUsedAt), entry.hits, Number(entry.isPinned)],
    );
    this.#statements.putDetail.run(id, text, packed, rowChecksum(sealed(entry, text), packed));
    if (body !== undefined) this.#statements.putBody.run(id, body);
    this.#statements.removeTags.run(id);
    for (const tag of head.tags) this.#statements.putTag.run(tag, id);
  }

  /** Makes every commit so far survive a power cut. No commit may run meanwhile: a checkpoint may be under way. */
  async sync(): Promise<void> {
    const files = this.#files;
    if (files === undefined) return;
    await files.log.datasync();
    if (statSync(`${this.#path}-wal`).size < CHECKPOINT_BYTES) return;
    await this.#checkpoint(files.database);
  }

  async #checkpoint(database: FileHandle): Promise<void> {
    this.#database.exec('PRAGMA wal_checkpoint(PASSIVE)');
    await database.sync();
  }

  /** Folds the log into the database and closes; without `isOrderly` it only lets go. */
  async close(isOrderly: boolean): Promise<void> {
    const files = this.#files;
    this.#files = undefined;
    try {
      if (isOrderly && files !== undefined) {
        await files.log.datasync();
        await this.#checkpoint(files.database);
      }
    } finally {
      if (this.#database.isOpen) this.#database.close();
      await files?.log.close();
      await files?.database.close();
    }
  }
}

/** What the row's checksum covers, beside the block checksums. */
const sealed = (entry: Entry, head: string): readonly (string | number)[] => [
  FORMAT_VERSION,
  entry.id,
  entry.key,
  entry.variant,
  entry.bytes,
  entry.storedBytes,
  head,
];

function prepareAll(database: DatabaseSync) {
  const prepare = (sql: string): StatementSync => database.prepare(sql);
  return {
    load: prepare('SELECT * FROM objects ORDER BY lastUsedAt, id'),
    detail: prepare('SELECT head, blocks, checksum FROM details WHERE id = ?'),
    body: prepare('SELECT body FROM bodies WHERE id = ?'),
    putObject: prepare(
      `INSERT OR REPLACE INTO objects (${OBJECT_COLUMNS.join()}) VALUES (${OBJECT_COLUMNS.map(() => '?').join()})`,
    ),
    putDetail: prepare('INSERT OR REPLACE INTO details (id, head, blocks, checksum) VALUES (?, ?, ?, ?)'),
    putBody: prepare('INSERT OR REPLACE INTO bodies (id, body) VALUES (?, ?)'),
    use: prepare('UPDATE objects SET lastUsedAt = ?, hits = ?, isPinned = ? WHERE id = ?'),
    removeObject: prepare('DELETE FROM objects WHERE id = ?'),
    removeDetail: prepare('DELETE FROM details WHERE id = ?'),
    removeBody: prepare('DELETE FROM bodies WHERE id = ?'),
    putTag: prepare('INSERT OR IGNORE INTO tags (tag, id) VALUES (?, ?)'),
    removeTags: prepare('DELETE FROM tags WHERE id = ?'),
    tagged: prepare('SELECT id FROM tags WHERE tag = ?'),
  };
}

function hotRow(row: Record<string, SQLOutputValue>): HotRow | undefined {
  const { id, key, variant, lengthBytes: bytes, storedBytes, storedAt, hits, lastUsedAt } = row;
  const purpose = PURPOSES.find((one): one is Purpose => one === row['purpose']);
  if (typeof key !== 'string' || typeof variant !== 'string' || purpose === undefined) return undefined;
  if (typeof id !== 'number' || typeof bytes !== 'number' || typeof storedAt !== 'number') return undefined;
  if (typeof storedBytes !== 'number' || typeof hits !== 'number' || typeof lastUsedAt !== 'number') return undefined;
  const isInline = row['isInline'] === 1;
  return {
    id,
    key,
    variant,
    bytes,
    storedBytes,
    purpose,
    storedAt,
    hits,
    lastUsedAt,
    isInline,
    isPinned: row['isPinned'] === 1,
  };
}
