// The ONNX writer against the outside oracle: onnxruntime reads what it writes and computes what plain code computes.
import fc from 'fast-check';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { isSoundScorer, type ScorerWeights, scoreRows } from '../../../agent/predict/scorer.ts';
import { buildGraph } from '../../../agent/train/graph.ts';
import { encodeModel, type Graph } from '../../../agent/train/protobuf.ts';
import { encodeScorer, SCORER_INPUT, SCORER_OUTPUT } from '../../../agent/train/scorer-model.ts';

const model = (graph: Graph) => encodeModel({ graph, producer: 'test', opset: 17, metadata: {} });
const float = (limit: number) => fc.float({ min: -limit, max: limit, noNaN: true });

const scorers: fc.Arbitrary<ScorerWeights> = fc
  .record({ width: fc.integer({ min: 1, max: 20 }), hidden: fc.integer({ min: 1, max: 24 }) })
  .chain(({ width, hidden }) => {
    const list = (size: number, limit: number) => fc.array(float(limit), { minLength: size, maxLength: size });
    return fc
      .record({
        mean: list(width, 2),
        deviation: fc.array(fc.float({ min: 0.125, max: 4, noNaN: true }), { minLength: width, maxLength: width }),
        first: fc.record({ weights: list(width * hidden, 1), bias: list(hidden, 1) }),
        second: fc.record({ weights: list(hidden, 1), bias: list(1, 1) }),
      })
      .map(({ mean, deviation, first, second }) => ({
        version: 1 as const,
        features: Array.from({ length: width }, (_, at) => `f${at}`),
        mean,
        deviation,
        layers: [
          { units: hidden, ...first, activation: 'relu' as const },
          { units: 1, ...second, activation: 'sigmoid' as const },
        ],
      }));
  });

async function run(bytes: Uint8Array, features: Float32Array, dims: readonly number[]): Promise<Float32Array> {
  const session = await InferenceSession.create(bytes, { intraOpNumThreads: 1, logSeverityLevel: 3 });
  const results = await session.run({ [SCORER_INPUT]: new Tensor('float32', features, dims) });
  const values = results[SCORER_OUTPUT]?.data;
  if (!(values instanceof Float32Array)) throw new Error('no float output');
  await session.release();
  return values;
}

describe('a scorer as an ONNX model', () => {
  test('onnxruntime computes what plain code computes, within 1e-5', async () => {
    const rows = fc.integer({ min: 1, max: 40 });
    await fc.assert(
      fc.asyncProperty(scorers, rows, fc.infiniteStream(float(4)), async (scorer, count, stream) => {
        const features = Float32Array.from({ length: count * scorer.features.length }, () => stream.next().value ?? 0);
        const theirs = await run(encodeScorer(scorer), features, [count, scorer.features.length]);
        const ours = scoreRows(scorer, features, count);
        expect(theirs).toHaveLength(count);
        for (let row = 0; row < count; row += 1) {
          expect(Math.abs((theirs[row] ?? Number.NaN) - (ours[row] ?? 0))).toBeLessThanOrEqual(1e-5);
        }
      }),
      { numRuns: 60 },
    );
  });

  test('says its names, its dynamic batch and its features to a reader', async () => {
    const [scorer] = fc.sample(scorers, 1);
    if (scorer === undefined) throw new Error('no sample');
    const session = await InferenceSession.create(encodeScorer(scorer));
    expect(session.inputNames).toEqual(['features']);
    expect(session.outputNames).toEqual(['scores']);
    const [input] = session.inputMetadata;
    expect(input).toMatchObject({
      name: 'features',
      isTensor: true,
      type: 'float32',
      shape: ['batch', scorer.features.length],
    });
    await session.release();
  });

  test('equal weights are equal bytes; another weight is not', () => {
    fc.assert(
      fc.property(scorers, (scorer) => {
        expect(Buffer.compare(encodeScorer(scorer), encodeScorer(structuredClone(scorer)))).toBe(0);
        const mean = scorer.mean.map((value, at) => (at === 0 ? value + 1 : value));
        expect(Buffer.compare(encodeScorer(scorer), encodeScorer({ ...scorer, mean }))).not.toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  test('onnxruntime refuses rows of another width', async () => {
    const [scorer] = fc.sample(scorers, 1);
    if (scorer === undefined) throw new Error('no sample');
    const width = scorer.features.length + 1;
    await expect(run(encodeScorer(scorer), new Float32Array(width), [1, width])).rejects.toThrow(
      /dimension|shape|Invalid/i,
    );
  });
});

describe('the writer', () => {
  test('the bytes of a small model are those of the protobuf encoding', () => {
    const graph = buildGraph('g');
    const x = graph.input({ name: 'x', type: 'float', dims: ['n'] });
    graph.output(x, { name: 'y', type: 'float', dims: ['n'] });
    // Written down by hand from onnx.proto3 and the protobuf wire format: field and wire type, length, content.
    const floats = '120b0a09080112050a0312016e';
    const node = '0a017812017922084964656e74697479';
    const body = `0a10${node}1201675a100a0178${floats}62100a0179${floats}`;
    const expected = `08091204746573743a${(body.length / 2).toString(16)}${body}42021011`;
    expect(Buffer.from(model(graph.build())).toString('hex')).toBe(expected);
  });

  test('int64, bool and nested graphs: onnxruntime runs a Loop that adds', async () => {
    const body = buildGraph('body');
    body.input({ name: 'turn', type: 'int64', dims: [] });
    const condition = body.input({ name: 'condition', type: 'bool', dims: [] });
    const sum = body.input({ name: 'sum', type: 'float', dims: [1] });
    const step = body.weights('step', [1], [1.5]);
    body.output(condition, { name: 'go', type: 'bool', dims: [] });
    body.output(body.apply('Add', [sum, step]), { name: 'more', type: 'float', dims: [1] });
    const graph = buildGraph('loop');
    const start = graph.input({ name: SCORER_INPUT, type: 'float', dims: [1] });
    const turns = graph.constant({ name: 'turns', type: 'int64', dims: [], values: [10n] });
    const go = graph.constant({ name: 'always', type: 'bool', dims: [], values: [1] });
    const result = graph.apply('Loop', [turns, go, start], { body: { kind: 'graph', value: body.build() } });
    graph.output(result, { name: SCORER_OUTPUT, type: 'float', dims: [1] });
    expect(await run(model(graph.build()), Float32Array.of(2), [1])).toEqual(Float32Array.of(17));
  });

  test('attributes: floats, ints and lists reach the operator', async () => {
    const graph = buildGraph('attributes');
    const x = graph.input({ name: SCORER_INPUT, type: 'float', dims: [2, 3] });
    const steep = graph.apply('LeakyRelu', [x], { alpha: { kind: 'float', value: 0.25 } });
    const turned = graph.apply('Transpose', [steep], { perm: { kind: 'ints', value: [1, 0] } });
    const flat = graph.apply('Flatten', [turned], { axis: { kind: 'int', value: 0 } });
    graph.output(flat, { name: SCORER_OUTPUT, type: 'float', dims: [1, 6] });
    const out = await run(model(graph.build()), Float32Array.of(1, -4, 3, -8, 5, 6), [2, 3]);
    expect([...out]).toEqual([1, -2, -1, 5, 3, 6]);
  });

  test('a weight that does not fill its dims is refused at once', () => {
    expect(() => buildGraph('bad').weights('w', [2, 3], [1, 2])).toThrow(RangeError);
  });
});

test.each([
  ['a deviation of 0', { deviation: [0, 1] }],
  ['a number that is none', { mean: [Number.NaN, 0] }],
  ['too few weights', { layers: [{ units: 1, weights: [1], bias: [0], activation: 'sigmoid' as const }] }],
  ['no layer', { layers: [] }],
  ['two outputs', { layers: [{ units: 2, weights: [1, 1, 1, 1], bias: [0, 0], activation: 'sigmoid' as const }] }],
  ['no feature', { features: [], mean: [], deviation: [] }],
])('a scorer with %s is not sound', (_, wrong) => {
  const sound: ScorerWeights = {
    version: 1,
    features: ['a', 'b'],
    mean: [0, 0],
    deviation: [1, 1],
    layers: [{ units: 1, weights: [1, 1], bias: [0], activation: 'sigmoid' }],
  };
  expect(isSoundScorer(sound)).toBe(true);
  expect(isSoundScorer({ ...sound, ...wrong })).toBe(false);
});
