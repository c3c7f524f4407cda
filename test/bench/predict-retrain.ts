// A training run on generated interactions, started by predict-inference.ts: prints its time and its largest memory as one
// JSON object. `node run.mjs --entry=test/bench/predict-retrain.ts [COUNT [all]]`: 100,000 of a small catalogue unless told,
// else so many in MovieLens-1M's shape, 3,706 titles; `all`: each step scores all of them. Data are made before the clock starts.
import { setFlagsFromString } from 'node:v8';
import type { Interaction } from '../../agent/train/interactions.ts';
import { normal, seededRandom } from '../../agent/train/random.ts';
import { trainRanker } from '../../agent/train/ranker.ts';
import { makeWorkload } from '../../agent/train/workload.ts';

// As its own process has it (agent/model/retrain.ts) within 600 MiB.
setFlagsFromString('--max-old-space-size=258');

const SMALL = 100_000;
const LARGE = { views: 165, titles: 3_706, kinds: 18 } as const;
/** Of the titles that a viewer opens: so many are like the one before, the others of a kind that the viewer likes, or any. */
const LIKE_LAST = 0.3;
const LIKED_KIND = 0.5;

function small(): readonly Interaction[] {
  const { events } = makeWorkload({ seed: 5, viewers: 1_600, series: 120, films: 700, days: 50 });
  return events.slice(0, SMALL).map(({ viewer, titleId, at }) => ({ viewer: String(viewer), titleId, at, weight: 1 }));
}

/** Lengths of histories are log-normal with at least 20 titles, titles are asked for as Zipf has it, as in MovieLens-1M. */
function large(count: number): readonly Interaction[] {
  const random = seededRandom(9);
  const lengths = Array.from(
    { length: Math.round(count / LARGE.views) },
    () => 20 + Math.exp(4.25 + 1.05 * normal(random)),
  );
  const scale = count / lengths.reduce((sum, length) => sum + length, 0);
  const titleIds = Array.from({ length: LARGE.titles }, (_, at) => `title-${at}`);
  const any = (): number => Math.floor(LARGE.titles * random() ** 2.6);
  const interactions: Interaction[] = [];
  for (const [number, length] of lengths.entries()) {
    const viewer = `viewer-${number}`;
    const liked = Math.floor(random() * LARGE.kinds);
    let last = any();
    for (let at = 0; at < length * scale; at += 1) {
      const lot = random();
      if (lot < LIKE_LAST) last = (last + 1 + Math.floor(random() * 4)) % LARGE.titles;
      else if (lot < LIKE_LAST + LIKED_KIND) last = any() - (any() % LARGE.kinds) + liked;
      else last = any();
      last = Math.min(LARGE.titles - 1, Math.max(0, last));
      interactions.push({ viewer, titleId: titleIds[last] ?? '', at: number * 1_000 + at * 60_000, weight: 1 });
    }
  }
  return interactions.slice(0, count);
}

const count = Number(process.argv[2] ?? SMALL);
const interactions = count === SMALL ? small() : large(count);
const generatedMb = process.resourceUsage().maxRSS / 1024;
const cpu = process.cpuUsage();
const startedAt = performance.now();
let told = 0;
/** Seconds since the start, of the clock and of processors. */
function passed(): { readonly seconds: number; readonly cpuSeconds: number } {
  const { user, system } = process.cpuUsage(cpu);
  return { seconds: (performance.now() - startedAt) / 1000, cpuSeconds: (user + system) / 1e6 };
}
const { metrics } = await trainRanker(interactions, {
  seed: 1,
  threads: 2,
  candidates: process.argv[3] === 'all' ? Number.POSITIVE_INFINITY : undefined,
  onProgress: (ratio) => {
    if (count === SMALL || ratio < told + 0.02) return;
    told = ratio;
    const { seconds, cpuSeconds } = passed();
    console.error(
      `${(100 * ratio).toFixed(0)} % after ${seconds.toFixed(0)} s, ${cpuSeconds.toFixed(0)} s of processors`,
    );
  },
});
const rssMb = process.resourceUsage().maxRSS / 1024;
console.log(JSON.stringify({ ...passed(), rssMb, generatedMb, count: interactions.length, ...metrics }));
