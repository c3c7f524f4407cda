// A writing process killed at every system call by which it changes its store directory, one after the other.
import { cpSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { look } from './looking.ts';
import { attach, threadsOf } from './strace.ts';
import { pathsOf, type Said, startWriting, type WriterPlan, type Writing } from './writing.ts';

/** Calls that change a directory, its files, or what of them is durable. */
const CALLS = [
  ...['open', 'openat', 'creat', 'write', 'writev', 'pwrite64', 'pwritev', 'pwritev2', 'fsync', 'fdatasync'],
  ...['rename', 'renameat', 'renameat2', 'unlink', 'unlinkat', 'truncate', 'ftruncate', 'fallocate'],
  ...['link', 'linkat', 'mkdir', 'mkdirat', 'rmdir', 'sync_file_range', 'copy_file_range', 'msync'],
];

/**
 * One boundary: the `ordinal`-th of these calls since the writer was told to go, on the main thread, on the pool's, or,
 * of threads that are only born then, on one path.
 */
type Boundary = {
  readonly on: { readonly thread: 'main' | 'pool' } | { readonly path: string };
  readonly call: string;
  readonly ordinal: number;
};

/** What a sweep found. */
export type SweepReport = {
  /** Boundaries that a whole run passes, and those at which one was killed. */
  readonly boundaries: number;
  readonly tried: number;
  /** Runs that came to their boundary; the others ended in order, for no two runs are the same to the last call. */
  readonly killed: number;
  readonly wrong: number;
  readonly caught: number;
  readonly lost: number;
  readonly returned: number;
  readonly readyMs: number;
};

/** How a sweep is run. */
export type SweepOptions = {
  /** An empty directory to work in. */
  readonly directory: string;
  readonly seed: number;
  /** At most so many boundaries, evenly taken. */
  readonly most: number;
  /** Hears of every boundary that is done, with the sums until then. */
  readonly onBoundary?: (done: number, total: SweepReport) => void;
};

/** Objects of the run that is killed; few, since each of its calls is one run more. */
const OBJECTS = 9;
const OLD_OBJECTS = 14;

/** Runs it. */
export async function sweepBoundaries(options: SweepOptions): Promise<SweepReport> {
  const { directory, seed, most } = options;
  const template = join(directory, 'template');
  const place = join(directory, 'store');
  const old = await fillTemplate(template, seed);
  const plan: WriterPlan = {
    ...{ discipline: 'store', directory: place, cycle: 1, seed: seed + 1, lanes: 1, objects: OBJECTS },
  };
  const renew = (): void => {
    rmSync(place, { recursive: true, force: true });
    cpSync(template, place, { recursive: true });
  };
  renew();
  const boundaries = await recordBoundaries(plan, old, join(directory, 'trace'));
  const chosen = evenly(boundaries, most);
  const total = { boundaries: boundaries.length, tried: chosen.length, killed: 0 };
  const found = { wrong: 0, caught: 0, lost: 0, returned: 0, readyMs: 0 };
  const start = (): Writing => startWriting(plan, { UV_THREADPOOL_SIZE: '1' });
  let next: Writing | undefined;
  for (const [index, boundary] of chosen.entries()) {
    renew();
    const said = await runTo(boundary, next ?? start(), old.slice(0, 3));
    next = index + 1 < chosen.length ? start() : undefined;
    const isOrderly = said.some(({ word }) => word === 'closed');
    if (!isOrderly) total.killed += 1;
    const removing = new Set(pathsOf(said, 'removing'));
    const synced = [...old, ...(isOrderly ? pathsOf(said, 'stored') : [])].filter((path) => !removing.has(path));
    const seen = await look(place, [...synced, ...pathsOf(said, 'storing'), ...removing]);
    found.wrong += seen.wrong.length;
    found.caught += seen.caught;
    found.readyMs = Math.max(found.readyMs, seen.readyMs);
    for (const path of synced) if (!path.startsWith('/hot/') && !seen.right.has(path)) found.lost += 1;
    for (const path of pathsOf(said, 'removed')) if (seen.right.has(path)) found.returned += 1;
    options.onBoundary?.(index + 1, { ...total, ...found });
  }
  return { ...total, ...found };
}

/** A directory closed in order; gives what it holds besides hot objects. */
async function fillTemplate(directory: string, seed: number): Promise<readonly string[]> {
  const plan: WriterPlan = { discipline: 'store', directory, cycle: 0, seed, lanes: 1, objects: OLD_OBJECTS };
  const writing = startWriting(plan);
  writing.go([]);
  const said = await writing.ended;
  const { right } = await look(directory, pathsOf(said, 'stored'));
  return [...right].filter((path) => path.startsWith('/object/'));
}

/** One whole run under observation: which thread made which of the calls on the directory, as its how-manieth. */
async function recordBoundaries(plan: WriterPlan, old: readonly string[], trace: string): Promise<Boundary[]> {
  const writing = startWriting(plan, { UV_THREADPOOL_SIZE: '1' });
  await writing.said('waiting');
  const { main, pool } = threadsOf(writing.pid);
  const tracer = await attach(main, [
    ...['-y', '-ff', '-e', `trace=${CALLS.map((call) => `?${call}`).join(',')}`, '-o', trace],
  ]);
  writing.go(old.slice(0, 3));
  await writing.said('closed');
  await tracer.detach();
  await writing.ended;
  const found = readdirSync(dirname(trace))
    .filter((name) => name.startsWith(`${basename(trace)}.`))
    .flatMap((name) => {
      const tid = Number(name.slice(basename(trace).length + 1));
      const thread = tid === main ? 'main' : pool.includes(tid) ? 'pool' : undefined;
      return boundariesOf(readFileSync(join(dirname(trace), name), 'utf8'), plan.directory, thread);
    });
  // What several threads do to one path is one boundary each time.
  return [...new Map(found.map((one) => [JSON.stringify(one), one])).values()];
}

/** The boundaries in one thread's trace; `thread` undefined: of one that nobody could have attached to before. */
function boundariesOf(text: string, directory: string, thread: 'main' | 'pool' | undefined): Boundary[] {
  const counts = new Map<string, number>();
  return text.split('\n').flatMap((line) => {
    const call = /^[a-z0-9_]+(?=\()/.exec(line)?.[0];
    const path = /[<"]([^<>"]*)[>"]/.exec(line.slice(line.indexOf(directory) - 1))?.[1] ?? '';
    // Names below bodies/ are drawn anew by each run.
    if (call === undefined || (thread === undefined && (!path.startsWith(directory) || path.includes('/bodies'))))
      return [];
    const counted = thread === undefined ? `${call} ${path}` : call;
    const ordinal = (counts.get(counted) ?? 0) + 1;
    counts.set(counted, ordinal);
    if (!line.includes(directory)) return [];
    return [{ on: thread === undefined ? { path } : { thread }, call, ordinal }];
  });
}

function evenly<T>(all: readonly T[], most: number): T[] {
  const step = Math.max(1, all.length / most);
  return all.filter((_, index) => Math.floor(index / step) !== Math.floor((index - 1) / step));
}

async function runTo(boundary: Boundary, writing: Writing, victims: readonly string[]): Promise<readonly Said[]> {
  await writing.said('waiting');
  const { main, pool } = threadsOf(writing.pid);
  const { call, ordinal, on } = boundary;
  const args = ['-e', `trace=${call}`, '-e', `inject=${call}:signal=KILL:when=${ordinal}`, '-o', '/dev/null'];
  if ('path' in on) await attach(main, ['-P', on.path, ...args], { follow: true });
  else await attach(on.thread === 'main' ? main : (pool[0] ?? main), args);
  writing.go(victims);
  return await writing.ended;
}
