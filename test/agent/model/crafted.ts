// Models that do wrong on purpose, written with our own ONNX writer: [batch, features] in, trouble out.
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunnableModel } from '../../../agent/model/runtime-contract.ts';
import { buildGraph, type GraphBuilder } from '../../../agent/train/graph.ts';
import { encodeModel } from '../../../agent/train/protobuf.ts';
import { SCORER_INPUT, SCORER_OUTPUT } from '../../../agent/train/scorer-model.ts';

/** Width of every crafted model's rows. */
const WIDTH = 3;
const FEATURES = ['a', 'b', 'c'];

/** Wraps what `compute` makes of the rows' sums, [batch], as a model. */
function craft(compute: (graph: GraphBuilder, sums: string) => string, width = WIDTH): Uint8Array {
  const graph = buildGraph('crafted');
  const features = graph.input({ name: SCORER_INPUT, type: 'float', dims: ['batch', width] });
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

/** Multiplies the sums by 1 as many times as `turns`, a number without dimensions, says: a hang to order. */
function loop(graph: GraphBuilder, sums: string, turns: string): string {
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
  const whole = graph.apply('Cast', [turns], { to: { kind: 'int', value: 7 } });
  const go = graph.constant({ name: 'always', type: 'bool', dims: [], values: [1] });
  return graph.apply('Loop', [whole, go, sums], { body: { kind: 'graph', value: body.build() } });
}

const scalar = (graph: GraphBuilder, name: string, value: number): string =>
  graph.constant({ name, type: 'float', dims: [], values: [value] });

/** 10^9 turns for each by which the largest sum is beyond `limit`, in the direction of `sign`. */
function turnsBeyond(graph: GraphBuilder, sums: string, { limit, sign }: { limit: number; sign: 1 | -1 }): string {
  const largest = graph.apply('ReduceMax', [sums], { keepdims: { kind: 'int', value: 0 } });
  const beyond = graph.apply('Mul', [
    graph.apply('Sub', [largest, scalar(graph, 'limit', limit)]),
    scalar(graph, 'sign', sign),
  ]);
  return graph.apply('Mul', [graph.apply('Relu', [beyond]), scalar(graph, 'times', 1e9)]);
}

/** Hangs on a row that sums to more than 1000. */
export const looping = craft((graph, sums) => loop(graph, sums, turnsBeyond(graph, sums, { limit: 1000, sign: 1 })));

/** Takes some milliseconds for an answer. */
export const slow = craft((graph, sums) => loop(graph, sums, scalar(graph, 'turns', 8_000)));

/** Models of `width` features that a node may find in its folder; the last two answer the trial, but no viewer in time. */
export const badModels = (width: number): Readonly<Record<string, Uint8Array>> => ({
  'answers NaN': craft((graph, sums) => graph.apply('Div', [sums, graph.apply('Sub', [sums, sums])]), width),
  'answers the same for all': craft(
    (graph, sums) => graph.apply('Mul', [sums, graph.weights('none', [1], [0])]),
    width,
  ),
  // The trial has a row of ones, which real features never add up to.
  hangs: craft((graph, sums) => loop(graph, sums, turnsBeyond(graph, sums, { limit: width - 2, sign: -1 })), width),
  'is slow': craft((graph, sums) => loop(graph, sums, scalar(graph, 'turns', 150_000)), width),
});

/** Writes a model's bytes to a folder; gives what the runtime needs to run it. */
export async function stored(dir: string, bytes: Uint8Array): Promise<RunnableModel> {
  const modelVersion = createHash('sha256').update(bytes).digest('hex');
  const path = join(dir, `${modelVersion}.onnx`);
  await writeFile(path, bytes);
  return { scorer: { path, sha256: modelVersion }, modelVersion, features: FEATURES };
}

/** Rows of which each sums to one of `sums`. */
export const rowsOf = (...sums: readonly number[]): Float32Array =>
  Float32Array.from(sums.flatMap((sum) => [sum, 0, 0]));
