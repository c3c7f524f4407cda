// The cache's figures in types: counters since start and what is there now, read at scrape.
import type { CertificateStats, MisuseReason } from './contract-listen.ts';
import type { Denial } from './rules/access.ts';
import type { Kind, Purpose, Result, ShedReason } from './vocabulary.ts';

/** How often a request to an origin was sent again, and how often there was no budget for that. */
export type Retry = 'repeat' | 'failover' | 'resume' | 'denied';

/** One server of an origin as it is now, and what it was asked since start. */
export type OriginServerStats = {
  /** Host, port and path of its URL. */
  readonly server: string;
  /** A request would be sent to it: its checks don't speak against it, nor its breaker before the next probe is due. */
  readonly isUp: boolean;
  readonly breaker: 'closed' | 'recovering' | 'open';
  readonly requests: number;
  readonly failures: number;
};

/** An origin as it is now. */
export type OriginStats = {
  readonly origin: string;
  readonly retries: Readonly<Record<Retry, number>>;
  readonly servers: readonly OriginServerStats[];
};

/** Plain counters since start; read at scrape. */
export type CacheStats = {
  readonly requests: Readonly<Record<Result, Readonly<Record<Kind, number>>>>;
  readonly sentBytes: Readonly<Record<Result, number>>;
  readonly originBytes: Readonly<Record<Purpose, number>>;
  readonly originRequests: Readonly<Record<Purpose, number>>;
  readonly originErrors: number;
  readonly coalesced: number;
  readonly firstByteSeconds: Readonly<Record<Result, Histogram>>;
  readonly prefetch: {
    readonly storedBytes: number;
    readonly usefulBytes: number;
    readonly wastedBytes: number;
    /** Of these, what was filled off-peak. */
    readonly offPeak: { readonly usefulBytes: number; readonly wastedBytes: number };
  };
  readonly routeErrors: number;
  readonly malformed: number;
  /** HTTP/2 sessions and streams that were ended for their misuse. */
  readonly misuse: Readonly<Record<MisuseReason, number>>;
  /** TLS handshakes that failed. */
  readonly handshakeFailures: number;
  readonly certificates: CertificateStats;
  /** Turned away by a limit of the listener; not among `requests`. */
  readonly shed: Readonly<Record<ShedReason, number>>;
  /** Answers that were not stored, because their query was new and its path had had enough of those. */
  readonly notAdmitted: number;
  /** Refused with 403 because of their token, or for want of one; not among `requests`. */
  readonly denied: Readonly<Record<Denial, number>>;
  /** Requests for a name that no host has. */
  readonly unknownHosts: number;
  readonly openConnections: number;
  readonly activeFills: number;
  /** Memory is short: background work waits and the RAM tier has shrunk. */
  readonly isTight: boolean;
  readonly store: StoreStats;
  readonly origins: readonly OriginStats[];
  /** Zeros without workers. `droppedRecords`: served requests of which onServed did not hear. */
  readonly workers: { readonly running: number; readonly restarts: number; readonly droppedRecords: number };
};
/** Cumulative histogram: counts[i] observations were <= HISTOGRAM_SECONDS[i]; the last is all of them. */
export type Histogram = { readonly counts: readonly number[]; readonly sum: number };
/** Upper bounds in seconds of every latency histogram here. */
export const HISTOGRAM_SECONDS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
] as const;

/** What the store holds and has suffered. */
export type StoreStats = {
  readonly objects: number;
  readonly usedBytes: Readonly<Record<'memory' | 'disk', number>>;
  readonly limitBytes: Readonly<Record<'memory' | 'disk', number>>;
  readonly evictions: Readonly<Record<'memory' | 'disk', number>>;
  readonly corruptBlocks: number;
  /** Since the start: bytes of bodies read, objects found damaged, times that a directory was read to its end. */
  readonly scrub: { readonly bytes: number; readonly damaged: number; readonly passes: number };
  readonly isDegraded: boolean;
  /** Hosts with a quota of disk, by their first name: bodies and rows of what was fetched for them. */
  readonly hosts: readonly { readonly name: string; readonly usedBytes: number; readonly limitBytes: number }[];
  /** By directory path and operation. */
  readonly errors: readonly {
    readonly disk: string;
    readonly op: 'open' | 'read' | 'write' | 'sync' | 'remove' | 'index';
    readonly count: number;
  }[];
};
