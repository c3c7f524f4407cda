// Models that do wrong on purpose, written with our own ONNX writer: [batch, features] in, trouble out.
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunnableModel } from '../../../agent/model/runtime.ts';
import { buildGraph, type GraphBuilder } from '../../../agent/train/graph.ts';
import { encodeModel } from '../../../agent/train/protobuf.ts';
import { SCORER_INPUT, SCORER_OUTPUT } from '../../../agent/train/scorer-model.ts';

/** Width of every crafted model's rows. */
const WIDTH = 3;
const FEATURES = ['a', 'b', 'c'];

/** Wraps what `compute` makes of the rows' sums, [batch], as a model. */
function craft(compute: (graph: GraphBuilder, sums: string) => string): Uint8Array {
  const graph = buildGraph('crafted');
  const features = graph.input({ name: SCORER_INPUT, type: 'float', dims: ['batch', WIDTH] });
  const axes = graph.constant({ name: 'axes', type: 'int64', dims: [1], values: [1] });
  const sums = graph.apply('ReduceSum', [features, axes], { keepdims: { kind: 'int', value: 0 } });
  graph.output(compute(graph, sums), { name: SCORER_OUTPUT, type: 'float', dims: ['scores'] });
  return encodeModel({ graph: graph.build(), producer: 'test', opset: 17, metadata: {} });
}

/** Score = sum of the row. */
export const summing = craft((_, sums) => sums);
/** 0/0 for a row that sums to nothing, else 1. */
export const nan = craft((graph, sums) => graph.apply('Div', [sums, sums]));
/** The sum divided by 0. */
export const infinite = craft((graph, sums) => graph.apply('Div', [sums, graph.weights('none', [1], [0])]));
/** 0 for every row. */
export const constant = craft((graph, sums) => graph.apply('Mul', [sums, graph.weights('none', [1], [0])]));
/** Two scores a row. */
export const tooMany = craft((graph, sums) => graph.apply('Concat', [sums, sums], { axis: { kind: 'int', value: 0 } }));
/** Sound for rows that sum to less than 1000; NaN above: a model that goes wrong only once it serves. */
export const lateNan = craft((graph, sums) => {
  const limit = graph.weights('limit', [1], [1000]);
  return graph.apply('Add', [
    sums,
    graph.apply('Mul', [graph.weights('zero', [1], [0]), graph.apply('Sqrt', [graph.apply('Sub', [limit, sums])])]),
  ]);
});

/** Adds 0 to the sums as many times as the first row's sum, times 10^9 if it is above 1000, says: a hang to order. */
export const looping = craft((graph, sums) => {
  const body = buildGraph('body');
  body.input({ name: 'turn', type: 'int64', dims: [] });
  const condition = body.input({ name: 'condition', type: 'bool', dims: [] });
  const carried = body.input({ name: 'carried', type: 'float', dims: ['n'] });
  body.output(condition, { name: 'go', type: 'bool', dims: [] });
  body.output(body.apply('Mul', [carried, body.weights('one', [1], [1])]), {
    name: 'next',
    type: 'float',
    dims: ['n'],
  });
  const largest = graph.apply('ReduceMax', [sums], { keepdims: { kind: 'int', value: 0 } });
  const over = graph.apply('Relu', [
    graph.apply('Sub', [largest, graph.constant({ name: 'limit', type: 'float', dims: [], values: [1000] })]),
  ]);
  const many = graph.apply('Mul', [over, graph.constant({ name: 'times', type: 'float', dims: [], values: [1e9] })]);
  const turns = graph.apply('Cast', [many], { to: { kind: 'int', value: 7 } });
  const go = graph.constant({ name: 'always', type: 'bool', dims: [], values: [1] });
  return graph.apply('Loop', [turns, go, sums], { body: { kind: 'graph', value: body.build() } });
});

/** Writes a model's bytes to a folder; gives what the runtime needs to run it. */
export async function stored(dir: string, bytes: Uint8Array): Promise<RunnableModel> {
  const modelVersion = createHash('sha256').update(bytes).digest('hex');
  const path = join(dir, `${modelVersion}.onnx`);
  await writeFile(path, bytes);
  return { path, modelVersion, features: FEATURES };
}

/** Rows of which each sums to one of `sums`. */
export const rowsOf = (...sums: readonly number[]): Float32Array =>
  Float32Array.from(sums.flatMap((sum) => [sum, 0, 0]));
