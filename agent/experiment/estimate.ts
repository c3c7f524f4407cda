// What another policy would have earned, told from choices whose propensities were logged: IPS, SNIPS and DR, each with an
// interval, the effective sample size, and a refusal to say anything from too little. Pure.
import type { Interval } from './sequences.ts';

/** A logged choice: chances and expected rewards of all arms, in one order, and the reward of the chosen one, 0..1. */
export type LoggedChoice = {
  readonly chosen: number;
  readonly propensities: readonly number[];
  readonly expected: readonly number[];
  readonly reward: number;
};

/** A policy: the chance that it would have given each arm of a logged choice. */
export type TargetPolicy = (choice: LoggedChoice) => readonly number[];

/** Estimates of a policy's mean reward; undefined where all weights are 0. */
export type Estimate = {
  readonly count: number;
  /** Choices that uniform weights would have taken to be as sure: (sum w)^2 / sum w^2 (Kish 1965). */
  readonly effectiveCount: number;
  /** False: too little to decide by, whatever the intervals look like. */
  readonly isDecidable: boolean;
  readonly ips: Interval;
  readonly snips: Interval;
  readonly dr: Interval;
};

/** Below this effective sample the intervals of heavy weights cover less than they claim. */
export const LEAST_EFFECTIVE_COUNT = 1_000;
/** Two-sided 95 % of a normal variable. */
const Z_95 = 1.959963984540054;

/**
 * Estimates with 95 % intervals: IPS (Horvitz and Thompson 1952), SNIPS (Swaminathan and Joachims 2015, its variance by
 * the delta method), DR (Dudik, Langford and Li 2011) with the expectations that were logged with each choice. Undefined
 * of no choice. A choice whose arm had no chance, which no sound log has, is left out.
 */
export function estimatePolicy(choices: readonly LoggedChoice[], target: TargetPolicy): Estimate | undefined {
  const rows = choices.flatMap((choice) => {
    const propensity = choice.propensities[choice.chosen] ?? 0;
    if (!(propensity > 0)) return [];
    const chances = target(choice);
    const weight = (chances[choice.chosen] ?? 0) / propensity;
    const direct = chances.reduce((sum, chance, arm) => sum + chance * (choice.expected[arm] ?? 0), 0);
    return [
      { weight, reward: choice.reward, dr: direct + weight * (choice.reward - (choice.expected[choice.chosen] ?? 0)) },
    ];
  });
  const count = rows.length;
  if (count === 0) return undefined;
  const weights = rows.reduce((sum, { weight }) => sum + weight, 0);
  const squares = rows.reduce((sum, { weight }) => sum + weight * weight, 0);
  const effectiveCount = squares === 0 ? 0 : (weights * weights) / squares;
  const earned = rows.reduce((sum, { weight, reward }) => sum + weight * reward, 0);
  const snips = weights === 0 ? 0 : earned / weights;
  const residuals = rows.reduce((sum, { weight, reward }) => sum + (weight * (reward - snips)) ** 2, 0);
  return {
    count,
    effectiveCount,
    isDecidable: effectiveCount >= LEAST_EFFECTIVE_COUNT,
    ips: meanInterval(rows.map(({ weight, reward }) => weight * reward)),
    snips: around(snips, weights === 0 ? Number.POSITIVE_INFINITY : Math.sqrt(residuals) / weights),
    dr: meanInterval(rows.map(({ dr }) => dr)),
  };
}

function meanInterval(values: readonly number[]): Interval {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return around(mean, count < 2 ? Number.POSITIVE_INFINITY : Math.sqrt(squares / (count - 1) / count));
}

function around(estimate: number, error: number): Interval {
  return { estimate, low: estimate - Z_95 * error, high: estimate + Z_95 * error };
}
