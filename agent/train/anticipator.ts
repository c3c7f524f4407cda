// A small transformer over what a viewer did in a viewing so far, which says what comes within the next seconds: the
// challenger of counted hazards, whose log-chances it starts from and corrects. Trained through a graph as the ranker is.
import { addAdamStep, momentsOf, nextOf, stepLength } from './adam.ts';
import { startTape, type Tape, type Value } from './autodiff.ts';
import { buildGraph } from './graph.ts';
import { type GraphTensor, openGraph } from './graph-session.ts';
import { encodeModel } from './protobuf.ts';
import { normal, type Random, seededRandom } from './random.ts';
import { MASKED, SASREC_OPSET } from './sasrec.ts';

/** Something a viewer did: which kind (from 0), how many seconds ago, and where in the title. */
export type Deed = { readonly kind: number; readonly secondsAgo: number; readonly positionSeconds: number };

/** A moment to judge. */
export type AnticipatorMoment = {
  /** Newest last. */
  readonly deeds: readonly Deed[];
  readonly positionSeconds: number;
  readonly durationSeconds: number | undefined;
  /** Chances by counted hazards, one for each outcome. */
  readonly hazard: readonly number[];
};

/** A moment with what came of it (from 0) and how many such moments it stands for. */
export type AnticipatorExample = AnticipatorMoment & { readonly outcome: number; readonly weight: number };

/** Weights by name. */
export type AnticipatorWeights = ReadonlyMap<string, Float32Array>;

/** How to train. */
export type AnticipatorFit = { readonly seed: number; readonly steps: number; readonly threads?: number };

const OUTCOMES = 5;
const KINDS = 5;
/** Deeds that count, and the moment itself as the last token. */
const DEEDS = 16;
const TOKENS = DEEDS + 1;
const WIDTH = 32;
/** Kinds, then six numbers of a token. */
const FEATURES = KINDS + 6;
const BATCH = 256;
const LEARNING_RATE = 0.003;
/** Seconds as a feature: logarithmic, about 1 at an hour. */
const logSeconds = (seconds: number): number => Math.log1p(Math.max(0, seconds)) / Math.log1p(3600);
/** Chances are kept from 0 before their logarithm is taken. */
const LEAST_CHANCE = 1e-6;

const PARAMETERS: readonly { readonly name: string; readonly dims: readonly number[]; readonly scale: number }[] = [
  { name: 'embed', dims: [FEATURES, WIDTH], scale: 1 / Math.sqrt(FEATURES) },
  { name: 'places', dims: [TOKENS, WIDTH], scale: 0.1 },
  ...['query', 'key', 'value', 'inner', 'outer'].map((name) => ({
    name,
    dims: [WIDTH, WIDTH],
    scale: 1 / Math.sqrt(WIDTH),
  })),
  { name: 'inner_bias', dims: [WIDTH], scale: 0 },
  { name: 'outer_bias', dims: [WIDTH], scale: 0 },
  // Zero: training starts from the hazards themselves.
  { name: 'head', dims: [OUTCOMES, WIDTH], scale: 0 },
  { name: 'head_bias', dims: [OUTCOMES], scale: 0 },
];

function startingWeights(random: Random): AnticipatorWeights {
  return new Map(
    PARAMETERS.map(({ name, dims, scale }) => {
      const size = dims.reduce((product, dim) => product * dim, 1);
      return [name, Float32Array.from({ length: size }, () => (scale === 0 ? 0 : normal(random) * scale))];
    }),
  );
}

/** Log-chances up to a constant for a batch, [BATCH, OUTCOMES]. */
function logitsOf(tape: Tape, weight: (name: string) => Value): Value {
  const tokens = tape.given('tokens', [BATCH * TOKENS, FEATURES]);
  const padding = tape.given('padding', [BATCH, 1, TOKENS]);
  const hazard = tape.given('hazard', [BATCH, OUTCOMES]);
  const lasts = tape.rows('lasts', [BATCH]);
  const split = (value: Value): Value => tape.reshape(value, [BATCH, TOKENS, WIDTH]);
  const flat = (value: Value): Value => tape.reshape(value, [BATCH * TOKENS, WIDTH]);

  const x = flat(tape.add(split(tape.matmul(tokens, weight('embed'))), weight('places')));
  const level = tape.normalise(x);
  const [query, key, value] = ['query', 'key', 'value'].map((name) => split(tape.matmul(level, weight(name))));
  if (query === undefined || key === undefined || value === undefined) throw new RangeError('three products');
  const scores = tape.add(tape.scale(tape.batchMatmul(query, key, true), 1 / Math.sqrt(WIDTH)), padding);
  const attended = tape.add(x, flat(tape.batchMatmul(tape.softmax(scores), value)));
  const last = tape.gather(attended, lasts);
  const inner = tape.relu(tape.affine(tape.normalise(last), weight('inner'), weight('inner_bias')));
  const outer = tape.add(last, tape.affine(inner, weight('outer'), weight('outer_bias')));
  return tape.add(tape.affine(tape.normalise(outer), weight('head'), weight('head_bias')), hazard);
}

/** The graph: chances of a batch, and one step of training where `isTraining`. */
function anticipatorGraph(isTraining: boolean): Uint8Array {
  const graph = buildGraph('anticipator');
  const tape = startTape(graph);
  const parameters = PARAMETERS.map(({ name, dims }) => tape.parameter(`w_${name}`, dims));
  const weight = (name: string): Value => {
    const found = parameters[PARAMETERS.findIndex((parameter) => parameter.name === name)];
    if (found === undefined) throw new RangeError(`No weight ${name}`);
    return found;
  };
  const logits = logitsOf(tape, weight);
  if (!isTraining) {
    graph.output(tape.softmax(logits).name, { name: 'chances', type: 'float', dims: [BATCH, OUTCOMES] });
  } else {
    const loss = tape.crossEntropy(logits, tape.rows('targets', [BATCH, 1]), tape.given('weights', [BATCH, 1]));
    const length = graph.input({ name: 'length', type: 'float', dims: [] });
    graph.output(loss.name, { name: 'loss', type: 'float', dims: [] });
    tape.gradients(loss, parameters).forEach((gradient, at) => {
      const parameter = parameters[at];
      if (parameter !== undefined) addAdamStep(graph, parameter, gradient, length);
    });
  }
  const metadata = { kind: 'anticipator', version: '1' };
  return encodeModel({ graph: graph.build(), producer: 'nearcast', opset: SASREC_OPSET, metadata });
}

/** Writes one token. */
function putToken(values: Float32Array, start: number, kind: number | undefined, facts: readonly number[]): void {
  if (kind !== undefined) values[start + kind] = 1;
  facts.forEach((fact, at) => {
    values[start + KINDS + at] = fact;
  });
}

/** A batch of at most BATCH moments as inputs; the rest of the rows is empty. */
function inputsOf(moments: readonly AnticipatorMoment[]): Record<string, GraphTensor> {
  const tokens = new Float32Array(BATCH * TOKENS * FEATURES);
  const padding = new Float32Array(BATCH * TOKENS).fill(MASKED);
  const hazard = new Float32Array(BATCH * OUTCOMES);
  moments.forEach(({ deeds, positionSeconds, durationSeconds, hazard: chances }, row) => {
    const kept = deeds.slice(-DEEDS);
    kept.forEach(({ kind, secondsAgo, positionSeconds: at }, place) => {
      const token = row * TOKENS + DEEDS - kept.length + place;
      const gap = place > 0 ? (kept[place - 1]?.secondsAgo ?? 0) - secondsAgo : 0;
      const moved = place > 0 ? at - (kept[place - 1]?.positionSeconds ?? 0) - gap : 0;
      const facts = [
        logSeconds(secondsAgo),
        logSeconds(at),
        logSeconds(gap),
        Math.sign(moved) * logSeconds(Math.abs(moved)),
      ];
      putToken(tokens, token * FEATURES, kind, facts);
      padding[token] = 0;
    });
    const own = row * TOKENS + DEEDS;
    const ratio =
      durationSeconds === undefined || durationSeconds <= 0 ? 0 : Math.min(1, positionSeconds / durationSeconds);
    const left = durationSeconds === undefined ? 0 : logSeconds(durationSeconds - positionSeconds);
    const since = logSeconds(kept.at(-1)?.secondsAgo ?? 0);
    putToken(tokens, own * FEATURES, undefined, [
      since,
      logSeconds(positionSeconds),
      left,
      kept.length / DEEDS,
      ratio,
      1,
    ]);
    padding[own] = 0;
    chances.forEach((chance, at) => {
      hazard[row * OUTCOMES + at] = Math.log(Math.max(LEAST_CHANCE, chance));
    });
  });
  const lasts = BigInt64Array.from({ length: BATCH }, (_, row) => BigInt(row * TOKENS + DEEDS));
  return {
    tokens: { type: 'float32', dims: [BATCH * TOKENS, FEATURES], values: tokens },
    padding: { type: 'float32', dims: [BATCH, 1, TOKENS], values: padding },
    hazard: { type: 'float32', dims: [BATCH, OUTCOMES], values: hazard },
    lasts: { type: 'int64', dims: [BATCH], values: lasts },
  };
}

const weightInputs = (weights: AnticipatorWeights): Record<string, GraphTensor> =>
  Object.fromEntries(
    PARAMETERS.map(({ name, dims }) => [
      `w_${name}`,
      { type: 'float32', dims, values: weights.get(name) ?? new Float32Array() },
    ]),
  );

/** Trains on examples drawn with replacement; the same examples and seed give the same weights. */
export async function fitAnticipator(
  examples: readonly AnticipatorExample[],
  { seed, steps, threads = 1 }: AnticipatorFit,
): Promise<AnticipatorWeights> {
  if (examples.length === 0) throw new RangeError('No examples');
  const random = seededRandom(seed);
  let state = weightInputs(startingWeights(random));
  for (const { name, dims } of PARAMETERS) {
    for (const moment of momentsOf(`w_${name}`)) {
      state[moment] = {
        type: 'float32',
        dims,
        values: new Float32Array(dims.reduce((product, dim) => product * dim, 1)),
      };
    }
  }
  const session = await openGraph(anticipatorGraph(true), threads);
  try {
    for (let step = 1; step <= steps; step += 1) {
      const drawn = Array.from({ length: BATCH }, () => examples[Math.floor(random() * examples.length)]);
      const batch = drawn.filter((example) => example !== undefined);
      const rate = LEARNING_RATE * 0.5 * (1 + Math.cos((Math.PI * step) / steps));
      const results = await session.run({
        ...state,
        ...inputsOf(batch),
        targets: {
          type: 'int64',
          dims: [BATCH, 1],
          values: BigInt64Array.from(batch, ({ outcome }) => BigInt(outcome)),
        },
        weights: { type: 'float32', dims: [BATCH, 1], values: Float32Array.from(batch, ({ weight }) => weight) },
        length: { type: 'float32', dims: [], values: Float32Array.of(stepLength(rate, step)) },
      });
      state = Object.fromEntries(
        Object.entries(state).map(([name, before]) => [name, results[nextOf(name)] ?? before]),
      );
    }
  } finally {
    await session.close();
  }
  return new Map(PARAMETERS.map(({ name }) => [name, Float32Array.from(state[`w_${name}`]?.values ?? [], Number)]));
}

/** Chances of all outcomes for each moment, in their order. */
export async function anticipate(
  weights: AnticipatorWeights,
  moments: readonly AnticipatorMoment[],
  threads = 1,
): Promise<readonly Float32Array[]> {
  const session = await openGraph(anticipatorGraph(false), threads);
  const answers: Float32Array[] = [];
  try {
    for (let start = 0; start < moments.length; start += BATCH) {
      const batch = moments.slice(start, start + BATCH);
      const { chances } = await session.run({ ...weightInputs(weights), ...inputsOf(batch) });
      if (!(chances?.values instanceof Float32Array)) throw new TypeError('The graph gave no chances');
      const { values } = chances;
      batch.forEach((_, row) => {
        answers.push(values.slice(row * OUTCOMES, (row + 1) * OUTCOMES));
      });
    }
  } finally {
    await session.close();
  }
  return answers;
}
