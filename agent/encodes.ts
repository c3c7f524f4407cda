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
import {
  CONTRACT_VERSION,
  type EncodeEvent,
  type EncodeJobInput,
  encodeEventSchema,
  jobSchema,
  toolsSchema,
} from '../encoder/contract.ts';
import { AgentError } from './errors.ts';

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
  /** Job files in jobs/, a work folder for each in work/ until its title is published; survives restarts. */
  readonly workDir: string;
  readonly publishDir: string;
  readonly niceness: number;
  /** ffmpeg processes of one job; 0 means one per core. */
  readonly parallel: number;
  /** What every job takes where it says nothing else. */
  readonly defaults: Pick<EncodeJobInput, 'codecs' | 'devices' | 'hardware' | 'ladder' | 'ffmpegPath'>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What the publisher says that a title's source is; a job may say it itself. */
  readonly sourceOf: (id: string) => EncodeJobInput['sourceClass'];
  /** Whether a job may begin now; one that may not is asked for again after HELD_MS. */
  readonly hasRoom: () => boolean;
  readonly onEvent: (event: EncodeEvent) => void;
  readonly now: () => number;
  readonly log: Log;
};

/** A job as submitted here: where it works and publishes is the queue's to say. */
export type SubmittedJob = Omit<EncodeJobInput, 'version' | 'outDir' | 'publishTo'>;

/** The queue; one job at a time, in the order submitted. */
export type Encodes = {
  /**
   * False when a job with that id waits or runs. Rejects with AGENT_ENCODE_SEALED, or on a job that the contract refuses
   * (ZodError) or whose file cannot be written.
   */
  readonly submit: (job: SubmittedJob) => Promise<boolean>;
  /** The jobs since start in the order submitted; of those that ended, the last thousand or so. */
  readonly list: () => readonly EncodeStatus[];
  readonly counts: Readonly<EncodeCounts>;
  /** Holds back jobs that have not begun; not kept over a restart. */
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
/** Between two looks whether there is room for a job. */
const HELD_MS = 10_000;
/** Ended jobs kept in the list. */
const MAX_LISTED = 1_000;

/** Codes that the queue adds to the encoder's own. */
const QUEUE_CODES = ['ENCODER_DIED'] as const;

/** `isSaved`: its file is on disk, so that it may begin. */
type Entry = { status: EncodeStatus; readonly job: EncodeJobInput; tries: number; isSaved: boolean };
/** How an encoder process ended; `last` is its last event, done or failed unless it died. */
export type RunEnd = {
  readonly last: EncodeEvent | undefined;
  readonly stderrTail: string;
  readonly exitCode: number | null;
};

/**
 * Opens the queue and takes up the jobs that an earlier run left. Rejects with AGENT_DIRECTORY_UNUSABLE when workDir
 * cannot be made.
 */
export async function openEncodes(options: EncodesOptions): Promise<Encodes> {
  const jobsDir = join(options.workDir, 'jobs');
  await mkdir(jobsDir, { recursive: true }).catch((cause: unknown) => {
    throw new AgentError('AGENT_DIRECTORY_UNUSABLE', `${jobsDir} cannot be made (${String(cause)})`, { cause });
  });
  const queue = new Queue(jobsDir, options);
  for (const job of await readJobs(jobsDir, options.log)) {
    if (options.sourceOf(job.id) === 'sealed') options.log('warn', 'encode.sealed', { id: job.id });
    else queue.enqueue(job, { isSaved: true });
  }
  // Not before the caller has wired what onEvent needs.
  setImmediate(() => queue.startNext());
  return queue.face();
}

/** One job at a time, in the order submitted. */
class Queue {
  readonly #jobsDir: string;
  readonly #options: EncodesOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #counts: EncodeCounts = { started: 0, done: 0, failed: 0, cpuSeconds: 0, lastSuccessSeconds: 0 };
  #running: { readonly child: ChildProcess; readonly ended: Promise<unknown> } | undefined;
  #isPaused = false;
  #isClosed = false;
  #held: NodeJS.Timeout | undefined;

  constructor(jobsDir: string, options: EncodesOptions) {
    this.#jobsDir = jobsDir;
    this.#options = options;
  }

  face(): Encodes {
    return {
      submit: (job) => this.#submit(job),
      list: () => [...this.#entries.values()].map((entry) => entry.status),
      counts: this.#counts,
      setPaused: (isPaused) => {
        this.#isPaused = isPaused;
        this.startNext();
      },
      close: () => this.#close(),
    };
  }

  /** The new entry; undefined when a job of that id waits or runs. */
  enqueue(job: EncodeJobInput, { isSaved }: Pick<Entry, 'isSaved'>): Entry | undefined {
    const known = this.#entries.get(job.id);
    if (known !== undefined && (known.status.state === 'queued' || known.status.state === 'running')) return undefined;
    this.#entries.delete(job.id);
    const { id, name = id } = job;
    const status = { id, name, state: 'queued', step: 'queued', progressRatio: 0 } as const;
    const entry: Entry = { job, tries: 0, isSaved, status };
    this.#entries.set(id, entry);
    if (this.#entries.size > MAX_LISTED) forgetOldestEnded(this.#entries);
    return entry;
  }

  startNext(): void {
    if (this.#running !== undefined || this.#isPaused || this.#isClosed) return;
    const entry = [...this.#entries.values()].find(({ status, isSaved }) => isSaved && status.state === 'queued');
    if (entry === undefined) return;
    if (!this.#options.hasRoom()) {
      clearTimeout(this.#held);
      this.#held = setTimeout(() => this.startNext(), HELD_MS);
      return;
    }
    setStatus(entry, { state: 'running', step: 'starting' });
    entry.tries += 1;
    this.#counts.started += 1;
    const onEvent = (event: EncodeEvent) => {
      setStatus(entry, {
        step: event.event === 'progress' ? event.step : event.event,
        progressRatio: event.progressRatio,
      });
      // The last line is heard once the process is gone and its job is settled.
      if (event.event !== 'done' && event.event !== 'failed') this.#tell(event);
    };
    const { child, ended } = runEncoder(entry.job, this.#options, onEvent);
    this.#running = { child, ended: ended.then((end) => this.#settle(entry, end)) };
  }

  /** Never rejects. The slot is free once the job's file and status say how it ended. */
  async #settle(entry: Entry, end: RunEnd): Promise<void> {
    if (this.#isClosed) return;
    if (end.last?.event === 'done') {
      this.#counts.done += 1;
      this.#counts.cpuSeconds += end.last.cpuSeconds;
      this.#counts.lastSuccessSeconds = this.#options.now() / 1000;
      const { id } = entry.job;
      // What a resume would need is as large as the title, and nobody resumes what is published.
      for (const path of [this.#jobFile(id), this.#workFolder(id)])
        await rm(path, { recursive: true, force: true }).catch(this.#logFileFault(id));
      setStatus(entry, { state: 'done', step: 'done', progressRatio: 1 });
      this.#tell(end.last);
    } else {
      await this.#fail(entry, end);
    }
    this.#running = undefined;
    this.startNext();
  }

  async #fail(entry: Entry, end: RunEnd): Promise<void> {
    const { code, message, retryable } = failureOf(end);
    const { log } = this.#options;
    const { id } = entry.job;
    if (retryable && entry.tries < MAX_TRIES) {
      log('warn', 'encode.retried', { id, code });
      setStatus(entry, { state: 'queued', step: 'queued' });
      return;
    }
    this.#counts.failed += 1;
    log('error', 'encode.failed', { id, code, message });
    // The job is kept for the operator to read; only *.json is taken up at start.
    await rename(this.#jobFile(id), `${this.#jobFile(id)}.failed`).catch(this.#logFileFault(id));
    const { progressRatio } = entry.status;
    setStatus(entry, { state: 'failed', step: 'failed', failure: { code, message } });
    this.#tell({ version: CONTRACT_VERSION, id, event: 'failed', progressRatio, code, message, retryable });
  }

  #logFileFault(id: string): (cause: unknown) => void {
    return (cause) => this.#options.log('warn', 'encode.job-file', { id, message: String(cause) });
  }

  /** A listener that throws must not stop the queue. */
  #tell(event: EncodeEvent): void {
    try {
      this.#options.onEvent(event);
    } catch (error) {
      this.#options.log('error', 'encode.listener', { id: event.id, message: String(error) });
    }
  }

  async #submit(input: SubmittedJob): Promise<boolean> {
    const { publishDir, niceness, parallel, defaults, sourceOf } = this.#options;
    const said = sourceOf(input.id);
    // Sealed is sealed whoever says so: a job cannot unseal what the publisher sealed.
    const sourceClass = said === 'sealed' ? said : (input.sourceClass ?? said ?? 'mezzanine');
    if (sourceClass === 'sealed') throw sealedError(input.id);
    const job: EncodeJobInput = {
      ...defaults,
      ...input,
      sourceClass,
      version: CONTRACT_VERSION,
      outDir: this.#workFolder(input.id),
      publishTo: publishDir,
      budget: { niceness, parallel, ...input.budget },
    };
    jobSchema.parse(job);
    const entry = this.enqueue(job, { isSaved: false });
    if (entry === undefined) return false;
    try {
      await writeFile(`${this.#jobFile(job.id)}.tmp`, JSON.stringify(job));
      await rename(`${this.#jobFile(job.id)}.tmp`, this.#jobFile(job.id));
    } catch (error) {
      this.#entries.delete(job.id);
      throw error;
    }
    entry.isSaved = true;
    this.startNext();
    return true;
  }

  async #close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#held);
    if (this.#running === undefined) return;
    const { child, ended } = this.#running;
    child.kill('SIGTERM');
    const kill = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
    await ended;
    clearTimeout(kill);
  }

  #workFolder(id: string): string {
    return join(this.#options.workDir, 'work', id);
  }

  #jobFile(id: string): string {
    return join(this.#jobsDir, `${id}.json`);
  }
}

function setStatus(entry: Entry, patch: Partial<EncodeStatus>): void {
  entry.status = { ...entry.status, ...patch };
}

/** Why a run that was not done failed; an encoder that died without a word may be tried again. */
function failureOf({ last, exitCode, stderrTail }: RunEnd): { code: string; message: string; retryable: boolean } {
  if (last?.event === 'failed') return last;
  const message = `the encoder ended with ${exitCode ?? 'a signal'}: ${stderrTail}`;
  const code: (typeof QUEUE_CODES)[number] = 'ENCODER_DIED';
  return { code, message, retryable: true };
}

function sealedError(id: string): AgentError {
  return new AgentError(
    'AGENT_ENCODE_SEALED',
    `title ${id} is sealed (DRM): it is cached, prefetched and previewed, never decoded. ` +
      'Give an unencrypted source, and take "sealed" from the job and from the title\'s catalogue line',
  );
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
export type FoundFfmpeg =
  | { readonly ok: true; readonly path: string }
  | { readonly ok: false; readonly message: string };

/** Asks the encoder for its ffmpeg, so that there is one search. Never rejects. */
export async function findFfmpeg(env: Readonly<Record<string, string | undefined>>): Promise<FoundFfmpeg> {
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
