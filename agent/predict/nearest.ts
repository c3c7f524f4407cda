// The titles nearest to a taste by cosine, without a look at each: cluster pruning (Manning, Raghavan, Schuetze,
// Introduction to Information Retrieval, section 7.1.6). Each vector belongs to its nearest leader; a search reads the
// followers of the nearest leaders only.
import { Best } from './best.ts';
import type { TitleEmbeddings } from './tables.ts';

/** An index over embeddings. `followers` are places in titleIds, grouped by leader. */
export type NearestIndex = {
  readonly table: TitleEmbeddings;
  /** [leaders, width] */
  readonly leaders: Float32Array;
  /** [leaders + 1]: where each leader's followers begin. */
  readonly starts: Uint32Array;
  readonly followers: Uint32Array;
  /** The followers' vectors in their order, so that a search reads memory in a row. */
  readonly grouped: Float32Array;
};

/** A title and how near it is, -1..1. */
export type Near = { readonly titleId: string; readonly cosine: number };

/** Leaders at most; more make searches shorter and the index longer to build. */
const MAX_LEADERS = 128;
/** Vectors placed between two rests of indexNearest(): about a millisecond. */
const STEP_ROWS = 250;
/** A search ends once it has read so many vectors, at the end of a leader's followers. */
const READ_ENOUGH = 3_000;

/** Inner product of a row of `rows`, which begins at `start`, and a vector. */
function dot(rows: Float32Array, start: number, vector: Float32Array): number {
  // Two sums do not wait for each other: a search is half as long.
  let [even, odd] = [0, 0];
  const { length } = vector;
  for (let at = 0; at < length - 1; at += 2) {
    even += (rows[start + at] ?? 0) * (vector[at] ?? 0);
    odd += (rows[start + at + 1] ?? 0) * (vector[at + 1] ?? 0);
  }
  if (length % 2 === 1) even += (rows[start + length - 1] ?? 0) * (vector[length - 1] ?? 0);
  return even + odd;
}

/** Places of rows that say something. */
function knownRows({ titleIds, width, values }: TitleEmbeddings): Uint32Array {
  const known = new Uint32Array(titleIds.length);
  let count = 0;
  for (let row = 0; row < titleIds.length; row += 1) {
    if (values.subarray(row * width, (row + 1) * width).every((value) => value === 0)) continue;
    known[count] = row;
    count += 1;
  }
  return known.slice(0, count);
}

/** Builds an index in steps, so that a catalogue of 100,000 does not hold up its thread; deterministic. */
export function* indexNearest(table: TitleEmbeddings): Generator<void, NearestIndex, void> {
  const { width, values } = table;
  const known = knownRows(table);
  const count = Math.min(MAX_LEADERS, Math.ceil(Math.sqrt(known.length)));
  const leaders = new Float32Array(count * width);
  for (let leader = 0; leader < count; leader += 1) {
    const row = known[Math.floor((leader * known.length) / count)] ?? 0;
    leaders.set(values.subarray(row * width, (row + 1) * width), leader * width);
  }
  const leaderOf = new Uint16Array(known.length);
  const starts = new Uint32Array(count + 1);
  for (const [place, row] of known.entries()) {
    let [best, highest] = [0, -2];
    const vector = values.subarray(row * width, (row + 1) * width);
    for (let leader = 0; leader < count; leader += 1) {
      const cosine = dot(leaders, leader * width, vector);
      if (cosine > highest) [best, highest] = [leader, cosine];
    }
    leaderOf[place] = best;
    starts[best + 1] = (starts[best + 1] ?? 0) + 1;
    if (place % STEP_ROWS === STEP_ROWS - 1) yield;
  }
  for (let leader = 0; leader < count; leader += 1) {
    starts[leader + 1] = (starts[leader + 1] ?? 0) + (starts[leader] ?? 0);
  }
  const next = starts.slice();
  const followers = new Uint32Array(known.length);
  const grouped = new Float32Array(known.length * width);
  for (const [place, row] of known.entries()) {
    const to = next[leaderOf[place] ?? 0] ?? 0;
    next[leaderOf[place] ?? 0] = to + 1;
    followers[to] = row;
    grouped.set(values.subarray(row * width, (row + 1) * width), to * width);
  }
  return { table, leaders, starts, followers, grouped };
}

/**
 * The titles nearest to `vector` (of length 1), at most `count`. `bonus` is added to a title's cosine where titles are
 * otherwise alike (0..0.1, say by popularity), by its place in titleIds.
 */
export function nearest(
  index: NearestIndex,
  vector: Float32Array,
  { count, bonus }: { readonly count: number; readonly bonus?: Float32Array | undefined },
): readonly Near[] {
  const { table, leaders, starts, followers, grouped } = index;
  const { width, titleIds, values } = table;
  const order = Array.from({ length: starts.length - 1 }, (_, leader) => ({
    leader,
    cosine: dot(leaders, leader * width, vector),
  })).sort((one, other) => other.cosine - one.cosine);
  const best = new Best<number>(count);
  let read = 0;
  for (const { leader } of order) {
    if (read >= READ_ENOUGH) break;
    const end = starts[leader + 1] ?? 0;
    for (let place = starts[leader] ?? 0; place < end; place += 1) {
      const row = followers[place] ?? 0;
      best.offer(row, dot(grouped, place * width, vector) + (bonus?.[row] ?? 0));
      read += 1;
    }
  }
  return best.items().map((row) => ({
    titleId: titleIds[row] ?? '',
    cosine: dot(values, row * width, vector),
  }));
}

/** Cosine of a title's vector and `vector`; 0 for a title without one. */
export function cosineOf(table: TitleEmbeddings, place: number | undefined, vector: Float32Array): number {
  return place === undefined ? 0 : dot(table.values, place * table.width, vector);
}
