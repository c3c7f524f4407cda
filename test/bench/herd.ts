// 50 viewers on one cold object that its origin paces: how often the origin is asked, and how long followers wait.
// `node run.mjs --entry=test/bench/herd.ts`; prints one JSON line.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { open } from '../../cache/cache.ts';
import { openFakeOrigin } from '../fake/origin.ts';

const VIEWERS = 50;
const BODY_BYTES = 4 * 1024 * 1024;
/** The origin sends its head at once and the body evenly over this time. */
const PACE_MS = 2000;
const PIECES = 64;
/** Followers come evenly from here, when the leader's first bytes have long come, to the end of the body. */
const FIRST_FOLLOWER_MS = 50;
const READY_MS = 20_000;

/** What a herd costs: fetches of the one object, and milliseconds from a follower's request to its first body byte. */
export type Herd = {
  readonly originFetches: number;
  readonly followerP50Ms: number;
  readonly followerP95Ms: number;
};

type Got = { readonly firstByteMs: number; readonly bytes: number };

function view(port: number): Promise<Got> {
  return new Promise((resolve, reject) => {
    const startedMs = performance.now();
    let firstByteMs: number | undefined;
    let bytes = 0;
    const asked = request({ host: '127.0.0.1', port, path: '/herd.m4s', agent: false }, (response) => {
      response.on('data', (chunk: Buffer) => {
        firstByteMs ??= performance.now() - startedMs;
        bytes += chunk.length;
      });
      response.once('error', reject);
      response.once('close', () => resolve({ firstByteMs: firstByteMs ?? Number.POSITIVE_INFINITY, bytes }));
    });
    asked.once('error', reject);
    asked.end();
  });
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.POSITIVE_INFINITY;
}

function startNode(originPort: number, directory: string): { readonly child: ChildProcess; ready: Promise<number> } {
  const entry = fileURLToPath(import.meta.url);
  const child = spawn(process.execPath, [entry, 'serve', String(originPort), directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ready = new Promise<number>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error('The node under test did not start.')), READY_MS);
    child.stdout?.once('data', (text: Buffer) => {
      clearTimeout(late);
      resolve(Number(text.toString()));
    });
    child.once('exit', (code) => reject(new Error(`The node under test ended with ${code}.`)));
  });
  return { child, ready };
}

/** One herd on a node in a process of its own. Throws when a viewer got less than the whole body. */
export async function measureHerd(): Promise<Herd> {
  const directory = await mkdtemp(join(tmpdir(), 'nearcast-herd-'));
  const origin = await openFakeOrigin();
  const body = Buffer.alloc(BODY_BYTES, 'herd');
  const pace = { pieces: PIECES, overMs: PACE_MS };
  origin.set('/herd.m4s', { body, headers: { 'cache-control': 'max-age=60' }, etag: '"herd"', pace });
  origin.set('/warm', { body: 'x', headers: { 'cache-control': 'no-store' } });
  const { child, ready } = startNode(origin.port, directory);
  try {
    const port = await ready;
    // Compiled code and an open origin connection, as on a node that has been up for a while.
    for (let round = 0; round < 20; round += 1) await (await fetch(`http://127.0.0.1:${port}/warm`)).text();
    const leader = view(port);
    await origin.asked('/herd.m4s', 1);
    const followers = Array.from({ length: VIEWERS - 1 }, async (_, index) => {
      await delay(FIRST_FOLLOWER_MS + (index * (PACE_MS - 2 * FIRST_FOLLOWER_MS)) / (VIEWERS - 1));
      return view(port);
    });
    const all = await Promise.all([leader, ...followers]);
    if (all.some(({ bytes }) => bytes !== BODY_BYTES)) throw new Error('A viewer of the herd got another length.');
    const waits = all
      .slice(1)
      .map(({ firstByteMs }) => firstByteMs)
      .sort((one, other) => one - other);
    return {
      originFetches: origin.seen('/herd.m4s').length,
      followerP50Ms: quantile(waits, 0.5),
      followerP95Ms: quantile(waits, 0.95),
    };
  } finally {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    await origin.close();
    await rm(directory, { recursive: true, force: true });
  }
}

async function serve(originPort: number, path: string): Promise<void> {
  const cache = await open({
    origins: [{ name: 'main', url: `http://127.0.0.1:${originPort}`, match: '/' }],
    store: { ramBytes: 256 * 1024 * 1024, dirs: [{ path, maxBytes: 1024 ** 3 }], required: true },
    rules: { defaultTtlSeconds: 0, graceSeconds: 0, target: 'Nearcast-Cache-Control' },
    nodeId: 'herd',
    now: Date.now,
    log: () => undefined,
  });
  const { port } = await cache.serve({ host: '127.0.0.1', port: 0 });
  process.stdout.write(`${port}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [mode, originPort, path] = process.argv.slice(2);
  if (mode === 'serve') await serve(Number(originPort), path ?? '');
  else {
    const { originFetches, followerP50Ms, followerP95Ms } = await measureHerd();
    const herd_origin_fetches = originFetches;
    const herd_follower_p50_ms = Math.round(followerP50Ms * 10) / 10;
    const herd_follower_p95_ms = Math.round(followerP95Ms * 10) / 10;
    console.log(JSON.stringify({ herd_origin_fetches, herd_follower_p50_ms, herd_follower_p95_ms }));
  }
}
