// The scorer in closed form: standardise, dense layers, logistic. The ONNX model of the same weights computes the same.
// Kept apart from any runtime, so that an answer is there when no runtime is.
import assert from 'node:assert/strict';

/** What follows a dense layer. */
export const ACTIVATIONS = ['relu', 'sigmoid'] as const;
/** One of ACTIVATIONS. */
export type Activation = (typeof ACTIVATIONS)[number];

/** One dense layer: `weights` is [inputs, units] row by row, `bias` [units]. */
export type DenseLayer = {
  readonly units: number;
  readonly weights: readonly number[];
  readonly bias: readonly number[];
  readonly activation: Activation;
};

/**
 * A scorer of feature rows. `features` names its inputs in order; a feature x enters as (x - mean) / deviation. The
 * last layer has one unit. Its score is a probability-like figure in 0..1, to compare titles of one question only.
 */
export type ScorerWeights = {
  readonly version: 1;
  readonly features: readonly string[];
  readonly mean: readonly number[];
  /** Standard deviations, all above 0. */
  readonly deviation: readonly number[];
  readonly layers: readonly DenseLayer[];
};

const activate: Readonly<Record<Activation, (value: number) => number>> = {
  relu: (value) => Math.max(0, value),
  sigmoid: (value) => 1 / (1 + Math.exp(-value)),
};

/** Whether sizes agree throughout and every number is finite; a scorer read from a file is checked before use. */
export function isSoundScorer(scorer: ScorerWeights): boolean {
  const width = scorer.features.length;
  const numbers = [scorer.mean, scorer.deviation, ...scorer.layers.flatMap((layer) => [layer.weights, layer.bias])];
  if (width === 0 || scorer.mean.length !== width || scorer.deviation.length !== width) return false;
  if (!scorer.deviation.every((value) => value > 0) || !numbers.every((list) => list.every(Number.isFinite)))
    return false;
  let inputs = width;
  for (const layer of scorer.layers) {
    if (layer.bias.length !== layer.units || layer.weights.length !== inputs * layer.units) return false;
    inputs = layer.units;
  }
  return scorer.layers.length > 0 && inputs === 1;
}

/** Fills `output` [units] from `input`. */
function runLayer(layer: DenseLayer, input: Float64Array, output: Float64Array): void {
  const { units, weights, bias } = layer;
  for (let unit = 0; unit < units; unit += 1) output[unit] = bias[unit] ?? 0;
  for (let row = 0; row < input.length; row += 1) {
    const value = input[row] ?? 0;
    const start = row * units;
    for (let unit = 0; unit < units; unit += 1) {
      output[unit] = (output[unit] ?? 0) + value * (weights[start + unit] ?? 0);
    }
  }
  const finish = activate[layer.activation];
  for (let unit = 0; unit < units; unit += 1) output[unit] = finish(output[unit] ?? 0);
}

/** Scores [rows] of `features` [rows, scorer.features.length], row by row; asserts that the sizes agree. */
export function scoreRows(scorer: ScorerWeights, features: Float32Array, rows: number): Float32Array {
  const width = scorer.features.length;
  assert.equal(features.length, rows * width, 'features must be [rows, width]');
  const inputs = new Float64Array(width);
  const layers = scorer.layers.map((layer) => ({ layer, output: new Float64Array(layer.units) }));
  const scores = new Float32Array(rows);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const raw = features[row * width + column] ?? 0;
      inputs[column] = (raw - (scorer.mean[column] ?? 0)) / (scorer.deviation[column] ?? 1);
    }
    let values: Float64Array = inputs;
    for (const { layer, output } of layers) {
      runLayer(layer, values, output);
      values = output;
    }
    scores[row] = values[0] ?? 0;
  }
  return scores;
}
