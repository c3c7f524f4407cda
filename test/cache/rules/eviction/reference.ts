// The AdaptSize trace, and what libCacheSim measured on it: an outside oracle for the policies.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { lru } from '../../../../cache/rules/eviction/lru.ts';
import { type S3FifoTuning, s3fifo } from '../../../../cache/rules/eviction/s3fifo.ts';
import { sieve } from '../../../../cache/rules/eviction/sieve.ts';
import {
  footprintBytes,
  type Outcome,
  type Requests,
  requestsOf,
  simulate,
} from '../../../../cache/rules/eviction/simulate.ts';

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
] as const;

/**
 * The same run here. An object of another size is a hit, as there. libCacheSim's S3-FIFO lets objects pass by that are
 * larger than its small queue, so this run does as well.
 */
export function referenceRun(policy: 'lru' | 'sieve' | 's3fifo', share: number, requests: Requests): Outcome {
  const capacityBytes = Math.floor(footprintBytes(requests) * share);
  if (policy === 'lru') return simulate({ policy: lru(), capacityBytes }, requests);
  if (policy === 'sieve') return simulate({ policy: sieve(), capacityBytes }, requests);
  const maxObjectBytes = Math.floor(capacityBytes * PAPER_TUNING.smallRatio);
  return simulate({ policy: s3fifo(PAPER_TUNING), capacityBytes, maxObjectBytes }, requests);
}
