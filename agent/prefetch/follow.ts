// What a player asks for after what it just asked: the next segments, the start of a title, the start of what follows.
// Pure.
import { partBytes, placeOf, startupTrack, type Timeline, type TimelineTrack, withoutQuery } from './timeline.ts';

/** A URL worth having at hand; `bytes` is 0 where the size is not known. */
export type Wanted = { readonly url: string; readonly bytes: number };

/** What follows a request. `track` and `reachedRatio` (0..1 of the title) are of the segment that was asked for. */
export type Follow = {
  readonly wanted: readonly Wanted[];
  readonly why: string;
  readonly track: TimelineTrack | undefined;
  readonly reachedRatio: number;
};

/** Segments of the next episode, and of a title that is looked at. */
const EPISODE_SEGMENTS = 2;
const TITLE_SEGMENTS = 1;

const small = (url: string | undefined, bytes = 0): readonly Wanted[] => (url === undefined ? [] : [{ url, bytes }]);

const partsOf = (track: TimelineTrack, from: number, count: number): readonly Wanted[] =>
  track.parts.slice(from, from + count).map((part) => ({ url: part.url, bytes: partBytes(part, track) }));

/** A track's playlist, init segment and first `count` segments. */
const trackStart = (track: TimelineTrack | undefined, count: number): readonly Wanted[] =>
  track === undefined
    ? []
    : [...small(track.playlistUrl), ...small(track.initUrl, track.initBytes), ...partsOf(track, 0, count)];

/** The first audio track, which players take unless told otherwise. */
const firstAudio = (timeline: Timeline): TimelineTrack | undefined =>
  timeline.tracks.find(({ kind }) => kind === 'audio');

/** Playlists, init segments and first segments that a player on `startupBps` needs before it shows a picture. */
export function titleStart(timeline: Timeline, startupBps: number): readonly Wanted[] {
  const tracks = [startupTrack(timeline, startupBps), firstAudio(timeline)];
  return [...small(timeline.masterUrl), ...tracks.flatMap((track) => trackStart(track, TITLE_SEGMENTS))];
}

/** Start of the next episode on the track most like `track`: of the same id, else of the nearest bandwidth. */
export function episodeStart(next: Timeline, track: TimelineTrack): readonly Wanted[] {
  const alike = next.tracks.filter(({ kind }) => kind === track.kind);
  const distance = (other: TimelineTrack): number => Math.abs(other.bandwidthBps - track.bandwidthBps);
  const nearest = alike.sort((one, other) => distance(one) - distance(other))[0];
  return [
    ...small(next.masterUrl),
    ...trackStart(alike.find(({ id }) => id === track.id) ?? nearest, EPISODE_SEGMENTS),
  ];
}

/** What follows a request for `path`; undefined when the path is not of this timeline. */
export function followRequest(
  timeline: Timeline,
  path: string,
  options: { readonly segmentsAhead: number; readonly startupBps: number },
): Follow | undefined {
  if (path === withoutQuery(timeline.masterUrl)) {
    const wanted = titleStart(timeline, options.startupBps).slice(1);
    return { wanted, why: 'the playlist was asked for', track: undefined, reachedRatio: 0 };
  }
  const place = placeOf(timeline, path);
  if (place === undefined) return undefined;
  const { track, index } = place;
  const ahead = partsOf(track, index + 1, options.segmentsAhead);
  const part = track.parts[index];
  if (part === undefined) {
    const head = path === withoutQuery(track.initUrl ?? '') ? [] : small(track.initUrl, track.initBytes);
    return { wanted: [...head, ...ahead], why: `${track.id} is about to start`, track, reachedRatio: 0 };
  }
  const reachedRatio = Math.min(1, (part.startSeconds + part.durationSeconds) / timeline.durationSeconds);
  return { wanted: ahead, why: `follows segment ${index} of ${track.id}`, track, reachedRatio };
}
