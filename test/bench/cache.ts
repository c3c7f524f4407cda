// Cached hits per second and per second of server CPU, beside nginx's proxy_cache and Varnish, interleaved, medians.
// `npm run bench:cache [-- SECONDS_PER_RUN]`; a table, then one JSON line.
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from '../../cache/cache.ts';
import { openFakeOrigin } from '../fake/origin.ts';
import { cpuSeconds, load } from './load.ts';
import { startServers } from './servers.ts';

const ROUNDS = 3;
const CONNECTIONS = 32;
const CASES = [
  { name: 'ram1k', path: '/1k', fields: '' },
  { name: 'ram64k', path: '/64k', fields: '' },
  { name: 'ram1m', path: '/1m', fields: '' },
  { name: 'range64k', path: '/4m', fields: 'Range: bytes=1048576-1114111\r\n' },
] as const;
const SIZES = { '/1k': 1024, '/64k': 64 * 1024, '/1m': 1024 * 1024, '/4m': 4 * 1024 * 1024 };

async function serve(port: number, originPort: number, path: string): Promise<void> {
  const cache = await open({
    origins: [{ name: 'main', url: `http://127.0.0.1:${originPort}`, match: '/' }],
    store: { ramBytes: 256 * 1024 * 1024, dirs: [{ path, maxBytes: 1024 ** 3 }], required: true },
    rules: { defaultTtlSeconds: 0, graceSeconds: 0, target: 'Nearcast-Cache-Control' },
    nodeId: 'bench',
    now: Date.now,
    log: () => undefined,
    onServed: () => undefined,
  });
  await cache.serve({ host: '127.0.0.1', port });
  process.once('SIGTERM', () => void cache.close(0).then(() => process.exit(0)));
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[sorted.length >> 1] ?? 0;
}

type Figure = { readonly perSecond: number; readonly perCpuSecond: number };

async function compare(secondsPerRun: number): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'nearcast-bench-'));
  const origin = await openFakeOrigin();
  for (const [path, size] of Object.entries(SIZES)) {
    origin.set(path, {
      body: Buffer.alloc(size, 'x'),
      headers: { 'cache-control': 'max-age=3600' },
      etag: `"${size}"`,
    });
  }
  const servers = await startServers(directory, origin.port, '/1k');
  const figures = new Map<string, Figure[]>();
  try {
    for (let round = 0; round <= ROUNDS; round += 1) {
      for (const { name, path, fields } of CASES) {
        for (const server of servers) {
          const before = cpuSeconds(server.pid);
          // Round 0 warms caches and compilers and is not counted.
          const forMs = round === 0 ? 300 : secondsPerRun * 1000;
          const { requests, seconds } = await load(server.port, { path, fields, connections: CONNECTIONS, forMs });
          const cpu = Math.max(0.01, cpuSeconds(server.pid) - before);
          const key = `${name} ${server.name}`;
          if (round === 0) figures.set(key, []);
          else figures.get(key)?.push({ perSecond: requests / seconds, perCpuSecond: requests / cpu });
        }
      }
    }
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
    await origin.close();
    await rm(directory, { recursive: true, force: true });
  }
  report(
    servers.map(({ name }) => name),
    figures,
  );
}

function report(names: readonly string[], figures: ReadonlyMap<string, readonly Figure[]>): void {
  const rows: Record<string, Record<string, number>> = {};
  const json: Record<string, number | string> = { bench: 'cache', rounds: ROUNDS, cores: cpus().length };
  for (const { name } of CASES) {
    const row: Record<string, number> = {};
    const perCpu = (server: string) =>
      median((figures.get(`${name} ${server}`) ?? []).map((each) => each.perCpuSecond));
    for (const server of names) {
      row[`${server}/s`] = Math.round(median((figures.get(`${name} ${server}`) ?? []).map((each) => each.perSecond)));
      row[`${server}/cpu-s`] = Math.round(perCpu(server));
      if (server !== 'nearcast') {
        const ratio = Math.round((perCpu('nearcast') / perCpu(server)) * 1000) / 1000;
        row[`vs ${server}`] = ratio;
        json[`${name}_vs_${server}`] = ratio;
      }
    }
    json[`${name}_per_cpu_s`] = row['nearcast/cpu-s'] ?? 0;
    rows[name] = row;
  }
  console.log(`Cached hits, ${CONNECTIONS} connections, medians of ${ROUNDS} interleaved rounds:`);
  console.table(rows);
  console.log(JSON.stringify(json));
}

const [mode, ...args] = process.argv.slice(2);
if (mode === 'serve') await serve(Number(args[0]), Number(args[1]), args[2] ?? '');
else await compare(Number(mode ?? 1) || 1);
