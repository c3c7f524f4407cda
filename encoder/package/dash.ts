// The DASH manifest (ISO/IEC 23009-1) of a package: static, the same segments as HLS, times in exact ticks.
import type { Title } from '../contract.ts';
import type { MediaTrack } from './hls.ts';
import { trackSeconds } from './rate.ts';

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

type Template = { readonly media: string; readonly startNumber: number };

/** `v720/$Number%05d$.m4s` when the URLs count up by one with as many digits, else undefined. */
function templateOf(urls: readonly string[]): Template | undefined {
  const [, before, digits, after] = /^([^$]*?)(\d+)([^\d$]*)$/.exec(urls[0] ?? '') ?? [];
  if (before === undefined || digits === undefined || after === undefined) return undefined;
  const startNumber = Number(digits);
  const fits = urls.every((url, index) => {
    return url === `${before}${String(startNumber + index).padStart(digits.length, '0')}${after}`;
  });
  return fits ? { media: `${before}$Number%0${digits.length}d$${after}`, startNumber } : undefined;
}

/** Numbered URLs as a template, which more players read with a timeline than they do a list; others as a list. */
function segments(track: MediaTrack): string {
  const template = templateOf(track.segments.map(({ url }) => url));
  const { timescale } = track;
  if (template !== undefined) {
    const { media, startNumber } = template;
    const names = { timescale, initialization: track.initUrl, media, startNumber };
    return element('SegmentTemplate', names, [timeline(track)]);
  }
  return element('SegmentList', { timescale }, [
    element('Initialization', { sourceURL: track.initUrl }),
    timeline(track),
    ...track.segments.map(({ url }) => element('SegmentURL', { media: url })),
  ]);
}

/** An exact xs:duration to the microsecond. */
function duration(seconds: number): string {
  return `PT${seconds.toFixed(6).replace(/\.?0+$/, '')}S`;
}

function videoSets(title: Title): string[] {
  const ranges = [...new Set(title.renditions.map(({ videoRange }) => videoRange))];
  return ranges.map((range) => {
    const set = { contentType: 'video', mimeType: 'video/mp4', segmentAlignment: 'true', startWithSAP: 1 };
    const representations = title.renditions
      .filter(({ videoRange }) => videoRange === range)
      .map((rendition) => {
        const picture = { width: rendition.width, height: rendition.height, frameRate: frameRate(rendition.frameRate) };
        const rate = { codecs: rendition.codec, bandwidth: Math.ceil(rendition.peakBandwidthBps) };
        return element('Representation', { id: rendition.id, ...rate, ...picture }, [segments(rendition)]);
      });
    const transfer = { schemeIdUri: 'urn:mpeg:mpegB:cicp:TransferCharacteristics', value: TRANSFER[range] };
    const properties = range === 'SDR' ? [] : [element('EssentialProperty', transfer)];
    return element('AdaptationSet', set, [...properties, ...representations]);
  });
}

/** FrameRateType: a whole number or a fraction of 1001 for the rates of NTSC. */
function frameRate(framesPerSecond: number): string {
  if (Number.isInteger(framesPerSecond)) return String(framesPerSecond);
  const thousands = Math.round(framesPerSecond * 1.001) * 1000;
  const isNtsc = Math.abs(thousands / 1001 - framesPerSecond) < 0.001;
  return isNtsc ? `${thousands}/1001` : `${Math.round(framesPerSecond * 1000)}/1000`;
}

function longestSegmentSeconds(title: Title): number {
  return title.renditions.reduce((longest, { timescale, segments: all }) => {
    return all.reduce((most, { ticks }) => Math.max(most, ticks / timescale), longest);
  }, 0);
}

/**
 * The static MPD. `prefix` becomes the BaseURL, before every URL of title.json: '' for the one inside the package
 * folder, `HASH/` for titles/ID/manifest.mpd. Each audio track is an AdaptationSet of its own, as is each text track.
 */
export function writeMpd(title: Title, prefix: string): string {
  const language = (tag: string): string | undefined => (tag === 'und' ? undefined : tag);
  const audio = title.audio.map((track) => {
    const set = { contentType: 'audio', mimeType: 'audio/mp4', lang: language(track.language), startWithSAP: 1 };
    const rate = { id: track.id, codecs: track.codec, bandwidth: Math.ceil(track.peakBandwidthBps) };
    const channels = element('AudioChannelConfiguration', { schemeIdUri: CHANNELS, value: track.channels });
    return element('AdaptationSet', { ...set, segmentAlignment: 'true' }, [
      element('Representation', rate, [channels, segments(track)]),
    ]);
  });
  const text = title.text.map((track) => {
    const set = { contentType: 'text', mimeType: 'text/vtt', lang: language(track.language) };
    const file = `<BaseURL>${xml(track.url)}</BaseURL>`;
    return element('AdaptationSet', set, [element('Representation', { id: track.id, bandwidth: 1000 }, [file])]);
  });
  const seconds = Math.max(...title.renditions.map(trackSeconds));
  const head = {
    xmlns: 'urn:mpeg:dash:schema:mpd:2011',
    type: 'static',
    profiles: 'urn:mpeg:dash:profile:isoff-live:2011',
    mediaPresentationDuration: duration(seconds),
    minBufferTime: duration(longestSegmentSeconds(title)),
  };
  const base = prefix === '' ? [] : [`<BaseURL>${xml(prefix)}</BaseURL>`];
  const period = element('Period', { id: '0', start: 'PT0S' }, [...videoSets(title), ...audio, ...text]);
  return `<?xml version="1.0" encoding="UTF-8"?>\n${element('MPD', head, [...base, period])}\n`;
}
