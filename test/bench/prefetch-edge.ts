// Retention and fill on the generated region, each step of the ladder beside S3-FIFO with prefetch off: one seed and cache
// size at a time, in a thread of its own.
import { parentPort, workerData } from 'node:worker_threads';
import { Audience, type AudienceOptions } from '../../agent/predict/audience.ts';
import { edgeCatalogue } from '../../agent/simulate/edge.ts';
import { type EdgeOutcome, type EdgeRun, playEdge } from '../../agent/simulate/edge-play.ts';
import { trueRates } from '../../agent/simulate/true-rates.ts';
import {
  EDGE_WORKLOAD,
  type EdgeRequests,
  makeTitles,
  makeViews,
  requestsOfViews,
} from '../../agent/simulate/workload.ts';

/** One cache size of one seed; `isLadder`: with every step, not only the whole. */
export type EdgeTask = { readonly seed: number; readonly share: number; readonly isLadder: boolean };

/** Outcomes, the first with prefetch off, and what chains of views there are to learn from. */
export type EdgeResult = EdgeTask & { readonly outcomes: readonly EdgeOutcome[] };

/** A first week warms caches and counts; what it holds is in no figure. */
const COUNT_FROM_DAY = 7;
/** No day is remembered: what is left is where viewers are and who left. */
const FORGETFUL = { halfLifeDays: 1e-3, priorStarts: 1e-9, seriesStarts: 1e-9 } as const;
const DAY_SECONDS = 86_400;
/** As `prefetch.beginningRatio` has it by default. */
const HEAD_RATIO = 0.1;

/** Knows the next day: objects by how often they will be asked for, as many as fit. */
function oracle(requests: EdgeRequests, sizes: Float64Array, capacityBytes: number): (from: number) => number[] {
  return (from) => {
    const counts = new Map<number, number>();
    const first = requests.at.findIndex((at) => at >= from);
    for (let at = first; at >= 0 && (requests.at[at] ?? Number.POSITIVE_INFINITY) < from + DAY_SECONDS; at += 1) {
      const object = requests.objects[at] ?? 0;
      counts.set(object, (counts.get(object) ?? 0) + 1);
    }
    let room = capacityBytes * 0.9;
    return [...counts]
      .sort(([, one], [, other]) => other - one)
      .filter(([object]) => {
        room -= sizes[object] ?? 0;
        return room > 0;
      })
      .map(([object]) => object)
      .reverse();
  };
}

/** Plays a task. */
function playTask(task: EdgeTask): EdgeResult {
  const workload = { ...EDGE_WORKLOAD, seed: task.seed };
  const { days } = workload;
  const titles = makeTitles(workload);
  const requests = requestsOfViews(workload, titles, makeViews(workload, titles));
  const catalogue = edgeCatalogue(workload, titles, requests.count);
  const capacityBytes = requests.catalogueBytes * task.share;
  const rate = trueRates(workload, titles);
  const audiences: Audience[] = [];
  const listen = (over: Partial<AudienceOptions> = {}): Audience => {
    const audience = new Audience({ sinceMs: 0, horizonSeconds: DAY_SECONDS, ...over });
    audiences.push(audience);
    return audience;
  };
  const startsPerDay = (id: string, now: number): number => {
    const [rank = 0, part = 0] = id.split('.').map(Number);
    return rate(rank, part, Math.min(days - 1, Math.floor(now / (DAY_SECONDS * 1000))));
  };
  const run = (name: string, how: Pick<EdgeRun, 'keeps' | 'fill' | 'audience' | 'headRatio'>): EdgeRun => ({
    name,
    capacityBytes,
    ...how,
  });
  const all = { keeps: true, fill: 'plan', headRatio: HEAD_RATIO } as const;
  const plain = { keeps: true, fill: 'plan' } as const;
  const ladder = (): readonly EdgeRun[] => [
    run('rules', { ...all, audience: listen({ tuning: FORGETFUL }) }),
    run('popularity, launches', { ...plain, audience: listen({ follows: false }) }),
    run('true rates', { ...plain, audience: listen({ follows: false, startsPerDay }) }),
    run('beginnings unprotected', { ...plain, audience: listen() }),
    run('retention alone', { ...all, fill: 'none', audience: listen() }),
    run('fill alone', { ...plain, keeps: false, audience: listen() }),
    run('oracle fill', { keeps: false, fill: oracle(requests, catalogue.sizes, capacityBytes) }),
  ];
  const runs = [
    run('off', { keeps: false, fill: 'none' }),
    run('all', { ...all, audience: listen() }),
    ...(task.isLadder ? ladder() : []),
  ];
  return { ...task, outcomes: playEdge({ requests, catalogue, days, countFromDay: COUNT_FROM_DAY, runs, audiences }) };
}

if (parentPort !== null) parentPort.postMessage(playTask(workerData));
