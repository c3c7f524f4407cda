// The AdaptSize trace, and what libCacheSim measured on it: an outside oracle for the policies.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { arc } from '../../../../cache/rules/eviction/arc.ts';
import { belady } from '../../../../cache/rules/eviction/belady.ts';
import { gdsf } from '../../../../cache/rules/eviction/gdsf.ts';
import { lru } from '../../../../cache/rules/eviction/lru.ts';
import type { EvictionPolicy } from '../../../../cache/rules/eviction/policy.ts';
import { type S3FifoTuning, s3fifo } from '../../../../cache/rules/eviction/s3fifo.ts';
import { sieve } from '../../../../cache/rules/eviction/sieve.ts';
import {
  footprintBytes,
  type Outcome,
  type Requests,
  requestsOf,
  simulate,
} from '../../../../cache/rules/eviction/simulate.ts';
import { wTinyLfu } from '../../../../cache/rules/eviction/wtinylfu.ts';

/** S3-FIFO without the floor under its small queue, as the paper has it. */
export const PAPER_TUNING: S3FifoTuning = { smallRatio: 0.1, smallLargest: 0, ghostRatio: 0.9 };

const TRACE = fileURLToPath(new URL('../../../../../shared/data/traces/request.tr', import.meta.url));

/** Lines of `time id size`; undefined when the trace is not there. */
export function readTrace(): Requests | undefined {
  if (!existsSync(TRACE)) return undefined;
  const lines = readFileSync(TRACE, 'utf8').trimEnd().split('\n');
  return requestsOf(
    lines.map((line) => {
      const [, id = '', bytes = ''] = line.split(' ');
      return { id, bytes: Number(bytes) };
    }),
  );
}

/** Recorded with libCacheSim, to three decimals. */
export const RECORDED = [
  { policy: 'lru', share: 0.01, requestMiss: 0.754, byteMiss: 0.724 },
  { policy: 'lru', share: 0.1, requestMiss: 0.656, byteMiss: 0.648 },
  { policy: 'sieve', share: 0.01, requestMiss: 0.737, byteMiss: 0.709 },
  { policy: 'sieve', share: 0.1, requestMiss: 0.622, byteMiss: 0.626 },
  { policy: 's3fifo', share: 0.01, requestMiss: 0.718, byteMiss: 0.717 },
  { policy: 's3fifo', share: 0.1, requestMiss: 0.622, byteMiss: 0.624 },
  { policy: 'belady', share: 0.01, requestMiss: 0.649, byteMiss: 0.643 },
  { policy: 'belady', share: 0.1, requestMiss: 0.55, byteMiss: 0.575 },
  { policy: 'gdsf', share: 0.01, requestMiss: 0.674, byteMiss: 0.729 },
  { policy: 'gdsf', share: 0.1, requestMiss: 0.58, byteMiss: 0.64 },
  { policy: 'arc', share: 0.01, requestMiss: 0.742, byteMiss: 0.717 },
  { policy: 'arc', share: 0.1, requestMiss: 0.622, byteMiss: 0.627 },
  { policy: 'wtinylfu', share: 0.01, requestMiss: 0.723, byteMiss: 0.877 },
  { policy: 'wtinylfu', share: 0.1, requestMiss: 0.62, byteMiss: 0.66 },
] as const;

/**
 * How far our run may be from what was recorded. ARC: ours learns per byte from the object that is missed, and misses
 * less than the recorded one. W-TinyLFU: the recorded one lets larger objects than its window pass by, about; its exact
 * sketch and rule are not known.
 */
export const TOLERANCES = {
  lru: 0.001,
  sieve: 0.001,
  s3fifo: 0.005,
  belady: 0.001,
  gdsf: 0.005,
  arc: 0.0105,
  wtinylfu: 0.0145,
} as const;

/**
 * The same run here. An object of another size is a hit, as there. libCacheSim's S3-FIFO lets objects pass by that are
 * larger than its small queue, and its W-TinyLFU those larger than the window; its Belady lets everybody in.
 */
export function referenceRun(policy: keyof typeof TOLERANCES, share: number, requests: Requests): Outcome {
  const footprint = footprintBytes(requests);
  const capacityBytes = Math.floor(footprint * share);
  const run = (opened: EvictionPolicy, maxShare = 1): Outcome =>
    simulate({ policy: opened, capacityBytes, maxObjectBytes: Math.floor(capacityBytes * maxShare) }, requests);
  const runs: Readonly<Record<typeof policy, () => Outcome>> = {
    lru: () => run(lru()),
    sieve: () => run(sieve()),
    s3fifo: () => run(s3fifo(PAPER_TUNING), PAPER_TUNING.smallRatio),
    gdsf: () => run(gdsf()),
    arc: () => run(arc(capacityBytes)),
    wtinylfu: () => run(wTinyLfu((capacityBytes / footprint) * requests.count), 0.01),
    belady: () => {
      const { admits, ...oracle } = belady(requests, capacityBytes);
      return run({
        ...oracle,
        admits: (slot, bytes, key) => {
          admits?.(slot, bytes, key);
          return true;
        },
      });
    },
  };
  return runs[policy]();
}
