// What viewers of stored objects notice of pressure: four times the viewers that one process can serve, and the node's own
// background work beside them. Whatever is timed is timed by a process of its own, so that the clients delay no figure.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { at } from '../../agent/commands/ask.ts';
import { askControl } from '../../agent/control.ts';
import { capacity, type OpenLoad, openLoad } from './overload.ts';
import type { Server } from './servers.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Of 4 MB, so that the client on the other core can send four times what the server takes. */
const LARGE = '/4m';
const RUN_MS = 5_000;
/** Before a run counts: the first half second of a queue is taken for a burst. */
const LEAD_MS = 1_500;

/** The p99 of hits at 0.8 and 4 times the capacity, in milliseconds, and what became of the others. */
export type Overload = {
  readonly capacityPerSecond: number;
  readonly light: OpenLoad;
  readonly heavy: OpenLoad;
  /** The slowest scrape of /metrics under overload. */
  readonly metricsMs: number;
};

/** Runs an entry of this folder and reads the JSON that it prints. */
async function runOf(entry: string, ...args: readonly (string | number)[]): Promise<unknown> {
  const file = fileURLToPath(new URL(entry, import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [file, ...args.map(String)]);
  return JSON.parse(stdout);
}

/** Finds what a node takes of new connections with a large hit each, then sends 0.8 and 4 times as many. */
export async function measureOverload({ port, metricsPort = 0 }: Server): Promise<Overload> {
  await capacity(port, LARGE, { viewers: 32, forMs: 1_000 });
  const capacityPerSecond = await capacity(port, LARGE, { viewers: 32, forMs: 3_000 });
  const run = (ratio: number) =>
    openLoad(port, LARGE, { perSecond: capacityPerSecond * ratio, forMs: RUN_MS, leadMs: LEAD_MS });
  const light = await run(0.8);
  const scrape = runOf('./scrape.ts', metricsPort, RUN_MS);
  const heavy = await run(4);
  return { capacityPerSecond, light, heavy, metricsMs: Number(await scrape) };
}

/** Hits of 1 KB at a rate that leaves most of a core idle. */
const LIGHT = { perSecond: 300, forMs: 3_000, leadMs: 1_000 };
const ROUNDS = 3;
/** What is below /fill/. */
export const FILL_BODY: Buffer = Buffer.alloc(1024 * 1024, 'y');
/** Of one job, so that little is left to do when a run is over. */
const FILLS_A_JOB = 16;

/** A command on the server's core with the lowest priority, as the daemon starts its encoders. */
function startBeside(command: readonly string[]): ChildProcess {
  const child = spawn('/usr/bin/taskset', ['-c', '0', ...command], { stdio: 'ignore' });
  if (child.pid !== undefined) setPriority(child.pid, 19);
  return child;
}

/** An encode of noise. */
function startEncode(): ChildProcess {
  const ffmpeg = join(ROOT, 'node_modules', '@ffmpeg-binary', `${process.platform}-${process.arch}`, 'ffmpeg');
  const source = ['-f', 'lavfi', '-i', 'testsrc2=size=1280x720:rate=30,noise=alls=20:allf=t'];
  return startBeside([ffmpeg, '-nostdin', '-v', 'error', ...source, '-c:v', 'libx264', '-f', 'null', '-']);
}

/** Training as that of the model that ships; a running node does none yet. */
function startTraining(): ChildProcess {
  const seed = new URL('../../agent/train/seed.ts', import.meta.url).href;
  const text = `import { SEED_RECIPE, trainSeed } from '${seed}'; for (;;) trainSeed(SEED_RECIPE);`;
  return startBeside([process.execPath, '--input-type=module', '--eval', text]);
}

let filled = 0;

/** Paths that the origin of fills has and nobody has asked for. */
function newPaths(count: number): readonly string[] {
  return Array.from({ length: count }, () => {
    filled += 1;
    return `/fill/${filled}`;
  });
}

type Filling = (isOver: () => boolean) => Promise<number>;

/** Viewers' fills from a port, one after the other. */
const missesOn =
  (port: number): Filling =>
  async (isOver) => {
    let count = 0;
    for (; !isOver(); count += 1) {
      const [path = ''] = newPaths(1);
      await (await fetch(`http://127.0.0.1:${port}${path}`)).arrayBuffer();
    }
    return count;
  };

/** Fills ahead of viewers, at the lowest priority, as many at once as an operator's command starts. */
const fillsAheadOn =
  (socket: string): Filling =>
  async (isOver) => {
    let count = 0;
    while (!isOver()) {
      const urls = newPaths(FILLS_A_JOB);
      let job = await askControl(socket, { method: 'POST', path: '/preposition', body: { urls } });
      while (at(job, 'isDone') !== true) {
        job = await askControl(socket, { method: 'GET', path: `/jobs/${String(at(job, 'job'))}?waitMs=5000` });
      }
      count += urls.length;
    }
    return count;
  };

/** Hits measured by a process of its own, on this core. */
async function meter(port: number): Promise<number> {
  const { perSecond, forMs, leadMs } = LIGHT;
  return Number(at(await runOf('./meter.ts', port, '/1k', perSecond, forMs, leadMs), 'hitP99Ms'));
}

/** What is beside the hits that are measured: processes on the node's core, and fills. */
type Beside = { readonly start: readonly (() => ChildProcess)[]; readonly fill?: Filling };

/** Hits beside something, milliseconds, and fills per second meanwhile. */
export type Busy = { readonly hitP99Ms: number; readonly fillsPerSecond: number };

async function beside(port: number, { start, fill }: Beside): Promise<Busy> {
  const children = start.map((each) => each());
  let isOver = false;
  const startedMs = performance.now();
  const filling = fill?.(() => isOver);
  const hitP99Ms = await meter(port);
  isOver = true;
  for (const child of children) child.kill('SIGKILL');
  const fills = (await filling) ?? 0;
  return { hitP99Ms, fillsPerSecond: Math.round((fills / (performance.now() - startedMs)) * 1000) };
}

/**
 * Hits on an idle node, and beside: fills by others from the origin itself (what this costs the clients' core alone), an
 * encode and training on the node's core, fills ahead at full pace, all three of these, and viewers' fills one after the other.
 */
export async function measureBusy(node: Server, fillPort: number): Promise<Readonly<Record<string, Busy>>> {
  const ahead = fillsAheadOn(node.socket ?? '');
  const all: Readonly<Record<string, Beside>> = {
    nothing: { start: [] },
    elsewhere: { start: [], fill: missesOn(fillPort) },
    encode: { start: [startEncode] },
    training: { start: [startTraining] },
    'fills ahead': { start: [], fill: ahead },
    'all three': { start: [startEncode, startTraining], fill: ahead },
    misses: { start: [], fill: missesOn(node.port) },
  };
  await meter(node.port);
  const runs: Record<string, Busy[]> = {};
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [name, each] of Object.entries(all)) {
      const run = await beside(node.port, each);
      runs[name] = [...(runs[name] ?? []), run];
    }
  }
  const median = (each: readonly Busy[]): Busy =>
    each.toSorted((one, other) => one.hitP99Ms - other.hitP99Ms)[each.length >> 1] ?? {
      hitP99Ms: Number.NaN,
      fillsPerSecond: 0,
    };
  return Object.fromEntries(Object.entries(runs).map(([name, each]) => [name, median(each)]));
}
