// One training run in a process of its own: niced, at the governor's pace, within a deadline and a limit of memory. A
// viewer never waits for it, and whatever becomes of it is an outcome.
import { type ChildProcess, fork } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Log } from '../../cache/cache.ts';
import type { PredictTitle } from '../predict/catalogue-index.ts';
import type { ScorerWeights } from '../predict/scorer.ts';
import type { Interaction } from '../train/interactions.ts';
import { childEnvironment } from './child-env.ts';
import type { FromTrainer, ToTrainer, TrainExample, TrainedModel } from './train-messages.ts';

/** What to train on. */
export type TrainingData = {
  readonly questions: readonly TrainExample[];
  /** What was watched, in portions, each read when the one before is handed over. */
  readonly interactions: Iterable<readonly Interaction[]>;
  /** The catalogue, whose metadata give titles that nobody has watched a place. */
  readonly titles: Iterable<PredictTitle>;
  readonly scorer: ScorerWeights | undefined;
};

/** How a run may end without a model. */
export const FAILED_RUNS = ['too-little', 'deadline', 'memory', 'stopped', 'failed'] as const;
/** One of FAILED_RUNS. */
export type FailedRun = (typeof FAILED_RUNS)[number];

/** How a run ended. */
export type TrainingEnd =
  | { readonly outcome: 'trained'; readonly model: TrainedModel }
  | { readonly outcome: FailedRun; readonly message: string };

/** What trainApart() needs. */
export type TrainingOptions = {
  readonly seed: number;
  readonly deadlineMs: number;
  /** Resident memory above which the process is killed. */
  readonly maxRssBytes: number;
  /** The pace of background work, 0..1. */
  readonly pace: () => number;
  /** Stops it at once. */
  readonly signal: AbortSignal;
  readonly onProgress: (ratio: number) => void;
  readonly log: Log;
  /** How far it gives way to others (setpriority(2)), 0..19; default 19. */
  readonly niceness?: number;
  /** Another program in the trainer's place, for tests of one that misbehaves. */
  readonly entry?: string;
};

const CHILD = fileURLToPath(new URL('./train-child.ts', import.meta.url));
const NICENESS = 19;
const WATCH_MS = 500;
/** Share of the memory that its JavaScript may take; the rest is for the tensors of the runtime. */
const HEAP_RATIO = 0.43;
/** Questions in one message: some megabytes, so that the viewers' thread copies no more at once. */
const PORTION = 100;
const TITLE_PORTION = 2_000;
const PAGE_BYTES = 4096;

/** Resident bytes of a process; undefined where the system does not say. */
async function residentBytes(pid: number): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/statm`, 'utf8').catch(() => undefined);
  const pages = Number(text?.split(' ')[1]);
  return Number.isFinite(pages) ? pages * PAGE_BYTES : undefined;
}

function* portions(all: readonly TrainExample[]): Generator<readonly TrainExample[]> {
  for (let start = 0; start < all.length; start += PORTION) {
    // Only what is learnt from: scores and versions stay here.
    yield all.slice(start, start + PORTION).map(({ titleIds, features, chosen, at, viewer, history }) => ({
      ...{ titleIds, features, chosen, at, viewer, history },
    }));
  }
}

/** Titles in portions, with what metadata there are. */
function* groups(titles: Iterable<PredictTitle>): Generator<readonly PredictTitle[]> {
  let group: PredictTitle[] = [];
  for (const { id, series, genres, people } of titles) {
    group.push({ id, series, genres, people });
    if (group.length < TITLE_PORTION) continue;
    yield group;
    group = [];
  }
  yield group;
}

/** Hands over the data, turn by turn of the event loop, then says what to do with it. */
async function instruct(child: ChildProcess, data: TrainingData, { seed }: TrainingOptions): Promise<void> {
  const tell = (message: ToTrainer): Promise<void> =>
    new Promise((resolve) => {
      // A channel that broke is told by `exit`.
      if (child.connected) child.send(message, () => resolve());
      else resolve();
    });
  for (const questions of portions(data.questions)) await tell({ version: 1, type: 'questions', questions });
  for (const interactions of data.interactions) await tell({ version: 1, type: 'interactions', interactions });
  for (const titles of groups(data.titles)) await tell({ version: 1, type: 'titles', titles });
  await tell({ version: 1, type: 'train', seed, scorer: data.scorer });
}

function startTrainer({ entry = CHILD, maxRssBytes, niceness = NICENESS }: TrainingOptions): ChildProcess {
  // No environment: the process needs none of the node's, and cannot leak what it does not have.
  const child = fork(entry, [], {
    execPath: process.execPath,
    execArgv: [`--max-old-space-size=${Math.max(64, Math.floor((HEAP_RATIO * maxRssBytes) / 2 ** 20))}`],
    env: childEnvironment(),
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  try {
    if (child.pid !== undefined) setPriority(child.pid, niceness);
  } catch {
    // It has ended already, or the system has no priorities: it runs as it is.
  }
  return child;
}

/** Trains apart from this process. Never rejects. */
export function trainApart(data: TrainingData, options: TrainingOptions): Promise<TrainingEnd> {
  const { deadlineMs, maxRssBytes, pace, signal, onProgress } = options;
  if (signal.aborted) return Promise.resolve({ outcome: 'stopped', message: 'stopped before it began' });
  const child = startTrainer(options);
  return new Promise((resolve) => {
    let end: TrainingEnd = { outcome: 'failed', message: 'the process ended without a word' };
    const kill = (outcome: FailedRun, message: string): void => {
      end = { outcome, message };
      child.kill('SIGKILL');
    };
    const stop = () => kill('stopped', 'stopped by an operator or with the node');
    const deadline = setTimeout(() => kill('deadline', `not done after ${deadlineMs / 1000} s`), deadlineMs);
    const tellPace = () => {
      if (child.connected) child.send({ version: 1, type: 'pace', pace: pace() } satisfies ToTrainer, () => undefined);
    };
    const watcher = setInterval(() => {
      tellPace();
      void residentBytes(child.pid ?? 0).then((bytes) => {
        if (bytes !== undefined && bytes > maxRssBytes) kill('memory', `${bytes} bytes, ${maxRssBytes} allowed`);
      });
    }, WATCH_MS);
    signal.addEventListener('abort', stop, { once: true });
    const finish = (): void => {
      clearTimeout(deadline);
      clearInterval(watcher);
      signal.removeEventListener('abort', stop);
      resolve(end);
    };
    child.on('message', (message: FromTrainer) => {
      if (message.version !== 1) kill('failed', `a message of version ${String(message.version)}`);
      else if (message.type === 'progress') onProgress(message.ratio);
      else if (message.type === 'trained') end = { outcome: 'trained', model: message.model };
      else end = { outcome: message.why === 'too-little' ? 'too-little' : 'failed', message: message.message };
    });
    child.on('error', (error) => {
      end = { outcome: 'failed', message: error.message };
      if (child.pid === undefined) finish();
    });
    child.on('exit', finish);
    tellPace();
    instruct(child, data, options).catch((error: unknown) => kill('failed', String(error)));
  });
}
