// Trains the scorer: a hidden layer and a softmax over each question's candidates (the conditional logit of McFadden
// 1974), by Adam on minibatches. Plain loops: at a dozen features this is seconds.
import assert from 'node:assert/strict';
import { FEATURE_NAMES } from '../predict/features.ts';
import type { DenseLayer, ScorerWeights } from '../predict/scorer.ts';
import type { Question } from './dataset.ts';
import { type Random, seededRandom } from './random.ts';

/** How to train; all but the seed have defaults that the seed workload was tried on (validation part only). */
export type TrainOptions = {
  readonly seed: number;
  readonly hidden?: number;
  readonly epochs?: number;
  readonly batch?: number;
  readonly learningRate?: number;
  /** Strength of the pull of all weights to 0. */
  readonly decay?: number;
};

/** Flat parameters: hidden weights [features, hidden], hidden bias [hidden], output weights [hidden], output bias. */
type Parameters = { readonly width: number; readonly hidden: number; readonly values: Float64Array };

const ADAM = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

/** Mean and deviation of every feature. */
type Scale = { readonly mean: readonly number[]; readonly deviation: readonly number[] };

/** Scale over all rows; a feature that never varies gets deviation 1. */
function moments(questions: readonly TrainQuestion[], width: number): Scale {
  const sums = new Float64Array(width);
  const squares = new Float64Array(width);
  let rows = 0;
  for (const { features } of questions) {
    rows += features.length / width;
    for (let at = 0; at < features.length; at += 1) {
      const value = features[at] ?? 0;
      sums[at % width] = (sums[at % width] ?? 0) + value;
      squares[at % width] = (squares[at % width] ?? 0) + value * value;
    }
  }
  const mean = Array.from(sums, (sum) => Math.fround(sum / rows));
  const deviation = Array.from(squares, (sum, column) => {
    const spread = Math.sqrt(Math.max(0, sum / rows - (mean[column] ?? 0) ** 2));
    return Math.fround(spread > 1e-6 ? spread : 1);
  });
  return { mean, deviation };
}

function startParameters(width: number, hidden: number, random: Random): Parameters {
  const values = new Float64Array(width * hidden + 2 * hidden + 1);
  // He initialisation (He et al. 2015, equation 10) with uniform numbers of the same variance.
  const spread = Math.sqrt(6 / width);
  for (let at = 0; at < width * hidden; at += 1) values[at] = (2 * random() - 1) * spread;
  for (let unit = 0; unit < hidden; unit += 1)
    values[width * hidden + hidden + unit] = (2 * random() - 1) * Math.sqrt(6 / hidden);
  return { width, hidden, values };
}

/** A question with its features standardised, [rows, width]. */
type Sample = { readonly inputs: Float64Array; readonly rows: number; readonly chosen: number };

/** Outputs of the hidden layer, [rows, hidden], and scores as chances that add up to 1, [rows]. */
type Forward = { readonly hiddens: Float64Array; readonly chances: Float64Array };

function standardise(question: TrainQuestion, scale: Scale): Sample {
  const width = scale.mean.length;
  const inputs = Float64Array.from(
    question.features,
    (value, at) => (value - (scale.mean[at % width] ?? 0)) / (scale.deviation[at % width] ?? 1),
  );
  return { inputs, rows: question.titleIds.length, chosen: question.chosen };
}

function forward(parameters: Parameters, { inputs, rows }: Sample): Forward {
  const { width, hidden, values } = parameters;
  const biasAt = width * hidden;
  const hiddens = new Float64Array(rows * hidden);
  const scores = new Float64Array(rows);
  for (let row = 0; row < rows; row += 1) {
    const start = row * hidden;
    for (let unit = 0; unit < hidden; unit += 1) hiddens[start + unit] = values[biasAt + unit] ?? 0;
    for (let column = 0; column < width; column += 1) {
      const input = inputs[row * width + column] ?? 0;
      const from = column * hidden;
      for (let unit = 0; unit < hidden; unit += 1) {
        hiddens[start + unit] = (hiddens[start + unit] ?? 0) + input * (values[from + unit] ?? 0);
      }
    }
    let score = 0;
    for (let unit = 0; unit < hidden; unit += 1) {
      const active = Math.max(0, hiddens[start + unit] ?? 0);
      hiddens[start + unit] = active;
      score += active * (values[biasAt + hidden + unit] ?? 0);
    }
    scores[row] = score;
  }
  const highest = scores.reduce((best, score) => Math.max(best, score), -Infinity);
  const exps = scores.map((score) => Math.exp(score - highest));
  const total = exps.reduce((sum, value) => sum + value, 0);
  return { hiddens, chances: exps.map((value) => value / total) };
}

/** Adds the gradient of -log(chance of the chosen row) to `gradient`. */
function backward(parameters: Parameters, sample: Sample, pass: Forward, gradient: Float64Array): void {
  const { width, hidden, values } = parameters;
  const biasAt = width * hidden;
  const back = new Float64Array(hidden);
  for (let row = 0; row < sample.rows; row += 1) {
    const error = (pass.chances[row] ?? 0) - (row === sample.chosen ? 1 : 0);
    for (let unit = 0; unit < hidden; unit += 1) {
      const active = pass.hiddens[row * hidden + unit] ?? 0;
      const outputAt = biasAt + hidden + unit;
      const slope = active > 0 ? error * (values[outputAt] ?? 0) : 0;
      back[unit] = slope;
      gradient[outputAt] = (gradient[outputAt] ?? 0) + error * active;
      gradient[biasAt + unit] = (gradient[biasAt + unit] ?? 0) + slope;
    }
    for (let column = 0; column < width; column += 1) {
      const input = sample.inputs[row * width + column] ?? 0;
      const from = column * hidden;
      for (let unit = 0; unit < hidden; unit += 1) {
        gradient[from + unit] = (gradient[from + unit] ?? 0) + input * (back[unit] ?? 0);
      }
    }
  }
}

/** One step of Adam (Kingma and Ba 2015, algorithm 1) with decoupled weight decay. */
function adam(values: Float64Array, moment: AdamState, rate: number, decay: number): void {
  moment.step += 1;
  const correction1 = 1 - ADAM.beta1 ** moment.step;
  const correction2 = 1 - ADAM.beta2 ** moment.step;
  for (let at = 0; at < values.length; at += 1) {
    const slope = moment.gradient[at] ?? 0;
    const first = ADAM.beta1 * (moment.first[at] ?? 0) + (1 - ADAM.beta1) * slope;
    const second = ADAM.beta2 * (moment.second[at] ?? 0) + (1 - ADAM.beta2) * slope * slope;
    moment.first[at] = first;
    moment.second[at] = second;
    const value = values[at] ?? 0;
    values[at] =
      value - rate * (first / correction1 / (Math.sqrt(second / correction2) + ADAM.epsilon) + decay * value);
  }
}
type AdamState = {
  readonly gradient: Float64Array;
  readonly first: Float64Array;
  readonly second: Float64Array;
  step: number;
};

function shuffle(order: number[], random: Random): void {
  for (let at = order.length - 1; at > 0; at -= 1) {
    const other = Math.floor(random() * (at + 1));
    const moved = order[at] ?? 0;
    order[at] = order[other] ?? 0;
    order[other] = moved;
  }
}

/** A feature that never varied has taught nothing: what chance began it with must not count where it does vary. */
function forgetConstant({ width, hidden, values }: Parameters, samples: readonly Sample[]): void {
  for (let column = 0; column < width; column += 1) {
    const varies = samples.some(({ inputs, rows }) => {
      for (let row = 0; row < rows; row += 1) if (Math.abs(inputs[row * width + column] ?? 0) > 1e-6) return true;
      return false;
    });
    if (!varies) values.fill(0, column * hidden, (column + 1) * hidden);
  }
}

function toWeights(parameters: Parameters, scale: Scale): ScorerWeights {
  const { width, hidden, values } = parameters;
  const part = (start: number, size: number) => Array.from(values.subarray(start, start + size), Math.fround);
  const layers: DenseLayer[] = [
    { units: hidden, weights: part(0, width * hidden), bias: part(width * hidden, hidden), activation: 'relu' },
    {
      units: 1,
      weights: part((width + 1) * hidden, hidden),
      bias: part((width + 2) * hidden, 1),
      activation: 'sigmoid',
    },
  ];
  return { version: 1, features: FEATURE_NAMES, mean: scale.mean, deviation: scale.deviation, layers };
}

/** Trains at once: see trainInSteps(). */
export function trainScorer(questions: readonly Question[], options: TrainOptions): ScorerWeights {
  const steps = trainInSteps(questions, options);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** What of a question is learnt from. */
export type TrainQuestion = Pick<Question, 'titleIds' | 'features' | 'chosen'>;

/**
 * Trains on questions whose choice was among the candidates; asserts that there are some. The softmax fixes scores up
 * to a constant, so the output bias stays 0: scores compare titles of one question and mean nothing alone. Yields after
 * each minibatch how far it is, 0..1, so that whoever trains can pause.
 */
export function* trainInSteps(
  questions: readonly TrainQuestion[],
  options: TrainOptions,
): Generator<number, ScorerWeights> {
  const { hidden = 12, epochs = 4, batch = 32, learningRate = 0.004, decay = 0.002 } = options;
  const width = FEATURE_NAMES.length;
  const answered = questions.filter(({ chosen }) => chosen >= 0);
  assert(answered.length > 0, 'no question has its answer among the candidates');
  const random = seededRandom(options.seed);
  const scale = moments(answered, width);
  const parameters = startParameters(width, hidden, random);
  const gradient = new Float64Array(parameters.values.length);
  const state = { gradient, first: gradient.slice(), second: gradient.slice(), step: 0 };
  const samples = answered.map((question) => standardise(question, scale));
  const order = samples.map((_, at) => at);
  for (let epoch = 0; epoch < epochs; epoch += 1) {
    shuffle(order, random);
    const rate = learningRate * (1 - epoch / epochs);
    for (let start = 0; start < order.length; start += batch) {
      gradient.fill(0);
      const members = order.slice(start, start + batch);
      for (const at of members) {
        const sample = samples[at];
        if (sample !== undefined) backward(parameters, sample, forward(parameters, sample), gradient);
      }
      for (let at = 0; at < gradient.length; at += 1) gradient[at] = (gradient[at] ?? 0) / members.length;
      adam(parameters.values, state, rate, decay);
      yield (epoch + Math.min(1, (start + batch) / order.length)) / epochs;
    }
  }
  forgetConstant(parameters, samples);
  return toWeights(parameters, scale);
}
