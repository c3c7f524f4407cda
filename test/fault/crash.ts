// Kills a writing process again and again, at random moments of its opening, writing, and removing, and looks at what is
// served afterwards.
import { setTimeout as delay } from 'node:timers/promises';
import { chances } from '../fake/chance.ts';
import { type Found, look, lookNaively } from './looking.ts';
import { pathsOf, type Said, startWriting, type Writing } from './writing.ts';

/** What all cycles together did. */
export type CrashReport = {
  readonly stored: number;
  readonly removed: number;
  /** Bodies that were served as complete and are not what their tag says. */
  readonly wrong: number;
  /** Refused by a checksum: never after a mere kill. */
  readonly caught: number;
  /** Synced (there after an earlier crash, or written by a process that closed in order), not removed, and not there. */
  readonly lost: number;
  /** Removed, and there again. */
  readonly returned: number;
  /** There at the end. */
  readonly kept: number;
  /** The slowest opening of the directory after a kill, by whoever opened it. */
  readonly readyMs: number;
};

/** What the cycles are run on. */
export type CrashOptions = {
  readonly discipline: 'store' | 'naive';
  readonly directory: string;
  readonly cycles: number;
  /** Decides bodies and moments. */
  readonly seed: number;
  /** Hears of every cycle that is over, with the sums until then. */
  readonly onCycle?: (done: number, total: CrashReport) => void;
};

/** Objects of so many cycles are kept; older ones are purged, so that a long run needs little room. */
const KEPT_CYCLES = 6;
/** Half of the writers end this early, in milliseconds after they are ready: before their first batch is durable. */
const SHORT_MS = 200;
/** The others live on until here, through several batches. */
const LONG_MS = 800;
/** The same for one that is killed while it opens the directory. */
const OPENING_MS = 60;
/** Shares of the cycles that end while the directory is opened, and in order. */
const OPENING_SHARE = 0.12;
const ORDERLY_SHARE = 0.08;

const HOT = ['/hot/0', '/hot/1', '/hot/2', '/hot/3'];

type Ended = { readonly said: readonly Said[]; readonly isOrderly: boolean };

/** Runs the cycles. */
export async function crash(options: CrashOptions): Promise<CrashReport> {
  const total = { stored: 0, removed: 0, wrong: 0, caught: 0, lost: 0, returned: 0, kept: 0, readyMs: 0 };
  const random = chances(options.seed);
  const expected = new Set<string>();
  let gone = new Set<string>();
  let writing = begin(options, 0);
  try {
    for (let cycle = 0; cycle < options.cycles; cycle += 1) {
      const { said, isOrderly } = await runUntilEnded(writing, [...expected].slice(0, 3), random);
      // The next one starts up while this one's work is looked at.
      writing = begin(options, cycle + 1);
      const stored = pathsOf(said, 'stored');
      const removed = pathsOf(said, 'removed');
      for (const path of pathsOf(said, 'removing')) expected.delete(path);
      if (isOrderly) for (const path of stored) if (path.startsWith('/object/')) expected.add(path);
      for (const path of pathsOf(said, 'removing')) expected.delete(path);
      for (const path of removed) gone.add(path);
      const retire = `/object/${cycle - KEPT_CYCLES}/`;
      const found = await lookAt(options, new Set([...HOT, ...pathsOf(said, 'storing'), ...expected, ...gone]), retire);
      total.stored += stored.length;
      total.removed += removed.length;
      total.wrong += found.wrong.length;
      total.caught += found.caught;
      total.readyMs = Math.max(total.readyMs, found.readyMs, Number(pathsOf(said, 'ready')[0] ?? 0));
      for (const path of expected) if (!found.right.has(path)) total.lost += 1;
      for (const path of gone) if (found.right.has(path)) total.returned += 1;
      total.kept = found.right.size;
      expected.clear();
      gone = new Set();
      for (const path of found.right) {
        if (path.startsWith(retire)) gone.add(path);
        else if (path.startsWith('/object/')) expected.add(path);
      }
      options.onCycle?.(cycle + 1, { ...total });
    }
  } finally {
    writing.kill();
    await writing.ended;
  }
  return total;
}

function begin({ discipline, directory, seed }: CrashOptions, cycle: number): Writing {
  return startWriting({ discipline, directory, cycle, seed: seed + cycle, lanes: discipline === 'naive' ? 1 : 3 });
}

async function lookAt({ discipline, directory }: CrashOptions, paths: Set<string>, retire: string): Promise<Found> {
  return discipline === 'naive' ? lookNaively(directory, paths, retire) : await look(directory, paths, retire);
}

/** The moment is the fault that is injected, so this waits by the clock. */
async function runUntilEnded(writing: Writing, victims: readonly string[], random: () => number): Promise<Ended> {
  await writing.said('waiting');
  const kind = random();
  const moment = random();
  writing.go(victims);
  if (kind < OPENING_SHARE) {
    await delay(moment * OPENING_MS);
    writing.kill();
    return { said: await writing.ended, isOrderly: false };
  }
  await writing.said('ready');
  await delay(moment < 0.5 ? moment * 2 * SHORT_MS : SHORT_MS + (moment * 2 - 1) * (LONG_MS - SHORT_MS));
  const isOrderly = kind < OPENING_SHARE + ORDERLY_SHARE;
  if (isOrderly) writing.stop();
  else writing.kill();
  const said = await writing.ended;
  return { said, isOrderly: isOrderly && said.some(({ word }) => word === 'closed') };
}
