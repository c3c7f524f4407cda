// The regression behind the planner's curves: a quadratic per unit of its measured grid, and ridge regression of these
// over the units' features. Closed form, no chance in it.
import {
  basisAt,
  type CurveFeatures,
  type Place,
  regressorsOf,
  toPointsOf,
  toScore,
} from '../../encoder/plan/curves.ts';
import { dot } from '../../encoder/plan/gaussian.ts';
import type { Curve, Model } from '../../encoder/plan/model.ts';
import type { GridFile } from './encode-simulate.ts';
import { mean } from './figures.ts';

/** Added to the diagonal of the normal equations: of the fit of one unit, and of the regression over units. */
const FIT_RIDGE = 1e-3;
const UNIT_RIDGE = 10;
/**
 * Least standard deviations of what the regression leaves open, per basis function: a handful of clips cannot say that
 * a new title will not differ by this much.
 */
const LEAST_DEVIATION = [0.3, 0.15, 0.1, 0.3, 0.15, 0.2, 0.05, 0.08, 0.08];

/** Units of one title differ from each other by at least this much of that. */
const OWN_RATIO = 0.4;

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
  const fits = samples.map((sample) => fitOf(sample, kind));
  const weights = regress(samples, fits);
  // What is left open is judged on titles that the regression has not seen, where there are several.
  const titles = [...new Set(samples.map((sample) => sample.title))];
  const samplesByTitle = titles.flatMap((title) => samples.filter((sample) => sample.title === title));
  const residuals = titles.flatMap((title) => {
    const isHeld = (at: number): boolean => samples[at]?.title === title;
    const taught = titles.length === 1 ? samples : samples.filter((_, at) => !isHeld(at));
    const unseen = regress(taught, titles.length === 1 ? fits : fits.filter((_, at) => !isHeld(at)));
    return samples.flatMap((sample, at) => {
      if (!isHeld(at)) return [];
      const row = regressorsOf(sample.features, rangesOf(taught));
      return [(fits[at] ?? []).map((value, k) => value - dot(unseen[k] ?? [], row))];
    });
  });
  const ofTitle = titles.map((title) => {
    const own = residuals.filter((_, at) => samplesByTitle[at]?.title === title);
    return weights.map((_, k) => mean(own.map((residual) => residual[k] ?? 0)));
  });
  const within = residuals.map((residual, at) => {
    const common = ofTitle[titles.indexOf(samplesByTitle[at]?.title ?? '')] ?? [];
    return residual.map((value, k) => value - (common[k] ?? 0));
  });
  const misses = samples.flatMap(({ points }, at) =>
    points
      .filter(({ score }) => toPointsOf(score) > 50)
      .map((point) => point[kind] - dot(fits[at] ?? [], basisAt(point.place))),
  );
  return {
    weights,
    title: spread(ofTitle, 1),
    unit: spread(within, OWN_RATIO),
    misfit: Math.sqrt(mean(misses.map((miss) => miss * miss))),
  };
}

/** Covariance about 0, with the least deviations times a ratio added. */
function spread(vectors: readonly (readonly number[])[], ratio: number): number[][] {
  return LEAST_DEVIATION.map((least, i) =>
    LEAST_DEVIATION.map((_, j) => {
      const shared = mean(vectors.map((vector) => (vector[i] ?? 0) * (vector[j] ?? 0)));
      return i === j ? shared + (least * ratio) ** 2 : shared;
    }),
  );
}

/** The unit's own curve through its grid. */
function fitOf({ points }: Sample, kind: Kind): number[] {
  const rows = points.map(({ place }) => basisAt(place));
  // Places that no rung comes near count little.
  const weights = points.map(({ score }) => (toPointsOf(score) < 50 ? 0.3 : 1));
  return ridge(
    rows.map((row, at) => row.map((value) => value * (weights[at] ?? 1))),
    points.map((point, at) => point[kind] * (weights[at] ?? 1)),
    FIT_RIDGE,
  );
}

/** A row of weights per coefficient of the fits; regressors are centred, so that the ridge pulls towards the mean. */
function regress(samples: readonly Sample[], fits: readonly (readonly number[])[]): number[][] {
  const rows = samples.map(({ features }) => regressorsOf(features));
  const means = (rows[0] ?? []).map((_, at) => (at === 0 ? 0 : mean(rows.map((row) => row[at] ?? 0))));
  const centred = rows.map((row) => row.map((value, at) => value - (means[at] ?? 0)));
  return (fits[0] ?? []).map((_, k) => {
    const weights = ridge(
      centred,
      fits.map((fit) => fit[k] ?? 0),
      UNIT_RIDGE,
    );
    return weights.map((weight, at) => (at === 0 ? weight - dot(weights.slice(1), means.slice(1)) : weight));
  });
}
