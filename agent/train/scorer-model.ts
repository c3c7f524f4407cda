// The scorer of agent/predict/scorer.ts as an ONNX model: [batch, features] to [batch].
import type { Activation, ScorerWeights } from '../predict/scorer.ts';
import { buildGraph } from './graph.ts';
import { encodeModel } from './protobuf.ts';

/** Name of the model's input, float32 [batch, features]. */
export const SCORER_INPUT = 'features';
/** Name of its output, float32 [batch]. */
export const SCORER_OUTPUT = 'scores';

/** Operator set 17: the newest whose every operator here is the same in all runtimes since 2022. */
const OPSET = 17;

const OPERATOR: Readonly<Record<Activation, string>> = { relu: 'Relu', sigmoid: 'Sigmoid' };

/** Bytes of the .onnx file of these weights; the same weights give the same bytes. */
export function encodeScorer(scorer: ScorerWeights): Uint8Array {
  const width = scorer.features.length;
  const graph = buildGraph('scorer');
  const features = graph.input({ name: SCORER_INPUT, type: 'float', dims: ['batch', width] });
  const mean = graph.weights('mean', [width], scorer.mean);
  const deviation = graph.weights('deviation', [width], scorer.deviation);
  let value = graph.apply('Div', [graph.apply('Sub', [features, mean]), deviation]);
  let inputs = width;
  scorer.layers.forEach((layer, index) => {
    const weights = graph.weights(`weights_${index}`, [inputs, layer.units], layer.weights);
    const bias = graph.weights(`bias_${index}`, [layer.units], layer.bias);
    value = graph.apply(OPERATOR[layer.activation], [graph.apply('Gemm', [value, weights, bias])]);
    inputs = layer.units;
  });
  const shape = graph.constant({ name: 'flat', type: 'int64', dims: [1], values: [-1] });
  graph.output(graph.apply('Reshape', [value, shape]), { name: SCORER_OUTPUT, type: 'float', dims: ['batch'] });
  return encodeModel({
    graph: graph.build(),
    producer: 'nearcast',
    opset: OPSET,
    metadata: { kind: 'scorer', version: '1', features: scorer.features.join(',') },
  });
}
