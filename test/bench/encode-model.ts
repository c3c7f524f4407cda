// The regression behind the planner's curves: a quadratic per unit of its measured grid, and ridge regression of these
// over the units' features. Closed form, no chance in it.
import { basisAt, type CurveFeatures, type Place, regressorsOf, toScore } from '../../encoder/plan/curves.ts';
import { dot } from '../../encoder/plan/gaussian.ts';
import type { Curve, Model } from '../../encoder/plan/model.ts';
import { type GridFile, mean } from './encode-simulate.ts';

/** Added to the diagonal of the normal equations: of the fit of one shot, and of the regression over shots. */
const FIT_RIDGE = 1e-3;
const SHOT_RIDGE = 0.5;
/** The covariance of few shots is an underestimate: widened by this, and never below this on its diagonal. */
const WIDEN = 1.5;
const LEAST_VARIANCE = 1e-3;

/** A measured unit. */
export type Sample = {
  readonly title: string;
  readonly at: number;
  readonly of: number;
  readonly features: CurveFeatures;
  readonly points: readonly { readonly place: Place; readonly score: number; readonly bits: number }[];
};
type Kind = 'score' | 'bits';

/** Solves A x = b for symmetric positive A, by Gaussian elimination. */
function solve(matrix: readonly (readonly number[])[], right: readonly number[]): number[] {
  const rows = matrix.map((row, at) => [...row, right[at] ?? 0]);
  const n = rows.length;
  for (let k = 0; k < n; k++) {
    const pivot = rows[k] ?? [];
    for (let i = k + 1; i < n; i++) {
      const factor = (rows[i]?.[k] ?? 0) / (pivot[k] ?? 1);
      rows[i] = (rows[i] ?? []).map((value, j) => value - factor * (pivot[j] ?? 0));
    }
  }
  const found = new Array<number>(n).fill(0);
  for (let k = n - 1; k >= 0; k--) {
    const row = rows[k] ?? [];
    const rest = found.reduce((sum, value, j) => (j > k ? sum + value * (row[j] ?? 0) : sum), 0);
    found[k] = ((row[n] ?? 0) - rest) / (row[k] ?? 1);
  }
  return found;
}

/** Ridge regression of values on rows. */
function ridge(rows: readonly (readonly number[])[], values: readonly number[], strength: number): number[] {
  const width = rows[0]?.length ?? 0;
  const normal = Array.from({ length: width }, (_, i) =>
    Array.from(
      { length: width },
      (__, j) =>
        rows.reduce((sum, row) => sum + (row[i] ?? 0) * (row[j] ?? 0), 0) + (i === j && i > 0 ? strength : 1e-9),
    ),
  );
  return solve(
    normal,
    Array.from({ length: width }, (_, i) => rows.reduce((sum, row, n) => sum + (row[i] ?? 0) * (values[n] ?? 0), 0)),
  );
}

/** The shots of the grids as samples. */
export function samplesOf(grids: readonly GridFile[]): Sample[] {
  return grids.flatMap(({ name, view, shots, cells }) =>
    shots.map((shot, at) => ({
      title: name,
      at,
      of: shots.length,
      features: shot.features,
      points: cells
        .filter((cell) => cell.shot === at)
        .map((cell) => ({
          place: { below: Math.log2(view.height / cell.height), crf: cell.crf },
          score: toScore(mean(cell.scores.vmaf)),
          bits: Math.log2(cell.bits / cell.frames / (((cell.height * view.width) / view.height) * cell.height)),
        })),
    })),
  );
}

/** Least and most of each regressor. */
function rangesOf(samples: readonly Sample[]): number[][] {
  const rows = samples.map(({ features }) => regressorsOf(features));
  return (rows[0] ?? []).map((_, at) => {
    const values = rows.map((row) => row[at] ?? 0);
    return [Math.min(...values), Math.max(...values)];
  });
}

/** The model of some samples. */
export function trainModel(samples: readonly Sample[]): Model {
  return { quality: train(samples, 'score'), bits: train(samples, 'bits'), ranges: rangesOf(samples) };
}

function train(samples: readonly Sample[], kind: Kind): Curve {
  const fits = samples.map(({ points }) =>
    ridge(
      points.map(({ place }) => basisAt(place)),
      points.map((point) => point[kind]),
      FIT_RIDGE,
    ),
  );
  const misses = samples.flatMap(({ points }, at) =>
    points.map((point) => point[kind] - dot(fits[at] ?? [], basisAt(point.place))),
  );
  const width = fits[0]?.length ?? 0;
  const rows = samples.map(({ features }) => regressorsOf(features));
  const weights = Array.from({ length: width }, (_, k) =>
    ridge(
      rows,
      fits.map((fit) => fit[k] ?? 0),
      SHOT_RIDGE,
    ),
  );
  const residuals = fits.map((fit, at) => fit.map((value, k) => value - dot(weights[k] ?? [], rows[at] ?? [])));
  const covariance = Array.from({ length: width }, (_, i) =>
    Array.from({ length: width }, (__, j) => {
      const shared = mean(residuals.map((residual) => (residual[i] ?? 0) * (residual[j] ?? 0))) * WIDEN;
      return i === j ? Math.max(shared, LEAST_VARIANCE) : shared * 0.9;
    }),
  );
  return { weights, covariance, misfit: Math.sqrt(mean(misses.map((miss) => miss * miss))) };
}
