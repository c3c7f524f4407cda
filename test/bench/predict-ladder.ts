// The part of `npm run bench:predict` that asks what each step of the recommender adds on generated viewers: rules, live
// popularity and launches, item-to-item, transformer. Every title of the catalogue competes, also those watched before.
// A step's weight is chosen on the week before the one that figures are of; a step that adds nothing gets weight 0.
import { standardised } from '../../agent/predict/blend.ts';
import { firstRows } from '../../agent/predict/diversity.ts';
import { scoreEase } from '../../agent/predict/ease.ts';
import { FEATURE_NAMES } from '../../agent/predict/features.ts';
import { RULES } from '../../agent/predict/rank.ts';
import { scoreRows } from '../../agent/predict/scorer.ts';
import { makeQuestions, type Question } from '../../agent/train/dataset.ts';
import { addToHistory, historiesOf, type NumberedInteraction } from '../../agent/train/interactions.ts';
import { type MeasuredRanker, sequenceFeeds } from '../../agent/train/measure-ranker.ts';
import { trainRanker } from '../../agent/train/ranker.ts';
import { makeWorkload, WORKLOAD_START } from '../../agent/train/workload.ts';
import { numbered, openTrained } from './predict-movielens.ts';

const RECIPE = { seed: 11, viewers: 500, series: 40, films: 160, days: 42 };
const DEPTH = 40;
const DAY_MS = 86_400_000;
const VALIDATION_FROM = WORKLOAD_START + 28 * DAY_MS;
const TEST_FROM = WORKLOAD_START + 35 * DAY_MS;
const WEIGHTS = [0, 0.1, 0.2, 0.4, 0.8, 1.6];
const POPULARITY = ['log_share', 'launch'];

/** What each step says of all titles. */
type Steps = {
  readonly rules: Float32Array;
  readonly popularity: Float32Array;
  readonly ease: Float32Array;
  readonly sequence: Float32Array;
};
type Asked = { readonly at: number; readonly target: number; readonly steps: Steps };

/** Log-odds of the rules by title; titles that are no candidates get those of one of which nothing is known. */
function ruleScores(question: Question, rowOf: ReadonlyMap<string, number>, isPopular: boolean): Float32Array {
  const width = FEATURE_NAMES.length;
  const features = question.features.map((value, at) =>
    !isPopular && POPULARITY.includes(FEATURE_NAMES[at % width] ?? '') ? 0 : value,
  );
  const scores = new Float32Array(rowOf.size).fill(RULES.layers[0]?.bias[0] ?? 0);
  const chances = scoreRows(RULES, features, question.titleIds.length);
  question.titleIds.forEach((titleId, at) => {
    const row = rowOf.get(titleId);
    const chance = Math.min(1 - 1e-6, Math.max(1e-6, chances[at] ?? 0));
    if (row !== undefined) scores[row] = Math.log(chance / (1 - chance));
  });
  return scores;
}

async function sequenceScores(ranker: MeasuredRanker, history: readonly number[]): Promise<Float32Array> {
  const titles = ranker.neighbours.titleIds.length;
  const { scores } = await ranker.session.run(sequenceFeeds(ranker, titles, [history]), ['scores']);
  if (!(scores?.values instanceof Float32Array)) throw new TypeError('no scores');
  return scores.values;
}

/** Answers of all steps to the questions of the last two weeks. */
async function ask(): Promise<readonly Asked[]> {
  const workload = makeWorkload(RECIPE);
  const questions = makeQuestions(workload, DEPTH);
  const interactions = workload.events.map(({ viewer, titleId, at }) => ({
    viewer: String(viewer),
    titleId,
    at,
    weight: 1,
  }));
  const trained = await trainRanker(
    interactions.filter(({ at }) => at < VALIDATION_FROM),
    { seed: 1, threads: 2, holdOutRatio: 0 },
  );
  const ranker = await openTrained(trained, false);
  const { neighbours, blend } = ranker;
  const rowOf = new Map(neighbours.titleIds.map((titleId, row) => [titleId, row]));
  const events: readonly NumberedInteraction[] = numbered(interactions, neighbours.titleIds);
  const histories = historiesOf([]);
  const unasked = events.length - questions.length;
  const asked: Asked[] = [];
  for (const [place, event] of events.entries()) {
    const question = questions[place - unasked];
    if (question !== undefined && event.at >= VALIDATION_FROM) {
      const history = histories.get(event.viewer)?.rows ?? [];
      const steps = {
        rules: ruleScores(question, rowOf, false),
        popularity: ruleScores(question, rowOf, true),
        ease: standardised(scoreEase(neighbours, history, blend.historyDecay)),
        sequence: history.length > 0 ? await sequenceScores(ranker, history) : new Float32Array(rowOf.size),
      };
      asked.push({ at: event.at, target: event.row, steps });
    }
    if (event.row >= 0) addToHistory(histories, event);
  }
  await ranker.session.close();
  return asked;
}

type Mix = Readonly<Record<'popularity' | 'ease' | 'sequence', number>>;
type Hits = { readonly hr1: number; readonly hr10: number; readonly reach: number };

/** Share of questions whose answer is among the first and the first ten; ties count as if half of them came before. */
function hitsOf(asked: readonly Asked[], mix: Mix): Hits {
  let [first, tenth] = [0, 0];
  const shown = new Set<number>();
  for (const { target, steps } of asked) {
    const base = mix.popularity > 0 ? steps.popularity : steps.rules;
    const scoreOf = (row: number) =>
      (base[row] ?? 0) + mix.ease * (steps.ease[row] ?? 0) + mix.sequence * (steps.sequence[row] ?? 0);
    const scores = Float32Array.from(base, (_, row) => scoreOf(row));
    for (const row of firstRows(scores, 10)) shown.add(row);
    if (target < 0) continue;
    const own = scoreOf(target);
    let rank = -0.5;
    for (let row = 0; row < base.length; row += 1) {
      const score = scoreOf(row);
      if (score > own) rank += 1;
      else if (score === own) rank += 0.5;
    }
    if (rank < 1) first += 1;
    if (rank < 10) tenth += 1;
  }
  const catalogue = asked[0]?.steps.rules.length ?? 1;
  return { hr1: first / asked.length, hr10: tenth / asked.length, reach: shown.size / catalogue };
}

/** The weight of a step that does best on the validation week. */
const chosen = (asked: readonly Asked[], mixOf: (weight: number) => Mix): number =>
  WEIGHTS.map((weight) => ({ weight, hits: hitsOf(asked, mixOf(weight)) })).reduce((best, one) =>
    one.hits.hr10 > best.hits.hr10 ? one : best,
  ).weight;

/** One row a step. */
export async function runLadder(print: (text: string) => void): Promise<Record<string, number>> {
  const asked = await ask();
  const validation = asked.filter(({ at }) => at < TEST_FROM);
  const test = asked.filter(({ at }) => at >= TEST_FROM);
  const ease = chosen(validation, (weight) => ({ popularity: 1, ease: weight, sequence: 0 }));
  const sequence = chosen(validation, (weight) => ({ popularity: 1, ease, sequence: weight }));
  const rows: readonly (readonly [string, Mix])[] = [
    ['rules', { popularity: 0, ease: 0, sequence: 0 }],
    ['popularity', { popularity: 1, ease: 0, sequence: 0 }],
    ['ease', { popularity: 1, ease, sequence: 0 }],
    ['sequence', { popularity: 1, ease, sequence }],
  ];
  print(
    `Ladder on generated viewers, ${test.length} questions; weights of EASE ${ease}, of the transformer ${sequence}`,
  );
  return Object.fromEntries(
    rows.flatMap(([name, mix]) => {
      const { hr1, hr10, reach } = hitsOf(test, mix);
      print(`  ${name.padEnd(12)} HR@1 ${hr1.toFixed(4)}  HR@10 ${hr10.toFixed(4)}  reach ${reach.toFixed(3)}`);
      return [
        [`ladder_${name}_hr1`, hr1],
        [`ladder_${name}_hr10`, hr10],
        [`ladder_${name}_reach`, reach],
      ];
    }),
  );
}
