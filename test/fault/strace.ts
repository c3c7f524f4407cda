// strace as a fault injector: attached to one thread or to a whole process, until it is let go.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** An attached strace. */
export type Tracer = {
  /** Lets the traced process go on without faults. */
  readonly detach: () => Promise<void>;
};

/** Why strace cannot be used here; undefined when it can. */
export function straceMissing(): string | undefined {
  // Attaching needs more rights than starting under it, so this is what is tried.
  const sleeper = spawn('sleep', ['5'], { stdio: 'ignore' });
  try {
    const run = spawnSync('timeout', ['1', 'strace', '-p', String(sleeper.pid), '-e', 'trace=none'], {
      encoding: 'utf8',
    });
    if (run.error !== undefined) return `strace cannot be started (${run.error.message})`;
    return /attached/.test(run.stderr) ? undefined : `strace may not attach: ${run.stderr.trim() || run.status}`;
  } finally {
    sleeper.kill('SIGKILL');
  }
}

/** Thread ids of a Node process: the one that runs JavaScript, and those of libuv's pool. */
export function threadsOf(pid: number): { readonly main: number; readonly pool: readonly number[] } {
  const pool = readdirSync(`/proc/${pid}/task`)
    .filter((tid) => readFileSync(`/proc/${pid}/task/${tid}/comm`, 'utf8').startsWith('libuv-worker'))
    .map(Number);
  return { main: pid, pool };
}

/** Attaches to a process (`follow`: with all threads, present and future) or thread, with more arguments of strace. */
export async function attach(
  id: number,
  args: readonly string[],
  { follow = false }: { readonly follow?: boolean } = {},
): Promise<Tracer> {
  const child: ChildProcess = spawn('strace', [...(follow ? ['-f'] : []), ...args, '-p', String(id)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const closed = once(child, 'close');
  if (child.stderr === null) throw new Error('strace has no pipe');
  const lines = createInterface({ input: child.stderr });
  await new Promise<void>((resolve, reject) => {
    let said = '';
    lines.on('line', (line) => {
      said += line;
      if (/attached/.test(line)) resolve();
    });
    child.once('close', () => reject(new Error(`strace ended: ${said}`)));
  });
  return {
    detach: async () => {
      child.kill('SIGINT');
      await closed;
    },
  };
}
