// Trains a site's ranker: SASRec through its training graph, EASE in closed form, figures on the latest part by time, and
// the files that serve. The same interactions, options and seed give the same bytes. Runs onnxruntime: give it a process.
import { fitEase, MAX_EASE_TITLES } from '../predict/ease.ts';
import { extendEmbeddings, toUnitRows } from '../predict/place.ts';
import {
  RANKER_FILES,
  type RankerBlend,
  writeEmbeddings,
  writeNeighbours,
  writeTitles,
} from '../predict/ranker-files.ts';
import type { TitleEmbeddings, TitleNeighbours } from '../predict/tables.ts';
import { fitSasrec, type SasrecFit } from './fit-sasrec.ts';
import { openGraph } from './graph-session.ts';
import {
  eachOnce,
  historiesOf,
  type Interaction,
  type NumberedInteraction,
  prepareInteractions,
} from './interactions.ts';
import { type MeasuredRanker, measureRanker, type RankerQuality } from './measure-ranker.ts';
import type { SasrecShape, SasrecWeights } from './sasrec.ts';
import { servingGraph } from './serving-graph.ts';

/** How to train. */
export type RankerOptions = {
  readonly seed: number;
  /** Passes over the histories; unless told 16, fewer for more than 200,000 interactions. */
  readonly epochs?: number;
  readonly threads?: number;
  /** As SasrecFit has it. */
  readonly candidates?: number | undefined;
  /** Share of the latest interactions that figures are measured on before they are learnt from; 0: no figures. */
  readonly holdOutRatio?: number;
  /** Places of titles by metadata, so that titles which nobody has watched get one, too. */
  readonly metadata?: TitleEmbeddings;
  readonly signal?: AbortSignal;
  /** Awaited between steps of some 50 ms of work: a caller may slow training down here. */
  readonly onProgress?: (doneRatio: number) => void | Promise<void>;
};

/** What came of it: files by name (RANKER_FILES) and figures by name. */
export type TrainedRanker = {
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly metrics: Readonly<Record<string, number>>;
};

/** SASRec's sizes (issue: d64, L50, 2 layers) and the rank of adapters. */
const SIZES = { width: 64, history: 50, layers: 2 } as const;
const ADAPTER_RANK = 4;
/** Titles of an answer that the graph orders itself. */
const TOP = 100;
/** Settings chosen on ML-100k's events from 64 to 80 %, trained on those before (test/bench/predict-movielens.ts). */
const FIT = { epochs: 16, learningRate: 0.005, dropoutRatio: 0.3 } as const;
const EASE = { ridge: 300, width: 200 } as const;
const BLEND: RankerBlend = { easeWeight: 0.3, historyDecay: 0.9, startWeight: 1.5, startDecay: 0.7 };
/** Interactions that get all passes; of more, all are seen, but less often, so that a night is enough for a million. */
const FULL_EVENTS = 200_000;
const LEAST_EPOCHS = 6;

const epochsFor = (events: number): number =>
  Math.max(LEAST_EPOCHS, Math.round(FIT.epochs * Math.min(1, FULL_EVENTS / events)));
/** Half-life of popularity at a session's start, from the same split. */
const START_HALF_LIFE_MS = 7 * 86_400_000;
/** Below this many interactions there is nothing to learn. */
const MINIMUM_EVENTS = 200;
/** Share of the epochs in which the trained model also learns what was held out, and of the rate: it is nearly there. */
const CATCH_UP_RATIO = 0.2;
const CATCH_UP_RATE = 0.4;
/** Questions of the hold-out at most; more would only take longer. */
const MAX_QUESTIONS = 5_000;

type Trained = { readonly weights: SasrecWeights; readonly neighbours: TitleNeighbours };
type Work = {
  readonly titleIds: readonly string[];
  readonly shape: SasrecShape;
  readonly options: RankerOptions;
};

/** EASE of the most watched titles; the others have no neighbours. */
function easeOf(titleIds: readonly string[], events: readonly NumberedInteraction[]): TitleNeighbours {
  const fitted = titleIds.slice(0, MAX_EASE_TITLES);
  const known = events.filter(({ row }) => row < fitted.length);
  const neighbours = fitEase(fitted, [...historiesOf(known).values()].map(eachOnce), EASE);
  const { width } = neighbours;
  const ids = new Int32Array(titleIds.length * width).fill(-1);
  const weights = new Float32Array(titleIds.length * width);
  ids.set(neighbours.ids);
  weights.set(neighbours.weights);
  return { titleIds, width, ids, weights };
}

/** Places of titles: rows of the trained table, without the one for nothing, each of length 1. */
function embeddingsOf(titleIds: readonly string[], weights: SasrecWeights): TitleEmbeddings {
  const values = Float32Array.from(weights.get('titles')?.subarray(SIZES.width) ?? []);
  toUnitRows(values, SIZES.width);
  return { titleIds, width: SIZES.width, values };
}

const graphOf = (shape: SasrecShape, weights: SasrecWeights, isInt8: boolean): Uint8Array =>
  servingGraph({ shape, weights, isInt8, top: TOP, adapterRank: ADAPTER_RANK });

/** A trained pair ready to be measured; close its session. */
async function openMeasured(work: Work, trained: Trained, isInt8: boolean): Promise<MeasuredRanker> {
  return {
    session: await openGraph(graphOf(work.shape, trained.weights, isInt8), work.options.threads ?? 1),
    neighbours: trained.neighbours,
    embeddings: embeddingsOf(work.titleIds, trained.weights),
    blend: BLEND,
    length: SIZES.history,
    width: SIZES.width,
    rank: ADAPTER_RANK,
    popularityHalfLifeMs: START_HALF_LIFE_MS,
  };
}

/** Figures of a trained pair on later events, by the 32-bit and the 8-bit graph. */
async function figuresOf(
  work: Work,
  trained: Trained,
  past: readonly NumberedInteraction[],
  later: readonly NumberedInteraction[],
): Promise<Record<string, number>> {
  const every = Math.max(1, Math.ceil(later.length / MAX_QUESTIONS));
  const measure = async (isInt8: boolean): Promise<RankerQuality> => {
    const ranker = await openMeasured(work, trained, isInt8);
    try {
      return await measureRanker(ranker, past, later, every);
    } finally {
      await ranker.session.close();
    }
  };
  const quality = await measure(false);
  const small = await measure(true);
  return {
    questions: quality.questions,
    ...quality.blend,
    sequenceHr10: quality.sequence.hr10,
    sequenceNdcg10: quality.sequence.ndcg10,
    easeHr10: quality.ease.hr10,
    easeNdcg10: quality.ease.ndcg10,
    popularityHr10: quality.popularity.hr10,
    startHr10: quality.start.hr10,
    int8LossRatio: quality.blend.hr10 > 0 ? 1 - small.blend.hr10 / quality.blend.hr10 : 0,
  };
}

/**
 * Trains: first on all but the latest interactions, which figures are measured on, then on those too. Rejects with the
 * signal's reason when aborted, with a RangeError when there is too little to learn from.
 */
export async function trainRanker(
  interactions: readonly Interaction[],
  options: RankerOptions,
): Promise<TrainedRanker> {
  const { titleIds, events } = prepareInteractions(interactions);
  if (events.length < MINIMUM_EVENTS || titleIds.length < 2) {
    throw new RangeError(`${events.length} interactions with ${titleIds.length} titles are too few to learn from`);
  }
  const { seed, epochs = epochsFor(events.length), threads = 1, signal, holdOutRatio = 0.1, onProgress } = options;
  const shape: SasrecShape = { titles: titleIds.length, ...SIZES };
  const catchUp = holdOutRatio > 0 ? Math.ceil(epochs * CATCH_UP_RATIO) : 0;
  let done = 0;
  const learn = async (
    learnt: readonly NumberedInteraction[],
    part: Pick<SasrecFit, 'epochs'> & Partial<Pick<SasrecFit, 'start' | 'learningRate'>>,
  ): Promise<SasrecWeights> => {
    const histories = [...historiesOf(learnt).values()].map(({ rows, weights }) => ({
      rows: Int32Array.from(rows, (row) => row + 1),
      weights: Float32Array.from(weights),
    }));
    const before = done;
    const share = part.epochs / (epochs + catchUp);
    const onStep = async (ratio: number): Promise<void> => {
      done = before + ratio * share;
      await onProgress?.(done);
    };
    return await fitSasrec(histories, {
      ...{ shape, seed, threads, signal, onStep, candidates: options.candidates },
      ...FIT,
      ...part,
    });
  };
  const work: Work = { titleIds, shape, options };

  const cut = Math.floor(events.length * (1 - holdOutRatio));
  const past = events.slice(0, cut);
  let weights = await learn(past, { epochs });
  let figures: Record<string, number> = {};
  if (catchUp > 0) {
    figures = await figuresOf(work, { weights, neighbours: easeOf(titleIds, past) }, past, events.slice(cut));
    signal?.throwIfAborted();
    weights = await learn(events, {
      epochs: catchUp,
      start: weights,
      learningRate: FIT.learningRate * CATCH_UP_RATE,
    });
  }
  const neighbours = easeOf(titleIds, events);
  const learned = embeddingsOf(titleIds, weights);
  const embeddings = options.metadata === undefined ? learned : extendEmbeddings(learned, options.metadata);
  const { width, history: length } = SIZES;
  const files = new Map([
    [
      RANKER_FILES.titles,
      writeTitles({ version: 1, titles: titleIds, length, width, rank: ADAPTER_RANK, blend: BLEND }),
    ],
    [RANKER_FILES.sequence, graphOf(shape, weights, false)],
    [RANKER_FILES.sequenceInt8, graphOf(shape, weights, true)],
    [RANKER_FILES.ease, writeNeighbours(neighbours)],
    [RANKER_FILES.embeddings, writeEmbeddings(embeddings)],
  ]);
  const viewers = new Set(events.map(({ viewer }) => viewer)).size;
  return { files, metrics: { events: events.length, viewers, titles: titleIds.length, epochs, ...figures } };
}
