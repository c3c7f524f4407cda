// The recipe of the model that ships: a workload, a split by time, training, and figures of the last part alone.
import { RULES } from '../predict/rank.ts';
import type { ScorerWeights } from '../predict/scorer.ts';
import { makeQuestions, type Question } from './dataset.ts';
import { byScorer, evaluate } from './evaluate.ts';
import { trainScorer } from './scorer.ts';
import { makeWorkload, WORKLOAD_START, type WorkloadOptions } from './workload.ts';

/** What to train on and how; the last `testDays` are kept for the figures. */
export type SeedRecipe = WorkloadOptions & { readonly testDays: number; readonly depth: number };

/** What ships. Two days warm popularity up, 18 are learnt from, 8 are tested on. */
export const SEED_RECIPE: SeedRecipe = {
  seed: 20_260_101,
  viewers: 100,
  series: 40,
  films: 160,
  days: 28,
  testDays: 8,
  depth: 40,
};

/** Weights, and figures of model and rules on the test part. */
export type TrainedSeed = { readonly scorer: ScorerWeights; readonly metrics: Readonly<Record<string, number>> };

/** Questions of a recipe, those before the split and those after it. */
function splitQuestions(recipe: SeedRecipe): { train: readonly Question[]; test: readonly Question[] } {
  const questions = makeQuestions(makeWorkload(recipe), recipe.depth);
  const cut = WORKLOAD_START + (recipe.days - recipe.testDays) * 86_400_000;
  return { train: questions.filter(({ at }) => at < cut), test: questions.filter(({ at }) => at >= cut) };
}

/** Trains by a recipe. The same recipe gives the same weights to the bit. */
export function trainSeed(recipe: SeedRecipe): TrainedSeed {
  const { train, test } = splitQuestions(recipe);
  const scorer = trainScorer(train, { seed: recipe.seed });
  const model = evaluate(test, byScorer(scorer));
  const rules = evaluate(test, byScorer(RULES));
  return {
    scorer,
    metrics: {
      testQuestions: model.questions,
      coverageRatio: model.coverageRatio,
      hitRatio1: model.hitRatio1,
      hitRatio10: model.hitRatio10,
      auc: model.auc,
      rulesHitRatio1: rules.hitRatio1,
      rulesHitRatio10: rules.hitRatio10,
      rulesAuc: rules.auc,
    },
  };
}
