// The tables of the agent's state: typed rows in, typed rows out. Statements come from agent/state.ts, which alone
// knows the database.
import { PURPOSES, type Purpose } from '../cache/cache.ts';
import { type Database, MAX_ROWS, readRows } from './state-database.ts';
import { openPreviewTables, type PreviewTables } from './state-preview.ts';
import { type LedgerRow, WATCH_BUCKETS, type WatchRow } from './state-schema.ts';

/** The tables, as the agent uses them. */
export type Tables = PreviewTables & {
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
    ...openPreviewTables(database),
    watches: watchTable(database),
    snapshots: snapshotTable(database),
    ledger: ledgerTable(database),
    secrets: secretTable(database),
  };
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
