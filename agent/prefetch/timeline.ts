// What a title is made of for prefetch: URLs in playing order with times and sizes. From title.json here; a manifest's
// timeline has the same shape.
import type { Title } from '../../encoder/contract.ts';

/** One segment. `bytes` is undefined where only a manifest is known. */
export type TimelinePart = {
  readonly url: string;
  readonly startSeconds: number;
  readonly durationSeconds: number;
  readonly bytes?: number | undefined;
};

/** One rendition or audio track. */
export type TimelineTrack = {
  readonly id: string;
  readonly kind: 'video' | 'audio';
  readonly bandwidthBps: number;
  readonly playlistUrl?: string | undefined;
  readonly initUrl?: string | undefined;
  readonly initBytes?: number | undefined;
  readonly parts: readonly TimelinePart[];
};

/** A title's tracks. All URLs are absolute paths on the viewer listener; only a publisher's own have a query. */
export type Timeline = {
  readonly titleId: string;
  /** Infinity while it is live: its end is not known. */
  readonly durationSeconds: number;
  /** What a player asks first: the multivariant playlist. */
  readonly masterUrl: string;
  readonly tracks: readonly TimelineTrack[];
};

/** The timeline of a package; `baseUrl` is its folder's path with a slash at its end, `/titles/ID/HASH/`. */
export function packageTimeline(title: Title, baseUrl: string): Timeline {
  const at = (url: string): string => new URL(url, `http://node${baseUrl}`).pathname;
  const track = (
    source: Title['audio'][number] | Title['renditions'][number],
    kind: 'video' | 'audio',
  ): TimelineTrack => ({
    id: source.id,
    kind,
    bandwidthBps: source.averageBandwidthBps,
    playlistUrl: at(`${source.id}/playlist.m3u8`),
    initUrl: at(source.initUrl),
    initBytes: source.initBytes,
    parts: source.segments.map((segment) => ({
      url: at(segment.url),
      startSeconds: segment.startTicks / source.timescale,
      durationSeconds: segment.ticks / source.timescale,
      bytes: segment.bytes,
    })),
  });
  return {
    titleId: title.id,
    durationSeconds: title.durationSeconds,
    masterUrl: at('../master.m3u8'),
    tracks: [
      ...title.renditions.map((rendition) => track(rendition, 'video')),
      ...title.audio.map((audio) => track(audio, 'audio')),
    ],
  };
}

/** Size of a part: what is known, else what its duration takes at the track's average. */
export const partBytes = (part: TimelinePart, track: TimelineTrack): number =>
  part.bytes ?? Math.ceil((part.durationSeconds * track.bandwidthBps) / 8);

/** Index of the part in which a moment lies; of the last one beyond the end, 0 for a track without parts. */
export function partAt({ parts }: TimelineTrack, seconds: number): number {
  let low = 0;
  let high = parts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((parts[middle]?.startSeconds ?? 0) <= seconds) low = middle;
    else high = middle - 1;
  }
  return Math.max(0, low);
}

/** Where a URL is in a timeline; a media part, or a track's playlist or init (`index` -1). */
export type Place = { readonly track: TimelineTrack; readonly index: number };

const indexes = new WeakMap<Timeline, ReadonlyMap<string, Place>>();

/** A path without its query. */
export const withoutQuery = (url: string): string => url.split('?', 1)[0] ?? url;

/**
 * Finds a path, without query, in a timeline. Where URLs differ by their query alone, what was asked for is not known.
 * The first call indexes it; the index lives as long as the timeline.
 */
export function placeOf(timeline: Timeline, path: string): Place | undefined {
  let index = indexes.get(timeline);
  if (index === undefined) {
    index = indexOf(timeline);
    indexes.set(timeline, index);
  }
  return index.get(path);
}

function indexOf({ tracks }: Timeline): ReadonlyMap<string, Place> {
  const index = new Map<string, Place>();
  const urls = new Map<string, string>();
  const put = (url: string, place: Place): void => {
    const path = withoutQuery(url);
    const isOther = (urls.get(path) ?? url) !== url;
    if (isOther) index.delete(path);
    else index.set(path, place);
    // What was seen twice stays unknown: no URL equals its path with a mark behind it.
    urls.set(path, isOther ? `${path}#` : url);
  };
  for (const track of tracks) {
    for (const url of [track.playlistUrl, track.initUrl]) if (url !== undefined) put(url, { track, index: -1 });
    for (const [at, part] of track.parts.entries()) put(part.url, { track, index: at });
  }
  return index;
}

/** The rendition that a player with `bandwidthBps` most likely starts on: the best below it, else the smallest. */
export function startupTrack(timeline: Timeline, bandwidthBps: number): TimelineTrack | undefined {
  const video = timeline.tracks
    .filter(({ kind }) => kind === 'video')
    .sort((one, other) => other.bandwidthBps - one.bandwidthBps);
  return video.find((track) => track.bandwidthBps <= bandwidthBps) ?? video.at(-1);
}
