// Cached hits per second of server CPU beside nginx, Varnish and bare node:http, in interleaved rounds, medians.
// `npm run bench:http [-- SECONDS_PER_RUN | pressure]`; tables, then one JSON line. Servers on the first core, clients on the
// second. `pressure`: this node alone, under overload and beside background work.
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFakeOrigin } from '../fake/origin.ts';
import { median, rounded } from './figures.ts';
import { measureHerd } from './herd.ts';
import { cpuSeconds, load } from './load.ts';
import { FILL_BODY, measureBusy, measureOverload } from './pressure.ts';
import { CORES_FOR_WORKERS, measureWorkers } from './scaling.ts';
import { type Place, type Server, startFillOrigin, startOwn, startServers, takeSecondCore } from './servers.ts';

const ROUNDS = 3;
const CONNECTIONS = 32;
/** Round 0 warms caches and compilers and is not counted. */
const WARM_MS = 2000;
const KIB = 1024;
const BODIES: Readonly<Record<string, Buffer>> = {
  '/1k': Buffer.alloc(KIB, 'x'),
  '/64k': Buffer.alloc(64 * KIB, 'x'),
  '/1m': Buffer.alloc(1024 * KIB, 'x'),
  '/4m': Buffer.alloc(4096 * KIB, 'x'),
};
const RANGE = { start: 1024 * KIB, end: 1088 * KIB };

type Case = {
  readonly name: string;
  readonly path: string;
  readonly fields?: string;
  readonly servers: readonly string[];
};
const FROM_RAM = ['nearcast', 'varnish', 'nginx', 'bare node:http'];
const CASES: readonly Case[] = [
  { name: 'ram1k', path: '/1k', servers: FROM_RAM },
  { name: 'ram64k', path: '/64k', servers: FROM_RAM },
  { name: 'ram1m', path: '/1m', servers: FROM_RAM },
  { name: 'ram4m', path: '/4m', servers: FROM_RAM },
  // nginx's proxy_cache reads the whole of a file up to a range's end: no peer here.
  {
    name: 'range64k',
    path: '/4m',
    fields: `Range: bytes=${RANGE.start}-${RANGE.end - 1}\r\n`,
    servers: ['nearcast', 'varnish', 'bare node:http'],
  },
  { name: 'tls1m', path: '/1m', servers: ['nearcast tls', 'nginx tls'] },
  { name: 'disk1m', path: '/1m', servers: ['nearcast disk', 'nginx static'] },
];

/** Each ratio of the JSON line: a case, this node's server and its peer. */
const RATIOS = [
  ['ram1k_vs_varnish', 'ram1k', 'nearcast', 'varnish'],
  ['ram64k_vs_varnish', 'ram64k', 'nearcast', 'varnish'],
  ['ram1m_vs_varnish', 'ram1m', 'nearcast', 'varnish'],
  ['ram4m_vs_varnish', 'ram4m', 'nearcast', 'varnish'],
  ['range64k_vs_varnish', 'range64k', 'nearcast', 'varnish'],
  ['ram1m_vs_nginx_cache', 'ram1m', 'nearcast', 'nginx'],
  ['ram4m_vs_nginx_cache', 'ram4m', 'nearcast', 'nginx'],
  ['tls1m_vs_nginx', 'tls1m', 'nearcast tls', 'nginx tls'],
  ['disk1m_vs_nginx_static', 'disk1m', 'nearcast disk', 'nginx static'],
] as const;

/** The leanest server that node:http allows: bodies in a map, three fields. What it does is the ceiling of this node. */
function serveBare(port: number): void {
  createServer((request, response) => {
    const whole = BODIES[request.url ?? ''];
    response.sendDate = false;
    if (whole === undefined) {
      response.writeHead(404).end();
      return;
    }
    const isPart = request.headers.range !== undefined;
    const body = isPart ? whole.subarray(RANGE.start, RANGE.end) : whole;
    const fields = ['cache-control', 'max-age=3600', 'content-length', String(body.length)];
    if (isPart) fields.push('content-range', `bytes ${RANGE.start}-${RANGE.end - 1}/${whole.length}`);
    response.writeHead(isPart ? 206 : 200, fields);
    response.end(body);
  }).listen(port, '127.0.0.1');
}

type Figures = Map<string, number[]>;

/** Requests per CPU second of each server in each case, a figure for each counted round. */
async function measure(servers: readonly Server[], secondsPerRun: number): Promise<Figures> {
  const figures: Figures = new Map();
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const { name, path, fields = '', servers: wanted } of CASES) {
      for (const server of servers.filter((each) => wanted.includes(each.name))) {
        const { port, isTls, pid } = server;
        const before = cpuSeconds(pid);
        const forMs = round === 0 ? WARM_MS : secondsPerRun * 1000;
        const { requests } = await load(port, { path, fields, connections: CONNECTIONS, forMs, isTls });
        const cpu = Math.max(0.01, cpuSeconds(pid) - before);
        const key = `${name} ${server.name}`;
        if (round === 0) figures.set(key, []);
        else figures.get(key)?.push(requests / cpu);
      }
    }
  }
  return figures;
}

type Report = Record<string, number | string | null>;

function reportRatios(servers: readonly Server[], figures: Figures): Report {
  const per = (name: string, server: string) => median(figures.get(`${name} ${server}`) ?? []);
  const rows: Record<string, Record<string, number>> = {};
  for (const { name, servers: wanted } of CASES) {
    const known = wanted.filter((each) => servers.some((server) => server.name === each));
    rows[name] = Object.fromEntries(known.map((each) => [each, Math.round(per(name, each))]));
  }
  console.log(
    `Cached hits per server CPU second, ${CONNECTIONS} connections, medians of ${ROUNDS} interleaved rounds:`,
  );
  console.table(rows);
  const report: Report = {};
  const missing: string[] = [];
  for (const [key, name, own, peer] of RATIOS) {
    const [ours, theirs] = [per(name, own), per(name, peer)];
    report[key] = ours > 0 && theirs > 0 ? rounded(ours / theirs, 3) : null;
    if (report[key] === null) missing.push(`${key}: no ${ours > 0 ? peer : own} here`);
  }
  for (const reason of missing) console.log(`null, ${reason}`);
  for (const name of ['ram1k', 'ram64k', 'ram1m', 'ram4m', 'range64k']) {
    report[`${name}_vs_bare_node`] = rounded(per(name, 'nearcast') / per(name, 'bare node:http'), 3);
  }
  return report;
}

async function reportWorkers(place: Place): Promise<Report> {
  const ratio = await measureWorkers(place);
  if (ratio === undefined)
    console.log(`null, workers2_vs_1: it takes ${CORES_FOR_WORKERS} cores for two workers and their clients`);
  return { workers2_vs_1: ratio === undefined ? null : rounded(ratio, 3) };
}

function reportHerd({ originFetches, followerP50Ms, followerP95Ms }: Awaited<ReturnType<typeof measureHerd>>): Report {
  return {
    herd_origin_fetches: originFetches,
    herd_follower_p50_ms: rounded(followerP50Ms, 3),
    herd_follower_p95_ms: rounded(followerP95Ms, 3),
  };
}

async function reportOverload(node: Server): Promise<Report> {
  const { capacityPerSecond, light, heavy, metricsMs } = await measureOverload(node);
  console.log(
    `Hits of 4 MB over new connections, of which one process takes ${Math.round(capacityPerSecond)} a second:`,
  );
  console.table({ '0.8 times as many': light, '4 times as many': heavy });
  console.log(`Slowest /metrics under overload: ${Math.round(metricsMs)} ms.`);
  return {
    overload_p99_ratio: rounded(heavy.hitP99Ms / light.hitP99Ms, 3),
    overload_metrics_ms: Math.round(metricsMs),
    overload_shed: heavy.shed,
    overload_failed: heavy.failed,
  };
}

async function reportBusy(node: Server, fillPort: number | undefined): Promise<Report> {
  if (fillPort === undefined) {
    console.log('null, busy_p99_ratio: no nginx here, which is the origin of fills');
    return { busy_p99_ratio: null };
  }
  const busy = await measureBusy(node, fillPort);
  const idleMs = busy['nothing']?.hitP99Ms ?? Number.NaN;
  const ratio = (name: string) => rounded((busy[name]?.hitP99Ms ?? Number.NaN) / idleMs, 3);
  console.log(
    'Hits of 1 KB, alone and beside; elsewhere: fills that the node knows nothing of, on the core of the clients:',
  );
  console.table(busy);
  return {
    busy_p99_ratio: ratio('all three'),
    busy_misses_p99_ratio: ratio('misses'),
    busy_elsewhere_p99_ratio: ratio('elsewhere'),
  };
}

/** Without `secondsPerRun` no other server is measured. */
async function compare(secondsPerRun?: number): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'nearcast-bench-'));
  const origin = await openFakeOrigin();
  for (const [path, body] of Object.entries(BODIES)) {
    origin.set(path, { body, headers: { 'cache-control': 'max-age=36000' }, etag: `"${body.length}"` });
  }
  const others = { directory, originPort: origin.port, path: '/1k', bodies: BODIES };
  const fills = await startFillOrigin(others, FILL_BODY);
  const place = { ...others, fillPort: fills?.port };
  let report: Report = {};
  if (secondsPerRun !== undefined) report = reportHerd(await measureHerd());
  const starting = secondsPerRun === undefined ? startOwn(place) : startServers(place);
  const servers = await starting.catch(async (error: unknown) => {
    await fills?.stop();
    throw error;
  });
  try {
    if (secondsPerRun !== undefined) {
      report = {
        ...reportRatios(servers, await measure(servers, secondsPerRun)),
        ...(await reportWorkers(place)),
        ...report,
      };
    }
    const [node] = servers;
    if (node !== undefined) {
      report = { ...report, ...(await reportOverload(node)), ...(await reportBusy(node, fills?.port)) };
    }
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
    await fills?.stop();
    await origin.close();
    await rm(directory, { recursive: true, force: true });
  }
  console.log(JSON.stringify({ bench: 'http', rounds: ROUNDS, cores: cpus().length, ...report }));
}

const [mode, port] = process.argv.slice(2);
if (mode === 'bare') serveBare(Number(port));
else {
  takeSecondCore();
  await (mode === 'pressure' ? compare() : compare(Number(mode ?? 1) || 1));
}
