// What to fill before the evening, in which order: the first seconds of many titles, then the rest of the likeliest,
// each only if it is worth clearly more than what would have to leave for it. Pure.
import { partBytes, type Timeline, type TimelineTrack } from './timeline.ts';

/** Why an item is in a plan. */
export type PlanPart = 'prefix' | 'rest';

/** One URL to fill. `valuePerByte`: chance that the title's next view asks for it, so bytes served per byte stored. */
export type PlanItem = {
  readonly url: string;
  readonly titleId: string;
  readonly part: PlanPart;
  readonly bytes: number;
  readonly valuePerByte: number;
  readonly why: string;
};

/** A title that may be filled; `score` is its expected share of views, 0..1. */
export type PlanCandidate = {
  readonly timeline: Timeline;
  readonly score: number;
  readonly reasons: readonly string[];
};

/** What the store holds of a title: what a new object may push out. `renditions` of it share its viewers. */
export type HeldTitle = {
  readonly titleId: string;
  readonly bytes: number;
  readonly score: number;
  readonly renditions: number;
};

/** What a plan is made from. */
export type PlanQuestion = {
  readonly candidates: readonly PlanCandidate[];
  readonly isHeld: (url: string) => boolean;
  /** Bytes that may be fetched. */
  readonly budgetBytes: number;
  /** Bytes that the store takes before something must leave. */
  readonly freeBytes: number;
  /** Everything that could leave. */
  readonly held: readonly HeldTitle[];
  readonly options?: PlanOptions;
};

/** How a plan is made; defaults from the policy measurements. */
export type PlanOptions = {
  /** The prefix of a title that comes before any whole title; default 30 s (0.4 % of a catalogue's bytes). */
  readonly prefixSeconds?: number;
  /** An item must be worth this much more per byte than what leaves; default 2 (brings waste from 71 % to 25 %). */
  readonly hysteresis?: number;
  /** Most items of a plan; default 20 000. */
  readonly maxItems?: number;
  /** Titles that get more than their prefix; default 50. */
  readonly wholeTitles?: number;
};

/** An ordered plan. `displacedBytes` is what must leave for it; `skipped` counts why URLs are not in it. */
export type Plan = {
  readonly items: readonly PlanItem[];
  readonly bytes: number;
  readonly displacedBytes: number;
  readonly skipped: Readonly<Record<'held' | 'budget' | 'hysteresis', number>>;
};

/** Playlists and init segments whose size no timeline tells. */
const ASSUMED_SMALL_BYTES = 4096;

/**
 * Chance that a viewer who starts a title is still there at `ratio` of it. A straight line from 1 to 1/2: viewers leave
 * all along, and half of those who begin do not end. Sites measure their own; the order of a plan needs no more.
 */
const stillThere = (ratio: number): number => 1 - Math.min(1, Math.max(0, ratio)) / 2;

/** Mean of stillThere() over a title. */
const MEAN_STILL_THERE = 0.75;

/** Chance that a viewer of the title takes this track: audio always, renditions evenly (no viewer is known here). */
function trackChance(track: TimelineTrack, timeline: Timeline): number {
  const alike = timeline.tracks.filter(({ kind }) => kind === track.kind).length;
  return 1 / Math.max(1, alike);
}

type Draft = Omit<PlanItem, 'why'> & { readonly title: PlanCandidate };

function draftsOf(candidate: PlanCandidate, prefixSeconds: number): Draft[] {
  const { timeline, score } = candidate;
  const draft = (url: string, part: PlanPart, bytes: number, valuePerByte: number): Draft => ({
    url,
    titleId: timeline.titleId,
    part,
    bytes,
    valuePerByte,
    title: candidate,
  });
  const drafts = timeline.tracks.flatMap((track) => {
    const chance = score * trackChance(track, timeline);
    const heads = [
      ...(track.playlistUrl === undefined ? [] : [draft(track.playlistUrl, 'prefix', ASSUMED_SMALL_BYTES, chance)]),
      ...(track.initUrl === undefined
        ? []
        : [draft(track.initUrl, 'prefix', track.initBytes ?? ASSUMED_SMALL_BYTES, chance)]),
    ];
    const parts = track.parts.map((part) => {
      const value = chance * stillThere(part.startSeconds / Math.max(1, timeline.durationSeconds));
      const isPrefix = part.startSeconds < prefixSeconds;
      return draft(part.url, isPrefix ? 'prefix' : 'rest', partBytes(part, track), value);
    });
    return [...heads, ...parts];
  });
  return [draft(timeline.masterUrl, 'prefix', ASSUMED_SMALL_BYTES, score), ...drafts];
}

/** Titles that may leave, cheapest first, and how much of each is gone already. */
function displacer(held: readonly HeldTitle[]) {
  const order = held
    .filter(({ bytes }) => bytes > 0)
    .map(({ bytes, score, renditions }) => ({
      left: bytes,
      valuePerByte: (score * MEAN_STILL_THERE) / Math.max(1, renditions),
    }))
    .sort((one, other) => one.valuePerByte - other.valuePerByte);
  let displaced = 0;
  return {
    displacedBytes: () => displaced,
    /** Lets `bytes` leave if all of it is worth less than `limit` a byte; otherwise nothing leaves. */
    take: (bytes: number, limit: number): boolean => {
      let needed = bytes;
      const taken: { readonly from: (typeof order)[number]; readonly bytes: number }[] = [];
      for (const from of order) {
        if (needed <= 0 || from.valuePerByte > limit) break;
        const part = Math.min(needed, from.left);
        taken.push({ from, bytes: part });
        needed -= part;
      }
      if (needed > 0) return false;
      for (const step of taken) step.from.left -= step.bytes;
      displaced += bytes;
      return true;
    },
  };
}

/**
 * Plans fills within the budget: first all prefixes, then the rest, each by value per byte. While there is free room
 * everything that somebody may want fits; after that an item must beat what leaves by the hysteresis.
 */
export function planFills(question: PlanQuestion): Plan {
  const { prefixSeconds = 30, hysteresis = 2, maxItems = 20_000, wholeTitles = 50 } = question.options ?? {};
  const ranked = [...question.candidates]
    .filter(({ score }) => score > 0)
    .sort((one, other) => other.score - one.score || (one.timeline.titleId < other.timeline.titleId ? -1 : 1));
  const whole = new Set(ranked.slice(0, wholeTitles).map(({ timeline }) => timeline.titleId));
  const phase = { prefix: 0, rest: 1 } as const;
  const drafts = ranked
    .flatMap((candidate) => draftsOf(candidate, prefixSeconds))
    .filter(({ part, titleId }) => part === 'prefix' || whole.has(titleId))
    .sort((one, other) => phase[one.part] - phase[other.part] || other.valuePerByte - one.valuePerByte);

  const room = displacer(question.held);
  const skipped = { held: 0, budget: 0, hysteresis: 0 };
  const items: PlanItem[] = [];
  const seen = new Set<string>();
  let bytes = 0;
  let free = Math.max(0, question.freeBytes);
  for (const draft of drafts) {
    if (items.length >= maxItems) break;
    if (seen.has(draft.url)) continue;
    seen.add(draft.url);
    const missing = Math.max(0, draft.bytes - free);
    if (question.isHeld(draft.url)) skipped.held += 1;
    else if (bytes + draft.bytes > question.budgetBytes) skipped.budget += 1;
    else if (missing > 0 && !room.take(missing, draft.valuePerByte / hysteresis)) skipped.hysteresis += 1;
    else {
      free -= Math.min(free, draft.bytes);
      bytes += draft.bytes;
      items.push(toItem(draft, missing > 0));
    }
  }
  return { items, bytes, displacedBytes: room.displacedBytes(), skipped };
}

function toItem({ title, ...item }: Draft, displaces: boolean): PlanItem {
  const what = item.part === 'prefix' ? 'first seconds' : 'whole title';
  const room = displaces ? 'worth more than what leaves' : 'there is room';
  return { ...item, why: `${title.reasons.join(', ')}; share ${title.score.toPrecision(2)}; ${what}; ${room}` };
}
