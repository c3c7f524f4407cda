// A nearcast command as a real process, its JSON lines as events, and nothing left behind.
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const EVENT_MS = 60_000;

/** A line of JSON output. */
export type Line = Readonly<Record<string, unknown>>;

/** A running command. */
export type Running = {
  readonly child: ChildProcess;
  /** Resolves with the first line, past or future, that the test accepts. Rejects after a minute or when it ended. */
  readonly line: (isIt: (line: Line) => boolean) => Promise<Line>;
  readonly stderr: () => string;
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null }>;
};

/** Starts `nearcast ARGS` from the repository, through run.mjs as npm start does; `before` it a program that runs it. */
export function start(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  before: readonly string[] = [],
): Running {
  const [program = '', ...rest] = [...before, process.execPath, 'run.mjs', ...args];
  const child = spawn(program, rest, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: Line[] = [];
  const waiting = new Set<(line: Line) => void>();
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  createInterface({ input: child.stdout }).on('line', (text) => {
    if (!text.startsWith('{')) return;
    const line: Line = JSON.parse(text);
    lines.push(line);
    for (const hear of waiting) hear(line);
  });
  const ended = new Promise<{ readonly code: number | null; readonly signal: string | null }>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  const line = (isIt: (candidate: Line) => boolean) =>
    new Promise<Line>((resolve, reject) => {
      const known = lines.find(isIt);
      if (known !== undefined) return resolve(known);
      const timer = setTimeout(
        () =>
          reject(
            new Error(`no such line within ${EVENT_MS} ms; stderr: ${stderr}; last: ${JSON.stringify(lines.at(-1))}`),
          ),
        EVENT_MS,
      );
      waiting.add((candidate) => {
        if (!isIt(candidate)) return;
        clearTimeout(timer);
        resolve(candidate);
      });
      void ended.then(({ code, signal }) => {
        clearTimeout(timer);
        reject(new Error(`it ended (${code ?? signal}); stderr: ${stderr}`));
      });
    });
  return { child, line, stderr: () => stderr, ended };
}

/** Command lines of all processes alive that mention `text`. */
export function processesNaming(text: string): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        // It ended between the listing and the reading.
        return '';
      }
    })
    .filter((command) => command.includes(text));
}
