// What a treatment changed: the difference of a holdout with regression adjustment, double machine learning beside it, and
// placebos that must find nothing. Pure.
import { dot, factorise, solve } from './cholesky.ts';
import type { Interval } from './sequences.ts';

/** A unit: whether it was treated, what was known of it before, and what it did afterwards. */
export type Unit = { readonly isTreated: boolean; readonly covariates: readonly number[]; readonly outcome: number };

/** Two-sided 95 % of a normal variable. */
const Z_95 = 1.959963984540054;
const FOLDS = 5;
/** Penalty of the nuisance models, times the number of units, on standardised features. */
const RIDGE_RATIO = 0.001;

function around(estimate: number, error: number): Interval {
  return { estimate, low: estimate - Z_95 * error, high: estimate + Z_95 * error };
}

const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Covariates around their means, in standard deviations; one that never varies is 0. */
function standardised(units: readonly Unit[]): readonly (readonly number[])[] {
  const width = units[0]?.covariates.length ?? 0;
  const columns = Array.from({ length: width }, (_, column) => {
    const values = units.map(({ covariates }) => covariates[column] ?? 0);
    const mean = meanOf(values);
    const deviation = Math.sqrt(meanOf(values.map((value) => (value - mean) ** 2)));
    return { mean, deviation };
  });
  return units.map(({ covariates }) =>
    columns.map(({ mean, deviation }, column) => (deviation > 0 ? ((covariates[column] ?? 0) - mean) / deviation : 0)),
  );
}

/** XᵀX with `ridge` added to its diagonal but for the first column, which is the constant. */
function normalMatrix(rows: readonly Float64Array[], ridge: number): Float64Array {
  const size = rows[0]?.length ?? 0;
  const matrix = new Float64Array(size * size);
  for (const row of rows) {
    for (let i = 0; i < size; i += 1)
      for (let j = 0; j <= i; j += 1)
        matrix[i * size + j] = (matrix[i * size + j] ?? 0) + (row[i] ?? 0) * (row[j] ?? 0);
  }
  for (let i = 1; i < size; i += 1) matrix[i * size + i] = (matrix[i * size + i] ?? 0) + ridge;
  return matrix;
}

function timesOutcome(rows: readonly Float64Array[], outcomes: readonly number[]): Float64Array {
  const sums = new Float64Array(rows[0]?.length ?? 0);
  for (const [index, row] of rows.entries())
    for (let i = 0; i < sums.length; i += 1) sums[i] = (sums[i] ?? 0) + (row[i] ?? 0) * (outcomes[index] ?? 0);
  return sums;
}

/**
 * Effect of the treatment by least squares on treatment, centred covariates and their products (Lin 2013), its error by
 * HC2 (MacKinnon and White 1985). Without covariates it is the difference of means with the error of Welch. Undefined when
 * a group has fewer than two units more than there are covariates.
 */
export function adjustedEffect(units: readonly Unit[]): Interval | undefined {
  const width = units[0]?.covariates.length ?? 0;
  const treated = units.filter(({ isTreated }) => isTreated).length;
  if (Math.min(treated, units.length - treated) < width + 2) return undefined;
  const covariates = standardised(units);
  const rows = units.map(({ isTreated }, index) => {
    const own = covariates[index] ?? [];
    const sign = isTreated ? 1 : 0;
    return Float64Array.of(1, sign, ...own, ...own.map((value) => value * sign));
  });
  const outcomes = units.map(({ outcome }) => outcome);
  const size = 2 + 2 * width;
  const factor = factorise(normalMatrix(rows, 0), size);
  const coefficients = solve(factor, timesOutcome(rows, outcomes));
  const unit = new Float64Array(size);
  unit[1] = 1;
  const direction = solve(factor, unit);
  let variance = 0;
  for (const [index, row] of rows.entries()) {
    const residual = (outcomes[index] ?? 0) - dot(row, coefficients);
    const leverage = Math.min(1 - 1e-9, dot(row, solve(factor, row)));
    variance += (dot(direction, row) ** 2 * residual * residual) / (1 - leverage);
  }
  return around(coefficients[1] ?? 0, Math.sqrt(variance));
}

/** Features of the nuisance models: covariates, their squares and products. */
function nuisanceRow(covariates: readonly number[]): Float64Array {
  const products = covariates.flatMap((a, i) => covariates.slice(i).map((b) => a * b));
  return Float64Array.of(1, ...covariates, ...products);
}

/** What ridge regressions, each trained without the unit's own fold, leave unexplained of values. */
function crossFitted(rows: readonly Float64Array[], values: readonly number[]): readonly number[] {
  const residuals = values.map(() => 0);
  for (let fold = 0; fold < FOLDS; fold += 1) {
    const isOthers = (_: unknown, index: number) => index % FOLDS !== fold;
    const others = rows.filter(isOthers);
    const size = others[0]?.length ?? 0;
    const factor = factorise(normalMatrix(others, RIDGE_RATIO * others.length), size);
    const coefficients = solve(factor, timesOutcome(others, values.filter(isOthers)));
    for (let index = fold; index < rows.length; index += FOLDS)
      residuals[index] = (values[index] ?? 0) - dot(rows[index] ?? coefficients, coefficients);
  }
  return residuals;
}

/**
 * Effect of the treatment by double machine learning: the partially linear model, orthogonal score and cross-fitting
 * (Chernozhukov et al. 2018, definition 3.2 and equation 4.4), nuisances by ridge regression on covariates, squares and
 * products. It needs no known shares, so it also tells of treatments that followed what was known of a unit. Undefined of
 * fewer than 50 units, or where covariates tell the treatment.
 */
export function doubleMachineLearning(units: readonly Unit[]): Interval | undefined {
  if (units.length < 50) return undefined;
  const rows = standardised(units).map(nuisanceRow);
  const outcomes = crossFitted(
    rows,
    units.map(({ outcome }) => outcome),
  );
  const treatments = crossFitted(
    rows,
    units.map(({ isTreated }) => (isTreated ? 1 : 0)),
  );
  const squares = dot(treatments, treatments);
  if (squares < 1e-6 * units.length) return undefined;
  const effect = dot(treatments, outcomes) / squares;
  const score = treatments.reduce((sum, v, index) => sum + (((outcomes[index] ?? 0) - effect * v) * v) ** 2, 0);
  return around(effect, Math.sqrt(score) / squares);
}

/** Effects that must be nothing. */
export type Placebo = {
  /** On a covariate, which was over before the treatment, beside the other ones. */
  readonly before: Interval | undefined;
  /** Of a treatment that was dealt out anew by lot. */
  readonly shuffled: Interval | undefined;
  /** Neither is surely different from 0. */
  readonly isSound: boolean;
};

/** Runs both placebos through double machine learning; `random` is uniform in [0, 1). */
export function placeboTest(units: readonly Unit[], random: () => number): Placebo {
  const before = doubleMachineLearning(
    units.map(({ isTreated, covariates: [first = 0, ...others] }) => ({
      isTreated,
      covariates: others,
      outcome: first,
    })),
  );
  const lots = units.map(({ isTreated }) => isTreated);
  for (let last = lots.length - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1));
    [lots[last], lots[other]] = [lots[other] ?? false, lots[last] ?? false];
  }
  const shuffled = doubleMachineLearning(units.map((unit, index) => ({ ...unit, isTreated: lots[index] ?? false })));
  const isNothing = (interval: Interval | undefined) =>
    interval === undefined || (interval.low <= 0 && interval.high >= 0);
  return { before, shuffled, isSound: isNothing(before) && isNothing(shuffled) };
}
