// What is trained of the curves of units: the shape of encoder/plan/coefficients.ts. Pure.

/**
 * What the regression knows of one curve: `weights`, a row per basis function over the regressors; what it leaves open as
 * two covariances, of what the units of a title have in common and of what each has beside that; `misfit`, the standard
 * deviation of trials from a unit's own best curve.
 */
export type Curve = {
  readonly weights: readonly (readonly number[])[];
  readonly title: readonly (readonly number[])[];
  readonly unit: readonly (readonly number[])[];
  readonly misfit: number;
};

/** Both curves, and the least and the most of each regressor that they were trained on. */
export type Model = {
  readonly quality: Curve;
  readonly bits: Curve;
  readonly ranges: readonly (readonly number[])[];
};
