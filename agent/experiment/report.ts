// What an experiment found, worked out from its exposures: shares, each metric's difference under a confidence sequence, and
// what the treatment caused. Pure; every number has its name in the JSON.
import type { Experiment, Variant } from './assign.ts';
import { adjustedEffect, doubleMachineLearning, type Placebo, placeboTest, type Unit } from './causal.ts';
import { checkRatio, type RatioCheck } from './ratio.ts';
import { differenceSequence, type Interval, meanOf, sumsOf, varianceOf } from './sequences.ts';

/** What a session did after its first exposure: titles begun, minutes watched, titles completed. */
export const METRICS = ['played', 'minutes', 'completed'] as const;
export type Metric = (typeof METRICS)[number];

/** One session in an experiment. Covariates are of before it; outcomes in the order of METRICS. */
export type Exposure = {
  readonly variant: string;
  readonly covariates: readonly number[];
  readonly outcomes: readonly number[];
};

/** What is to be concluded. `broken`: shares are not what they should be, so nothing else counts. */
export const VERDICTS = ['broken', 'too-little', 'better', 'worse', 'undecided'] as const;
export type Verdict = (typeof VERDICTS)[number];

/** A variant beside the first one, in one metric. */
export type Comparison = {
  readonly metric: Metric;
  readonly variant: string;
  readonly mean: number;
  readonly controlMean: number;
  readonly units: number;
  readonly verdict: Verdict;
  /** Holds at every look at once, at 95 % over all comparisons of the experiment. */
  readonly difference: Interval;
  /** 95 % intervals for one look, after the end: by regression adjustment, and by double machine learning. */
  readonly adjusted: Interval | undefined;
  readonly learned: Interval | undefined;
  /** Of double machine learning: effects that must be nothing. If they are not, do not believe it. */
  readonly placebo: Placebo;
};

/** A report. */
export type ExperimentReport = {
  readonly version: 1;
  readonly id: string;
  readonly startedAt: number;
  readonly stoppedAt: number | null;
  readonly variants: readonly (Variant & { readonly units: number })[];
  readonly ratio: RatioCheck;
  readonly comparisons: readonly Comparison[];
};

/** Fewer units than this in either variant decide nothing. */
const LEAST_UNITS = 500;
const ALPHA = 0.05;
/** Intervals that are not there yet are left open in JSON, which knows no infinity. */
const finite = ({ estimate, low, high }: Interval): Interval => ({
  estimate,
  low: Math.max(low, -Number.MAX_VALUE),
  high: Math.min(high, Number.MAX_VALUE),
});

/** Works out a report, one comparison at each step, so that a caller may let others have their turn in between. */
export function* reportSteps(
  experiment: Experiment,
  exposures: readonly Exposure[],
  random: () => number,
): Generator<undefined, ExperimentReport> {
  const { id, startedAt, stoppedAt, variants } = experiment;
  const groups = variants.map(({ name }) => exposures.filter(({ variant }) => variant === name));
  const counts = groups.map(({ length }) => length);
  const ratio = checkRatio(
    counts,
    variants.map(({ share }) => share),
  );
  const [control = []] = groups;
  const alpha = ALPHA / (METRICS.length * (variants.length - 1));
  const comparisons: Comparison[] = [];
  for (const [place, { name }] of variants.slice(1).entries()) {
    const treated = groups[place + 1] ?? [];
    for (const [index, metric] of METRICS.entries()) {
      yield undefined;
      comparisons.push({ variant: name, metric, ...compare({ treated, control, index, alpha, ratio, random }) });
    }
  }
  const counted = variants.map((variant, index) => ({ ...variant, units: counts[index] ?? 0 }));
  return { version: 1, id, startedAt, stoppedAt: stoppedAt ?? null, variants: counted, ratio, comparisons };
}

function compare({
  treated,
  control,
  index,
  alpha,
  ratio,
  random,
}: {
  readonly treated: readonly Exposure[];
  readonly control: readonly Exposure[];
  readonly index: number;
  readonly alpha: number;
  readonly ratio: RatioCheck;
  readonly random: () => number;
}): Omit<Comparison, 'variant' | 'metric'> {
  const unitsOf = (group: readonly Exposure[], isTreated: boolean): readonly Unit[] =>
    group.map(({ covariates, outcomes }) => ({ isTreated, covariates, outcome: outcomes[index] ?? 0 }));
  // Dealt out evenly, so that every fold of cross-fitting has its part of both.
  const units = [...unitsOf(treated, true), ...unitsOf(control, false)];
  const ours = sumsOf(treated.map(({ outcomes }) => outcomes[index] ?? 0));
  const theirs = sumsOf(control.map(({ outcomes }) => outcomes[index] ?? 0));
  const difference = differenceSequence(ours, theirs, alpha);
  return {
    mean: meanOf(ours),
    controlMean: meanOf(theirs),
    units: units.length,
    verdict: verdictOf({
      difference,
      least: Math.min(ours.count, theirs.count),
      ratio,
      spread: varianceOf(ours) + varianceOf(theirs),
    }),
    difference: finite(difference),
    adjusted: adjustedEffect(units),
    learned: doubleMachineLearning(units),
    placebo: placeboTest(units, random),
  };
}

function verdictOf({
  difference,
  least,
  ratio,
  spread,
}: {
  readonly difference: Interval;
  readonly least: number;
  readonly ratio: RatioCheck;
  readonly spread: number;
}): Verdict {
  if (!ratio.isSound) return 'broken';
  if (least < LEAST_UNITS || spread === 0) return 'too-little';
  if (difference.low > 0) return 'better';
  return difference.high < 0 ? 'worse' : 'undecided';
}
