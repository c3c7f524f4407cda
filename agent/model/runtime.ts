// Keeps one model process alive and asks it for scores. Nobody ever waits for it beyond the deadline: no process, no
// model, a full queue or a late answer all give undefined, and the caller answers by plain code.
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { childEnvironment } from './child-env.ts';
import { FAULTS, type Fault, faultOf } from './guard.ts';
import { type FromChild, MESSAGES_VERSION, type ToChild } from './messages.ts';
import type {
  DisableReason,
  ModelRuntime,
  ModelScores,
  RunnableModel,
  RuntimeOptions,
  RuntimeState,
} from './runtime-contract.ts';
import type { About, Adaptation } from './sequence.ts';
import { DEFAULT_RESTART, restartPause } from './supervise.ts';

type Question = { readonly features: Float32Array; readonly rows: number; readonly about: About | undefined };

type Pending = Question & {
  readonly askedAt: number;
  readonly settle: (scores: ModelScores | undefined) => void;
  readonly ended: Promise<unknown>;
  readonly timer: NodeJS.Timeout;
  /** Its deadline is over; nobody waits for the answer any more. */
  readonly isLate: boolean;
};

const CHILD = fileURLToPath(new URL('./child.ts', import.meta.url));
/** Rows that a new model is tried on before it serves: zeros, ones, and two mixtures. */
const TRIAL_ROWS = 4;
/** Constant answers in a row that disable a model: one alone may be a question whose titles are all alike. */
const CONSTANT_STRIKES = 3;
/** A model is always late when so many of its answers are; each counts a fiftieth of what is known, so a hundred decide. */
const ALWAYS_LATE_RATIO = 0.9;
const LATE_WEIGHT = 0.02;

/** Opens the runtime; no process runs until a model is loaded. */
export function openRuntime(options: RuntimeOptions): ModelRuntime {
  return new Runtime(options).face();
}

class Runtime {
  readonly #options: Required<Omit<RuntimeOptions, 'onDisabled'>> & Pick<RuntimeOptions, 'onDisabled'>;
  #state: RuntimeState = 'idle';
  #model: RunnableModel | undefined;
  #child: ChildProcess | undefined;
  #adaptation: Adaptation | undefined;
  #nextId = 1;
  #strikes = 0;
  #crashesInRow = 0;
  /** Share of the latest questions whose answer was late, and since when that is almost all. */
  #lateRatio = 0;
  #lateSince: number | undefined;
  #pingedAt: number | undefined;
  #rssBytes = 0;
  #waiter: NodeJS.Timeout | undefined;
  #startTimer: NodeJS.Timeout | undefined;
  #pinger: NodeJS.Timeout | undefined;
  readonly #pending = new Map<number, Pending>();
  readonly #settled = new Set<(state: RuntimeState) => void>();
  readonly #count = { answered: 0, late: 0, refused: 0, failed: 0, crashes: 0 };
  // Sound: every fault of the list gets its counter here.
  readonly #faults = Object.fromEntries(FAULTS.map((fault) => [fault, 0])) as Record<Fault, number>;

  constructor(options: RuntimeOptions) {
    this.#options = {
      deadlineMs: 50,
      startMs: 20_000,
      hangMs: 2_000,
      pingEveryMs: 5_000,
      maxRssBytes: 512 * 1024 * 1024,
      maxPending: 32,
      lateForMs: 300_000,
      restart: DEFAULT_RESTART,
      niceness: 0,
      ...options,
    };
  }

  face(): ModelRuntime {
    return {
      load: (model) => this.#load(model),
      score: (features, rows, about) => this.#score(features, rows, about),
      adapt: (adaptation) => {
        this.#adaptation = adaptation;
        this.#tell({ version: 2, type: 'adapt', adaptation });
      },
      drain: () => this.#drain(),
      close: () => this.#close(),
      stats: () => ({
        ...this.#count,
        state: this.#state,
        modelVersion: this.#model?.modelVersion,
        pid: this.#child?.pid,
        rssBytes: this.#rssBytes,
        faults: { ...this.#faults },
      }),
    };
  }

  async #load(model: RunnableModel | undefined): Promise<RuntimeState> {
    if (this.#state === 'closed') return 'closed';
    this.#drop();
    this.#model = model;
    this.#crashesInRow = 0;
    this.#strikes = 0;
    this.#lateRatio = 0;
    this.#enter('idle');
    if (model === undefined) return 'idle';
    const settled = new Promise<RuntimeState>((resolve) => this.#settled.add(resolve));
    this.#start(model);
    return await settled;
  }

  #enter(state: RuntimeState): void {
    this.#state = state;
    if (state === 'starting') return;
    for (const resolve of this.#settled) resolve(state);
    this.#settled.clear();
  }

  #start(model: RunnableModel): void {
    const { startMs, pingEveryMs, maxRssBytes } = this.#options;
    this.#enter('starting');
    const child = fork(CHILD, [], {
      execPath: process.execPath,
      execArgv: [`--max-old-space-size=${Math.max(32, Math.floor(maxRssBytes / 2 ** 21))}`],
      env: childEnvironment(),
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    this.#child = child;
    try {
      if (child.pid !== undefined && this.#options.niceness > 0) setPriority(child.pid, this.#options.niceness);
    } catch {
      // It has ended already; `exit` says so.
    }
    this.#rssBytes = 0;
    this.#pingedAt = undefined;
    child.on('message', (message: FromChild) => {
      if (this.#child === child) this.#hear(message, model);
    });
    child.on('error', () => this.#ended(child, 'error'));
    child.on('exit', (code, signal) => this.#ended(child, signal ?? `exit ${String(code)}`));
    this.#startTimer = setTimeout(() => this.#kill('start-timeout'), startMs);
    this.#pinger = setInterval(() => this.#ping(), pingEveryMs);
    this.#pinger.unref();
    this.#tell({ version: 2, type: 'load', ...model });
  }

  #tell(message: ToChild): void {
    // A channel that broke is told by `exit`; the question then ends at its deadline at the latest.
    if (this.#child?.connected) this.#child.send(message, () => undefined);
  }

  #hear(message: FromChild, model: RunnableModel): void {
    if (message.version !== MESSAGES_VERSION) this.#kill('wrong-version');
    else if (message.type === 'loaded') void this.#try(model);
    else if (message.type === 'refused') this.#disable(message.why, message.message);
    else if (message.type === 'scored') this.#judge(message);
    else if (message.type === 'failed') this.#fail(message.id, message.message);
    else if (message.type === 'pong') {
      this.#pingedAt = undefined;
      this.#rssBytes = message.rssBytes;
      if (message.rssBytes > this.#options.maxRssBytes) this.#kill('memory');
    }
  }

  /** A model serves only after it has answered a trial with sense; a hanging one never does. */
  async #try(model: RunnableModel): Promise<void> {
    const width = model.features.length;
    const rows = Float32Array.from({ length: TRIAL_ROWS * width }, (_, at) => {
      const row = Math.floor(at / width);
      return row < 2 ? row : ((at * (row * 7 + 3)) % 11) / 10;
    });
    const child = this.#child;
    if (this.#adaptation !== undefined) this.#tell({ version: 2, type: 'adapt', adaptation: this.#adaptation });
    const about = { titleIds: new Array<string>(TRIAL_ROWS).fill(''), history: [] };
    const answer = await this.#ask({ features: rows, rows: TRIAL_ROWS, about }, this.#options.hangMs);
    if (this.#child !== child || this.#state !== 'starting') return;
    if (answer === undefined) {
      this.#kill('trial-failed');
      return;
    }
    clearTimeout(this.#startTimer);
    this.#options.log('info', 'model.ready', { modelVersion: model.modelVersion });
    this.#enter('ready');
  }

  #score(features: Float32Array, rows: number, about: About | undefined): Promise<ModelScores | undefined> {
    const width = this.#model?.features.length;
    assert(width === undefined || features.length === rows * width, 'features must be [rows, width]');
    if (this.#state !== 'ready' || rows === 0 || this.#pending.size >= this.#options.maxPending || this.#isStuck()) {
      this.#count.refused += 1;
      return Promise.resolve(undefined);
    }
    return this.#ask({ features, rows, about }, this.#options.deadlineMs);
  }

  /** A late question shows that the process does not keep up: asking more would only lengthen its queue. */
  #isStuck(): boolean {
    const oldest = this.#pending.values().next().value;
    return oldest !== undefined && performance.now() - oldest.askedAt > this.#options.deadlineMs;
  }

  #ask(question: Question, deadlineMs: number): Promise<ModelScores | undefined> {
    const id = this.#nextId++;
    const { promise: ended, resolve: settle } = Promise.withResolvers<ModelScores | undefined>();
    const timer = setTimeout(() => {
      this.#count.late += 1;
      settle(undefined);
      this.#watch(id);
      this.#note(true);
    }, deadlineMs);
    this.#pending.set(id, { ...question, askedAt: performance.now(), settle, ended, timer, isLate: false });
    this.#tell({ version: 2, type: 'score', id, ...question });
    return ended;
  }

  /** The caller has its answer already; the process still owes one, and is killed if it never gives it. */
  #watch(id: number): void {
    const entry = this.#pending.get(id);
    if (entry === undefined) return;
    const left = this.#options.hangMs - (performance.now() - entry.askedAt);
    const timer = setTimeout(() => this.#kill('hang'), Math.max(0, left));
    timer.unref();
    this.#pending.set(id, { ...entry, timer, isLate: true });
  }

  /** Counts whether an answer was late; a model that always is costs every question its deadline, and is given up. */
  #note(isLate: boolean): void {
    if (this.#state !== 'ready') return;
    this.#lateRatio += LATE_WEIGHT * (Number(isLate) - this.#lateRatio);
    if (this.#lateRatio < ALWAYS_LATE_RATIO) this.#lateSince = undefined;
    else this.#lateSince ??= performance.now();
    const { lateForMs, deadlineMs } = this.#options;
    if (this.#lateSince === undefined || performance.now() - this.#lateSince < lateForMs) return;
    this.#disable('late', `its answers take more than ${deadlineMs} ms`);
  }

  #take(id: number): Pending | undefined {
    const entry = this.#pending.get(id);
    clearTimeout(entry?.timer);
    this.#pending.delete(id);
    return entry;
  }

  #judge(message: Extract<FromChild, { type: 'scored' }>): void {
    const entry = this.#take(message.id);
    const version = this.#model?.modelVersion;
    if (entry === undefined || version === undefined) return;
    const fault = faultOf(message, entry.features, entry.rows);
    if (fault === undefined) {
      this.#strikes = 0;
      // The trial alone is no sign of health: a process may end on every real question.
      if (this.#state !== 'starting') this.#crashesInRow = 0;
      if (!entry.isLate) {
        this.#count.answered += 1;
        this.#note(false);
      }
      entry.settle({ scores: message.scores, by: 'model', version, ease: message.ease });
      return;
    }
    this.#faults[fault] += 1;
    entry.settle(undefined);
    this.#strikes += 1;
    const isTrial = this.#state === 'starting';
    if (fault !== 'constant' || isTrial || this.#strikes >= CONSTANT_STRIKES) this.#disable(fault, 'output guard');
  }

  #fail(id: number, message: string): void {
    this.#count.failed += 1;
    this.#take(id)?.settle(undefined);
    // A model that cannot run its first rows cannot run any: its inputs are not the features.
    if (this.#state === 'starting') this.#disable('wrong-inputs', message);
  }

  #disable(reason: DisableReason, message: string): void {
    const version = this.#model?.modelVersion ?? '';
    this.#options.log('error', 'model.disabled', { modelVersion: version, reason, message: message.slice(0, 300) });
    this.#drop();
    this.#enter('disabled');
    this.#options.onDisabled?.(version, reason);
  }

  #ping(): void {
    if (this.#state !== 'ready') return;
    const waitedMs = this.#pingedAt === undefined ? 0 : performance.now() - this.#pingedAt;
    if (waitedMs > this.#options.hangMs) this.#kill('hang');
    this.#pingedAt ??= performance.now();
    this.#tell({ version: 2, type: 'ping', id: this.#nextId++ });
  }

  /** SIGKILL: a process that hangs in native code hears nothing else, and it has nothing to save. */
  #kill(reason: string): void {
    this.#options.log('warn', 'model.killed', { reason, modelVersion: this.#model?.modelVersion });
    this.#child?.kill('SIGKILL');
  }

  #ended(child: ChildProcess, how: string): void {
    if (this.#child !== child) return;
    this.#drop();
    const model = this.#model;
    if (model === undefined) return;
    this.#count.crashes += 1;
    this.#crashesInRow += 1;
    const pauseMs = restartPause(this.#crashesInRow, this.#options.restart);
    this.#options.log('warn', 'model.ended', { how, pauseMs, crashesInRow: this.#crashesInRow });
    this.#enter('waiting');
    if (this.#crashesInRow === this.#options.restart.crashBudget) {
      this.#options.onDisabled?.(model.modelVersion, 'crashes');
      // Another model may have been loaded in its place.
      if (this.#model !== model || this.#state !== 'waiting') return;
    }
    this.#waiter = setTimeout(() => this.#start(model), pauseMs);
    this.#waiter.unref();
  }

  /** Lets go of the process and of all that waits on it. */
  #drop(): void {
    for (const timer of [this.#waiter, this.#startTimer]) clearTimeout(timer);
    clearInterval(this.#pinger);
    const child = this.#child;
    this.#child = undefined;
    child?.kill('SIGKILL');
    for (const id of [...this.#pending.keys()]) this.#take(id)?.settle(undefined);
  }

  async #drain(): Promise<void> {
    if (this.#state === 'ready') this.#state = 'draining';
    await Promise.all([...this.#pending.values()].map(({ ended }) => ended));
    await this.#close();
  }

  async #close(): Promise<void> {
    const child = this.#child;
    const gone =
      child === undefined || child.exitCode !== null || child.signalCode !== null
        ? Promise.resolve()
        : new Promise<void>((resolve) => child.once('exit', () => resolve()));
    this.#drop();
    this.#enter('closed');
    await gone;
  }
}
