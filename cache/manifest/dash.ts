// DASH manifests (ISO/IEC 23009-1), read by mpd-parser in its own three steps, so that between them the number of
// segments can be bounded: one short S element may ask for a billion.
// @ts-expect-error: the package has no types; the type below says which of its interface is used.
import { inheritAttributes, stringToMpdXml, toPlaylists } from 'mpd-parser';
import {
  amount,
  field,
  known,
  LIMIT,
  list,
  type Manifest,
  type Rendition,
  resource,
  type Segment,
  text,
  UnusableManifest,
} from './manifest.ts';
import { requireWellFormed } from './wellformed.ts';

/** The steps as used here; mpd-parser has no types of its own. */
type UntypedSteps = {
  readonly toDom: (xml: string) => Element;
  readonly toRepresentations: (mpd: unknown, options: { manifestUri: string; NOW: number }) => unknown;
  readonly toPlaylists: (representations: readonly unknown[]) => unknown;
};
/** The part of the DOM that is touched here. */
type Element = {
  readonly parentNode: Element | null;
  readonly getElementsByTagName: (name: string) => { readonly length: number; readonly item: (at: number) => Element };
  readonly removeChild: (child: Element) => void;
};
const steps: UntypedSteps = { toDom: stringToMpdXml, toRepresentations: inheritAttributes, toPlaylists };

/**
 * Parses an MPD that was fetched from `url`. `nowMs` is the wall clock, milliseconds since the epoch: live manifests
 * that number their segments by the clock need it. Of alternative BaseURLs the first is used. Throws UnusableManifest
 * and whatever mpd-parser throws.
 */
export function parseDash(mpd: string, url: string, nowMs: number): Manifest {
  if (mpd.length > LIMIT.dashCharacters) throw new UnusableManifest('the MPD is too long');
  if (/%0\d{3,}d/.test(mpd)) throw new UnusableManifest('a template asks for numbers of 100 digits or more');
  requireWellFormed(mpd);
  const dom = steps.toDom(mpd);
  keepFirstBaseUrls(dom);
  const representations = list(
    field(steps.toRepresentations(dom, { manifestUri: url, NOW: nowMs }), 'representationInfo'),
  );
  if (representations.length > LIMIT.renditions) throw new UnusableManifest('too many representations');
  const most = representations.reduce<number>((sum, one) => sum + mostSegments(one, nowMs), 0);
  if (!(most <= LIMIT.segments)) throw new UnusableManifest('too many segments');
  const renditions = new Map<string, Rendition & { readonly segments: Segment[] }>();
  for (const playlist of list(steps.toPlaylists(representations))) {
    const { rendition, segments } = readRendition(playlist);
    // The same representation in a later period goes on where it was.
    const earlier = renditions.get(rendition.id);
    if (earlier === undefined) renditions.set(rendition.id, { ...rendition, segments });
    else for (const segment of segments) earlier.segments.push(segment);
  }
  const attributes = representations.map((one) => field(one, 'attributes'));
  const isLive = attributes.some((one) => field(one, 'type') === 'dynamic');
  const isSealed = dom.getElementsByTagName('ContentProtection').length > 0;
  return { protocol: 'dash', isLive, isSealed, renditions: [...renditions.values()] };
}

/** Alternatives multiply at each level of the MPD. */
function keepFirstBaseUrls(mpd: Element): void {
  const found = mpd.getElementsByTagName('BaseURL');
  const all = Array.from({ length: found.length }, (_, index) => found.item(index));
  const served = new Set<Element>();
  for (const element of all) {
    const parent = element.parentNode;
    if (parent === null) continue;
    if (served.has(parent)) parent.removeChild(element);
    served.add(parent);
  }
}

/** No fewer segments than mpd-parser would make of a representation; NaN or Infinity for what has no end. */
function mostSegments(representation: unknown, nowMs: number): number {
  const info = field(representation, 'segmentInfo');
  const attributes = field(representation, 'attributes');
  const template = field(info, 'template') ?? field(info, 'base') ?? field(info, 'list');
  const read = (name: string): number | undefined => {
    const value = field(template, name) ?? field(attributes, name);
    return typeof value === 'number' || typeof value === 'string' ? Number(value) : undefined;
  };
  const timescale = read('timescale') ?? 1;
  const isLive = field(attributes, 'type') === 'dynamic';
  const sinceStart = nowMs / 1000 + (read('minimumUpdatePeriod') ?? 0) - (read('availabilityStartTime') ?? 0);
  const seconds = Math.max(read('periodDuration') ?? 0, read('sourceDuration') ?? 0, isLive ? sinceStart : 0);
  const duration = read('duration');
  let most = 1;
  if (duration !== undefined) {
    if (!(duration > 0)) return Number.NaN;
    const window = isLive ? Math.min(seconds, (read('timeShiftBufferDepth') ?? seconds) + 1) : seconds;
    most += Math.max(read('endNumber') ?? 0, (window * timescale) / duration);
  }
  const timeline = list(field(info, 'segmentTimeline'));
  for (const [index, s] of timeline.entries()) {
    const [start, length, repeat] = [field(s, 't') ?? 0, field(s, 'd'), field(s, 'r') ?? 0].map(Number);
    // Times that run backwards would make the next repeat until "the next S" endless.
    if (start === undefined || length === undefined || repeat === undefined) return Number.NaN;
    if (!(start >= 0) || !(length > 0)) return Number.NaN;
    const end = Number(field(timeline[index + 1], 't') ?? seconds * timescale);
    most += repeat < 0 ? end / length + 1 : repeat + 1;
  }
  return most;
}

type Read = { readonly rendition: Omit<Rendition, 'segments'>; readonly segments: Segment[] };

function readRendition(playlist: unknown): Read {
  const attributes = field(playlist, 'attributes');
  const id = text(field(attributes, 'id'));
  if (id === undefined) throw new UnusableManifest('a Representation without id');
  const segments = list(field(playlist, 'segments')).flatMap((item): Segment[] => {
    const uri = text(field(item, 'resolvedUri'));
    const startSeconds = amount(field(item, 'presentationTime'));
    const durationSeconds = amount(field(item, 'duration'));
    if (uri === undefined || startSeconds === undefined || durationSeconds === undefined) return [];
    const map = field(item, 'map');
    // Without any initialization mpd-parser gives an empty URI, which resolves to the base URL.
    const hasInit = text(field(map, 'uri')) !== undefined || field(map, 'byterange') !== undefined;
    const mapUri = hasInit ? text(field(map, 'resolvedUri')) : undefined;
    const init = mapUri === undefined ? undefined : resource(mapUri, field(map, 'byterange'), uri);
    const found = resource(uri, field(item, 'byterange'), uri);
    return [{ ...found, rendition: id, startSeconds, durationSeconds, ...known('init', init) }];
  });
  const rendition = {
    id,
    kind: kindOf(attributes),
    ...known('bandwidthBps', amount(field(attributes, 'bandwidth'))),
    ...known('codecs', text(field(attributes, 'codecs'))),
    ...known('width', amount(field(attributes, 'width'))),
    ...known('height', amount(field(attributes, 'height'))),
    ...known('language', text(field(attributes, 'lang'))),
  };
  return { rendition, segments };
}

function kindOf(attributes: unknown): Rendition['kind'] {
  const type = text(field(attributes, 'contentType')) ?? text(field(attributes, 'mimeType')) ?? '';
  if (type.startsWith('video')) return 'video';
  return type.startsWith('audio') ? 'audio' : 'text';
}
