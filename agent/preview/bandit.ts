// Which arm to show: linear Thompson sampling or LinUCB over scores, with the exact chance of each arm. Pure: chance
// comes in.
import { factorise } from '../experiment/cholesky.ts';
import type { Scores } from './bandit-linear.ts';

/** The policies that a node can follow; `uniform` learns nothing and is what off-policy estimates are surest of. */
export const POLICIES = ['thompson', 'linucb', 'uniform'] as const;
export type Policy = (typeof POLICIES)[number];

/** How an arm is chosen. */
export type PolicyOptions = {
  readonly policy: Policy;
  /** Share of all choices that is uniform, 0..1. */
  readonly explorationRatio: number;
  /** Least chance of each arm; above 1 / arms it means 1 / arms. */
  readonly leastPropensity: number;
  /** Standard deviations that LinUCB adds to the mean, at least; at most twice that. */
  readonly confidence: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
};

/** Draws per choice. Their shares of wins are the propensities, so more draws make them smoother, not more exact. */
const DRAWS = 128;

/**
 * Chance of each arm, sum 1.
 *
 * `thompson` (Agrawal and Goyal 2013) has no closed form for correlated arms, so coefficients are drawn DRAWS times and
 * each arm gets the share of draws that it won; drawArm() then draws from these very shares. So the logged propensity is
 * exact given the draws, and estimates from the log (IPS, SNIPS, DR) are unbiased.
 *
 * `linucb` shows the arm of the highest mean + z * deviation (Li et al. 2010, algorithm 1), its width z drawn evenly from
 * `confidence` to twice that for each choice (Vaswani et al. 2020): the share of widths at which an arm is highest is its
 * chance, so that, unlike with one width, the log tells of more than one arm.
 */
export function policyShares(
  scores: Scores,
  options: Pick<PolicyOptions, 'policy' | 'confidence' | 'random'>,
): Float64Array {
  const count = scores.means.length;
  if (options.policy === 'uniform' || count === 1) return new Float64Array(count).fill(1 / count);
  if (options.policy === 'thompson') return thompsonShares(scores, options.random);
  const deviations = scores.means.map((_, i) => Math.sqrt(Math.max(0, scores.covariance[i * count + i] ?? 0)));
  const raised = scores.means.map((mean, i) => mean + options.confidence * (deviations[i] ?? 0));
  return envelopeShares(raised, deviations, options.confidence);
}

/** Share of 0..`widest` on which each line mean + z * slope is the highest; of equal lines the first. */
export function envelopeShares(means: Float64Array, slopes: Float64Array, widest: number): Float64Array {
  const shares = new Float64Array(means.length);
  const heights = Array.from(means);
  const highest = Math.max(...heights);
  let best = largestOf(heights.map((mean, i) => (mean === highest ? (slopes[i] ?? 0) : Number.NEGATIVE_INFINITY)));
  for (let from = 0; from < widest; ) {
    let to = widest;
    let next = best;
    for (const [i, mean] of heights.entries()) {
      const steeper = (slopes[i] ?? 0) - (slopes[best] ?? 0);
      if (steeper <= 0) continue;
      const crossing = Math.max(from, ((means[best] ?? 0) - mean) / steeper);
      const isSteepest = crossing === to && (slopes[i] ?? 0) > (slopes[next] ?? 0);
      if (crossing < to || isSteepest) {
        to = crossing;
        next = i;
      }
    }
    shares[best] = (shares[best] ?? 0) + (to - from) / widest;
    if (next === best) break;
    best = next;
    from = to;
  }
  if (widest <= 0) shares[best] = 1;
  return shares;
}

/** Mixes shares with the uniform floor: each arm keeps at least explorationRatio / arms and leastPropensity. */
export function withFloor(
  shares: ArrayLike<number>,
  { explorationRatio, leastPropensity }: Pick<PolicyOptions, 'explorationRatio' | 'leastPropensity'>,
): number[] {
  const count = shares.length;
  const uniform = Math.min(1, Math.max(explorationRatio, leastPropensity * count));
  return Array.from(shares, (share) => uniform / count + (1 - uniform) * share);
}

/** Index drawn from propensities by one uniform number in [0, 1). */
export function drawArm(propensities: readonly number[], random: number): number {
  let reached = 0;
  for (const [index, propensity] of propensities.entries()) {
    reached += propensity;
    if (random < reached) return index;
  }
  return propensities.findLastIndex((propensity) => propensity > 0);
}

/** Index of the first largest value. */
function largestOf(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i += 1) if ((values[i] ?? 0) > (values[best] ?? 0)) best = i;
  return best;
}

function thompsonShares({ means, covariance }: Scores, random: () => number): Float64Array {
  const count = means.length;
  const factor = factorise(covariance, count);
  const wins = new Float64Array(count);
  const normals = new Float64Array(count + 1);
  for (let draw = 0; draw < DRAWS; draw += 1) {
    for (let i = 0; i < count; i += 2) {
      // Box and Muller 1958; 1 - random() is never 0.
      const radius = Math.sqrt(-2 * Math.log(1 - random()));
      const angle = 2 * Math.PI * random();
      normals[i] = radius * Math.cos(angle);
      normals[i + 1] = radius * Math.sin(angle);
    }
    let best = 0;
    let highest = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < count; i += 1) {
      let value = means[i] ?? 0;
      const row = i * count;
      for (let k = 0; k <= i; k += 1) value += (factor[row + k] ?? 0) * (normals[k] ?? 0);
      if (value > highest) {
        highest = value;
        best = i;
      }
    }
    wins[best] = (wins[best] ?? 0) + 1 / DRAWS;
  }
  return wins;
}
