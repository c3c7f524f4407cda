// `npm run bench:predict`: how well the recommender foretells (MovieLens, Netflix' lists, three seeds, trained here and
// now), how fast it answers and how long a retrain takes (`-- million`: on a million interactions, too). Prints its figures as
// JSON on the last line. Some ten minutes. Figures of data that is not there (../shared/data) are null.
import { existsSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { runAnticipator } from './predict-anticipator.ts';
import { runForecast } from './predict-forecast.ts';
import { runInference } from './predict-inference.ts';
import { runLadder } from './predict-ladder.ts';
import { runMovielens } from './predict-movielens.ts';
import { runRegions } from './predict-regions.ts';
import { runServing } from './predict-serving.ts';

const DATA = new URL('../../../shared/data', import.meta.url).pathname;
const print = (text: string): void => console.log(text);

console.log(`${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, Node ${process.versions.node}`);
const figures: Record<string, number> = {};
/** Runs a part, and says how long it took. */
async function measure(
  part: string,
  run: () => Record<string, number> | Promise<Record<string, number>>,
): Promise<void> {
  const startedAt = performance.now();
  Object.assign(figures, await run());
  print(`${part}: ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
}
await measure('inference', () => runInference(print, { isLarge: process.argv.includes('million') }));
await measure('ladder', () => runLadder(print));
await measure('serving', () => runServing(print));
await measure('forecast', () => runForecast(print));
await measure('anticipator', () => runAnticipator((row) => print(JSON.stringify(row))));
if (existsSync(join(DATA, 'ml-100k'))) {
  await measure('regions', () => runRegions(DATA, print));
  await measure('MovieLens', () => runMovielens(join(DATA, 'ml-100k'), print));
} else print(`No ${DATA}: nothing to evaluate on.`);

/** The keys that acceptance reads, in its order; the others follow. */
const KEYS = [
  'hr10',
  'ndcg10',
  'hr50',
  'hr10_vs_ease',
  'start_hr10',
  'coverage_top100',
  'netflix_warm_films',
  'netflix_warm_tv',
  'netflix_cold_films',
  'netflix_cold_tv',
  'p99_ms_b1',
  'p99_ms_b32',
  'event_to_plan_p99_ms',
  'candidates_p99_ms',
  'events_per_s',
  'int8_loss',
  'retrain_s_100k',
  'rss_mb',
  'interval_held',
  'anticipator_vs_hazard',
  'diversity',
] as const;
const ordered = Object.fromEntries(KEYS.map((key) => [key, figures[key] ?? null]));
console.log(JSON.stringify({ bench: 'predict', ...ordered, ...figures }));
