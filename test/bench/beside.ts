// `npm run bench:beside`: hits of a whole node while it encodes and while that encode is paused, with encoders kept off the
// first core and without; how long a pause takes; and what resuming costs. About four minutes on two cores.
import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { findFfmpeg } from '../../agent/encoder-process.ts';
import { makePlace, openWorld, type World } from '../agent/node/world.ts';
import { type FakeOrigin, openFakeOrigin } from '../fake/origin.ts';
import { median } from './figures.ts';
import type { OpenLoad } from './overload.ts';

const METER = fileURLToPath(new URL('./meter.ts', import.meta.url));
/** Hits of 1 KB at a rate that leaves most of a core idle. */
const LOAD = { perSecond: 300, forMs: 4_000, leadMs: 500 };
const ROUNDS = 3;
const PATH = '/1k';
const POLL_MS = 100;
const LIMIT_MS = 120_000;

/** Shots of a second and a half, each of noise, so that there is always work and a boundary is never far. */
async function makeClip(directory: string): Promise<string> {
  const found = await findFfmpeg(process.env);
  if (!found.ok) throw new Error(found.message);
  const clip = join(directory, 'clip.mp4');
  const shots = Array.from(
    { length: 40 },
    (_, at) => `testsrc2=s=854x480:r=24:d=1.5,hue=h=${at * 70},noise=alls=${10 + at}:allf=t`,
  );
  const inputs = shots.flatMap((shot) => ['-f', 'lavfi', '-i', shot]);
  const joined = `${shots.map((_, at) => `[${at}:v]`).join('')}concat=n=${shots.length},format=yuv420p`;
  const codec = ['-c:v', 'libx264', '-preset', 'ultrafast', '-crf', '16'];
  execFileSync(found.path, ['-v', 'error', '-y', ...inputs, '-filter_complex', joined, ...codec, clip]);
  return clip;
}

/** The p99 of hits in milliseconds, from a process on the first core, where no encoder of a careful node is. */
async function hitP99(port: number): Promise<number> {
  const args = ['-c', '0', process.execPath, METER, port, PATH, LOAD.perSecond, LOAD.forMs, LOAD.leadMs].map(String);
  const { stdout } = await promisify(execFile)('taskset', args);
  const { hitP99Ms }: OpenLoad = JSON.parse(stdout);
  return hitP99Ms;
}

/** Waits until the job's step is, or is no longer, "paused"; gives the seconds that took. */
async function paused(world: World, isPaused: boolean): Promise<number> {
  const began = performance.now();
  while (performance.now() - began < LIMIT_MS) {
    // The node's own answer, whose shape its tests hold.
    const { encodes } = (await world.ask('GET', '/status')) as { encodes: readonly { step: string; state: string }[] };
    const [job] = encodes;
    if (job?.state === 'done' || job?.state === 'failed') throw new Error(`the encode has ended: ${job.state}`);
    const isRunning = job?.state === 'running' && job.step !== 'starting';
    if (isRunning && (job.step === 'paused') === isPaused) return (performance.now() - began) / 1000;
    await sleep(POLL_MS);
  }
  throw new Error(`not ${isPaused ? 'paused' : 'running'} within ${LIMIT_MS / 1000} s`);
}

type Figures = {
  readonly idleMs: number;
  readonly encodingMs: number;
  readonly ratio: number;
  readonly pauseSeconds: number;
};

/** Rounds of hits beside a running and beside a paused encode, on a node that keeps its encoders off so many cores. */
async function measure(origin: FakeOrigin, clip: string, reservedCores: number): Promise<Figures> {
  const own = await makePlace();
  const world = await openWorld(
    { encode: { enabled: true, cpuShare: 1, reservedCores }, log: { level: 'error' } },
    { place: { dir: own.dir, origin } },
  );
  try {
    const port = Number(new URL(world.url).port);
    await world.get(PATH);
    await world.ask('POST', '/encode', { input: clip, id: 'clip' });
    const rounds: { idle: number; encoding: number; pause: number }[] = [];
    await hitP99(port);
    for (let round = 0; round < ROUNDS; round += 1) {
      await paused(world, false);
      const encoding = await hitP99(port);
      await world.ask('POST', '/pause', { what: 'encode' });
      const pause = await paused(world, true);
      const idle = await hitP99(port);
      await world.ask('POST', '/resume', { what: 'encode' });
      rounds.push({ idle, encoding, pause });
    }
    const idleMs = median(rounds.map(({ idle }) => idle));
    const encodingMs = median(rounds.map(({ encoding }) => encoding));
    const pauseSeconds = median(rounds.map(({ pause }) => pause));
    return { idleMs, encodingMs, ratio: encodingMs / idleMs, pauseSeconds };
  } finally {
    await world.stop();
    await own.origin.close();
    await rm(own.dir, { recursive: true, force: true });
  }
}

const directory = await mkdtemp(join(tmpdir(), 'nearcast-beside-'));
const origin = await openFakeOrigin();
origin.set(PATH, { body: Buffer.alloc(1024, 'x'), headers: { 'cache-control': 'max-age=36000' } });
try {
  const clip = await makeClip(directory);
  const apart = await measure(origin, clip, 1);
  const together = await measure(origin, clip, 0);
  const shown = (figures: Figures) =>
    Object.fromEntries(Object.entries(figures).map(([key, value]) => [key, Number(value.toFixed(3))]));
  console.table({ 'off the first core': shown(apart), 'on all cores': shown(together) });
  const cores = cpus().length;
  console.log(JSON.stringify({ bench: 'beside', cores, rounds: ROUNDS, hit_p99_ratio: apart.ratio, apart, together }));
} finally {
  await origin.close();
  await rm(directory, { recursive: true, force: true });
}
