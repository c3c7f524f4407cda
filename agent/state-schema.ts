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

/** Decayed outcomes of a preview arm, as of `updatedAt`. */
export type ArmRow = {
  readonly titleId: string;
  readonly arm: string;
  readonly successes: number;
  readonly failures: number;
  readonly updatedAt: number;
};

/** A preview that was shown: what, with which chance, and what came of it (undefined: nothing was reported). */
export type ChoiceRow = {
  readonly day: number;
  readonly titleId: string;
  readonly arm: string;
  /** Chance with which the arm was shown, above 0 and at most 1. */
  readonly propensity: number;
  /** 0..1. */
  readonly reward?: number;
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
