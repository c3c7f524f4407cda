// What retention and fill save and cost on the generated region, three seeds, beside S3-FIFO with prefetch off in the same
// run. `npm run bench:prefetch`: a table for people, and as its last line one JSON object.
import { cpus } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { EdgeOutcome } from '../../agent/simulate/edge-play.ts';
import { rounded } from './figures.ts';
import { runForecast } from './predict-forecast.ts';
import type { EdgeResult, EdgeTask } from './prefetch-edge.ts';
import { runSessions } from './prefetch-session.ts';

/** Seed 6 is the one that settings were chosen on; it is not among these. */
const SEEDS = [5, 15, 25] as const;
const SHARES = [0.01, 0.05, 0.2] as const;
/** Of this size every step has its row. */
const LADDER_SHARE = 0.05;

const mean = (list: readonly number[]): number => list.reduce((sum, one) => sum + one, 0) / Math.max(1, list.length);

/** Plays tasks in as many threads as there are processors. */
async function playAll(tasks: readonly EdgeTask[]): Promise<readonly EdgeResult[]> {
  const waiting = [...tasks];
  const results: EdgeResult[] = [];
  const work = async (): Promise<void> => {
    for (let task = waiting.shift(); task !== undefined; task = waiting.shift()) {
      const worker = new Worker(new URL('./prefetch-edge.ts', import.meta.url), { workerData: task });
      const result = await new Promise<EdgeResult>((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
      });
      show(result);
      results.push(result);
    }
  };
  await Promise.all(cpus().map(work));
  return results;
}

/** A run beside the one with prefetch off. */
function beside(outcome: EdgeOutcome, off: EdgeOutcome) {
  return {
    total: outcome.originBytes / off.originBytes,
    peak: outcome.peakBytes / off.peakBytes,
    'busiest hour': outcome.busiestHourBytes / off.busiestHourBytes,
    p95: outcome.p95Bytes / off.p95Bytes,
    unwatched: outcome.unwatchedRatio,
    'fill of served': outcome.filledBytes / outcome.servedBytes,
    'byte hit': outcome.hitBytes / outcome.servedBytes,
    'startup hit': outcome.startupHitRatio,
  };
}

type Figures = ReturnType<typeof beside>;

const figuresOf = ({ outcomes }: EdgeResult): readonly (Figures & { readonly row: string })[] => {
  const [off] = outcomes;
  return off === undefined ? [] : outcomes.map((outcome) => ({ row: outcome.name, ...beside(outcome, off) }));
};

function show(result: EdgeResult): void {
  console.log(`Seed ${result.seed}, cache ${result.share * 100} % of the catalogue; origin bytes of prefetch off = 1:`);
  console.table(
    Object.fromEntries(
      figuresOf(result).map(({ row, ...figures }) => [
        row,
        Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, rounded(value, 3)])),
      ]),
    ),
  );
}

const started = performance.now();
// The long ones first, so that no processor is idle at the end.
const stepsOf = (seed: number, share: number): EdgeTask['steps'] =>
  seed !== SEEDS[0] ? 'none' : share === LADDER_SHARE ? 'all' : 'leak';
const order = ['all', 'leak', 'none'];
const tasks = SHARES.flatMap((share) => SEEDS.map((seed) => ({ seed, share, steps: stepsOf(seed, share) }))).sort(
  (one, other) => order.indexOf(one.steps) - order.indexOf(other.steps),
);
const { interval_held } = await runForecast(console.log);
const results = await playAll(tasks);
/** The mean over seeds of a figure of a row. */
function figure(share: number, name: keyof Figures, row = 'all'): number {
  const rows = results.filter((result) => result.share === share).flatMap(figuresOf);
  return rounded(mean(rows.filter((each) => each.row === row).map((each) => each[name])), 3);
}
const keyed = (key: string, name: keyof Figures, shares: readonly number[] = SHARES): Record<string, number> =>
  Object.fromEntries(shares.map((share) => [`${key}_${share * 100}`, figure(share, name)]));
// A predictor that counts alone must not beat one that knows the rates: it would be reading the future.
const isLeaking = SHARES.some(
  (share) => figure(share, 'byte hit', 'popularity, launches') > figure(share, 'byte hit', 'true rates') + 0.005,
);
if (isLeaking) console.log('LEAK: counting beats the true rates.');
const sessions: Readonly<Record<string, unknown>>[] = [];
const inSession = await runSessions((row) => sessions.push(row));
console.log('In sessions, on the simulated site, by size of the cache:');
console.table(sessions);
console.log(`Took ${Math.round((performance.now() - started) / 1000)} s.`);
console.log(
  JSON.stringify({
    bench: 'prefetch',
    ...keyed('total', 'total'),
    ...keyed('peak', 'peak'),
    ...keyed('p95', 'p95', [0.05]),
    ...keyed('waste', 'unwatched'),
    ...keyed('byte_hit', 'byte hit'),
    byte_hit_5_rules_only: figure(0.05, 'byte hit', 'rules'),
    startup_hit: figure(0.05, 'startup hit'),
    switch_hit: rounded(inSession['switch_hit'] ?? 0, 3),
    switch_latency_gain: rounded(inSession['switch_latency_gain'] ?? 0, 3),
    stall_reduction: rounded(inSession['stall_reduction'] ?? 0, 3),
    interval_held,
    is_leaking: isLeaking,
    cores: cpus().length,
  }),
);
if (isLeaking) process.exitCode = 1;
