// A preview with its captions as a group (RFC 8216bis): a multivariant playlist of one rendition, and for each text track a
// media playlist of one WebVTT segment for each run of segments that belong together. Pure.
import type { Title } from '../../encoder/contract.ts';
import { moveCaptions } from './captions.ts';
import { placesOf } from './films.ts';
import { cutSegments, type RenditionHint, type Span } from './playlist.ts';
import type { Placed } from './splice.ts';

/** A cut of a title, by its name. */
export type NamedCut = { readonly title: Title; readonly arm: string; readonly moments: readonly Span[] };

/**
 * Cues of segments have the title's own time, as its pictures do (RFC 8216 section 3.5). Said at 10 s and not at 0, which is
 * the same: with 0, hls.js 1.7 does not wait until it knows the pictures' time behind a discontinuity.
 */
const TIMESTAMP_MAP = 'X-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:10.000';

const pathOf = ({ title, arm }: NamedCut, kind: string, query: Readonly<Record<string, string>>): string =>
  `/.nearcast/preview/${encodeURIComponent(title.id)}.${kind}?${new URLSearchParams({ cut: arm, ...query })}`;

/** Text inside a quoted attribute. */
const quoted = (text: string): string => `"${text.replace(/["\r\n]/g, '')}"`;

/** What the device and the line are, as the routes' query says it. */
export function hintQuery({ heightPixels, throughputBps, codecs = [] }: RenditionHint): Record<string, string> {
  return {
    ...(heightPixels === undefined ? {} : { maxHeight: String(heightPixels) }),
    ...(throughputBps === undefined ? {} : { throughput: String(Math.round(throughputBps / 1000)) }),
    ...(codecs.length === 0 ? {} : { codecs: codecs.join(',') }),
  };
}

/** The preview and its text tracks; undefined when no segment lies in the moments. */
export function captionedPlaylist(cut: NamedCut, hint: RenditionHint): string | undefined {
  const found = cutSegments(cut.title, cut.moments, hint);
  if (found === undefined) return undefined;
  const { codec, peakBandwidthBps, averageBandwidthBps, width, height, frameRate } = found.rendition;
  const names = new Set<string>();
  const media = cut.title.text.map(({ id, language, name = language, role }) => {
    // A NAME may be there once (section 4.4.6.1.1).
    const own = names.has(name) ? `${name} ${id}` : name;
    names.add(own);
    const forced = role === 'forced' ? ',FORCED=YES,AUTOSELECT=YES' : ',AUTOSELECT=NO';
    const uri = pathOf(cut, 'm3u8', { text: id });
    return `#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="text",NAME=${quoted(own)},LANGUAGE=${quoted(language)}${forced},URI="${uri}"`;
  });
  const group = media.length === 0 ? '' : ',SUBTITLES="text"';
  const rate = `BANDWIDTH=${peakBandwidthBps},AVERAGE-BANDWIDTH=${averageBandwidthBps},FRAME-RATE=${frameRate.toFixed(3)}`;
  return [
    ...['#EXTM3U', '#EXT-X-VERSION:7', '#EXT-X-INDEPENDENT-SEGMENTS', ...media],
    `#EXT-X-STREAM-INF:${rate},CODECS=${quoted(codec)},RESOLUTION=${width}x${height}${group}`,
    pathOf(cut, 'm3u8', hintQuery(hint)),
    '',
  ].join('\n');
}

/** Runs of places that follow each other in the title, too: what lies between two discontinuities. */
function runsOf({ title, moments }: NamedCut): readonly (readonly Placed[])[] {
  const runs: Placed[][] = [];
  for (const place of placesOf(title, moments) ?? []) {
    const before = runs.at(-1)?.at(-1);
    const isNext = before !== undefined && Math.abs(before.sourceSeconds + before.seconds - place.sourceSeconds) < 1e-3;
    if (isNext) runs.at(-1)?.push(place);
    else runs.push([place]);
  }
  return runs;
}

/** Media playlist of one text track; its discontinuities are those of the pictures. Undefined for a track there is none of. */
export function textPlaylist(cut: NamedCut, trackId: string): string | undefined {
  const runs = runsOf(cut);
  if (runs.length === 0 || !cut.title.text.some(({ id }) => id === trackId)) return undefined;
  const seconds = runs.map((run) => run.reduce((sum, place) => sum + place.seconds, 0));
  const segments = seconds.map((length, run) => {
    const uri = pathOf(cut, 'vtt', { text: trackId, run: String(run) });
    return `${run === 0 ? '' : '#EXT-X-DISCONTINUITY\n'}#EXTINF:${length.toFixed(5)},\n${uri}`;
  });
  const target = Math.max(1, Math.ceil(Math.max(...seconds)));
  return [
    ...['#EXTM3U', '#EXT-X-VERSION:7', `#EXT-X-TARGETDURATION:${target}`, '#EXT-X-MEDIA-SEQUENCE:0'],
    ...['#EXT-X-PLAYLIST-TYPE:VOD', ...segments, '#EXT-X-ENDLIST', ''],
  ].join('\n');
}

/** One segment of such a playlist of a track's whole WebVTT; undefined for no such run, or what is no WebVTT. */
export function textSegment(cut: NamedCut, text: string, run: number): string | undefined {
  const own = runsOf(cut)[run]?.map((place) => ({ ...place, atSeconds: place.sourceSeconds }));
  const moved = own === undefined ? undefined : moveCaptions(text, own);
  return moved?.replace(/^WEBVTT\n/, `WEBVTT\n${TIMESTAMP_MAP}\n`);
}
