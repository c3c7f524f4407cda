// Trains a SASRec on histories by running its training graph: batches in an order drawn from the seed, weights and
// moments carried from step to step. The same histories, options and seed give the same weights to the bit.
import { momentsOf, nextOf, stepLength } from './adam.ts';
import { type Batch, openCandidates, type TitleHistory } from './candidates.ts';
import { type GraphTensor, openGraph } from './graph-session.ts';
import { type Random, seededRandom } from './random.ts';
import {
  LOSS,
  MASKED,
  type SasrecShape,
  type SasrecWeights,
  sasrecParameters,
  startWeights,
  trainingGraph,
} from './sasrec.ts';

/** How to train. */
export type SasrecFit = {
  readonly shape: SasrecShape;
  readonly seed: number;
  readonly epochs: number;
  readonly learningRate: number;
  readonly dropoutRatio: number;
  readonly threads: number;
  readonly signal?: AbortSignal | undefined;
  /**
   * Titles that a step scores, of a catalogue that has a quarter more of them and above; default 2,048. Infinity: always all.
   */
  readonly candidates?: number | undefined;
  /** Weights to go on from; drawn from the seed unless given. */
  readonly start?: SasrecWeights;
  /** Awaited after each step, so that a busy host may slow training down. */
  readonly onStep?: (doneRatio: number, loss: number) => void | Promise<void>;
};

/** Histories a step, where the scores of all places fit into MAX_LOGITS. */
const BATCH = 64;
/**
 * Scores of one step at most, 4 bytes each, three times over: bounds memory. Of candidates fewer: smaller steps learn more of
 * as many histories, and a large catalogue mostly comes with many interactions, which take memory, too.
 */
const MAX_LOGITS = { all: 5_500_000, candidates: 2_750_000 } as const;
/** So that a large catalogue takes no longer than one of so many titles; below that much more of them all are scored. */
const CANDIDATES = 2_048;
const WHOLE_RATIO = 1.25;
/** A history longer than the model's is cut into windows that begin this share of it apart. */
const STRIDE_RATIO = 0.6;
/** The learning rate rises over this share of all steps, then falls to 0 on a cosine. */
const WARM_UP_RATIO = 0.05;

type Window = { readonly history: TitleHistory; readonly end: number };

/** Where windows of `places` inputs and as many targets end; the last one ends with the history. */
function windowsOf(histories: readonly TitleHistory[], places: number): Window[] {
  const stride = Math.max(1, Math.floor(places * STRIDE_RATIO));
  return histories.flatMap((history) => {
    const windows: Window[] = [];
    for (let end = history.rows.length; end >= 2; end -= stride) {
      windows.push({ history, end });
      if (end <= places + 1) break;
    }
    return windows;
  });
}

function shuffle(list: Window[], random: Random): void {
  for (let at = list.length - 1; at > 0; at -= 1) {
    const other = Math.floor(random() * (at + 1));
    const [one, two] = [list[at], list[other]];
    if (one === undefined || two === undefined) continue;
    list[at] = two;
    list[other] = one;
  }
}

/** The inputs of one step; places without a window or without history weigh nothing. */
function batchOf(windows: readonly Window[], batch: number, places: number): Batch {
  const rows = new BigInt64Array(batch * places);
  const targets = new BigInt64Array(batch * places);
  const weights = new Float32Array(batch * places);
  const padding = new Float32Array(batch * places).fill(MASKED);
  windows.forEach(({ history, end }, member) => {
    const start = Math.max(0, end - places - 1);
    for (let at = start; at < end - 1; at += 1) {
      const place = member * places + places - (end - 1) + at;
      rows[place] = BigInt(history.rows[at] ?? 0);
      targets[place] = BigInt(history.rows[at + 1] ?? 0);
      weights[place] = history.weights[at + 1] ?? 0;
      padding[place] = 0;
    }
  });
  return {
    history: { type: 'int64', dims: [batch * places], values: rows },
    targets: { type: 'int64', dims: [batch * places, 1], values: targets },
    weights: { type: 'float32', dims: [batch * places, 1], values: weights },
    padding: { type: 'float32', dims: [batch, 1, places], values: padding },
  };
}

/** Rises to 1, then falls to 0. */
function rateAt(step: number, steps: number): number {
  const rising = Math.max(1, WARM_UP_RATIO * steps);
  return step < rising
    ? (step + 1) / rising
    : 0.5 * (1 + Math.cos((Math.PI * (step - rising)) / Math.max(1, steps - rising)));
}

/** Trains. Rejects with the signal's reason when it aborts, and with a RangeError when there is nothing to learn from. */
export async function fitSasrec(histories: readonly TitleHistory[], options: SasrecFit): Promise<SasrecWeights> {
  const { shape, seed, epochs, signal } = options;
  const random = seededRandom(seed);
  const windows = windowsOf(histories, shape.history);
  if (windows.length === 0) throw new RangeError('No history has two titles');
  const { candidates: most = CANDIDATES } = options;
  const isLarge = shape.titles + 1 > most * WHOLE_RATIO;
  const scored = isLarge ? most : shape.titles + 1;
  const room = Math.floor(MAX_LOGITS[isLarge ? 'candidates' : 'all'] / (shape.history * scored));
  const batch = Math.max(1, Math.min(BATCH, windows.length, room));
  const candidates = isLarge
    ? openCandidates({ histories, titles: shape.titles, count: most, targets: batch * shape.history, random })
    : undefined;
  const parameters = sasrecParameters(shape);
  const start = options.start ?? startWeights(shape, random);
  let state: Record<string, GraphTensor> = Object.fromEntries(
    parameters.flatMap(({ name, dims }) => {
      const values = start.get(name) ?? new Float32Array();
      const moments = momentsOf(`w_${name}`).map(
        (moment) => [moment, { type: 'float32', dims, values: new Float32Array(values.length) }] as const,
      );
      return [[`w_${name}`, { type: 'float32', dims, values }] as const, ...moments];
    }),
  );
  const names = Object.keys(state);
  const session = await openGraph(
    trainingGraph({
      ...{ shape, batch, dropoutRatio: options.dropoutRatio, seed: seed % 1000 },
      candidates: candidates && most,
    }),
    options.threads,
  );
  try {
    const stepsAnEpoch = Math.ceil(windows.length / batch);
    const steps = epochs * stepsAnEpoch;
    for (let step = 0; step < steps; step += 1) {
      signal?.throwIfAborted();
      const at = (step % stepsAnEpoch) * batch;
      if (at === 0) shuffle(windows, random);
      const rate = options.learningRate * rateAt(step, steps);
      const length: GraphTensor = { type: 'float32', dims: [], values: Float32Array.of(stepLength(rate, step + 1)) };
      const feeds = batchOf(windows.slice(at, at + batch), batch, shape.history);
      const results = await session.run({ ...state, ...(candidates?.of(feeds) ?? feeds), length });
      state = Object.fromEntries(
        names.flatMap((name) => {
          const next = results[nextOf(name)];
          return next === undefined ? [] : [[name, next]];
        }),
      );
      await options.onStep?.((step + 1) / steps, Number(results[LOSS]?.values[0]));
    }
  } finally {
    await session.close();
  }
  return new Map(parameters.map(({ name }) => [name, Float32Array.from(state[`w_${name}`]?.values ?? [], Number)]));
}
