// Curves of one unit of a title: its bits and quality at every height and CRF, predicted from its features and bent through what
// was measured. Pure.
import type { ShotFeatures } from './features.ts';
import { dot, type Gaussian, observe, predict, sum } from './gaussian.ts';
import type { Curve, Model } from './model.ts';

/** Features that the regression reads. */
export type CurveFeatures = Pick<ShotFeatures, 'spatial' | 'temporal' | 'motion' | 'noise' | 'darkness'>;

/** Where on the curves: height as log2(source height / height), 0 at the source's own; CRF on x264's scale. */
export type Place = { readonly below: number; readonly crf: number };

/** Measured or predicted: quality in points 0..100, bits of a frame per pixel of the encode. */
export type Outcome = { readonly quality: number; readonly bitsPerPixel: number };

/** An outcome with how far off it may be: standard deviations in points and in log2 of bits. */
export type Forecast = Outcome & { readonly qualityError: number; readonly bitsError: number };

/** Beliefs about the two curves of a unit. */
export type ShotCurves = { readonly quality: Gaussian; readonly bits: Gaussian; readonly model: Model };

/** The CRF in the middle of what ladders use, and how many steps of it count as one. */
const MIDDLE_CRF = 28;
const CRF_SCALE = 10;

/**
 * The curves are cubic in CRF and in the logarithm of the height, in the scales of `toScore` and log2 of bits per
 * pixel: there, measured curves are all but straight.
 */
export function basisAt({ below, crf }: Place): number[] {
  const x = (crf - MIDDLE_CRF) / CRF_SCALE;
  return [1, x, x * x, below, below * x, below * below, x * x * x, below * x * x, below * below * x];
}

/** Points 0..100 as a logit, with room for the clipped ends. */
export function toScore(points: number): number {
  return Math.log((points + 1) / (101 - points));
}

/** Inverse of toScore, 0..100. */
export function toPointsOf(score: number): number {
  return Math.min(100, Math.max(0, 101 - 102 / (1 + Math.exp(score))));
}

/**
 * The regressors of a unit: a constant and its features; bits and detail go with their logarithms. What lies beyond all
 * that was trained on counts as its edge: a regression must not be followed to where nothing was seen.
 */
export function regressorsOf(features: CurveFeatures, ranges: readonly (readonly number[])[] = []): number[] {
  const { spatial, temporal, motion, noise, darkness } = features;
  const all = [1, log(spatial, 0.1), log(temporal, 0.01), log(motion, 0.02), log(noise, 0.02), darkness];
  return all.map((value, at) => {
    const [least = value, most = value] = ranges[at] ?? [];
    return Math.min(most, Math.max(least, value));
  });
}

function log(value: number, least: number): number {
  return Math.log2(value + least);
}

/** What a title's units have in common beyond what their features say: nothing is known of it yet. */
export function titleShift({ quality, bits }: Model, trust = 1): TitleShift {
  const none = ({ title }: Curve): Gaussian => ({
    mean: title.map(() => 0),
    covariance: title.map((row) => row.map((entry) => entry / trust ** 2)),
  });
  return { quality: none(quality), bits: none(bits) };
}

/** The shift after a trial of one unit, whose own peculiarities count as an error. */
export function learnShift(shift: TitleShift, prior: ShotCurves, place: Place, outcome: Outcome): TitleShift {
  const basis = basisAt(place);
  const after = (belief: Gaussian, unit: Gaussian, curve: Curve, seen: number): Gaussian => {
    const own = predict(unit, basis);
    return observe(belief, { basis, value: seen - own.mean, variance: own.variance + curve.misfit ** 2 });
  };
  const { model } = prior;
  return {
    quality: after(shift.quality, prior.quality, model.quality, toScore(outcome.quality)),
    bits: after(shift.bits, prior.bits, model.bits, Math.log2(outcome.bitsPerPixel)),
  };
}

/** Beliefs about the curves that a title's units share. */
export type TitleShift = { readonly quality: Gaussian; readonly bits: Gaussian };

/** What the model believes of a unit before any trial. `trust` below 1 widens it: another codec or metric than trained on. */
export function priorCurves(features: CurveFeatures, model: Model, trust = 1): ShotCurves {
  const regressors = regressorsOf(features, model.ranges);
  const beliefOf = ({ weights, unit }: Curve): Gaussian => ({
    mean: weights.map((row) => dot(row, regressors)),
    covariance: unit.map((row) => row.map((entry) => entry / trust ** 2)),
  });
  return { quality: beliefOf(model.quality), bits: beliefOf(model.bits), model };
}

/** A unit's curves moved by what is known of its title's. */
export function shifted({ quality, bits, model }: ShotCurves, shift: TitleShift): ShotCurves {
  return { quality: sum(quality, shift.quality), bits: sum(bits, shift.bits), model };
}

/** The curves after a trial. */
export function learn({ quality, bits, model }: ShotCurves, place: Place, outcome: Outcome): ShotCurves {
  const basis = basisAt(place);
  const [points, rate] = [toScore(outcome.quality), Math.log2(outcome.bitsPerPixel)];
  return {
    quality: observe(quality, { basis, value: points, variance: model.quality.misfit ** 2 }),
    bits: observe(bits, { basis, value: rate, variance: model.bits.misfit ** 2 }),
    model,
  };
}

/** What is to be expected at a place. */
export function forecast(curves: ShotCurves, place: Place): Forecast {
  const basis = basisAt(place);
  const score = predict(curves.quality, basis);
  const bits = predict(curves.bits, basis);
  const share = 1 / (1 + Math.exp(-score.mean));
  return {
    quality: toPointsOf(score.mean),
    bitsPerPixel: 2 ** bits.mean,
    // First order: the slope of toPointsOf.
    qualityError: 102 * share * (1 - share) * Math.sqrt(score.variance),
    bitsError: Math.sqrt(bits.variance),
  };
}

/** How far another preset may shift a whole curve: x264's medium against veryfast gave 0.4 (logit) and 0.35 (log2). */
const PRESET_SHIFT = 0.4;

/** The curves of the same unit under another preset: shifted by an unknown amount, and a little bent. */
export function widen({ quality, bits, model }: ShotCurves): ShotCurves {
  const loosen = ({ mean, covariance }: Gaussian): Gaussian => ({
    mean,
    covariance: covariance.map((row, i) =>
      row.map((entry, j) => (i === j ? entry + (i === 0 ? PRESET_SHIFT : PRESET_SHIFT / 5) ** 2 : entry)),
    ),
  });
  return { quality: loosen(quality), bits: loosen(bits), model };
}
