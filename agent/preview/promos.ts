// Promos for ad slots: the operator's list, which of them may be shown now, and the moments that fill a slot of a given
// length. Pure: time comes in.
import type { Title } from '../../encoder/contract.ts';
import type { Moment } from './moments.ts';
import type { Span } from './playlist.ts';

/** One promo: a title of this node, so many times a day at most, between two times (milliseconds since the epoch). */
export type Promo = {
  readonly id: string;
  readonly titleId: string;
  readonly perDay: number;
  readonly from: number;
  readonly until: number;
};

/** Limits for one viewer. */
export type PromoLimits = {
  /** Promos within any hour. */
  readonly perViewerPerHour: number;
  /** A promo is not shown again before so many others were. */
  readonly noRepeatWithin: number;
};

/** What a viewer was shown and when, oldest first. */
export type Seen = readonly { readonly promo: string; readonly at: number }[];

/** How often each promo was shown on a day; days since the epoch. */
export type Spent = { readonly day: number; readonly shown: ReadonlyMap<string, number> };

/** Why a slot stays empty. */
export const UNFILLED = ['no-promo', 'capped', 'repeat', 'budget', 'too-short', 'holdout', 'failed'] as const;
/** One of UNFILLED. */
export type Unfilled = (typeof UNFILLED)[number];

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
/** So much of a day's budget may be spent at its start, so that the first viewers of a day are not turned away. */
const HEAD_START = 1 / 48;
/** Promos of a file, and the length of an id. */
const MOST_PROMOS = 500;
const ID = /^[a-z0-9][a-z0-9._-]{0,63}$/i;
/** A slot that cannot be filled to this part is left empty. */
const LEAST_FILLED = 0.75;

/**
 * Reads a list: `{ "version": 1, "promos": [{ "id", "titleId", "perDay", "from"?, "until"? }] }`, times in ISO 8601.
 * Throws TypeError or SyntaxError with what is wrong.
 */
export function parsePromos(text: string): readonly Promo[] {
  const read: unknown = JSON.parse(text);
  const { version, promos }: { readonly version?: unknown; readonly promos?: unknown } = isRecord(read) ? read : {};
  if (version !== 1 || !Array.isArray(promos)) throw new TypeError('promos: "version" must be 1, "promos" a list');
  if (promos.length > MOST_PROMOS) throw new TypeError(`promos: more than ${MOST_PROMOS}`);
  const list = promos.map(readPromo);
  if (new Set(list.map(({ id }) => id)).size < list.length) throw new TypeError('promos: an id twice');
  return list;
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function readPromo(value: unknown): Promo {
  const { id, titleId, perDay, from, until } = isRecord(value) ? value : {};
  if (typeof id !== 'string' || !ID.test(id))
    throw new TypeError('promos: an "id" of letters, digits, dots and dashes');
  if (typeof titleId !== 'string') throw new TypeError(`promos: ${id} has no "titleId"`);
  if (typeof perDay !== 'number' || !(perDay >= 0)) throw new TypeError(`promos: ${id} has no "perDay"`);
  const time = (name: string, text: unknown, other: number): number => {
    const at = text === undefined ? other : Date.parse(String(text));
    if (Number.isNaN(at)) throw new TypeError(`promos: "${name}" of ${id} is no time`);
    return at;
  };
  return {
    ...{ id, titleId, perDay },
    from: time('from', from, Number.NEGATIVE_INFINITY),
    until: time('until', until, Number.POSITIVE_INFINITY),
  };
}

/** How often a promo may have been shown by now: its day's budget, spread evenly over the UTC day. */
export function allowedBy({ perDay }: Promo, now: number): number {
  const ratio = (now % DAY_MS) / DAY_MS;
  return perDay * Math.min(1, ratio + HEAD_START);
}

/** Counts after one more showing. A clock that was set back begins no new day, so nothing is spent twice. */
export function spend({ day, shown }: Spent, promo: string, now: number): Spent {
  const today = Math.max(day, Math.floor(now / DAY_MS));
  const counts = new Map(today === day ? shown : []);
  return { day: today, shown: counts.set(promo, (counts.get(promo) ?? 0) + 1) };
}

/** The promos that may be shown now to a viewer who has seen these; with none, the reason that is nearest to one. */
export function eligiblePromos(
  promos: readonly Promo[],
  {
    seen,
    spent,
    limits,
    now,
  }: { readonly seen: Seen; readonly spent: Spent; readonly limits: PromoLimits; readonly now: number },
): readonly Promo[] | Unfilled {
  const running = promos.filter(({ from, until }) => now >= from && now < until);
  if (running.length === 0) return 'no-promo';
  // What was seen at a time that is yet to come, since the clock was set back, was seen just now.
  const lately = seen.filter(({ at }) => now - at < HOUR_MS);
  if (lately.length >= limits.perViewerPerHour) return 'capped';
  const last = seen.slice(limits.noRepeatWithin === 0 ? seen.length : -limits.noRepeatWithin).map(({ promo }) => promo);
  const fresh = running.filter(({ id }) => !last.includes(id));
  if (fresh.length === 0) return 'repeat';
  const isToday = Math.floor(now / DAY_MS) <= spent.day;
  const left = fresh.filter((promo) => (isToday ? (spent.shown.get(promo.id) ?? 0) : 0) + 1 <= allowedBy(promo, now));
  return left.length === 0 ? 'budget' : left;
}

/**
 * Spans of whole segments, in the order of the story, that fill `seconds` as far as they can and never more: of the cut's
 * moments the set that fills most, then drawn out over the segments behind them, up to `endSeconds`. Undefined when less
 * than three quarters are filled.
 */
export function fillSlot(
  title: Title,
  moments: readonly Moment[],
  { seconds, endSeconds }: { readonly seconds: number; readonly endSeconds: number },
): readonly Span[] | undefined {
  const [grid] = title.renditions;
  if (grid === undefined) return undefined;
  const chosen = fullestSet(moments, seconds);
  const isTaken = (middle: number) =>
    chosen.some(
      ({ startSeconds, durationSeconds }) => middle >= startSeconds && middle < startSeconds + durationSeconds,
    );
  const all = grid.segments.map(({ startTicks, ticks }) => {
    const startSeconds = startTicks / grid.timescale;
    const durationSeconds = ticks / grid.timescale;
    return { startSeconds, durationSeconds, isIn: isTaken(startSeconds + durationSeconds / 2) };
  });
  let left = seconds - all.reduce((sum, { isIn, durationSeconds }) => sum + (isIn ? durationSeconds : 0), 0);
  for (let hasGrown = true; hasGrown; ) {
    hasGrown = false;
    for (const [index, segment] of all.entries()) {
      const isBehind = all[index - 1]?.isIn === true && !segment.isIn;
      const isFit =
        segment.durationSeconds <= left + 1e-9 && segment.startSeconds + segment.durationSeconds <= endSeconds;
      if (!isBehind || !isFit) continue;
      segment.isIn = true;
      left -= segment.durationSeconds;
      hasGrown = true;
    }
  }
  return seconds - left < seconds * LEAST_FILLED ? undefined : all.filter(({ isIn }) => isIn);
}

/** Of at most eight moments the set that comes nearest to a length from below; fewer moments where two are as near. */
function fullestSet(moments: readonly Moment[], seconds: number): readonly Moment[] {
  let best: readonly Moment[] = [];
  let bestSeconds = 0;
  for (let mask = 1; mask < 2 ** Math.min(8, moments.length); mask += 1) {
    const set = moments.filter((_, index) => Math.floor(mask / 2 ** index) % 2 === 1);
    const total = set.reduce((sum, { durationSeconds }) => sum + durationSeconds, 0);
    const isNearer = total > bestSeconds + 1e-6 || (total > bestSeconds - 1e-6 && set.length < best.length);
    if (total > seconds + 1e-6 || !isNearer) continue;
    best = set;
    bestSeconds = total;
  }
  return best;
}
