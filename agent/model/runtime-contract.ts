// The model process in types: what is run, what may be asked, and what becomes of it.
import type { Fault } from './guard.ts';
import type { FileToLoad, Refusal, SequenceToLoad } from './messages.ts';
import type { About, Adaptation } from './sequence.ts';
import type { RestartPolicy } from './supervise.ts';

/** A model to run: files, each known by the sha256 of its bytes; `modelVersion` is the name of the whole model. */
export type RunnableModel = {
  readonly scorer: FileToLoad;
  readonly sequence?: SequenceToLoad | undefined;
  readonly modelVersion: string;
  readonly features: readonly string[];
};

/** Why a model is given up; `crashes`: its process ended too often, and is started again only now and then; `late`: always. */
export type DisableReason = Fault | Refusal | 'crashes' | 'late';

/** Limits and the world outside; all but `log` have defaults. */
export type RuntimeOptions = {
  readonly log: (level: 'info' | 'warn' | 'error', event: string, fields: Readonly<Record<string, unknown>>) => void;
  /** From a question to its answer; default 50. */
  readonly deadlineMs?: number;
  /** From fork() to a loaded and tried model; default 20 000. */
  readonly startMs?: number;
  /** A question or ping unanswered for this long means that the process hangs and is killed; default 2 000. */
  readonly hangMs?: number;
  readonly pingEveryMs?: number;
  /** Resident memory above which the process is killed; default 512 MiB. */
  readonly maxRssBytes?: number;
  /** How long almost all answers may come too late before the model is given up; default five minutes. */
  readonly lateForMs?: number;
  /** Questions under way at once; further ones get undefined at once. Default 32. */
  readonly maxPending?: number;
  readonly restart?: RestartPolicy;
  /** Above 0: the process gives way to others (setpriority(2)); for a model that nobody waits for. Default 0. */
  readonly niceness?: number;
  /** Told once for each model that is given up, so that the caller can load the one before it. */
  readonly onDisabled?: (modelVersion: string, reason: DisableReason) => void;
};

/** A model's answer: one finite score a row; of a sequence model, what EASE alone says of the rows, too. */
export type ModelScores = {
  readonly scores: Float32Array;
  readonly by: 'model';
  readonly version: string;
  readonly ease?: Float32Array | undefined;
};

/** Where the process is in its life. */
export type RuntimeState = 'idle' | 'starting' | 'ready' | 'waiting' | 'disabled' | 'draining' | 'closed';

/** Plain counters since start; `answered` in time. */
export type RuntimeStats = {
  readonly state: RuntimeState;
  readonly modelVersion: string | undefined;
  readonly pid: number | undefined;
  readonly rssBytes: number;
  readonly answered: number;
  readonly late: number;
  readonly refused: number;
  readonly failed: number;
  readonly crashes: number;
  readonly faults: Readonly<Record<Fault, number>>;
};

/** A supervised model process. */
export type ModelRuntime = {
  /** Replaces the model (undefined: none). Resolves once it is ready or given up, at the latest after startMs. */
  readonly load: (model: RunnableModel | undefined) => Promise<RuntimeState>;
  /**
   * Scores `features` [rows, width], by a sequence model with what they are `about`. Never rejects; undefined when there is
   * no answer within the deadline.
   */
  readonly score: (features: Float32Array, rows: number, about?: About) => Promise<ModelScores | undefined>;
  /** Changes a sequence model's answers from the next question on, without loading it anew; it outlives the process. */
  readonly adapt: (adaptation: Adaptation) => void;
  readonly stats: () => RuntimeStats;
  /** Takes no new question, lets those under way end, then closes. */
  readonly drain: () => Promise<void>;
  /** Ends the process; resolves when it is gone. */
  readonly close: () => Promise<void>;
};
