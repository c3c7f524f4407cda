// HLS media playlists (RFC 8216) of a package. They lie at ID/playlist.m3u8 in the package folder, so that URLs of
// title.json, which start at the package folder, become relative to that one folder down.
import type { Title, TitleRendition, Trickplay } from '../contract.ts';

/** What a media playlist needs of a rendition or audio track. */
export type MediaTrack = Pick<TitleRendition, 'id' | 'timescale' | 'initUrl' | 'segments'>;
type Text = Title['text'][number];

/** Where the media playlist of a track lies, relative to the package folder. */
export function mediaPlaylistUrl(track: { readonly id: string }): string {
  return `${track.id}/playlist.m3u8`;
}

/** Where the I-frame playlist of a rendition lies, relative to the package folder. */
export function iframePlaylistUrl(rendition: { readonly id: string }): string {
  return `${rendition.id}/iframes.m3u8`;
}

/** Where the image playlist of the thumbnails lies: beside their first sheet. */
export function imagePlaylistUrl({ sheets }: Trickplay): string {
  return `${(sheets[0]?.url ?? '').replace(/[^/]*$/, '')}images.m3u8`;
}

/** A URL relative to the package folder as seen from the folder of the track's media playlist. */
function fromTrackFolder(track: { readonly id: string }, url: string): string {
  const folder = `${track.id}/`;
  return url.startsWith(folder) ? url.slice(folder.length) : `../${url}`;
}

/** Seconds with at most six digits behind the point. */
function decimal(seconds: number): string {
  return seconds.toFixed(6).replace(/\.?0+$/, '');
}

/** The lines that every media playlist of a package begins with, version 7. */
function head(targetSeconds: number, tags: readonly string[]): string[] {
  return [
    '#EXTM3U',
    '#EXT-X-VERSION:7',
    `#EXT-X-TARGETDURATION:${targetSeconds}`,
    '#EXT-X-MEDIA-SEQUENCE:0',
    '#EXT-X-PLAYLIST-TYPE:VOD',
    ...tags,
  ];
}

/**
 * Lines of segments. Each EXTINF is the difference of its segment's end and start, both rounded to microseconds: whatever
 * the timescale, their sum never strays from the true time.
 */
function segmentLines(track: MediaTrack, before: (segment: MediaTrack['segments'][number]) => readonly string[]) {
  const microseconds = (ticks: number): number => Math.round((ticks * 1e6) / track.timescale);
  let ticks = 0;
  return track.segments.flatMap((segment) => {
    const seconds = (microseconds(ticks + segment.ticks) - microseconds(ticks)) / 1e6;
    ticks += segment.ticks;
    return [`#EXTINF:${decimal(seconds)},`, ...before(segment), fromTrackFolder(track, segment.url)];
  });
}

/** The VOD media playlist of one rendition or audio track. `targetSeconds` is the title's one target duration. */
export function writeMedia(track: MediaTrack, targetSeconds: number): string {
  const map = `#EXT-X-MAP:URI="${fromTrackFolder(track, track.initUrl)}"`;
  const lines = head(targetSeconds, ['#EXT-X-INDEPENDENT-SEGMENTS', map]);
  return [...lines, ...segmentLines(track, () => []), '#EXT-X-ENDLIST', ''].join('\n');
}

/**
 * The I-frame playlist of one rendition (RFC 8216 section 4.3.3.6): byte ranges of the existing segments that end with
 * their first picture, each shown until the next one. Undefined when a segment does not say where that is.
 */
export function writeIframes(track: MediaTrack, targetSeconds: number): string | undefined {
  if (track.segments.some(({ keyframeBytes }) => keyframeBytes === undefined)) return undefined;
  const map = `#EXT-X-MAP:URI="${fromTrackFolder(track, track.initUrl)}"`;
  const lines = head(targetSeconds, ['#EXT-X-I-FRAMES-ONLY', map]);
  const ranges = segmentLines(track, ({ keyframeBytes }) => [`#EXT-X-BYTERANGE:${keyframeBytes}@0`]);
  return [...lines, ...ranges, '#EXT-X-ENDLIST', ''].join('\n');
}

/** The VOD media playlist of one text track. Subtitles may have a target duration of their own (RFC 8216 section 6.2.4). */
export function writeTextMedia(text: Text): string {
  const longest = text.segments.reduce((most, { durationSeconds }) => Math.max(most, durationSeconds), 0);
  const lines = head(Math.max(1, Math.round(longest)), []);
  const segments = text.segments.flatMap(({ url, durationSeconds }) => [
    `#EXTINF:${decimal(durationSeconds)},`,
    fromTrackFolder(text, url),
  ]);
  return [...lines, ...segments, '#EXT-X-ENDLIST', ''].join('\n');
}

/**
 * The image media playlist of the thumbnails (the extension of Roku, Disney and WarnerMedia: github.com/image-media-playlist):
 * one segment a sheet. Players that do not know it never open it.
 */
export function writeImages(trickplay: Trickplay, durationSeconds: number): string {
  const { secondsEach, columns, rows, width, height, sheets } = trickplay;
  const sheetSeconds = secondsEach * columns * rows;
  const lengths = sheets.map((_, at) => Math.min(sheetSeconds, durationSeconds - at * sheetSeconds));
  const tiles = `#EXT-X-TILES:RESOLUTION=${width}x${height},LAYOUT=${columns}x${rows},DURATION=${decimal(secondsEach)}`;
  const lines = head(Math.max(1, Math.round(Math.max(...lengths))), ['#EXT-X-IMAGES-ONLY']);
  const segments = sheets.flatMap(({ url }, at) => [
    `#EXTINF:${decimal(lengths[at] ?? 0)},`,
    tiles,
    url.replace(/^.*\//, ''),
  ]);
  return [...lines, ...segments, '#EXT-X-ENDLIST', ''].join('\n');
}
