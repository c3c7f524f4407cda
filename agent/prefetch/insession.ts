// Prefetch while somebody watches: what a request itself says comes next. It keeps nothing of who asked; the only memory
// is which URLs were asked for a moment ago.
import type { Kind } from '../../cache/cache.ts';
import type { PrefetchReason } from './decisions.ts';
import type { Fetcher, FetchItem } from './fetcher.ts';
import { episodeStart, followRequest, titleStart, type Wanted } from './follow.ts';
import { resolveNextObject } from './next-object.ts';
import type { Timeline, TimelineTrack } from './timeline.ts';

/** What is used of a served request (cache/cache.ts, ServedRecord). */
export type ServedPart = {
  readonly path: string;
  readonly status: number;
  readonly kind: Kind;
  readonly title?: string;
};

/** What in-session prefetch works with. */
export type InSessionOptions = {
  /** Undefined when a title has no package and no readable manifest; expected to be quick and to cache. */
  readonly timelineOf: (titleId: string) => Promise<Timeline | undefined>;
  /** The path under which a title's objects lie, with a slash at its end; undefined when the path is of no title. */
  readonly titleRootOf: (path: string) => string | undefined;
  readonly nextOf: (titleId: string) => string | undefined;
  readonly fetcher: Pick<Fetcher, 'push'>;
  readonly now: () => number;
  /** Segments ahead of the one served; default 3. */
  readonly segmentsAhead?: number;
  /** From here on the next episode's start is fetched; default 0.7 of the title. */
  readonly nextEpisodeRatio?: number;
  /** Bandwidth that a player is expected to start with; default 1 500 000. */
  readonly startupBps?: number;
};

/** Counters since start. */
export type InSessionStats = {
  readonly served: number;
  readonly pushed: Readonly<Record<'next-segments' | 'next-object' | 'next-episode' | 'hover', number>>;
  readonly refusedHints: number;
  readonly overloaded: number;
  readonly timelineErrors: number;
};

/** Open in-session prefetch. Nothing here throws or makes anybody wait. */
export type InSession = {
  /** A request was answered; `nextObjectUrls` are its CMCD hints, percent-decoded. */
  readonly onServed: (record: ServedPart, nextObjectUrls?: readonly string[]) => void;
  /** Somebody looks at a title; nothing else of it is told. */
  readonly onHover: (titleId: string) => void;
  readonly stats: () => InSessionStats;
  /** Resolves when every decision that was begun has ended. */
  readonly idle: () => Promise<void>;
};

/** Decisions under way at once; further ones are dropped and counted. */
const MAX_PENDING = 256;
/** URLs remembered as asked for, and for how long. */
const MAX_RECENT = 4096;
const RECENT_MS = 20_000;
/** How long each kind of item is of use. */
const USEFUL_MS = { 'next-segments': 15_000, 'next-object': 15_000, 'next-episode': 600_000, hover: 15_000 } as const;
const MAX_HINTS = 4;

type Reason = keyof typeof USEFUL_MS;
/** Remembers keys for a while, the latest `MAX_RECENT` of them. */
function createRecent(now: () => number): (key: string) => boolean {
  const until = new Map<string, number>();
  return (key) => {
    if ((until.get(key) ?? 0) > now()) return false;
    until.delete(key);
    until.set(key, now() + RECENT_MS);
    const oldest = until.size > MAX_RECENT ? until.keys().next().value : undefined;
    if (oldest !== undefined) until.delete(oldest);
    return true;
  };
}

/** Runs decisions, at most MAX_PENDING at once. */
function createPending(count: { overloaded: number; timelineErrors: number }) {
  const pending = new Set<Promise<void>>();
  return {
    begin: (decide: () => Promise<void>): void => {
      if (pending.size >= MAX_PENDING) {
        count.overloaded += 1;
        return;
      }
      const decision: Promise<void> = decide()
        .catch(() => {
          // A timeline that cannot be read costs this one prefetch; viewers have what they asked for.
          count.timelineErrors += 1;
        })
        .finally(() => pending.delete(decision));
      pending.add(decision);
    },
    idle: async (): Promise<void> => {
      while (pending.size > 0) await Promise.all(pending);
    },
  };
}

/** Opens in-session prefetch. */
export function openInSession(options: InSessionOptions): InSession {
  const { fetcher, timelineOf, titleRootOf, nextOf, now } = options;
  const { segmentsAhead = 3, nextEpisodeRatio = 0.7, startupBps = 1_500_000 } = options;
  const isNew = createRecent(now);
  const pushed = { 'next-segments': 0, 'next-object': 0, 'next-episode': 0, hover: 0 };
  const count = { served: 0, refusedHints: 0, overloaded: 0, timelineErrors: 0 };
  const pending = createPending(count);

  const push = (titleId: string, reason: Reason & PrefetchReason, why: string, wanted: readonly Wanted[]): void => {
    for (const { url, bytes } of wanted) {
      if (!isNew(url)) continue;
      const expiresAt = now() + USEFUL_MS[reason];
      const item: FetchItem = { url, titleId, reason, why, priority: 'in-session', bytes, expiresAt };
      if (fetcher.push(item) === 'queued') pushed[reason] += 1;
    }
  };
  const followHints = (record: ServedPart, titleId: string, hints: readonly string[]): void => {
    const root = titleRootOf(record.path);
    for (const hint of hints.slice(0, MAX_HINTS)) {
      const url = root === undefined ? undefined : resolveNextObject(record.path, hint, root);
      if (url === undefined) count.refusedHints += 1;
      else push(titleId, 'next-object', 'the player said that it asks for this next', [{ url, bytes: 0 }]);
    }
  };
  const followEpisode = async (titleId: string, track: TimelineTrack): Promise<void> => {
    const nextId = nextOf(titleId);
    if (nextId === undefined || !isNew(`episode ${nextId} ${track.id}`)) return;
    const next = await timelineOf(nextId);
    const why = `${titleId} is past ${nextEpisodeRatio} and this follows it`;
    if (next !== undefined) push(nextId, 'next-episode', why, episodeStart(next, track));
  };
  const decideServed = async (record: ServedPart, titleId: string, hints: readonly string[]): Promise<void> => {
    const timeline = await timelineOf(titleId);
    const follow = timeline && followRequest(timeline, record.path, { segmentsAhead, startupBps });
    if (follow === undefined) {
      followHints(record, titleId, hints);
      return;
    }
    push(titleId, 'next-segments', follow.why, follow.wanted);
    if (follow.track !== undefined && follow.reachedRatio >= nextEpisodeRatio)
      await followEpisode(titleId, follow.track);
  };
  const decideHover = async (titleId: string): Promise<void> => {
    const timeline = await timelineOf(titleId);
    if (timeline !== undefined) push(titleId, 'hover', 'somebody looks at it', titleStart(timeline, startupBps));
  };

  return {
    onServed: (record, nextObjectUrls = []) => {
      const { title, status, kind } = record;
      if (title === undefined || kind === 'other' || (status !== 200 && status !== 206 && status !== 304)) return;
      count.served += 1;
      pending.begin(() => decideServed(record, title, nextObjectUrls));
    },
    onHover: (titleId) => {
      if (isNew(`hover ${titleId}`)) pending.begin(() => decideHover(titleId));
    },
    stats: () => ({ ...count, pushed: { ...pushed } }),
    idle: pending.idle,
  };
}
