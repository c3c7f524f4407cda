// What the node and its model process say to each other over the channel of fork(), in both directions.
import type { About, Adaptation } from './sequence.ts';

/** Both sides refuse another version: they are started from the same files, so a difference is a broken install. */
export const MESSAGES_VERSION = 2;

/** A file, and what its bytes must hash to. */
export type FileToLoad = { readonly path: string; readonly sha256: string };

/** The files of a sequence model, and the weight of its scores beside the scorer's log-odds. */
export type SequenceToLoad = {
  readonly graph: FileToLoad;
  readonly titles: FileToLoad;
  readonly ease: FileToLoad;
  readonly weight: number;
};

/** To the child. */
export type ToChild =
  | {
      readonly version: 2;
      readonly type: 'load';
      readonly scorer: FileToLoad;
      readonly sequence?: SequenceToLoad | undefined;
      readonly modelVersion: string;
      readonly features: readonly string[];
    }
  | {
      readonly version: 2;
      readonly type: 'score';
      readonly id: number;
      readonly features: Float32Array;
      readonly rows: number;
      /** What a sequence model reads; without it the scorer answers alone. */
      readonly about?: About | undefined;
    }
  | { readonly version: 2; readonly type: 'adapt'; readonly adaptation: Adaptation }
  | { readonly version: 2; readonly type: 'ping'; readonly id: number };

/** Why a model was not loaded. */
export const REFUSALS = ['missing', 'wrong-hash', 'unreadable', 'wrong-inputs'] as const;
/** One of REFUSALS. */
export type Refusal = (typeof REFUSALS)[number];

/** From the child. `dims` are the output's as the runtime gave them. */
export type FromChild =
  | { readonly version: 2; readonly type: 'started' }
  | { readonly version: 2; readonly type: 'loaded'; readonly modelVersion: string; readonly loadMs: number }
  | {
      readonly version: 2;
      readonly type: 'refused';
      readonly modelVersion: string;
      readonly why: Refusal;
      readonly message: string;
    }
  | {
      readonly version: 2;
      readonly type: 'scored';
      readonly id: number;
      readonly scores: Float32Array;
      readonly dims: readonly number[];
      /** EASE's scores of the same rows, from a sequence model. */
      readonly ease?: Float32Array | undefined;
    }
  | { readonly version: 2; readonly type: 'failed'; readonly id: number; readonly message: string }
  | { readonly version: 2; readonly type: 'pong'; readonly id: number; readonly rssBytes: number };
