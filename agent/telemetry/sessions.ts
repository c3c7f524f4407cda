// Sessions of viewers who consented, bounded in number and age, in RAM alone. On disk is a pseudonym under a key that is
// drawn anew each day: later nobody can join its rows to a viewer or to another day, but for a session that is still open
// and may have to erase them. In RAM too the memory of a viewer without a token ends with the day.
import { createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { dayOf, type WatchRow, watchBucket } from '../state-schema.ts';
import { isSid, type ViewerEvent } from './event.ts';
import type { Inferred } from './infer.ts';
import {
  endDay,
  type Heard,
  inferFrom,
  inferFromSilence,
  type Live,
  mergeViewer,
  newLive,
  newViewer,
  snapshot,
  takeEvent,
  takeReport,
  type Viewer,
} from './live.ts';
import type { Session } from './session.ts';
import { verifyViewerToken } from './token.ts';
import { type Track, watchedAt } from './viewing.ts';

/** Less than this is no viewing, and not written down. */
const MIN_WATCHED_SECONDS = 1;

/** What openSessions() needs. */
export type SessionsOptions = {
  /** Most sessions held, and most viewers; the one unseen for longest leaves first. */
  readonly maxSessions: number;
  /** A session without a sign of life for this long is forgotten. */
  readonly idleMs: number;
  readonly now: () => number;
  readonly durationOf: (titleId: string) => number | undefined;
  /** Where watch rows go; undefined: nothing of a viewer is ever on disk. */
  readonly watches?: {
    readonly put: (row: WatchRow) => void;
    readonly erase: (pseudonyms: readonly string[]) => number;
  };
  /** Viewers, by every name that they had in RAM or on disk, are erased: so is what others know of them. */
  readonly onErased?: (viewers: readonly string[]) => void;
  /** Key of the publisher's viewer tokens; undefined: tokens are ignored. */
  readonly tokenSecret?: Uint8Array;
};

/** What an erasure removed. */
export type Erasure = { readonly sessions: number; readonly rows: number };

/** Sessions and their viewers. Everything is synchronous. */
export type Sessions = {
  readonly has: (sid: string) => boolean;
  readonly get: (sid: string) => Session | undefined;
  /** Opens or renews a session whose viewer consented; a verified token joins it to the viewer's other devices. */
  readonly consent: (sid: string, viewerToken?: string) => void;
  /** Consent is gone: erases the session, its viewer's other sessions, and their rows on disk, at once. */
  readonly withdraw: (sid: string) => Erasure;
  /** Takes an event of a consented session; false, and nothing is kept, when there is no such session. */
  readonly take: (sid: string, event: ViewerEvent) => boolean;
  /** Takes CMCD of a consented session, and gives what it shows; where there is no such session nothing is kept. */
  readonly hear: (sid: string, heard: Heard) => readonly Inferred[];
  /** What the silence of players shows; twice a second. */
  readonly listen: () => readonly { readonly sid: string; readonly inferred: readonly Inferred[] }[];
  /** Counts events of a session against its allowance for the minute; how many of them may pass. */
  readonly allow: (sid: string, count: number, maxPerMinute: number) => number;
  /** Erases by viewer token (an expired one too) or by session id. */
  readonly erase: (tokenOrSid: string) => Erasure;
  /** Forgets idle sessions and, on a new day, the key of the last one. Call it every minute. */
  readonly sweep: () => void;
  readonly stats: () => SessionsStats;
  /** Forgets everybody. */
  readonly close: () => void;
};

/** How many are held now, and counts since start. */
export type SessionsStats = {
  readonly sessions: number;
  readonly viewers: number;
  /** Sessions that left by age or for want of room. */
  readonly expired: number;
  readonly refusedTokens: number;
};

/** Opens the room for sessions, empty. */
export function openSessions(options: SessionsOptions): Sessions {
  const room = new Room(options);
  const change = (sid: string, apply: (live: Live) => Track | undefined): boolean => {
    const live = room.find(sid);
    if (live === undefined) return false;
    room.touch(live);
    const track = apply(live);
    if (track !== undefined) room.persist(live.viewer, track);
    return true;
  };
  return {
    has: (sid) => room.find(sid) !== undefined,
    get: (sid) => {
      const live = room.find(sid);
      return live === undefined ? undefined : snapshot(live, room.names.ofViewer(live.viewer).inRam, options.now());
    },
    consent: (sid, viewerToken) => {
      if (isSid(sid)) room.open(sid, viewerToken);
    },
    withdraw: (sid) => {
      const live = room.find(sid);
      return live === undefined ? { sessions: 0, rows: 0 } : room.eraseViewer(live.viewer.key);
    },
    take: (sid, event) => change(sid, (live) => takeEvent(live, event, options.durationOf)),
    hear: (sid, heard) => {
      let inferred: readonly Inferred[] = [];
      change(sid, (live) => {
        const track = takeReport(live, heard, options.durationOf);
        inferred = inferFrom(live, heard);
        if (live.inference !== undefined) room.inferring.add(live);
        return track;
      });
      return inferred;
    },
    listen: () => {
      const now = options.now();
      const heard: { readonly sid: string; readonly inferred: readonly Inferred[] }[] = [];
      for (const live of room.inferring) {
        const isThere = room.sessions.get(live.sid) === live;
        const inferred = isThere ? inferFromSilence(live, now) : [];
        if (inferred.length > 0) heard.push({ sid: live.sid, inferred });
        // A player that was found to pause is heard again with its next request.
        if (!isThere || live.inference === undefined || live.inference.isPaused) room.inferring.delete(live);
      }
      return heard;
    },
    allow: (sid, count, maxPerMinute) => {
      const live = room.find(sid);
      if (live === undefined) return 0;
      const minute = Math.floor(options.now() / 60_000);
      if (live.minute !== minute) Object.assign(live, { minute, usedThisMinute: 0 });
      const allowed = Math.max(0, Math.min(count, maxPerMinute - live.usedThisMinute));
      live.usedThisMinute += allowed;
      return allowed;
    },
    erase: (tokenOrSid) => room.eraseViewer(room.keyOf(tokenOrSid)),
    sweep: () => room.sweep(),
    stats: () => ({ sessions: room.sessions.size, viewers: room.viewers.size, ...room.counts }),
    close: () => {
      room.sessions.clear();
      room.viewers.clear();
      room.inferring.clear();
    },
  };
}

/** The pseudonyms of viewers. Both keys are drawn here, never written, and the day's is replaced on the next day. */
class Names {
  readonly #now: () => number;
  readonly #processKey = newKey();
  #dayKey = newKey();
  #day: number;

  constructor(now: () => number) {
    this.#now = now;
    this.#day = dayOf(now());
  }

  /** Draws a new key when the day is another than that of the key, whichever way the clock went. */
  rotate(): number {
    const day = dayOf(this.#now());
    if (day !== this.#day) {
      this.#dayKey = newKey();
      this.#day = day;
    }
    return day;
  }

  /** A viewer's name on disk today. */
  ofToday(viewerKey: string): string {
    this.rotate();
    return hash(this.#dayKey, viewerKey);
  }

  /** A viewer's name in RAM: a token's viewer keeps it while the process lives, a session's changes with the day. */
  ofKey(key: string): string {
    return key.startsWith('token:') ? hash(this.#processKey, key) : this.ofToday(key);
  }

  /** Both names of a viewer, made once a day: they are asked for with every event. */
  ofViewer(viewer: Viewer): { readonly inRam: string; readonly onDisk: string } {
    const day = this.rotate();
    if (viewer.names?.day === day) return viewer.names;
    const onDisk = this.ofToday(viewer.key);
    const names = { day, onDisk, inRam: viewer.key.startsWith('token:') ? this.ofKey(viewer.key) : onDisk };
    viewer.names = names;
    return names;
  }
}

/** A key in the runtime's own form: making that of bytes anew costs five times what a hash does. */
const newKey = (): KeyObject => createSecretKey(randomBytes(32));

function hash(key: KeyObject, text: string): string {
  return createHmac('sha256', key).update(text).digest('hex').slice(0, 32);
}

/** Who is here: sessions and viewers by their keys, both in order of their last sign of life. */
class Room {
  readonly sessions = new Map<string, Live>();
  readonly viewers = new Map<string, Viewer>();
  /** Sessions whose players tell nothing and may go silent. */
  readonly inferring = new Set<Live>();
  readonly counts = { expired: 0, refusedTokens: 0 };
  readonly names: Names;
  readonly #options: SessionsOptions;
  #day: number;

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#day = dayOf(options.now());
    this.names = new Names(options.now);
  }

  /** On a new day, whichever way the clock went, viewers without a token are forgotten but for what plays. */
  turnDay(): void {
    const day = dayOf(this.#options.now());
    if (day === this.#day) return;
    this.#day = day;
    this.names.rotate();
    for (const viewer of this.viewers.values()) {
      if (!viewer.key.startsWith('sid:')) continue;
      endDay(
        viewer,
        [...viewer.sids].flatMap((sid) => this.sessions.get(sid) ?? []),
      );
    }
  }

  /** The session, unless it has been idle for too long. */
  find(sid: string): Live | undefined {
    this.turnDay();
    const live = this.sessions.get(sid);
    if (live === undefined || !this.#isIdle(live)) return live;
    this.#drop(live);
    return undefined;
  }

  /** Opens or renews a session, under the viewer that its token names. */
  open(sid: string, viewerToken: string | undefined): void {
    const now = this.#options.now();
    const known = this.find(sid);
    const key = this.#keyOfToken(viewerToken) ?? known?.viewer.key ?? `sid:${sid}`;
    const viewer = this.viewers.get(key) ?? newViewer(key, now);
    const live = known ?? newLive(sid, viewer, now);
    if (live.viewer !== viewer) this.#move(live, viewer);
    viewer.sids.add(sid);
    this.touch(live);
    this.#makeRoom();
  }

  /** A sign of life. */
  touch(live: Live): void {
    const now = this.#options.now();
    live.seenAt = now;
    live.viewer.seenAt = now;
    this.sessions.delete(live.sid);
    this.sessions.set(live.sid, live);
    this.viewers.delete(live.viewer.key);
    this.viewers.set(live.viewer.key, live.viewer);
  }

  /** Writes down how much of a title a viewer watched, under the day's pseudonym. */
  persist(viewer: Viewer, track: Track): void {
    const { watches, now } = this.#options;
    const watchedSeconds = watchedAt(track, now());
    if (watches === undefined || watchedSeconds < MIN_WATCHED_SECONDS) return;
    const pseudonym = this.names.ofViewer(viewer).onDisk;
    viewer.pseudonyms.add(pseudonym);
    const bucket = watchBucket(watchedSeconds, track.durationSeconds);
    watches.put({ day: dayOf(now()), pseudonym, titleId: track.titleId, bucket });
  }

  /** The key of the viewer that a token names, expired or not; else of the one behind a session id. */
  keyOf(tokenOrSid: string): string {
    const { tokenSecret, now } = this.#options;
    const token = tokenSecret === undefined ? undefined : verifyViewerToken(tokenOrSid, tokenSecret, now());
    if (token !== undefined) return `token:${token.subject}`;
    return this.sessions.get(tokenOrSid)?.viewer.key ?? `sid:${tokenOrSid}`;
  }

  /** Erases from RAM and from disk. Today's rows are found even for a viewer that has left RAM meanwhile. */
  eraseViewer(key: string): Erasure {
    const viewer = this.viewers.get(key);
    for (const sid of viewer?.sids ?? []) this.sessions.delete(sid);
    this.viewers.delete(key);
    const pseudonyms = new Set([...(viewer?.pseudonyms ?? []), this.names.ofToday(key)]);
    const rows = this.#options.watches?.erase([...pseudonyms]) ?? 0;
    this.#options.onErased?.([...pseudonyms, this.names.ofKey(key)]);
    return { sessions: viewer?.sids.size ?? 0, rows };
  }

  sweep(): void {
    this.turnDay();
    for (const live of this.sessions.values()) {
      if (!this.#isIdle(live)) break;
      this.#drop(live);
    }
    for (const viewer of this.viewers.values()) {
      if (!this.#isIdle(viewer)) break;
      this.#dropViewer(viewer);
    }
  }

  #isIdle({ seenAt }: { readonly seenAt: number }): boolean {
    return this.#options.now() - seenAt > this.#options.idleMs;
  }

  #keyOfToken(token: string | undefined): string | undefined {
    const { tokenSecret, now } = this.#options;
    if (token === undefined || tokenSecret === undefined) return undefined;
    const verified = verifyViewerToken(token, tokenSecret, now());
    if (verified !== undefined && !verified.isExpired) return `token:${verified.subject}`;
    this.counts.refusedTokens += 1;
    return undefined;
  }

  /** A session shows a token after it began: what it did so far is its viewer's, unless it was somebody else's. */
  #move(live: Live, viewer: Viewer): void {
    const before = live.viewer;
    if (before.key.startsWith('sid:')) {
      mergeViewer(before, viewer);
      this.viewers.delete(before.key);
    } else {
      before.sids.delete(live.sid);
      Object.assign(live, newLive(live.sid, viewer, live.seenAt));
    }
    live.viewer = viewer;
  }

  #makeRoom(): void {
    const { maxSessions } = this.#options;
    const [oldestSession] = this.sessions.size > maxSessions ? this.sessions.values() : [];
    if (oldestSession !== undefined) this.#drop(oldestSession);
    const [oldestViewer] = this.viewers.size > maxSessions ? this.viewers.values() : [];
    if (oldestViewer !== undefined) this.#dropViewer(oldestViewer);
  }

  /** A session ends by age; its viewer stays only where a token can lead back to it. */
  #drop(live: Live): void {
    this.counts.expired += 1;
    this.sessions.delete(live.sid);
    live.viewer.sids.delete(live.sid);
    if (live.viewer.sids.size === 0 && live.viewer.key.startsWith('sid:')) this.viewers.delete(live.viewer.key);
  }

  #dropViewer(viewer: Viewer): void {
    for (const sid of viewer.sids) {
      this.sessions.delete(sid);
      this.counts.expired += 1;
    }
    this.viewers.delete(viewer.key);
  }
}
