// What happens once the encoder has renamed a package into the publish folder: the catalogue learns of it, the pointers
// are asked for anew, its beginning is fetched into the cache and pinned, and packages long replaced are removed.
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cache, Log } from '../cache/cache.ts';
import type { Title } from '../encoder/contract.ts';
import type { Catalogue } from './catalogue.ts';
import type { Package } from './packages.ts';

/** What openPublishing() needs. */
export type PublishingOptions = {
  readonly catalogue: Catalogue;
  readonly cache: Pick<Cache, 'fill' | 'purge'>;
  readonly publishDir: string;
  /** Where publishDir is on the viewer listener, slashes at both ends. */
  readonly publishPath: string;
  readonly bytesPerSecond: number;
  /** Of every track, fetched and pinned once it is published. */
  readonly warmSeconds: number;
  readonly now: () => number;
  readonly log: Log;
};

/** Bytes that one full play of every package published since start saves against the reference ladder, by cause. */
export type SavedBytes = { cap: number; pruning: number; allocation: number };

/** Takes published packages in. */
export type Publishing = {
  /** Never rejects; resolves when the title's beginning is warm or the signal aborts, with the title if there is one. */
  readonly published: (id: string, signal: AbortSignal) => Promise<Title | undefined>;
  readonly savedBytes: () => Readonly<SavedBytes>;
  /** Removes packages that were replaced more than MAX_SESSION_MS ago. Never rejects. */
  readonly sweep: () => Promise<void>;
};

/** Nobody watches one package for longer than this. */
const MAX_SESSION_MS = 24 * 3_600_000;
const PACKAGE_NAME = /^[0-9a-f]{16,64}$/;

/** Paths to warm: playlists, init segments and the first `seconds` of every track. Absolute on the viewer listener. */
function warmPaths({ title, baseUrl }: Pick<Package, 'title' | 'baseUrl'>, seconds: number): readonly string[] {
  const at = (url: string) => new URL(url, `http://node${baseUrl}`).pathname;
  const tracks = [...title.renditions, ...title.audio];
  const beginnings = tracks.flatMap(({ id, initUrl, timescale, segments }) => [
    at(`${id}/playlist.m3u8`),
    at(initUrl),
    ...segments.filter(({ startTicks }) => startTicks < seconds * timescale).map(({ url }) => at(url)),
  ]);
  return [at('title.json'), at(title.images.poster), ...beginnings];
}

function addSavings(sum: SavedBytes, { savings, durationSeconds }: Title): void {
  for (const cause of ['cap', 'pruning', 'allocation'] as const) {
    sum[cause] += (Math.max(0, savings[cause]) * savings.referenceBps * durationSeconds) / 8;
  }
}

/** Removes a title's packages that were replaced longer ago than anybody watches. Rejects when a file resists. */
async function sweepTitle(id: string, { catalogue, cache, publishDir, publishPath, now, log }: PublishingOptions) {
  const current = (await catalogue.package(id))?.hash;
  if (current === undefined) return;
  // The newest was published when the pointer was written, so every other package was replaced then or before.
  const replacedAt = (await stat(join(publishDir, id, 'latest.json'))).mtimeMs;
  if (now() - replacedAt < MAX_SESSION_MS) return;
  for (const name of await readdir(join(publishDir, id))) {
    if (name === current || !PACKAGE_NAME.test(name)) continue;
    await rm(join(publishDir, id, name), { recursive: true });
    await cache.purge({ prefix: `${publishPath}${id}/${name}/` });
    log('info', 'publish.removed-old', { id, hash: name });
  }
}

/** Opens the shelf that encodes are put on. */
export function openPublishing(options: PublishingOptions): Publishing {
  const { catalogue, cache, publishDir, publishPath, log } = options;
  const saved: SavedBytes = { cap: 0, pruning: 0, allocation: 0 };

  async function list(id: string, found: Package): Promise<void> {
    if (catalogue.title(id) !== undefined) return;
    const { name, durationSeconds } = found.title;
    await catalogue.append({ id, name, durationSeconds, manifestUrl: `${publishPath}${id}/master.m3u8` });
  }

  async function warm(found: Package, signal: AbortSignal): Promise<number> {
    let bytes = 0;
    for (const path of warmPaths(found, options.warmSeconds)) {
      if (signal.aborted) break;
      const ended = await cache.fill(path, {
        priority: 'off-peak',
        purpose: 'publish',
        pin: true,
        bytesPerSecond: options.bytesPerSecond,
        signal,
      });
      if ('bytes' in ended) bytes += ended.bytes;
      else log('warn', 'publish.not-warm', { path, outcome: ended.outcome, reason: ended.reason });
    }
    return bytes;
  }

  return {
    published: async (id, signal) => {
      try {
        await catalogue.reload();
        const found = await catalogue.refresh(id);
        if (found === undefined) {
          log('error', 'publish.no-package', { id });
          return undefined;
        }
        addSavings(saved, found.title);
        await list(id, found);
        await cache.purge({ prefix: `${publishPath}${id}/master.m3u8`, soft: true });
        await cache.purge({ prefix: `${publishPath}${id}/manifest.mpd`, soft: true });
        log('info', 'encode.published', { id, hash: found.hash, warmBytes: await warm(found, signal) });
        return found.title;
      } catch (error) {
        log('error', 'publish.failed', { id, message: String(error) });
        return undefined;
      }
    },
    savedBytes: () => saved,
    sweep: async () => {
      try {
        const ids = (await readdir(publishDir, { withFileTypes: true })).filter(
          (entry) => entry.isDirectory() && !entry.name.startsWith('.'),
        );
        for (const { name } of ids) {
          await sweepTitle(name, options).catch((error: unknown) =>
            log('warn', 'publish.sweep-failed', { id: name, message: String(error) }),
          );
        }
      } catch (error) {
        log('warn', 'publish.sweep-failed', { message: String(error) });
      }
    },
  };
}
