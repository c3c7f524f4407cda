// What viewers are about to do, on this node: the counted hazards of agent/predict/anticipate.ts, fed by what consented
// sessions do, begun with counts from the viewer simulator, and kept as sums over all viewers.
import {
  Hazard,
  type HazardCounts,
  type Intent,
  type LastAction,
  type Moment,
  type Outcome,
  observeStretch,
} from './predict/anticipate.ts';
import { SIMULATED_PRIOR } from './predict/anticipate-prior.ts';
import { remember } from './remember.ts';
import { readSnapshot } from './snapshot.ts';

/** Something that a consented session did. */
export type SessionAct = {
  readonly sid: string;
  readonly type: string;
  readonly titleId: string;
  readonly positionSeconds?: number;
};

/** What openAnticipation() needs. */
export type AnticipationOptions = {
  /** Sessions followed at once; the one that did something longest ago leaves first. */
  readonly maxSessions: number;
  readonly durationOf: (titleId: string) => number | undefined;
  readonly snapshots: {
    readonly get: (name: string) => string | undefined;
    readonly put: (name: string, json: string) => void;
  };
  readonly now: () => number;
};

/** Open anticipation. */
export type Anticipation = {
  readonly happened: (act: SessionAct) => void;
  /** Chances of what comes in the next seconds. `sid` undefined: of somebody of whom nothing is known but the place. */
  readonly intentOf: (where: {
    readonly sid: string | undefined;
    readonly positionSeconds: number;
    readonly durationSeconds: number;
  }) => Intent;
  /** Sessions that are likelier to leave or jump within the next seconds than to go on. */
  readonly leaving: () => readonly string[];
  /** Erases what is known of sessions that are gone. */
  readonly forget: (isThere: (sid: string) => boolean) => void;
  readonly stats: () => { readonly sessions: number; readonly observed: number; readonly trainedOn: string };
  readonly save: () => void;
};

const SNAPSHOT = 'anticipation';
const VERSION = 1;
/** Looked at in one turn, the others in the next ones. */
const MAX_LOOKED = 500;
/** From here on a session is taken to be leaving. */
const LEAVING = 0.5;
/** Who says nothing for so long is not followed any more. */
const SILENT_MS = 1_800_000;

type Following = {
  readonly titleId: string;
  readonly last: LastAction;
  readonly at: number;
  readonly positionSeconds: number;
  readonly isPlaying: boolean;
};

/** What an event begins, and which outcome it is of what went before. */
const BEGINS: Readonly<Record<string, LastAction>> = { open: 'start', play: 'resume', seek: 'seek', pause: 'pause' };
const OUTCOME: Readonly<Record<string, Outcome>> = { pause: 'pause', seek: 'seek', next: 'next', stop: 'leave' };

/** Counts of an earlier run; undefined when there are none to read. */
function restore(json: string | undefined): HazardCounts | undefined {
  const saved = readSnapshot(json, VERSION)?.['counts'];
  const counts: readonly unknown[] = Array.isArray(saved) ? saved : [];
  const isSound = (value: unknown): value is number => typeof value === 'number' && value >= 0 && value < 1e12;
  return counts.length > 0 && counts.every(isSound) ? counts : undefined;
}

function openHazard(json: string | undefined): Hazard {
  try {
    return new Hazard(restore(json) ?? SIMULATED_PRIOR);
  } catch (error) {
    // Counts of another version.
    if (error instanceof RangeError) return new Hazard(SIMULATED_PRIOR);
    throw error;
  }
}

class Room {
  readonly #options: AnticipationOptions;
  readonly #hazard: Hazard;
  readonly #following = new Map<string, Following>();
  #observed = 0;

  constructor(options: AnticipationOptions) {
    this.#options = options;
    this.#hazard = openHazard(options.snapshots.get(SNAPSHOT));
  }

  happened({ sid, type, titleId, positionSeconds }: SessionAct): void {
    const now = this.#options.now();
    const before = this.#following.get(sid);
    const outcome = OUTCOME[type];
    if (before?.titleId === titleId && before.isPlaying && outcome !== undefined) {
      const moment = { ...this.#momentOf(before, before.at), sinceSeconds: 0 };
      observeStretch(this.#hazard, moment, (now - before.at) / 1000, outcome);
      this.#observed += 1;
    }
    const last = BEGINS[type];
    if (last === undefined) {
      if (outcome !== undefined) this.#following.delete(sid);
      return;
    }
    // A play that follows an opening is its start, and goes on with what was last done.
    const isStart = type === 'play' && (before === undefined || before.titleId !== titleId || before.last === 'start');
    const isOld = type === 'play' && before?.titleId === titleId && before.isPlaying && before.last === 'seek';
    const following = {
      titleId,
      last: isStart ? 'start' : isOld ? 'seek' : last,
      at: isOld ? before.at : now,
      positionSeconds: positionSeconds ?? (before?.titleId === titleId ? before.positionSeconds : 0),
      isPlaying: type !== 'pause' && (type !== 'seek' || before?.isPlaying !== false),
    };
    remember(this.#following, sid, following, this.#options.maxSessions);
  }

  #momentOf({ titleId, last, at, positionSeconds }: Following, now: number): Moment {
    const sinceSeconds = Math.max(0, (now - at) / 1000);
    const durationSeconds = this.#options.durationOf(titleId);
    return { positionSeconds: positionSeconds + sinceSeconds, durationSeconds, last, sinceSeconds };
  }

  intentOf({ sid, positionSeconds, durationSeconds }: Parameters<Anticipation['intentOf']>[0]): Intent {
    const following = sid === undefined ? undefined : this.#following.get(sid);
    if (following !== undefined) return this.#hazard.intent(this.#momentOf(following, this.#options.now()));
    return this.#hazard.intent({ positionSeconds, durationSeconds, last: 'none', sinceSeconds: 0 });
  }

  leaving(): readonly string[] {
    const now = this.#options.now();
    const leaving: string[] = [];
    for (const [sid, following] of [...this.#following].slice(0, MAX_LOOKED)) {
      // Looked at goes behind those that were not.
      this.#following.delete(sid);
      if (now - following.at > SILENT_MS) continue;
      this.#following.set(sid, following);
      if (!following.isPlaying) continue;
      const { seek, next, leave } = this.#hazard.intent(this.#momentOf(following, now));
      if (seek + next + leave > LEAVING) leaving.push(sid);
    }
    return leaving;
  }

  forget(isThere: (sid: string) => boolean): void {
    for (const sid of this.#following.keys()) if (!isThere(sid)) this.#following.delete(sid);
  }

  stats(): ReturnType<Anticipation['stats']> {
    const trainedOn =
      this.#observed === 0 ? 'the viewer simulator' : `the viewer simulator and ${this.#observed} actions`;
    return { sessions: this.#following.size, observed: this.#observed, trainedOn };
  }

  save(): void {
    this.#options.snapshots.put(SNAPSHOT, JSON.stringify({ version: VERSION, counts: this.#hazard.save() }));
  }
}

/** Opens anticipation over what earlier runs counted. */
export function openAnticipation(options: AnticipationOptions): Anticipation {
  const room = new Room(options);
  return {
    happened: (act) => room.happened(act),
    intentOf: (where) => room.intentOf(where),
    leaving: () => room.leaving(),
    forget: (isThere) => room.forget(isThere),
    stats: () => room.stats(),
    save: () => room.save(),
  };
}
