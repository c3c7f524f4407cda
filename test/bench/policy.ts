// Eviction policies on recorded and made requests: misses beside the recorded reference, and requests per second.
// `npm run bench:policy`: tables for people, and as its last line one JSON object. The trace lies beside the project.
import { cpus } from 'node:os';
import { gdsf } from '../../cache/rules/eviction/gdsf.ts';
import { lru } from '../../cache/rules/eviction/lru.ts';
import type { EvictionPolicy } from '../../cache/rules/eviction/policy.ts';
import { s3fifo } from '../../cache/rules/eviction/s3fifo.ts';
import { sieve } from '../../cache/rules/eviction/sieve.ts';
import { footprintBytes, type Outcome, type Requests, simulate } from '../../cache/rules/eviction/simulate.ts';
import { PAPER_TUNING, RECORDED, readTrace, referenceRun } from '../cache/rules/eviction/reference.ts';
import { VOD, vodRequests } from './vod.ts';

const SHARES = [0.01, 0.1] as const;
const POLICIES: Readonly<Record<string, () => EvictionPolicy>> = {
  LRU: lru,
  SIEVE: sieve,
  'S3-FIFO (paper)': () => s3fifo(PAPER_TUNING),
  'S3-FIFO (disk)': () => s3fifo(),
  GDSF: gdsf,
};
const rounded = (ratio: number): number => Math.round(ratio * 10_000) / 10_000;

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
      'request miss': rounded(outcome.requestMissRatio),
      recorded: requestMiss,
      'byte miss': rounded(outcome.byteMissRatio),
      'recorded ': byteMiss,
      'largest difference': rounded(
        Math.max(Math.abs(outcome.requestMissRatio - requestMiss), Math.abs(outcome.byteMissRatio - byteMiss)),
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
    outcomes: SHARES.map((share) =>
      simulate({ policy: open(), capacityBytes: Math.floor(footprint * share), changedSize }, requests),
    ),
  }));
  const plain = outcomes[0]?.outcomes ?? [];
  const vs = (outcome: Outcome, at: number): number =>
    rounded(outcome.byteMissRatio / (plain[at]?.byteMissRatio ?? Number.NaN));
  const rows = outcomes.map(({ name, outcomes: both }) => ({
    policy: name,
    ...Object.fromEntries(
      both.flatMap((outcome, at) => [
        [`request miss ${SHARES[at]}`, rounded(outcome.requestMissRatio)],
        [`byte miss ${SHARES[at]}`, rounded(outcome.byteMissRatio)],
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

const vod = vodRequests(VOD);
// First, as a program would run that plays one policy: each further one makes the compiler's calls less direct.
const perSecond = speed(vod);
const adaptsize = reference();
const compared = compare(vod, 'hit');
console.log(
  `Video on demand: ${vod.objects.length} requests, ${(footprintBytes(vod) / 1e12).toFixed(1)} TB footprint:`,
);
console.table(compared.rows);
console.log(`Simulator: ${perSecond} requests per second with S3-FIFO at 10 % of the footprint.`);
console.log(
  JSON.stringify({
    bench: 'policy',
    lru_adaptsize_byte_miss_10pct: adaptsize['lru'],
    sieve_adaptsize_byte_miss_10pct: adaptsize['sieve'],
    s3fifo_adaptsize_byte_miss_10pct: adaptsize['s3fifo'],
    vod_byte_miss_vs_lru_1pct: compared.ofLru[0],
    vod_byte_miss_vs_lru_10pct: compared.ofLru[1],
    requests_per_s: perSecond,
    cores: cpus().length,
  }),
);
