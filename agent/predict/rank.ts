// Turns candidates and scores into an answer; holds the rules that score when there is no model at all.
import assert from 'node:assert/strict';
import type { Candidate, Reason } from './candidates.ts';
import { FEATURE_NAMES, type FeatureName, featureRows } from './features.ts';
import { type ScorerWeights, scoreRows } from './scorer.ts';

/** A ranked title with all that led to its place. */
export type RankedTitle = {
  readonly titleId: string;
  readonly score: number;
  readonly reasons: readonly Reason[];
  readonly features: Readonly<Record<FeatureName, number>>;
};

/**
 * Weights set by hand, in log-odds: being looked at counts most, then what follows a title almost watched to its end,
 * then what was begun lately; popularity and launches, which even at
 * their most count less than any of these, order the rest. Not learnt from anything: the baseline that a
 * model must beat.
 */
const RULE: Readonly<Record<FeatureName, number>> = {
  log_share: 4,
  launch: 1,
  is_next: 2,
  previous_progress: 2,
  previous_recency: 2,
  is_begun: 2,
  position: 0,
  begun_recency: 2.5,
  is_hovered: 7,
  genre_ratio: 0.5,
  series_ratio: 0.5,
  is_finished: -4,
  similarity: 2,
  transition: 3,
  taste: 1.5,
};

/** The rules as a scorer of one logistic layer, so that rules and model are read, run and explained alike. */
export const RULES: ScorerWeights = {
  version: 1,
  features: FEATURE_NAMES,
  mean: FEATURE_NAMES.map(() => 0),
  deviation: FEATURE_NAMES.map(() => 1),
  layers: [{ units: 1, weights: FEATURE_NAMES.map((name) => RULE[name]), bias: [-6], activation: 'sigmoid' }],
};

/** Puts candidates in order of `scores`, best first, ties by id; at most `limit` of them. */
export function orderByScore(
  candidates: readonly Candidate[],
  features: Float32Array,
  scores: Float32Array,
  limit: number,
): readonly RankedTitle[] {
  const width = FEATURE_NAMES.length;
  assert.equal(features.length, candidates.length * width, 'features must be [candidates, FEATURE_NAMES.length]');
  assert.equal(scores.length, candidates.length, 'one score for each candidate');
  return candidates
    .map((candidate, row) => ({ candidate, row, score: scores[row] ?? 0 }))
    .sort((one, other) => other.score - one.score || (one.candidate.titleId < other.candidate.titleId ? -1 : 1))
    .slice(0, limit)
    .map(({ candidate: { titleId, reasons }, row, score }) => ({
      titleId,
      score,
      reasons,
      features: namedFeatures(features.subarray(row * width, (row + 1) * width)),
    }));
}

/** Ranks by plain code: RULES, or the weights of a model whose process is not there. */
export function rankPlainly(
  candidates: readonly Candidate[],
  scorer: ScorerWeights,
  limit: number,
): readonly RankedTitle[] {
  const features = featureRows(candidates.map(({ facts }) => facts));
  return orderByScore(candidates, features, scoreRows(scorer, features, candidates.length), limit);
}

function namedFeatures(row: Float32Array): Readonly<Record<FeatureName, number>> {
  // Sound: every name of the list is given its value here.
  return Object.fromEntries(FEATURE_NAMES.map((name, column) => [name, row[column] ?? 0])) as Record<
    FeatureName,
    number
  >;
}
