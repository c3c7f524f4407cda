// The DASH manifest (ISO/IEC 23009-1) of a package: static, the same segments as HLS, times in exact
// ticks.
import assert from 'node:assert';
import type { Title } from '../contract.ts';
import type { MediaTrack } from './hls.ts';
import { minimumBufferSeconds, trackSeconds } from './rate.ts';

/** TransferCharacteristics of ISO/IEC 23091-2 (CICP); SDR is what a player assumes. */
const TRANSFER = { SDR: undefined, PQ: 16, HLG: 18 } as const;
/** AudioChannelConfiguration by ISO/IEC 23003-3: the value is the number of channels for 1 to 6. */
const CHANNELS = 'urn:mpeg:dash:23003:3:audio_channel_configuration:2011';

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

function xml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => ENTITIES[character] ?? '');
}

/** `<name a="1">children</name>`, one element a line, undefined attributes left out. */
function element(
  name: string,
  attributes: Readonly<Record<string, string | number | undefined>>,
  children: readonly string[] = [],
): string {
  const written = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${xml(String(value))}"`)
    .join('');
  return children.length === 0 ? `<${name}${written}/>` : `<${name}${written}>\n${children.join('\n')}\n</${name}>`;
}

/** S elements with runs of equal durations folded into r, the number of repeats after the first. */
function timeline(track: MediaTrack): string {
  const runs: { t: number; d: number; r: number }[] = [];
  let next: number | undefined;
  for (const { startTicks, ticks } of track.segments) {
    const last = runs.at(-1);
    if (last !== undefined && last.d === ticks && next === startTicks) last.r += 1;
    else runs.push({ t: startTicks, d: ticks, r: 0 });
    next = startTicks + ticks;
  }
  const lines = runs.map(({ t, d, r }) => element('S', { t, d, r: r === 0 ? undefined : r }));
  return element('SegmentTimeline', {}, lines);
}

/** `v720/$Number%05d$.m4s`: the URLs must count up by one with as many digits, as a package's files do. */
function templateOf(urls: readonly string[]): { readonly media: string; readonly startNumber: number } {
  const [, before = '', digits = '', after = ''] = /^([^$]*?)(\d+)(\.[a-z0-9]+)$/.exec(urls[0] ?? '') ?? [];
  const startNumber = Number(digits);
  for (const [index, url] of urls.entries()) {
    const counted = `${before}${String(startNumber + index).padStart(digits.length, '0')}${after}`;
    assert(digits !== '' && url === counted, `${url} does not count on from ${urls[0]}`);
  }
  return { media: `${before}$Number%0${digits.length}d$${after}`, startNumber };
}

/**
 * One template with one timeline for all Representations of a set, since their boundaries are the same: a manifest a
 * fifth of the size. Each track's files lie in the folder of its id.
 */
function segments(tracks: readonly MediaTrack[]): string {
  const templates = tracks.map((track) => {
    const inFolder = (url: string): string => {
      assert(url.startsWith(`${track.id}/`), `${url} is not in the folder of ${track.id}`);
      return `$RepresentationID$/${url.slice(track.id.length + 1)}`;
    };
    const { media, startNumber } = templateOf(track.segments.map(({ url }) => url));
    const names = { initialization: inFolder(track.initUrl), media: inFolder(media), startNumber };
    return element('SegmentTemplate', { timescale: track.timescale, ...names }, [timeline(track)]);
  });
  const [template = '', ...others] = templates;
  assert(
    others.every((other) => other === template),
    'renditions of one set with different boundaries',
  );
  return template;
}

/** An exact xs:duration to the microsecond. */
function duration(seconds: number): string {
  return `PT${seconds.toFixed(6).replace(/\.?0+$/, '')}S`;
}

type Rendition = Title['renditions'][number];
type Values = Readonly<Record<string, string | number | undefined>>;

/** The part of a codecs string that says which decoder is needed: `avc1`, `hvc1`, `av01`. */
function decoderOf(codec: string): string {
  return codec.split('.')[0] ?? codec;
}

/** Among sets that a device can play, the codec that needs fewer bits goes first: ISO/IEC 23009-1 section 5.3.3.2. */
const PRIORITY: Readonly<Record<string, number>> = { av01: 3, hvc1: 2, hev1: 2 };

/** One AdaptationSet per codec and video range; players may switch from one to another at any segment. */
function videoSets(title: Title): string[] {
  const kindOf = ({ codec, videoRange }: Rendition): string => `${decoderOf(codec)}-${videoRange}`;
  const kinds = [...new Set(title.renditions.map(kindOf))];
  return kinds.map((kind, index) => {
    const renditions = title.renditions.filter((rendition) => kindOf(rendition) === kind);
    const [first] = renditions;
    const others = kinds.flatMap((_, other) => (other === index ? [] : [`video${other + 1}`]));
    const set = {
      id: `video${index + 1}`,
      ...{ contentType: 'video', mimeType: 'video/mp4', segmentAlignment: 'true', startWithSAP: 1 },
      maxWidth: Math.max(...renditions.map(({ width }) => width)),
      maxHeight: Math.max(...renditions.map(({ height }) => height)),
      selectionPriority: kinds.length > 1 ? (PRIORITY[decoderOf(first?.codec ?? '')] ?? 1) : undefined,
    };
    const switching = { schemeIdUri: 'urn:mpeg:dash:adaptation-set-switching:2016', value: others.join(',') };
    return element('AdaptationSet', set, [
      ...colours(first?.videoRange ?? 'SDR'),
      ...(others.length > 0 ? [element('SupplementalProperty', switching)] : []),
      segments(renditions),
      ...renditions.map(videoRepresentation),
    ]);
  });
}

/** Wide colours, which a player must know how to show: ISO/IEC 23091-2 (CICP), BT.2020 in both cases. */
function colours(range: Rendition['videoRange']): string[] {
  const transfer = TRANSFER[range];
  if (transfer === undefined) return [];
  const values = { ColourPrimaries: 9, TransferCharacteristics: transfer, MatrixCoefficients: 9 };
  return Object.entries(values).map(([name, value]) =>
    element('EssentialProperty', { schemeIdUri: `urn:mpeg:mpegB:cicp:${name}`, value }),
  );
}

function videoRepresentation(rendition: Rendition): string {
  const { id, codec, width, height } = rendition;
  const rate = { codecs: codec, bandwidth: bandwidthOf(rendition) };
  const picture = { width, height, frameRate: frameRate(rendition.frameRate), sar: '1:1' };
  return element('Representation', { id, ...rate, ...picture });
}

/** Representation@bandwidth: the peak, rounded up. */
function bandwidthOf(track: Pick<Rendition, 'peakBandwidthBps'>): number {
  return Math.ceil(track.peakBandwidthBps);
}

const ROLE = 'urn:mpeg:dash:role:2011';
const role = (value: string): string => element('Role', { schemeIdUri: ROLE, value });
/** Roles of ISO/IEC 23009-1 section 5.8.5.5 for ours. */
const AUDIO_ROLE = {
  main: 'main',
  alternate: 'alternate',
  commentary: 'commentary',
  description: 'description',
} as const;
const TEXT_ROLE = { subtitles: 'subtitle', captions: 'caption', forced: 'forced-subtitle' } as const;
const language = (tag: string): string | undefined => (tag === 'und' ? undefined : tag);
const label = (name: string | undefined): string[] => (name === undefined ? [] : [`<Label>${xml(name)}</Label>`]);

function audioSets(title: Title): string[] {
  return title.audio.map((track, index) => {
    const set = {
      id: `audio${index + 1}`,
      ...{ contentType: 'audio', mimeType: 'audio/mp4', lang: language(track.language) },
      ...{ segmentAlignment: 'true', startWithSAP: 1 },
    };
    const rate = { id: track.id, codecs: track.codec, bandwidth: bandwidthOf(track) };
    const channels = element('AudioChannelConfiguration', { schemeIdUri: CHANNELS, value: track.channels });
    return element('AdaptationSet', set, [
      ...label(track.name),
      role(AUDIO_ROLE[track.role ?? (index === 0 ? 'main' : 'alternate')]),
      segments([track]),
      element('Representation', { ...rate, audioSamplingRate: track.timescale }, [channels]),
    ]);
  });
}

/** Text as one file beside the segments, which is what DASH players read best. */
function textSets(title: Title): string[] {
  return title.text.map((track, index) => {
    const set = { id: `text${index + 1}`, contentType: 'text', mimeType: 'text/vtt', lang: language(track.language) };
    const bytes = track.segments.reduce((sum, segment) => sum + segment.bytes, 0);
    const rate = { id: track.id, bandwidth: Math.max(1, Math.ceil((bytes * 8) / title.durationSeconds)) };
    const file = `<BaseURL>${xml(track.url)}</BaseURL>`;
    return element('AdaptationSet', set, [
      ...label(track.name),
      role(TEXT_ROLE[track.role ?? 'subtitles']),
      element('Representation', rate, [file]),
    ]);
  });
}

/** Thumbnails as tiles: DASH-IF IOP part 7, section on tiled thumbnails. Width and height are those of a whole sheet. */
function imageSets({ images }: Title): string[] {
  const { trickplay } = images;
  if (trickplay === undefined) return [];
  const { secondsEach, columns, rows, width, height, sheets } = trickplay;
  const sheetSeconds = secondsEach * columns * rows;
  const heaviest = Math.max(...sheets.map(({ bytes }) => bytes));
  // Milliseconds, so that a fraction of a second each is exact.
  const times = { timescale: 1000, duration: Math.round(sheetSeconds * 1000) };
  const rate = { id: 'thumbnails', bandwidth: Math.ceil((heaviest * 8) / sheetSeconds) };
  const layout = { schemeIdUri: 'http://dashif.org/guidelines/thumbnail_tile', value: `${columns}x${rows}` };
  const size = { width: width * columns, height: height * rows };
  return [
    element('AdaptationSet', { id: 'images', contentType: 'image', mimeType: 'image/jpeg' }, [
      element('SegmentTemplate', { ...templateOf(sheets.map(({ url }) => url)), ...times }),
      element('Representation', { ...rate, ...size }, [element('EssentialProperty', layout)]),
    ]),
  ];
}

/** FrameRateType: a whole number or a fraction of 1001 for the rates of NTSC. */
function frameRate(framesPerSecond: number): string {
  if (Number.isInteger(framesPerSecond)) return String(framesPerSecond);
  const thousands = Math.round(framesPerSecond * 1.001) * 1000;
  const isNtsc = Math.abs(thousands / 1001 - framesPerSecond) < 0.001;
  return isNtsc ? `${thousands}/1001` : `${Math.round(framesPerSecond * 1000)}/1000`;
}

/**
 * The static MPD. `prefix` becomes the BaseURL, before every URL of title.json: '' for the one inside the package
 * folder, `HASH/` for titles/ID/manifest.mpd. Each audio track is an AdaptationSet of its own, as is each text track.
 */
export function writeMpd(title: Title, prefix: string): string {
  const tracks = [...title.renditions, ...title.audio];
  const buffers = tracks.map((track) => minimumBufferSeconds(track, bandwidthOf(track)));
  const head: Values = {
    xmlns: 'urn:mpeg:dash:schema:mpd:2011',
    type: 'static',
    profiles: 'urn:mpeg:dash:profile:isoff-live:2011',
    mediaPresentationDuration: duration(Math.max(...title.renditions.map(trackSeconds))),
    // Rounded up to a hundredth of a second.
    minBufferTime: duration(Math.ceil(Math.max(...buffers) * 100) / 100),
    maxSegmentDuration: duration(longestSegmentSeconds(tracks)),
  };
  const base = prefix === '' ? [] : [`<BaseURL>${xml(prefix)}</BaseURL>`];
  const sets = [...videoSets(title), ...audioSets(title), ...textSets(title), ...imageSets(title)];
  const period = element('Period', { id: '0', start: 'PT0S' }, sets);
  return `<?xml version="1.0" encoding="UTF-8"?>\n${element('MPD', head, [...base, period])}\n`;
}

function longestSegmentSeconds(tracks: readonly MediaTrack[]): number {
  return tracks.reduce((longest, { timescale, segments: all }) => {
    return all.reduce((most, { ticks }) => Math.max(most, ticks / timescale), longest);
  }, 0);
}
