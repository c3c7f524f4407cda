// The part of `npm run bench:predict` about time and memory: answers of a 4,000-title sequence model on one thread, and a
// training run on 100,000 interactions in a process of its own.
import { spawn } from 'node:child_process';
import { RANKER_FILES } from '../../agent/predict/ranker-files.ts';
import { openGraph } from '../../agent/train/graph-session.ts';
import { sequenceFeeds } from '../../agent/train/measure-ranker.ts';
import { seededRandom } from '../../agent/train/random.ts';
import { startWeights } from '../../agent/train/sasrec.ts';
import { servingGraph } from '../../agent/train/serving-graph.ts';
import { percentile } from './figures.ts';

const SHAPE = { titles: 4_000, width: 64, history: 50, layers: 2 } as const;
const RANK = 4;
const TIMES = 2_000;
const WARM_UP = 200;

/** Milliseconds of one graph's answers at one batch size, sorted. */
async function timesOf(graph: Uint8Array, batch: number): Promise<Float64Array> {
  const session = await openGraph(graph, 1);
  const random = seededRandom(2);
  const histories = Array.from({ length: batch }, () =>
    Array.from({ length: SHAPE.history }, () => Math.floor(random() * SHAPE.titles)),
  );
  const feeds = sequenceFeeds({ length: SHAPE.history, width: SHAPE.width, rank: RANK }, SHAPE.titles, histories);
  const times = new Float64Array(TIMES);
  for (let time = -WARM_UP; time < TIMES; time += 1) {
    const startedAt = performance.now();
    await session.run(feeds, ['top_titles', 'top_scores']);
    if (time >= 0) times[time] = performance.now() - startedAt;
  }
  await session.close();
  return times.sort();
}

type Retrain = { readonly seconds: number; readonly rssMb: number; readonly events: number; readonly titles: number };

/** Trains in a process of its own, which says how long it took and how much memory it had at most. */
async function retrain(count: number): Promise<Retrain> {
  const program = new URL('./predict-retrain.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [program, String(count)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  const code = await new Promise<number | null>((resolve, reject) =>
    child.once('close', resolve).once('error', reject),
  );
  if (code !== 0) throw new Error(`training ended with ${code}`);
  // Sound: the program prints one object of this shape and nothing else.
  return JSON.parse(text) as Retrain;
}

const SMALL = 100_000;
const LARGE = 1_000_000;

/** Times of inference and of a retrain; `isLarge`: of one on a million interactions, too, which takes up to ten minutes. */
export async function runInference(
  print: (text: string) => void,
  { isLarge }: { readonly isLarge: boolean },
): Promise<Record<string, number>> {
  const weights = startWeights(SHAPE, seededRandom(1));
  const figures: Record<string, number> = {};
  for (const name of [RANKER_FILES.sequence, RANKER_FILES.sequenceInt8]) {
    const isInt8 = name === RANKER_FILES.sequenceInt8;
    const graph = servingGraph({ shape: SHAPE, weights, isInt8, top: 100, adapterRank: RANK });
    for (const batch of [1, 32]) {
      const times = await timesOf(graph, batch);
      const [p50, p99] = [percentile(times, 0.5), percentile(times, 0.99)];
      figures[`p99_ms_b${batch}${isInt8 ? '_int8' : ''}`] = p99;
      print(
        `${name}, ${SHAPE.titles} titles, batch ${batch}, one thread: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`,
      );
    }
  }
  for (const count of isLarge ? [SMALL, LARGE] : [SMALL]) {
    const { seconds, rssMb, events, titles } = await retrain(count);
    print(
      `retrain on ${events} interactions with ${titles} titles: ${seconds.toFixed(1)} s, at most ${rssMb.toFixed(0)} MB`,
    );
    Object.assign(
      figures,
      count === SMALL ? { retrain_s_100k: seconds, rss_mb: rssMb } : { retrain_s_1m: seconds, rss_mb_1m: rssMb },
    );
  }
  return figures;
}
