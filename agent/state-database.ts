// What the tables of the state stand on: statements, queued writes, and reads that see them. agent/state.ts makes it.

/** Rows that one read gives at most. */
export const MAX_ROWS = 1_000_000;

/** A value of a column. */
export type Value = string | number | null | Uint8Array;
/** A row as it is read. */
export type Row = Readonly<Record<string, unknown>>;

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

/** All rows of a query, what waits to be written included. */
export function readRows(database: Database, statement: Statement, ...values: Value[]): readonly Row[] {
  database.flush();
  return statement.all(...values);
}
