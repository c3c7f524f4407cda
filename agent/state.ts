// The agent's one database: small tables in a SQLite file under state.dir, written in groups. The only file of the
// agent that knows node:sqlite. A failing disk costs memory of the past, never a viewer's request.
import { mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Log } from '../cache/cache.ts';
import { AgentError } from './errors.ts';
import type { Database, Write } from './state-database.ts';
import { dayOf, MIGRATIONS } from './state-schema.ts';
import { openTables, type Tables } from './state-tables.ts';

/** Writes that may wait for a flush; beyond it the oldest are dropped and counted, since then the disk has failed. */
const MAX_PENDING = 50_000;
/** Writes that wait at most before they are flushed ahead of the timer. */
const FLUSH_AT = 2_000;
/** Result codes of SQLite for a file that is damaged or no database at all. */
const CORRUPT = 11;
const NOT_A_DATABASE = 26;
const CONSTRAINT = 19;
/** Days for which the outcomes of a token are remembered. */
const SPENT_DAYS = 8;

/** An open state. Writes are taken at once, seen by reads at once, and on disk after the next flush. */
export type State = Tables & {
  /**
   * Removes watches older than `watchDays` whole days, choices, exposures and ledger rows older than `logDays`, from the
   * file's bytes too, and a damaged file that was moved aside before then. Never throws.
   */
  readonly purge: (keep: { readonly now: number; readonly watchDays: number; readonly logDays: number }) => void;
  /** Writes what waits, in one transaction; a failure is logged and counted, and the writes wait on. */
  readonly flush: () => void;
  readonly stats: () => StateStats;
  /** Flushes and closes. Idempotent. */
  readonly close: () => void;
};

/** Plain counters since start. */
export type StateStats = {
  readonly pending: number;
  readonly written: number;
  readonly dropped: number;
  readonly errors: number;
  /** 1 when the file was damaged at start and this one began empty. */
  readonly recoveries: number;
};

/** What openState() needs. */
export type StateOptions = {
  readonly dir: string;
  readonly flushMs: number;
  readonly log: Log;
};

/**
 * Opens or makes DIR/state.sqlite. A damaged file is moved to state.sqlite.damaged and an empty one begun. Throws
 * AGENT_STATE_NEWER for a file of a later version, AGENT_STATE_UNUSABLE when the directory cannot be written or another
 * process holds the file.
 */
export function openState(options: StateOptions): State {
  const file = join(options.dir, 'state.sqlite');
  const counts = { written: 0, dropped: 0, errors: 0, recoveries: 0 };
  const database = openOrRecover(file, options, counts);
  const writes = openWrites(database, options.log, counts);
  const face: Database = {
    put: writes.put,
    flush: writes.flush,
    prepare: (sql) => database.prepare(sql),
    emptyJournal: () => {
      try {
        database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
      } catch (error) {
        counts.errors += 1;
        options.log('error', 'state.checkpoint_failed', { error });
      }
    },
  };
  const timer = setInterval(writes.flush, options.flushMs);
  timer.unref();
  let isOpen = true;
  return {
    ...openTables(face),
    purge: (keep) => purge(face, keep, { file, log: options.log }),
    flush: writes.flush,
    stats: () => ({ ...counts, pending: writes.pending() }),
    close: () => {
      if (!isOpen) return;
      isOpen = false;
      clearInterval(timer);
      writes.flush();
      database.close();
    },
  };
}

type Counts = { written: number; dropped: number; errors: number; recoveries: number };

function openOrRecover(file: string, { dir, log }: StateOptions, counts: Counts): DatabaseSync {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    return openDatabase(file);
  } catch (error) {
    if (error instanceof AgentError) throw error;
    if (!isDamage(error)) throw unusable(dir, error);
    log('warn', 'state.damaged', { file, movedTo: asideOf(file), error });
    counts.recoveries = 1;
  }
  try {
    renameSync(file, asideOf(file));
    for (const suffix of ['-wal', '-shm']) rmSync(file + suffix, { force: true });
    return openDatabase(file);
  } catch (error) {
    throw unusable(dir, error);
  }
}

function openDatabase(file: string): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: 1_000 });
  try {
    // secure_delete overwrites what is deleted: an erased viewer is gone from the bytes as well.
    database.exec(
      'PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;',
    );
    const [check] = Object.values(database.prepare('PRAGMA quick_check(1)').get() ?? {});
    if (check !== 'ok') throw Object.assign(new Error(String(check)), { errcode: CORRUPT });
    migrate(database);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function migrate(database: DatabaseSync): void {
  const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
  if (version > MIGRATIONS.length) {
    throw new AgentError(
      'AGENT_STATE_NEWER',
      `the state was written by a later version (schema ${version}, this one knows ${MIGRATIONS.length}); ` +
        'run that version again, or point state.dir at another directory',
    );
  }
  for (let next = version; next < MIGRATIONS.length; next += 1) {
    database.exec(`BEGIN; ${MIGRATIONS[next]} PRAGMA user_version = ${next + 1}; COMMIT;`);
  }
}

/** SQLite's primary result code of an error; undefined for any other error. */
function resultCode(error: unknown): number | undefined {
  const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) : undefined;
  return code === undefined ? undefined : code & 0xff;
}

function isDamage(error: unknown): boolean {
  const code = resultCode(error);
  return code === CORRUPT || code === NOT_A_DATABASE;
}

function unusable(dir: string, cause: unknown): AgentError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new AgentError(
    'AGENT_STATE_UNUSABLE',
    `the state directory ${dir} cannot be used (${reason}); make it writable, or stop the other process that uses it`,
    { cause },
  );
}

function asideOf(file: string): string {
  return `${file}.damaged`;
}

/** False for a row that breaks a constraint (a number that is none, say), so that it costs no other row. */
function runIfSound({ statement, values }: Write): boolean {
  try {
    statement.run(...values);
    return true;
  } catch (error) {
    if (resultCode(error) === CONSTRAINT) return false;
    throw error;
  }
}

type Writes = Pick<Database, 'put' | 'flush'> & { readonly pending: () => number };

function openWrites(database: DatabaseSync, log: Log, counts: Counts): Writes {
  const waiting = new Map<string, Write>();
  const flush = (): void => {
    if (waiting.size === 0) return;
    try {
      database.exec('BEGIN IMMEDIATE');
      const written = [...waiting.values()].filter(runIfSound).length;
      database.exec('COMMIT');
      counts.written += written;
      counts.dropped += waiting.size - written;
      waiting.clear();
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK');
      counts.errors += 1;
      log('error', 'state.write_failed', { pending: waiting.size, error });
    }
  };
  return {
    put: (key, statement, values) => {
      // Set anew, so that writes keep the order in which they came.
      waiting.delete(key);
      waiting.set(key, { statement, values });
      if (waiting.size % FLUSH_AT === 0) flush();
      const [oldest] = waiting.size > MAX_PENDING ? waiting.keys() : [];
      if (oldest === undefined) return;
      waiting.delete(oldest);
      counts.dropped += 1;
    },
    flush,
    pending: () => waiting.size,
  };
}

function purge(
  database: Database,
  keep: Parameters<State['purge']>[0],
  { file, log }: { readonly file: string; readonly log: Log },
): void {
  const today = dayOf(keep.now);
  const logged = today - keep.logDays;
  // Tokens are good for a week; what they were spent on is kept a day longer.
  const spent = today - SPENT_DAYS;
  const firstOf = { watches: today - keep.watchDays, choices: logged, ledger: logged, exposures: logged, spent };
  for (const [table, day] of Object.entries(firstOf)) {
    database.put(`purge ${table}`, database.prepare(`DELETE FROM ${table} WHERE day < ?`), [day]);
  }
  database.flush();
  database.emptyJournal();
  try {
    const aside = statSync(asideOf(file), { throwIfNoEntry: false });
    if (aside !== undefined && dayOf(aside.mtimeMs) < firstOf.watches) rmSync(asideOf(file), { force: true });
  } catch (error) {
    log('error', 'state.aside_kept', { file: asideOf(file), error });
  }
}
