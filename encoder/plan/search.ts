// Decides which encodes of a title are worth making: a few to learn the curves of its units, then those that its rungs
// are made of. Deterministic: the same shots and trials give the same wishes. Pure.
import { allocate, meanQuality } from './allocate.ts';
import { forecast, learn, learnShift, priorCurves, type ShotCurves, shifted, titleShift } from './curves.ts';
import { chooseLadder } from './ladder.ts';
import {
  byUnit,
  type Measured,
  type Outlook,
  outlookOf,
  type PlannedRung,
  placeOf,
  predictAllocations,
  type SearchTitle,
  type Wish,
} from './outlook.ts';

/** Trials that ship in place of wanted ones may move their rung by this many points together. */
const MOST_SHIFT = 0.4;

/** How many units go ahead: a share of them, but no fewer and no more than this. */
const PILOTS = { share: 0.25, least: 2, most: 12 } as const;
/** Another height rivals a rung when it comes within so many points of it for at most so many times its bits. */
const RIVAL = { points: 3, bits: 1.6 } as const;
/** Twice the bits are worth about this many points in the middle of a ladder. */
const POINTS_PER_OCTAVE = 12;

/** The rounds of a search: `seeds` and `pilots` of a few units, `most` and `all` of every unit, `fix` where rungs fail. */
export const ROUNDS = ['seeds', 'pilots', 'most', 'all', 'fix'] as const;
/** One of them. */
export type Round = (typeof ROUNDS)[number];

/** Whether the trials make as many rungs as the curves promise. */
function isWhole(title: SearchTitle, trials: readonly Measured[], outlook: Outlook): boolean {
  return chooseLadder(measuredCandidates(title, trials, outlook), title.limits).length >= outlook.rungs.length;
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
  const outlook = outlookOf(title, trials);
  if (round === 'fix' && isWhole(title, trials, outlook)) return [];
  const wishes = rungWishes(title, trials, outlook, round === 'all' || round === 'fix');
  return round === 'pilots' ? wishes.filter((wish) => pilots.has(wish.unit)) : wishes;
}

/**
 * The first encodes: at the places of the predicted rungs and of their nearest rivals at the other heights, those first
 * that leave least doubt, and no more than the doubt asks. Every unit begins at the top rung, so that there is always
 * one whole rung. What a unit's trials say of the whole title counts for the units after it.
 */
function seedWishes(title: SearchTitle, pilots: ReadonlySet<number>): Wish[] {
  const { curves, rungs } = outlookOf(title, []);
  const all = title.heights.map((height) => predictAllocations(title, curves, height, title.limits.floorDrop));
  const rivals = rungs.flatMap((rung) => rivalsOf(rung, all));
  let shift = titleShift(title.model, title.search.trust);
  return title.units.flatMap(({ features }, unit) => {
    if (!pilots.has(unit)) return [];
    const mine = (of: readonly PlannedRung[]) => of.flatMap(({ points }) => points[unit] ?? []);
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

/** The same quality as a rung at the other heights, where that might turn out cheaper after all; `all`: by height. */
function rivalsOf(rung: PlannedRung, all: readonly (readonly PlannedRung[])[]): PlannedRung[] {
  return all.flatMap((allocations) => {
    const off = (one: PlannedRung): number => Math.abs(one.quality - rung.quality);
    const nearest = allocations.toSorted((a, b) => off(a) - off(b))[0];
    if (nearest === undefined || nearest.height === rung.height || off(nearest) >= RIVAL.points) return [];
    return nearest.bits < rung.bits * RIVAL.bits ? [nearest] : [];
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
function rungWishes(title: SearchTitle, trials: readonly Measured[], { rungs }: Outlook, isLast: boolean): Wish[] {
  const shipping = trials.filter((trial) => trial.ships);
  const asked = shipping.length === 0 ? rungs.slice(0, 1) : rungs.filter((_, at) => isLast || at % 2 === 0);
  const made = byUnit(title, shipping);
  return withinBudget(
    title,
    trials,
    asked.flatMap((rung) => lackOf(title, rung, made)),
  );
}

/** Each wish once and none that was made, the first ones of a unit while it may still be tried: rungs come best first. */
function withinBudget(title: SearchTitle, trials: readonly Measured[], wishes: readonly Wish[]): Wish[] {
  const wished = byUnit(title, wishes);
  return byUnit(title, trials).flatMap((mine, unit) => {
    const made = mine.filter((trial) => trial.ships);
    const once = (wished[unit] ?? []).filter(
      (wish, at, all) => at === all.findIndex((other) => isSame(wish, other)) && !made.some((t) => isSame(wish, t)),
    );
    return once.slice(0, Math.max(0, title.search.mostTrials - mine.length));
  });
}

function isSame(a: Wish, b: Wish): boolean {
  return a.unit === b.unit && a.height === b.height && a.crf === b.crf;
}

/** `made`: the shipping trials of each unit. */
function lackOf(title: SearchTitle, rung: PlannedRung, made: readonly (readonly Measured[])[]): Wish[] {
  const { units } = title;
  const frames = units.reduce((sum, unit) => sum + unit.frames, 0);
  const wishes: Wish[] = [];
  const near: { readonly wish: Wish; readonly shift: number }[] = [];
  for (const { unit, height, crf, quality } of rung.points) {
    const wish = { unit, height, crf };
    const trial = standIn(title, rung, wish, made[unit] ?? []);
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

/** That one of a unit's trials that can ship in a wish's place: the nearest within snap that is not below the rung's floor. */
function standIn<Trial extends Measured>(
  { search, limits }: SearchTitle,
  rung: PlannedRung,
  { height, crf }: Wish,
  trials: readonly Trial[],
): Trial | undefined {
  const off = (trial: Trial): number => Math.abs(trial.crf - crf);
  const near = trials.filter((trial) => trial.height === height && off(trial) <= search.snap);
  const above = near.filter((trial) => trial.quality >= rung.quality - limits.floorDrop || off(trial) === 0);
  return above.toSorted((a, b) => off(a) - off(b))[0];
}

/**
 * The predicted rungs as the trials can ship them: at every unit the trial nearest to the wanted CRF, and a better one
 * where that turned out below the floor. Only rungs of which no unit is further off than `snap`.
 */
function madeRungs<Trial extends Measured>(
  title: SearchTitle,
  made: readonly (readonly Trial[])[],
  rungs: Outlook['rungs'],
) {
  return rungs.flatMap((rung) => {
    const { height, points: wanted } = rung;
    const points = wanted.flatMap((wish) => standIn(title, rung, wish, made[wish.unit] ?? []) ?? []);
    const here = made.map((trials) => trials.filter((trial) => trial.height === height));
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
export function measuredCandidates<Trial extends Measured>(
  title: SearchTitle,
  trials: readonly Trial[],
  outlook: Outlook,
) {
  const { units, heights, limits } = title;
  const made = byUnit(
    title,
    trials.filter((trial) => trial.ships),
  );
  const measured = heights.flatMap((height) => {
    const own = units.map(({ frames }, unit) => ({
      frames,
      points: (made[unit] ?? []).filter((trial) => trial.height === height),
    }));
    if (own.some(({ points }) => points.length === 0)) return [];
    return allocate(own, limits.floorDrop).map((allocation) => ({ ...allocation, height }));
  });
  return [...measured, ...madeRungs(title, made, outlook.rungs)];
}
