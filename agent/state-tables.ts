// The tables of the agent's state: typed rows in, typed rows out. Statements come from agent/state.ts, which alone
// knows the database.
import { PURPOSES, type Purpose } from '../cache/cache.ts';
import { type ArmRow, type ChoiceRow, type LedgerRow, WATCH_BUCKETS, type WatchRow } from './state-schema.ts';

/** Rows that one read gives at most. */
const MAX_ROWS = 1_000_000;

/** A value of a column. */
export type Value = string | number | null | Uint8Array;
type Row = Readonly<Record<string, unknown>>;

/** A prepared statement. */
export type Statement = {
  readonly run: (...values: Value[]) => { readonly changes: number | bigint };
  readonly get: (...values: Value[]) => Row | undefined;
  readonly all: (...values: Value[]) => readonly Row[];
};

/** A write that waits. */
export type Write = { readonly statement: Statement; readonly values: readonly Value[] };

/** What the tables stand on. */
export type Database = {
  readonly prepare: (sql: string) => Statement;
  /** Queues a write; one that has the same key replaces what waits. */
  readonly put: (key: string, statement: Statement, values: readonly Value[]) => void;
  readonly flush: () => void;
  /** Moves the write-ahead log into the file and empties it, so that deleted rows are in neither. Never throws. */
  readonly emptyJournal: () => void;
};

/** The tables, as the agent uses them. */
export type Tables = {
  readonly watches: {
    /** Keeps the furthest bucket of a day and title. */
    readonly put: (row: WatchRow) => void;
    /** In order of day, pseudonym and title, so that a page may begin behind the last row of another. */
    readonly since: (
      day: number,
      page?: { readonly after?: WatchRow | undefined; readonly limit: number },
    ) => readonly WatchRow[];
    /** Removes every row of these pseudonyms, from the file's bytes too; how many rows. */
    readonly erase: (pseudonyms: readonly string[]) => number;
  };
  /** Sums over all viewers, such as popularity, as one JSON document each. Never anything of a viewer. */
  readonly snapshots: {
    readonly put: (name: string, json: string) => void;
    readonly get: (name: string) => string | undefined;
  };
  readonly arms: { readonly put: (row: ArmRow) => void; readonly all: () => readonly ArmRow[] };
  readonly choices: {
    /** Logs a choice and gives the number under which its reward may come. */
    readonly add: (row: ChoiceRow) => number;
    /** The reward of a choice, 0..1; the first one counts. */
    readonly reward: (id: number, reward: number) => void;
    readonly since: (day: number) => readonly ChoiceRow[];
  };
  readonly ledger: {
    readonly add: (row: LedgerRow) => void;
    /** Bytes of a day by purpose, restarts included. */
    readonly bytesOn: (day: number) => Readonly<Record<Purpose, number>>;
  };
  /** Keys that the node draws for itself, such as that of preview tokens. Never anything of a viewer. */
  readonly secrets: {
    readonly get: (name: string) => Buffer | undefined;
    readonly set: (name: string, value: Uint8Array) => void;
  };
};

/** Makes the tables' functions. */
export function openTables(database: Database): Tables {
  return {
    watches: watchTable(database),
    snapshots: snapshotTable(database),
    arms: armTable(database),
    choices: choiceTable(database),
    ledger: ledgerTable(database),
    secrets: secretTable(database),
  };
}

/** All rows of a query, what waits to be written included. */
function readRows(database: Database, statement: Statement, ...values: Value[]): readonly Row[] {
  database.flush();
  return statement.all(...values);
}

function watchTable(database: Database): Tables['watches'] {
  const upsert = database.prepare(
    `INSERT INTO watches (day, pseudonym, title, bucket) VALUES (?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET bucket = max(bucket, excluded.bucket)`,
  );
  const select = database.prepare(
    `SELECT day, pseudonym, title, bucket FROM watches WHERE (day, pseudonym, title) > (?, ?, ?)
     ORDER BY day, pseudonym, title LIMIT ?`,
  );
  const count = database.prepare('SELECT count(*) AS rows FROM watches WHERE pseudonym = ?');
  const remove = database.prepare('DELETE FROM watches WHERE pseudonym = ?');
  return {
    put: ({ day, pseudonym, titleId, bucket }) => {
      const rank = WATCH_BUCKETS.indexOf(bucket);
      database.put(`watch ${day} ${pseudonym} ${titleId} ${rank}`, upsert, [day, pseudonym, titleId, rank]);
    },
    since: (day, { after, limit } = { limit: MAX_ROWS }) => {
      const begin = after === undefined ? [day, '', ''] : [after.day, after.pseudonym, after.titleId];
      return readRows(database, select, ...begin, limit).flatMap((row) => {
        const bucket = WATCH_BUCKETS[Number(row['bucket'])];
        if (bucket === undefined) return [];
        const { pseudonym, title } = row;
        return [{ day: Number(row['day']), pseudonym: String(pseudonym), titleId: String(title), bucket }];
      });
    },
    erase: (pseudonyms) => {
      database.flush();
      let found = 0;
      for (const pseudonym of pseudonyms) {
        found += Number(count.get(pseudonym)?.['rows'] ?? 0);
        // Queued behind the writes that wait, so that it holds even when the disk fails now.
        database.put(`erase ${pseudonym}`, remove, [pseudonym]);
      }
      database.flush();
      database.emptyJournal();
      return found;
    },
  };
}

function snapshotTable(database: Database): Tables['snapshots'] {
  const upsert = database.prepare('INSERT OR REPLACE INTO snapshots (name, json) VALUES (?, ?)');
  const select = database.prepare('SELECT json FROM snapshots WHERE name = ?');
  return {
    put: (name, json) => database.put(`snapshot ${name}`, upsert, [name, json]),
    get: (name) => {
      const [row] = readRows(database, select, name);
      return row === undefined ? undefined : String(row['json']);
    },
  };
}

function armTable(database: Database): Tables['arms'] {
  const upsert = database.prepare(
    'INSERT OR REPLACE INTO arms (title, arm, successes, failures, updated_at) VALUES (?, ?, ?, ?, ?)',
  );
  const select = database.prepare(`SELECT title, arm, successes, failures, updated_at FROM arms LIMIT ${MAX_ROWS}`);
  return {
    put: ({ titleId, arm, successes, failures, updatedAt }) =>
      database.put(`arm ${titleId} ${arm}`, upsert, [titleId, arm, successes, failures, Math.round(updatedAt)]),
    all: () =>
      readRows(database, select).map((row) => ({
        titleId: String(row['title']),
        arm: String(row['arm']),
        successes: Number(row['successes']),
        failures: Number(row['failures']),
        updatedAt: Number(row['updated_at']),
      })),
  };
}

function choiceTable(database: Database): Tables['choices'] {
  const insert = database.prepare(
    'INSERT INTO choices (id, day, title, arm, propensity, reward) VALUES (?, ?, ?, ?, ?, ?)',
  );
  const update = database.prepare('UPDATE choices SET reward = ? WHERE id = ? AND reward IS NULL');
  const select = database.prepare(
    `SELECT day, title, arm, propensity, reward FROM choices WHERE day >= ? ORDER BY id LIMIT ${MAX_ROWS}`,
  );
  let lastId = Number(database.prepare('SELECT max(id) AS id FROM choices').get()?.['id'] ?? 0);
  return {
    add: ({ day, titleId, arm, propensity, reward }) => {
      lastId += 1;
      database.put(`choice ${lastId}`, insert, [lastId, day, titleId, arm, propensity, reward ?? null]);
      return lastId;
    },
    reward: (id, reward) => database.put(`reward ${id} ${reward}`, update, [reward, id]),
    since: (day) =>
      readRows(database, select, day).map((row) => ({
        day: Number(row['day']),
        titleId: String(row['title']),
        arm: String(row['arm']),
        propensity: Number(row['propensity']),
        ...(row['reward'] === null ? {} : { reward: Number(row['reward']) }),
      })),
  };
}

function ledgerTable(database: Database): Tables['ledger'] {
  const upsert = database.prepare('INSERT OR REPLACE INTO ledger (day, purpose, bytes) VALUES (?, ?, ?)');
  const select = database.prepare('SELECT bytes FROM ledger WHERE day = ? AND purpose = ?');
  /** Totals of the day asked for last: a governor asks for today before every fill. */
  let cached: { readonly day: number; readonly bytes: Record<Purpose, number> } | undefined;
  const load = (day: number): Record<Purpose, number> => {
    if (cached?.day === day) return cached.bytes;
    database.flush();
    const stored = (purpose: Purpose): number => Number(select.get(day, purpose)?.['bytes'] ?? 0);
    // Sound: every purpose has its entry.
    const bytes = Object.fromEntries(PURPOSES.map((purpose) => [purpose, stored(purpose)])) as Record<Purpose, number>;
    cached = { day, bytes };
    return bytes;
  };
  return {
    add: ({ day, purpose, bytes }) => {
      const totals = load(day);
      totals[purpose] += bytes;
      database.put(`ledger ${day} ${purpose}`, upsert, [day, purpose, totals[purpose]]);
    },
    bytesOn: (day) => ({ ...load(day) }),
  };
}

function secretTable(database: Database): Tables['secrets'] {
  const select = database.prepare('SELECT value FROM secrets WHERE name = ?');
  const upsert = database.prepare('INSERT OR REPLACE INTO secrets (name, value) VALUES (?, ?)');
  return {
    get: (name) => {
      const value = select.get(name)?.['value'];
      return value instanceof Uint8Array ? Buffer.from(value) : undefined;
    },
    set: (name, value) => {
      upsert.run(name, value);
    },
  };
}
