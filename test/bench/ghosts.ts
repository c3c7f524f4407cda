// The counterfactual meter beside full simulations of the caches that it plays on a sample, and what it costs per request.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openMeter, PLAYED, type PlayedName } from '../../agent/simulate/meter.ts';
import { FILLS } from '../../agent/simulate/prefetch.ts';
import type { EdgeRequests } from '../../agent/simulate/workload.ts';
import type { Cache } from '../../cache/cache.ts';
import { lru } from '../../cache/rules/eviction/lru.ts';
import { s3fifo } from '../../cache/rules/eviction/s3fifo.ts';
import { SimulatedCache } from '../../cache/rules/eviction/simulate.ts';
import { openFakeOrigin } from '../fake/origin.ts';
import { rounded } from './figures.ts';
import { cpuSeconds, load } from './load.ts';

const SHARES = [0.01, 0.05, 0.2] as const;
const DAY_SECONDS = 86_400;
const START_MS = Date.UTC(2026, 0, 1);
const WARM_MS = 1_000;
const LOAD_MS = 3_000;

const keyOf = (object: number): string => `main /titles/${object % 997}/video-1080p/segment-${object}.m4s`;

/** Caches as the meter plays them, each in full. */
function fullCaches(capacityBytes: number, count: number): Readonly<Record<PlayedName, SimulatedCache>> {
  const disk = (bytes: number) => {
    const policy = s3fifo();
    const enterFilled = (slot: number, size: number, key: number) =>
      policy.restore(slot, { bytes: size, key, uses: 2 });
    return new SimulatedCache({ policy, enterFilled, capacityBytes: bytes }, count);
  };
  return {
    'as-is': disk(capacityBytes),
    lru: new SimulatedCache({ policy: lru(), capacityBytes }, count),
    'no-prefetch': disk(capacityBytes),
    'double-disk': disk(2 * capacityBytes),
  };
}

/** A cache that stores whatever it is asked to fill: the meter looks at nothing else of it. */
function fillable(sizeOf: (key: string) => number): Cache {
  const cache: Pick<Cache, 'fill'> & { readonly has: (url: string) => { readonly key: string } } = {
    fill: async (url) => ({ outcome: 'stored', bytes: sizeOf(url), status: 200 }),
    has: (url) => ({ key: url }),
  };
  // The meter calls these two alone.
  return cache as unknown as Cache;
}

/** Origin bytes as played and in full, by cache, and the share of keys that was sampled in the end. */
async function compare(requests: EdgeRequests, share: number) {
  const { objects, bytes, at, count } = requests;
  const capacityBytes = requests.catalogueBytes * share;
  const sizes = new Float64Array(count);
  for (const [index, object] of objects.entries()) sizes[object] = bytes[index] ?? 0;
  const clock = { now: START_MS };
  const days = { get: () => undefined, put: () => undefined };
  const meter = openMeter({ diskBytes: capacityBytes, days, now: () => clock.now });
  const numbers = new Map<string, number>();
  const watched = meter.watch(fillable((key) => sizes[numbers.get(key) ?? 0] ?? 0));
  const full = fullCaches(capacityBytes, count);
  const fetched: Record<PlayedName, number> = { 'as-is': 0, lru: 0, 'no-prefetch': 0, 'double-disk': 0 };
  const choose = FILLS.popularity?.();
  let fillAt = DAY_SECONDS + 4 * 3600;
  for (let index = 0; index < objects.length; index += 1) {
    const [object, size, time] = [objects[index] ?? 0, bytes[index] ?? 0, at[index] ?? 0];
    clock.now = START_MS + time * 1000;
    if (time >= fillAt) {
      const holds = (one: number) => full['as-is'].holds(one);
      for (const one of choose?.({ objects, from: index, until: index, sizes, holds, capacityBytes }) ?? []) {
        for (const name of PLAYED) {
          if (name !== 'no-prefetch' && full[name].fill(one, sizes[one] ?? 0)) fetched[name] += sizes[one] ?? 0;
        }
        numbers.set(keyOf(one), one);
        await watched.fill(keyOf(one), { priority: 'off-peak', purpose: 'off-peak' });
      }
      fillAt += DAY_SECONDS;
    }
    for (const name of PLAYED) if (!full[name].ask(object, size)) fetched[name] += size;
    meter.served({ at: clock.now, key: keyOf(object), status: 200, result: 'hit', bytes: size });
  }
  const total = bytes.reduce((sum, one) => sum + one, 0);
  const { sampleRatio, savings } = await meter.report();
  const played = meter.figures().originBytes;
  return { total, fetched, played, sampleRatio, savings };
}

/** CPU nanoseconds of the meter for a served request, the median of three runs. */
function costOf(requests: EdgeRequests, share: number): number {
  const keys = Array.from({ length: requests.count }, (_, object) => keyOf(object));
  const figures = [0, 1, 2].map(() => {
    const days = { get: () => undefined, put: () => undefined };
    const meter = openMeter({ diskBytes: requests.catalogueBytes * share, days, now: () => START_MS });
    const before = process.cpuUsage();
    for (let index = 0; index < requests.objects.length; index += 1) {
      const key = keys[requests.objects[index] ?? 0] ?? '';
      const [at, bytes] = [START_MS + (requests.at[index] ?? 0) * 1000, requests.bytes[index] ?? 0];
      meter.served({ at, key, status: 200, result: 'hit', bytes });
    }
    const { user, system } = process.cpuUsage(before);
    return ((user + system) * 1000) / requests.objects.length;
  });
  return figures.sort((one, other) => one - other)[1] ?? 0;
}

/** CPU nanoseconds of a node for a 64 KiB hit from memory, without an agent. */
async function hitCost(): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'nearcast-bench-'));
  const origin = await openFakeOrigin();
  origin.set('/64k', { body: Buffer.alloc(65_536, 'x'), headers: { 'cache-control': 'max-age=3600' }, etag: '"1"' });
  const server = fileURLToPath(new URL('./hit-server.ts', import.meta.url));
  const child = spawn(process.execPath, [server, String(origin.port), directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const [line] = await once(child.stdout, 'data');
    const options = { path: '/64k', fields: '', connections: 16 };
    await load(Number(line), { ...options, forMs: WARM_MS });
    const before = cpuSeconds(child.pid ?? 0);
    const { requests } = await load(Number(line), { ...options, forMs: LOAD_MS });
    return ((cpuSeconds(child.pid ?? 0) - before) * 1e9) / requests;
  } finally {
    child.kill('SIGTERM');
    await once(child, 'exit');
    await origin.close();
    await rm(directory, { recursive: true, force: true });
  }
}

/** Prints both tables; the largest error of a byte miss, and the meter's part of the CPU time of a 64 KiB hit. */
export async function ghosts(requests: EdgeRequests): Promise<{ readonly error: number; readonly cpuRatio: number }> {
  const rows: Record<string, string | number>[] = [];
  for (const share of SHARES) {
    const { total, fetched, played, sampleRatio } = await compare(requests, share);
    for (const name of PLAYED) {
      rows.push({
        'of catalogue': share,
        cache: name,
        'keys sampled': rounded(sampleRatio, 4),
        'byte miss in full': rounded(fetched[name] / total, 4),
        'as played': rounded(played[name] / total, 4),
        error: rounded(Math.abs(played[name] - fetched[name]) / total, 4),
      });
    }
  }
  console.log('Caches played on a sample beside the same in full (bytes prefetched count as missed):');
  console.table(rows);
  const hit = await hitCost();
  const costs = SHARES.map((share) => ({
    'of catalogue': share,
    'CPU ns per request': Math.round(costOf(requests, share)),
  }));
  console.table(costs);
  const worst = Math.max(...costs.map((cost) => cost['CPU ns per request']));
  console.log(`A 64 KiB hit takes ${Math.round(hit)} ns of CPU without the meter.`);
  return { error: Math.max(...rows.map(({ error }) => Number(error))), cpuRatio: rounded(worst / hit, 4) };
}
