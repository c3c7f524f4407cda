// One encoder process: spawned below this one and dying with it, kept off the cores that serve viewers, its NDJSON read
// line by line, lines of control written to it.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Log } from '../cache/cache.ts';
import {
  CONTRACT_VERSION,
  type EncodeControl,
  type EncodeEvent,
  type EncodeJobInput,
  encodeEventSchema,
  toolsSchema,
} from '../encoder/contract.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** What an encoder is started with. */
export type EncoderOptions = {
  readonly env: Env;
  readonly niceness: number;
  /** Cores that it keeps off, the first ones of those that this process may use; 0: none. */
  readonly reservedCores: number;
  readonly log: Log;
};

/** How an encoder process ended; `last` is its last event, done or failed unless it died. */
export type RunEnd = {
  readonly last: EncodeEvent | undefined;
  readonly stderrTail: string;
  readonly exitCode: number | null;
};

/** A running encoder. */
export type EncoderProcess = {
  readonly child: ChildProcess;
  /** One that has ended hears nothing. */
  readonly control: (line: Omit<EncodeControl, 'version'>) => void;
  /** Resolves, never rejects, when its process and output are gone. */
  readonly ended: Promise<RunEnd>;
};

const ENCODER = fileURLToPath(new URL('../encoder/main.ts', import.meta.url));
/** The search runs a few ffmpegs for their version. */
const TOOLS_MS = 20_000;
const STDERR_TAIL_BYTES = 4_096;

/** Spawns the encoder on a job. */
export function runEncoder(
  job: EncodeJobInput,
  options: EncoderOptions,
  onEvent: (event: EncodeEvent) => void,
): EncoderProcess {
  const [command = process.execPath, ...args] = [...launcher(options), process.execPath, ENCODER, '-', '--control'];
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...options.env } });
  if (child.pid !== undefined) lowerPriority(child.pid, options);
  let last: EncodeEvent | undefined;
  let stderrTail = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderrTail = (stderrTail + text).slice(-STDERR_TAIL_BYTES);
  });
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => {
    const event = parseEvent(line);
    if (event === undefined) return options.log('warn', 'encode.bad-line', { id: job.id, line: line.slice(0, 200) });
    last = event;
    onEvent(event);
  });
  // A child that died before reading its job reports so by its exit.
  child.stdin.on('error', () => undefined);
  const say = (line: unknown): void => {
    if (child.stdin.writable) child.stdin.write(`${JSON.stringify(line)}\n`);
  };
  say(job);
  const ended = new Promise<RunEnd>((resolve) => {
    child.on('error', (error) => {
      stderrTail = error.message;
      resolve({ last, stderrTail, exitCode: null });
    });
    child.on('close', (exitCode) => resolve({ last, stderrTail, exitCode }));
  });
  return { child, control: (line) => say({ version: CONTRACT_VERSION, ...line }), ended };
}

/** Which ffmpeg the encoder would use. */
export type FoundFfmpeg =
  | { readonly ok: true; readonly path: string }
  | { readonly ok: false; readonly message: string };

/** Asks the encoder for its ffmpeg, so that there is one search. Never rejects. */
export async function findFfmpeg(env: Env): Promise<FoundFfmpeg> {
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [ENCODER, 'tools'], {
      env: { ...env },
      timeout: TOOLS_MS,
    });
    return { ok: true, path: toolsSchema.parse(JSON.parse(stdout)).ffmpeg.path };
  } catch (error) {
    // execFile's error carries what the encoder said on stderr, one clear line.
    const stderr = typeof error === 'object' && error !== null && 'stderr' in error ? String(error.stderr).trim() : '';
    return { ok: false, message: stderr === '' ? String(error) : stderr };
  }
}

/**
 * The cores that an encoder may use, as taskset takes them: those in `allowed` (the kernel's list, such as "0-3,8") but
 * the first `reserved`. Undefined when nothing is to be kept off, or nothing would be left.
 */
export function encoderCores(allowed: string, reserved: number): string | undefined {
  if (reserved <= 0 || !/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(allowed)) return undefined;
  const cores = allowed.split(',').flatMap((range) => {
    const [first = Number.NaN, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, at) => first + at);
  });
  const left = cores.slice(reserved);
  return left.length === 0 ? undefined : left.join(',');
}

/**
 * What to start an encoder with: setpriv, so that the kernel kills it when this process dies even by SIGKILL, and
 * taskset, which keeps it and its ffmpegs off the cores that serve. Each is left out where it is missing.
 */
function launcher({ env, reservedCores }: EncoderOptions): readonly string[] {
  const setpriv = onPath('setpriv', env);
  const cores = encoderCores(allowedCores(), reservedCores);
  const taskset = cores === undefined ? undefined : onPath('taskset', env);
  return [
    ...(setpriv === undefined ? [] : [setpriv, '--pdeathsig', 'KILL', '--']),
    ...(taskset === undefined || cores === undefined ? [] : [taskset, '-c', cores]),
  ];
}

/** The kernel's list of cores that this process may use; '' where it does not say. */
function allowedCores(): string {
  try {
    return /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';
  } catch {
    // Not Linux.
    return '';
  }
}

function onPath(program: string, env: Env): string | undefined {
  for (const folder of (env['PATH'] ?? '').split(delimiter).filter((entry) => entry.startsWith('/'))) {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return join(folder, program);
    } catch {
      // Not there: the next folder.
    }
  }
  return undefined;
}

function lowerPriority(pid: number, options: Pick<EncoderOptions, 'niceness' | 'log'>): void {
  try {
    setPriority(pid, options.niceness);
  } catch (error) {
    options.log('debug', 'encode.not-niced', { message: String(error) });
  }
}

function parseEvent(line: string): EncodeEvent | undefined {
  try {
    return encodeEventSchema.parse(JSON.parse(line));
  } catch {
    // The caller logs the line: an encoder that prints anything else is a fault of ours, not a reason to stop.
    return undefined;
  }
}
