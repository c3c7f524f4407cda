// Timelines of titles: of the newest package where there is one, else of the publisher's own manifest, read through the
// cache. Only what lies on this node's own listener is taken.
import { type Cache, type Manifest, parseManifest, type Segment } from '../cache/cache.ts';
import type { Catalogue } from './catalogue.ts';
import { packageTimeline, type Timeline, type TimelineTrack } from './prefetch/timeline.ts';
import type { Timeline as PreviewTimeline } from './preview/playlist.ts';

/** Where timelines come from. */
export type Timelines = {
  /** Undefined: no such title, or neither a package nor a manifest that can be read. */
  readonly of: (titleId: string) => Promise<Timeline | undefined>;
  /** One rendition of a title that has no package, for its preview. Undefined when sealed in a way not understood. */
  readonly forPreview: (titleId: string) => Promise<PreviewTimeline | undefined>;
};

const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
const DEADLINE_MS = 5_000;
/** A manifest that is not ours may change; it is read again after this long. */
const TTL_MS = 30_000;
const MAX_TITLES = 1_000;
/** Media playlists of one multivariant playlist that are read. */
const MAX_PLAYLISTS = 12;
/** Stands for this node in URLs; nothing is ever asked of it by name. */
const HERE = 'http://this-node.invalid';
/** What a track without a stated bandwidth is taken for. */
const UNKNOWN_BPS = 2_000_000;

type Foreign = {
  readonly masterUrl: string;
  readonly manifests: readonly { readonly url: string; readonly manifest: Manifest; readonly bandwidthBps: number }[];
};
type Known = {
  readonly of: unknown;
  readonly until: number;
  readonly timeline: Timeline | undefined;
  readonly foreign: Foreign | undefined;
};

/** Path and query of a URL of this node; undefined for any other host. */
function pathOf(url: string): string | undefined {
  const parsed = URL.parse(url, HERE);
  return parsed?.origin === HERE ? parsed.pathname + parsed.search : undefined;
}

async function readManifest(path: string, cache: Pick<Cache, 'read'>, now: number): Promise<Manifest | undefined> {
  const found = await cache.read(path, { maxBytes: MAX_MANIFEST_BYTES, signal: AbortSignal.timeout(DEADLINE_MS) });
  if (found === undefined) return undefined;
  const manifest = parseManifest(found.bytes.toString('utf8'), HERE + path, found.contentType, now);
  return 'problem' in manifest ? undefined : manifest;
}

/** A manifest and, where it only names them, the media playlists of its renditions. */
async function readForeign(path: string, cache: Pick<Cache, 'read'>, now: number): Promise<Foreign | undefined> {
  const master = await readManifest(path, cache, now);
  if (master === undefined) return undefined;
  const named = master.renditions.filter(({ url, segments }) => url !== undefined && segments.length === 0);
  if (named.length === 0)
    return { masterUrl: path, manifests: [{ url: path, manifest: master, bandwidthBps: UNKNOWN_BPS }] };
  const manifests = await Promise.all(
    named.slice(0, MAX_PLAYLISTS).map(async ({ url = '', bandwidthBps = UNKNOWN_BPS }) => {
      const own = pathOf(url);
      const manifest = own === undefined ? undefined : await readManifest(own, cache, now);
      return own === undefined || manifest === undefined ? undefined : { url: own, manifest, bandwidthBps };
    }),
  );
  return { masterUrl: path, manifests: manifests.filter((each) => each !== undefined) };
}

function trackOf(
  id: string,
  kind: 'video' | 'audio',
  segments: readonly Segment[],
  rest: { readonly playlistUrl: string; readonly bandwidthBps: number },
): TimelineTrack {
  const init = segments[0]?.init;
  const initUrl = init === undefined || init.byteRange !== undefined ? undefined : pathOf(init.url);
  const parts = segments.flatMap(({ url, byteRange, startSeconds, durationSeconds }) => {
    const path = byteRange === undefined ? pathOf(url) : undefined;
    return path === undefined ? [] : [{ url: path, startSeconds, durationSeconds }];
  });
  return {
    id,
    kind,
    parts,
    bandwidthBps: rest.bandwidthBps,
    playlistUrl: rest.playlistUrl,
    ...(initUrl === undefined ? {} : { initUrl }),
  };
}

function foreignTimeline(titleId: string, { masterUrl, manifests }: Foreign): Timeline | undefined {
  const tracks = manifests.flatMap(({ url, manifest, bandwidthBps }) =>
    manifest.renditions.flatMap(({ id, kind, segments, bandwidthBps: own }) =>
      kind === 'text' ? [] : [trackOf(id, kind, segments, { playlistUrl: url, bandwidthBps: own ?? bandwidthBps })],
    ),
  );
  const ends = tracks.flatMap(({ parts }) =>
    parts.slice(-1).map(({ startSeconds, durationSeconds }) => startSeconds + durationSeconds),
  );
  return ends.length === 0 ? undefined : { titleId, masterUrl, tracks, durationSeconds: Math.max(...ends) };
}

/** The middle one of the video renditions, as a preview takes it when it knows nothing of the viewer. */
function previewTimeline({ manifests }: Foreign): PreviewTimeline | undefined {
  const videos = manifests
    .flatMap(({ manifest, bandwidthBps }) =>
      manifest.renditions
        .filter(({ kind }) => kind === 'video')
        .map((rendition) => ({
          isSealed: manifest.isSealed,
          bandwidthBps: rendition.bandwidthBps ?? bandwidthBps,
          segments: rendition.segments,
        })),
    )
    .sort((one, other) => one.bandwidthBps - other.bandwidthBps);
  const chosen = videos[Math.floor((videos.length - 1) / 2)];
  if (chosen === undefined) return undefined;
  const segments = chosen.segments.flatMap(({ url, byteRange, init, startSeconds, durationSeconds }) => {
    const path = byteRange === undefined && init?.byteRange === undefined ? pathOf(url) : undefined;
    const initUrl = init === undefined ? undefined : pathOf(init.url);
    return path === undefined ? [] : [{ url: path, startSeconds, durationSeconds, initUrl }];
  });
  return segments.length > 0 && !chosen.isSealed ? { segments } : undefined;
}

/** Opens the source of timelines; what it read is remembered for half a minute, a package's for as long as it is newest. */
export function openTimelines({
  catalogue,
  cache,
  now,
}: {
  readonly catalogue: Catalogue;
  readonly cache: Pick<Cache, 'read'>;
  readonly now: () => number;
}): Timelines {
  const known = new Map<string, Known>();
  const remember = (titleId: string, entry: Omit<Known, 'until'>): Known => {
    if (known.size >= MAX_TITLES) known.clear();
    const remembered = { ...entry, until: now() + TTL_MS };
    known.set(titleId, remembered);
    return remembered;
  };
  async function look(titleId: string): Promise<Known | undefined> {
    const before = known.get(titleId);
    const found = catalogue.package(titleId);
    if (found !== undefined) {
      return before?.of === found
        ? before
        : remember(titleId, { of: found, timeline: packageTimeline(found.title, found.baseUrl), foreign: undefined });
    }
    const path = pathOf(catalogue.title(titleId)?.manifestUrl ?? 'none:');
    if (path === undefined) return undefined;
    if (before?.of === path && before.until > now()) return before;
    const foreign = await readForeign(path, cache, now());
    return remember(titleId, { of: path, foreign, timeline: foreign && foreignTimeline(titleId, foreign) });
  }
  return {
    of: async (titleId) => (await look(titleId))?.timeline,
    forPreview: async (titleId) => {
      const foreign = (await look(titleId))?.foreign;
      return foreign && previewTimeline(foreign);
    },
  };
}
