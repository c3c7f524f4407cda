// Fills what an operator names: URLs, titles, or all that a manifest names. What is there already stays, so that running
// it again goes on where it ended.
import { setTimeout as delay } from 'node:timers/promises';
import type { Cache } from '../cache/cache.ts';
import type { Agent } from './agent.ts';
import type { JobWork } from './control-jobs.ts';
import { readNamedUrls } from './foreign.ts';
import type { Decision } from './prefetch/decisions.ts';

/** What an operator asked for. */
export type PrepositionAsked = {
  readonly urls: readonly string[];
  readonly titles: readonly string[];
  readonly pin: boolean;
};

/** What preposition works with. Without an agent URLs are filled by the cache alone. */
export type PrepositionParts = {
  readonly cache: Pick<Cache, 'fill' | 'has' | 'pin' | 'read'>;
  readonly agent: Pick<Agent, 'catalogue' | 'prefetching' | 'timelines'> | undefined;
  readonly bytesPerSecond: number;
  readonly now: () => number;
};

/** One URL's end; `bytes` as they are stored. */
type Ended = { readonly outcome: string; readonly reason?: string; readonly bytes: number };

/** URLs under way at once; the fetcher runs fewer and keeps the others in its queue. */
const PARALLEL = 16;
/** Without an agent, the fills themselves. */
const FILLS = 4;
/** Failures that are shown; all are counted. */
const MAX_FAILURES = 100;
/** URLs of one job. */
const MAX_URLS = 500_000;
/** For a manifest and the media playlists that it names. */
const MANIFEST_MS = 60_000;
const RETRY_MS = 250;
const GOOD: ReadonlySet<string> = new Set(['stored', 'held']);
/** What an outcome means, for who has to do something about it. */
const MEANING: Readonly<Record<string, string>> = {
  budget: 'the day has no bytes left for prefetch: prefetch.bytesPerDay',
  refused: 'the answer may not be stored, or is too large for the store',
  failed: 'the origin did not give it',
  stopped: 'prefetch is stopping',
};

/** A path that names others. */
const MANIFEST = /\.(m3u8|mpd)(\?|$)/i;

async function expand(
  parts: PrepositionParts,
  asked: PrepositionAsked,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { agent, cache, now } = parts;
  const urls = new Set<string>();
  for (const url of asked.urls) {
    urls.add(url);
    if (!MANIFEST.test(url)) continue;
    const named = await readNamedUrls(url, {
      cache,
      nowMs: now(),
      signal: AbortSignal.any([signal, AbortSignal.timeout(MANIFEST_MS)]),
    });
    if (named === undefined) throw new Error(`${url} is no manifest that can be read`);
    for (const each of named) urls.add(each);
  }
  for (const titleId of asked.titles) {
    const timeline = await agent?.timelines.of(titleId);
    if (timeline === undefined) throw new Error(`title ${titleId} has neither a package nor a readable manifest`);
    urls.add(timeline.masterUrl);
    for (const { playlistUrl, initUrl, parts: segments } of timeline.tracks) {
      for (const url of [playlistUrl, initUrl, ...segments.map((segment) => segment.url)])
        if (url !== undefined) urls.add(url);
    }
  }
  if (urls.size > MAX_URLS) throw new Error(`${urls.size} URLs: more than ${MAX_URLS} at once`);
  return [...urls];
}

async function fillAlone(parts: PrepositionParts, url: string, pin: boolean, signal: AbortSignal): Promise<Ended> {
  const bytesPerSecond = Math.max(1, Math.floor(parts.bytesPerSecond / FILLS));
  const how = { priority: 'off-peak', purpose: 'operator', bytesPerSecond, pin, signal } as const;
  const ended = await parts.cache.fill(url, how);
  if (!('bytes' in ended)) return { outcome: ended.outcome, reason: ended.reason, bytes: 0 };
  if (ended.status >= 400) return { outcome: 'failed', reason: `status ${ended.status}`, bytes: 0 };
  return { outcome: ended.outcome === 'already' ? 'held' : ended.outcome, bytes: ended.bytes };
}

async function fillByFetcher(
  parts: PrepositionParts,
  fetcher: Agent['prefetching']['fetcher'],
  url: string,
  how: { readonly pin: boolean; readonly titleId: string; readonly signal: AbortSignal },
): Promise<Ended> {
  const { pin, titleId, signal } = how;
  const why = 'asked for by the operator';
  const item = { url, titleId, reason: 'operator', why, priority: 'off-peak', bytes: 0, pin } as const;
  for (;;) {
    const ended = Promise.withResolvers<Decision>();
    const pushed = fetcher.push(item, ended.resolve);
    if (pushed === 'queued') {
      const { outcome, bytes } = await ended.promise;
      if (outcome === 'held' && pin) await parts.cache.pin({ url }, true);
      return { outcome, bytes };
    }
    if (pushed === 'stopped' || signal.aborted) return { outcome: 'stopped', bytes: 0 };
    if (pushed === 'held') {
      if (pin) await parts.cache.pin({ url }, true);
      return { outcome: 'held', bytes: parts.cache.has(url)?.sizeBytes ?? 0 };
    }
    // Somebody else fetches it, or the queue is full: it is looked at again.
    await delay(RETRY_MS);
  }
}

function fillerOf(parts: PrepositionParts, pin: boolean, signal: AbortSignal): (url: string) => Promise<Ended> {
  const { agent } = parts;
  if (agent === undefined) return (url) => fillAlone(parts, url, pin, signal);
  const { fetcher } = agent.prefetching;
  return (url) => fillByFetcher(parts, fetcher, url, { pin, titleId: agent.catalogue.titleOf(url) ?? '', signal });
}

/** The work of one preposition. It rejects when a title or manifest cannot be read, before anything is filled. */
export function preposition(parts: PrepositionParts, asked: PrepositionAsked): JobWork {
  return async (tell, signal) => {
    const urls = await expand(parts, asked, signal);
    const counts: Record<string, number> = {};
    const failures: { readonly url: string; readonly outcome: string; readonly reason: string }[] = [];
    let [done, bytes] = [0, 0];
    const progress = () => ({
      urls: urls.length,
      ...{ done, bytes, outcomes: { ...counts }, failures: [...failures] },
      isPaused: parts.agent?.prefetching.fetcher.stats().isPaused ?? false,
    });
    const fill = fillerOf(parts, asked.pin, signal);
    const left = urls.values();
    const next = async (): Promise<void> => {
      for (const url of left) {
        if (signal.aborted) return;
        const ended = await fill(url);
        done += 1;
        bytes += ended.bytes;
        counts[ended.outcome] = (counts[ended.outcome] ?? 0) + 1;
        if (!GOOD.has(ended.outcome) && failures.length < MAX_FAILURES) {
          const reason = ended.reason ?? MEANING[ended.outcome] ?? ended.outcome;
          failures.push({ url, outcome: ended.outcome, reason });
        }
        tell(progress());
      }
    };
    tell(progress());
    await Promise.all(Array.from({ length: parts.agent === undefined ? FILLS : PARALLEL }, next));
    return progress();
  };
}
