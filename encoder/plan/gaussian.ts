// A belief about a few coefficients: a Gaussian with a mean and a covariance, narrowed by linear observations. Pure.

/** Mean and covariance; the covariance is symmetric and positive, row by row. */
export type Gaussian = { readonly mean: readonly number[]; readonly covariance: readonly (readonly number[])[] };

/** Scalar product; a missing entry counts as 0. */
export function dot(a: readonly number[], b: readonly number[]): number {
  let sum = 0;
  for (let at = 0; at < a.length; at += 1) sum += (a[at] ?? 0) * (b[at] ?? 0);
  return sum;
}

/** Mean and variance of `basis . coefficients` under the belief. */
export function predict(belief: Gaussian, basis: readonly number[]): { mean: number; variance: number } {
  const spread = belief.covariance.map((row) => dot(row, basis));
  return { mean: dot(belief.mean, basis), variance: Math.max(0, dot(spread, basis)) };
}

/** What was seen: `basis . coefficients` is `value`, give or take a Gaussian error of this variance (above 0). */
export type Observation = { readonly basis: readonly number[]; readonly value: number; readonly variance: number };

/**
 * The belief after an observation: Bayes' rule for a linear Gaussian model, one rank-one step (Rasmussen and Williams,
 * Gaussian Processes for Machine Learning, 2006, section 2.1). The covariance does not depend on the value observed.
 */
export function observe(belief: Gaussian, { basis, value, variance }: Observation): Gaussian {
  const spread = belief.covariance.map((row) => dot(row, basis));
  const total = dot(spread, basis) + variance;
  const surprise = (value - dot(belief.mean, basis)) / total;
  return {
    mean: belief.mean.map((mean, at) => mean + (spread[at] ?? 0) * surprise),
    covariance: belief.covariance.map((row, i) =>
      row.map((entry, j) => entry - ((spread[i] ?? 0) * (spread[j] ?? 0)) / total),
    ),
  };
}

/** The sum of two independent vectors. */
export function sum(a: Gaussian, b: Gaussian): Gaussian {
  return {
    mean: a.mean.map((mean, at) => mean + (b.mean[at] ?? 0)),
    covariance: a.covariance.map((row, i) => row.map((entry, j) => entry + (b.covariance[i]?.[j] ?? 0))),
  };
}
