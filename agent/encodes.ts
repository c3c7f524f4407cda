// The encoder seen from the daemon: a queue of jobs in the order of what they are worth, one at a time in a process of its
// own, at the pace that the governor sets. A job is a file until it is done; the encoder resumes from its journal.
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../cache/cache.ts';
import { CONTRACT_VERSION, type EncodeEvent, type EncodeJobInput, jobSchema } from '../encoder/contract.ts';
import { type Kept, readJobs, writeJob } from './encode-files.ts';
import { jobAt, nextOf, type PlannedJob, planOf, type WaitReason, type WorthOf } from './encode-order.ts';
import { type EncoderProcess, type RunEnd, runEncoder } from './encoder-process.ts';
import { AgentError } from './errors.ts';
import type { Pace } from './power/power.ts';

/** Where a job stands; `step` is the last event's name. */
export type EncodeStatus = {
  readonly id: string;
  readonly name: string;
  readonly state: 'queued' | 'running' | 'done' | 'failed';
  readonly step: string;
  readonly progressRatio: number;
  readonly failure?: { readonly code: string; readonly message: string };
  /** What the host took from the start of its last run to its end; only where that is measured. */
  readonly joules?: number;
};

/** Counters since start. */
export type EncodeCounts = {
  started: number;
  done: number;
  failed: number;
  cpuSeconds: number;
  joules: number;
  lastSuccessSeconds: number;
};

/** What openEncodes() needs. */
export type EncodesOptions = {
  /** Job files in jobs/, a work folder for each in work/ until its title is published; survives restarts. */
  readonly workDir: string;
  readonly publishDir: string;
  readonly niceness: number;
  /** Cores that encoders keep off. */
  readonly reservedCores: number;
  /** ffmpeg processes of one job; 0 means one per core. */
  readonly parallel: number;
  /** What every job takes where it says nothing else. */
  readonly defaults: Pick<EncodeJobInput, 'codecs' | 'devices' | 'hardware' | 'ladder' | 'ffmpegPath'>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What the publisher says that a title's source is; a job may say it itself. */
  readonly sourceOf: (id: string) => EncodeJobInput['sourceClass'];
  /** Whether memory is there for a job; one that may not begin is asked for again after HELD_MS. */
  readonly hasRoom: () => boolean;
  /** How fast background work may go now; nextPace() has it asked again. */
  readonly pace: () => Pace;
  /** Energy of the host so far; undefined where nothing measures it. */
  readonly joules: () => number | undefined;
  /** What encoding that title is worth, when its source costs so many bytes to fetch. */
  readonly worthOf: WorthOf;
  readonly onEvent: (event: EncodeEvent) => void;
  readonly now: () => number;
  readonly log: Log;
};

/** A job as submitted here: where it works and publishes is the queue's to say. */
export type SubmittedJob = Omit<EncodeJobInput, 'version' | 'outDir' | 'publishTo'>;

/** `now`: the job runs in its turn; `pays`: not before its viewers spare more bytes than its source costs to fetch. */
export type SubmitOptions = {
  readonly when?: 'now' | 'pays';
  /** What fetching the source costs; default: the size of the input. */
  readonly sourceBytes?: number;
};

/** The queue; one job at a time: those with a deadline first, then by bytes saved in each CPU-hour. */
export type Encodes = {
  /**
   * False when a job with that id waits or runs. Rejects with AGENT_ENCODE_SEALED, or on a job that the contract refuses
   * (ZodError) or whose file cannot be written.
   */
  readonly submit: (job: SubmittedJob, options?: SubmitOptions) => Promise<boolean>;
  /** The jobs since start in the order submitted; of those that ended, the last thousand or so. */
  readonly list: () => readonly EncodeStatus[];
  readonly counts: Readonly<EncodeCounts>;
  /** Open jobs in the order in which they are to run. */
  readonly plan: () => readonly PlannedJob[];
  /** Holds back jobs, the running one at the end of a shot or after BOUNDARY_SECONDS; not kept over a restart. */
  readonly setPaused: (isPaused: boolean) => void;
  /** Asks for the pace, and tells the running encoder. Called after every reading of the sensors. */
  readonly nextPace: () => void;
  /** Ends the running encoder (its job stays, to be resumed) and resolves when its process is gone. */
  readonly close: () => Promise<void>;
};

/** SIGTERM to SIGKILL; the encoder itself promises to stop within two seconds. */
const KILL_AFTER_MS = 3_000;
const MAX_TRIES = 2;
/** Between two looks whether a job that is held back may begin. */
const HELD_MS = 10_000;
/** A pause that is not urgent waits so long for the runs under way to end: most shots are done by then. */
const BOUNDARY_SECONDS = 30;
/** The running encoder is told of energy at least so often. */
const TELL_JOULES_MS = 10_000;
/** Ended jobs kept in the list. */
const MAX_LISTED = 1_000;

/** Codes that the queue adds to the encoder's own. */
const QUEUE_CODES = ['ENCODER_DIED'] as const;

/** `isSaved`: its file is on disk, so that it may begin. */
type Entry = Kept & { status: EncodeStatus; tries: number; isSaved: boolean };
type Running = {
  readonly entry: Entry;
  readonly process: EncoderProcess;
  readonly ended: Promise<unknown>;
  readonly joulesBefore: number | undefined;
  toldPace: number;
  toldAt: number;
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
  for (const kept of await readJobs(jobsDir, options)) {
    if (options.sourceOf(kept.job.id) === 'sealed') options.log('warn', 'encode.sealed', { id: kept.job.id });
    else queue.enqueue(kept, { isSaved: true });
  }
  // Not before the caller has wired what onEvent needs.
  setImmediate(() => queue.startNext());
  return queue.face();
}

/** One job at a time. */
class Queue {
  readonly #jobsDir: string;
  readonly #options: EncodesOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #counts: EncodeCounts = { started: 0, done: 0, failed: 0, cpuSeconds: 0, joules: 0, lastSuccessSeconds: 0 };
  #running: Running | undefined;
  #isPaused = false;
  #isClosed = false;
  #held: NodeJS.Timeout | undefined;

  constructor(jobsDir: string, options: EncodesOptions) {
    this.#jobsDir = jobsDir;
    this.#options = options;
  }

  face(): Encodes {
    return {
      submit: (job, how = {}) => this.#submit(job, how),
      plan: () =>
        planOf({ running: this.#running?.entry, waiting: this.#waiting() }, this.#options.worthOf, this.#heldBy()),
      nextPace: () => this.#nextPace(),
      list: () => [...this.#entries.values()].map((entry) => entry.status),
      counts: this.#counts,
      setPaused: (isPaused) => {
        this.#isPaused = isPaused;
        this.#nextPace();
        this.startNext();
      },
      close: () => this.#close(),
    };
  }

  /** The new entry; undefined when a job of that id waits or runs. */
  enqueue(kept: Kept, { isSaved }: Pick<Entry, 'isSaved'>): Entry | undefined {
    const { job } = kept;
    const known = this.#entries.get(job.id);
    if (known !== undefined && (known.status.state === 'queued' || known.status.state === 'running')) return undefined;
    this.#entries.delete(job.id);
    const { id, name = id } = job;
    const status = { id, name, state: 'queued', step: 'queued', progressRatio: 0 } as const;
    const entry: Entry = { ...kept, tries: 0, isSaved, status };
    this.#entries.set(id, entry);
    if (this.#entries.size > MAX_LISTED) forgetOldestEnded(this.#entries);
    return entry;
  }

  #waiting(): readonly Entry[] {
    return [...this.#entries.values()].filter(({ status, isSaved }) => isSaved && status.state === 'queued');
  }

  /** What holds back every job now; undefined: nothing. */
  #heldBy(): WaitReason | undefined {
    if (this.#isPaused) return 'operator';
    if (!this.#options.hasRoom()) return 'memory';
    return this.#options.pace().pace === 0 ? 'power' : undefined;
  }

  startNext(): void {
    if (this.#running !== undefined || this.#isClosed) return;
    clearTimeout(this.#held);
    if (this.#isPaused) return;
    const waiting = this.#waiting();
    if (waiting.length === 0) return;
    const entry = this.#heldBy() === undefined ? nextOf(waiting, this.#options.worthOf) : undefined;
    if (entry === undefined) {
      this.#held = setTimeout(() => this.startNext(), HELD_MS);
      return;
    }
    setStatus(entry, { state: 'running', step: 'starting' });
    entry.tries += 1;
    this.#counts.started += 1;
    const onEvent = (event: EncodeEvent) => {
      setStatus(entry, { step: stepOf(event, entry.status.step), progressRatio: event.progressRatio });
      // The last line is heard once the process is gone and its job is settled.
      if (event.event !== 'done' && event.event !== 'failed') this.#tell(event);
    };
    const process = runEncoder(jobAt(entry, this.#options.now()), this.#options, onEvent);
    const ended = process.ended.then((end) => this.#settle(entry, end));
    const joulesBefore = this.#options.joules();
    this.#running = { entry, process, ended, joulesBefore, toldPace: 1, toldAt: 0 };
    this.#nextPace();
  }

  #nextPace(): void {
    const running = this.#running;
    if (running === undefined) {
      if (this.#held !== undefined) this.startNext();
      return;
    }
    const { pace: allowed, isUrgent } = this.#options.pace();
    const pace = this.#isPaused ? 0 : allowed;
    const joules = this.#joulesOf(running);
    const isDue = joules !== undefined && this.#options.now() - running.toldAt >= TELL_JOULES_MS;
    if (pace === running.toldPace && !isDue) return;
    const graceSeconds = isUrgent ? 0 : BOUNDARY_SECONDS;
    const line = pace === running.toldPace ? {} : { pace, graceSeconds };
    running.process.control({ ...line, ...(joules !== undefined && { joules }) });
    running.toldPace = pace;
    running.toldAt = this.#options.now();
  }

  #joulesOf({ joulesBefore }: Running): number | undefined {
    const joules = this.#options.joules();
    return joules === undefined || joulesBefore === undefined ? undefined : Math.max(0, joules - joulesBefore);
  }

  /** Never rejects. The slot is free once the job's file and status say how it ended. */
  async #settle(entry: Entry, end: RunEnd): Promise<void> {
    if (this.#isClosed) return;
    const joules = this.#running && this.#joulesOf(this.#running);
    if (joules !== undefined) {
      this.#counts.joules += joules;
      setStatus(entry, { joules });
    }
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

  async #submit(input: SubmittedJob, { when = 'now', sourceBytes }: SubmitOptions): Promise<boolean> {
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
    const kept = { job, isForced: when === 'now', submittedAt: this.#options.now(), sourceBytes: sourceBytes ?? 0 };
    const entry = this.enqueue(kept, { isSaved: false });
    if (entry === undefined) return false;
    try {
      entry.sourceBytes = sourceBytes ?? (await sizeOf(job.input));
      await writeJob(this.#jobFile(job.id), entry);
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
    const {
      process: { child },
      ended,
    } = this.#running;
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

function stepOf(event: EncodeEvent, before: string): string {
  if (event.event === 'pace') return event.pace === 0 ? 'paused' : 'going on';
  // What a paused job still says was done before.
  if (before === 'paused') return before;
  if (event.event === 'progress') return event.step;
  return event.event;
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

/** Bytes of a file; 0 when there is none, which the encoder will say better. */
async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}
