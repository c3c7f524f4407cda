// SQLite as the store uses it: the schema of FORMAT.md, its two connections, the lock of a directory, its errors.
import { randomBytes } from 'node:crypto';
import { existsSync, renameSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { CacheError } from '../errors.ts';

/** Version of the database's layout and of the rows this code writes (FORMAT.md, Versions). */
export const FORMAT_VERSION = 2;
/** 'NCST' in ASCII: PRAGMA application_id of every store database. */
const APPLICATION_ID = 0x4e435354;
/** Pages of 4 KiB in the write-ahead log from which on it is folded into the database: 32 MiB. */
const CHECKPOINT_PAGES = 8192;
/** Page caches in KiB: of the connection that writes, and of the one that viewers' look-ups read through. */
const WRITING_CACHE_KIB = 16 * 1024;
const READING_CACHE_KIB = 8 * 1024;

/** Came later than the others of `objects`, so that it is added to a table without it. */
const HOST_COLUMN = 'host INTEGER NOT NULL DEFAULT 0';

/** An open connection. */
export type Database = DatabaseSync;

const schema = (): string => `
CREATE TABLE objects (
  id INTEGER PRIMARY KEY, format INTEGER NOT NULL, hash INTEGER NOT NULL, bytes INTEGER NOT NULL, purpose INTEGER NOT NULL,
  isPinned INTEGER NOT NULL, hits INTEGER NOT NULL, lastUsedAt INTEGER NOT NULL, ${HOST_COLUMN}) STRICT;
CREATE TABLE details (
  id INTEGER PRIMARY KEY, key TEXT NOT NULL, variant TEXT NOT NULL, head TEXT NOT NULL, blocks BLOB NOT NULL,
  checksum BLOB NOT NULL) STRICT;
CREATE INDEX detailsByKey ON details (key);
CREATE TABLE bodies (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE tags (
  tag TEXT NOT NULL, key TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (tag, key, id)) STRICT, WITHOUT ROWID;
CREATE INDEX tagsById ON tags (id);
CREATE TABLE facts (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO facts VALUES ('seed', '${randomBytes(16).toString('hex')}'), ('objects', 0), ('bytes', 0), ('scrubbedTo', 0);
PRAGMA application_id = ${APPLICATION_ID};
PRAGMA user_version = ${FORMAT_VERSION};
`;

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

/** An error that says that a file is no database of this store, as SQLite would. */
export const notDatabase = (message: string): Error =>
  Object.assign(new Error(message), { errcode: SQLITE.notDatabase });

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

/** Path of a directory's database. */
export const databasePath = (directory: string): string => join(directory, 'index.db');

/** Puts a damaged or abandoned database out of the way; one such is kept for the operator. */
export function setAside(directory: string): void {
  const path = databasePath(directory);
  for (const suffix of ['-wal', '-shm']) rmSync(path + suffix, { force: true });
  if (existsSync(path)) renameSync(path, `${path}.damaged`);
}

/**
 * The connection that writes, made when it is not there. `isSynced`: every commit survives a power cut, and so does
 * folding in the log. Throws CACHE_FORMAT_NEWER for a later version's database, an error of isDamaged() for a bad one.
 */
export function openWriting(path: string, isSynced: boolean): Database {
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${isSynced ? 'FULL' : 'OFF'};
      PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}; PRAGMA cache_size = -${WRITING_CACHE_KIB};`);
    prepare(database, path);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function prepare(database: DatabaseSync, path: string): void {
  const pragma = (name: string): number => Number(database.prepare(`PRAGMA ${name}`).get()?.[name]);
  const version = pragma('user_version');
  const application = pragma('application_id');
  const tables = Number(database.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.['n']);
  if (application === APPLICATION_ID && version > FORMAT_VERSION) {
    throw new CacheError(
      'CACHE_FORMAT_NEWER',
      `${path} has format ${version}, this version knows ${FORMAT_VERSION}: upgrade, or point store.dirs elsewhere`,
    );
  }
  if (tables === 0) database.exec(`BEGIN IMMEDIATE; ${schema()} COMMIT;`);
  else if (application !== APPLICATION_ID || version !== FORMAT_VERSION) {
    throw notDatabase(`${path} is not a store database of format ${FORMAT_VERSION}`);
  } else if (database.prepare(`SELECT 1 FROM pragma_table_info('objects') WHERE name = 'host'`).get() === undefined)
    database.exec(`ALTER TABLE objects ADD COLUMN ${HOST_COLUMN}`);
}

/** A connection that only reads what the other one has committed; opened after it. */
export function openReading(path: string): Database {
  const database = new DatabaseSync(path, { readOnly: true, timeout: 0 });
  database.exec(`PRAGMA cache_size = -${READING_CACHE_KIB};`);
  return database;
}
