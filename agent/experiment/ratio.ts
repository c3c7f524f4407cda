// Whether variants got the shares of units that they should have: the first thing that goes wrong with an experiment, and
// it makes all the rest worthless. Valid at every look. Pure.

/** Below this, shares are not what they should be: assignment or logging is broken. */
const LEAST_P = 0.001;

/** What a check of shares says. */
export type RatioCheck = { readonly pValue: number; readonly isSound: boolean };

/**
 * Sequential test of a multinomial's shares (Lindon and Malek 2022, "Anytime-valid inference for multinomial count data",
 * theorem 1): the Bayes factor of a Dirichlet prior that is `concentration` times the planned shares over these shares. Its
 * inverse, at most 1, is a p-value at any time at which one looks.
 */
export function checkRatio(counts: readonly number[], shares: readonly number[], concentration = 100): RatioCheck {
  const total = counts.reduce((sum, count) => sum + count, 0);
  let logFactor = logGamma(concentration) - logGamma(concentration + total);
  for (const [index, count] of counts.entries()) {
    const share = shares[index] ?? 0;
    const prior = concentration * share;
    logFactor += logGamma(prior + count) - logGamma(prior) - count * Math.log(share);
  }
  const pValue = Math.min(1, Math.exp(-logFactor));
  return { pValue, isSound: pValue >= LEAST_P };
}

/** ln gamma(x) for x > 0: Stirling's series (DLMF 5.11.1) after shifting x above 10; error below 1e-12 relative. */
export function logGamma(x: number): number {
  let shift = 0;
  let z = x;
  while (z < 10) {
    shift += Math.log(z);
    z += 1;
  }
  const inverse = 1 / (z * z);
  const series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse * (1 / 1680 - inverse / 1188)))) / z;
  return (z - 0.5) * Math.log(z) - z + 0.5 * Math.log(2 * Math.PI) + series - shift;
}
