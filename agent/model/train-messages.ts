// What the node and its training process say to each other over the channel of fork(), in both directions.
import type { TrainQuestion } from '../train/scorer.ts';
import type { DataWindow, ModelKind } from './manifest.ts';

/** A question as it is trained on. */
export type TrainExample = TrainQuestion & { readonly at: number; readonly viewer: string };

/** One title that a viewer watched, `weight` 0..1 by how much of it. */
export type Interaction = {
  readonly viewer: string;
  readonly titleId: string;
  /** Milliseconds since the epoch; of what was on disk, the beginning of its day. */
  readonly at: number;
  readonly weight: number;
};

/** To the child: the data in portions, then what to do with it; and how fast. */
export type ToTrainer =
  | { readonly version: 1; readonly type: 'questions'; readonly questions: readonly TrainExample[] }
  | { readonly version: 1; readonly type: 'interactions'; readonly interactions: readonly Interaction[] }
  | { readonly version: 1; readonly type: 'train'; readonly kind: ModelKind; readonly seed: number }
  /** 0: wait; 1: full pace. */
  | { readonly version: 1; readonly type: 'pace'; readonly pace: number };

/** A model as it was trained. */
export type TrainedModel = {
  readonly files: readonly (readonly [name: string, bytes: Uint8Array])[];
  readonly data: DataWindow;
  readonly metrics: Readonly<Record<string, number>>;
  readonly scorer: unknown;
};

/** From the child. */
export type FromTrainer =
  | { readonly version: 1; readonly type: 'progress'; readonly ratio: number }
  | { readonly version: 1; readonly type: 'trained'; readonly model: TrainedModel }
  | { readonly version: 1; readonly type: 'failed'; readonly why: 'too-little' | 'error'; readonly message: string };
