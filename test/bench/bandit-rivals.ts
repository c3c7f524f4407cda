// What the bandit is compared with in bench:bandit: LinUCB and epsilon-greedy, written apart from the product, over the
// same inputs, and epsilon-greedy as it is known, which sees no context.
import { inputSize, modelInput } from '../../agent/preview/bandit-linear.ts';
import { WIDTH } from './bandit-worlds.ts';

/** Chooses among arms by their inputs and learns a reward. */
export type Rival = {
  readonly choose: (inputs: readonly Float64Array[]) => number;
  readonly learn: (learnt: { readonly arm: number; readonly input: Float64Array; readonly reward: number }) => void;
};

/** The inputs of all arms for a context: the same as the product's. */
export const inputsOf = (
  context: Float64Array,
  arms: readonly { readonly features: Float64Array }[],
): readonly Float64Array[] => arms.map(({ features }) => modelInput(context, features));

const SIZE = inputSize(WIDTH);
/** Variance of a reward of one in ten, and the mean of rewards that the product believes at first, too. */
const VARIANCE = 0.09;
const BASE = 0.1;

function largest(values: readonly number[]): number {
  return values.reduce((best, value, index) => (value > (values[best] ?? 0) ? index : best), 0);
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < SIZE; i += 1) sum += (a[i] ?? 0) * (b[i] ?? 0);
  return sum;
}

/**
 * Ridge regression by its inverse (Sherman and Morrison 1950); evidence fades by `kept` with each reward. `deviation`: one
 * standard deviation of coefficients at first.
 */
function regression(kept: number, deviation: number) {
  const inverse = new Float64Array(SIZE * SIZE);
  for (let i = 0; i < SIZE; i += 1) inverse[i * SIZE + i] = deviation ** 2 / VARIANCE;
  const response = new Float64Array(SIZE);
  const coefficients = new Float64Array(SIZE);
  const product = new Float64Array(SIZE);
  /** The inverse times a vector, in `product`. */
  const multiply = (input: Float64Array): Float64Array => {
    for (let i = 0; i < SIZE; i += 1) {
      let sum = 0;
      const row = i * SIZE;
      for (let j = 0; j < SIZE; j += 1) sum += (inverse[row + j] ?? 0) * (input[j] ?? 0);
      product[i] = sum;
    }
    return product;
  };
  return {
    mean: (input: Float64Array) => BASE + dot(coefficients, input),
    deviation: (input: Float64Array) => Math.sqrt(Math.max(0, dot(multiply(input), input))),
    learn(input: Float64Array, reward: number): void {
      multiply(input);
      const scale = kept * kept + kept * dot(product, input);
      for (let i = 0; i < SIZE; i += 1) {
        response[i] = (response[i] ?? 0) * kept + (reward - BASE) * (input[i] ?? 0);
        const row = i * SIZE;
        const own = (product[i] ?? 0) / scale;
        for (let j = 0; j < SIZE; j += 1) inverse[row + j] = (inverse[row + j] ?? 0) / kept - own * (product[j] ?? 0);
      }
      coefficients.set(multiply(response));
    },
  };
}

/** LinUCB (Li et al. 2010, one model for all arms); `alpha` in standard deviations of a reward of variance 0.09. */
export function linUcb(tuned: { readonly alpha: number; readonly life: number; readonly deviation: number }): Rival {
  const { alpha, life, deviation } = tuned;
  const model = regression(0.5 ** (1 / life), deviation);
  return {
    choose: (inputs) =>
      largest(inputs.map((input) => model.mean(input) + alpha * Math.sqrt(VARIANCE) * model.deviation(input))),
    learn: ({ input, reward }) => model.learn(input, reward),
  };
}

/** Epsilon-greedy over the same linear model as LinUCB. */
export function linearEpsilonGreedy(epsilon: number, random: () => number): Rival {
  const model = regression(1, 0.1);
  return {
    choose: (inputs) =>
      random() < epsilon ? Math.floor(random() * inputs.length) : largest(inputs.map((input) => model.mean(input))),
    learn: ({ input, reward }) => model.learn(input, reward),
  };
}

/** Epsilon-greedy over the mean reward of each arm (Sutton and Barto 2018, 2.4; "e-greedy" of Li et al. 2010). */
export function epsilonGreedy(epsilon: number, random: () => number): Rival {
  const sums: number[] = [];
  const counts: number[] = [];
  return {
    choose: (inputs) =>
      random() < epsilon
        ? Math.floor(random() * inputs.length)
        : largest(inputs.map((_, arm) => ((sums[arm] ?? 0) + BASE) / ((counts[arm] ?? 0) + 1))),
    learn({ arm, reward }) {
      sums[arm] = (sums[arm] ?? 0) + reward;
      counts[arm] = (counts[arm] ?? 0) + 1;
    },
  };
}
