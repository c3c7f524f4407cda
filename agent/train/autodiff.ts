// Reverse-mode differentiation over ONNX graphs: values are made by a small set of operators, each of which knows what it
// passes back; gradients() then writes the backward half of the graph beside the forward one. All sizes are fixed.
import assert from 'node:assert/strict';
import type { GraphBuilder } from './graph.ts';

/** A tensor of 32-bit floats in the graph under construction. */
export type Value = { readonly name: string; readonly dims: readonly number[] };
/** Row numbers in the graph, int64. */
export type Rows = { readonly name: string; readonly dims: readonly number[] };

/** Differentiable operators; every one throws an AssertionError on sizes that do not fit. */
export type Tape = {
  /** An input that gradients are wanted of. */
  readonly parameter: (name: string, dims: readonly number[]) => Value;
  /** An input that is only read. */
  readonly given: (name: string, dims: readonly number[]) => Value;
  /** An input of row numbers, int64. */
  readonly rows: (name: string, dims: readonly number[]) => Rows;
  readonly constant: (name: string, dims: readonly number[], values: ArrayLike<number>) => Value;
  /** a + b, sizes as broadcasting has them; so are multiply's. */
  readonly add: (a: Value, b: Value) => Value;
  readonly multiply: (a: Value, b: Value) => Value;
  readonly scale: (a: Value, factor: number) => Value;
  /** [m, k] by [k, n]. */
  readonly matmul: (a: Value, b: Value) => Value;
  /** [m, k] by [n, k] transposed, plus `bias` [n] on every row. */
  readonly affine: (a: Value, b: Value, bias: Value) => Value;
  /** [batch, m, k] by [batch, n, k] transposed, and [batch, m, k] by [batch, k, n]. */
  readonly batchMatmul: (a: Value, b: Value, transposed?: boolean) => Value;
  readonly reshape: (a: Value, dims: readonly number[]) => Value;
  readonly relu: (a: Value) => Value;
  /** Over the last axis. */
  readonly softmax: (a: Value) => Value;
  /** (a - mean) / deviation over the last axis (Ba, Kiros, Hinton 2016, without gain and bias). */
  readonly normalise: (a: Value) => Value;
  /** The rows of `table` [n, width] at `rows` [m]: [m, width]. */
  readonly gather: (table: Value, rows: Rows) => Value;
  /** Zeroes a share of the values and scales the rest up (Srivastava et al. 2014), by its own seed. */
  readonly dropout: (a: Value, ratio: number, seed: number) => Value;
  /** Mean of -log softmax(logits [m, n])[target], each row by its weight [m, 1]; a scalar. */
  readonly crossEntropy: (logits: Value, targets: Rows, weights: Value) => Value;
  /** The gradient of a scalar by each of these, in their order. */
  readonly gradients: (scalar: Value, by: readonly Value[]) => readonly Value[];
};

/** Gradients passed back to inputs. */
type Passed = readonly (readonly [input: Value, gradient: Value])[];
type Step = { readonly made: Value; readonly back: (gradient: Value) => Passed };

const sizeOf = (dims: readonly number[]): number => dims.reduce((product, dim) => product * dim, 1);
const isEqual = (one: readonly number[], other: readonly number[]): boolean =>
  one.length === other.length && one.every((dim, at) => dim === other[at]);

/** Sizes of a broadcast result (numpy's rule, which is ONNX's). */
function broadcast(one: readonly number[], other: readonly number[]): readonly number[] {
  const rank = Math.max(one.length, other.length);
  return Array.from({ length: rank }, (_, at) => {
    const left = one[at - rank + one.length] ?? 1;
    const right = other[at - rank + other.length] ?? 1;
    assert(left === right || left === 1 || right === 1, `[${one.join()}] and [${other.join()}] do not broadcast`);
    return Math.max(left, right);
  });
}

/** Added to a variance before its root, as in the paper's code. */
const NORMALISE_EPSILON = 1e-5;

/** What operators write with: plain graph nodes, and notes of how gradients pass back. */
type Pen = {
  readonly graph: GraphBuilder;
  readonly steps: Step[];
  /** Names of values that depend on a parameter; nothing is passed back to others. */
  readonly wanted: Set<string>;
  readonly apply: (
    op: string,
    inputs: readonly string[],
    dims: readonly number[],
    attributes?: Parameters<GraphBuilder['apply']>[2],
  ) => Value;
  /** A number for the name of a constant. */
  readonly next: () => number;
  readonly whole: (values: readonly number[]) => string;
  readonly scalar: (value: number) => string;
  /** Notes how a value passes its gradient back, if it depends on a parameter. */
  readonly note: (made: Value, inputs: readonly Value[], back: Step['back']) => Value;
  readonly times: (a: Value, b: Value) => Value;
  readonly timesNumber: (a: Value, factor: number) => Value;
  readonly reshaped: (a: Value, dims: readonly number[]) => Value;
  readonly overLast: (op: 'ReduceSum' | 'ReduceMean', a: Value) => Value;
};

function openPen(graph: GraphBuilder): Pen {
  const steps: Step[] = [];
  const wanted = new Set<string>();
  let constants = 0;
  const apply: Pen['apply'] = (op, inputs, dims, attributes = {}) => ({
    name: graph.apply(op, inputs, attributes),
    dims,
  });
  const next = (): number => constants++;
  const whole = (values: readonly number[]): string =>
    graph.constant({ name: `whole_${next()}`, type: 'int64', dims: [values.length], values });
  const scalar = (value: number): string => graph.weights(`scalar_${next()}`, [], [value]);
  return {
    graph,
    next,
    steps,
    wanted,
    apply,
    whole,
    scalar,
    note: (made, inputs, back) => {
      if (!inputs.some(({ name }) => wanted.has(name))) return made;
      wanted.add(made.name);
      steps.push({ made, back });
      return made;
    },
    times: (a, b) => apply('Mul', [a.name, b.name], broadcast(a.dims, b.dims)),
    timesNumber: (a, factor) => apply('Mul', [a.name, scalar(factor)], a.dims),
    reshaped: (a, dims) => apply('Reshape', [a.name, whole(dims)], dims),
    overLast: (op, a) =>
      apply(op, [a.name, whole([-1])], [...a.dims.slice(0, -1), 1], { keepdims: { kind: 'int', value: 1 } }),
  };
}

/** Adds values of `updates` into `base` where `rows` says along an axis, one after another: no race, one result. */
const scatter = ({ apply }: Pen, base: Value, where: { rows: string; axis: number }, updates: Value): Value =>
  apply('ScatterElements', [base.name, where.rows, updates.name], base.dims, {
    axis: { kind: 'int', value: where.axis },
    reduction: { kind: 'string', value: 'add' },
  });

/** Sums of the columns of [m, n]: a product with ones, which takes the runtime a tenth of its own sum over rows. */
function columnSums({ apply, graph, reshaped, next }: Pen, a: Value): Value {
  const [rows = 0, columns = 0] = a.dims;
  const ones = graph.weights(`ones_${next()}`, [1, rows], new Float32Array(rows).fill(1));
  return reshaped(apply('Gemm', [ones, a.name], [1, columns]), [columns]);
}

/** Sums a gradient over what was broadcast. */
function unbroadcast(pen: Pen, gradient: Value, dims: readonly number[]): Value {
  if (isEqual(gradient.dims, dims)) return gradient;
  if (gradient.dims.length === 2 && dims.length === 1 && gradient.dims[1] === dims[0]) return columnSums(pen, gradient);
  const ahead = gradient.dims.length - dims.length;
  const axes = gradient.dims.flatMap((size, at) => (at < ahead || (dims[at - ahead] === 1 && size > 1) ? [at] : []));
  return pen.reshaped(pen.apply('ReduceSum', [gradient.name, pen.whole(axes)], dims), dims);
}

/** Operators on each value by itself. */
function pointwise(pen: Pen): Pick<Tape, 'add' | 'multiply' | 'scale' | 'reshape' | 'relu' | 'dropout'> {
  const { apply, note, times, timesNumber, reshaped, scalar, graph, wanted } = pen;
  const multiply: Tape['multiply'] = (a, b) =>
    note(times(a, b), [a, b], (gradient) => [
      ...(wanted.has(a.name) ? [[a, unbroadcast(pen, times(gradient, b), a.dims)] as const] : []),
      ...(wanted.has(b.name) ? [[b, unbroadcast(pen, times(gradient, a), b.dims)] as const] : []),
    ]);
  return {
    multiply,
    add: (a, b) =>
      note(apply('Add', [a.name, b.name], broadcast(a.dims, b.dims)), [a, b], (gradient) => [
        [a, unbroadcast(pen, gradient, a.dims)],
        [b, unbroadcast(pen, gradient, b.dims)],
      ]),
    scale: (a, factor) => note(timesNumber(a, factor), [a], (gradient) => [[a, timesNumber(gradient, factor)]]),
    reshape: (a, dims) => {
      assert.equal(sizeOf(a.dims), sizeOf(dims), `[${a.dims.join()}] is not [${dims.join()}]`);
      return note(reshaped(a, dims), [a], (gradient) => [[a, reshaped(gradient, a.dims)]]);
    },
    relu: (a) => {
      const made = apply('Relu', [a.name], a.dims);
      return note(made, [a], (gradient) => [[a, times(gradient, apply('Sign', [made.name], a.dims))]]);
    },
    dropout: (a, ratio, seed) => {
      if (ratio === 0) return a;
      const drawn = graph.apply('RandomUniform', [], {
        shape: { kind: 'ints', value: a.dims },
        seed: { kind: 'float', value: seed },
      });
      const kept = graph.apply('GreaterOrEqual', [drawn, scalar(ratio)]);
      const mask = apply('Cast', [kept], a.dims, { to: { kind: 'int', value: 1 } });
      return multiply(a, timesNumber(mask, 1 / (1 - ratio)));
    },
  };
}

/** Products of matrices. */
function products(pen: Pen): Pick<Tape, 'matmul' | 'affine' | 'batchMatmul'> {
  const { apply, note } = pen;
  const gemm = (a: Value, b: Value, flip: { readonly a?: boolean; readonly b?: boolean }, bias?: Value): Value => {
    const [m, k] = flip.a ? [a.dims[1], a.dims[0]] : a.dims;
    const [inner, n] = flip.b ? [b.dims[1], b.dims[0]] : b.dims;
    assert(a.dims.length === 2 && b.dims.length === 2 && k === inner, `[${a.dims.join()}] by [${b.dims.join()}]`);
    assert(bias === undefined || isEqual(bias.dims, [n ?? 0]), 'one bias a column');
    const flag = (is: boolean | undefined) => ({ kind: 'int', value: is ? 1 : 0 }) as const;
    const inputs = [a.name, b.name, ...(bias === undefined ? [] : [bias.name])];
    return apply('Gemm', inputs, [m ?? 0, n ?? 0], { transA: flag(flip.a), transB: flag(flip.b) });
  };
  const transposed = (a: Value): Value =>
    apply('Transpose', [a.name], [a.dims[0] ?? 0, a.dims[2] ?? 0, a.dims[1] ?? 0], {
      perm: { kind: 'ints', value: [0, 2, 1] },
    });
  const batched = (a: Value, b: Value): Value => {
    assert(a.dims.length === 3 && a.dims[0] === b.dims[0] && a.dims[2] === b.dims[1], 'batches do not fit');
    return apply('MatMul', [a.name, b.name], [a.dims[0] ?? 0, a.dims[1] ?? 0, b.dims[2] ?? 0]);
  };
  return {
    matmul: (a, b) =>
      note(gemm(a, b, {}), [a, b], (gradient) => [
        [a, gemm(gradient, b, { b: true })],
        [b, gemm(a, gradient, { a: true })],
      ]),
    affine: (a, b, bias) =>
      note(gemm(a, b, { b: true }, bias), [a, b, bias], (gradient) => [
        [a, gemm(gradient, b, {})],
        [b, gemm(gradient, a, { a: true })],
        [bias, columnSums(pen, gradient)],
      ]),
    batchMatmul: (a, b, flipped = false) =>
      note(batched(a, flipped ? transposed(b) : b), [a, b], (gradient) => [
        [a, batched(gradient, flipped ? b : transposed(b))],
        [b, flipped ? batched(transposed(gradient), a) : batched(transposed(a), gradient)],
      ]),
  };
}

/** Operators over the last axis. */
function rowwise({ apply, note, times, overLast, scalar }: Pen): Pick<Tape, 'softmax' | 'normalise'> {
  return {
    softmax: (a) => {
      const made = apply('Softmax', [a.name], a.dims, { axis: { kind: 'int', value: -1 } });
      return note(made, [a], (gradient) => {
        const along = overLast('ReduceSum', times(gradient, made));
        return [[a, times(apply('Sub', [gradient.name, along.name], a.dims), made)]];
      });
    },
    normalise: (a) => {
      const centred = apply('Sub', [a.name, overLast('ReduceMean', a).name], a.dims);
      const spread = overLast('ReduceMean', times(centred, centred));
      const padded = apply('Add', [spread.name, scalar(NORMALISE_EPSILON)], spread.dims);
      const deviation = apply('Sqrt', [padded.name], spread.dims);
      const made = apply('Div', [centred.name, deviation.name], a.dims);
      return note(made, [a], (gradient) => {
        const mean = overLast('ReduceMean', gradient);
        const along = times(made, overLast('ReduceMean', times(gradient, made)));
        const rest = apply('Sub', [apply('Sub', [gradient.name, mean.name], a.dims).name, along.name], a.dims);
        return [[a, apply('Div', [rest.name, deviation.name], a.dims)]];
      });
    },
  };
}

/** Operators that look rows up. */
function lookups(pen: Pen): Pick<Tape, 'gather' | 'crossEntropy'> {
  const { graph, apply, note, times, timesNumber, reshaped, whole, scalar } = pen;
  const no = { keepdims: { kind: 'int', value: 0 } } as const;
  return {
    gather: (table, rows) => {
      const width = table.dims[1] ?? 0;
      const count = sizeOf(rows.dims);
      const made = apply('Gather', [table.name, rows.name], [count, width], { axis: { kind: 'int', value: 0 } });
      return note(made, [table], (gradient) => {
        const column = reshaped(rows, [count, 1]);
        const each = graph.apply('Expand', [column.name, whole([count, width])]);
        return [[table, scatter(pen, timesNumber(table, 0), { rows: each, axis: 0 }, gradient)]];
      });
    },
    crossEntropy: (logits, targets, weights) => {
      const count = logits.dims[0] ?? 0;
      assert(isEqual(targets.dims, [count, 1]) && isEqual(weights.dims, [count, 1]), 'one target and weight a row');
      const total = apply('ReduceSum', [weights.name], [], no);
      const share = apply('Div', [weights.name, total.name], weights.dims);
      const likely = apply('Softmax', [logits.name], logits.dims, { axis: { kind: 'int', value: -1 } });
      const axis = { axis: { kind: 'int', value: 1 } } as const;
      const chosen = apply('GatherElements', [likely.name, targets.name], [count, 1], axis);
      // A chance of 0 in 32 bits would be a loss without end.
      const floored = apply('Max', [chosen.name, scalar(1e-30)], chosen.dims);
      const each = times(apply('Log', [floored.name], chosen.dims), share);
      return note(timesNumber(apply('ReduceSum', [each.name], [], no), -1), [logits], (gradient) => {
        const part = times(share, gradient);
        const down = timesNumber(part, -1);
        return [[logits, scatter(pen, times(likely, part), { rows: targets.name, axis: 1 }, down)]];
      });
    },
  };
}

/** Writes the backward half. */
function gradientsOf({ steps, wanted, scalar, apply }: Pen, of: Value, by: readonly Value[]): readonly Value[] {
  assert.equal(sizeOf(of.dims), 1, 'gradients are of a scalar');
  const known = new Map<string, Value>([[of.name, { name: scalar(1), dims: [] }]]);
  for (const { made, back } of [...steps].reverse()) {
    const gradient = known.get(made.name);
    if (gradient === undefined) continue;
    for (const [input, passed] of back(gradient)) {
      if (!wanted.has(input.name)) continue;
      const before = known.get(input.name);
      known.set(input.name, before === undefined ? passed : apply('Add', [before.name, passed.name], input.dims));
    }
  }
  return by.map((parameter) => {
    const gradient = known.get(parameter.name);
    assert(gradient !== undefined, `the scalar does not depend on ${parameter.name}`);
    return gradient;
  });
}

/** Starts a tape that writes into `graph`. */
export function startTape(graph: GraphBuilder): Tape {
  const pen = openPen(graph);
  return {
    parameter: (name, dims) => {
      pen.wanted.add(name);
      return { name: graph.input({ name, type: 'float', dims }), dims };
    },
    given: (name, dims) => ({ name: graph.input({ name, type: 'float', dims }), dims }),
    rows: (name, dims) => ({ name: graph.input({ name, type: 'int64', dims }), dims }),
    constant: (name, dims, values) => ({ name: graph.weights(name, dims, values), dims }),
    ...pointwise(pen),
    ...products(pen),
    ...rowwise(pen),
    ...lookups(pen),
    gradients: (of, by) => gradientsOf(pen, of, by),
  };
}
