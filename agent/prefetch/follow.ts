// What a player asks for after what it just asked, each with its chance: next segments at the renditions that it may take,
// the start of a title, the start of what follows. Pure.
import { HORIZON_SECONDS, type Intent, staysFor } from '../predict/anticipate.ts';
import type { PrefetchReason } from './decisions.ts';
import type { Landing } from './landings.ts';
import { likelyTracks, type Relation, type Viewing } from './rendition.ts';
import {
  type Place,
  partAt,
  partBytes,
  startupTrack,
  type Timeline,
  type TimelinePart,
  type TimelineTrack,
} from './timeline.ts';

/** A URL worth having at hand; `bytes` is 0 where the size is not known. */
export type Wanted = { readonly url: string; readonly bytes: number };

/** A URL that may be asked for. */
export type Candidate = Wanted & {
  readonly reason: PrefetchReason;
  /** Candidates whose chances are corrected together by what came true. */
  readonly group: string;
  readonly chance: number;
  /** When it is expected to be asked for, from now. */
  readonly dueSeconds: number;
};

/** Segments of the next episode, and of a title that is looked at. */
const EPISODE_SEGMENTS = 2;
const TITLE_SEGMENTS = 1;
/** So many segments from the one that was asked for, other renditions than the likeliest are considered too. */
const NEAR_SEGMENTS = 2;
/** Buffer that players fill when nothing else is known: hls.js and dash.js default to 30 s. */
const BUFFER_SECONDS = 30;
/** A player stays on a rendition for so long on average, once it has settled. */
const RENDITION_STAY_SECONDS = 240;
/** Jumps to a title's known places are foreseen for so long. */
const JUMP_SECONDS = 300;
const LANDING_SEGMENTS = 3;
/** Whoever has jumped over something goes back a little: so many segments behind may be missing. */
const BEHIND_SEGMENTS = 3;
const BEHIND_CHANCE = 0.3;

const small = (url: string | undefined, bytes = 0): readonly Wanted[] => (url === undefined ? [] : [{ url, bytes }]);

const wantedOf = (track: TimelineTrack, parts: readonly TimelinePart[]): readonly Wanted[] =>
  parts.map((part) => ({ url: part.url, bytes: partBytes(part, track) }));

/** A track's playlist, init segment and first `count` segments. */
const trackStart = (track: TimelineTrack | undefined, count: number): readonly Wanted[] =>
  track === undefined
    ? []
    : [
        ...small(track.playlistUrl),
        ...small(track.initUrl, track.initBytes),
        ...wantedOf(track, track.parts.slice(0, count)),
      ];

/** The first audio track, which players take unless told otherwise. */
const firstAudio = (timeline: Timeline): TimelineTrack | undefined =>
  timeline.tracks.find(({ kind }) => kind === 'audio');

const unique = (wanted: readonly Wanted[]): readonly Wanted[] => [
  ...new Map(wanted.map((each) => [each.url, each])).values(),
];

/** Playlists, init segments and first segments that a player on `startupBps` needs before it shows a picture. */
export function titleStart(timeline: Timeline, startupBps: number): readonly Wanted[] {
  const tracks = [startupTrack(timeline, startupBps), firstAudio(timeline)];
  return unique([...small(timeline.masterUrl), ...tracks.flatMap((track) => trackStart(track, TITLE_SEGMENTS))]);
}

/** Start of the next episode on the track most like `track`: of the same id, else of the nearest bandwidth. */
export function episodeStart(next: Timeline, track: TimelineTrack, startupBps: number): readonly Wanted[] {
  const alike = next.tracks.filter(({ kind }) => kind === track.kind);
  const distance = (other: TimelineTrack): number => Math.abs(other.bandwidthBps - track.bandwidthBps);
  const nearest = alike.sort((one, other) => distance(one) - distance(other))[0];
  const start = trackStart(alike.find(({ id }) => id === track.id) ?? nearest, EPISODE_SEGMENTS);
  return unique([...titleStart(next, startupBps), ...start]);
}

/** Everything of the first `seconds` of every track, with playlists and init segments: what makes a start a hit. */
export function beginningOf(timeline: Timeline, seconds: number): readonly Wanted[] {
  const ends = ({ parts }: TimelineTrack): number => parts.filter(({ startSeconds }) => startSeconds < seconds).length;
  return [...small(timeline.masterUrl), ...timeline.tracks.flatMap((track) => trackStart(track, ends(track)))];
}

/** What is known when a request is followed. */
export type Following = {
  readonly viewing: Viewing;
  readonly intent: Intent;
  /** How far ahead of the segment that was asked for. */
  readonly aheadSeconds: number;
  readonly landings: readonly Landing[];
  /** The viewer has jumped here: what lies just behind may be missing too. */
  readonly isJump: boolean;
};

/** When a player asks for what lies `seconds` behind the segment that it has now: at once while its buffer fills. */
function dueIn(seconds: number, bufferMs: number | undefined): number {
  const room = bufferMs === undefined ? 0 : BUFFER_SECONDS - bufferMs / 1000;
  return Math.max(0, seconds - Math.max(0, room));
}

type Ahead = {
  readonly track: TimelineTrack;
  readonly first: number;
  readonly count: number;
  readonly chance: number;
  readonly relation: Relation;
  readonly fromSeconds: number;
};

function partsAhead(ahead: Ahead, { intent, viewing }: Following): readonly Candidate[] {
  const { track, first, chance, relation, fromSeconds } = ahead;
  return track.parts.slice(first, first + ahead.count).map((part, index) => {
    const seconds = part.startSeconds - fromSeconds;
    const stays = relation === 'same' || relation === 'target' ? 1 - chance : 0;
    // Whoever takes another rendition next may come back to this one; the far chance forgets the near one.
    const settled = chance + (stays / 2) * Math.min(1, seconds / 60);
    const distance = index < NEAR_SEGMENTS ? 'near' : seconds < 60 ? 'middle' : 'far';
    return {
      url: part.url,
      bytes: partBytes(part, track),
      reason: relation === 'same' ? ('next-segments' as const) : ('rendition' as const),
      group: `${relation} ${distance}`,
      chance: settled * staysFor(intent, seconds) * Math.exp(-seconds / RENDITION_STAY_SECONDS),
      dueSeconds: dueIn(seconds, viewing.bufferMs),
    };
  });
}

function landingParts(track: TimelineTrack, { intent, landings }: Following): readonly Candidate[] {
  const jumps = 1 - (1 - intent.seek) ** (JUMP_SECONDS / HORIZON_SECONDS);
  return landings.flatMap(({ seconds, share }) => {
    const at = partAt(track, seconds);
    return wantedOf(track, track.parts.slice(at, at + LANDING_SEGMENTS)).map((wanted) => ({
      ...wanted,
      reason: 'seek' as const,
      group: 'seek',
      chance: jumps * share,
      dueSeconds: 20,
    }));
  });
}

function partsBehind(track: TimelineTrack, index: number): readonly Candidate[] {
  const parts = track.parts.slice(Math.max(0, index - BEHIND_SEGMENTS), Math.max(0, index));
  return wantedOf(track, parts).map((wanted, at) => ({
    ...wanted,
    reason: 'seek',
    group: 'behind',
    chance: BEHIND_CHANCE,
    dueSeconds: 8 - at,
  }));
}

/** What follows a request for a segment, a media playlist or an init segment (`place.index` -1). */
export function followPlace(timeline: Timeline, { track, index }: Place, following: Following): readonly Candidate[] {
  const part = track.parts[index];
  const fromSeconds = part === undefined ? 0 : part.startSeconds + part.durationSeconds;
  const head = small(track.initUrl, track.initBytes).map((wanted) => ({
    ...wanted,
    reason: 'next-segments' as const,
    group: 'start',
    chance: 0.9,
    dueSeconds: 0,
  }));
  const tracks =
    track.kind === 'video' ? likelyTracks(timeline.tracks, track, following.viewing) : likelyTracks([track], track, {});
  const segments = tracks.flatMap((likely, rank) => {
    const first = likely.track === track ? index + 1 : partAt(likely.track, fromSeconds + 0.01);
    const last = partAt(likely.track, fromSeconds + following.aheadSeconds);
    const count = rank === 0 ? last - first + 1 : NEAR_SEGMENTS;
    return partsAhead({ ...likely, first, count: Math.max(0, count), fromSeconds }, following);
  });
  const behind = following.isJump ? partsBehind(track, index) : [];
  return [...(part === undefined ? head : []), ...segments, ...behind, ...landingParts(track, following)];
}

/** Share of the title that is reached with a place, 0..1. */
export function reachedRatio({ durationSeconds }: Timeline, { track, index }: Place): number {
  const part = track.parts[index];
  return part === undefined ? 0 : Math.min(1, (part.startSeconds + part.durationSeconds) / durationSeconds);
}
