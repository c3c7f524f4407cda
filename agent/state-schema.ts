// What the agent keeps on disk: its rows, its limits, and the migrations that make their tables. No row names a
// viewer; `watches` holds a pseudonym that nobody can rebuild once its day is over.
import type { Purpose } from '../cache/cache.ts';

/** How much of a title was watched, by ratio of its duration: under 10 %, under 50 %, under 90 %, the rest. */
export const WATCH_BUCKETS = ['tried', 'part', 'most', 'whole'] as const;
/** One of WATCH_BUCKETS. */
export type WatchBucket = (typeof WATCH_BUCKETS)[number];

/** All that is ever on disk of one consented viewer: one row for each day and title. */
export type WatchRow = {
  /** Days since the epoch, UTC. */
  readonly day: number;
  /** Keyed hash under the key of that day. */
  readonly pseudonym: string;
  readonly titleId: string;
  readonly bucket: WatchBucket;
};

/** What is known of one arm beyond its descriptor, as of `at` (milliseconds since the epoch). */
export type ArmRow = {
  readonly slot: string;
  readonly title: string;
  readonly arm: string;
  readonly information: number;
  readonly response: number;
  readonly at: number;
};

/** A slot's model in one region: two sets of evidence as Float64Array bytes, and what goes with them. */
export type ModelRow = {
  readonly slot: string;
  readonly region: string;
  /** Numbers of a descriptor. */
  readonly length: number;
  readonly json: string;
  readonly steadyInformation: Uint8Array;
  readonly steadyResponse: Uint8Array;
  readonly quickInformation: Uint8Array;
  readonly quickResponse: Uint8Array;
};

/** Plays that an arm led to, completions of these, and until when it is stopped. */
export type GuardRow = {
  readonly slot: string;
  readonly arm: string;
  readonly plays: number;
  readonly completions: number;
  readonly stoppedUntil: number;
};

/** A choice that was shown: of what, with which chances, what was expected, and what came of it so far. */
export type ChoiceRow = {
  readonly day: number;
  readonly slot: string;
  readonly titleId: string;
  readonly policy: string;
  /** Index of the arm that was shown. */
  readonly chosen: number;
  readonly arms: readonly string[];
  /** Chance of each arm, 0..1, sum 1. */
  readonly propensities: readonly number[];
  /** Reward that was expected of each arm. */
  readonly expected: readonly number[];
  /** 0..1; 0 until something was reported. */
  readonly reward: number;
};

/** One session in an experiment: no id, no pseudonym. Numbers of before it, and what it did afterwards. */
export type ExposureRow = {
  readonly id: number;
  readonly day: number;
  readonly experiment: string;
  readonly variant: string;
  readonly covariates: readonly number[];
  readonly outcomes: readonly number[];
};

/** Bytes that were fetched on a day for a purpose. */
export type LedgerRow = { readonly day: number; readonly purpose: Purpose; readonly bytes: number };

/** Each turns the schema of its index into the next; `user_version` counts those that were applied. */
export const MIGRATIONS: readonly string[] = [
  `CREATE TABLE watches (
     day INTEGER NOT NULL, pseudonym TEXT NOT NULL, title TEXT NOT NULL, bucket INTEGER NOT NULL,
     PRIMARY KEY (day, pseudonym, title)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE snapshots (name TEXT PRIMARY KEY, json TEXT NOT NULL) STRICT, WITHOUT ROWID;
   CREATE TABLE arms (
     title TEXT NOT NULL, arm TEXT NOT NULL, successes REAL NOT NULL, failures REAL NOT NULL, updated_at INTEGER NOT NULL,
     PRIMARY KEY (title, arm)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE choices (
     id INTEGER PRIMARY KEY, day INTEGER NOT NULL, title TEXT NOT NULL, arm TEXT NOT NULL, propensity REAL NOT NULL,
     reward REAL
   ) STRICT;
   CREATE INDEX choices_by_day ON choices (day);
   CREATE TABLE ledger (
     day INTEGER NOT NULL, purpose TEXT NOT NULL, bytes INTEGER NOT NULL,
     PRIMARY KEY (day, purpose)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;`,
  `DROP TABLE arms;
   DROP TABLE choices;
   CREATE TABLE arms (
     slot TEXT NOT NULL, title TEXT NOT NULL, arm TEXT NOT NULL, information REAL NOT NULL, response REAL NOT NULL,
     at INTEGER NOT NULL,
     PRIMARY KEY (slot, title, arm)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE bandits (
     slot TEXT NOT NULL, region TEXT NOT NULL, length INTEGER NOT NULL, json TEXT NOT NULL,
     steady_information BLOB NOT NULL, steady_response BLOB NOT NULL,
     quick_information BLOB NOT NULL, quick_response BLOB NOT NULL,
     PRIMARY KEY (slot, region)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE guards (
     slot TEXT NOT NULL, arm TEXT NOT NULL, plays INTEGER NOT NULL, completions INTEGER NOT NULL,
     stopped_until INTEGER NOT NULL,
     PRIMARY KEY (slot, arm)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE choices (
     id INTEGER PRIMARY KEY, day INTEGER NOT NULL, slot TEXT NOT NULL, title TEXT NOT NULL, policy TEXT NOT NULL,
     chosen INTEGER NOT NULL, arms TEXT NOT NULL, chances TEXT NOT NULL, reward REAL NOT NULL
   ) STRICT;
   CREATE INDEX choices_by_day ON choices (day);
   CREATE TABLE spent (id INTEGER PRIMARY KEY, day INTEGER NOT NULL, outcomes INTEGER NOT NULL) STRICT;
   CREATE INDEX spent_by_day ON spent (day);
   CREATE TABLE exposures (
     id INTEGER PRIMARY KEY, day INTEGER NOT NULL, experiment TEXT NOT NULL, variant TEXT NOT NULL,
     covariates TEXT NOT NULL, outcomes TEXT NOT NULL
   ) STRICT;
   CREATE INDEX exposures_by_experiment ON exposures (experiment, id);
   CREATE INDEX exposures_by_day ON exposures (day);`,
];

/** Day of a time, counted from the epoch in UTC. */
export function dayOf(at: number): number {
  return Math.floor(at / 86_400_000);
}

/** Bucket of so many watched seconds; a title of unknown length is taken for an hour. */
export function watchBucket(watchedSeconds: number, durationSeconds = 3600): WatchBucket {
  const ratio = watchedSeconds / Math.max(1, durationSeconds);
  if (ratio < 0.1) return 'tried';
  if (ratio < 0.5) return 'part';
  return ratio < 0.9 ? 'most' : 'whole';
}
