// Eviction policies on recorded and made requests: misses beside the recorded reference, and requests per second.
// `npm run bench:policy`: tables for people, and as its last line one JSON object. The trace lies beside the project.
import { cpus } from 'node:os';
import {
  EDGE_WORKLOAD,
  type EdgeRequests,
  makeTitles,
  makeViews,
  requestsOfViews,
  withoutFollowUps,
} from '../../agent/simulate/workload.ts';
import { arc } from '../../cache/rules/eviction/arc.ts';
import { belady } from '../../cache/rules/eviction/belady.ts';
import { gdsf } from '../../cache/rules/eviction/gdsf.ts';
import { lru } from '../../cache/rules/eviction/lru.ts';
import type { EvictionPolicy } from '../../cache/rules/eviction/policy.ts';
import { s3fifo } from '../../cache/rules/eviction/s3fifo.ts';
import { sieve } from '../../cache/rules/eviction/sieve.ts';
import { footprintBytes, type Outcome, type Requests, simulate } from '../../cache/rules/eviction/simulate.ts';
import { wTinyLfu } from '../../cache/rules/eviction/wtinylfu.ts';
import { PAPER_TUNING, RECORDED, readTrace, referenceRun } from '../cache/rules/eviction/reference.ts';
import { rounded } from './figures.ts';
import { ghosts } from './ghosts.ts';

const SHARES = [0.01, 0.1] as const;
type Open = (capacityBytes: number, requests: Requests) => EvictionPolicy;
const POLICIES: Readonly<Record<string, Open>> = {
  LRU: lru,
  SIEVE: sieve,
  'S3-FIFO (paper)': () => s3fifo(PAPER_TUNING),
  'S3-FIFO (disk)': () => s3fifo(),
  GDSF: gdsf,
  ARC: arc,
  'W-TinyLFU': (capacityBytes, requests) => wTinyLfu((capacityBytes / footprintBytes(requests)) * requests.count),
  Belady: (capacityBytes, requests) => belady(requests, capacityBytes),
};
/** Byte hits by share of the catalogue that a simulated edge had, series and resume off: LRU's the generator is fit to. */
const CALIBRATION = [
  { share: 0.01, LRU: 0.165, 'S3-FIFO (disk)': 0.272, Belady: 0.443 },
  { share: 0.05, LRU: 0.48, 'S3-FIFO (disk)': 0.571, Belady: 0.729 },
  { share: 0.2, LRU: 0.853, 'S3-FIFO (disk)': 0.876, Belady: 0.937 },
] as const;
const WARM_SECONDS = 7 * 86_400;

/** The trace against the recorded figures; byte misses by policy and share of the footprint. */
function reference(): Record<string, number | null> {
  const requests = readTrace();
  if (requests === undefined) {
    console.log('No AdaptSize trace beside the project: its figures are null.');
    return { lru: null, sieve: null, s3fifo: null };
  }
  const rows = RECORDED.map(({ policy, share, requestMiss, byteMiss }) => {
    const outcome = referenceRun(policy, share, requests);
    return {
      policy,
      'of footprint': share,
      'request miss': rounded(outcome.requestMissRatio, 4),
      recorded: requestMiss,
      'byte miss': rounded(outcome.byteMissRatio, 4),
      'recorded ': byteMiss,
      'largest difference': rounded(
        Math.max(Math.abs(outcome.requestMissRatio - requestMiss), Math.abs(outcome.byteMissRatio - byteMiss)),
        4,
      ),
    };
  });
  console.log('AdaptSize trace beside the figures recorded with libCacheSim:');
  console.table(rows);
  console.log('AdaptSize trace, an object of a changed size counted as a miss:');
  console.table(compare(requests, 'miss').rows);
  return Object.fromEntries(
    rows.filter((row) => row['of footprint'] === 0.1).map((row) => [row.policy, row['byte miss']]),
  );
}

/** All policies at both sizes. */
function compare(requests: Requests, changedSize: 'hit' | 'miss') {
  const footprint = footprintBytes(requests);
  const outcomes = Object.entries(POLICIES).map(([name, open]) => ({
    name,
    outcomes: SHARES.map((share) => {
      const capacityBytes = Math.floor(footprint * share);
      return simulate({ policy: open(capacityBytes, requests), capacityBytes, changedSize }, requests);
    }),
  }));
  const plain = outcomes[0]?.outcomes ?? [];
  const vs = (outcome: Outcome, at: number): number =>
    rounded(outcome.byteMissRatio / (plain[at]?.byteMissRatio ?? Number.NaN), 4);
  const rows = outcomes.map(({ name, outcomes: both }) => ({
    policy: name,
    ...Object.fromEntries(
      both.flatMap((outcome, at) => [
        [`request miss ${SHARES[at]}`, rounded(outcome.requestMissRatio, 4)],
        [`byte miss ${SHARES[at]}`, rounded(outcome.byteMissRatio, 4)],
        [`of LRU's ${SHARES[at]}`, vs(outcome, at)],
      ]),
    ),
  }));
  const disk = outcomes.find(({ name }) => name === 'S3-FIFO (disk)')?.outcomes ?? [];
  return { rows, ofLru: disk.map(vs) };
}

/** Requests per second of the disk's policy, the median of five runs after one that warms up. */
function speed(requests: Requests): number {
  const capacityBytes = Math.floor(footprintBytes(requests) * 0.1);
  const figures = Array.from({ length: 6 }, () => {
    const began = performance.now();
    simulate({ policy: s3fifo(), capacityBytes }, requests);
    return requests.objects.length / ((performance.now() - began) / 1000);
  });
  return Math.round(figures.slice(1).sort((one, other) => one - other)[2] ?? 0);
}

/** The generator beside the edge that it was calibrated to; the largest difference of LRU's byte hit. */
function calibration(requests: EdgeRequests): number {
  const from = requests.at.findIndex((at) => at >= WARM_SECONDS);
  const rows = CALIBRATION.flatMap(({ share, ...expected }) =>
    Object.entries(expected).map(([policy, recorded]) => {
      const capacityBytes = requests.catalogueBytes * share;
      const opened = POLICIES[policy]?.(capacityBytes, requests) ?? lru();
      const byteHit = 1 - simulate({ policy: opened, capacityBytes }, requests, from).byteMissRatio;
      return {
        'of catalogue': share,
        policy,
        'byte hit': rounded(byteHit, 4),
        recorded,
        difference: rounded(byteHit - recorded, 4),
      };
    }),
  );
  console.log('The generator beside the edge that it was calibrated to (LRU; the others are not fit):');
  console.table(rows);
  return Math.max(...rows.filter(({ policy }) => policy === 'LRU').map(({ difference }) => Math.abs(difference)));
}

function played(workload: typeof EDGE_WORKLOAD): EdgeRequests {
  const titles = makeTitles(workload);
  return requestsOfViews(workload, titles, makeViews(workload, titles));
}

function show(name: string, requests: Requests): readonly number[] {
  const { rows, ofLru } = compare(requests, 'hit');
  console.log(
    `${name}: ${requests.objects.length} requests, ${(footprintBytes(requests) / 1e12).toFixed(1)} TB footprint:`,
  );
  console.table(rows);
  return ofLru;
}

const vod = played(withoutFollowUps(EDGE_WORKLOAD));
// First, as a program would run that plays one policy: each further one makes the compiler's calls less direct.
const perSecond = speed(vod);
const adaptsize = reference();
const calibrationError = calibration(vod);
const ghost = await ghosts(vod);
const ofLru = show('Video on demand', vod);
show('The same with series and resumed views', played(EDGE_WORKLOAD));
console.log(`Simulator: ${perSecond} requests per second with S3-FIFO at 10 % of the footprint.`);
console.log(
  JSON.stringify({
    bench: 'policy',
    lru_adaptsize_byte_miss_10pct: adaptsize['lru'],
    sieve_adaptsize_byte_miss_10pct: adaptsize['sieve'],
    s3fifo_adaptsize_byte_miss_10pct: adaptsize['s3fifo'],
    vod_byte_miss_vs_lru_1pct: ofLru[0],
    vod_byte_miss_vs_lru_10pct: ofLru[1],
    requests_per_s: perSecond,
    ghost_error: ghost.error,
    ghost_cpu_ratio: ghost.cpuRatio,
    calibration_error: calibrationError,
    cores: cpus().length,
  }),
);
