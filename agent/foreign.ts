// Titles that others publish: their own HLS or DASH manifests, read through the cache, as timelines for prefetch and for
// previews. Only what lies on this node's own listener is taken; nothing here asks any other host.
import { type Cache, type Manifest, parseManifest, type Segment } from '../cache/cache.ts';
import type { Timeline, TimelineTrack } from './prefetch/timeline.ts';
import { movableKey } from './preview/keys.ts';
import type { Timeline as PreviewTimeline, TimelineSegment } from './preview/playlist.ts';

/** A manifest of a title, or of one of its renditions, and what is known of that from the manifest that named it. */
type Part = {
  readonly path: string;
  readonly manifest: Manifest;
  readonly kind: 'video' | 'audio' | undefined;
  readonly bandwidthBps: number;
};

/** What a publisher's manifests say of a title. */
export type Foreign = {
  readonly isLive: boolean;
  /** Of all renditions together. */
  readonly segments: number;
  readonly timeline: Timeline | undefined;
  readonly preview: PreviewTimeline | undefined;
};

/** Stands for this node in URLs; nothing is ever asked of it by name. */
export const HERE = 'http://this-node.invalid';
const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
/** For all manifests of a title together. */
const DEADLINE_MS = 5_000;
/** Media playlists of one multivariant playlist that are read. */
const MAX_PLAYLISTS = 12;
/** Segments of one title; a ten-hour title in 2 s segments and ten renditions has 180 000. */
const MAX_SEGMENTS = 200_000;
/** What lasts longer is a whole file: not something to fetch ahead or to preview. */
const LONGEST_SEGMENT_SECONDS = 60;
/** What a track without a stated bandwidth is taken for. */
const UNKNOWN_BPS = { video: 2_000_000, audio: 128_000 } as const;

/** Path and query of a URL of this node; undefined for any other host. */
export function pathOf(url: string): string | undefined {
  const parsed = URL.parse(url, HERE);
  return parsed?.origin === HERE ? parsed.pathname + parsed.search : undefined;
}

type Reading = { readonly cache: Pick<Cache, 'read'>; readonly nowMs: number; readonly signal: AbortSignal };

async function readManifest(path: string, { cache, nowMs, signal }: Reading): Promise<Manifest | undefined> {
  const found = await cache.read(path, { maxBytes: MAX_MANIFEST_BYTES, signal });
  if (found === undefined) return undefined;
  const manifest = parseManifest(found.bytes.toString('utf8'), HERE + path, found.contentType, nowMs);
  return 'problem' in manifest ? undefined : manifest;
}

/** The media playlists that a multivariant playlist names, each once. */
async function readNamed(master: Manifest, reading: Reading): Promise<readonly Part[]> {
  const named = new Map<string, Omit<Part, 'manifest'>>();
  for (const { url = '', kind, bandwidthBps } of master.renditions) {
    const path = pathOf(url);
    if (kind === 'text' || path === undefined || named.has(path) || named.size >= MAX_PLAYLISTS) continue;
    named.set(path, { path, kind, bandwidthBps: bandwidthBps ?? UNKNOWN_BPS[kind] });
  }
  const parts: Part[] = [];
  let left = MAX_SEGMENTS;
  const manifests = [...named.values()].map(async (one) => ({ one, manifest: await readManifest(one.path, reading) }));
  for (const { one, manifest } of await Promise.all(manifests)) {
    if (manifest === undefined || segmentsOf(manifest) > left) continue;
    left -= segmentsOf(manifest);
    parts.push({ ...one, manifest });
  }
  return parts;
}

const segmentsOf = ({ renditions }: Manifest): number =>
  renditions.reduce((sum, { segments }) => sum + segments.length, 0);

/**
 * Paths of this node that a manifest names, and that the media playlists name which it names: playlists, init segments
 * and segments of every rendition, text too, each once. Undefined as for readForeign().
 */
export async function readNamedUrls(path: string, reading: Reading): Promise<readonly string[] | undefined> {
  const master = await readManifest(path, reading);
  if (master === undefined) return undefined;
  const urls = new Set<string>();
  const add = (url: string | undefined): void => {
    const here = url === undefined ? undefined : pathOf(url);
    if (here !== undefined && urls.size < MAX_SEGMENTS) urls.add(here);
  };
  const addSegments = ({ renditions }: Manifest): void => {
    for (const { segments } of renditions) {
      for (const { url, init } of segments) {
        add(init?.url);
        add(url);
      }
    }
  };
  addSegments(master);
  for (const { url, segments } of master.renditions) {
    const playlist = url === undefined || segments.length > 0 ? undefined : pathOf(url);
    if (playlist === undefined || urls.has(playlist)) continue;
    add(url);
    const media = await readManifest(playlist, reading);
    if (media !== undefined) addSegments(media);
  }
  return [...urls];
}

/**
 * Reads a title's manifest at a path of this node and, where it only names them, the media playlists of its renditions.
 * Undefined: no manifest that can be read in time, within the limits and without a fault.
 */
export async function readForeign(
  titleId: string,
  path: string,
  from: Omit<Reading, 'signal'>,
): Promise<Foreign | undefined> {
  const reading = { ...from, signal: AbortSignal.timeout(DEADLINE_MS) };
  const master = await readManifest(path, reading);
  if (master === undefined) return undefined;
  const isNaming = master.renditions.some(({ url, segments }) => url !== undefined && segments.length === 0);
  const parts = isNaming
    ? await readNamed(master, reading)
    : [{ path, manifest: master, kind: undefined, bandwidthBps: UNKNOWN_BPS.video }];
  return {
    isLive: parts.some(({ manifest }) => manifest.isLive),
    segments: parts.reduce((sum, { manifest }) => sum + segmentsOf(manifest), 0),
    timeline: timelineOf(titleId, path, parts),
    preview: previewOf(parts),
  };
}

type Track = {
  readonly id: string;
  readonly kind: 'video' | 'audio';
  readonly bandwidthBps: number;
  readonly segments: readonly Segment[];
  readonly part: Part;
};

function tracksOf(parts: readonly Part[]): readonly Track[] {
  return parts.flatMap((part) =>
    part.manifest.renditions.flatMap(({ id, kind: own, segments, bandwidthBps = part.bandwidthBps }): Track[] => {
      const kind = part.kind ?? own;
      return kind === 'text' ? [] : [{ id, kind, bandwidthBps, segments, part }];
    }),
  );
}

/** Byte ranges are left out: the cache fills whole objects, and the file of a rendition is too much to fetch ahead. */
function prefetchTrack({ id, kind, bandwidthBps, segments, part }: Track): TimelineTrack {
  const init = segments[0]?.init;
  const initUrl = init === undefined || init.byteRange !== undefined ? undefined : pathOf(init.url);
  const parts = segments.flatMap(({ url, byteRange, startSeconds, durationSeconds }) => {
    const path = byteRange === undefined && durationSeconds <= LONGEST_SEGMENT_SECONDS ? pathOf(url) : undefined;
    return path === undefined ? [] : [{ url: path, startSeconds, durationSeconds }];
  });
  return { id, kind, parts, bandwidthBps, playlistUrl: part.path, ...(initUrl === undefined ? {} : { initUrl }) };
}

function timelineOf(titleId: string, masterUrl: string, parts: readonly Part[]): Timeline | undefined {
  const tracks = tracksOf(parts);
  const ends = tracks.flatMap(({ segments }) =>
    segments.slice(-1).map(({ startSeconds, durationSeconds }) => startSeconds + durationSeconds),
  );
  if (ends.length === 0) return undefined;
  const isLive = parts.some(({ manifest }) => manifest.isLive);
  const durationSeconds = isLive ? Number.POSITIVE_INFINITY : Math.max(...ends);
  return { titleId, masterUrl, durationSeconds, tracks: tracks.map(prefetchTrack) };
}

/**
 * The middle one of the video renditions, as a preview takes it when it knows nothing of the viewer. None of a sealed
 * DASH title: its keys are not in a form that an HLS playlist can carry.
 */
function previewOf(parts: readonly Part[]): PreviewTimeline | undefined {
  const videos = tracksOf(parts)
    .filter(({ kind, segments }) => kind === 'video' && segments.length > 0)
    .sort((one, other) => one.bandwidthBps - other.bandwidthBps);
  const chosen = videos[Math.floor((videos.length - 1) / 2)];
  if (chosen === undefined) return undefined;
  const { path, manifest } = chosen.part;
  if (manifest.isSealed && manifest.protocol === 'dash') return undefined;
  const segments = chosen.segments.flatMap((segment) => previewSegment(segment, HERE + path));
  return segments.length > 0 ? { segments } : undefined;
}

function previewSegment(segment: Segment, playlistUrl: string): readonly TimelineSegment[] {
  const { byteRange, init, startSeconds, durationSeconds, keys, sequence } = segment;
  const url = pathOf(segment.url);
  const initUrl = init === undefined ? undefined : pathOf(init.url);
  const isForeign = url === undefined || (init !== undefined && initUrl === undefined);
  if (isForeign || durationSeconds > LONGEST_SEGMENT_SECONDS) return [];
  /** On this node by its path; any other scheme or host as it is written. */
  const resolve = (uri: string): string | undefined => pathOf(URL.parse(uri, playlistUrl)?.href ?? 'none:');
  return [
    {
      ...{ url, byteRange, startSeconds, durationSeconds },
      ...{ initUrl, initRange: init?.byteRange },
      initKeys: init?.keys?.map((key) => movableKey(key, undefined, resolve)),
      keys: keys?.map((key) => movableKey(key, sequence, resolve)),
    },
  ];
}
