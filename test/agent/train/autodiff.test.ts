// Gradients of every operator of a training graph, against finite differences of the graph itself in onnxruntime.
import { describe, expect, test } from 'vitest';
import { addAdamStep, momentsOf, nextOf, stepLength } from '../../../agent/train/adam.ts';
import { type Rows, startTape, type Tape, type Value } from '../../../agent/train/autodiff.ts';
import { buildGraph } from '../../../agent/train/graph.ts';
import { type GraphTensor, openGraph } from '../../../agent/train/graph-session.ts';
import { encodeModel } from '../../../agent/train/protobuf.ts';
import { seededRandom } from '../../../agent/train/random.ts';

const OPSET = 18;
const random = seededRandom(7);
const floats = (dims: readonly number[]): Float32Array =>
  Float32Array.from({ length: dims.reduce((product, dim) => product * dim, 1) }, () => {
    const value = random() * 2 - 1;
    // Far enough from the corner of relu for a finite difference.
    return value + Math.sign(value) * 0.1;
  });
const tensor = (dims: readonly number[], values = floats(dims)): GraphTensor => ({ type: 'float32', dims, values });

type Inputs = { readonly a: Value; readonly b: Value; readonly rows: Rows };
type Case = {
  readonly a: readonly number[];
  readonly b: readonly number[];
  readonly rows?: readonly number[];
  readonly of: (tape: Tape, inputs: Inputs) => Value;
};

const CASES: Readonly<Record<string, Case>> = {
  'add, broadcast': { a: [2, 3, 4], b: [3, 1], of: (tape, { a, b }) => tape.add(a, b) },
  'multiply, broadcast': { a: [2, 3], b: [3], of: (tape, { a, b }) => tape.multiply(a, b) },
  'multiply by itself': { a: [3], b: [3], of: (tape, { a, b }) => tape.multiply(tape.multiply(a, a), b) },
  scale: { a: [5], b: [5], of: (tape, { a, b }) => tape.add(tape.scale(a, -2.5), b) },
  matmul: { a: [3, 4], b: [4, 2], of: (tape, { a, b }) => tape.matmul(a, b) },
  'affine, by the matrices': {
    a: [3, 4],
    b: [2, 4],
    of: (tape, { a, b }) => tape.affine(a, b, tape.constant('bias', [2], [0.5, -1])),
  },
  'affine, by the bias': {
    a: [3, 4],
    b: [2],
    of: (tape, { a, b }) =>
      tape.affine(
        a,
        tape.reshape(
          tape.multiply(tape.matmul(tape.constant('c', [2, 3], [1, 2, 3, 4, 5, 6]), a), tape.constant('one', [1], [1])),
          [2, 4],
        ),
        b,
      ),
  },
  'add a row to each': { a: [3, 4], b: [4], of: (tape, { a, b }) => tape.add(a, b) },
  'batched matmul': { a: [2, 3, 4], b: [2, 4, 2], of: (tape, { a, b }) => tape.batchMatmul(a, b) },
  'batched matmul, transposed': { a: [2, 3, 4], b: [2, 5, 4], of: (tape, { a, b }) => tape.batchMatmul(a, b, true) },
  reshape: { a: [2, 6], b: [3, 4], of: (tape, { a, b }) => tape.multiply(tape.reshape(a, [3, 4]), b) },
  relu: { a: [4, 3], b: [4, 3], of: (tape, { a, b }) => tape.multiply(tape.relu(a), b) },
  softmax: { a: [3, 5], b: [3, 5], of: (tape, { a, b }) => tape.multiply(tape.softmax(a), b) },
  normalise: { a: [3, 6], b: [3, 6], of: (tape, { a, b }) => tape.multiply(tape.normalise(a), b) },
  'gather, one row twice': {
    a: [4, 3],
    b: [4, 3],
    rows: [2, 0, 2, 3],
    of: (tape, { a, b, rows }) => tape.multiply(tape.gather(a, rows), b),
  },
  'cross entropy': {
    a: [3, 5],
    b: [3, 5],
    rows: [4, 0, 2],
    of: (tape, { a, b, rows }) =>
      tape.crossEntropy(
        tape.multiply(a, b),
        { name: rows.name, dims: [3, 1] },
        tape.constant('row_weights', [3, 1], [1, 0, 0.5]),
      ),
  },
};

/** A graph of sum(case x fixed factors) with the gradients by a and b. */
function graphOf({ a, b, rows = [0], of }: Case): Uint8Array {
  const graph = buildGraph('case');
  const tape = startTape(graph);
  const inputs = { a: tape.parameter('a', a), b: tape.parameter('b', b), rows: tape.rows('rows', [rows.length]) };
  const rowsOf =
    rows.length === 3
      ? {
          name: graph.apply('Unsqueeze', [
            'rows',
            graph.constant({ name: 'one', type: 'int64', dims: [1], values: [1] }),
          ]),
          dims: [3],
        }
      : inputs.rows;
  const made = of(tape, { ...inputs, rows: rowsOf });
  const size = made.dims.reduce((product, dim) => product * dim, 1);
  const flat = tape.reshape(made, [1, size]);
  const sum = tape.reshape(
    tape.matmul(
      flat,
      tape.constant(
        'factors',
        [size, 1],
        Float32Array.from({ length: size }, (_, at) => 1 + (at % 3)),
      ),
    ),
    [],
  );
  graph.output(sum.name, { name: 'sum', type: 'float', dims: [] });
  const [byA, byB] = tape.gradients(sum, [inputs.a, inputs.b]);
  graph.output(byA?.name ?? '', { name: 'byA', type: 'float', dims: a });
  graph.output(byB?.name ?? '', { name: 'byB', type: 'float', dims: b });
  return encodeModel({ graph: graph.build(), producer: 'test', opset: OPSET, metadata: {} });
}

describe('gradients', () => {
  test.each(Object.entries(CASES))('%s', async (_, one) => {
    const session = await openGraph(graphOf(one), 1);
    const rows = one.rows ?? [0];
    const feeds = {
      a: tensor(one.a),
      b: tensor(one.b),
      rows: { type: 'int64', dims: [rows.length], values: BigInt64Array.from(rows, BigInt) },
    } as const;
    const { byA, byB } = await session.run(feeds);
    const step = 1 / 128;
    for (const [name, gradient] of [
      ['a', byA],
      ['b', byB],
    ] as const) {
      for (let at = 0; at < feeds[name].values.length; at += 1) {
        const sums: number[] = [];
        for (const sign of [1, -1]) {
          const moved = Float32Array.from(feeds[name].values, Number);
          moved[at] = (moved[at] ?? 0) + sign * step;
          const { sum } = await session.run({ ...feeds, [name]: tensor(one[name], moved) }, ['sum']);
          sums.push(Number(sum?.values[0]));
        }
        const difference = ((sums[0] ?? Number.NaN) - (sums[1] ?? 0)) / (2 * step);
        const ours = Number(gradient?.values[at] ?? Number.NaN);
        expect(Math.abs(ours - difference)).toBeLessThan(2e-3 + 4e-3 * Math.abs(difference));
      }
    }
    await session.close();
  });

  test('dropout passes back exactly what it let through', async () => {
    const graph = buildGraph('dropout');
    const tape = startTape(graph);
    const a = tape.parameter('a', [1, 4000]);
    const dropped = tape.dropout(a, 0.25, 3);
    const sum = tape.reshape(
      tape.matmul(dropped, tape.constant('ones', [4000, 1], new Float32Array(4000).fill(1))),
      [],
    );
    graph.output(dropped.name, { name: 'dropped', type: 'float', dims: [1, 4000] });
    const [byA] = tape.gradients(sum, [a]);
    graph.output(byA?.name ?? '', { name: 'byA', type: 'float', dims: [1, 4000] });
    const bytes = encodeModel({ graph: graph.build(), producer: 'test', opset: OPSET, metadata: {} });
    const one = await openGraph(bytes, 1);
    const feeds = { a: tensor([1, 4000], new Float32Array(4000).fill(1)) };
    const first = await one.run(feeds);
    const second = await one.run(feeds);
    expect(first['dropped']?.values).toEqual(first['byA']?.values);
    expect(second['dropped']?.values).not.toEqual(first['dropped']?.values);
    const kept = Array.from(first['dropped']?.values ?? [], Number).filter((value) => value > 0);
    expect(kept.length / 4000).toBeCloseTo(0.75, 1);
    expect(kept.every((value) => Math.abs(value - 4 / 3) < 1e-6)).toBe(true);
    const again = await openGraph(bytes, 1);
    expect((await again.run(feeds))['dropped']?.values).toEqual(first['dropped']?.values);
    await Promise.all([one.close(), again.close()]);
  });

  test('sizes that do not fit are refused where they are made', () => {
    const tape = startTape(buildGraph('misfit'));
    const a = tape.parameter('a', [2, 3]);
    expect(() => tape.matmul(a, a)).toThrow(/by/);
    expect(() => tape.add(a, tape.parameter('b', [2]))).toThrow(/broadcast/);
    expect(() => tape.reshape(a, [4])).toThrow(/is not/);
    expect(() => tape.gradients(a, [a])).toThrow(/scalar/);
  });
});

describe('Adam', () => {
  test('in the graph takes the steps of plain code', async () => {
    const graph = buildGraph('adam');
    const tape = startTape(graph);
    const x = tape.parameter('x', [1, 3]);
    const length = tape.given('length', []);
    const sum = tape.reshape(tape.matmul(tape.multiply(x, x), tape.constant('factors', [3, 1], [1, 2, 3])), []);
    const [gradient] = tape.gradients(sum, [x]);
    if (gradient === undefined) throw new Error('no gradient');
    addAdamStep(graph, x, gradient, length.name);
    const session = await openGraph(
      encodeModel({ graph: graph.build(), producer: 'test', opset: OPSET, metadata: {} }),
      1,
    );
    const [first, second] = momentsOf('x');
    let state = [
      [1, -2, 0.5],
      [0, 0, 0],
      [0, 0, 0],
    ].map((values) => Float32Array.from(values));
    const plain = { x: [1, -2, 0.5], m: [0, 0, 0], v: [0, 0, 0] };
    for (let step = 1; step <= 5; step += 1) {
      const [xNow, mNow, vNow] = state.map((values) => tensor([1, 3], values));
      if (xNow === undefined || mNow === undefined || vNow === undefined) throw new Error('three values');
      const lengthNow = stepLength(0.1, step);
      const next = await session.run({
        x: xNow,
        [first]: mNow,
        [second]: vNow,
        length: tensor([], Float32Array.of(lengthNow)),
      });
      state = ['x', first, second].map((name) => Float32Array.from(next[nextOf(name)]?.values ?? [], Number));
      for (let at = 0; at < 3; at += 1) {
        const slope = 2 * (at + 1) * (plain.x[at] ?? 0);
        plain.m[at] = 0.9 * (plain.m[at] ?? 0) + 0.1 * slope;
        plain.v[at] = 0.98 * (plain.v[at] ?? 0) + 0.02 * slope ** 2;
        const corrected = (plain.m[at] ?? 0) / (1 - 0.9 ** step);
        const root = Math.sqrt((plain.v[at] ?? 0) / (1 - 0.98 ** step));
        plain.x[at] = (plain.x[at] ?? 0) - (0.1 * corrected) / (root + 1e-8);
        expect(state[0]?.[at]).toBeCloseTo(plain.x[at] ?? Number.NaN, 4);
      }
    }
    await session.close();
  });
});
