// What the planner expects of a title after the trials so far: the curves of its units, and the ladder that they promise.
// Worked out once a round, since for a film of two thousand units it takes seconds. Pure.
import { type Allocation, allocate } from './allocate.ts';
import {
  type CurveFeatures,
  forecast,
  learn,
  learnShift,
  type Place,
  priorCurves,
  type ShotCurves,
  shifted,
  titleShift,
  widen,
} from './curves.ts';
import { chooseLadder, type LadderLimits } from './ladder.ts';
import type { Model } from './model.ts';
import { widthAt } from './trials.ts';

/** CRFs, on x264's scale, between which rungs are looked for: the curves were trained on 18 to 38. */
const CRFS = { best: 15, worst: 42 } as const;
/** Rungs are planned to keep their promises with this much to spare, in points: what is measured may be a little off. */
const SLACK = 0.5;

/** What the planner needs to know of a title. */
export type SearchTitle = {
  /** Units of encoding, in order. */
  readonly units: readonly { readonly frames: number; readonly features: CurveFeatures }[];
  readonly width: number;
  readonly height: number;
  /** Heights to choose from, best first. */
  readonly heights: readonly number[];
  readonly limits: LadderLimits & { readonly floorDrop: number };
  readonly search: SearchLimits;
  readonly model: Model;
};

/** How much is tried. */
export type SearchLimits = {
  /** Encodes of a unit before its rungs are decided, at least 1. */
  readonly mostSeeds: number;
  /** Encodes of a unit in all, at least mostSeeds. */
  readonly mostTrials: number;
  /** Seeds end where no rung's quality is more uncertain than this, in points. */
  readonly tolerance: number;
  /** A trial whose CRF is at most this far from the wanted one ships in its place. */
  readonly snap: number;
  /** Step of the CRFs that are asked for. */
  readonly step: number;
  /** How much the trained curves are believed: 1 for what they were trained on, less for other codecs and metrics. */
  readonly trust: number;
};

/** One encode of one unit; CRF on x264's scale. */
export type Wish = { readonly unit: number; readonly height: number; readonly crf: number };

/** A measured encode. `ships`: made with the final preset. */
export type Measured = Wish & { readonly bits: number; readonly quality: number; readonly ships: boolean };

/** A rung as it is predicted: one height, a CRF per unit. */
export type PlannedRung = {
  readonly height: number;
  readonly points: readonly (Wish & { readonly bits: number; readonly quality: number })[];
  readonly bits: number;
  readonly quality: number;
};

/** What the trials let expect. */
export type Outlook = {
  /** Of every unit, in order. */
  readonly curves: readonly ShotCurves[];
  /** The ladder that the curves predict, best first. */
  readonly rungs: readonly PlannedRung[];
};

/** The outlook after the trials. */
export function outlookOf(title: SearchTitle, trials: readonly Measured[]): Outlook {
  const curves = curvesOf(title, trials);
  return { curves, rungs: predictLadder(title, curves) };
}

/** Trials of each unit, in order of units. */
export function byUnit<Trial extends Wish>(
  { units }: SearchTitle,
  trials: readonly Trial[],
): readonly (readonly Trial[])[] {
  const lists: Trial[][] = units.map(() => []);
  for (const trial of trials) lists[trial.unit]?.push(trial);
  return lists;
}

/**
 * The curves of every unit after the trials. What the units share is learnt first, from all of them, so that few trials of
 * each are enough; a unit's own trials then count again for what is its own.
 */
function curvesOf(title: SearchTitle, trials: readonly Measured[]): ShotCurves[] {
  const { units, model, search } = title;
  const isMixed = trials.some((trial) => trial.ships) && trials.some((trial) => !trial.ships);
  const priors = units.map(({ features }) => priorCurves(features, model, search.trust));
  const outcomeOf = ({ unit, height, quality, bits }: Measured) => ({
    quality,
    bitsPerPixel: bits / (units[unit]?.frames ?? 1) / pixelsAt(title, height),
  });
  const proposing = trials.filter((trial) => !trial.ships || !isMixed);
  const shift = proposing.reduce(
    (known, trial) => {
      const prior = priors[trial.unit];
      return prior === undefined ? known : learnShift(known, prior, placeOf(title, trial), outcomeOf(trial));
    },
    titleShift(model, search.trust),
  );
  const own = byUnit(title, trials);
  return priors.map((prior, unit) => {
    const take = (curves: ShotCurves, trial: Measured): ShotCurves =>
      learn(curves, placeOf(title, trial), outcomeOf(trial));
    const mine = own[unit] ?? [];
    const proposed = mine.filter((trial) => !trial.ships).reduce(take, shifted(prior, shift));
    return mine.filter((trial) => trial.ships).reduce(take, isMixed ? widen(proposed) : proposed);
  });
}

/** Where a trial lies on its unit's curves. */
export function placeOf(title: SearchTitle, { height, crf }: Pick<Wish, 'height' | 'crf'>): Place {
  return { below: Math.log2(title.height / height), crf };
}

function pixelsAt(title: SearchTitle, height: number): number {
  return widthAt(title, height) * height;
}

/** Every unit at every height and CRF, as the curves have it. */
export function predictPoints(title: SearchTitle, curves: readonly ShotCurves[], height: number) {
  return title.units.map(({ frames }, unit) => {
    const points: PlannedRung['points'][number][] = [];
    for (let crf: number = CRFS.best; crf <= CRFS.worst; crf += title.search.step) {
      const known = curves[unit];
      if (known === undefined) break;
      const { quality, bitsPerPixel } = forecast(known, placeOf(title, { height, crf }));
      points.push({ unit, height, crf, quality, bits: bitsPerPixel * frames * pixelsAt(title, height) });
    }
    return { frames, points };
  });
}

/** Predicted ways to encode the title at one height, none with a unit further below its mean than `floorDrop`. */
export function predictAllocations(
  title: SearchTitle,
  curves: readonly ShotCurves[],
  height: number,
  floorDrop: number,
) {
  const allocations: Allocation<PlannedRung['points'][number]>[] = allocate(
    predictPoints(title, curves, height),
    floorDrop,
  );
  return allocations.map((allocation): PlannedRung => ({ ...allocation, height }));
}

function predictLadder(title: SearchTitle, curves: readonly ShotCurves[]): PlannedRung[] {
  const { limits } = title;
  const candidates = title.heights.flatMap((height) =>
    predictAllocations(title, curves, height, limits.floorDrop - SLACK),
  );
  return chooseLadder(candidates, {
    ...limits,
    qualityCap: limits.qualityCap + SLACK,
    minimumStep: limits.minimumStep + SLACK,
  });
}
