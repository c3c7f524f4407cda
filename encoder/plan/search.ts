// Decides which encodes of a title are worth making: a few to learn the curves of its units, then those that its rungs
// are made of. Deterministic: the same shots and trials give the same wishes. Pure.
import { allocate, meanQuality } from './allocate.ts';
import { type CurveFeatures, forecast, learn, type Place, priorCurves, type ShotCurves, widen } from './curves.ts';
import { chooseLadder, type LadderLimits } from './ladder.ts';
import type { Model } from './model.ts';
import { widthAt } from './trials.ts';

/** CRFs, on x264's scale, between which rungs are looked for: the curves were trained on 18 to 38. */
const CRFS = { best: 14, worst: 44 } as const;
/** Rungs are planned this much further apart than they must be, and the top one this much above what counts as the cap. */
const SLACK = 0.5;
/** Trials that ship in place of wanted ones may move their rung by this many points together. */
const MOST_SHIFT = 0.4;

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
  /** Every unit of a rung has the same CRF: an encoder that writes it into the init segment. */
  readonly isUniform: boolean;
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

/** The curves of every unit after the trials. */
export function curvesOf(title: SearchTitle, trials: readonly Measured[]): ShotCurves[] {
  const isMixed = trials.some((trial) => trial.ships) && trials.some((trial) => !trial.ships);
  return title.units.map(({ features, frames }, unit) => {
    const mine = trials.filter((trial) => trial.unit === unit);
    const take = (curves: ShotCurves, trial: Measured): ShotCurves =>
      learn(curves, placeOf(title, trial), {
        quality: trial.quality,
        bitsPerPixel: trial.bits / frames / pixelsAt(title, trial.height),
      });
    const proposed = mine
      .filter((trial) => !trial.ships)
      .reduce(take, priorCurves(features, title.model, title.search.trust));
    return mine.filter((trial) => trial.ships).reduce(take, isMixed ? widen(proposed) : proposed);
  });
}

function placeOf(title: SearchTitle, { height, crf }: Pick<Wish, 'height' | 'crf'>): Place {
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

/** The ladder that the curves predict, best first. */
function predictLadder(title: SearchTitle, curves: readonly ShotCurves[]): PlannedRung[] {
  const { limits } = title;
  const candidates = title.heights.flatMap((height) =>
    allocate(predictPoints(title, curves, height), limits.floorDrop).map((allocation) => ({ ...allocation, height })),
  );
  return chooseLadder(candidates, {
    ...limits,
    qualityCap: limits.qualityCap + SLACK,
    minimumStep: limits.minimumStep + SLACK,
  });
}

/**
 * The first encodes: at the places of the predicted rungs, those first that leave the rungs' qualities least uncertain,
 * and no more than the uncertainty asks. Every unit begins at the top rung, so that there is always one whole rung.
 */
export function seedWishes(title: SearchTitle): Wish[] {
  const curves = curvesOf(title, []);
  const rungs = predictLadder(title, curves);
  return title.units.flatMap((_, unit) => {
    const places = rungs.flatMap((rung) => rung.points.filter((point) => point.unit === unit));
    const chosen: Wish[] = [];
    let known = curves[unit];
    while (known !== undefined && chosen.length < Math.min(title.search.mostSeeds, places.length)) {
      const now: ShotCurves = known;
      const after = (place: Wish): number => doubt(title, learnBlind(title, now, place), places);
      if (chosen.length > 0 && doubt(title, now, places) <= title.search.tolerance) break;
      const left = places.filter((place) => !chosen.some((other) => isSame(place, other)));
      const best = chosen.length === 0 ? left[0] : left.toSorted((a, b) => after(a) - after(b))[0];
      if (best === undefined) break;
      chosen.push(best);
      known = learnBlind(title, now, best);
    }
    return chosen.map(({ height, crf }) => ({ unit, height, crf }));
  });
}

/** The largest uncertainty at any of the places, in points. */
function doubt(title: SearchTitle, curves: ShotCurves, places: readonly Wish[]): number {
  return Math.max(...places.map((place) => forecast(curves, placeOf(title, place)).qualityError));
}

/** The curves after a trial with the predicted outcome: what is learnt of uncertainty does not depend on the outcome. */
function learnBlind(title: SearchTitle, curves: ShotCurves, wish: Wish): ShotCurves {
  const place = placeOf(title, wish);
  return learn(curves, place, forecast(curves, place));
}

/**
 * The encodes that the rungs still lack: units of a rung for which no trial that can ship is near the CRF that the curves
 * now ask for, and further ones where the near trials together would move the rung off its planned quality. With a final
 * preset of its own (no trial ships yet) only the top rung is asked for: the others are then planned from what the
 * preset turned out to do.
 */
export function rungWishes(title: SearchTitle, trials: readonly Measured[]): Wish[] {
  const curves = curvesOf(title, trials);
  const rungs = predictLadder(title, curves);
  const shipping = trials.filter((trial) => trial.ships);
  const asked = shipping.length === 0 ? rungs.slice(0, 1) : rungs;
  return withinBudget(
    title,
    trials,
    asked.flatMap((rung) => lackOf(title, rung, shipping)),
  );
}

/** Each wish once and none that was made, the first ones of a unit while it may still be tried: rungs come best first. */
function withinBudget({ units, search }: SearchTitle, trials: readonly Measured[], wishes: readonly Wish[]): Wish[] {
  const made = trials.filter((trial) => trial.ships);
  const once = wishes.filter(
    (wish, at) => at === wishes.findIndex((other) => isSame(wish, other)) && !made.some((trial) => isSame(wish, trial)),
  );
  return units.flatMap((_, unit) => {
    const left = search.mostTrials - trials.filter((trial) => trial.unit === unit).length;
    return once.filter((wish) => wish.unit === unit).slice(0, Math.max(0, left));
  });
}

function isSame(a: Wish, b: Wish): boolean {
  return a.unit === b.unit && a.height === b.height && a.crf === b.crf;
}

function lackOf({ units, search }: SearchTitle, rung: PlannedRung, shipping: readonly Measured[]): Wish[] {
  const frames = units.reduce((sum, unit) => sum + unit.frames, 0);
  const wishes: Wish[] = [];
  const near: { readonly wish: Wish; readonly shift: number }[] = [];
  for (const { unit, height, crf, quality } of rung.points) {
    const wish = { unit, height, crf };
    const trial = nearest(shipping, wish);
    if (trial === undefined || Math.abs(trial.crf - crf) > search.snap) wishes.push(wish);
    else near.push({ wish, shift: ((trial.quality - quality) * (units[unit]?.frames ?? 0)) / frames });
  }
  // Largest first, of the sign that they add up to, until what is left is small.
  near.sort((a, b) => Math.abs(b.shift) - Math.abs(a.shift));
  for (;;) {
    const shift = near.reduce((sum, one) => sum + one.shift, 0);
    const at = near.findIndex((one) => one.shift * shift > 0);
    if (Math.abs(shift) <= MOST_SHIFT || at < 0) return wishes;
    wishes.push(...near.splice(at, 1).map(({ wish }) => wish));
  }
}

/** The trial of a unit at a height whose CRF is nearest; undefined without any. */
function nearest<Trial extends Measured>(trials: readonly Trial[], { unit, height, crf }: Wish): Trial | undefined {
  return trials
    .filter((trial) => trial.unit === unit && trial.height === height)
    .toSorted((a, b) => Math.abs(a.crf - crf) - Math.abs(b.crf - crf))[0];
}

/**
 * The predicted rungs as the trials can ship them: at every unit the trial nearest to the wanted CRF, and a better one
 * where that turned out below the floor. Only rungs of which no unit is further off than `snap`.
 */
export function madeRungs<Trial extends Measured>(title: SearchTitle, trials: readonly Trial[]) {
  const shipping = trials.filter((trial) => trial.ships);
  return predictLadder(title, curvesOf(title, trials)).flatMap(({ height, points: wanted }) => {
    const points = wanted.flatMap((wish) => {
      const trial = nearest(shipping, wish);
      return trial === undefined || Math.abs(trial.crf - wish.crf) > title.search.snap ? [] : [trial];
    });
    const here = title.units.map((_, unit) => shipping.filter((t) => t.unit === unit && t.height === height));
    return points.length < wanted.length ? [] : [{ height, ...lift(title, points, here) }];
  });
}

/** Raises units that are below the floor to the cheapest of their trials that is better; the mean rises too, so repeats. */
function lift<Trial extends Measured>(
  { units, limits }: SearchTitle,
  chosen: readonly Trial[],
  trials: readonly (readonly Trial[])[],
): { readonly points: readonly Trial[]; readonly bits: number; readonly quality: number } {
  const points = [...chosen];
  for (;;) {
    const quality = meanQuality(units, points);
    const raised = points.flatMap((point, unit) => {
      if (point.quality >= quality - limits.floorDrop) return [];
      const better = trials[unit]?.filter((trial) => trial.quality > point.quality) ?? [];
      const next = better.toSorted((a, b) => a.bits - b.bits)[0];
      return next === undefined ? [] : [{ unit, next }];
    });
    if (raised.length === 0) return { points, quality, bits: points.reduce((sum, point) => sum + point.bits, 0) };
    for (const { unit, next } of raised) points[unit] = next;
  }
}
