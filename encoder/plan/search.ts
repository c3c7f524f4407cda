// Decides which encodes of a title are worth making: a few to learn the curves of its units, then those that its rungs
// are made of. Deterministic: the same shots and trials give the same wishes. Pure.
import { allocate, meanQuality } from './allocate.ts';
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
/** Trials that ship in place of wanted ones may move their rung by this many points together. */
const MOST_SHIFT = 0.4;

/** How many units go ahead: a share of them, but no fewer and no more than this. */
const PILOTS = { share: 0.25, least: 2, most: 12 } as const;
/** Another height rivals a rung when it comes within so many points of it for at most so many times its bits. */
const RIVAL = { points: 3, bits: 1.6 } as const;
/** Twice the bits are worth about this many points in the middle of a ladder. */
const POINTS_PER_OCTAVE = 12;

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

/**
 * The curves of every unit after the trials. What the units share is learnt first, from all of them, so that few trials of
 * each are enough; a unit's own trials then count again for what is its own.
 */
export function curvesOf(title: SearchTitle, trials: readonly Measured[]): ShotCurves[] {
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
  return priors.map((prior, unit) => {
    const take = (curves: ShotCurves, trial: Measured): ShotCurves =>
      learn(curves, placeOf(title, trial), outcomeOf(trial));
    const mine = trials.filter((trial) => trial.unit === unit);
    const proposed = mine.filter((trial) => !trial.ships).reduce(take, shifted(prior, shift));
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
    allocate(predictPoints(title, curves, height), limits.floorDrop - SLACK).map((allocation) => ({
      ...allocation,
      height,
    })),
  );
  return chooseLadder(candidates, {
    ...limits,
    qualityCap: limits.qualityCap + SLACK,
    minimumStep: limits.minimumStep + SLACK,
  });
}

/** The rounds of a search: `seeds` and `pilots` of a few units, `most` and `all` of every unit, `fix` where rungs fail. */
export const ROUNDS = ['seeds', 'pilots', 'most', 'all', 'fix'] as const;
/** One of them. */
export type Round = (typeof ROUNDS)[number];

/** Whether the trials make as many rungs as the curves promise. */
function isWhole(title: SearchTitle, trials: readonly Measured[]): boolean {
  const planned = predictLadder(title, curvesOf(title, trials));
  return chooseLadder(measuredCandidates(title, trials), title.limits).length >= planned.length;
}

/**
 * The encodes of a round. A few pilot units, spread over the title, first learn what its units have in common, where most
 * predictions that turn out wrong are paid for; with that known, the others need little beyond their rungs.
 */
export function wishesOf(title: SearchTitle, trials: readonly Measured[], round: Round): Wish[] {
  const count = title.units.length;
  const pilotCount = Math.min(count, Math.max(PILOTS.least, Math.min(PILOTS.most, Math.ceil(count * PILOTS.share))));
  const pilots = new Set(Array.from({ length: pilotCount }, (_, at) => Math.floor(((at + 0.5) * count) / pilotCount)));
  if (round === 'seeds') return seedWishes(title, pilots);
  if (round === 'fix' && isWhole(title, trials)) return [];
  const wishes = rungWishes(title, trials, round === 'all' || round === 'fix');
  return round === 'pilots' ? wishes.filter((wish) => pilots.has(wish.unit)) : wishes;
}

/**
 * The first encodes: at the places of the predicted rungs and of their nearest rivals at the other heights, those first
 * that leave least doubt, and no more than the doubt asks. Every unit begins at the top rung, so that there is always
 * one whole rung. What a unit's trials say of the whole title counts for the units after it.
 */
function seedWishes(title: SearchTitle, pilots: ReadonlySet<number>): Wish[] {
  const curves = curvesOf(title, []);
  const rungs = predictLadder(title, curves);
  const rivals = rungs.flatMap((rung) => rivalsOf(title, curves, rung));
  let shift = titleShift(title.model, title.search.trust);
  return title.units.flatMap(({ features }, unit) => {
    if (!pilots.has(unit)) return [];
    const mine = (of: readonly PlannedRung[]) => of.flatMap(({ points }) => points.filter((p) => p.unit === unit));
    const [onRungs, places] = [mine(rungs), mine([...rungs, ...rivals])];
    const prior = priorCurves(features, title.model, title.search.trust);
    const chosen: Wish[] = [];
    let known = shifted(prior, shift);
    while (chosen.length < title.search.mostSeeds) {
      const now: ShotCurves = known;
      if (chosen.length > 0 && doubt(title, now, places) <= title.search.tolerance) break;
      const after = (place: Wish): number => doubt(title, learnBlind(title, now, place), places);
      const left = places.filter((place) => !chosen.some((other) => isSame(place, other)));
      const best = chosen.length === 0 ? onRungs[0] : left.toSorted((a, b) => after(a) - after(b))[0];
      if (best === undefined) break;
      chosen.push(best);
      known = learnBlind(title, now, best);
      shift = learnShift(shift, prior, placeOf(title, best), forecast(now, placeOf(title, best)));
    }
    return chosen.map(({ height, crf }) => ({ unit, height, crf }));
  });
}

/** The same quality as a rung at the other heights, where that might turn out cheaper after all. */
function rivalsOf(title: SearchTitle, curves: readonly ShotCurves[], rung: PlannedRung): PlannedRung[] {
  return title.heights.flatMap((height) => {
    if (height === rung.height) return [];
    const off = (one: { readonly quality: number }): number => Math.abs(one.quality - rung.quality);
    const [nearestRival] = allocate(predictPoints(title, curves, height), title.limits.floorDrop)
      .map((allocation) => ({ ...allocation, height }))
      .sort((a, b) => off(a) - off(b));
    const isRival = nearestRival !== undefined && off(nearestRival) < RIVAL.points;
    return isRival && nearestRival.bits < rung.bits * RIVAL.bits ? [nearestRival] : [];
  });
}

/** The largest uncertainty at any of the places, in points: of quality, and of bits in the points that they are worth. */
function doubt(title: SearchTitle, curves: ShotCurves, places: readonly Wish[]): number {
  const errors = places.map((place) => {
    const { qualityError, bitsError } = forecast(curves, placeOf(title, place));
    return Math.hypot(qualityError, bitsError * POINTS_PER_OCTAVE);
  });
  return Math.max(...errors);
}

/** The curves after a trial with the predicted outcome: what is learnt of uncertainty does not depend on the outcome. */
function learnBlind(title: SearchTitle, curves: ShotCurves, wish: Wish): ShotCurves {
  const place = placeOf(title, wish);
  return learn(curves, place, forecast(curves, place));
}

/**
 * The encodes that the rungs still lack: units of a rung for which no trial that can ship is near the CRF that the curves
 * now ask for, and further ones where the near trials together would move the rung off its planned quality. Before the
 * last round every other rung: what these turn out to be may move those between them. With a final preset of its own (no
 * trial ships yet) only the top rung, for then the others are planned from what the preset turned out to do.
 */
function rungWishes(title: SearchTitle, trials: readonly Measured[], isLast: boolean): Wish[] {
  const curves = curvesOf(title, trials);
  const rungs = predictLadder(title, curves);
  const shipping = trials.filter((trial) => trial.ships);
  const asked = shipping.length === 0 ? rungs.slice(0, 1) : rungs.filter((_, at) => isLast || at % 2 === 0);
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

function lackOf(title: SearchTitle, rung: PlannedRung, shipping: readonly Measured[]): Wish[] {
  const { units } = title;
  const frames = units.reduce((sum, unit) => sum + unit.frames, 0);
  const wishes: Wish[] = [];
  const near: { readonly wish: Wish; readonly shift: number }[] = [];
  for (const { unit, height, crf, quality } of rung.points) {
    const wish = { unit, height, crf };
    const trial = standIn(title, rung, wish, shipping);
    if (trial === undefined) wishes.push(wish);
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

/** The trial that can ship in a wish's place: the nearest one within snap that is not below the rung's floor. */
function standIn<Trial extends Measured>(
  { search, limits }: SearchTitle,
  rung: PlannedRung,
  { unit, height, crf }: Wish,
  trials: readonly Trial[],
): Trial | undefined {
  const off = (trial: Trial): number => Math.abs(trial.crf - crf);
  const near = trials.filter((trial) => trial.unit === unit && trial.height === height && off(trial) <= search.snap);
  const above = near.filter((trial) => trial.quality >= rung.quality - limits.floorDrop || off(trial) === 0);
  return above.toSorted((a, b) => off(a) - off(b))[0];
}

/**
 * The predicted rungs as the trials can ship them: at every unit the trial nearest to the wanted CRF, and a better one
 * where that turned out below the floor. Only rungs of which no unit is further off than `snap`.
 */
function madeRungs<Trial extends Measured>(title: SearchTitle, trials: readonly Trial[]) {
  const shipping = trials.filter((trial) => trial.ships);
  return predictLadder(title, curvesOf(title, trials)).flatMap((rung) => {
    const { height, points: wanted } = rung;
    const points = wanted.flatMap((wish) => standIn(title, rung, wish, shipping) ?? []);
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

/** Everything that the trials can ship at one height: allocations of constant slope, and the predicted rungs as made. */
export function measuredCandidates<Trial extends Measured>(title: SearchTitle, trials: readonly Trial[]) {
  const shipping = trials.filter((trial) => trial.ships);
  const measured = title.heights.flatMap((height) => {
    const own = title.units.map(({ frames }, unit) => ({
      frames,
      points: shipping.filter((trial) => trial.height === height && trial.unit === unit),
    }));
    if (own.some(({ points }) => points.length === 0)) return [];
    return allocate(own, title.limits.floorDrop).map((allocation) => ({ ...allocation, height }));
  });
  return [...measured, ...madeRungs(title, trials)];
}
