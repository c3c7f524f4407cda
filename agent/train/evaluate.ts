// How well a scorer orders candidates: full ranking over all of a question's candidates, never sampled ones.
import { firstRows } from '../predict/diversity.ts';
import type { ScorerWeights } from '../predict/scorer.ts';
import { scoreRows } from '../predict/scorer.ts';
import type { Question } from './dataset.ts';

/** Scores of one question, one a row. */
export type ScoreQuestion = (question: Question) => ArrayLike<number>;

/**
 * Quality over questions. A choice that was no candidate is a miss in the hit ratios; `auc` is the mean over answered
 * questions of the chance that the choice is ordered before another candidate (ties count half).
 */
export type Quality = {
  readonly questions: number;
  /** Choices that were among the candidates; no scorer gets above it. */
  readonly coverageRatio: number;
  readonly hitRatio1: number;
  readonly hitRatio10: number;
  readonly auc: number;
  /** Share of all candidates' titles that are among the first ten of any question: how much of a catalogue is shown. */
  readonly reachRatio: number;
};

/** A scorer's scores. */
export const byScorer =
  (scorer: ScorerWeights): ScoreQuestion =>
  ({ features, titleIds }) =>
    scoreRows(scorer, features, titleIds.length);

/** Measures over questions; ties in rank count as if half of them came before. */
export function evaluate(questions: readonly Question[], score: ScoreQuestion): Quality {
  let covered = 0;
  let first = 0;
  let tenth = 0;
  let auc = 0;
  const offered = new Set<string>();
  const shown = new Set<string>();
  for (const question of questions) {
    if (question.chosen < 0) continue;
    const scores = score(question);
    for (const titleId of question.titleIds) offered.add(titleId);
    for (const row of firstRows(scores, 10)) shown.add(question.titleIds[row] ?? '');
    const own = scores[question.chosen] ?? 0;
    let better = 0;
    let equal = -1;
    for (let row = 0; row < scores.length; row += 1) {
      if ((scores[row] ?? 0) > own) better += 1;
      else if (scores[row] === own) equal += 1;
    }
    const rank = better + equal / 2;
    covered += 1;
    if (rank < 1) first += 1;
    if (rank < 10) tenth += 1;
    auc += scores.length > 1 ? 1 - rank / (scores.length - 1) : 1;
  }
  const questionCount = Math.max(1, questions.length);
  return {
    questions: questions.length,
    coverageRatio: covered / questionCount,
    hitRatio1: first / questionCount,
    hitRatio10: tenth / questionCount,
    auc: covered > 0 ? auc / covered : 0,
    reachRatio: shown.size / Math.max(1, offered.size),
  };
}
