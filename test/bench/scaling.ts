// Two workers against one process, on the first two cores, with a client process on each of the next two. Also the entry of
// such a client: `scaling.ts PORT MILLISECONDS` loads a server and prints how many requests were answered.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { load } from './load.ts';
import { type Place, startNode } from './servers.ts';

/** Fewer cores cannot hold two workers and clients that keep both busy. */
export const CORES_FOR_WORKERS = 4;
const PATH = '/64k';
const ROUNDS = 3;
const RUN_MS = 2_000;
const RAM_BYTES = 256 * 1024 * 1024;

async function client(port: number, core: number): Promise<number> {
  const args = ['-c', String(core), process.execPath, fileURLToPath(import.meta.url), String(port), String(RUN_MS)];
  const child = spawn('/usr/bin/taskset', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += String(chunk);
  });
  await once(child, 'close');
  return Number(text);
}

/** Requests per second of two workers over those of one process; undefined on a machine with too few cores. */
export async function measureWorkers(place: Place): Promise<number | undefined> {
  if (cpus().length < CORES_FOR_WORKERS) return undefined;
  const start = async (workers: number) => {
    const setup = { name: `nearcast with ${workers}`, ramBytes: RAM_BYTES, workers, cores: '0,1' };
    return (await startNode(place, setup))[0];
  };
  const [one, two] = [await start(1), await start(2)];
  if (one === undefined || two === undefined) return undefined;
  const ratios: number[] = [];
  const answered = async (port: number): Promise<number> => {
    const counts = await Promise.all([client(port, 2), client(port, 3)]);
    return counts.reduce((sum, count) => sum + count, 0);
  };
  try {
    await answered(one.port);
    await answered(two.port);
    for (let round = 0; round < ROUNDS; round += 1)
      ratios.push((await answered(two.port)) / (await answered(one.port)));
  } finally {
    await Promise.all([one.stop(), two.stop()]);
  }
  return ratios.sort((a, b) => a - b)[ROUNDS >> 1];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [port, forMs] = process.argv.slice(2).map(Number);
  const { requests } = await load(port ?? 0, { path: PATH, fields: '', connections: 16, forMs: forMs ?? 0 });
  console.log(requests);
}
