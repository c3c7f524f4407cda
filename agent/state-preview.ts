// The tables of previews and experiments in the agent's state: models, arms, guards, choices, spent tokens, exposures.
// No row names a viewer or says what one likes.

import { remember } from './remember.ts';
import { type Database, MAX_ROWS, type Row, readRows } from './state-database.ts';
import type { ArmRow, ChoiceRow, ExposureRow, GuardRow, ModelRow } from './state-schema.ts';

/** The tables, as the agent uses them. */
export type PreviewTables = {
  readonly arms: { readonly put: (row: ArmRow) => void; readonly all: () => readonly ArmRow[] };
  readonly bandits: {
    readonly put: (row: ModelRow) => void;
    readonly get: (slot: string, region: string) => ModelRow | undefined;
  };
  readonly guards: { readonly put: (row: GuardRow) => void; readonly all: () => readonly GuardRow[] };
  readonly choices: {
    /** Logs a choice and gives its number, which is never given again. */
    readonly add: (row: Omit<ChoiceRow, 'reward'>) => number;
    /** Adds to the reward of a choice. */
    readonly reward: (id: number, amount: number) => void;
    readonly since: (day: number) => readonly ChoiceRow[];
    /** So many of the newest, but for those numbered `before` or above; newest first. */
    readonly newest: (limit: number, before?: number) => readonly (ChoiceRow & { readonly id: number })[];
  };
  /** Outcomes that were counted of a choice, as bits. */
  readonly spent: {
    readonly get: (id: number) => number;
    readonly add: (row: { readonly id: number; readonly day: number; readonly bit: number }) => void;
  };
  readonly exposures: {
    /** A new session; gives its number. */
    readonly add: (row: Omit<ExposureRow, 'id'>) => number;
    /** What a session did so far, in place of what it had done before. */
    readonly update: (id: number, outcomes: readonly number[]) => void;
    /** Sessions of an experiment numbered above `after`, in order, at most `limit`. */
    readonly of: (experiment: string, after?: number, limit?: number) => readonly ExposureRow[];
    readonly count: (experiment: string) => number;
    /** Removes all rows of an experiment. */
    readonly remove: (experiment: string) => void;
  };
};

/** Makes the tables' functions. */
export function openPreviewTables(database: Database): PreviewTables {
  return {
    arms: armTable(database),
    bandits: modelTable(database),
    guards: guardTable(database),
    choices: choiceTable(database),
    spent: spentTable(database),
    exposures: exposureTable(database),
  };
}

/**
 * Numbers of rows, never given twice: a crash loses at most as many rows as may wait for a flush (agent/state.ts), and
 * tokens that name these are still about.
 */
const LOST_ROWS = 100_000;

function numbers(database: Database, table: string): () => number {
  let last = Number(database.prepare(`SELECT max(id) AS id FROM ${table}`).get()?.['id'] ?? 0) + LOST_ROWS;
  return () => {
    last += 1;
    return last;
  };
}

function listOf(json: unknown): readonly unknown[] {
  try {
    const list: unknown = JSON.parse(String(json));
    return Array.isArray(list) ? list : [];
  } catch {
    return []; // A row that somebody else wrote: without these values it counts for nothing.
  }
}

const numbersOf = (list: unknown): readonly number[] => (Array.isArray(list) ? list.map(Number) : []);
const bytesOf = (value: unknown): Uint8Array => (value instanceof Uint8Array ? value : new Uint8Array(0));

function armTable(database: Database): PreviewTables['arms'] {
  const upsert = database.prepare(
    'INSERT OR REPLACE INTO arms (slot, title, arm, information, response, at) VALUES (?, ?, ?, ?, ?, ?)',
  );
  const select = database.prepare(`SELECT slot, title, arm, information, response, at FROM arms LIMIT ${MAX_ROWS}`);
  return {
    put: ({ slot, title, arm, information, response, at }) =>
      database.put(`arm ${slot} ${title} ${arm}`, upsert, [slot, title, arm, information, response, Math.round(at)]),
    all: () =>
      readRows(database, select).map((row) => ({
        slot: String(row['slot']),
        title: String(row['title']),
        arm: String(row['arm']),
        information: Number(row['information']),
        response: Number(row['response']),
        at: Number(row['at']),
      })),
  };
}

function modelTable(database: Database): PreviewTables['bandits'] {
  const upsert = database.prepare('INSERT OR REPLACE INTO bandits VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
  const select = database.prepare('SELECT * FROM bandits WHERE slot = ? AND region = ?');
  const read = (row: Row): ModelRow => ({
    slot: String(row['slot']),
    region: String(row['region']),
    length: Number(row['length']),
    json: String(row['json']),
    steadyInformation: bytesOf(row['steady_information']),
    steadyResponse: bytesOf(row['steady_response']),
    quickInformation: bytesOf(row['quick_information']),
    quickResponse: bytesOf(row['quick_response']),
  });
  return {
    put: (row) =>
      database.put(`bandit ${row.slot} ${row.region}`, upsert, [
        ...[row.slot, row.region, row.length, row.json, row.steadyInformation, row.steadyResponse],
        ...[row.quickInformation, row.quickResponse],
      ]),
    get: (slot, region) => readRows(database, select, slot, region).map(read)[0],
  };
}

function guardTable(database: Database): PreviewTables['guards'] {
  const upsert = database.prepare('INSERT OR REPLACE INTO guards VALUES (?, ?, ?, ?, ?)');
  const select = database.prepare(`SELECT * FROM guards LIMIT ${MAX_ROWS}`);
  return {
    put: ({ slot, arm, plays, completions, stoppedUntil }) =>
      database.put(`guard ${slot} ${arm}`, upsert, [slot, arm, plays, completions, Math.round(stoppedUntil)]),
    all: () =>
      readRows(database, select).map((row) => ({
        slot: String(row['slot']),
        arm: String(row['arm']),
        plays: Number(row['plays']),
        completions: Number(row['completions']),
        stoppedUntil: Number(row['stopped_until']),
      })),
  };
}

/** Chances and expectations are logged with six digits. */
const rounded = (values: readonly number[]): readonly number[] => values.map((value) => Number(value.toPrecision(6)));

function choiceTable(database: Database): PreviewTables['choices'] {
  const insert = database.prepare('INSERT INTO choices VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)');
  const update = database.prepare('UPDATE choices SET reward = min(1, reward + ?) WHERE id = ?');
  const select = database.prepare(`SELECT * FROM choices WHERE day >= ? ORDER BY id LIMIT ${MAX_ROWS}`);
  const newest = database.prepare('SELECT * FROM choices WHERE id < ? ORDER BY id DESC LIMIT ?');
  const next = numbers(database, 'choices');
  let rewards = 0;
  return {
    add: ({ day, slot, titleId, policy, chosen, arms, propensities, expected }) => {
      const id = next();
      const chances = JSON.stringify([rounded(propensities), rounded(expected)]);
      database.put(`choice ${id}`, insert, [id, day, slot, titleId, policy, chosen, JSON.stringify(arms), chances]);
      return id;
    },
    reward: (id, amount) => {
      rewards += 1;
      database.put(`reward ${id} ${rewards}`, update, [amount, id]);
    },
    since: (day) => readRows(database, select, day).map(readChoice),
    newest: (limit, before = Number.MAX_SAFE_INTEGER) =>
      readRows(database, newest, before, limit).map((row) => ({ ...readChoice(row), id: Number(row['id']) })),
  };
}

function readChoice(row: Row): ChoiceRow {
  const [propensities, expected] = listOf(row['chances']);
  return {
    day: Number(row['day']),
    slot: String(row['slot']),
    titleId: String(row['title']),
    policy: String(row['policy']),
    chosen: Number(row['chosen']),
    arms: listOf(row['arms']).map(String),
    propensities: numbersOf(propensities),
    expected: numbersOf(expected),
    reward: Number(row['reward']),
  };
}

/** Tokens used lately, which may wait to be written; older ones are read from disk. */
const MOST_RECENT = 50_000;

function spentTable(database: Database): PreviewTables['spent'] {
  const upsert = database.prepare(
    'INSERT INTO spent VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET outcomes = outcomes | excluded.outcomes',
  );
  const select = database.prepare('SELECT outcomes FROM spent WHERE id = ?');
  const recent = new Map<number, number>();
  const get = (id: number): number => recent.get(id) ?? Number(select.get(id)?.['outcomes'] ?? 0);
  return {
    get,
    add: ({ id, day, bit }) => {
      const outcomes = get(id) | bit;
      remember(recent, id, outcomes, MOST_RECENT);
      database.put(`spent ${id}`, upsert, [id, day, outcomes]);
    },
  };
}

function exposureTable(database: Database): PreviewTables['exposures'] {
  const insert = database.prepare('INSERT INTO exposures VALUES (?, ?, ?, ?, ?, ?)');
  const update = database.prepare('UPDATE exposures SET outcomes = ? WHERE id = ?');
  const select = database.prepare('SELECT * FROM exposures WHERE experiment = ? AND id > ? ORDER BY id LIMIT ?');
  const count = database.prepare('SELECT count(*) AS rows FROM exposures WHERE experiment = ?');
  const remove = database.prepare('DELETE FROM exposures WHERE experiment = ?');
  const next = numbers(database, 'exposures');
  return {
    add: ({ day, experiment, variant, covariates, outcomes }) => {
      const id = next();
      const [before, after] = [JSON.stringify(covariates), JSON.stringify(outcomes)];
      database.put(`exposure ${id}`, insert, [id, day, experiment, variant, before, after]);
      return id;
    },
    update: (id, outcomes) => database.put(`outcomes ${id}`, update, [JSON.stringify(outcomes), id]),
    count: (experiment) => Number(readRows(database, count, experiment)[0]?.['rows'] ?? 0),
    of: (experiment, after = 0, limit = MAX_ROWS) =>
      readRows(database, select, experiment, after, limit).map((row) => ({
        id: Number(row['id']),
        day: Number(row['day']),
        experiment: String(row['experiment']),
        variant: String(row['variant']),
        covariates: numbersOf(listOf(row['covariates'])),
        outcomes: numbersOf(listOf(row['outcomes'])),
      })),
    remove: (experiment) => database.put(`remove ${experiment}`, remove, [experiment]),
  };
}
