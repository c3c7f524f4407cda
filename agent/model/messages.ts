// What the node and its model process say to each other over the channel of fork(), in both directions.

/** Both sides refuse another version: they are started from the same files, so a difference is a broken install. */
export const MESSAGES_VERSION = 1;

/** To the child. `sha256` is of the file, checked against the bytes that are loaded. */
export type ToChild =
  | {
      readonly version: 1;
      readonly type: 'load';
      readonly path: string;
      readonly sha256: string;
      readonly modelVersion: string;
      readonly features: readonly string[];
    }
  | {
      readonly version: 1;
      readonly type: 'score';
      readonly id: number;
      readonly features: Float32Array;
      readonly rows: number;
    }
  | { readonly version: 1; readonly type: 'ping'; readonly id: number };

/** Why a model was not loaded. */
export const REFUSALS = ['missing', 'wrong-hash', 'unreadable', 'wrong-inputs'] as const;
/** One of REFUSALS. */
export type Refusal = (typeof REFUSALS)[number];

/** From the child. `dims` are the output's as the runtime gave them. */
export type FromChild =
  | { readonly version: 1; readonly type: 'started' }
  | { readonly version: 1; readonly type: 'loaded'; readonly modelVersion: string; readonly loadMs: number }
  | {
      readonly version: 1;
      readonly type: 'refused';
      readonly modelVersion: string;
      readonly why: Refusal;
      readonly message: string;
    }
  | {
      readonly version: 1;
      readonly type: 'scored';
      readonly id: number;
      readonly scores: Float32Array;
      readonly dims: readonly number[];
    }
  | { readonly version: 1; readonly type: 'failed'; readonly id: number; readonly message: string }
  | { readonly version: 1; readonly type: 'pong'; readonly id: number; readonly rssBytes: number };
