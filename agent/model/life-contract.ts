// The life of models in types: what it is made over, what may be asked of it, and how it says that models fare.
import type { Log } from '../../cache/cache.ts';
import type { ChampionKeeper } from './champion.ts';
import type { ModelManifest } from './manifest.ts';
import type { AnsweredQuestion } from './questions.ts';
import type { ModelRegistry } from './registry.ts';
import type { TrainingEnd } from './retrain.ts';
import type { DisableReason, ModelRuntime } from './runtime-contract.ts';
import type { KeptTrial, OtherRole, TrialReport, Verdict } from './trial.ts';

/** What openLife() needs. */
export type LifeOptions = {
  readonly registry: ModelRegistry;
  readonly keeper: ChampionKeeper;
  /** Another process, for the model beside the champion. */
  readonly shadow: Pick<ModelRuntime, 'load' | 'score' | 'stats'>;
  /** False: a challenger that has won waits for an operator. */
  readonly isAutomatic: boolean;
  /** A trained model that shows less of what could be shown, 0..1, is not tried. */
  readonly leastReachRatio: number;
  /** Trains on what there is now. Never rejects. */
  readonly train: (seed: number, signal: AbortSignal) => Promise<TrainingEnd>;
  /** The rank of a title that was opened, as a bin. */
  readonly onRanked: (bin: number) => void;
  /** As it was kept: the trial goes on if it is still one of the same models. */
  readonly kept?: KeptLife | undefined;
  readonly now: () => number;
  readonly log: Log;
};

/** What of the life of models outlives the process: who is compared, and the sums of the comparison. */
export type KeptLife = {
  readonly version: 1;
  readonly champion?: string | undefined;
  readonly other?: { readonly role: OtherRole; readonly version: string } | undefined;
  readonly since: number;
  /** A champion that its predecessor need not be kept beside any more. */
  readonly guarded?: string | undefined;
  readonly trial: KeptTrial;
};

/** Counts since the start. */
export type LifeCounts = Readonly<Record<'promoted' | 'rolledBack' | 'withdrawn' | 'demoted', number>> & {
  readonly runs: Readonly<Record<string, number>>;
  readonly lastTrainedSeconds: number;
};

/** How the models fare. */
export type LifeReport = {
  readonly champion: string | undefined;
  readonly other: { readonly role: OtherRole; readonly version: string } | undefined;
  readonly trial: TrialReport;
  readonly lastLook: { readonly at: number; readonly verdict: Verdict; readonly differences: unknown } | undefined;
  readonly training: { readonly ratio: number } | undefined;
  readonly lastRun: { readonly at: number; readonly outcome: string; readonly message: string } | undefined;
  readonly isPaused: boolean;
};

/** The life of models. */
export type ModelLife = {
  /** Loads the champion, and the model beside it. Rejects with AGENT_MODEL_STORE. */
  readonly start: () => Promise<void>;
  readonly answered: (question: AnsweredQuestion) => void;
  readonly forget: (viewers: ReadonlySet<string>) => void;
  /** Looks at the trial and does what follows. Every minute. */
  readonly sweep: () => Promise<void>;
  /** The champion's process gave it up: the model before it serves; it is forgotten if the fault is its own. */
  readonly gaveUp: (modelVersion: string, reason: DisableReason) => Promise<void>;
  /**
   * Trains a challenger; resolves with how that ended. One at a time: another one is `busy`. Unless it is `urgent`, a
   * challenger that is on trial is not replaced (`on-trial`): on a quiet node a trial takes more than a night.
   */
  readonly retrain: (
    run: { readonly seed: number; readonly isUrgent: boolean },
    signal: AbortSignal,
  ) => Promise<string>;
  readonly progress: (ratio: number) => void;
  /** Paused: what trains is stopped, and nothing begins. */
  readonly setPaused: (isPaused: boolean) => void;
  /** Makes a stored model the champion. Rejects with AGENT_MODEL_UNKNOWN. */
  readonly promote: (sha256: string) => Promise<void>;
  /** Makes the model before it the champion. Rejects with AGENT_MODEL_UNKNOWN when there is none. */
  readonly rollBack: () => Promise<void>;
  readonly list: () => Promise<readonly ListedModel[]>;
  readonly report: () => LifeReport;
  readonly counts: () => LifeCounts;
  readonly kept: () => KeptLife;
};

/** A stored model as it is shown: its manifest without its weights, and the aliases that point to it now. */
export type ListedModel = Omit<ModelManifest, 'scorer'> & { readonly aliases: readonly string[] };
