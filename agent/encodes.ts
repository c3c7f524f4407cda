// The encoder seen from the daemon: a queue of jobs, each run as a process of its own, its NDJSON read line by line.
// A job is a file until it is done, so that a restart goes on where it was; the encoder resumes from its journal.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Log } from '../cache/cache.ts';
import { CONTRACT_VERSION, type EncodeEvent, type EncodeJobInput, encodeEventSchema, jobSchema, toolsSchema } from '../encoder/contract.ts';

/** Where a job stands; `step` is the last event's name. */
export type EncodeStatus = {
  readonly id: string;
  readonly name: string;
  readonly state: 'queued' | 'running' | 'done' | 'failed';
  readonly step: string;
  readonly progressRatio: number;
  readonly failure?: { readonly code: string; readonly message: string };
};

/** Counters since start. */
export type EncodeCounts = {
  started: number;
  done: number;
  failed: number;
  cpuSeconds: number;
  lastSuccessSeconds: number;
};

/** What openEncodes() needs. */
export type EncodesOptions = {
  /** Job files and work folders; survives restarts. */
  readonly workDir: string;
  readonly publishDir: string;
  readonly niceness: number;
  /** ffmpeg processes of one job; 0 means one per core. */
  readonly parallel: number;
  /** What every job takes where it says nothing else. */
  readonly defaults: Pick<EncodeJobInput, 'codecs' | 'ladder' | 'ffmpegPath'>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly onEvent: (event: EncodeEvent) => void;
  readonly now: () => number;
  readonly log: Log;
};

/** A job as submitted here: where it works and publishes is the queue's to say. */
export type SubmittedJob = Omit<EncodeJobInput, 'version' | 'outDir' | 'publishTo'>;

/** The queue; one job at a time, in the order submitted. */
export type Encodes = {
  /** False when a job with that id waits or runs. Rejects on a job that the contract refuses (ZodError). */
  readonly submit: (job: SubmittedJob) => Promise<boolean>;
  /** Every job since start, in the order submitted. */
  readonly list: () => readonly EncodeStatus[];
  readonly counts: Readonly<EncodeCounts>;
  /** Holds back jobs that have not begun. */
  readonly setPaused: (isPaused: boolean) => void;
  /** Ends the running encoder (its job stays, to be resumed) and resolves when its process is gone. */
  readonly close: () => Promise<void>;
};

const ENCODER = fileURLToPath(new URL('../encoder/main.ts', import.meta.url));
/** SIGTERM to SIGKILL; the encoder itself promises to stop within two seconds. */
const KILL_AFTER_MS = 3_000;
/** The search runs a few ffmpegs for their version. */
const TOOLS_MS = 20_000;
const STDERR_TAIL_BYTES = 4_096;
const MAX_TRIES = 2;
/** Ended jobs kept in the list. */
const MAX_LISTED = 1_000;

type Entry = { status: EncodeStatus; readonly job: EncodeJobInput; tries: number };
/** How an encoder process ended; `last` is its last event, done or failed unless it died. */
export type RunEnd = { readonly last: EncodeEvent | undefined; readonly stderrTail: string; readonly exitCode: number | null };

/** Opens the queue and takes up the jobs that an earlier run left. Rejects when workDir cannot be written. */
export async function openEncodes(options: EncodesOptions): Promise<Encodes> {
  const jobsDir = join(options.workDir, 'jobs');
  await mkdir(jobsDir, { recursive: true });
  const entries = new Map<string, Entry>();
  const counts: EncodeCounts = { started: 0, done: 0, failed: 0, cpuSeconds: 0, lastSuccessSeconds: 0 };
  let running: { readonly child: ChildProcess; readonly ended: Promise<unknown> } | undefined;
  let isPaused = false;
  let isClosed = false;

  const jobFile = (id: string) => join(jobsDir, `${id}.json`);
  const setStatus = (entry: Entry, patch: Partial<EncodeStatus>) => {
    entry.status = { ...entry.status, ...patch };
  };

  function enqueue(job: EncodeJobInput): boolean {
    const known = entries.get(job.id);
    if (known !== undefined && (known.status.state === 'queued' || known.status.state === 'running')) return false;
    entries.delete(job.id);
    const status: EncodeStatus = { id: job.id, name: job.name ?? job.id, state: 'queued', step: 'queued', progressRatio: 0 };
    entries.set(job.id, { job, tries: 0, status });
    if (entries.size > MAX_LISTED) forgetOldestEnded(entries);
    return true;
  }

  function startNext(): void {
    if (running !== undefined || isPaused || isClosed) return;
    const entry = [...entries.values()].find((candidate) => candidate.status.state === 'queued');
    if (entry === undefined) return;
    setStatus(entry, { state: 'running', step: 'starting' });
    entry.tries += 1;
    counts.started += 1;
    const onEvent = (event: EncodeEvent) => {
      setStatus(entry, { step: event.event === 'progress' ? event.step : event.event, progressRatio: event.progressRatio });
      if (event.event !== 'done') options.onEvent(event);
    };
    const { child, ended } = runEncoder(entry.job, options, onEvent);
    running = { child, ended: ended.then((end) => finish(entry, end)) };
  }

  async function finish(entry: Entry, end: RunEnd): Promise<void> {
    running = undefined;
    if (isClosed) return;
    if (end.last?.event === 'done') {
      counts.done += 1;
      counts.cpuSeconds += end.last.cpuSeconds;
      counts.lastSuccessSeconds = options.now() / 1000;
      await rm(jobFile(entry.job.id), { force: true });
      setStatus(entry, { state: 'done', step: 'done', progressRatio: 1 });
      options.onEvent(end.last);
    } else {
      await fail(entry, end);
    }
    startNext();
  }

  async function fail(entry: Entry, end: RunEnd): Promise<void> {
    const failure =
      end.last?.event === 'failed'
        ? { code: end.last.code, message: end.last.message, retryable: end.last.retryable }
        : { code: 'ENCODER_DIED', message: `the encoder ended with ${end.exitCode ?? 'a signal'}: ${end.stderrTail}`, retryable: true };
    if (failure.retryable && entry.tries < MAX_TRIES) {
      options.log('warn', 'encode.retried', { id: entry.job.id, code: failure.code });
      setStatus(entry, { state: 'queued', step: 'queued' });
      return;
    }
    counts.failed += 1;
    options.log('error', 'encode.failed', { id: entry.job.id, code: failure.code, message: failure.message });
    // The job is kept for the operator to read; only *.json is taken up at start.
    await rename(jobFile(entry.job.id), `${jobFile(entry.job.id)}.failed`).catch((cause: unknown) =>
      options.log('warn', 'encode.job-file', { id: entry.job.id, message: String(cause) }),
    );
    setStatus(entry, { state: 'failed', step: 'failed', failure: { code: failure.code, message: failure.message } });
  }

  for (const job of await readJobs(jobsDir, options.log)) enqueue(job);
  // Not before the caller has wired what onEvent needs.
  setImmediate(startNext);

  return {
    submit: async (input) => {
      const job: EncodeJobInput = {
        ...options.defaults,
        ...input,
        version: CONTRACT_VERSION,
        outDir: join(options.workDir, input.id),
        publishTo: options.publishDir,
        budget: { niceness: options.niceness, parallel: options.parallel, ...input.budget },
      };
      jobSchema.parse(job);
      if (!enqueue(job)) return false;
      await writeFile(`${jobFile(job.id)}.tmp`, JSON.stringify(job));
      await rename(`${jobFile(job.id)}.tmp`, jobFile(job.id));
      startNext();
      return true;
    },
    list: () => [...entries.values()].map((entry) => entry.status),
    counts,
    setPaused: (value) => {
      isPaused = value;
      startNext();
    },
    close: async () => {
      isClosed = true;
      if (running === undefined) return;
      const { child, ended } = running;
      child.kill('SIGTERM');
      const kill = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
      await ended;
      clearTimeout(kill);
    },
  };
}

function forgetOldestEnded(entries: Map<string, Entry>): void {
  for (const [id, { status }] of entries) {
    if (status.state === 'done' || status.state === 'failed') {
      entries.delete(id);
      return;
    }
  }
}

async function readJobs(dir: string, log: Log): Promise<readonly EncodeJobInput[]> {
  const names = (await readdir(dir)).filter((name) => name.endsWith('.json')).sort();
  const jobs: EncodeJobInput[] = [];
  for (const name of names) {
    try {
      jobs.push(jobSchema.parse(JSON.parse(await readFile(join(dir, name), 'utf8'))));
    } catch (error) {
      log('warn', 'encode.job-unreadable', { file: name, message: String(error) });
    }
  }
  return jobs;
}

/** Spawns the encoder on a job; `ended` resolves, never rejects, when its process and output are gone. */
export function runEncoder(
  job: EncodeJobInput,
  options: Pick<EncodesOptions, 'env' | 'niceness' | 'log'>,
  onEvent: (event: EncodeEvent) => void,
): { readonly child: ChildProcess; readonly ended: Promise<RunEnd> } {
  const child = spawn(process.execPath, [ENCODER, '-'], { stdio: ['pipe', 'pipe', 'pipe'], env: { ...options.env } });
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
  child.stdin.end(JSON.stringify(job));
  const ended = new Promise<RunEnd>((resolve) => {
    child.on('error', (error) => {
      stderrTail = error.message;
      resolve({ last, stderrTail, exitCode: null });
    });
    child.on('close', (exitCode) => resolve({ last, stderrTail, exitCode }));
  });
  return { child, ended };
}

/** Which ffmpeg the encoder would use. */
export type FoundFfmpeg = { readonly ok: true; readonly path: string } | { readonly ok: false; readonly message: string };

/** Asks the encoder for its ffmpeg, so that there is one search. Never rejects. */
export async function findFfmpeg(env: Readonly<Record<string, string | undefined>>): Promise<FoundFfmpeg> {
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [ENCODER, 'tools'], { env: { ...env }, timeout: TOOLS_MS });
    return { ok: true, path: toolsSchema.parse(JSON.parse(stdout)).ffmpeg.path };
  } catch (error) {
    // execFile's error carries what the encoder said on stderr, one clear line.
    const stderr = typeof error === 'object' && error !== null && 'stderr' in error ? String(error.stderr).trim() : '';
    return { ok: false, message: stderr === '' ? String(error) : stderr };
  }
}

function lowerPriority(pid: number, options: Pick<EncodesOptions, 'niceness' | 'log'>): void {
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
