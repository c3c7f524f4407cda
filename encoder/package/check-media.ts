// HLS media playlists, I-frame playlists, text and thumbnails against RFC 8216 and against the files that they name.
import type { Problem } from './check.ts';
import { iframePlaylistUrl, imagePlaylistUrl, mediaPlaylistUrl } from './hls.ts';
import { titleTargetSeconds } from './rate.ts';
import { type Entry, type Playlist, PlaylistError, readAttributes, readPlaylist, tagValue } from './read-hls.ts';
import { readCaptions } from './text.ts';
import { measured, type Report, reporter, resolveUrl, type Written } from './written.ts';

/** EXTINF may be off by half of its last digit, and by that of the sum before it. */
const MICROSECOND = 1.01e-6;

/** A playlist of the package, or undefined after reporting why not. */
export function openPlaylist(written: Written, url: string, report: Report): Playlist | undefined {
  const text = written.texts.get(url);
  if (text === undefined) {
    report('not in the package');
    return undefined;
  }
  try {
    return readPlaylist(text);
  } catch (error) {
    if (!(error instanceof PlaylistError)) throw error;
    report(error.message);
    return undefined;
  }
}

/** Seconds of every segment, after the rules that hold for every VOD media playlist. */
function checkVod(playlist: Playlist, report: Report): readonly number[] {
  const { tags, entries } = playlist;
  const target = Number(tagValue(tags, 'EXT-X-TARGETDURATION'));
  if (!Number.isSafeInteger(target) || target < 1) report('no EXT-X-TARGETDURATION (4.3.3.1)');
  if (tagValue(tags, 'EXT-X-PLAYLIST-TYPE') !== 'VOD') report('EXT-X-PLAYLIST-TYPE is not VOD (4.3.3.5)');
  if (tags.at(-1)?.name !== 'EXT-X-ENDLIST') report('does not end with EXT-X-ENDLIST (4.3.3.4)');
  if (Number(tagValue(tags, 'EXT-X-VERSION')) < 6) report('EXT-X-MAP needs version 6 (section 7)');
  if (entries.length === 0) report('no segments');
  return entries.map(({ uri, tags: own }) => {
    const [, seconds = ''] = /^(\d+(?:\.\d+)?),/.exec(tagValue(own, 'EXTINF') ?? '') ?? [];
    if (seconds === '') report(`${uri} has no EXTINF (4.3.2.1)`);
    if (Math.round(Number(seconds)) > target) report(`${uri} lasts ${seconds} s, the target is ${target} (4.3.3.1)`);
    return Number(seconds);
  });
}

type Timeline = { readonly timescale: number; readonly segments: readonly { readonly ticks: number }[] };

/** Each segment's end as the playlist adds it up against its true end. */
function checkTimes(seconds: readonly number[], track: Timeline, report: Report): void {
  let ticks = 0;
  let told = 0;
  for (const [at, segment] of track.segments.entries()) {
    ticks += segment.ticks;
    told += seconds[at] ?? 0;
    if (Math.abs(told - ticks / track.timescale) <= MICROSECOND + at * 1e-12) continue;
    report(`segment ${at} ends at ${told}, not at ${ticks / track.timescale} s`);
    return;
  }
}

function checkMap(entries: readonly Entry[], url: string, initUrl: string, report: Report): void {
  const maps = entries.flatMap(({ tags }) => tags.filter(({ name }) => name === 'EXT-X-MAP'));
  const [map] = maps;
  const uri = map === undefined ? undefined : readAttributes(map.value)['URI'];
  if (maps.length !== 1 || uri === undefined || resolveUrl(uri, url) !== initUrl) {
    report(`EXT-X-MAP must name ${initUrl} once, before all segments (4.3.2.5)`);
  }
}

type Track = Written['title']['renditions'][number] | Written['title']['audio'][number];

function checkTrackPlaylist(written: Written, track: Track, targetSeconds: number): Problem[] {
  const problems: Problem[] = [];
  const url = mediaPlaylistUrl(track);
  const report = reporter(problems, 'playlist', url);
  const playlist = openPlaylist(written, url, report);
  if (playlist === undefined) return problems;
  const seconds = checkVod(playlist, report);
  if (Number(tagValue(playlist.tags, 'EXT-X-TARGETDURATION')) !== targetSeconds)
    report(`the target duration is not the title's ${targetSeconds} (6.2.4)`);
  if (tagValue(playlist.tags, 'EXT-X-INDEPENDENT-SEGMENTS') === undefined) report('no EXT-X-INDEPENDENT-SEGMENTS');
  checkMap(playlist.entries, url, track.initUrl, report);
  const urls = playlist.entries.map(({ uri }) => resolveUrl(uri, url) ?? '');
  if (urls.join() !== track.segments.map((segment) => segment.url).join()) report("not title.json's segments in order");
  const found = measured(urls, written.facts, 'bytes');
  if (found === undefined) report('names a segment that is not in the package');
  else checkTimes(seconds, found, report);
  return problems;
}

function checkIframes(written: Written, track: Track): Problem[] {
  const problems: Problem[] = [];
  const url = iframePlaylistUrl(track);
  const report = reporter(problems, 'playlist', url);
  const playlist = openPlaylist(written, url, report);
  if (playlist === undefined) return problems;
  const seconds = checkVod(playlist, report);
  if (tagValue(playlist.tags, 'EXT-X-I-FRAMES-ONLY') === undefined) report('no EXT-X-I-FRAMES-ONLY (4.3.3.6)');
  checkMap(playlist.entries, url, track.initUrl, report);
  if (playlist.entries.length !== track.segments.length) report('not one picture per segment');
  const urls = playlist.entries.map(({ uri }) => resolveUrl(uri, url) ?? '');
  for (const [at, { tags }] of playlist.entries.entries()) {
    const facts = written.facts.get(urls[at] ?? '');
    const [, length, offset] = /^(\d+)@(\d+)$/.exec(tagValue(tags, 'EXT-X-BYTERANGE') ?? '') ?? [];
    if (facts?.startsWithKey !== true) report(`${urls[at]} is no segment that begins with a keyframe`);
    else if (offset !== '0' || Number(length) !== facts.keyframeBytes)
      report(
        `the range of ${urls[at]} is ${length}@${offset}, its first picture is ${facts.keyframeBytes}@0 (4.3.2.2)`,
      );
  }
  const found = measured(urls, written.facts, 'bytes');
  if (found !== undefined) checkTimes(seconds, found, report);
  return problems;
}

function checkText(written: Written, text: Written['title']['text'][number]): Problem[] {
  const problems: Problem[] = [];
  const url = mediaPlaylistUrl(text);
  const report = reporter(problems, 'text', url);
  const playlist = openPlaylist(written, url, report);
  if (playlist === undefined) return problems;
  const seconds = checkVod(playlist, report);
  const whole = readCaptions(written.texts.get(text.url) ?? '');
  if (whole === undefined) report(`${text.url} is no WebVTT file`);
  let startMs = 0;
  for (const [at, { uri }] of playlist.entries.entries()) {
    const segmentUrl = resolveUrl(uri, url) ?? '';
    const content = written.texts.get(segmentUrl) ?? '';
    const endMs = startMs + (seconds[at] ?? 0) * 1000;
    const cues = readCaptions(content)?.cues;
    const shown = whole?.cues.filter((cue) => cue.startMs < endMs && cue.endMs > startMs);
    if (!/^WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00\.000\n/.test(content))
      report(`${segmentUrl} has no X-TIMESTAMP-MAP (3.5)`);
    if (JSON.stringify(cues) !== JSON.stringify(shown)) report(`${segmentUrl} does not hold the cues shown during it`);
    if (written.sizes.get(segmentUrl) !== text.segments[at]?.bytes) report(`${segmentUrl} has another size`);
    startMs = endMs;
  }
  const wanted = written.title.durationSeconds * 1000;
  if (Math.abs(startMs - wanted) > 1) report(`lasts ${startMs} ms, the title ${wanted}`);
  return problems;
}

function checkImages(written: Written): Problem[] {
  const { trickplay } = written.title.images;
  if (trickplay === undefined) return [];
  const problems: Problem[] = [];
  const { vttUrl, pictures, columns, rows, width, height, secondsEach, sheets } = trickplay;
  const report = reporter(problems, 'image', vttUrl);
  const perSheet = columns * rows;
  if (sheets.length !== Math.ceil(pictures / perSheet)) report(`${sheets.length} sheets for ${pictures} pictures`);
  for (const { url, bytes } of sheets) if (written.sizes.get(url) !== bytes) report(`${url} has another size`);
  const cues = readCaptions(written.texts.get(vttUrl) ?? '')?.cues ?? [];
  if (cues.length !== pictures) report(`${cues.length} cues for ${pictures} pictures`);
  for (const [at, { startMs, lines }] of cues.entries()) {
    const [, uri = '', x, y, w, h] = /^([^#]+)#xywh=(\d+),(\d+),(\d+),(\d+)$/.exec(lines.join('\n')) ?? [];
    const place = at % perSheet;
    const wanted = [(place % columns) * width, Math.floor(place / columns) * height, width, height];
    const isThere = resolveUrl(uri, vttUrl) === sheets[Math.floor(at / perSheet)]?.url;
    const isPlaced =
      [x, y, w, h].map(Number).join() === wanted.join() && startMs === Math.round(at * secondsEach * 1000);
    if (!isThere || !isPlaced) report(`cue ${at} is not picture ${at}`);
  }
  const url = imagePlaylistUrl(trickplay);
  const playlist = openPlaylist(written, url, reporter(problems, 'image', url));
  const named = playlist?.entries.map(({ uri }) => resolveUrl(uri, url));
  if (playlist !== undefined) checkVod(playlist, reporter(problems, 'image', url));
  if (named?.join() !== sheets.map((sheet) => sheet.url).join()) report(`${url} does not name the sheets`);
  return problems;
}

/** Every problem of the playlists below the multivariant one, of text and of thumbnails. */
export function checkMediaPlaylists(written: Written): readonly Problem[] {
  const { renditions, audio, text } = written.title;
  const tracks = [...renditions, ...audio];
  const target = titleTargetSeconds(tracks);
  return [
    ...tracks.flatMap((track) => checkTrackPlaylist(written, track, target)),
    ...renditions.flatMap((rendition) => checkIframes(written, rendition)),
    ...text.flatMap((track) => checkText(written, track)),
    ...checkImages(written),
  ];
}
