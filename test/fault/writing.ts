// The parent's side of a writing process: starts it, tells it to go, keeps what it says with its time, ends it.
import { type ChildProcess, spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** Between two lines `tick`, at least: what a writer's own time is told by, which passes slowly on a busy machine. */
export const TICK_MS = 100;

/** What one writing process does. */
export type WriterPlan = {
  readonly discipline: 'store' | 'naive';
  readonly directory: string;
  readonly cycle: number;
  readonly seed: number;
  /** Objects under way at once. */
  readonly lanes: number;
  /** Ends in order after so many; absent: goes on until it is stopped or killed. */
  readonly objects?: number;
  /** Pause of a lane after each object, in milliseconds. */
  readonly pauseMs?: number;
};

/** A line that it said, and when: milliseconds of performance.now() here. */
export type Said = { readonly word: string; readonly path: string; readonly atMs: number };

/** A running writer. */
export type Writing = {
  /** From that moment on it writes; `victims` are paths that it may remove on the way. */
  readonly go: (victims: readonly string[]) => void;
  /** Resolves when it said that word. Rejects when it ended without. */
  readonly said: (word: string) => Promise<Said>;
  readonly stop: () => void;
  readonly kill: () => void;
  readonly pid: number;
  /** Resolves with all that it said, once it is gone. */
  readonly ended: Promise<readonly Said[]>;
};

/** Paths of one word, in the order said. */
export function pathsOf(said: readonly Said[], word: string): string[] {
  return said.filter((one) => one.word === word).map(({ path }) => path);
}

/** Starts a writer, with `env` added to its environment. */
export function startWriting(plan: WriterPlan, env: Readonly<Record<string, string>> = {}): Writing {
  const script = fileURLToPath(new URL('writer.ts', import.meta.url));
  const child: ChildProcess = spawn(process.execPath, [script, JSON.stringify(plan)], {
    stdio: ['pipe', 'pipe', 'inherit'],
    // Compiled once, not a thousand times: two thirds of what a start costs.
    env: { ...process.env, NODE_COMPILE_CACHE: join(tmpdir(), 'node-compile-cache'), ...env },
  });
  const { stdin, stdout, pid } = child;
  if (stdin === null || stdout === null || pid === undefined) throw new Error('the writer did not start');
  stdin.on('error', () => undefined); // It is gone already; `ended` says so.
  const lines: Said[] = [];
  const waiting = new Set<() => void>();
  let isOver = false;
  createInterface({ input: stdout }).on('line', (line) => {
    const [word = '', ...rest] = line.split(' ');
    lines.push({ word, path: rest.join(' '), atMs: performance.now() });
    for (const hear of [...waiting]) hear();
  });
  const ended = new Promise<readonly Said[]>((resolve) => {
    child.once('close', () => {
      isOver = true;
      for (const hear of [...waiting]) hear();
      resolve(lines);
    });
  });
  return {
    go: (victims) => void stdin.write(`${['go', ...victims].join(' ')}\n`),
    said: (word) =>
      new Promise((resolve, reject) => {
        const hear = () => {
          const found = lines.find((one) => one.word === word);
          if (found === undefined && !isOver) return;
          waiting.delete(hear);
          if (found === undefined) reject(new Error(`the writer ended without '${word}'`));
          else resolve(found);
        };
        waiting.add(hear);
        hear();
      }),
    stop: () => void stdin.write('stop\n'),
    kill: () => void child.kill('SIGKILL'),
    pid,
    ended,
  };
}
