// A preview as one HLS media playlist (RFC 8216bis) of segments that exist already. Pure. Video only and so silent by
// design: a preview starts by a hover, where browsers and viewers alike refuse sound, and a second track would double
// the requests before the first frame.
import type { Title, TitleRendition, TitleSegment } from '../../encoder/contract.ts';
import { keyFormatOf } from './keys.ts';
import { MOMENT_COUNT, MOMENT_SECONDS, SPOILER_RATIO } from './moments.ts';

/** What is known of the device and the line. */
export type RenditionHint = {
  /** That the preview fills, in pixels. */
  readonly heightPixels?: number | undefined;
  /** Of the line, bits/s. */
  readonly throughputBps?: number | undefined;
  /** Beginnings of RFC 6381 names that the device decodes, such as `av01`; H.264 is taken for granted. */
  readonly codecs?: readonly string[] | undefined;
};

/** A range of a file, in bytes. */
export type ByteRange = { readonly offset: number; readonly length: number };

/** A segment of a title that this node did not encode, read from its own manifest. */
export type TimelineSegment = {
  /** Absolute path or URL. */
  readonly url: string;
  /** Absent: all of it. */
  readonly byteRange?: ByteRange | undefined;
  readonly startSeconds: number;
  readonly durationSeconds: number;
  /** Init segment; absent for MPEG-TS. */
  readonly initUrl?: string | undefined;
  readonly initRange?: ByteRange | undefined;
  /** As `keys`, for the init segment. */
  readonly initKeys?: readonly string[] | undefined;
  /** Attribute lists of the EXT-X-KEY lines in force; the player of a sealed title brings its own licence. */
  readonly keys?: readonly string[] | undefined;
};

/** One rendition of a foreign or sealed title, in order of time. */
export type Timeline = { readonly segments: readonly TimelineSegment[] };

/** Share of a measured line that a rendition's peak may take. */
const USABLE_THROUGHPUT_RATIO = 0.8;

/**
 * The smallest rendition that fills the height within the line; the middle one when nothing is known. SDR rather than
 * HDR, and h264 unless the device decodes more.
 */
export function chooseRendition(
  renditions: readonly TitleRendition[],
  hint: RenditionHint,
): TitleRendition | undefined {
  const { heightPixels, throughputBps, codecs = [] } = hint;
  const decodes = (codec: string) => ['avc', ...codecs].some((name) => codec.startsWith(name));
  const plain = renditions.filter(({ codec, videoRange }) => decodes(codec) && videoRange === 'SDR');
  const rising = (plain.length > 0 ? plain : renditions).toSorted((a, b) => a.peakBandwidthBps - b.peakBandwidthBps);
  if (heightPixels === undefined && throughputBps === undefined) return rising[Math.floor((rising.length - 1) / 2)];
  const usableBps = (throughputBps ?? Number.POSITIVE_INFINITY) * USABLE_THROUGHPUT_RATIO;
  const affordable = rising.filter((rendition) => rendition.peakBandwidthBps <= usableBps);
  if (affordable.length === 0) return rising[0];
  const fills = affordable.find((rendition) => rendition.height >= (heightPixels ?? Number.POSITIVE_INFINITY));
  return fills ?? affordable.at(-1);
}

/** A package and the path of its folder on the viewer listener, `/titles/ID/HASH/`. */
export type Published = { readonly title: Title; readonly baseUrl: string };

/** Segments of one rendition that lie in moments, with their places in it. */
export type CutSegments = {
  readonly rendition: TitleRendition;
  readonly segments: readonly { readonly index: number; readonly segment: TitleSegment }[];
};

/** The segments of a cut in the rendition that suits the device; undefined when none lies in the moments. */
export function cutSegments(title: Title, moments: readonly Span[], hint: RenditionHint): CutSegments | undefined {
  const rendition = chooseRendition(title.renditions, hint);
  if (rendition === undefined) return undefined;
  const segments = rendition.segments.flatMap((segment, index) =>
    isWithin(moments, (segment.startTicks + segment.ticks / 2) / rendition.timescale) ? [{ index, segment }] : [],
  );
  return segments.length === 0 ? undefined : { rendition, segments };
}

/** Playlist of a cut of a published title in one rendition; undefined when no segment of it lies in the moments. */
export function previewPlaylist(
  { title, baseUrl: base }: Published,
  moments: readonly Span[],
  hint: RenditionHint = {},
): string | undefined {
  const found = cutSegments(title, moments, hint);
  if (found === undefined) return undefined;
  const { rendition, segments } = found;
  const initUrl = base + rendition.initUrl;
  return writePlaylist(
    segments.map(({ index, segment: { url, ticks } }) => ({
      index,
      segment: { url: base + url, durationSeconds: ticks / rendition.timescale, initUrl },
    })),
  );
}

/** Default playlist of a title that has no package: moments spread evenly over all but its last part. */
export function timelinePlaylist(timeline: Timeline): string | undefined {
  const moments = spreadMoments(timeline.segments);
  const inMoments = timeline.segments.flatMap((segment, index) =>
    isWithin(moments, segment.startSeconds + segment.durationSeconds / 2) ? [{ segment, index }] : [],
  );
  return writePlaylist(inMoments);
}

/** A stretch of a title. */
export type Span = { readonly startSeconds: number; readonly durationSeconds: number };

function spreadMoments(segments: readonly TimelineSegment[]): Span[] {
  const last = segments.at(-1);
  const first = segments[0];
  if (first === undefined || last === undefined) return [];
  const seconds = last.startSeconds + last.durationSeconds - first.startSeconds;
  const end = first.startSeconds + seconds * (1 - SPOILER_RATIO);
  const spans: Span[] = [];
  const step = (end - first.startSeconds) / (MOMENT_COUNT.fewest + 1);
  for (let index = 0; index <= MOMENT_COUNT.fewest; index += 1) {
    const from = first.startSeconds + index * step;
    const begin = segments.find((segment) => segment.startSeconds >= from - 1e-3);
    if (begin === undefined) continue;
    const reach = Math.min(end, begin.startSeconds + MOMENT_SECONDS.longest);
    const enough = begin.startSeconds + MOMENT_SECONDS.shortest;
    const run = segments.filter(
      (segment) =>
        segment.startSeconds >= begin.startSeconds &&
        segment.startSeconds < enough - 1e-3 &&
        segment.startSeconds + segment.durationSeconds <= reach + 1e-3,
    );
    const durationSeconds = run.reduce((sum, segment) => sum + segment.durationSeconds, 0);
    if (run.length > 0) spans.push({ startSeconds: begin.startSeconds, durationSeconds });
  }
  return spans.length > 0 ? spans : [first];
}

/** A segment belongs to the moment that holds its middle, so that a boundary off by a tick moves nothing. */
function isWithin(moments: readonly Span[], middleSeconds: number): boolean {
  return moments.some(
    ({ startSeconds, durationSeconds }) =>
      middleSeconds >= startSeconds && middleSeconds < startSeconds + durationSeconds,
  );
}

type Placed = { readonly segment: Omit<TimelineSegment, 'startSeconds'>; readonly index: number };

function writePlaylist(placed: readonly Placed[]): string | undefined {
  const chosen = placed.filter(({ segment }) => isOneLine(segment));
  if (chosen.length === 0) return undefined;
  const longest = Math.max(...chosen.map(({ segment }) => segment.durationSeconds));
  const lines = [
    '#EXTM3U',
    '#EXT-X-VERSION:7',
    `#EXT-X-TARGETDURATION:${Math.max(1, Math.ceil(longest))}`,
    '#EXT-X-MEDIA-SEQUENCE:0',
    '#EXT-X-PLAYLIST-TYPE:VOD',
  ];
  let previous: Placed | undefined;
  let inForce: readonly string[] = [];
  const force = (keys: readonly string[] = []): void => {
    if (keys.join('\n') === inForce.join('\n')) return;
    const formats = new Set(keys.map(keyFormatOf));
    // A key stays in force until the next of its format, unless all are ended.
    if (!inForce.every((key) => formats.has(keyFormatOf(key)))) lines.push('#EXT-X-KEY:METHOD=NONE');
    lines.push(...keys.map((key) => `#EXT-X-KEY:${key}`));
    inForce = keys;
  };
  for (const one of chosen) {
    const { segment, index } = one;
    if (previous !== undefined && index !== previous.index + 1) lines.push('#EXT-X-DISCONTINUITY');
    const map = mapLine(segment);
    if (map !== undefined && map !== (previous && mapLine(previous.segment))) {
      force(segment.initKeys);
      lines.push(map);
    }
    force(segment.keys);
    lines.push(`#EXTINF:${segment.durationSeconds.toFixed(5)},`);
    if (segment.byteRange !== undefined) lines.push(`#EXT-X-BYTERANGE:${rangeText(segment.byteRange)}`);
    lines.push(segment.url);
    previous = one;
  }
  lines.push('#EXT-X-ENDLIST', '');
  return lines.join('\n');
}

const rangeText = ({ offset, length }: ByteRange): string => `${length}@${offset}`;

function mapLine({ initUrl, initRange }: Placed['segment']): string | undefined {
  if (initUrl === undefined) return undefined;
  return `#EXT-X-MAP:URI="${initUrl}"${initRange === undefined ? '' : `,BYTERANGE="${rangeText(initRange)}"`}`;
}

/** A URL with a line break, or a quote inside an attribute, could write tags of its own into the playlist. */
function isOneLine(segment: Placed['segment']): boolean {
  const texts = [segment.url, segment.initUrl ?? '', ...(segment.keys ?? []), ...(segment.initKeys ?? [])];
  return texts.every((text) => !/[\r\n]/.test(text)) && !(segment.initUrl ?? '').includes('"') && segment.url !== '';
}
