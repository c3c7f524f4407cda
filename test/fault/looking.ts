// Opens what a killed process left, through the cache's front door, and reads it back as a viewer would.
import { readFileSync, rmSync } from 'node:fs';
import { Agent, request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { open } from '../../cache/cache.ts';
import type { CacheOptions } from '../../cache/contract.ts';
import { isRight } from './objects.ts';

/** Nothing listens there: what is not stored is not there. */
const NO_ORIGIN = 'http://127.0.0.1:9';
/** Larger than any loop fills, so that nothing is lost to eviction. */
const DISK_BYTES = 2 ** 33;
/** Requests at once. */
const WIDTH = 4;

/** Options of a cache over one directory; the same for who writes and who reads, so that keys agree. */
export function optionsFor(
  path: string,
  { origin = NO_ORIGIN, ramBytes = 0 }: { readonly origin?: string; readonly ramBytes?: number } = {},
): CacheOptions {
  return {
    origins: [{ name: 'main', url: origin, match: '/' }],
    store: { ramBytes, dirs: [{ path, maxBytes: DISK_BYTES }], required: true },
    rules: { defaultTtlSeconds: 0, graceSeconds: 0, target: 'Nearcast-Cache-Control' },
    nodeId: 'edge-fault',
    now: Date.now,
    log: () => undefined,
  };
}

/** What was found. */
export type Found = {
  /** Served whole, with the bytes that their tag names. */
  readonly right: ReadonlySet<string>;
  /** Served as complete with any other bytes. */
  readonly wrong: readonly string[];
  /** Blocks or rows refused by a checksum. */
  readonly caught: number;
  /** Opening the directory, in milliseconds. */
  readonly readyMs: number;
};

type Read = 'right' | 'wrong' | 'absent';

function readBack(port: number, agent: Agent, path: string): Promise<Read> {
  return new Promise((resolve, reject) => {
    const headers = { 'cache-control': 'only-if-cached' };
    const request = httpRequest({ host: '127.0.0.1', port, path, headers, agent }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('error', () => undefined); // Cut: an incomplete answer is none, as 'close' finds.
      response.once('close', () => {
        if (response.statusCode !== 200 || !response.complete) return resolve('absent');
        resolve(isRight(path, response.headers.etag, Buffer.concat(chunks)) ? 'right' : 'wrong');
      });
    });
    request.once('error', reject);
    request.end();
  });
}

/** Reads these paths out of a store directory; afterwards those below `retire` are purged. The directory is closed in order. */
export async function look(directory: string, paths: Iterable<string>, retire?: string): Promise<Found> {
  const began = performance.now();
  const cache = await open(optionsFor(directory));
  const readyMs = performance.now() - began;
  const agent = new Agent({ keepAlive: true, maxSockets: WIDTH });
  const right = new Set<string>();
  const wrong: string[] = [];
  try {
    const { port } = await cache.serve({ host: '127.0.0.1', port: 0 });
    const queue = new Set(paths).values();
    const work = async (): Promise<void> => {
      for (const path of queue) {
        const read = await readBack(port, agent, path);
        if (read === 'right') right.add(path);
        else if (read === 'wrong') wrong.push(path);
      }
    };
    await Promise.all(Array.from({ length: WIDTH }, work));
    if (retire !== undefined) await cache.purge({ prefix: retire });
    return { right, wrong, caught: cache.stats().store.corruptBlocks, readyMs };
  } finally {
    agent.destroy();
    await cache.close(0);
  }
}

/** Names of the files that a naive store has for a path. */
export function naiveFiles(path: string): { readonly head: string; readonly body: string } {
  const name = encodeURIComponent(path);
  return { head: `${name}.json`, body: `${name}.body` };
}

/** The same as look() for a naive store, which serves whatever is there. */
export function lookNaively(directory: string, paths: Iterable<string>, retire?: string): Found {
  const right = new Set<string>();
  const wrong: string[] = [];
  for (const path of new Set(paths)) {
    const names = naiveFiles(path);
    try {
      const head: unknown = JSON.parse(readFileSync(join(directory, names.head), 'utf8'));
      if (typeof head !== 'object' || head === null || !('etag' in head)) continue;
      const body = readFileSync(join(directory, names.body));
      if (isRight(path, String(head.etag), body)) right.add(path);
      else wrong.push(path);
    } catch {
      // A head that is half there, or without a body: even the naive store has nothing to serve.
    }
    if (retire === undefined || !path.startsWith(retire)) continue;
    rmSync(join(directory, names.head), { force: true });
    rmSync(join(directory, names.body), { force: true });
  }
  return { right, wrong, caught: 0, readyMs: 0 };
}
