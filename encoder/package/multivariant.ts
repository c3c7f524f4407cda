// The HLS multivariant playlist (RFC 8216 section 4.3.4): every video rendition of every codec with every audio group,
// subtitles, I-frame playlists and thumbnails.
import type { Title, TitleRendition } from '../contract.ts';
import { iframePlaylistUrl, imagePlaylistUrl, mediaPlaylistUrl } from './hls.ts';
import { averageBandwidthBps, peakBandwidthBps, type Timed, titleTargetSeconds } from './rate.ts';

type Audio = Title['audio'][number];
type Text = Title['text'][number];
type Values = Readonly<Record<string, string | number | undefined>>;

const QUOTED = new Set([
  ...['GROUP-ID', 'LANGUAGE', 'NAME', 'CHANNELS', 'CHARACTERISTICS', 'URI', 'CODECS', 'AUDIO', 'SUBTITLES'],
]);

/** Attributes as `A=1,B="x"`; undefined ones are left out. Quoted values lose what a quoted string may not hold. */
function attributes(values: Values): string {
  return Object.entries(values)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${QUOTED.has(name) ? `"${String(value).replace(/["\r\n]/g, '')}"` : value}`)
    .join(',');
}

/**
 * What makes a track of an audio group the counterpart of one in another group (RFC 8216 section 4.3.4.1.1): what it is,
 * and that it is the first, second ... of these with its codec and channels.
 */
function choiceOf(audio: Audio, all: readonly Audio[]): string {
  const whatOf = ({ language, role = 'main', name = '' }: Audio): string => `${language} ${role} ${name}`;
  const twins = all.filter((other) => kindOf(other) === kindOf(audio) && whatOf(other) === whatOf(audio));
  return `${whatOf(audio)} ${twins.indexOf(audio)}`;
}

const kindOf = ({ codec, channels }: Audio): string => `${codec} ${channels}`;

/** Audio tracks that a variant can be played with, all that its CODECS must name. */
type AudioGroup = { readonly id: string; readonly codecs: readonly string[]; readonly tracks: readonly Audio[] };

/**
 * One group for every codec and number of channels. All groups must offer the same choices, so where one has no track
 * in some language, it borrows another group's, and names that codec too.
 */
function audioGroups(title: Pick<Title, 'audio'>): readonly AudioGroup[] {
  const kinds = [...new Set(title.audio.map(kindOf))];
  const all = title.audio.map((audio) => ({ audio, choice: choiceOf(audio, title.audio) }));
  const choices = all.filter(({ choice }, at) => all.findIndex((other) => other.choice === choice) === at);
  return kinds.map((kind, index) => {
    const tracks = choices.map(({ audio, choice }) => {
      return all.find((other) => kindOf(other.audio) === kind && other.choice === choice)?.audio ?? audio;
    });
    const id = kinds.length === 1 ? 'audio' : `audio${index + 1}`;
    return { id, codecs: [...new Set(tracks.map(({ codec }) => codec))], tracks };
  });
}

/** The language in its own words, or its tag where those are not known; und: undetermined (RFC 5646). */
function languageName(tag: string): string {
  if (tag === 'und') return 'Original';
  try {
    return new Intl.DisplayNames([tag], { type: 'language' }).of(tag) ?? tag;
  } catch {
    // No well-formed tag: it is shown as it is.
    return tag;
  }
}

type Named = { readonly language: string; readonly name?: string | undefined; readonly role?: string | undefined };

/** NAME must be unique in its group; roles, then numbers, tell apart what has one name. */
function namesOf(tracks: readonly Named[]): readonly string[] {
  const told = tracks.map(({ language, name, role }) => {
    const plain = name ?? languageName(language);
    return role === undefined || role === 'main' || role === 'subtitles' || name !== undefined
      ? plain
      : `${plain} (${role})`;
  });
  return told.map((name, at) => {
    const before = told.slice(0, at).filter((other) => other === name).length;
    return before === 0 ? name : `${name} ${before + 1}`;
  });
}

/** As Apple's players know them (HLS authoring specification, section on media selection). */
const CHARACTERISTICS: Readonly<Record<string, string>> = {
  description: 'public.accessibility.describes-video',
  captions: 'public.accessibility.transcribes-spoken-dialog,public.accessibility.describes-music-and-sound',
};

/**
 * EXT-X-MEDIA lines of one group. A player may choose by itself (AUTOSELECT) only among tracks that differ in language,
 * FORCED or CHARACTERISTICS (RFC 8216 section 4.3.4.1.1), and never a commentary.
 */
function mediaLines(
  type: 'AUDIO' | 'SUBTITLES',
  group: string,
  tracks: readonly (Named & { id: string; channels?: number })[],
  prefix: string,
) {
  const names = namesOf(tracks);
  const chosen = new Set<string>();
  return tracks.map((track, at) => {
    const { language, role, channels } = track;
    const characteristics = CHARACTERISTICS[role ?? ''];
    const key = `${language} ${role === 'forced'} ${characteristics}`;
    const isOpen = role !== 'commentary' && !chosen.has(key);
    if (isOpen) chosen.add(key);
    const isDefault = type === 'AUDIO' && at === 0;
    return `#EXT-X-MEDIA:TYPE=${type},${attributes({
      'GROUP-ID': group,
      NAME: names[at],
      LANGUAGE: language === 'und' ? undefined : language,
      DEFAULT: isDefault ? 'YES' : 'NO',
      AUTOSELECT: isOpen || isDefault ? 'YES' : 'NO',
      FORCED: role === 'forced' ? 'YES' : undefined,
      CHARACTERISTICS: characteristics,
      CHANNELS: channels,
      URI: `${prefix}${mediaPlaylistUrl(track)}`,
    })}`;
  });
}

/** A text track as a rate is computed from it: milliseconds and bytes. */
function timedText({ segments }: Text): Timed {
  return {
    timescale: 1000,
    segments: segments.map(({ durationSeconds, bytes }) => ({ ticks: Math.max(1, durationSeconds * 1000), bytes })),
  };
}

type Rates = { readonly peakBandwidthBps: number; readonly averageBandwidthBps: number };
const most = (rates: readonly number[]): number => Math.max(0, ...rates);

/** The largest sum of a rendition's rates and those of the heaviest audio and text that it can be played with. */
function variantRates(title: Title, rendition: Rates, group: AudioGroup | undefined): Rates {
  const audio = group?.tracks ?? [];
  const text = title.text.map(timedText);
  const peak = most(audio.map((one) => one.peakBandwidthBps)) + most(text.map((one) => peakBandwidthBps(one)));
  const average = most(audio.map((one) => one.averageBandwidthBps)) + most(text.map(averageBandwidthBps));
  return {
    peakBandwidthBps: Math.ceil(rendition.peakBandwidthBps + peak),
    averageBandwidthBps: Math.ceil(rendition.averageBandwidthBps + average),
  };
}

function picture(rendition: TitleRendition): Values {
  return { RESOLUTION: `${rendition.width}x${rendition.height}` };
}

function variantLines(title: Title, prefix: string, group: AudioGroup | undefined): string[] {
  const isComparable = title.metric.name === 'vmaf' && title.renditions.every(({ metric }) => metric === undefined);
  return title.renditions.flatMap((rendition) => {
    const rates = variantRates(title, rendition, group);
    const values = {
      BANDWIDTH: rates.peakBandwidthBps,
      'AVERAGE-BANDWIDTH': rates.averageBandwidthBps,
      CODECS: [rendition.codec, ...(group?.codecs ?? [])].join(','),
      ...picture(rendition),
      'FRAME-RATE': rendition.frameRate.toFixed(3),
      'VIDEO-RANGE': rendition.videoRange,
      // Measured quality orders variants across codecs better than bits do (RFC 8216bis); all of them have it, or none.
      SCORE: isComparable ? rendition.qualityMean.toFixed(1) : undefined,
      AUDIO: group?.id,
      SUBTITLES: title.text.length > 0 ? 'text' : undefined,
    };
    return [`#EXT-X-STREAM-INF:${attributes(values)}`, `${prefix}${mediaPlaylistUrl(rendition)}`];
  });
}

/** Rates of a rendition's I-frame playlist; undefined when its segments do not say where their keyframes end. */
function iframeRates(rendition: TitleRendition, targetSeconds: number): Rates | undefined {
  const segments = rendition.segments.flatMap(({ ticks, keyframeBytes }) =>
    keyframeBytes === undefined ? [] : [{ ticks, bytes: keyframeBytes }],
  );
  if (segments.length < rendition.segments.length) return undefined;
  const timed = { timescale: rendition.timescale, segments };
  const average = averageBandwidthBps(timed);
  return {
    peakBandwidthBps: Math.ceil(peakBandwidthBps(timed, targetSeconds)),
    averageBandwidthBps: Math.ceil(average),
  };
}

function iframeLines(title: Title, prefix: string): string[] {
  const target = titleTargetSeconds([...title.renditions, ...title.audio]);
  return title.renditions.flatMap((rendition) => {
    const rates = iframeRates(rendition, target);
    if (rates === undefined) return [];
    const values = {
      BANDWIDTH: rates.peakBandwidthBps,
      'AVERAGE-BANDWIDTH': rates.averageBandwidthBps,
      CODECS: rendition.codec,
      ...picture(rendition),
      'VIDEO-RANGE': rendition.videoRange,
      URI: `${prefix}${iframePlaylistUrl(rendition)}`,
    };
    return [`#EXT-X-I-FRAME-STREAM-INF:${attributes(values)}`];
  });
}

function imageLines({ images }: Title, prefix: string): string[] {
  const { trickplay } = images;
  if (trickplay === undefined) return [];
  const { width, height, secondsEach, columns, rows, sheets } = trickplay;
  const heaviest = most(sheets.map(({ bytes }) => bytes));
  const values = {
    BANDWIDTH: Math.ceil((heaviest * 8) / (secondsEach * columns * rows)),
    RESOLUTION: `${width}x${height}`,
    CODECS: 'jpeg',
    URI: `${prefix}${imagePlaylistUrl(trickplay)}`,
  };
  return [`#EXT-X-IMAGE-STREAM-INF:${attributes(values)}`];
}

/**
 * The multivariant playlist. `prefix` goes before each URL: '' for the one inside the package folder, `HASH/` for
 * titles/ID/master.m3u8. Variants keep the order of title.json. BANDWIDTH is the sum of the peaks of video, of the
 * heaviest audio of its group and of the heaviest text, in bits a second.
 */
export function writeMultivariant(title: Title, prefix: string): string {
  const groups = audioGroups(title);
  const variants = groups.length > 0 ? groups : [undefined];
  return [
    ...['#EXTM3U', '#EXT-X-VERSION:7', '#EXT-X-INDEPENDENT-SEGMENTS'],
    ...groups.flatMap((group) => mediaLines('AUDIO', group.id, group.tracks, prefix)),
    ...mediaLines('SUBTITLES', 'text', title.text, prefix),
    ...variants.flatMap((group) => variantLines(title, prefix, group)),
    ...iframeLines(title, prefix),
    ...imageLines(title, prefix),
    '',
  ].join('\n');
}
