// Timelines of titles: of the newest package where there is one, else of the publisher's own manifest. Each is read once
// for all who ask, and remembered for a while.
import type { Cache } from '../cache/cache.ts';
import type { Catalogue } from './catalogue.ts';
import { pathOf, readForeign } from './foreign.ts';
import { packageTimeline, type Timeline } from './prefetch/timeline.ts';
import type { Timeline as PreviewTimeline } from './preview/playlist.ts';

/** Where timelines come from. Both reject only for a fault of this node. */
export type Timelines = {
  /** Undefined: no such title, or neither a package nor a manifest that can be read. */
  readonly of: (titleId: string) => Promise<Timeline | undefined>;
  /** One rendition of a title that has no package, for its preview. Undefined when its keys are not known. */
  readonly forPreview: (titleId: string) => Promise<PreviewTimeline | undefined>;
};

/** What openTimelines() needs. */
export type TimelinesOptions = {
  readonly catalogue: Pick<Catalogue, 'title' | 'package' | 'published'>;
  readonly cache: Pick<Cache, 'read'>;
  readonly now: () => number;
};

/** A manifest that is not ours may change; it is read again after this long. */
const TTL_MS = 30_000;
/** A live one changes with every segment. */
const LIVE_TTL_MS = 2_000;
const MAX_TITLES = 1_000;
/** Segments remembered of all titles together, some 200 bytes each; what was read first leaves first. */
const MAX_SEGMENTS = 400_000;

type Known = {
  /** The package's baseUrl, or the path of the manifest, that this was read from. */
  readonly of: string;
  readonly until: number;
  readonly segments: number;
  readonly timeline: Timeline | undefined;
  readonly preview: PreviewTimeline | undefined;
};

/** Opens the source of timelines. */
export function openTimelines({ catalogue, cache, now }: TimelinesOptions): Timelines {
  const known = new Map<string, Known>();
  const reading = new Map<string, Promise<Known>>();

  function remember(titleId: string, entry: Known): Known {
    known.delete(titleId);
    known.set(titleId, entry);
    let segments = [...known.values()].reduce((sum, each) => sum + each.segments, 0);
    for (const [id, each] of known) {
      if (known.size <= MAX_TITLES && segments <= MAX_SEGMENTS) break;
      known.delete(id);
      segments -= each.segments;
    }
    return entry;
  }

  async function read(titleId: string, path: string): Promise<Known> {
    const foreign = await readForeign(titleId, path, { cache, nowMs: now() });
    const until = now() + (foreign?.isLive === true ? LIVE_TTL_MS : TTL_MS);
    const { segments = 0, timeline, preview } = foreign ?? {};
    return remember(titleId, { of: path, until, segments, timeline, preview });
  }

  async function look(titleId: string): Promise<Known | undefined> {
    const before = known.get(titleId);
    const published = catalogue.published(titleId);
    if (before !== undefined && before.of === published?.baseUrl) return before;
    const path = pathOf(catalogue.title(titleId)?.manifestUrl ?? 'none:');
    // Of a title with a manifest of its own, a package that nobody has seen yet is not looked for at every segment.
    const isForeign = published === undefined && path !== undefined;
    const found = isForeign ? undefined : await catalogue.package(titleId);
    if (found !== undefined) {
      const timeline = packageTimeline(found.title, found.baseUrl);
      const segments = timeline.tracks.reduce((sum, { parts }) => sum + parts.length, 0);
      return remember(titleId, {
        of: found.baseUrl,
        until: Number.POSITIVE_INFINITY,
        segments,
        timeline,
        preview: undefined,
      });
    }
    if (path === undefined) return undefined;
    if (before?.of === path && before.until > now()) return before;
    const name = `${titleId} ${path}`;
    const running = reading.get(name) ?? read(titleId, path).finally(() => reading.delete(name));
    reading.set(name, running);
    return running;
  }

  return {
    of: async (titleId) => (await look(titleId))?.timeline,
    forPreview: async (titleId) => (await look(titleId))?.preview,
  };
}
