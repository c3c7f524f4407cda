// What caches of several policies and sizes would have made of a log: hits, origin bytes and what the origin's line costs.
import {
  arc,
  belady,
  type EvictionPolicy,
  footprintBytes,
  gdsf,
  lru,
  SimulatedCache,
  s3fifo,
  sieve,
  wTinyLfu,
} from '../../cache/cache.ts';
import { BIN_SECONDS, bitsPerSecond, percentile95 } from './billing.ts';
import { FILLS } from './prefetch.ts';
import type { Log } from './read-log.ts';

type Opened = { readonly policy: EvictionPolicy; readonly enterFilled?: EvictionPolicy['enter'] };
type Open = (log: Log, capacityBytes: number) => Opened;

/** Policies by name; the last knows the future and is the bound for all others without prefetch. */
export const POLICIES: Readonly<Record<string, Open>> = {
  lru: () => ({ policy: lru() }),
  s3fifo: () => {
    const policy = s3fifo();
    // As the node's disk has it: fills are past the trial of newcomers.
    return { policy, enterFilled: (slot, bytes, key) => policy.restore(slot, { bytes, key, uses: 2 }) };
  },
  sieve: () => ({ policy: sieve() }),
  gdsf: () => ({ policy: gdsf() }),
  arc: (_log, capacityBytes) => ({ policy: arc(capacityBytes) }),
  wtinylfu: ({ requests, sizes }, capacityBytes) => {
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    return { policy: wTinyLfu(Math.max(1, (capacityBytes / Math.max(1, bytes)) * requests.count)) };
  },
  belady: ({ requests }, capacityBytes) => ({ policy: belady(requests, capacityBytes) }),
};

/** A cache to play. */
export type Run = {
  readonly policy: string;
  readonly prefetch: keyof typeof FILLS;
  /** Of the whole cache, not of the sample that is played. */
  readonly capacityBytes: number;
  /** Hour of the day, UTC, at which fills begin. */
  readonly fillHour: number;
};

/** What came of it, scaled up to all objects when a sample was played. Ratios are 0 to 1. */
export type Replayed = Run & {
  readonly requestHitRatio: number;
  /** Of the bytes that viewers were sent. */
  readonly byteHitRatio: number;
  /** With what was prefetched. */
  readonly originBytes: number;
  readonly prefetchedBytes: number;
  /** The 95th percentile of 5-minute origin bandwidth, the mean of the months' ones; bits per second. */
  readonly originP95: number;
  /** Origin bytes by 5 minutes from the first request on. */
  readonly bins: Float64Array;
};

const DAY_SECONDS = 86_400;
/** A fill is fetched evenly within so many hours. */
const FILL_SECONDS = 4 * 3600;

/** The mean over calendar months (UTC) of their percentiles, by how many bins each has. */
export function monthlyP95(bins: Float64Array, firstSeconds: number): number {
  const months = new Map<string, number[]>();
  for (const [at, bytes] of bins.entries()) {
    const month = new Date((firstSeconds + at * BIN_SECONDS) * 1000).toISOString().slice(0, 7);
    const known = months.get(month);
    if (known === undefined) months.set(month, [bytes]);
    else known.push(bytes);
  }
  let sum = 0;
  for (const list of months.values()) sum += percentile95(Float64Array.from(list)) * list.length;
  return bins.length === 0 ? 0 : bitsPerSecond(sum / bins.length);
}

/** Bytes of all objects of a log, those left out of the sample by estimate. */
export const footprintOf = ({ requests, sizes, isTrace, sampleRatio }: Log): number =>
  (isTrace ? footprintBytes(requests) : sizes.reduce((sum, size) => sum + size, 0)) / sampleRatio;

/** Bytes into bins, which begin at the first request. */
class Origin {
  readonly bins: Float64Array;
  bytes = 0;
  readonly #first: number;

  constructor(first: number, last: number) {
    this.#first = first;
    this.bins = new Float64Array(Math.floor((last - first) / BIN_SECONDS) + 1);
  }

  add(at: number, bytes: number): void {
    this.bytes += bytes;
    const bin = Math.min(this.bins.length - 1, Math.floor((at - this.#first) / BIN_SECONDS));
    this.bins[bin] = (this.bins[bin] ?? 0) + bytes;
  }
}

/** When fills begin, within the log. */
function nights(first: number, last: number, fillHour: number): readonly number[] {
  const begin = Math.ceil((first - fillHour * 3600) / DAY_SECONDS) * DAY_SECONDS + fillHour * 3600;
  const count = Math.max(0, Math.floor((last - begin) / DAY_SECONDS) + 1);
  return Array.from({ length: count }, (_, day) => begin + day * DAY_SECONDS);
}

/** Plays one cache. Yields to `signal` between nights alone: a run of 8 million requests takes a few seconds. */
export function replay(log: Log, run: Run): Replayed {
  const { objects, bytes, at, count } = log.requests;
  const { sizes, sampleRatio, isTrace } = log;
  const capacityBytes = run.capacityBytes * sampleRatio;
  const open = POLICIES[run.policy];
  if (open === undefined) throw new RangeError(`There is no policy ${run.policy}`);
  const cache = new SimulatedCache({ ...open(log, capacityBytes), capacityBytes }, count);
  const [first, last] = [at[0] ?? 0, at.at(-1) ?? 0];
  const origin = new Origin(first, last);
  const choose = FILLS[run.prefetch]?.();
  const begins = choose === undefined ? [] : nights(first, last, run.fillHour);
  let prefetched = 0;
  let [hits, hitBytes, sentBytes] = [0, 0, 0];
  const fill = (from: number, begin: number): void => {
    let until = from;
    while (until < at.length && (at[until] ?? 0) < begin + DAY_SECONDS) until += 1;
    const night = { objects, from, until, sizes, holds: (object: number) => cache.holds(object), capacityBytes };
    const chosen = choose?.(night) ?? [];
    for (const [index, object] of chosen.entries()) {
      const size = sizes[object] ?? 0;
      if (!cache.fill(object, size)) continue;
      prefetched += size;
      origin.add(begin + (FILL_SECONDS * index) / chosen.length, size);
    }
  };
  let night = 0;
  for (let index = 0; index < objects.length; index += 1) {
    const [object, time, sent] = [objects[index] ?? 0, at[index] ?? 0, bytes[index] ?? 0];
    for (; time >= (begins[night] ?? Number.POSITIVE_INFINITY); night += 1) fill(index, begins[night] ?? 0);
    const size = isTrace ? sent : (sizes[object] ?? 0);
    sentBytes += sent;
    if (cache.ask(object, size)) {
      hits += 1;
      hitBytes += sent;
    } else origin.add(time, size);
  }
  const bins = origin.bins.map((sum) => sum / sampleRatio);
  return {
    ...run,
    requestHitRatio: objects.length === 0 ? 0 : hits / objects.length,
    byteHitRatio: sentBytes === 0 ? 0 : hitBytes / sentBytes,
    originBytes: origin.bytes / sampleRatio,
    prefetchedBytes: prefetched / sampleRatio,
    originP95: monthlyP95(bins, first),
    bins,
  };
}

/** Every run of a table: each policy with each size and fill, LRU and the oracle without fill always among them. */
export function runsOf(asked: {
  readonly policies: readonly string[];
  readonly sizes: readonly number[];
  readonly prefetches: readonly Run['prefetch'][];
  readonly fillHour: number;
}): readonly Run[] {
  const { policies, sizes, prefetches, fillHour } = asked;
  const all = [...new Set([...policies, 'belady'])];
  return sizes.flatMap((capacityBytes) =>
    all.flatMap((policy) =>
      (policy === 'belady' ? (['none'] as const) : [...new Set(['none' as const, ...prefetches])]).map((prefetch) => ({
        ...{ policy, prefetch, capacityBytes, fillHour },
      })),
    ),
  );
}
