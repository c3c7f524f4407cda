// What is believed of rewards: a Bayesian linear model of them over taste and descriptor, old evidence fading. Pure.
import { dot, factorise, forward, solve } from '../experiment/cholesky.ts';

/** A normal prior of the coefficients: mean, and precision (1 / variance) of each. */
export type Prior = { readonly mean: Float64Array; readonly precision: Float64Array };

/**
 * Evidence on coefficients, without the prior: `information` is the sum of weight * x xᵀ (row-major), `response` that of
 * weight * reward * x, both discounted, and `weight` the discounted number of observations. The prior stays what it is
 * while evidence fades, so that an old model becomes its prior again and never singular.
 */
export type Linear = {
  readonly size: number;
  information: Float64Array;
  response: Float64Array;
  weight: number;
};

/** What a model says of some inputs: expected rewards, and the covariance of these expectations (row-major). */
export type Scores = { readonly means: Float64Array; readonly covariance: Float64Array };

/** A model ready to be asked. */
export type Solved = { readonly coefficients: Float64Array; readonly factor: Float64Array };

/** Rewards of previews before anything was seen: their mean, and how far off that may be (one standard deviation). */
const BASE = { mean: 0.1, deviation: 0.1 } as const;
/** One standard deviation of what a whole descriptor, or a whole match of taste, may change of the reward, at first. */
const EFFECT_DEVIATION = 0.05;
/** Coefficients of exactly that deviation that each group is thought to have beside its own, in fitScales(). */
const PSEUDO_COEFFICIENTS = 16;
/** A reward that is nearly sure or nearly impossible still varies by that of this chance. */
const LEAST_CHANCE = 0.01;

/** How many coefficients there are for descriptors of `length` numbers. */
export function inputSize(length: number): number {
  return 2 * length + 2;
}

/** Numbers of a look are 0..1; so far beyond that one may be after centring. */
const LARGEST = 4;

/** A look (0..1 each, 0.5 is neutral) around 0, of about length 1 if its numbers are spread evenly. */
function centred(value: number | undefined, spread: number): number {
  if (value === undefined || Number.isNaN(value)) return 0;
  return Math.max(-LARGEST, Math.min(LARGEST, 2 * value - 1)) * spread;
}

/**
 * The input of the model: 1, the descriptor, the descriptor weighted by the taste (the bilinear form of both with a
 * diagonal matrix, scaled to the length of the others), and their inner product, by which a match counts before each
 * dimension is known by itself. Taste and descriptor have one length, each number 0..1; without a taste, 0.
 */
export function modelInput(taste: ArrayLike<number> | undefined, descriptor: ArrayLike<number>): Float64Array {
  const { length } = descriptor;
  const input = new Float64Array(inputSize(length));
  const scale = Math.sqrt(length);
  const spread = Math.sqrt(3 / length);
  input[0] = 1;
  let match = 0;
  for (let i = 0; i < length; i += 1) {
    const own = centred(descriptor[i], spread);
    const both = taste === undefined ? 0 : own * centred(taste[i], spread);
    input[1 + i] = own;
    input[1 + length + i] = scale * both;
    match += both;
  }
  input[2 * length + 1] = match;
  return input;
}

/** Prior of a region that nothing is known of. */
export function vaguePrior(length: number): Prior {
  const size = inputSize(length);
  const mean = new Float64Array(size);
  const precision = new Float64Array(size).fill(1 / EFFECT_DEVIATION ** 2);
  mean[0] = BASE.mean;
  precision[0] = 1 / BASE.deviation ** 2;
  return { mean, precision };
}

/** How many times as precise as their prior coefficients are: those of the descriptor, and those of the taste. */
export type Scales = readonly [descriptor: number, taste: number];

/** Of a model that has seen nothing. */
export const NO_SCALES: Scales = [1, 1];

const groupsOf = (size: number): readonly (readonly [from: number, to: number])[] => [
  [1, size / 2],
  [size / 2, size],
];

/** A prior at other scales. */
export function scalePrior({ mean, precision }: Prior, scales: Scales): Prior {
  const scaled = precision.slice();
  for (const [group, [from, to]] of groupsOf(mean.length).entries())
    for (let i = from; i < to; i += 1) scaled[i] = (precision[i] ?? 0) * (scales[group] ?? 1);
  return { mean, precision: scaled };
}

/**
 * The scales that coefficients prove to have, by empirical Bayes: a taste counts for little where viewers do not differ by
 * it. One step of the fixed point of MacKay (1992) from those under which `solved` was solved.
 */
export function fitScales(solved: Solved, prior: Prior, scales: Scales): Scales {
  const { length: size } = prior.mean;
  const unit = new Float64Array(size);
  const [descriptor = 1, taste = 1] = groupsOf(size).map(([from, to], group) => {
    let known = PSEUDO_COEFFICIENTS;
    let squares = PSEUDO_COEFFICIENTS;
    for (let i = from; i < to; i += 1) {
      unit.fill(0)[i] = 1;
      const half = forward(solved.factor, unit);
      const own = prior.precision[i] ?? 0;
      known += Math.max(0, 1 - own * (scales[group] ?? 1) * dot(half, half));
      squares += own * ((solved.coefficients[i] ?? 0) - (prior.mean[i] ?? 0)) ** 2;
    }
    return known / squares;
  });
  return [descriptor, taste];
}

/** A model without evidence. */
export function emptyLinear(size: number): Linear {
  return { size, information: new Float64Array(size * size), response: new Float64Array(size), weight: 0 };
}

/** An independent copy. */
export function copyLinear({ size, information, response, weight }: Linear): Linear {
  return { size, information: information.slice(), response: response.slice(), weight };
}

/** Lets all evidence count `ratio` (0..1) of what it did. */
export function fade(model: Linear, ratio: number): void {
  if (ratio >= 1) return;
  const { information, response } = model;
  for (let i = 0; i < information.length; i += 1) information[i] = (information[i] ?? 0) * ratio;
  for (let i = 0; i < response.length; i += 1) response[i] = (response[i] ?? 0) * ratio;
  model.weight *= ratio;
}

/** Weight of an observation whose reward is expected to be `expected`: 1 / variance of such a reward, at most 101. */
export function precisionOf(expected: number): number {
  const chance = Math.min(1 - LEAST_CHANCE, Math.max(LEAST_CHANCE, expected));
  return 1 / (chance * (1 - chance));
}

/** Adds one choice without its reward, which is one of 0 until addReward(). */
export function addChoice(model: Linear, input: Float64Array, weight: number): void {
  const { size, information } = model;
  for (let i = 0; i < size; i += 1) {
    const scaled = weight * (input[i] ?? 0);
    if (scaled === 0) continue;
    const row = i * size;
    for (let j = 0; j <= i; j += 1) information[row + j] = (information[row + j] ?? 0) + scaled * (input[j] ?? 0);
  }
  model.weight += 1;
}

/** Adds to the reward of an earlier choice; `weight` is its own, times what it has faded since. */
export function addReward(model: Linear, input: Float64Array, weightedReward: number): void {
  const { response } = model;
  for (let i = 0; i < response.length; i += 1) response[i] = (response[i] ?? 0) + weightedReward * (input[i] ?? 0);
}

/** Posterior of a model under a prior: N(coefficients, (L Lᵀ)⁻¹). */
export function solveLinear(model: Linear, prior: Prior): Solved {
  const { size } = model;
  const precision = model.information.slice();
  const response = model.response.slice();
  for (let i = 0; i < size; i += 1) {
    const own = prior.precision[i] ?? 0;
    precision[i * size + i] = (precision[i * size + i] ?? 0) + own;
    response[i] = (response[i] ?? 0) + own * (prior.mean[i] ?? 0);
  }
  const factor = factorise(precision, size);
  return { factor, coefficients: solve(factor, response) };
}

/** Expected reward of one input. */
export function expectedReward(solved: Solved, input: Float64Array): number {
  return dot(solved.coefficients, input);
}

/** Expected rewards of inputs and how they vary together. */
export function score(solved: Solved, inputs: readonly Float64Array[]): Scores {
  const count = inputs.length;
  const halves = inputs.map((input) => forward(solved.factor, input));
  const covariance = new Float64Array(count * count);
  for (const [i, half] of halves.entries()) {
    for (let j = 0; j <= i; j += 1) {
      const value = dot(half, halves[j] ?? half);
      covariance[i * count + j] = value;
      covariance[j * count + i] = value;
    }
  }
  return { means: Float64Array.from(inputs, (input) => expectedReward(solved, input)), covariance };
}

/**
 * A prior for another region, or for this one after its evidence was lost: the posterior, no surer than `mostWeight`
 * observations would make it, since regions differ.
 */
export function priorFrom(model: Linear, prior: Prior, mostWeight: number): Prior {
  const { coefficients } = solveLinear(model, prior);
  const share = model.weight > mostWeight ? mostWeight / model.weight : 1;
  const precision = Float64Array.from(
    prior.precision,
    (own, i) => own + share * (model.information[i * model.size + i] ?? 0),
  );
  return { mean: coefficients, precision };
}
