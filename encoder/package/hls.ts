// HLS playlists (RFC 8216) of a package. Media playlists lie at ID/playlist.m3u8 in the package folder, so that URLs of
// title.json, which start at the package folder, become relative to that one folder down.
import type { Title, TitleRendition } from '../contract.ts';
import { targetDurationSeconds } from './rate.ts';

/** What a media playlist needs of a rendition or audio track. */
export type MediaTrack = Pick<TitleRendition, 'id' | 'timescale' | 'initUrl' | 'segments'>;
type Audio = Title['audio'][number];
type Text = Title['text'][number];

/** Where the media playlist of a track lies, relative to the package folder. */
export function mediaPlaylistUrl(track: { readonly id: string }): string {
  return `${track.id}/playlist.m3u8`;
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

/**
 * The VOD media playlist of one rendition or audio track, version 7. Each EXTINF is the difference of its segment's end
 * and start, both rounded to microseconds: whatever the timescale, their sum never strays from the true time.
 */
export function writeMedia(track: MediaTrack): string {
  const lines = [
    '#EXTM3U',
    '#EXT-X-VERSION:7',
    `#EXT-X-TARGETDURATION:${targetDurationSeconds(track)}`,
    '#EXT-X-MEDIA-SEQUENCE:0',
    '#EXT-X-PLAYLIST-TYPE:VOD',
    '#EXT-X-INDEPENDENT-SEGMENTS',
    `#EXT-X-MAP:URI="${fromTrackFolder(track, track.initUrl)}"`,
  ];
  const microseconds = (ticks: number): number => Math.round((ticks * 1e6) / track.timescale);
  let ticks = 0;
  for (const segment of track.segments) {
    const seconds = (microseconds(ticks + segment.ticks) - microseconds(ticks)) / 1e6;
    lines.push(`#EXTINF:${decimal(seconds)},`, fromTrackFolder(track, segment.url));
    ticks += segment.ticks;
  }
  lines.push('#EXT-X-ENDLIST', '');
  return lines.join('\n');
}

/** The VOD media playlist of one text track: the whole WebVTT file as its one segment. */
export function writeTextMedia(text: Text, durationSeconds: number): string {
  return [
    '#EXTM3U',
    '#EXT-X-VERSION:7',
    `#EXT-X-TARGETDURATION:${Math.max(1, Math.round(durationSeconds))}`,
    '#EXT-X-MEDIA-SEQUENCE:0',
    '#EXT-X-PLAYLIST-TYPE:VOD',
    `#EXTINF:${decimal(durationSeconds)},`,
    fromTrackFolder(text, text.url),
    '#EXT-X-ENDLIST',
    '',
  ].join('\n');
}

/** NAME="..." must be unique in its group; languages say more to a viewer than track ids. */
function trackName(track: { readonly id: string; readonly language: string }, all: readonly { language: string }[]) {
  const isOnly = all.filter(({ language }) => language === track.language).length === 1;
  return isOnly ? track.language : `${track.language} ${track.id}`;
}

/** Attributes as `A=1,B="x"`; undefined ones are left out. Quoted values lose what a quoted string may not hold. */
function attributes(
  values: Readonly<Record<string, string | number | undefined>>,
  quoted: ReadonlySet<string>,
): string {
  return Object.entries(values)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${quoted.has(name) ? `"${String(value).replace(/["\r\n]/g, '')}"` : value}`)
    .join(',');
}

const QUOTED = new Set(['GROUP-ID', 'LANGUAGE', 'NAME', 'CHANNELS', 'URI', 'CODECS', 'AUDIO', 'SUBTITLES']);

function mediaLine(type: 'AUDIO' | 'SUBTITLES', values: Readonly<Record<string, string | number | undefined>>): string {
  return `#EXT-X-MEDIA:TYPE=${type},${attributes(values, QUOTED)}`;
}

function variantLines(title: Title, prefix: string, group: AudioGroup | undefined): string[] {
  const most = (rate: (audio: Audio) => number): number => Math.max(0, ...(group?.tracks.map(rate) ?? []));
  return title.renditions.flatMap((rendition) => {
    const values = {
      BANDWIDTH: Math.ceil(rendition.peakBandwidthBps + most((audio) => audio.peakBandwidthBps)),
      'AVERAGE-BANDWIDTH': Math.ceil(rendition.averageBandwidthBps + most((audio) => audio.averageBandwidthBps)),
      CODECS: group === undefined ? rendition.codec : `${rendition.codec},${group.codec}`,
      RESOLUTION: `${rendition.width}x${rendition.height}`,
      'FRAME-RATE': rendition.frameRate.toFixed(3),
      'VIDEO-RANGE': rendition.videoRange,
      AUDIO: group?.id,
      SUBTITLES: title.text.length > 0 ? 'text' : undefined,
    };
    return [`#EXT-X-STREAM-INF:${attributes(values, QUOTED)}`, `${prefix}${mediaPlaylistUrl(rendition)}`];
  });
}

type AudioGroup = { readonly id: string; readonly codec: string; readonly tracks: readonly Audio[] };

/** One group per audio codec, since a variant's CODECS must hold for every rendition of its group. */
function audioGroups(title: Title): readonly AudioGroup[] {
  const codecs = [...new Set(title.audio.map(({ codec }) => codec))];
  return codecs.map((codec, index) => ({
    id: codecs.length === 1 ? 'audio' : `audio${index + 1}`,
    codec,
    tracks: title.audio.filter((audio) => audio.codec === codec),
  }));
}

/**
 * The multivariant playlist. `prefix` goes before each URL: '' for the one inside the package folder, `HASH/` for
 * titles/ID/master.m3u8. Variants keep the order of title.json, best first. BANDWIDTH is the sum of the peaks of video
 * and the largest audio of its group, in bits a second.
 */
export function writeMultivariant(title: Title, prefix: string): string {
  const lines = ['#EXTM3U', '#EXT-X-VERSION:7', '#EXT-X-INDEPENDENT-SEGMENTS'];
  const groups = audioGroups(title);
  const language = (tag: string): string | undefined => (tag === 'und' ? undefined : tag);
  for (const group of groups) {
    for (const [index, audio] of group.tracks.entries()) {
      const names = { 'GROUP-ID': group.id, NAME: trackName(audio, group.tracks), LANGUAGE: language(audio.language) };
      const choice = { DEFAULT: index === 0 ? 'YES' : 'NO', AUTOSELECT: 'YES', CHANNELS: audio.channels };
      lines.push(mediaLine('AUDIO', { ...names, ...choice, URI: `${prefix}${mediaPlaylistUrl(audio)}` }));
    }
  }
  for (const text of title.text) {
    const names = { 'GROUP-ID': 'text', NAME: trackName(text, title.text), LANGUAGE: language(text.language) };
    const choice = { DEFAULT: 'NO', AUTOSELECT: 'YES' };
    lines.push(mediaLine('SUBTITLES', { ...names, ...choice, URI: `${prefix}${mediaPlaylistUrl(text)}` }));
  }
  for (const group of groups.length > 0 ? groups : [undefined]) lines.push(...variantLines(title, prefix, group));
  return `${lines.join('\n')}\n`;
}
