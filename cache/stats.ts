// The cache's counters: plain integers, added to on the way, read at scrape.
import {
  type CacheStats,
  type CertificateStats,
  HISTOGRAM_SECONDS,
  type Histogram,
  KINDS,
  type Kind,
  MISUSE_REASONS,
  type OriginStats,
  PURPOSES,
  type Purpose,
  RESULTS,
  type Result,
  SHED_REASONS,
  type StoreStats,
} from './contract.ts';
import { DENIALS } from './rules/access.ts';

type Counts<Name extends string> = Record<Name, number>;

function zeros<Name extends string>(names: readonly Name[]): Counts<Name> {
  // Every name of the list gets its entry here, so the record is whole.
  return Object.fromEntries(names.map((name) => [name, 0])) as Counts<Name>;
}

function each<Name extends string, Value>(names: readonly Name[], make: () => Value): Record<Name, Value> {
  // As above.
  return Object.fromEntries(names.map((name) => [name, make()])) as Record<Name, Value>;
}

/** Observations per bucket of HISTOGRAM_SECONDS, not cumulative, with one bucket more for what lies above. */
type Buckets = { readonly counts: number[]; sum: number };

/** Whether a fill of this purpose is a prefetch: asked for before any viewer did. */
export function isPrefetch(purpose: Purpose): boolean {
  return purpose === 'in-session' || purpose === 'off-peak';
}

function plus<Name extends string>(one: Readonly<Counts<Name>>, other: Readonly<Counts<Name>>): Counts<Name> {
  const sum: Counts<Name> = { ...one };
  for (const name in sum) sum[name] += other[name];
  return sum;
}

function plusEach<Name extends string, Value>(
  one: Readonly<Record<Name, Value>>,
  other: Readonly<Record<Name, Value>>,
  add: (one: Value, other: Value) => Value,
): Record<Name, Value> {
  const sum: Record<Name, Value> = { ...one };
  for (const name in sum) sum[name] = add(one[name], other[name]);
  return sum;
}

const plusHistogram = (one: Histogram, other: Histogram): Histogram => ({
  counts: one.counts.map((count, index) => count + (other.counts[index] ?? 0)),
  sum: one.sum + other.sum,
});

function plusStats(one: CacheStats, other: CacheStats): CacheStats {
  return {
    ...one,
    requests: plusEach(one.requests, other.requests, plus),
    sentBytes: plus(one.sentBytes, other.sentBytes),
    firstByteSeconds: plusEach(one.firstByteSeconds, other.firstByteSeconds, plusHistogram),
    shed: plus(one.shed, other.shed),
    misuse: plus(one.misuse, other.misuse),
    denied: plus(one.denied, other.denied),
    coalesced: one.coalesced + other.coalesced,
    routeErrors: one.routeErrors + other.routeErrors,
    malformed: one.malformed + other.malformed,
    unknownHosts: one.unknownHosts + other.unknownHosts,
    handshakeFailures: one.handshakeFailures + other.handshakeFailures,
    openConnections: one.openConnections + other.openConnections,
  };
}

/** What viewers saw, of the first and of all others together; what concerns origins and the store is the first's. */
export function sumStats([first, ...others]: readonly [CacheStats, ...CacheStats[]]): CacheStats {
  return others.reduce(plusStats, first);
}

/** The counters of one cache; everyone adds to them directly. */
export class Counters {
  readonly requests: Record<Result, Counts<Kind>> = each(RESULTS, () => zeros(KINDS));
  readonly sentBytes = zeros(RESULTS);
  readonly originBytes = zeros(PURPOSES);
  readonly originRequests = zeros(PURPOSES);
  readonly prefetch = {
    ...{ storedBytes: 0, usefulBytes: 0, wastedBytes: 0 },
    offPeak: { usefulBytes: 0, wastedBytes: 0 },
  };
  /** Requests of viewers that were answered. */
  answered = 0;
  originErrors = 0;
  coalesced = 0;
  routeErrors = 0;
  malformed = 0;
  unknownHosts = 0;
  readonly shed = zeros(SHED_REASONS);
  readonly misuse = zeros(MISUSE_REASONS);
  readonly denied = zeros(DENIALS);
  notAdmitted = 0;
  readonly #firstByte: Record<Result, Buckets> = each(RESULTS, () => ({
    counts: new Array<number>(HISTOGRAM_SECONDS.length + 1).fill(0),
    sum: 0,
  }));

  /** Adds one answered request. */
  served(result: Result, kind: Kind, bytes: number, firstByteMs: number): void {
    this.answered += 1;
    this.requests[result][kind] += 1;
    this.sentBytes[result] += bytes;
    const seconds = firstByteMs / 1000;
    const buckets = this.#firstByte[result];
    let index = 0;
    while (index < HISTOGRAM_SECONDS.length && seconds > (HISTOGRAM_SECONDS[index] ?? 0)) index += 1;
    buckets.counts[index] = (buckets.counts[index] ?? 0) + 1;
    buckets.sum += seconds;
  }

  /** An object that was fetched ahead was asked for, for the first time. */
  used(object: { readonly purpose: Purpose; readonly lengthBytes: number }): void {
    this.#settle(object.purpose, 'usefulBytes', object.lengthBytes);
  }

  #settle(purpose: Purpose, outcome: 'usefulBytes' | 'wastedBytes', bytes: number): void {
    if (!isPrefetch(purpose)) return;
    this.prefetch[outcome] += bytes;
    if (purpose === 'off-peak') this.prefetch.offPeak[outcome] += bytes;
  }

  /** An object that left the store. */
  evicted(object: { readonly purpose: Purpose; readonly bytes: number; readonly wasUsed: boolean }): void {
    if (!object.wasUsed) this.#settle(object.purpose, 'wastedBytes', object.bytes);
  }

  /** A copy for the outside; histograms become cumulative. */
  read(now: {
    readonly store: StoreStats;
    readonly openConnections: number;
    readonly activeFills: number;
    readonly isTight: boolean;
    readonly handshakeFailures: number;
    readonly certificates: CertificateStats;
    readonly origins: readonly OriginStats[];
    readonly workers: CacheStats['workers'];
  }): CacheStats {
    const cumulative = ({ counts, sum }: Buckets) => {
      let total = 0;
      return {
        counts: counts.map((count) => {
          total += count;
          return total;
        }),
        sum,
      };
    };
    const { requests, sentBytes, originBytes, originRequests, prefetch } = structuredClone({
      requests: this.requests,
      sentBytes: this.sentBytes,
      originBytes: this.originBytes,
      originRequests: this.originRequests,
      prefetch: this.prefetch,
    });
    const firstByteSeconds = each(RESULTS, () => cumulative({ counts: [], sum: 0 }));
    for (const result of RESULTS) firstByteSeconds[result] = cumulative(this.#firstByte[result]);
    const { originErrors, coalesced, routeErrors, malformed, unknownHosts } = this;
    return {
      ...{ requests, sentBytes, originBytes, originRequests, prefetch, firstByteSeconds },
      ...{ originErrors, coalesced, routeErrors, malformed, unknownHosts, shed: { ...this.shed } },
      ...{ misuse: { ...this.misuse }, denied: { ...this.denied }, notAdmitted: this.notAdmitted, ...now },
    };
  }
}
