// What viewers of stored objects notice of pressure: four times the viewers that one process can serve, and the node's own
// background work beside them.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { FakeOrigin } from '../fake/origin.ts';
import { capacity, type OpenLoad, openLoad } from './overload.ts';
import type { Server } from './servers.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Of 4 MB, so that the client on the other core can send four times what the server takes. */
const LARGE = '/4m';
const RUN_MS = 5_000;
/** Before a run counts: the first half second of a queue is taken for a burst. */
const LEAD_MS = 1_500;
const METRICS_EVERY_MS = 250;

/** The p99 of hits at 0.8 and 4 times the capacity, in milliseconds, and what became of the others. */
export type Overload = {
  readonly capacityPerSecond: number;
  readonly light: OpenLoad;
  readonly heavy: OpenLoad;
  /** The slowest scrape of /metrics under overload. */
  readonly metricsMs: number;
};

async function slowestScrape(port: number, isOver: () => boolean): Promise<number> {
  let slowest = 0;
  while (!isOver()) {
    const began = performance.now();
    await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    slowest = Math.max(slowest, performance.now() - began);
    await new Promise((resolve) => setTimeout(resolve, METRICS_EVERY_MS));
  }
  return slowest;
}

/** Finds what a node takes of new connections with a large hit each, then sends 0.8 and 4 times as many. */
export async function measureOverload({ port, metricsPort = 0 }: Server): Promise<Overload> {
  await capacity(port, LARGE, { viewers: 32, forMs: 1_000 });
  const capacityPerSecond = await capacity(port, LARGE, { viewers: 32, forMs: 3_000 });
  const run = (ratio: number) =>
    openLoad(port, LARGE, { perSecond: capacityPerSecond * ratio, forMs: RUN_MS, leadMs: LEAD_MS });
  const light = await run(0.8);
  let isOver = false;
  const scrape = slowestScrape(metricsPort, () => isOver);
  const heavy = await run(4);
  isOver = true;
  return { capacityPerSecond, light, heavy, metricsMs: await scrape };
}

/** Hits of 1 KB at a rate that leaves most of a core idle. */
const LIGHT = { perSecond: 300, forMs: 2_500, leadMs: 500 };
const METER = fileURLToPath(new URL('./meter.ts', import.meta.url));
const ROUNDS = 3;

/** An encode of noise on the server's core, as the daemon starts one: with the lowest priority. */
function startEncode(ffmpeg: string): ChildProcess {
  const source = ['-f', 'lavfi', '-i', 'testsrc2=size=1280x720:rate=30,noise=alls=20:allf=t'];
  const args = ['-nostdin', '-v', 'error', ...source, '-c:v', 'libx264', '-preset', 'medium', '-f', 'null', '-'];
  const child = spawn('/usr/bin/taskset', ['-c', '0', ffmpeg, ...args], { stdio: 'ignore' });
  if (child.pid !== undefined) setPriority(child.pid, 19);
  return child;
}

/** Fills new objects of 1 MB one after the other, as fast as they come. */
async function fillOn(port: number, origin: FakeOrigin, isOver: () => boolean): Promise<number> {
  const body = Buffer.alloc(1024 * 1024, 'y');
  let count = 0;
  for (; !isOver(); count += 1) {
    const path = `/fill/${performance.now()}`;
    origin.set(path, { body, headers: { 'cache-control': 'max-age=600' } });
    await (await fetch(`http://127.0.0.1:${port}${path}`)).arrayBuffer();
  }
  return count;
}

/** Hits measured by a process of its own, on this core. */
async function meter(port: number): Promise<number> {
  const { perSecond, forMs, leadMs } = LIGHT;
  const args = [METER, port, '/1k', perSecond, forMs, leadMs].map(String);
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const { hitP99Ms }: OpenLoad = JSON.parse(stdout);
  return hitP99Ms;
}

/** Beside what hits are measured. */
const BESIDE = ['nothing', 'encode', 'fills', 'both'] as const;
/** The p99 of hits, milliseconds, medians of interleaved rounds; and fills per second meanwhile. */
export type Busy = Readonly<Record<(typeof BESIDE)[number], { readonly hitP99Ms: number; readonly fills: number }>>;

/** Compares hits on an idle node with those beside an encode on its core, fills at full pace, and both. */
export async function measureBusy({ port }: Server, origin: FakeOrigin): Promise<Busy> {
  const ffmpeg = join(ROOT, 'node_modules', '@ffmpeg-binary', 'linux-x64', 'ffmpeg');
  const one = async (beside: (typeof BESIDE)[number]) => {
    const encode = beside === 'encode' || beside === 'both' ? startEncode(ffmpeg) : undefined;
    let isOver = beside === 'nothing' || beside === 'encode';
    const filling = fillOn(port, origin, () => isOver);
    const hitP99Ms = await meter(port);
    isOver = true;
    encode?.kill('SIGKILL');
    return { hitP99Ms, fills: Math.round((await filling) / (LIGHT.forMs / 1000)) };
  };
  await meter(port);
  const runs: Busy[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const [nothing, encode] = [await one('nothing'), await one('encode')];
    runs.push({ nothing, encode, fills: await one('fills'), both: await one('both') });
  }
  const median = (beside: (typeof BESIDE)[number]) => {
    const sorted = runs.map((run) => run[beside]).sort((run, other) => run.hitP99Ms - other.hitP99Ms);
    return sorted[sorted.length >> 1] ?? { hitP99Ms: Number.NaN, fills: 0 };
  };
  const [nothing, encode] = [median('nothing'), median('encode')];
  return { nothing, encode, fills: median('fills'), both: median('both') };
}
