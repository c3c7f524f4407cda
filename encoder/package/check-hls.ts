// The HLS multivariant playlist against RFC 8216, Apple's authoring specification, and what the files below it hold.
import type { Problem } from './check.ts';
import { checkMediaPlaylists, openPlaylist } from './check-media.ts';
import { averageBandwidthBps, peakBandwidthBps, type Timed, titleTargetSeconds } from './rate.ts';
import { type Attributes, type Playlist, PlaylistError, readAttributes } from './read-hls.ts';
import { measured, type Report, reporter, resolveUrl, type Written } from './written.ts';

/** Where it lies in the package folder. */
const URL_OF = 'master.m3u8';
type Media = { readonly attributes: Attributes; readonly url: string | undefined };
type Rates = { readonly peak: number; readonly average: number };
const NO_RATES: Rates = { peak: 0, average: 0 };

/** Every problem of the package's HLS: the multivariant playlist and all below it. */
export function checkHls(written: Written): readonly Problem[] {
  const problems: Problem[] = [];
  const report = reporter(problems, 'playlist', URL_OF);
  const playlist = openPlaylist(written, URL_OF, report);
  if (playlist === undefined) return problems;
  try {
    const media = readMedia(playlist);
    checkGroups(media, report);
    for (const { id } of [...written.title.audio, ...written.title.text])
      if (!media.some(({ url }) => url === `${id}/playlist.m3u8`)) report(`${id} is in no group`);
    checkVariants(written, playlist, media, report);
    checkIframeStreams(written, playlist, report);
  } catch (error) {
    if (!(error instanceof PlaylistError)) throw error;
    report(error.message);
  }
  return [...problems, ...checkMediaPlaylists(written)];
}

function readMedia({ tags }: Playlist): readonly Media[] {
  return tags
    .filter(({ name }) => name === 'EXT-X-MEDIA')
    .map(({ value }) => {
      const attributes = readAttributes(value);
      return { attributes, url: resolveUrl(attributes['URI'] ?? '..', URL_OF) };
    });
}

const keyOf = (attributes: Attributes, names: readonly string[]): string =>
  names.map((name) => attributes[name] ?? '').join('|');

/** Groups of renditions: RFC 8216 section 4.3.4.1.1. */
function checkGroups(media: readonly Media[], report: Report): void {
  const groupOf = ({ attributes }: Media): string => keyOf(attributes, ['TYPE', 'GROUP-ID']);
  const groups = Map.groupBy(media, groupOf);
  const choices = new Map<string, string>();
  for (const [id, members] of groups) {
    const all = members.map(({ attributes }) => attributes);
    const names = all.map((one) => one['NAME'] ?? '');
    if (names.includes('') || new Set(names).size < names.length) report(`group ${id}: NAME is missing or not unique`);
    if (all.filter((one) => one['DEFAULT'] === 'YES').length > 1) report(`group ${id}: two defaults`);
    if (all.some((one) => one['DEFAULT'] === 'YES' && one['AUTOSELECT'] !== 'YES'))
      report(`group ${id}: DEFAULT without AUTOSELECT`);
    if (all.some((one) => one['TYPE'] !== 'SUBTITLES' && one['FORCED'] !== undefined)) report(`group ${id}: FORCED`);
    const open = all.filter((one) => one['AUTOSELECT'] === 'YES');
    const kinds = open.map((one) => keyOf(one, ['LANGUAGE', 'FORCED', 'CHARACTERISTICS']));
    if (new Set(kinds).size < kinds.length) report(`group ${id}: AUTOSELECT cannot tell two renditions apart`);
    if (all.some((one) => one['TYPE'] === 'AUDIO' && !/^[1-9]\d*$/.test(one['CHANNELS'] ?? '')))
      report(`group ${id}: CHANNELS`);
    const [type = ''] = id.split('|');
    const same = JSON.stringify(
      all.map((one) => keyOf(one, ['NAME', 'LANGUAGE', 'DEFAULT', 'AUTOSELECT', 'FORCED', 'CHARACTERISTICS'])).sort(),
    );
    if ((choices.get(type) ?? same) !== same) report(`group ${id}: not the choices of the other ${type} groups`);
    choices.set(type, same);
  }
}

function ratesOf(timed: Timed | undefined, targetSeconds?: number): Rates {
  if (timed === undefined) return NO_RATES;
  return { peak: peakBandwidthBps(timed, targetSeconds), average: averageBandwidthBps(timed) };
}

/** Text as a rate is computed from it. */
function textTimes({ title, sizes }: Written, id: string): Timed | undefined {
  const track = title.text.find((text) => text.id === id);
  if (track === undefined) return undefined;
  const segments = track.segments.map(({ url, durationSeconds }) => {
    return { ticks: Math.max(1, durationSeconds * 1000), bytes: sizes.get(url) ?? 0 };
  });
  return { timescale: 1000, segments };
}

/** Both rates must be what the files give, rounded up: less is a lie, more wastes quality. */
function checkRates(attributes: Attributes, true_: Rates, report: Report): void {
  const told = { peak: Number(attributes['BANDWIDTH']), average: Number(attributes['AVERAGE-BANDWIDTH']) };
  for (const which of ['peak', 'average'] as const) {
    const isTrue = Number.isSafeInteger(told[which]) && told[which] >= true_[which] && told[which] <= true_[which] + 2;
    if (!isTrue) report(`${which} bandwidth is ${told[which]}, the files give ${true_[which]} (4.3.4.2)`);
  }
}

function checkVariants(written: Written, playlist: Playlist, media: readonly Media[], report: Report): void {
  const { title } = written;
  const seen = new Set<string>();
  const target = titleTargetSeconds([...title.renditions, ...title.audio]);
  for (const { uri, tags } of playlist.entries) {
    const own = tags.filter(({ name }) => name === 'EXT-X-STREAM-INF');
    const attributes = readAttributes(own.at(-1)?.value ?? '');
    const url = resolveUrl(uri, URL_OF);
    const rendition = title.renditions.find(({ id }) => url === `${id}/playlist.m3u8`);
    const key = `${url} ${keyOf(attributes, ['AUDIO', 'SUBTITLES'])}`;
    if (own.length !== 1 || rendition === undefined || seen.has(key)) {
      report(`${uri}: not one variant of one rendition (4.3.4.2)`);
      continue;
    }
    seen.add(key);
    const members = (type: string): readonly Media[] =>
      media.filter((one) => one.attributes['TYPE'] === type && one.attributes['GROUP-ID'] === attributes[type]);
    const audio = members('AUDIO').map((one) => title.audio.find(({ id }) => one.url === `${id}/playlist.m3u8`));
    const text = members('SUBTITLES').map((one) => title.text.find(({ id }) => one.url === `${id}/playlist.m3u8`));
    if (audio.includes(undefined) || text.includes(undefined)) report(`${uri}: its groups name what is no track`);
    for (const type of ['AUDIO', 'SUBTITLES'])
      if (attributes[type] !== undefined && members(type).length === 0) report(`${uri}: no group ${attributes[type]}`);
    const codecs = [...new Set([rendition, ...audio].flatMap((one) => written.codecs.get(one?.id ?? '') ?? []))].sort();
    if (attributes['CODECS']?.split(',').sort().join() !== codecs.join())
      report(`${uri}: CODECS is ${attributes['CODECS']}, its tracks need ${codecs.join()}`);
    checkPicture(attributes, rendition, report);
    if (attributes['FRAME-RATE'] !== rendition.frameRate.toFixed(3)) report(`${uri}: FRAME-RATE`);
    const rates = [
      audio.map((one) =>
        ratesOf(measured(one?.segments.map((segment) => segment.url) ?? [], written.facts, 'bytes'), target),
      ),
      text.map((one) => ratesOf(textTimes(written, one?.id ?? ''))),
    ];
    const video = ratesOf(
      measured(
        rendition.segments.map((segment) => segment.url),
        written.facts,
        'bytes',
      ),
      target,
    );
    const sum = (which: keyof Rates): number =>
      rates.reduce((total, some) => total + Math.max(0, ...some.map((one) => one[which])), video[which]);
    checkRates(attributes, { peak: sum('peak'), average: sum('average') }, report);
  }
  const missing = title.renditions.filter(({ id }) => ![...seen].some((key) => key.startsWith(`${id}/`)));
  if (missing.length > 0) report(`no variant of ${missing.map(({ id }) => id).join()}`);
  const played = new Set(
    playlist.entries
      .flatMap(({ tags }) => tags)
      .filter(({ name }) => name === 'EXT-X-STREAM-INF')
      .map(({ value }) => readAttributes(value)['AUDIO']),
  );
  if (media.some((one) => one.attributes['TYPE'] === 'AUDIO' && !played.has(one.attributes['GROUP-ID'])))
    report('an audio group that no variant has');
}

function checkPicture(attributes: Attributes, rendition: Written['title']['renditions'][number], report: Report): void {
  if (attributes['RESOLUTION'] !== `${rendition.width}x${rendition.height}`) report(`${rendition.id}: RESOLUTION`);
  if (attributes['VIDEO-RANGE'] !== rendition.videoRange) report(`${rendition.id}: VIDEO-RANGE`);
}

/** EXT-X-I-FRAME-STREAM-INF: RFC 8216 section 4.3.4.3; the rates are those of the byte ranges. */
function checkIframeStreams(written: Written, { tags }: Playlist, report: Report): void {
  const { title } = written;
  const target = titleTargetSeconds([...title.renditions, ...title.audio]);
  const streams = tags
    .filter(({ name }) => name === 'EXT-X-I-FRAME-STREAM-INF')
    .map(({ value }) => readAttributes(value));
  for (const rendition of title.renditions) {
    const own = streams.filter(({ URI }) => resolveUrl(URI ?? '..', URL_OF) === `${rendition.id}/iframes.m3u8`);
    const [attributes] = own;
    if (attributes === undefined || own.length > 1) {
      report(`${rendition.id}: ${own.length} I-frame playlists`);
      continue;
    }
    checkPicture(attributes, rendition, report);
    if (attributes['CODECS'] !== written.codecs.get(rendition.id)) report(`${rendition.id}: CODECS of its I-frames`);
    const times = measured(
      rendition.segments.map(({ url }) => url),
      written.facts,
      'keyframeBytes',
    );
    checkRates(attributes, ratesOf(times, target), report);
  }
}
