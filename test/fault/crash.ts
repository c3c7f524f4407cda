// Kills a writing process again and again and looks at what is served afterwards.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { CacheError } from '../../cache/errors.ts';
import { bodyOf, get, optionsOf, withStore } from '../cache/store/support.ts';

/** What all cycles together did. */
export type CrashReport = {
  readonly stored: number;
  readonly removed: number;
  /** Bodies that were served and are not what their head says. */
  readonly wrong: number;
  /** Refused by a checksum: never after a mere kill. */
  readonly caught: number;
  /** There after an earlier crash, not there after a later one, and not replaced. */
  readonly lost: number;
  /** Removed, and there again. */
  readonly returned: number;
  /** There at the end. */
  readonly kept: number;
  readonly readyMs: number;
};

type Found = { readonly right: Set<string>; readonly wrong: number; readonly caught: number; readonly readyMs: number };
type Discipline = 'store' | 'naive';

/** Runs the cycles; `seed` decides bodies and moments of the kills. */
export async function crash(options: {
  readonly discipline: Discipline;
  readonly directory: string;
  readonly cycles: number;
  readonly seed: number;
}): Promise<CrashReport> {
  const total = { stored: 0, removed: 0, wrong: 0, caught: 0, lost: 0, returned: 0, kept: 0, readyMs: 0 };
  const expected = new Set<string>();
  for (let cycle = 0; cycle < options.cycles; cycle += 1) {
    const events = await runUntilKilled(options, cycle);
    const after = (word: string): string[] =>
      events.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));
    const removed = after('removed');
    for (const key of after('removing')) expected.delete(key);
    const found = await (options.discipline === 'naive' ? readNaive : readStore)(options.directory);
    total.stored += after('stored').length;
    total.removed += removed.length;
    total.wrong += found.wrong;
    total.caught += found.caught;
    total.readyMs = Math.max(total.readyMs, found.readyMs);
    for (const key of expected) if (!found.right.has(key)) total.lost += 1;
    for (const key of removed) if (found.right.has(key)) total.returned += 1;
    for (const key of found.right) if (key.startsWith('object')) expected.add(key);
    total.kept = found.right.size;
  }
  return total;
}

async function runUntilKilled(
  {
    discipline,
    directory,
    seed,
  }: { readonly discipline: Discipline; readonly directory: string; readonly seed: number },
  cycle: number,
): Promise<string[]> {
  const script = fileURLToPath(new URL('crash-child.ts', import.meta.url));
  const args = [script, discipline, directory, String(cycle), String(seed + cycle)];
  const child: ChildProcess = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: string[] = [];
  if (child.stdout === null) throw new Error('no stdout');
  const reader = createInterface({ input: child.stdout });
  const ready = new Promise<void>((resolve, reject) => {
    reader.on('line', (line) => {
      lines.push(line);
      if (line === 'ready') resolve();
    });
    child.once('exit', (code) => reject(new Error(`the writer ended by itself with ${code}`)));
  });
  const ended = once(child, 'close');
  await ready;
  // The moment is the fault that is injected: anywhere within the first batches.
  await delay(20 + ((Math.imul(seed + cycle, 2_654_435_761) >>> 0) % 700));
  child.kill('SIGKILL');
  await ended;
  return lines;
}

async function readStore(directory: string): Promise<Found> {
  const began = performance.now();
  const options = { ...optionsOf(directory, { ramBytes: 0 }), dirs: [{ path: directory, maxBytes: 2 ** 33 }] };
  return await withStore(options, async (store) => {
    const readyMs = performance.now() - began;
    const right = new Set<string>();
    let wrong = 0;
    let caught = 0;
    for (const key of store.keys('', 1_000_000)) {
      const label = store.find(key)[0]?.headers.find(([name]) => name === 'etag')?.[1] ?? '';
      try {
        const body = await get(store, key);
        if (body?.equals(bodyOf(label, body.length)) === true && label.startsWith(`${key}/`)) right.add(key);
        else wrong += 1;
      } catch (error) {
        if (!(error instanceof CacheError)) throw error;
        caught += 1;
      }
    }
    return { right, wrong, caught, readyMs };
  });
}

async function readNaive(directory: string): Promise<Found> {
  const right = new Set<string>();
  let wrong = 0;
  for (const name of readdirSync(directory).filter((one) => one.endsWith('.json'))) {
    const key = name.slice(0, -5);
    try {
      const head: unknown = JSON.parse(readFileSync(join(directory, name), 'utf8'));
      if (typeof head !== 'object' || head === null || !('label' in head) || !('bytes' in head)) continue;
      const body = readFileSync(join(directory, `${key}.body`));
      if (body.equals(bodyOf(String(head.label), Number(head.bytes)))) right.add(key);
      else wrong += 1;
    } catch {
      // A head that is half there, or without a body: even the naive store has nothing to serve.
    }
  }
  return { right, wrong, caught: 0, readyMs: 0 };
}
