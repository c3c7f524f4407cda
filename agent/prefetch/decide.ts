// What in-session prefetch does about each thing that it hears: which URLs are fetched ahead, with what chance and when,
// and which are given up. The node and the simulator run this same code. No I/O, no clock, no chance.
import type { Intent } from '../predict/anticipate.ts';
import { remember } from '../remember.ts';
import { Claims } from './claims.ts';
import type { PrefetchReason } from './decisions.ts';
import type { FetchItem } from './fetcher.ts';
import { type Candidate, episodeStart, followPlace, reachedRatio, titleStart, type Wanted } from './follow.ts';
import { Landings } from './landings.ts';
import type { Viewing } from './rendition.ts';
import { type Place, partAt, placeOf, type Timeline, withoutQuery } from './timeline.ts';
import type { Usefulness } from './usefulness.ts';

/** What openDecider() needs. */
export type DeciderOptions = {
  readonly usefulness: Usefulness;
  /** It is in the cache: nothing to fetch. */
  readonly isHeld: (url: string) => boolean;
  /** How far ahead of a player is fetched at most; default 60 s. */
  readonly aheadSeconds?: number;
  /** From here on the next episode's start is fetched; default 0.7 of the title. */
  readonly nextEpisodeRatio?: number;
  /** Bandwidth that a player is expected to start with; default 1 500 000. */
  readonly startupBps?: number;
};

/** A request that was answered. */
export type Asked = {
  readonly path: string;
  readonly timeline: Timeline;
  /** Of the title that follows this one, where it is known and near. */
  readonly next: Timeline | undefined;
  readonly viewing: Viewing;
  readonly intent: Intent;
  readonly now: number;
};

/** Something that a viewer did. `sid`: of consented sessions alone. */
export type Happened = {
  readonly type: string;
  readonly titleId: string;
  readonly positionSeconds?: number;
  readonly sid?: string;
};

/** What there is to do: in this order, first giving up. */
export type Decided = { readonly cancel: readonly string[]; readonly push: readonly FetchItem[] };

/** A title that may be started, and the chance of it, 0..1. */
export type Starting = {
  readonly reason: 'hover' | 'likely';
  readonly chance: number;
  readonly sid: string | undefined;
};

/** Decides. */
export type Decider = {
  /** Undefined: the path is none of this timeline. */
  readonly asked: (asked: Asked) => Decided | undefined;
  /** Whether a request is so far in its title that what follows matters. */
  readonly isNearEnd: (timeline: Timeline, path: string) => boolean;
  readonly happened: (what: Happened, now: number) => Decided;
  /** A session is anticipated to leave or jump: all but what it asks for at once, and the next title, is given up. */
  readonly leaving: (sid: string, now: number) => Decided;
  readonly start: (timeline: Timeline, of: Starting, now: number) => Decided;
  /** URLs that a player says it will ask for. */
  readonly hinted: (titleId: string, urls: readonly string[], viewing: Viewing, now: number) => Decided;
  /** Erases what is known of sessions that are no longer there, and gives up what was for them. */
  readonly forget: (isThere: (sid: string) => boolean, now: number) => Decided;
  /** The fetch of a URL has ended. */
  readonly settled: (url: string, outcome: 'stored' | 'none', bytes: number) => void;
};

const MAX_CLAIMS = 100_000;
const MAX_RECENT = 100_000;
/** A URL that was decided on is not decided on again for so long, unless it was given up. */
const RECENT_MS = 20_000;
/** How long an item is of use after it is due. */
const GRACE_MS = { segment: 20_000, start: 60_000, episode: 900_000 } as const;
/** What a viewer watches after all, it watches within this: later the object counts as wasted. */
const JUDGED_MS = 120_000;
/** Before anything was learned: chance that a title whose end is near is followed by the next, that a hint is kept. */
const EPISODE_CHANCE = 0.6;
const HINT_CHANCE = 0.9;
/** Segments that stay wanted through a pause: the player goes on with them. */
const KEPT_IN_PAUSE = 2;
/** Places that viewers of a title jump to, of which so many are considered. */
const MAX_LANDINGS = 4;

/** Events after which something is no longer wanted. */
const GIVES_UP: ReadonlySet<string> = new Set(['pause', 'seek', 'unhover', 'stop', 'next', 'open', 'play']);

/** Remembers keys for a while, the latest MAX_RECENT of them. */
class Recent {
  readonly #until = new Map<string, number>();

  isNew(key: string, now: number): boolean {
    if ((this.#until.get(key) ?? 0) > now) return false;
    remember(this.#until, key, now + RECENT_MS, MAX_RECENT);
    return true;
  }

  forget(key: string): void {
    this.#until.delete(key);
  }
}

/** Whose decision it is and about what. `seconds`: where it watches; all else that it claimed in that scope is given up. */
type Whose = {
  readonly titleId: string;
  readonly sid: string | undefined;
  readonly scope: string;
  readonly from: number;
  readonly why: string;
  readonly seconds?: number;
};

/** What a consented session watches, and what it asks for next, which is kept through its pauses. */
type Watching = { readonly titleId: string; readonly near: ReadonlySet<string>; readonly seconds: number };

const NOTHING: Decided = { cancel: [], push: [] };

const candidate = (wanted: Wanted, reason: PrefetchReason, chance: number, dueSeconds: number): Candidate => ({
  ...wanted,
  ...{ reason, chance, dueSeconds, group: reason },
});

class Room {
  readonly #options: Required<DeciderOptions>;
  readonly #claims = new Claims(MAX_CLAIMS);
  readonly #recent = new Recent();
  readonly #landings = new Landings();
  /** By session; at most as many as there are claims. */
  readonly #watching = new Map<string, Watching>();

  constructor(options: DeciderOptions) {
    this.#options = { aheadSeconds: 60, nextEpisodeRatio: 0.7, startupBps: 1_500_000, ...options };
  }

  isNearEnd(timeline: Timeline, path: string): boolean {
    const place = placeOf(timeline, path);
    return place !== undefined && reachedRatio(timeline, place) >= this.#options.nextEpisodeRatio;
  }

  asked({ path, timeline, next, viewing, intent, now }: Asked): Decided | undefined {
    const { startupBps, aheadSeconds } = this.#options;
    const { titleId } = timeline;
    const { sid } = viewing;
    if (path === withoutQuery(timeline.masterUrl)) {
      const start = titleStart(timeline, startupBps).slice(1);
      const wanted = start.map((each) => candidate(each, 'next-segments', 0.9, 0));
      return this.#decide(wanted, { titleId, sid, scope: 'start', from: -1, why: 'the playlist was asked for' }, now);
    }
    const found = placeOf(timeline, path);
    if (found === undefined) return undefined;
    const place = this.#whereTo(found, titleId, sid);
    const { track, index } = place;
    const seconds = reachedSeconds(place);
    const landings = this.#landings.ahead(titleId, seconds, MAX_LANDINGS);
    const isJump = this.#isJump(place, titleId, viewing);
    const candidates = followPlace(timeline, place, { viewing, intent, aheadSeconds, landings, isJump });
    const why = index < 0 ? `${track.id} is about to start` : `follows segment ${index} of ${track.id}`;
    const whose: Whose = { titleId, sid, scope: `${titleId} ${track.kind}`, from: index, why, seconds };
    const segments = this.#decide(candidates, whose, now);
    if (next === undefined) return segments;
    const episode = this.#decide(
      episodeStart(next, track, startupBps).map((each) => candidate(each, 'next-episode', EPISODE_CHANCE, 60)),
      { titleId: next.titleId, sid, scope: 'start', from: -1, why: `${titleId} is near its end and this follows it` },
      now,
    );
    return { cancel: segments.cancel, push: [...segments.push, ...episode.push] };
  }

  /** Whether a request is for another place than the one that follows. */
  #isJump(place: Place, titleId: string, { sid, isStartup = false }: Viewing): boolean {
    const part = place.track.parts[place.index];
    const watching = sid === undefined ? undefined : this.#watching.get(sid);
    if (part === undefined) return false;
    if (watching?.titleId !== titleId) return isStartup && place.index > 0;
    return Math.abs(part.startSeconds - watching.seconds) > 1.5 * part.durationSeconds;
  }

  /** Who asks for a playlist or an init segment in the middle of a title goes on from where it was. */
  #whereTo(place: Place, titleId: string, sid: string | undefined): Place {
    const watching = sid === undefined || place.index >= 0 ? undefined : this.#watching.get(sid);
    if (watching === undefined || watching.titleId !== titleId) return place;
    return { track: place.track, index: partAt(place.track, watching.seconds + 0.01) - 1 };
  }

  happened({ type, titleId, positionSeconds, sid }: Happened, now: number): Decided {
    if (type === 'seek' && positionSeconds !== undefined) this.#landings.note(titleId, positionSeconds);
    if (!GIVES_UP.has(type)) return NOTHING;
    // Whoever opens a title gives up others; of whom nothing is kept, it is not known which.
    if (sid === undefined) {
      return type === 'open' || type === 'play' ? NOTHING : this.#giveUp(this.#claims.releaseAnyone(titleId, now));
    }
    const watching = this.#watching.get(sid);
    if (type === 'unhover' && watching?.titleId === titleId) return NOTHING;
    const near = type === 'pause' ? watching?.near : undefined;
    const leaves = (url: string, of: { readonly titleId: string; readonly scope: string }): boolean => {
      if (type === 'open') return of.titleId !== titleId;
      // Players that tell no opening: what follows in another title; its start may be what is looked at meanwhile.
      if (type === 'play') return of.titleId !== titleId && of.scope !== 'start';
      if (type === 'stop') return true;
      return of.titleId === titleId && near?.has(url) !== true;
    };
    if (type === 'stop') this.#watching.delete(sid);
    if (type === 'open') this.#watching.set(sid, { titleId, near: new Set(), seconds: 0 });
    return this.#giveUp(this.#claims.release(sid, now, leaves));
  }

  leaving(sid: string, now: number): Decided {
    const near = this.#watching.get(sid)?.near;
    return this.#giveUp(
      this.#claims.release(sid, now, (url, { scope }) => scope !== 'start' && near?.has(url) !== true),
    );
  }

  start(timeline: Timeline, { reason, chance, sid }: Starting, now: number): Decided {
    const wanted = titleStart(timeline, this.#options.startupBps).map((each) => candidate(each, reason, chance, 1));
    const why = reason === 'hover' ? 'somebody looks at it' : 'it is likely to be played next';
    return this.#decide(wanted, { titleId: timeline.titleId, sid, scope: 'start', from: -1, why }, now);
  }

  hinted(titleId: string, urls: readonly string[], { sid }: Viewing, now: number): Decided {
    const wanted = urls.map((url) => candidate({ url, bytes: 0 }, 'next-object', HINT_CHANCE, 0));
    const why = 'the player said that it asks for this next';
    return this.#decide(wanted, { titleId, sid, scope: `${titleId} hint`, from: -1, why }, now);
  }

  forget(isThere: (sid: string) => boolean, now: number): Decided {
    const given: string[] = [];
    for (const sid of new Set([...this.#watching.keys(), ...this.#claims.sessions()])) {
      if (isThere(sid)) continue;
      this.#watching.delete(sid);
      given.push(...this.#claims.release(sid, now, () => true));
    }
    return this.#giveUp(given);
  }

  settled(url: string, outcome: 'stored' | 'none', bytes: number): void {
    this.#claims.settle(url);
    if (outcome === 'stored') this.#options.usefulness.stored(withoutQuery(url), bytes);
    else this.#options.usefulness.dropped(withoutQuery(url));
  }

  #giveUp(urls: readonly string[]): Decided {
    for (const url of urls) {
      this.#recent.forget(url);
      this.#options.usefulness.dropped(withoutQuery(url));
    }
    return { cancel: urls, push: [] };
  }

  /** Takes what is worth a fetch. */
  #decide(candidates: readonly Candidate[], whose: Whose, now: number): Decided {
    const { usefulness } = this.#options;
    const kept = new Set<string>();
    const push: FetchItem[] = [];
    for (const each of candidates) {
      const isWorth = usefulness.corrected(each.group, each.chance) >= usefulness.threshold();
      const dueAt = now + each.dueSeconds * 1000;
      const item = { ...each, until: dueAt + graceOf(each.reason) };
      const judgedAt = Math.max(item.until, dueAt + JUDGED_MS);
      if (!isWorth) {
        usefulness.look(withoutQuery(each.url), { ...each, until: judgedAt });
        continue;
      }
      kept.add(each.url);
      this.#claims.claim(each.url, whose.sid, { ...whose, until: item.until });
      if (!this.#recent.isNew(each.url, now) || this.#options.isHeld(each.url)) continue;
      usefulness.track(withoutQuery(each.url), { ...each, until: judgedAt });
      const { url, bytes, reason } = each;
      const { titleId, why } = whose;
      push.push({ url, titleId, reason, why, priority: 'in-session', bytes, expiresAt: item.until, dueAt });
    }
    return { cancel: this.#replace(whose, kept, now), push };
  }

  /** Gives up what a session wanted before of the same scope. */
  #replace({ sid, titleId, scope, seconds }: Whose, kept: ReadonlySet<string>, now: number): readonly string[] {
    if (seconds === undefined || sid === undefined) return [];
    const near = new Set([...kept].slice(0, KEPT_IN_PAUSE));
    remember(this.#watching, sid, { titleId, near, seconds }, MAX_CLAIMS);
    const given = this.#claims.release(sid, now, (url, of) => of.scope === scope && !kept.has(url));
    return this.#giveUp(given).cancel;
  }
}

function reachedSeconds({ track, index }: Place): number {
  const part = track.parts[index];
  return part === undefined ? 0 : part.startSeconds + part.durationSeconds;
}

function graceOf(reason: PrefetchReason): number {
  if (reason === 'next-episode') return GRACE_MS.episode;
  return reason === 'hover' || reason === 'likely' ? GRACE_MS.start : GRACE_MS.segment;
}

/** Opens a decider that knows nothing yet. */
export function openDecider(options: DeciderOptions): Decider {
  const room = new Room(options);
  return {
    asked: (asked) => room.asked(asked),
    isNearEnd: (timeline, path) => room.isNearEnd(timeline, path),
    happened: (what, now) => room.happened(what, now),
    leaving: (sid, now) => room.leaving(sid, now),
    start: (timeline, of, now) => room.start(timeline, of, now),
    hinted: (titleId, urls, viewing, now) => room.hinted(titleId, urls, viewing, now),
    forget: (isThere, now) => room.forget(isThere, now),
    settled: (url, outcome, bytes) => room.settled(url, outcome, bytes),
  };
}
