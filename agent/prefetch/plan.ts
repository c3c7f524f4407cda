// What to fill before the evening, in which order: the first seconds of titles, then what is likeliest to be asked for,
// each only if it is likely enough and worth clearly more than what would have to leave for it. Pure.
import { HEAD_SECONDS } from '../predict/audience.ts';
import { Worths } from '../predict/worths.ts';
import { partBytes, type Timeline, type TimelineTrack } from './timeline.ts';

/** Why an item is in a plan. */
export type PlanPart = 'prefix' | 'rest';

/** One URL to fill. `expected`: requests of it before it would leave, so bytes served per byte fetched and stored. */
export type PlanItem = {
  readonly url: string;
  readonly titleId: string;
  readonly part: PlanPart;
  readonly bytes: number;
  readonly expected: number;
  readonly why: string;
};

/** A title that may be filled. */
export type PlanCandidate = {
  readonly timeline: Timeline;
  /** Requests expected of the part of a track (by its place in the timeline) that begins at a time. */
  readonly expected: (track: number, seconds: number) => number;
  /** Chance that anybody asks for what is expected so often, 0..1. */
  readonly chance: (expected: number) => number;
  /** Its first seconds on a track stay whatever else comes, and are filled whatever leaves for them; absent: on none. */
  readonly isProtected?: (track: number) => boolean;
  readonly reasons: readonly string[];
  /** Of a byte from its origin, beside other titles'; default 1. */
  readonly cost?: number;
};

/** What a plan is made from. */
export type PlanQuestion = {
  readonly candidates: readonly PlanCandidate[];
  readonly isHeld: (url: string) => boolean;
  /** Bytes that may be fetched. */
  readonly budgetBytes: number;
  /** Bytes that the store takes before something must leave. */
  readonly freeBytes: number;
  /** Of the whole store: what is worth its place is what is expected most, of all titles that are considered, until it is full. */
  readonly capacityBytes: number;
  readonly options?: PlanOptions;
};

/** Chances that an item needs by default, 0..1: less cost more than it saved. First seconds, which are waited for, need less. */
export const LEAST_CHANCES = { leastChance: 0.75, leastPrefixChance: 0.6 };

/** How a plan is made; defaults chosen on the workload's validation seed (test/bench/prefetch.ts). */
export type PlanOptions = {
  /** What is the first seconds of a title; default those that are protected. */
  readonly prefixSeconds?: number;
  /** An item must save this many times as much as the least that is worth its place; default 1.5. What is there stays. */
  readonly hysteresis?: number;
  /** Chance to be watched at all that an item needs, 0..1; default LEAST_CHANCES. */
  readonly leastChance?: number;
  /** The same for first seconds. */
  readonly leastPrefixChance?: number;
  /** Most items of a plan; default 20 000. */
  readonly maxItems?: number;
};

/** An ordered plan. `displacedBytes` is what must leave for it; `skipped` counts why URLs are not in it. */
export type Plan = {
  readonly items: readonly PlanItem[];
  readonly bytes: number;
  readonly displacedBytes: number;
  readonly skipped: Readonly<Record<'held' | 'unlikely' | 'hysteresis' | 'budget', number>>;
};

/** Playlists and init segments whose size no timeline tells. */
const ASSUMED_SMALL_BYTES = 4096;

/** `saved`: of what its bytes cost, what is expected to be saved by each. */
type Draft = Omit<PlanItem, 'why'> & {
  readonly of: PlanCandidate;
  readonly saved: number;
  readonly isProtected: boolean;
};

/** What is foreseen by nobody needs room too. */
const PLANNED_RATIO = 0.9;

/** Of a title without tracks. */
const NOBODY = { expected: 0, part: 'prefix', isProtected: false } as const;

/** What is counted while drafts are made. */
type Count = { readonly skipped: { held: number; unlikely: number }; readonly worths: Worths };

/** A title's parts that nobody holds, as far as they are likely enough. */
function draftsOf(of: PlanCandidate, question: PlanQuestion, { skipped, worths }: Count): Draft[] {
  const { prefixSeconds = HEAD_SECONDS, leastChance, leastPrefixChance } = { ...LEAST_CHANCES, ...question.options };
  const { timeline } = of;
  const drafts: Draft[] = [];
  const seen = new Set<string>();
  const offer = (url: string | undefined, bytes: number, at: Pick<Draft, 'expected' | 'part' | 'isProtected'>) => {
    if (url === undefined || url === '' || seen.has(url)) return;
    seen.add(url);
    const saved = at.expected * (of.cost ?? 1);
    worths.add(saved, bytes);
    const least = at.isProtected ? 0 : at.part === 'prefix' ? leastPrefixChance : leastChance;
    if (of.chance(at.expected) < least) skipped.unlikely += 1;
    else if (question.isHeld(url)) skipped.held += 1;
    else drafts.push({ url, titleId: timeline.titleId, bytes, ...at, of, saved });
  };
  const starts = timeline.tracks.map((_, index) => ({
    ...{ expected: of.expected(index, 0), part: 'prefix' as const },
    isProtected: of.isProtected?.(index) ?? false,
  }));
  const most = Math.max(0, ...starts.map(({ expected }) => expected));
  const isProtected = starts.some((start) => start.isProtected);
  offer(timeline.masterUrl, ASSUMED_SMALL_BYTES, { expected: most, part: 'prefix', isProtected });
  for (const [index, track] of timeline.tracks.entries()) {
    const head = starts[index] ?? NOBODY;
    offer(track.playlistUrl, ASSUMED_SMALL_BYTES, head);
    offer(track.initUrl, track.initBytes ?? ASSUMED_SMALL_BYTES, head);
    for (const part of track.parts) offerPart(part, track, index);
  }
  function offerPart(part: TimelineTrack['parts'][number], track: TimelineTrack, index: number): void {
    const isPrefix = part.startSeconds < prefixSeconds;
    const rest = { expected: of.expected(index, part.startSeconds), part: 'rest', isProtected: false } as const;
    offer(part.url, partBytes(part, track), isPrefix ? (starts[index] ?? NOBODY) : rest);
  }
  return drafts;
}

/**
 * Plans fills within the budget: first all prefixes, then the rest, each by what it is expected to save. When all that may
 * be watched fits into the store, what is likely enough is filled; else it must beat the least that fits by the hysteresis.
 */
export function planFills(question: PlanQuestion): Plan {
  const { hysteresis = 1.5, maxItems = 20_000 } = question.options ?? {};
  const skipped = { held: 0, unlikely: 0, budget: 0, hysteresis: 0 };
  const worths = new Worths();
  const phase = { prefix: 0, rest: 1 } as const;
  const drafts = question.candidates
    .flatMap((candidate) => draftsOf(candidate, question, { skipped, worths }))
    .sort((one, other) => phase[one.part] - phase[other.part] || other.saved - one.saved);
  const least = hysteresis * worths.least(PLANNED_RATIO * question.capacityBytes);
  const items: PlanItem[] = [];
  const seen = new Set<string>();
  let bytes = 0;
  let displacedBytes = 0;
  let free = Math.max(0, question.freeBytes);
  for (const draft of drafts) {
    if (items.length >= maxItems) break;
    if (seen.has(draft.url)) continue;
    seen.add(draft.url);
    const missing = Math.max(0, draft.bytes - free);
    if (bytes + draft.bytes > question.budgetBytes) skipped.budget += 1;
    else if (draft.saved < least && !draft.isProtected) skipped.hysteresis += 1;
    else {
      free -= draft.bytes - missing;
      bytes += draft.bytes;
      displacedBytes += missing;
      items.push(toItem(draft, missing > 0));
    }
  }
  return { items, bytes, displacedBytes, skipped };
}

function toItem({ of, saved: _saved, isProtected, ...item }: Draft, displaces: boolean): PlanItem {
  const what = item.part === 'prefix' ? 'first seconds' : 'likely to be watched';
  const room = isProtected ? 'protected' : displaces ? 'worth more than what leaves' : 'there is room';
  return {
    ...item,
    why: `${of.reasons.join(', ')}; ${item.expected.toPrecision(2)} requests expected; ${what}; ${room}`,
  };
}
