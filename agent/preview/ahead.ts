// Previews that are decided before they are asked for: the titles that a viewer is expected to look at next. Nothing of
// them is counted or logged until one is asked for, and each is used once.

import { remember } from '../remember.ts';
import { openBudget } from './budget.ts';
import type { Decided, Decider } from './decide.ts';
import { cutSegments, type RenditionHint } from './playlist.ts';

/** An object that a preview will ask for. */
export type ExpectedObject = { readonly titleId: string; readonly url: string; readonly bytes: number };

/** Counts since start. `used`: asked for in time; `unused`: too old, or pushed out. */
export type AheadStats = Readonly<Record<'decided' | 'used' | 'unused', number>>;

/** Decisions that wait for their viewer. */
export type Ahead = {
  /**
   * Decides for these titles, for one viewer or (without sid) whoever comes, and gives what their previews begin with,
   * likeliest first. Never rejects.
   */
  readonly expect: (asked: {
    readonly titleIds: readonly string[];
    readonly sid?: string | undefined;
  }) => Promise<readonly ExpectedObject[]>;
  /** The decision for a title and viewer, if one waits; it then waits no more. */
  readonly take: (titleId: string, sid: string | undefined) => Decided | undefined;
  /** What devices ask with: the next preview is expected to be like the last one. */
  readonly seen: (hint: RenditionHint) => void;
  readonly stats: () => AheadStats;
};

/** A decision is stale after this long: tastes and packages move on. */
const KEEP_MS = 60_000;
/** Decisions held, some 500 bytes each beside what the title has anyway. */
const MOST_HELD = 5_000;
/** Titles decided for one viewer at a time. */
const MOST_TITLES = 8;
const DEADLINE_MS = 2_000;
/** Of each preview so much is fetched ahead: its first moment, from which the next ones are fetched while it plays. */
const AHEAD_SECONDS = 6;

/** Opens the room. */
export function openAhead({ decider, now }: { readonly decider: Decider; readonly now: () => number }): Ahead {
  const held = new Map<string, { readonly decided: Decided; readonly at: number }>();
  const counts = { decided: 0, used: 0, unused: 0 };
  let hint: RenditionHint = {};
  const keyOf = (titleId: string, sid: string | undefined) => `${sid ?? ''} ${titleId}`;

  async function decideOne(titleId: string, sid: string | undefined): Promise<readonly ExpectedObject[]> {
    const budget = openBudget(DEADLINE_MS, new AbortController().signal);
    const decided = await decider.decide({ titleId, sid }, budget);
    if (decided.kind !== 'cut') return [];
    const key = keyOf(titleId, sid);
    if (held.delete(key)) counts.unused += 1;
    counts.decided += 1;
    if (remember(held, key, { decided, at: now() }, MOST_HELD) !== undefined) counts.unused += 1;
    return beginningOf(decided, { ...hint, throughputBps: decided.throughputBps ?? hint.throughputBps });
  }

  return {
    async expect({ titleIds, sid }) {
      const objects = await Promise.all(titleIds.slice(0, MOST_TITLES).map((titleId) => decideOne(titleId, sid)));
      return objects.flat();
    },
    take(titleId, sid) {
      const key = keyOf(titleId, sid);
      const found = held.get(key);
      if (found === undefined) return undefined;
      held.delete(key);
      const isFresh = Math.abs(now() - found.at) <= KEEP_MS;
      counts[isFresh ? 'used' : 'unused'] += 1;
      return isFresh ? found.decided : undefined;
    },
    seen: (next) => {
      hint = next;
    },
    stats: () => ({ ...counts }),
  };
}

/** Init segment and first segments of a decided preview. */
function beginningOf({ published, cut }: Decided, hint: RenditionHint): readonly ExpectedObject[] {
  const { title, baseUrl } = published;
  const found = cutSegments(title, cut.moments, hint);
  if (found === undefined) return [];
  const { rendition, segments } = found;
  const objects = [{ titleId: title.id, url: baseUrl + rendition.initUrl, bytes: rendition.initBytes }];
  let ticks = 0;
  for (const { segment } of segments) {
    if (ticks >= AHEAD_SECONDS * rendition.timescale) break;
    objects.push({ titleId: title.id, url: baseUrl + segment.url, bytes: segment.bytes });
    ticks += segment.ticks;
  }
  return objects;
}
