// Runs ffmpeg: a bounded number at a time, each watched for progress, stopped by SIGTERM then SIGKILL, and killed by
// the kernel when this process dies.
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { EncoderError } from '../errors.ts';
import { commandOf, type FfmpegTool } from './find.ts';
import { createPacer, createWatchdog, type Pacer, type Watchdog } from './pacer.ts';
import { parseCpuSeconds, parseProgressFrames } from './parse.ts';

/** Between SIGTERM and SIGKILL. The encoder promises to be gone 2 s after it is told to stop. */
export const KILL_AFTER_MS = 700;
/** Lines of standard error kept per run. */
const TAIL_LINES = 200;
/** The file descriptor on which ffmpeg reports progress; the next, 4, is for a second raw output. */
const PROGRESS_FD = 3;

/** One run: arguments after the common ones, and where its raw outputs go. */
export type FfmpegRun = {
  readonly args: readonly string[];
  /** Working directory, so that filter graphs can name files without escaping. */
  readonly cwd: string;
  /** Bytes fed to `pipe:0`; an iterable is opened per attempt. */
  readonly input?: () => AsyncIterable<Buffer>;
  /** Bytes of `pipe:1`. Called anew, from the first byte, when the run is repeated; see onStart. */
  readonly onStdout?: (chunk: Buffer) => void;
  /** Bytes of `pipe:4`. */
  readonly onSecond?: (chunk: Buffer) => void;
  /** Most that it may allocate, for runs that decode what came from outside; absent: unbounded. */
  readonly memoryMegabytes?: number;
  /** Before each attempt: forget what an earlier one delivered. */
  readonly onStart?: () => void;
};

/** What a run that exited with 0 says of itself. */
export type FfmpegResult = {
  /** Frames of the first output, undefined without video. */
  readonly frames: number | undefined;
  readonly cpuSeconds: number;
  /** Lines that ffmpeg marked as errors though it went on. */
  readonly errors: readonly string[];
};

/** A bounded set of ffmpeg processes. */
export type Ffmpeg = {
  readonly tool: FfmpegTool;
  /** Threads that one process should use. */
  readonly threads: number;
  /** Runs when a slot is free. Rejects with ENCODER_FFMPEG_FAILED, ENCODER_FFMPEG_STALLED or ENCODER_STOPPED. */
  readonly run: (run: FfmpegRun) => Promise<FfmpegResult>;
  /** Holds a slot while `work` runs another kind of process. */
  readonly hold: <Result>(work: () => Promise<Result>) => Promise<Result>;
  readonly options: FfmpegLimits;
  /**
   * Waits for all of the works, each of which runs in this set, and gives their results in order. When one fails, every
   * run of the set is stopped, the others are waited for, and the first failure is thrown: nothing still reads or
   * writes files that the caller then removes.
   */
  readonly all: <Result>(works: readonly Promise<Result>[]) => Promise<Result[]>;
  /** Adds what such a process cost. */
  readonly spend: (cpuSeconds: number) => void;
  /** CPU seconds of all runs so far. */
  readonly cpuSeconds: () => number;
};

/** Limits of the set. */
export type FfmpegLimits = {
  readonly parallel: number;
  readonly threads: number;
  readonly stallMs: number;
  /** Aborts every run, queued or started. */
  readonly signal: AbortSignal;
  /** Holds runs back; default: nothing does. */
  readonly pacer?: Pacer;
};
type Paced = FfmpegLimits & { readonly pacer: Pacer };

/** Opens a set of at most `parallel` ffmpeg processes over one tool. */
export function openFfmpeg(tool: FfmpegTool, limits: FfmpegLimits): Ffmpeg {
  let cpuSeconds = 0;
  const failed = new AbortController();
  const pacer = limits.pacer ?? createPacer(limits.parallel);
  const options = { ...limits, pacer, signal: AbortSignal.any([limits.signal, failed.signal]) };
  const hold = createGate(pacer, options.signal);
  const run = async (wanted: FfmpegRun): Promise<FfmpegResult> => {
    const attempt = (): Promise<FfmpegResult> => hold(() => runOnce(tool, wanted, options));
    const result = await attempt().catch((error: unknown) => {
      // A run that hung or was killed from outside gets one more chance; an error that ffmpeg itself reported does not.
      const mayRepeat = error instanceof EncoderError && error.retryable && error.code !== 'ENCODER_STOPPED';
      if (!mayRepeat) throw error;
      return attempt();
    });
    cpuSeconds += result.cpuSeconds;
    return result;
  };
  const spend = (seconds: number): void => {
    cpuSeconds += seconds;
  };
  const all = async <Result>(works: readonly Promise<Result>[]): Promise<Result[]> => {
    const failures: unknown[] = [];
    const results: Result[] = [];
    const watched = works.map((work, at) =>
      work.then(
        (result) => {
          results[at] = result;
        },
        (error: unknown) => {
          failures.push(error);
          failed.abort();
        },
      ),
    );
    await Promise.all(watched);
    // Runs that were stopped because of a failure elsewhere may be heard of before it.
    const isCause = (error: unknown): boolean => !(error instanceof EncoderError && error.code === 'ENCODER_STOPPED');
    if (failures.length > 0) throw failures.find(isCause) ?? failures[0];
    return results;
  };
  return { tool, threads: options.threads, run, hold, all, options, spend, cpuSeconds: () => cpuSeconds };
}

/** The error of every wait that the signal ended. */
export function stopped(): EncoderError {
  return new EncoderError('ENCODER_STOPPED', 'stopped; run the same job again to go on from here');
}

/** First come, first served, as many at once as the pacer has slots; all are turned away when the signal aborts. */
function createGate(pacer: Pacer, signal: AbortSignal) {
  let running = 0;
  const queue: (() => void)[] = [];
  const admit = (): void => {
    while (queue.length > 0 && (signal.aborted || running < pacer.slots())) {
      running += 1;
      queue.shift()?.();
    }
  };
  pacer.onChange(admit);
  signal.addEventListener('abort', admit, { once: true });
  return async <Result>(work: () => Promise<Result>): Promise<Result> => {
    await new Promise<void>((resolve) => {
      queue.push(resolve);
      admit();
    });
    try {
      if (signal.aborted) throw stopped();
      return await work();
    } finally {
      running -= 1;
      admit();
    }
  };
}

type Watch = { stderr: string[]; progress: string; isStalled: boolean };

async function runOnce(tool: FfmpegTool, wanted: FfmpegRun, limits: Paced): Promise<FfmpegResult> {
  wanted.onStart?.();
  const { command, prefix } = commandOf(tool, wanted.memoryMegabytes);
  const common = ['-hide_banner', '-y', '-v', 'repeat+level+info', '-nostats', '-benchmark'];
  if (wanted.input === undefined) common.push('-nostdin');
  const child = spawn(command, [...prefix, ...common, '-progress', `pipe:${PROGRESS_FD}`, ...wanted.args], {
    cwd: wanted.cwd,
    stdio: [wanted.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', 'pipe', 'pipe'],
  });
  const watch: Watch = { stderr: [], progress: '', isStalled: false };
  const stop = (): void => terminate(child);
  const watchdog = createWatchdog(limits.stallMs, () => {
    watch.isStalled = true;
    stop();
  });
  const untrack = limits.pacer.track({ kill: (signal) => child.kill(signal), onHeld: watchdog.hold });
  listen(child, { wanted, watch, watchdog });
  limits.signal.addEventListener('abort', stop, { once: true });
  if (limits.signal.aborted) stop();
  try {
    const closed = new Promise<{ code: number | null; killer: NodeJS.Signals | null }>((resolve, reject) => {
      child.on('error', (cause) => {
        const message = `cannot start ${tool.path}: set FFMPEG_PATH to a working ffmpeg`;
        reject(new EncoderError('ENCODER_FFMPEG_MISSING', message, { cause }));
      });
      child.on('close', (code, killer) => resolve({ code, killer }));
    });
    const [ended, inputError] = await Promise.all([closed, feed(child, wanted.input)]);
    if (inputError !== undefined) throw inputError;
    return judge(ended, watch, limits);
  } finally {
    watchdog.clear();
    untrack();
    limits.signal.removeEventListener('abort', stop);
  }
}

/** SIGTERM now, SIGKILL a little later unless it is gone by then. One that is held must go on to feel the first. */
function terminate(child: ChildProcess): void {
  child.kill('SIGTERM');
  child.kill('SIGCONT');
  const timer = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
  child.once('close', () => clearTimeout(timer));
}

function listen(
  child: ChildProcess,
  context: { readonly wanted: FfmpegRun; readonly watch: Watch; readonly watchdog: Watchdog },
): void {
  const { wanted, watch, watchdog } = context;
  // Every descriptor from 1 on was opened as a pipe to read from.
  const [, stdout, stderr, progress, second] = child.stdio as unknown as (Readable | null)[];
  let rest = '';
  stdout?.on('data', (chunk: Buffer) => {
    watchdog.refresh();
    wanted.onStdout?.(chunk);
  });
  second?.on('data', (chunk: Buffer) => {
    watchdog.refresh();
    wanted.onSecond?.(chunk);
  });
  stderr?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split(/\r?\n/);
    rest = (lines.pop() ?? '').slice(-4096);
    watch.stderr.push(...lines);
    watch.stderr.splice(0, watch.stderr.length - TAIL_LINES);
  });
  progress?.setEncoding('utf8').on('data', (text: string) => {
    // ffmpeg reports twice a second even when nothing moves: only a change of place is progress.
    const place = text.replace(/^(?:speed|bitrate|fps|progress)=.*$/gm, '');
    if (place !== watch.progress) watchdog.refresh();
    watch.progress = place;
  });
}

/** Writes the input; gives what went wrong with reading it, so that the caller can wait for the process first. */
async function feed(child: ChildProcess, input: FfmpegRun['input']): Promise<unknown> {
  if (input === undefined || child.stdin === null) return undefined;
  try {
    await pipeline(input(), child.stdin);
    return undefined;
  } catch (error) {
    // ffmpeg that ends early closes its end; its exit code and errors say why better than EPIPE does.
    if (error instanceof Error && 'syscall' in error && error.syscall === 'write') return undefined;
    if (error instanceof Error && 'code' in error && error.code === 'ERR_STREAM_PREMATURE_CLOSE') return undefined;
    child.kill('SIGKILL');
    return error;
  }
}

function judge(
  ended: { readonly code: number | null; readonly killer: NodeJS.Signals | null },
  watch: Watch,
  limits: FfmpegLimits,
): FfmpegResult {
  if (limits.signal.aborted) throw stopped();
  const errors = watch.stderr.filter((line) => /\[(?:error|fatal|panic)\]/.test(line));
  // Why memory ran out is said first, and last only what failed for want of it.
  const starved = errors.filter((line) => /cannot allocate memory|resource temporarily unavailable/i.test(line));
  const said = [...starved.slice(0, 1), ...(errors.length > 0 ? errors : watch.stderr).slice(-3)];
  const tail = said.join(' | ').slice(0, 600);
  if (watch.isStalled) {
    const seconds = limits.stallMs / 1000;
    throw new EncoderError('ENCODER_FFMPEG_STALLED', `ffmpeg made no progress for ${seconds} s: ${tail}`);
  }
  if (ended.killer !== null) {
    throw new EncoderError('ENCODER_FFMPEG_FAILED', `ffmpeg was killed by ${ended.killer}: ${tail}`, {
      retryable: true,
    });
  }
  if (ended.code !== 0) {
    const isFull = errors.some((line) => line.includes('No space left on device'));
    throw new EncoderError(
      isFull ? 'ENCODER_DISK_FULL' : 'ENCODER_FFMPEG_FAILED',
      `ffmpeg ended with ${ended.code}: ${tail}`,
      { retryable: isFull },
    );
  }
  const stderr = watch.stderr.join('\n');
  return { frames: parseProgressFrames(watch.progress), cpuSeconds: parseCpuSeconds(stderr), errors };
}
