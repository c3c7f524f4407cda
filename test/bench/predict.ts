// `npm run bench:predict`: how long an answer takes by the model's process and by plain code, and how good both are on a
// later week of synthetic viewers. Prints a table, and its figures as JSON on the last line.
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { keepChampion, seedModel } from '../../agent/model/champion.ts';
import { openRegistry } from '../../agent/model/registry.ts';
import { openRuntime } from '../../agent/model/runtime.ts';
import { FEATURE_NAMES } from '../../agent/predict/features.ts';
import { RULES } from '../../agent/predict/rank.ts';
import { scoreRows } from '../../agent/predict/scorer.ts';
import { byScorer, evaluate } from '../../agent/train/evaluate.ts';
import { seededRandom } from '../../agent/train/random.ts';
import { SEED_RECIPE, splitQuestions } from '../../agent/train/seed.ts';
import { runServing } from './predict-serving.ts';

/** Candidates of a question, as the predictor asks them at most: popular and new titles and some of the viewer's. */
const ROWS = 400;
const WARM_UP = 200;
const TIMES = 2_000;

const quantile = (sorted: Float64Array, part: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0;

/** Milliseconds of many runs one after another, sorted. */
async function timesOf(run: () => unknown): Promise<Float64Array> {
  const times = new Float64Array(TIMES);
  for (let time = -WARM_UP; time < TIMES; time += 1) {
    const startedAt = performance.now();
    await run();
    if (time >= 0) times[time] = performance.now() - startedAt;
  }
  return times.sort();
}

const dir = await mkdtemp(join(tmpdir(), 'nearcast-bench-'));
const runtime = openRuntime({ deadlineMs: 100, log: () => undefined });
const keeper = keepChampion(await openRegistry(dir), runtime, () => Date.now());
await keeper.start();
const random = seededRandom(1);
const features = Float32Array.from({ length: ROWS * FEATURE_NAMES.length }, () => random());
const { scorer } = seedModel();

const model = await timesOf(() => runtime.score(features, ROWS));
const plain = await timesOf(() => scoreRows(scorer, features, ROWS));
const { answered, late } = runtime.stats();
await runtime.close();
await rm(dir, { recursive: true, force: true });

const { test } = splitQuestions(SEED_RECIPE);
const width = FEATURE_NAMES.length;
const quality = {
  model: evaluate(test, byScorer(scorer)),
  rules: evaluate(test, byScorer(RULES)),
  popularity: evaluate(test, (question) => question.titleIds.map((_, row) => question.features[row * width] ?? 0)),
};

console.log(
  `${ROWS} candidates, ${TIMES} questions one after another, ${cpus().length} cores, Node ${process.versions.node}`,
);
console.table({
  'model process': { 'p50 ms': quantile(model, 0.5), 'p99 ms': quantile(model, 0.99) },
  'plain code': { 'p50 ms': quantile(plain, 0.5), 'p99 ms': quantile(plain, 0.99) },
});
console.log(
  'Quality on the last 7 days of 28, synthetic viewers (they show that the way works, not what a site will see):',
);
console.table(quality);
const figures = {
  bench: 'predict',
  rows: ROWS,
  modelP50Ms: quantile(model, 0.5),
  modelP99Ms: quantile(model, 0.99),
  plainP50Ms: quantile(plain, 0.5),
  plainP99Ms: quantile(plain, 0.99),
  answered,
  late,
  ...Object.fromEntries(
    Object.entries(quality).flatMap(([name, { hitRatio1, hitRatio10, auc }]) => [
      [`${name}HitRatio1`, hitRatio1],
      [`${name}HitRatio10`, hitRatio10],
      [`${name}Auc`, auc],
    ]),
  ),
  coverageRatio: quality.model.coverageRatio,
  questions: test.length,
};
console.log(JSON.stringify({ ...figures, ...(await runServing((line) => console.log(line))) }));
