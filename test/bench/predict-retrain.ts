// A training run on 100,000 generated interactions, started by predict-inference.ts: prints its time and its largest
// memory as one JSON object. The workload is made before the clock starts.
import { trainRanker } from '../../agent/train/ranker.ts';
import { makeWorkload } from '../../agent/train/workload.ts';

const EVENTS = 100_000;
const { events } = makeWorkload({ seed: 5, viewers: 1_600, series: 120, films: 700, days: 50 });
const interactions = events
  .slice(0, EVENTS)
  .map(({ viewer, titleId, at }) => ({ viewer: String(viewer), titleId, at, weight: 1 }));
const startedAt = performance.now();
const { metrics } = await trainRanker(interactions, { seed: 1, threads: 2 });
const seconds = (performance.now() - startedAt) / 1000;
const rssMb = process.resourceUsage().maxRSS / 1024;
console.log(JSON.stringify({ seconds, rssMb, events: metrics['events'], titles: metrics['titles'] }));
