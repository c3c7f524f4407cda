// Prefetch while somebody watches: what a request itself says comes next. It keeps nothing of who asked; the only memory
// is which URLs were asked for a moment ago.
import type { Kind } from '../../cache/contract.ts';
import type { PrefetchReason } from './decisions.ts';
import type { Fetcher, FetchItem } from './fetcher.ts';
import { resolveNextObject } from './next-object.ts';
import { partBytes, placeOf, startupTrack, type Timeline, type TimelineTrack } from './timeline.ts';

/** What is used of a served request (cache/contract.ts, ServedRecord). */
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
/** Segments of the next episode, and of a title that is looked at. */
const EPISODE_SEGMENTS = 2;
const HOVER_SEGMENTS = 1;
const MAX_HINTS = 4;

type Reason = keyof typeof USEFUL_MS;
type Wanted = { readonly url: string; readonly bytes: number };

const smallOf = (url: string | undefined, bytes = 0): readonly Wanted[] => (url === undefined ? [] : [{ url, bytes }]);

/** A track's playlist, init segment and first `count` segments. */
const startOf = (track: TimelineTrack | undefined, count: number): readonly Wanted[] =>
  track === undefined
    ? []
    : [
        ...smallOf(track.playlistUrl),
        ...smallOf(track.initUrl, track.initBytes),
        ...track.parts.slice(0, count).map((part) => ({ url: part.url, bytes: partBytes(part, track) })),
      ];

/** The first audio track, which players take unless told otherwise. */
const firstAudio = (timeline: Timeline): TimelineTrack | undefined =>
  timeline.tracks.find(({ kind }) => kind === 'audio');

/** The track of another title that is most like `track`: of the same id, else of the nearest bandwidth. */
function likeTrack(timeline: Timeline, track: TimelineTrack): TimelineTrack | undefined {
  const alike = timeline.tracks.filter(({ kind }) => kind === track.kind);
  const distance = (other: TimelineTrack): number => Math.abs(other.bandwidthBps - track.bandwidthBps);
  return alike.find(({ id }) => id === track.id) ?? alike.sort((one, other) => distance(one) - distance(other))[0];
}

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

/** Opens in-session prefetch. */
export function openInSession(options: InSessionOptions): InSession {
  const { fetcher, timelineOf, titleRootOf, nextOf, now } = options;
  const { segmentsAhead = 3, nextEpisodeRatio = 0.7, startupBps = 1_500_000 } = options;
  const isNew = createRecent(now);
  const pushed = { 'next-segments': 0, 'next-object': 0, 'next-episode': 0, hover: 0 };
  const count = { served: 0, refusedHints: 0, overloaded: 0, timelineErrors: 0 };
  const pending = new Set<Promise<void>>();

  const push = (titleId: string, reason: Reason & PrefetchReason, why: string, wanted: readonly Wanted[]): void => {
    for (const { url, bytes } of wanted) {
      if (!isNew(url)) continue;
      const expiresAt = now() + USEFUL_MS[reason];
      const item: FetchItem = { url, titleId, reason, why, priority: 'in-session', bytes, expiresAt };
      if (fetcher.push(item) === 'queued') pushed[reason] += 1;
    }
  };
  const begin = (decide: () => Promise<void>): void => {
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
  };
  const followHints = (record: ServedPart, titleId: string, hints: readonly string[]): void => {
    const root = titleRootOf(record.path);
    for (const hint of hints.slice(0, MAX_HINTS)) {
      const url = root === undefined ? undefined : resolveNextObject(record.path, hint, root);
      if (url === undefined) count.refusedHints += 1;
      else push(titleId, 'next-object', 'the player said that it asks for this next', [{ url, bytes: 0 }]);
    }
  };
  const followEpisode = async (track: TimelineTrack, titleId: string): Promise<void> => {
    const nextId = nextOf(titleId);
    if (nextId === undefined || !isNew(`episode ${nextId} ${track.id}`)) return;
    const next = await timelineOf(nextId);
    if (next === undefined) return;
    const wanted = [...smallOf(next.masterUrl), ...startOf(likeTrack(next, track), EPISODE_SEGMENTS)];
    push(nextId, 'next-episode', `${titleId} is past ${nextEpisodeRatio} and this follows it`, wanted);
  };
  const decideServed = async (record: ServedPart, titleId: string, hints: readonly string[]): Promise<void> => {
    const timeline = await timelineOf(titleId);
    const place = timeline && placeOf(timeline, record.path);
    if (timeline !== undefined && record.path === timeline.masterUrl) {
      const wanted = [...startOf(startupTrack(timeline, startupBps), 1), ...startOf(firstAudio(timeline), 1)];
      return push(titleId, 'next-segments', 'the playlist was asked for', wanted);
    }
    if (timeline === undefined || place === undefined) return followHints(record, titleId, hints);
    const { track, index } = place;
    const ahead = track.parts.slice(index + 1, index + 1 + segmentsAhead);
    const wanted = ahead.map((part) => ({ url: part.url, bytes: partBytes(part, track) }));
    const head = index < 0 ? smallOf(track.initUrl, track.initBytes) : [];
    push(titleId, 'next-segments', `follows segment ${index} of ${track.id}`, [...head, ...wanted]);
    const part = track.parts[index];
    const reached = part === undefined ? 0 : part.startSeconds + part.durationSeconds;
    if (reached >= nextEpisodeRatio * timeline.durationSeconds) await followEpisode(track, titleId);
  };
  const decideHover = async (titleId: string): Promise<void> => {
    const timeline = await timelineOf(titleId);
    if (timeline === undefined) return;
    const track = startupTrack(timeline, startupBps);
    const starts = [...startOf(track, HOVER_SEGMENTS), ...startOf(firstAudio(timeline), HOVER_SEGMENTS)];
    push(titleId, 'hover', 'somebody looks at it', [...smallOf(timeline.masterUrl), ...starts]);
  };

  return {
    onServed: (record, nextObjectUrls = []) => {
      const { title, status, kind } = record;
      if (title === undefined || kind === 'other' || (status !== 200 && status !== 206 && status !== 304)) return;
      count.served += 1;
      begin(() => decideServed(record, title, nextObjectUrls));
    },
    onHover: (titleId) => {
      if (isNew(`hover ${titleId}`)) begin(() => decideHover(titleId));
    },
    stats: () => ({ ...count, pushed: { ...pushed } }),
    idle: async () => {
      while (pending.size > 0) await Promise.all(pending);
    },
  };
}
