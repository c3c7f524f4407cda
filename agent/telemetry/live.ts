// What a consented session and its viewer are while they live, and how each event and each CMCD report changes them.
// Pure but for the records it changes; sessions.ts owns those, their number and their end.

import { remember } from '../remember.ts';
import type { CmcdReport, PlayState } from './cmcd.ts';
import { type EventType, type Orientation, raw, type ViewerEvent } from './event.ts';
import { beginInference, type Inference, type Inferred, listen, takeSegment } from './infer.ts';
import type { Action, CurrentViewing, Hover, Session, Viewing } from './session.ts';
import { goOn, isCompletedAt, jump, newTrack, positionAt, type Track, watchedAt } from './viewing.ts';

/** Titles of a viewer's history, hovers of a viewer, actions of a session; the oldest leave first. */
const MAX_HISTORY = 50;
const MAX_HOVERS = 20;
const MAX_ACTIONS = 32;
/** A player that told something so lately is believed to tell all. */
const TELLS_MS = 600_000;

/** A viewer: one session, or all that showed the same token. */
export type Viewer = {
  /** `sid:ID` or `token:SUBJECT`; never leaves this room. */
  readonly key: string;
  readonly sids: Set<string>;
  /** By title, the last seen at the end. */
  readonly tracks: Map<string, Track>;
  /** Newest first. */
  hovers: readonly Hover[];
  /** Under which rows of this viewer stand on disk. */
  readonly pseudonyms: Set<string>;
  seenAt: number;
  /** What this viewer is called on that day, by others in RAM and on disk; made when it is first asked for. */
  names: { readonly day: number; readonly inRam: string; readonly onDisk: string } | undefined;
};

/** A session while it lives. */
export type Live = {
  readonly sid: string;
  viewer: Viewer;
  /** Title that plays, and whether an event or only a request told so. */
  current: { readonly titleId: string; readonly isTold: boolean } | undefined;
  hovered: Hover | undefined;
  announced: string | undefined;
  /** Newest first. */
  actions: readonly Action[];
  orientation: Orientation | undefined;
  /** What its requests show, while its player tells nothing itself. */
  inference: Inference | undefined;
  /** When its player last told an event or a state. */
  toldAt: number;
  seenAt: number;
  minute: number;
  usedThisMinute: number;
};

/** A viewer of whom nothing is known yet. */
export function newViewer(key: string, at: number): Viewer {
  return { key, sids: new Set(), tracks: new Map(), hovers: [], pseudonyms: new Set(), seenAt: at, names: undefined };
}

/** A session in which nothing happened yet. */
export function newLive(sid: string, viewer: Viewer, at: number): Live {
  return {
    sid,
    viewer,
    current: undefined,
    hovered: undefined,
    announced: undefined,
    actions: [],
    orientation: undefined,
    inference: undefined,
    toldAt: Number.NEGATIVE_INFINITY,
    seenAt: at,
    minute: 0,
    usedThisMinute: 0,
  };
}

/** A day is over: of a viewer without a token only what plays now is remembered, and which rows to erase. */
export function endDay(viewer: Viewer, lives: Iterable<Live>): void {
  const playing = new Set<string>();
  for (const live of lives) {
    live.actions = [];
    if (live.current !== undefined) playing.add(live.current.titleId);
  }
  for (const titleId of viewer.tracks.keys()) if (!playing.has(titleId)) viewer.tracks.delete(titleId);
  viewer.hovers = [];
}

/** Adds to a viewer all that is known of another, who turned out to be the same. */
export function mergeViewer(from: Viewer, into: Viewer): void {
  const tracks = [...into.tracks.values(), ...from.tracks.values()].sort((a, b) => a.seenAt - b.seenAt);
  into.tracks.clear();
  for (const track of tracks) {
    into.tracks.delete(track.titleId);
    into.tracks.set(track.titleId, track);
  }
  for (const [oldest] of [...into.tracks].slice(0, Math.max(0, into.tracks.size - MAX_HISTORY))) {
    into.tracks.delete(oldest);
  }
  into.hovers = [...into.hovers, ...from.hovers].sort((a, b) => b.at - a.at).slice(0, MAX_HOVERS);
  for (const pseudonym of from.pseudonyms) into.pseudonyms.add(pseudonym);
}

type DurationOf = (titleId: string) => number | undefined;

/** The track of a title, made anew where there is none, and moved to the end as the last seen. */
function trackOf(viewer: Viewer, titleId: string, at: number, durationOf: DurationOf): Track {
  const track = viewer.tracks.get(titleId) ?? newTrack(titleId, durationOf(titleId), at);
  remember(viewer.tracks, titleId, track, MAX_HISTORY);
  return track;
}

type Happening = { readonly live: Live; readonly event: ViewerEvent; readonly durationOf: DurationOf };

/** What each event does; it gives the track that it changed. */
const HANDLERS: Readonly<Record<EventType, (happening: Happening) => Track | undefined>> = {
  open: (it) => {
    const track = turnTo(it);
    track.isEnded = false;
    return track;
  },
  play: (it) => {
    const track = turnTo(it);
    goOn(track, it.event.at, it.event.positionSeconds);
    track.isPlaying = true;
    track.isEnded = false;
    track.rate = it.event.rate ?? 1;
    return track;
  },
  pause: (it) => halt(it),
  seek: (it) => {
    const track = turnTo(it);
    jump(track, it.event.at, it.event.positionSeconds);
    return track;
  },
  rate: (it) => {
    const track = turnTo(it);
    goOn(track, it.event.at, it.event.positionSeconds);
    track.rate = it.event.rate ?? track.rate;
    return track;
  },
  next: (it) => leave(it),
  stop: (it) => leave(it),
  hover: ({ live, event }) => {
    live.hovered = hoverOf(event);
    live.viewer.hovers = [live.hovered, ...live.viewer.hovers].slice(0, MAX_HOVERS);
    return undefined;
  },
  unhover: ({ live, event }) => {
    live.hovered = undefined;
    const [last, ...others] = live.viewer.hovers;
    if (last?.titleId === event.title) live.viewer.hovers = [{ ...hoverOf(event), at: last.at }, ...others];
    return undefined;
  },
  mute: () => undefined,
  orientation: ({ live, event }) => {
    live.orientation = event.orientation ?? live.orientation;
    return undefined;
  },
};

function hoverOf({ title, at, dwellBucket }: ViewerEvent): Hover {
  return { titleId: title, at, ...(dwellBucket === undefined ? {} : { dwellBucket }) };
}

/** The event's title becomes the current one; the one before it is left where it is. */
function turnTo({ live, event, durationOf }: Happening): Track {
  const before = live.current?.titleId;
  const track = trackOf(live.viewer, event.title, event.at, durationOf);
  if (before !== undefined && before !== event.title) haltTrack(live.viewer.tracks.get(before), event.at);
  live.current = { titleId: event.title, isTold: true };
  return track;
}

function haltTrack(track: Track | undefined, at: number, positionSeconds?: number): void {
  if (track === undefined) return;
  goOn(track, at, positionSeconds);
  track.isPlaying = false;
}

function halt(it: Happening): Track {
  const track = turnTo(it);
  haltTrack(track, it.event.at, it.event.positionSeconds);
  return track;
}

function leave(it: Happening): Track {
  const track = halt(it);
  it.live.current = undefined;
  return track;
}

/** Takes an event; gives the track that it changed, if one. */
export function takeEvent(live: Live, event: ViewerEvent, durationOf: DurationOf): Track | undefined {
  const { type, title, at, positionSeconds } = event;
  const action = { type, titleId: title, at, ...(positionSeconds === undefined ? {} : { positionSeconds }) };
  live.actions = [action, ...live.actions].slice(0, MAX_ACTIONS);
  live.toldAt = at;
  live.inference = undefined;
  return HANDLERS[type]({ live, event, durationOf });
}

const PLAYING: ReadonlySet<PlayState> = new Set(['playing']);
const HALTED: ReadonlySet<PlayState> = new Set(['paused', 'waiting', 'rebuffering', 'failed', 'seeking']);
const LEFT: ReadonlySet<PlayState> = new Set(['ended', 'quit']);

/** CMCD with what the node knows of its request; `announced` is another title that its next objects are of. */
export type Heard = {
  readonly report: CmcdReport;
  readonly titleId: string | undefined;
  readonly at: number;
  readonly announced?: string | undefined;
  /** Of a video segment: its number among the title's, if its name has one. */
  readonly segmentNumber?: number | undefined;
};

/**
 * Takes a CMCD report; gives the track that it changed, if one. An event goes before a request: a player that fetches
 * another title (a preview, say) does not change what the viewer was told to be watching.
 */
export function takeReport(live: Live, heard: Heard, durationOf: DurationOf): Track | undefined {
  const { report, titleId, at } = heard;
  const isOther = live.current !== undefined && live.current.titleId !== titleId;
  if (titleId === undefined || (isOther && live.current?.isTold === true)) return undefined;
  if (isOther) haltTrack(live.viewer.tracks.get(live.current?.titleId ?? ''), at);
  // An event-mode report says nothing of what is asked for next.
  if (report.event === undefined) live.announced = heard.announced;
  const track = trackOf(live.viewer, titleId, at, durationOf);
  live.current = { titleId, isTold: live.current?.isTold === true };
  track.seenAt = Math.max(track.seenAt, at);
  if (report.objectType === 'video' || report.objectType === 'muxed') {
    track.fetchedSeconds += report.objectSeconds ?? 0;
    track.bitrateKbps = report.bitrateKbps ?? track.bitrateKbps;
    track.bufferMs = report.bufferMs ?? track.bufferMs;
  }
  if (report.positionSeconds !== undefined) goOn(track, at, report.positionSeconds);
  if (report.rate !== undefined && report.rate > 0) track.rate = report.rate;
  return hearState(live, track, report.playState, at);
}

function hearState(live: Live, track: Track, state: PlayState | undefined, at: number): Track {
  if (state === undefined) return track;
  live.toldAt = at;
  live.inference = undefined;
  if (PLAYING.has(state) && !track.isPlaying) {
    goOn(track, at);
    track.isPlaying = true;
    track.isEnded = false;
  }
  if (HALTED.has(state) || LEFT.has(state)) haltTrack(track, at);
  if (state === 'ended') track.isEnded = true;
  if (LEFT.has(state)) live.current = undefined;
  return track;
}

/** What a request shows of a player that tells nothing; empty for one that does. */
export function inferFrom(live: Live, { report, titleId, at, segmentNumber: number }: Heard): readonly Inferred[] {
  const { objectType, objectSeconds: seconds } = report;
  const isVideo = objectType === 'video' || objectType === 'muxed';
  if (at - live.toldAt < TELLS_MS) return [];
  if (isVideo && titleId !== undefined && number !== undefined && seconds !== undefined && seconds > 0) {
    const asked = { at, titleId, number, seconds };
    if (live.inference !== undefined) return noted(live, takeSegment(live.inference, asked));
    live.inference = beginInference(asked);
  }
  return [];
}

/** What the silence of a player shows. */
export function inferFromSilence(live: Live, now: number): readonly Inferred[] {
  if (live.inference === undefined) return [];
  const { lastNumber, step, seconds, titleId } = live.inference;
  const durationSeconds = live.viewer.tracks.get(titleId)?.durationSeconds;
  // Numbers that rise by more than one are times in a scale that is not known here.
  const isAtEnd = step === 1 && durationSeconds !== undefined && (lastNumber + 2) * seconds > durationSeconds;
  return noted(live, listen(live.inference, now, isAtEnd));
}

function noted(live: Live, inferred: readonly Inferred[]): readonly Inferred[] {
  if (inferred.length === 0) return inferred;
  const actions = inferred.map(({ type, titleId, at, confidence }): Action => ({ type, titleId, at, confidence }));
  live.actions = [...actions.reverse(), ...live.actions].slice(0, MAX_ACTIONS);
  return inferred;
}

/** The session as others may see it. */
export function snapshot(live: Live, name: string, now: number): Session {
  const tracks = [...live.viewer.tracks.values()].reverse();
  const current = live.current === undefined ? undefined : live.viewer.tracks.get(live.current.titleId);
  return {
    sid: raw(live.sid),
    viewer: raw(name),
    ...(current === undefined ? {} : { current: currentOf(current, now) }),
    ...(live.hovered === undefined ? {} : { hovered: live.hovered }),
    ...(live.announced === undefined ? {} : { announced: { titleId: live.announced } }),
    history: tracks.map((track) => viewingOf(track, now)),
    hovers: live.viewer.hovers,
    actions: live.actions,
    ...(live.orientation === undefined ? {} : { orientation: live.orientation }),
  };
}

function viewingOf(track: Track, now: number): Viewing {
  return {
    titleId: track.titleId,
    positionSeconds: positionAt(track, now),
    watchedSeconds: watchedAt(track, now),
    ...(track.durationSeconds === undefined ? {} : { durationSeconds: track.durationSeconds }),
    at: track.seenAt,
    isCompleted: isCompletedAt(track, now),
  };
}

function currentOf(track: Track, now: number): CurrentViewing {
  return {
    ...viewingOf(track, now),
    isPlaying: track.isPlaying,
    rate: track.rate,
    ...(track.bitrateKbps === undefined ? {} : { bitrateKbps: track.bitrateKbps }),
    ...(track.bufferMs === undefined ? {} : { bufferMs: track.bufferMs }),
  };
}
