// What the node and its training process say to each other over the channel of fork(), in both directions.
import type { PredictTitle } from '../predict/catalogue-index.ts';
import type { ScorerWeights } from '../predict/scorer.ts';
import type { Interaction } from '../train/interactions.ts';
import type { TrainQuestion } from '../train/scorer.ts';
import type { DataWindow, ModelKind } from './manifest.ts';

/** A question as it is trained on: what was ranked for a viewer, of what history (newest first), and what was opened. */
export type TrainExample = TrainQuestion & {
  readonly at: number;
  readonly viewer: string;
  readonly history: readonly string[];
};

/** To the child: the data in portions, then the order to train; and how fast. */
export type ToTrainer =
  | { readonly version: 1; readonly type: 'questions'; readonly questions: readonly TrainExample[] }
  | { readonly version: 1; readonly type: 'interactions'; readonly interactions: readonly Interaction[] }
  | { readonly version: 1; readonly type: 'titles'; readonly titles: readonly PredictTitle[] }
  /** `scorer`: the champion's, for a sequence model where questions are too few to train one. */
  | { readonly version: 1; readonly type: 'train'; readonly seed: number; readonly scorer: ScorerWeights | undefined }
  /** 0: wait; 1: full pace. */
  | { readonly version: 1; readonly type: 'pace'; readonly pace: number };

/** A model as it was trained. */
export type TrainedModel = {
  readonly kind: ModelKind;
  readonly files: readonly (readonly [name: string, bytes: Uint8Array])[];
  readonly data: DataWindow;
  readonly metrics: Readonly<Record<string, number>>;
  readonly scorer: ScorerWeights;
  readonly sequenceWeight?: number;
};

/** From the child. */
export type FromTrainer =
  | { readonly version: 1; readonly type: 'progress'; readonly ratio: number }
  | { readonly version: 1; readonly type: 'trained'; readonly model: TrainedModel }
  | { readonly version: 1; readonly type: 'failed'; readonly why: 'too-little' | 'error'; readonly message: string };
