// Prefetch while somebody watches, on this node: looks timelines up, lets decide.ts decide, and has the fetcher do it. It
// keeps nothing of who asked, but for consented sessions what is fetched for them.
import type { Kind } from '../../cache/cache.ts';
import type { Intent } from '../predict/anticipate.ts';
import { type Decided, type DeciderOptions, type Happened, openDecider, type Starting } from './decide.ts';
import type { Fetcher, FetchItem } from './fetcher.ts';
import { resolveNextObject } from './next-object.ts';
import type { Viewing } from './rendition.ts';
import { placeOf, type Timeline, type TimelinePart } from './timeline.ts';
import type { Usefulness } from './usefulness.ts';

/** What is used of a served request (cache/cache.ts, ServedRecord) and of its CMCD. */
export type ServedPart = {
  readonly path: string;
  readonly status: number;
  readonly kind: Kind;
  readonly isHit: boolean;
  readonly title?: string;
  readonly viewing?: Viewing;
};

/** Where a viewer is, for the anticipation of what comes next. `sid`: of consented sessions alone. */
export type Whereabouts = {
  readonly sid: string | undefined;
  readonly positionSeconds: number;
  readonly durationSeconds: number;
};

/** What in-session prefetch works with. */
export type InSessionOptions = Pick<DeciderOptions, 'isHeld' | 'aheadSeconds' | 'nextEpisodeRatio' | 'startupBps'> & {
  /** Undefined when a title has no package and no readable manifest; expected to be quick and to cache. */
  readonly timelineOf: (titleId: string) => Promise<Timeline | undefined>;
  /** The path under which a title's objects lie, with a slash at its end; undefined when the path is of no title. */
  readonly titleRootOf: (path: string) => string | undefined;
  readonly nextOf: (titleId: string) => string | undefined;
  readonly fetcher: Pick<Fetcher, 'push' | 'cancel'>;
  readonly usefulness: Usefulness;
  readonly intentOf: (where: Whereabouts) => Intent;
  readonly now: () => number;
};

/** Counters since start. */
export type InSessionStats = {
  readonly served: number;
  readonly pushed: number;
  readonly givenUp: number;
  readonly refusedHints: number;
  readonly overloaded: number;
  readonly timelineErrors: number;
};

/** Open in-session prefetch. Nothing here throws or makes anybody wait. */
export type InSession = {
  /** A request was answered; `nextObjectUrls` are its CMCD hints, percent-decoded. */
  readonly onServed: (record: ServedPart, nextObjectUrls?: readonly string[]) => void;
  /** A viewer did something. A hover fetches a title's start; what ends or interrupts a viewing gives up what was for it. */
  readonly onHappened: (what: Happened) => void;
  /** Titles that are likely to be started next; `chance` of each. */
  readonly onLikely: (titleId: string, of: Starting) => void;
  /** A consented session is anticipated to leave or jump. */
  readonly onLeaving: (sid: string) => void;
  /** Erases what is known of sessions that are gone. */
  readonly forget: (isThere: (sid: string) => boolean) => void;
  readonly stats: () => InSessionStats;
  /** Resolves when every decision that was begun has ended. */
  readonly idle: () => Promise<void>;
};

/** Decisions under way at once; further ones are dropped and counted. */
const MAX_PENDING = 256;
const MAX_HINTS = 4;
/** Before anything was learned: chance that what is looked at is played. */
const HOVER_CHANCE = 0.4;

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

/** Where whoever asked for a part is: behind it by what the player has buffered. */
const positionOf = (part: TimelinePart | undefined, { bufferMs = 0 }: Viewing): number =>
  part === undefined ? 0 : Math.max(0, part.startSeconds - bufferMs / 1000);

class Room {
  readonly #options: InSessionOptions;
  readonly #decider;
  readonly #pending;
  readonly count = { served: 0, pushed: 0, givenUp: 0, refusedHints: 0, overloaded: 0, timelineErrors: 0 };

  constructor(options: InSessionOptions) {
    this.#options = options;
    this.#decider = openDecider(options);
    this.#pending = createPending(this.count);
  }

  idle(): Promise<void> {
    return this.#pending.idle();
  }

  served(record: ServedPart, hints: readonly string[]): void {
    const { title, status, kind, path, isHit } = record;
    if (title === undefined || kind === 'other' || (status !== 200 && status !== 206 && status !== 304)) return;
    this.count.served += 1;
    this.#options.usefulness.asked(path, isHit);
    this.#pending.begin(() => this.#follow(record, title, hints));
  }

  async #follow({ path, viewing = {} }: ServedPart, titleId: string, hints: readonly string[]): Promise<void> {
    const { timelineOf, nextOf, intentOf, now } = this.#options;
    const timeline = await timelineOf(titleId);
    const place = timeline && placeOf(timeline, path);
    const nextId = timeline !== undefined && this.#decider.isNearEnd(timeline, path) ? nextOf(titleId) : undefined;
    const next = nextId === undefined ? undefined : await timelineOf(nextId);
    const { durationSeconds = 0 } = timeline ?? {};
    const positionSeconds = positionOf(place?.track.parts[place.index], viewing);
    const intent = intentOf({ sid: viewing.sid, positionSeconds, durationSeconds });
    const decided = timeline && this.#decider.asked({ path, timeline, next, viewing, intent, now: now() });
    if (decided === undefined) this.#followHints(path, titleId, hints, viewing);
    else this.#obey(decided);
  }

  #followHints(path: string, titleId: string, hints: readonly string[], viewing: Viewing): void {
    const root = this.#options.titleRootOf(path);
    const urls = hints.slice(0, MAX_HINTS).flatMap((hint) => {
      const url = root === undefined ? undefined : resolveNextObject(path, hint, root);
      if (url === undefined) this.count.refusedHints += 1;
      return url ?? [];
    });
    this.#obey(this.#decider.hinted(titleId, urls, viewing, this.#options.now()));
  }

  happened(what: Happened): void {
    this.#obey(this.#decider.happened(what, this.#options.now()));
    if (what.type === 'hover') this.likely(what.titleId, { reason: 'hover', chance: HOVER_CHANCE, sid: what.sid });
  }

  likely(titleId: string, of: Starting): void {
    this.#pending.begin(async () => {
      const timeline = await this.#options.timelineOf(titleId);
      if (timeline !== undefined) this.#obey(this.#decider.start(timeline, of, this.#options.now()));
    });
  }

  leaving(sid: string): void {
    this.#obey(this.#decider.leaving(sid, this.#options.now()));
  }

  forget(isThere: (sid: string) => boolean): void {
    this.#obey(this.#decider.forget(isThere, this.#options.now()));
  }

  #obey({ cancel, push }: Decided): void {
    if (cancel.length > 0) {
      const urls = new Set(cancel);
      this.count.givenUp += this.#options.fetcher.cancel(
        ({ url, priority }: FetchItem) => priority === 'in-session' && urls.has(url),
      );
    }
    for (const item of push) {
      const pushed = this.#options.fetcher.push(item, ({ outcome, bytes }) =>
        this.#decider.settled(item.url, outcome === 'stored' ? 'stored' : 'none', bytes),
      );
      if (pushed === 'queued') this.count.pushed += 1;
      else if (pushed !== 'duplicate') this.#decider.settled(item.url, 'none', 0);
    }
  }
}

/** Opens in-session prefetch. */
export function openInSession(options: InSessionOptions): InSession {
  const room = new Room(options);
  return {
    onServed: (record, nextObjectUrls = []) => room.served(record, nextObjectUrls),
    onHappened: (what) => room.happened(what),
    onLikely: (titleId, of) => room.likely(titleId, of),
    onLeaving: (sid) => room.leaving(sid),
    forget: (isThere) => room.forget(isThere),
    stats: () => ({ ...room.count }),
    idle: () => room.idle(),
  };
}
