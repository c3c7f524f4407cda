// Where in a title this region's viewers come back to, what they see again, and where they leave, from players' own events: counts of the title
// alone, nothing of a viewer. Pure: time comes in.
import { remember } from '../remember.ts';
import { readSnapshot } from '../snapshot.ts';

/** Parts that a title is counted in. */
const BINS = 64;
/** Titles that are counted; the one heard of longest ago is forgotten. */
const MOST_TITLES = 2_000;
/** Events in a part that nobody has seen, for and against alike: few events say little. */
const PRIOR = 4;
/** Who leaves in the last part has seen the title, who leaves in the first has not begun. */
const ENDS = { first: 1 / BINS, last: 0.9 } as const;
/** A count halves in weight after so many days. */
const HALF_LIFE_DAYS = 30;
const VERSION = 2;
/** Who goes back sees a scene again, not all that was seen since. */
const LONGEST_REWATCH_SECONDS = 60;

type Counts = {
  /** Seeks that end in a part, parts that were seen again, and plays that end in a part: [64] each. */
  readonly sought: Float64Array;
  readonly again: Float64Array;
  readonly left: Float64Array;
  day: number;
  events: number;
};

/** What a player reported; other types than seek and stop say nothing here. `fromSeconds`: of a seek, where it is known. */
export type Heard = {
  readonly type: string;
  readonly titleId: string;
  readonly positionSeconds?: number | undefined;
  readonly fromSeconds?: number | undefined;
};

/** How a title is watched: -1..1 over a stretch in seconds. `version` changes when enough was heard to choose anew. */
export type TitleInterest = { readonly version: number; readonly over: (from: number, until: number) => number };

/** The counts of all titles. */
export type Interest = {
  readonly heard: (event: Heard, durationSeconds: number | undefined, day: number) => void;
  /** Undefined while nothing is known of the title. */
  readonly of: (titleId: string, durationSeconds: number) => TitleInterest | undefined;
  readonly snapshot: () => string;
};

/** Counts anew, or goes on from a snapshot; one that cannot be read is as none. */
export function createInterest(snapshot?: string): Interest {
  const titles = snapshot === undefined ? new Map<string, Counts>() : restore(snapshot);
  return {
    heard({ type, titleId, positionSeconds, fromSeconds = 0 }, durationSeconds, day) {
      if ((type !== 'seek' && type !== 'stop') || positionSeconds === undefined || !(Number(durationSeconds) > 0))
        return;
      const ratio = positionSeconds / Number(durationSeconds);
      if (!(ratio >= 0 && ratio < 1)) return;
      if (type === 'stop' && (ratio < ENDS.first || ratio > ENDS.last)) return;
      const counts = titles.get(titleId) ?? emptyCounts(day);
      age(counts, day);
      const list = type === 'stop' ? counts.left : fromSeconds > positionSeconds ? counts.again : counts.sought;
      const until = Math.min(fromSeconds, positionSeconds + LONGEST_REWATCH_SECONDS) / Number(durationSeconds);
      const first = Math.floor(ratio * BINS);
      const last = list === counts.again ? Math.max(first, Math.min(BINS, Math.ceil(until * BINS)) - 1) : first;
      for (let bin = first; bin <= last; bin += 1) list[bin] = (list[bin] ?? 0) + 1;
      counts.events += 1;
      remember(titles, titleId, counts, MOST_TITLES);
    },
    of(titleId, durationSeconds) {
      const counts = titles.get(titleId);
      if (counts === undefined || counts.events < PRIOR) return undefined;
      return {
        // Doubling what is known may change the choice, a single event should not.
        version: Math.floor(Math.log2(counts.events)),
        over: (from, until) => meanOver(counts, from / durationSeconds, until / durationSeconds),
      };
    },
    snapshot: () =>
      JSON.stringify({
        version: VERSION,
        titles: [...titles].map(([id, { sought, again, left, day, events }]) => [
          ...[id, [...sought], [...again], [...left], day, events],
        ]),
      }),
  };
}

const emptyCounts = (day: number): Counts => ({
  ...{ sought: new Float64Array(BINS), again: new Float64Array(BINS), left: new Float64Array(BINS) },
  ...{ day, events: 0 },
});

/** A clock that was set back ages nothing. */
function age(counts: Counts, day: number): void {
  const weight = 0.5 ** (Math.max(0, day - counts.day) / HALF_LIFE_DAYS);
  counts.day = Math.max(counts.day, day);
  if (weight === 1) return;
  for (let bin = 0; bin < BINS; bin += 1) {
    counts.sought[bin] = (counts.sought[bin] ?? 0) * weight;
    counts.again[bin] = (counts.again[bin] ?? 0) * weight;
    counts.left[bin] = (counts.left[bin] ?? 0) * weight;
  }
}

/** How far a part's smoothed share lies above (to 1) or below (to -1) that of an even spread. */
function excess(list: Float64Array, bin: number): number {
  const total = list.reduce((sum, one) => sum + one, 0);
  const even = total / BINS;
  const smoothed = ((list[bin - 1] ?? even) + 2 * (list[bin] ?? even) + (list[bin + 1] ?? even)) / 4;
  return (smoothed - even) / (smoothed + even + PRIOR);
}

function meanOver(counts: Counts, from: number, until: number): number {
  const first = Math.max(0, Math.min(BINS - 1, Math.floor(from * BINS)));
  const last = Math.max(first, Math.min(BINS - 1, Math.ceil(until * BINS) - 1));
  let sum = 0;
  for (let bin = first; bin <= last; bin += 1)
    sum += excess(counts.sought, bin) + excess(counts.again, bin) - excess(counts.left, bin);
  return Math.max(-1, Math.min(1, sum / (last - first + 1)));
}

function restore(snapshot: string): Map<string, Counts> {
  const titles = new Map<string, Counts>();
  // What cannot be read is counted anew: it is learnt again within days.
  const rows = readSnapshot(snapshot, VERSION)?.['titles'];
  if (!Array.isArray(rows)) return titles;
  for (const row of rows) {
    const [id, sought, again, left, day, events]: readonly unknown[] = Array.isArray(row) ? row : [];
    if (typeof id !== 'string' || typeof day !== 'number' || typeof events !== 'number') continue;
    if (!isList(sought) || !isList(again) || !isList(left)) continue;
    const lists = { sought: Float64Array.from(sought), again: Float64Array.from(again), left: Float64Array.from(left) };
    titles.set(id, { ...lists, day, events });
  }
  return titles;
}

const isList = (value: unknown): value is readonly number[] =>
  Array.isArray(value) && value.length === BINS && value.every((one) => Number.isFinite(one) && one >= 0);
