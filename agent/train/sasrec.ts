// SASRec (Kang, McAuley, ICDM 2018) as ONNX graphs: one that trains it with a softmax over the catalogue, or of a large one
// over candidates, Adam included, and the weights it starts from. Serving is in serving-graph.ts.
import { addAdamStep } from './adam.ts';
import { startTape, type Tape, type Value } from './autodiff.ts';
import { buildGraph } from './graph.ts';
import { encodeModel } from './protobuf.ts';
import { normal, type Random } from './random.ts';

/** Sizes of a model. Row 0 of the title table stands for "nothing". */
export type SasrecShape = {
  readonly titles: number;
  /** Size of an embedding. */
  readonly width: number;
  /** Titles of a history that count. */
  readonly history: number;
  readonly layers: number;
};

/** Weights by name, each row by row. */
export type SasrecWeights = ReadonlyMap<string, Float32Array>;

/** What a training graph is made for. */
export type SasrecTraining = {
  readonly shape: SasrecShape;
  /** Histories a step. */
  readonly batch: number;
  readonly dropoutRatio: number;
  readonly seed: number;
  /** Rows of the title table that a step scores; undefined: all. */
  readonly candidates?: number | undefined;
};

/** Operator set of the graphs: 18 has scatter with addition and axes as inputs. */
export const SASREC_OPSET = 18;
/** The training graph's scalar output. */
export const LOSS = 'loss';
/** Added to the scores of what must not be attended to; far below any score, far above -infinity. */
export const MASKED = -1e9;

type Parameter = { readonly name: string; readonly dims: readonly number[]; readonly start: 'spread' | 'zero' | 'one' };

/** The weights of a shape in their fixed order. */
export function sasrecParameters({ titles, width, history, layers }: SasrecShape): readonly Parameter[] {
  const layer = (at: number): Parameter[] => [
    { name: `gain_attend_${at}`, dims: [width], start: 'one' },
    { name: `bias_attend_${at}`, dims: [width], start: 'zero' },
    { name: `query_${at}`, dims: [width, width], start: 'spread' },
    { name: `key_${at}`, dims: [width, width], start: 'spread' },
    { name: `value_${at}`, dims: [width, width], start: 'spread' },
    { name: `gain_forward_${at}`, dims: [width], start: 'one' },
    { name: `bias_forward_${at}`, dims: [width], start: 'zero' },
    { name: `inner_${at}`, dims: [width, width], start: 'spread' },
    { name: `inner_bias_${at}`, dims: [width], start: 'zero' },
    { name: `outer_${at}`, dims: [width, width], start: 'spread' },
    { name: `outer_bias_${at}`, dims: [width], start: 'zero' },
  ];
  return [
    { name: 'titles', dims: [titles + 1, width], start: 'spread' },
    { name: 'positions', dims: [history, width], start: 'spread' },
    ...Array.from({ length: layers }, (_, at) => layer(at)).flat(),
    { name: 'gain_last', dims: [width], start: 'one' },
    { name: 'bias_last', dims: [width], start: 'zero' },
    { name: 'title_bias', dims: [titles + 1], start: 'zero' },
  ];
}

/** Weights to start from: matrices normal with variance 1 / width, gains 1, biases 0. */
export function startWeights(shape: SasrecShape, random: Random): SasrecWeights {
  const deviation = 1 / Math.sqrt(shape.width);
  return new Map(
    sasrecParameters(shape).map(({ name, dims, start }) => {
      const size = dims.reduce((product, dim) => product * dim, 1);
      if (start !== 'spread') return [name, new Float32Array(size).fill(start === 'one' ? 1 : 0)];
      return [name, Float32Array.from({ length: size }, () => normal(random) * deviation)];
    }),
  );
}

type Block = {
  readonly tape: Tape;
  readonly weight: (name: string) => Value;
  readonly drop: (value: Value) => Value;
  readonly batch: number;
  readonly shape: SasrecShape;
};

/** Layer normalisation with gain and bias. */
const levelled = ({ tape, weight }: Block, x: Value, which: string): Value =>
  tape.add(tape.multiply(tape.normalise(x), weight(`gain_${which}`)), weight(`bias_${which}`));

/** Attention of each place to itself and those before it; x is [batch * history, width]. */
function attend(block: Block, x: Value, mask: Value, at: number): Value {
  const { tape, weight, batch, shape } = block;
  const { history, width } = shape;
  const split = (value: Value): Value => tape.reshape(value, [batch, history, width]);
  const level = levelled(block, x, `attend_${at}`);
  const query = split(tape.matmul(level, weight(`query_${at}`)));
  const key = split(tape.matmul(level, weight(`key_${at}`)));
  const value = split(tape.matmul(level, weight(`value_${at}`)));
  const scores = tape.add(tape.scale(tape.batchMatmul(query, key, true), 1 / Math.sqrt(width)), mask);
  return tape.reshape(tape.batchMatmul(tape.softmax(scores), value), [batch * history, width]);
}

/** The two pointwise layers. */
function forward(block: Block, x: Value, at: number): Value {
  const { tape, weight, drop } = block;
  const level = levelled(block, x, `forward_${at}`);
  const inner = tape.relu(tape.add(tape.matmul(level, weight(`inner_${at}`)), weight(`inner_bias_${at}`)));
  return tape.add(tape.matmul(drop(inner), weight(`outer_${at}`)), weight(`outer_bias_${at}`));
}

/** What the last layer is multiplied with, and what is added: the title table, or rows of it that each step names. */
function scoredTitles(
  tape: Tape,
  weight: Block['weight'],
  { shape, candidates }: Pick<SasrecTraining, 'shape' | 'candidates'>,
): { readonly table: Value; readonly bias: Value } {
  if (candidates === undefined) return { table: weight('titles'), bias: weight('title_bias') };
  const rows = tape.rows('candidates', [candidates]);
  const column = tape.reshape(weight('title_bias'), [shape.titles + 1, 1]);
  const bias = tape.reshape(tape.gather(column, rows), [candidates]);
  return {
    table: tape.gather(weight('titles'), rows),
    bias: tape.add(bias, tape.given('corrections', [candidates])),
  };
}

/** Upper triangle of MASKED: no place attends to a later one. */
const causal = (history: number): Float32Array =>
  Float32Array.from({ length: history * history }, (_, at) => (at % history > Math.floor(at / history) ? MASKED : 0));

/**
 * The training graph's bytes. Inputs: `history` int64 [batch * history] (rows of the title table), `targets` int64
 * [batch * history, 1], `weights` [batch * history, 1] (0 where nothing is to be learnt), `padding` [batch, 1, history]
 * (MASKED where the history has nothing), `length` (stepLength() of Adam), each weight and its moments; with candidates also
 * `candidates` int64 [candidates] (rows of the table; targets are then places among them) and `corrections` [candidates],
 * added to their scores. Outputs: `loss`, and `next_` of each weight and moment.
 */
export function trainingGraph({ shape, batch, dropoutRatio, seed, candidates }: SasrecTraining): Uint8Array {
  const { width, history, layers } = shape;
  const graph = buildGraph('sasrec-training');
  const tape = startTape(graph);
  const parameters = new Map(
    sasrecParameters(shape).map(({ name, dims }) => [name, tape.parameter(`w_${name}`, dims)] as const),
  );
  const weight = (name: string): Value => {
    const found = parameters.get(name);
    if (found === undefined) throw new RangeError(`No weight ${name}`);
    return found;
  };
  let drops = 0;
  const drop = (value: Value): Value => tape.dropout(value, dropoutRatio, seed * 16 + drops++);
  const block: Block = { tape, weight, drop, batch, shape };

  const rows = tape.rows('history', [batch * history]);
  const targets = tape.rows('targets', [batch * history, 1]);
  const rowWeights = tape.given('weights', [batch * history, 1]);
  const padding = tape.given('padding', [batch, 1, history]);
  const length = graph.input({ name: 'length', type: 'float', dims: [] });
  const mask = tape.add(tape.constant('causal', [1, history, history], causal(history)), padding);

  const embedded = tape.reshape(tape.scale(tape.gather(weight('titles'), rows), Math.sqrt(width)), [
    batch,
    history,
    width,
  ]);
  let x = drop(tape.reshape(tape.add(embedded, weight('positions')), [batch * history, width]));
  for (let at = 0; at < layers; at += 1) {
    x = tape.add(x, drop(attend(block, x, mask, at)));
    x = tape.add(x, drop(forward(block, x, at)));
  }
  const last = levelled(block, x, 'last');
  const scored = scoredTitles(tape, weight, { shape, candidates });
  const logits = tape.affine(last, scored.table, scored.bias);
  const loss = tape.crossEntropy(logits, targets, rowWeights);
  graph.output(loss.name, { name: LOSS, type: 'float', dims: [] });
  const all = [...parameters.values()];
  tape.gradients(loss, all).forEach((gradient, at) => {
    const parameter = all[at];
    if (parameter !== undefined) addAdamStep(graph, parameter, gradient, length);
  });
  return encodeModel({
    graph: graph.build(),
    producer: 'nearcast',
    opset: SASREC_OPSET,
    metadata: { kind: 'sasrec-training', version: '1' },
  });
}
