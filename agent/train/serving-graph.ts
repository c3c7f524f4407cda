// A trained SASRec as the graph that serves: histories in, the best titles out, with what is mixed in from beside
// (EASE), a bias per title and a low-rank adapter as inputs, so that they change without loading anything anew.
// Products are in 32-bit floats, or in whole numbers of 8 bits with one scale a column.
import assert from 'node:assert/strict';
import { buildGraph, type GraphBuilder } from './graph.ts';
import { encodeModel } from './protobuf.ts';
import { MASKED, SASREC_OPSET, type SasrecShape, type SasrecWeights } from './sasrec.ts';

/** What to write. */
export type Serving = {
  readonly shape: SasrecShape;
  readonly weights: SasrecWeights;
  readonly isInt8: boolean;
  /** Titles of an answer, at most all. */
  readonly top: number;
  readonly adapterRank: number;
};

/**
 * Largest whole number of a weight in 8 bits. Processors without VNNI add two products of 8 bits in 16 bits and saturate:
 * 2 x 255 x 64 just fits (onnxruntime calls this reduce_range).
 */
const INT8_LIMIT = 64;

/** Whole numbers and the scale of each column of a matrix [rows, columns]. */
function quantised(
  values: Float32Array,
  columns: number,
): { readonly whole: Int8Array; readonly scales: Float32Array } {
  const scales = new Float32Array(columns);
  for (let at = 0; at < values.length; at += 1) {
    const column = at % columns;
    scales[column] = Math.max(scales[column] ?? 0, Math.abs(values[at] ?? 0) / INT8_LIMIT);
  }
  const whole = Int8Array.from(values, (value, at) => {
    const scale = scales[at % columns] ?? 0;
    return scale > 0 ? Math.round(value / scale) : 0;
  });
  return { whole, scales };
}

/** Rows by columns, turned. */
function turned(values: Float32Array, columns: number): Float32Array {
  const rows = values.length / columns;
  return Float32Array.from(
    { length: values.length },
    (_, at) => values[(at % rows) * columns + Math.floor(at / rows)] ?? 0,
  );
}

type Writer = {
  readonly graph: GraphBuilder;
  readonly weight: (name: string) => Float32Array;
  readonly isInt8: boolean;
  readonly whole: (values: readonly number[]) => string;
  readonly scalar: (value: number) => string;
};

/** x [.., rows] by a matrix [rows, columns]. */
function product(
  { graph, isInt8 }: Writer,
  x: string,
  name: string,
  matrix: { values: Float32Array; columns: number },
): string {
  const { values, columns } = matrix;
  const dims = [values.length / columns, columns];
  if (!isInt8) return graph.apply('MatMul', [x, graph.weights(name, dims, values)]);
  const { whole, scales } = quantised(values, columns);
  const matrixName = graph.constant({ name: `${name}_whole`, type: 'int8', dims, values: whole });
  const [small, scale, zero] = graph.applyMany('DynamicQuantizeLinear', [x], 3);
  assert(small !== undefined && scale !== undefined && zero !== undefined);
  const sums = graph.apply('MatMulInteger', [small, matrixName, zero]);
  const each = graph.apply('Mul', [scale, graph.weights(`${name}_scales`, [columns], scales)]);
  return graph.apply('Mul', [graph.apply('Cast', [sums], { to: { kind: 'int', value: 1 } }), each]);
}

const levelled = ({ graph, weight }: Writer, x: string, which: string): string => {
  const gain = weight(`gain_${which}`);
  const bias = weight(`bias_${which}`);
  return graph.apply(
    'LayerNormalization',
    [x, graph.weights(`gain_${which}`, [gain.length], gain), graph.weights(`bias_${which}`, [bias.length], bias)],
    { axis: { kind: 'int', value: -1 }, epsilon: { kind: 'float', value: 1e-5 } },
  );
};

/** The rows of the title table at `history`, times the root of the width, which is multiplied in beforehand. */
function embedded({ graph, weight, isInt8 }: Writer, history: string, shape: SasrecShape): string {
  const { titles, width } = shape;
  const root = Math.sqrt(width);
  const table = weight('titles').map((value) => value * root);
  const axis = { axis: { kind: 'int', value: 0 } } as const;
  if (!isInt8) {
    return graph.apply('Gather', [graph.weights('titles', [titles + 1, width], table), history], axis);
  }
  // One scale a title: turned, a title is a column.
  const { whole, scales } = quantised(turned(table, width), titles + 1);
  const back = Int8Array.from(
    { length: whole.length },
    (_, at) => whole[(at % width) * (titles + 1) + Math.floor(at / width)] ?? 0,
  );
  const small = graph.constant({ name: 'titles_whole', type: 'int8', dims: [titles + 1, width], values: back });
  const rows = graph.apply('Cast', [graph.apply('Gather', [small, history], axis)], { to: { kind: 'int', value: 1 } });
  const each = graph.apply('Gather', [graph.weights('titles_scales', [titles + 1, 1], scales), history], axis);
  return graph.apply('Mul', [rows, each]);
}

/** One layer. In the last layer only the newest place asks: the others have nobody left to tell. */
function layer(
  writer: Writer,
  x: string,
  mask: string,
  at: { readonly layer: number; readonly width: number; readonly isLast: boolean },
): string {
  const { graph, weight, whole } = writer;
  const { layer: number, width } = at;
  // Attention divides by the root of the width: once and for all, in the weights of what asks.
  const square = (value: string, name: string): string => {
    const factor = name === 'query' ? 1 / Math.sqrt(width) : 1;
    const values = weight(`${name}_${number}`).map((one) => one * factor);
    return product(writer, value, `${name}_${number}`, { values, columns: width });
  };
  const newest = (value: string): string =>
    at.isLast ? graph.apply('Slice', [value, whole([-1]), whole([Number.MAX_SAFE_INTEGER]), whole([1])]) : value;
  const biased = (value: string, name: string): string =>
    graph.apply('Add', [value, graph.weights(`${name}_${number}`, [width], weight(`${name}_${number}`))]);

  const level = levelled(writer, x, `attend_${number}`);
  const query = square(newest(level), 'query');
  const key = graph.apply('Transpose', [square(level, 'key')], { perm: { kind: 'ints', value: [0, 2, 1] } });
  const scores = graph.apply('MatMul', [query, key]);
  const chances = graph.apply('Softmax', [graph.apply('Add', [scores, mask])], { axis: { kind: 'int', value: -1 } });
  const attended = graph.apply('Add', [newest(x), graph.apply('MatMul', [chances, square(level, 'value')])]);
  const inner = graph.apply('Relu', [
    biased(square(levelled(writer, attended, `forward_${number}`), 'inner'), 'inner_bias'),
  ]);
  return graph.apply('Add', [attended, biased(square(inner, 'outer'), 'outer_bias')]);
}

/** (scores - mean) / deviation over titles. */
function standard({ graph, whole, scalar }: Writer, scores: string): string {
  const keep = { keepdims: { kind: 'int', value: 1 } } as const;
  const centred = graph.apply('Sub', [scores, graph.apply('ReduceMean', [scores, whole([-1])], keep)]);
  const spread = graph.apply('ReduceMean', [graph.apply('Mul', [centred, centred]), whole([-1])], keep);
  return graph.apply('Div', [centred, graph.apply('Sqrt', [graph.apply('Add', [spread, scalar(1e-12)])])]);
}

/**
 * The serving graph's bytes. Inputs: `history` int64 [batch, history] (rows of the title table, right-aligned, 0 where
 * there is nothing), `beside` [batch, titles] (added to the standardised scores), `head_bias` [titles], `adapter_down`
 * [width, rank], `adapter_up` [rank, width] (the last hidden state h becomes h + h down up). Outputs: `top_titles` int64
 * [batch, top] (columns from 0), `top_scores` [batch, top], `scores` [batch, titles].
 */
export function servingGraph({ shape, weights, isInt8, top, adapterRank }: Serving): Uint8Array {
  const { titles, width, history: places, layers } = shape;
  const graph = buildGraph('sasrec');
  let constants = 0;
  const writer: Writer = {
    graph,
    isInt8,
    weight: (name) => {
      const found = weights.get(name);
      if (found === undefined) throw new RangeError(`No weight ${name}`);
      return found;
    },
    whole: (values) => graph.constant({ name: `whole_${constants++}`, type: 'int64', dims: [values.length], values }),
    scalar: (value) => graph.weights(`scalar_${constants++}`, [], [value]),
  };
  const history = graph.input({ name: 'history', type: 'int64', dims: ['batch', places] });
  const beside = graph.input({ name: 'beside', type: 'float', dims: ['batch', titles] });
  const headBias = graph.input({ name: 'head_bias', type: 'float', dims: [titles] });
  const down = graph.input({ name: 'adapter_down', type: 'float', dims: [width, adapterRank] });
  const up = graph.input({ name: 'adapter_up', type: 'float', dims: [adapterRank, width] });

  const nothing = graph.constant({ name: 'nothing', type: 'int64', dims: [], values: [0] });
  const isEmpty = graph.apply('Cast', [graph.apply('Equal', [history, nothing])], { to: { kind: 'int', value: 1 } });
  const padding = graph.apply('Unsqueeze', [graph.apply('Mul', [isEmpty, writer.scalar(MASKED)]), writer.whole([1])]);
  const causal = Float32Array.from({ length: places ** 2 }, (_, at) =>
    at % places > Math.floor(at / places) ? MASKED : 0,
  );
  const mask = graph.apply('Add', [graph.weights('causal', [1, places, places], causal), padding]);
  const positions = graph.weights('positions', [places, width], writer.weight('positions'));

  let x = graph.apply('Add', [embedded(writer, history, shape), positions]);
  for (let at = 0; at < layers; at += 1) {
    const isLast = at === layers - 1;
    x = layer(writer, x, isLast ? padding : mask, { layer: at, width, isLast });
  }
  const last = graph.apply('Squeeze', [levelled(writer, x, 'last'), writer.whole([1])]);
  const adapted = graph.apply('Add', [last, graph.apply('MatMul', [graph.apply('MatMul', [last, down]), up])]);
  const head = turned(writer.weight('titles').subarray(width), width);
  const logits = graph.apply('Add', [
    product(writer, adapted, 'head', { values: head, columns: titles }),
    graph.apply('Add', [headBias, graph.weights('title_bias', [titles], writer.weight('title_bias').subarray(1))]),
  ]);
  const scores = graph.apply('Add', [standard(writer, logits), beside]);
  const count = Math.min(top, titles);
  const [topScores, topTitles] = graph.applyMany('TopK', [scores, writer.whole([count])], 2);
  assert(topScores !== undefined && topTitles !== undefined);
  graph.output(topTitles, { name: 'top_titles', type: 'int64', dims: ['batch', count] });
  graph.output(topScores, { name: 'top_scores', type: 'float', dims: ['batch', count] });
  graph.output(scores, { name: 'scores', type: 'float', dims: ['batch', titles] });
  const metadata = { kind: 'sasrec', version: '1', form: isInt8 ? 'int8' : 'float32' };
  return encodeModel({ graph: graph.build(), producer: 'nearcast', opset: SASREC_OPSET, metadata });
}
