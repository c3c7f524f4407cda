// The cache's front door in types: what open() takes, what it gives, and what a served request is recorded as.
import type { CertificateFiles, Listen, ListenLimits } from './contract-listen.ts';
import type { PinSelector, PurgeResult, PurgeSelector, Signing } from './contract-rights.ts';
import type { CacheStats } from './contract-stats.ts';
import type { EvictionPlace } from './rules/eviction/s3fifo.ts';
import type { Kind, Priority, Purpose, Result } from './vocabulary.ts';

export type { CertificateFiles, CertificateStats, Listen, ListenLimits, MisuseReason } from './contract-listen.ts';
export { MISUSE_REASONS } from './contract-listen.ts';

export type {
  CacheStats,
  Histogram,
  OriginServerStats,
  OriginStats,
  Retry,
  StoreStats,
} from './contract-stats.ts';
export { HISTOGRAM_SECONDS } from './contract-stats.ts';
export type { Kind, Priority, Purpose, Result, ShedReason } from './vocabulary.ts';
export { KINDS, PRIORITIES, PURPOSES, RESULTS, SHED_REASONS } from './vocabulary.ts';

/** CMCD as it came, unparsed. The cache only takes it off the key. */
export type RawCmcd = { readonly query?: string; readonly headers?: Readonly<Record<string, string>> };

/** One request that was answered, complete or cut short. */
export type ServedRecord = {
  /** Milliseconds since the epoch at which the request came. */
  readonly at: number;
  readonly key: string;
  /** Path of the request, without query. */
  readonly path: string;
  readonly title?: string;
  readonly kind: Kind;
  readonly status: number;
  readonly result: Result;
  /** Body bytes that were written to the viewer. */
  readonly bytes: number;
  readonly isComplete: boolean;
  readonly firstByteMs: number;
  /** Set when this is the first viewer of an object that was prefetched: the fill's purpose. */
  readonly prefetched?: Purpose;
  readonly cmcd?: RawCmcd;
  /** Keyed hash of the remote address; the key is drawn anew each day and never stored. */
  readonly remoteHash: string;
};

/** A request to one of the agent's routes, body already read within the route's limit. */
export type RouteRequest = {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly remoteHash: string;
  /** Aborts at the route's deadline or when the viewer leaves. */
  readonly signal: AbortSignal;
};
/** What a route answers; content-length is added. */
export type RouteReply = {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
};

/** A prefix of the viewer listener that the caller answers itself, matched before look-up; longest prefix wins. */
export type Route = {
  /** `/x/` matches everything below it; without the last slash only that path. */
  readonly prefix: string;
  readonly methods: readonly string[];
  readonly deadlineMs: number;
  readonly maxBodyBytes: number;
  readonly answer: (request: RouteRequest) => Promise<RouteReply> | RouteReply;
};

/** How the servers of an origin are asked whether they are well. */
export type HealthOptions = {
  /** Asked by GET, below the path of the server's URL. */
  readonly path: string;
  /** Between two checks of one server, spread by a quarter. */
  readonly intervalSeconds: number;
  readonly timeoutMs: number;
  /** The status of a server that is well. */
  readonly expect: number;
  /** Good checks in a row that bring a server back. */
  readonly rise: number;
  /** Failed checks in a row that take it out. */
  readonly fall: number;
};

/** An origin; the first whose `match` is a prefix of the path serves it. */
export type OriginOptions = {
  readonly name: string;
  /** The first of its servers: asked while it is well. */
  readonly url: string;
  /** Servers with the same content, each asked when those before it fail. */
  readonly backups?: readonly string[];
  /** None: servers are judged by the answers to requests alone. */
  readonly health?: HealthOptions | null;
  readonly match: string;
  /** Until the response's head, whatever the servers that are tried for it; default 10 000. */
  readonly firstByteTimeoutMs?: number;
  /** Between two chunks of a body; default 10 000. */
  readonly idleTimeoutMs?: number;
  /** Mean of a body over the idle timeout, while it is let come; slower ones are cut. Default 1024; 0: no minimum. */
  readonly minimumBytesPerSecond?: number;
  readonly maxConnections?: number;
};

/** What one host may take; absent or null: as much as it likes. */
export type HostQuota = {
  /** Viewer requests, on the mean, with one second's worth at once; above it: 429 with Retry-After. */
  readonly requestsPerSecond?: number | null;
  /** Body bytes to viewers, on the mean; an answer that is being sent ends whatever it takes. */
  readonly bytesPerSecond?: number | null;
  /** Requests to origins at once for viewers; above it: stale where that is allowed, else 503 with Retry-After. */
  readonly originRequests?: number | null;
  /** Of all store directories, for what was fetched for this host; above it its own objects are evicted. */
  readonly diskBytes?: number | null;
};

/** Names that viewers ask under, and what is particular to them. */
export type HostOptions = {
  /** `cdn.example.com`; `*.example.net`: every name below it; `*`: every other name. Lower case, without port. */
  readonly names: readonly string[];
  /** Names of origins in the order in which their `match` is looked at; absent or null: all, in theirs. */
  readonly origins?: readonly string[] | null;
  /** In place of that of CacheOptions; absent or null: that one. */
  readonly ignoredQuery?: readonly string[] | null;
  /** What origins get as Host: their own name, or the viewer's, which then is part of each key. Default `origin`. */
  readonly hostHeader?: 'origin' | 'forward';
  readonly quota?: HostQuota;
  /** For viewers who ask for these names over TLS; absent or null: the default certificate. */
  readonly certificate?: CertificateFiles | null;
  readonly signing?: Signing;
  /** Bearer tokens, at least 16 bytes each, with which this host's objects are purged over the viewer listener. */
  readonly purgeTokens?: readonly Uint8Array[];
};

/** One disk of the store. */
export type StoreDirectory = { readonly path: string; readonly maxBytes: number };

/** A line for the log: a constant event name and closed fields; never anything about a viewer. */
export type Log = (
  level: 'debug' | 'info' | 'warn' | 'error',
  event: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

/** An address of a name. `ttlSeconds`: how long it counts; absent: not known. */
export type NamedAddress = { readonly address: string; readonly family: 4 | 6; readonly ttlSeconds?: number };

/** Gives every address of a name; rejects when there is none. */
export type LookupName = (name: string) => Promise<readonly NamedAddress[]>;

/**
 * What the caller expects keys to be asked for. A key has a group, a plain number that is kept with each object, so that
 * eviction needs neither key nor query; all objects of a group are expected alike. Neither function may throw, and both
 * must be quick: scoreOf() is asked some 16 times for each object that leaves.
 */
export type Demand = {
  /** 1 to 2^32 - 1; undefined: nothing is known. Asked when an object is stored, and again at some of its uses if unknown. */
  readonly groupOf: (key: string) => number | undefined;
  /** Requests expected of each object of a group, those to come discounted by when; 0 or above; Infinity: it leaves last. */
  readonly scoreOf: (group: number) => number;
};

/** Everything open() needs. */
export type CacheOptions = {
  readonly origins: readonly OriginOptions[];
  /** Absent or empty: every name is answered alike. Otherwise a name of no host is answered with 421. */
  readonly hosts?: readonly HostOptions[];
  readonly store: {
    readonly ramBytes: number;
    readonly dirs: readonly StoreDirectory[];
    readonly required: boolean;
    /** In which the scrub reads every stored block once; 0: no scrub. Default 30. */
    readonly scrubDays?: number;
  };
  /** Resident memory of all processes near which the RAM tier shrinks; absent or null: what the cgroup or the host has. */
  readonly maxResidentBytes?: number | null;
  readonly rules: {
    /** Freshness of a 200 that says nothing of it. */
    readonly defaultTtlSeconds: number;
    /** stale-while-revalidate and stale-if-error of a response that says nothing of them and does not forbid it. */
    readonly graceSeconds: number;
    /** Name of the targeted cache-control field (RFC 9213) that goes before Cache-Control. */
    readonly target: string;
  };
  /** Query parameters that never enter the key, beside CMCD. */
  readonly ignoredQuery?: readonly string[];
  /**
   * Different queries of one path that are stored at first sight in 10 minutes; others when they are asked for again.
   * Default 16; null: all.
   */
  readonly queriesPerPath?: number | null;
  readonly limits?: ListenLimits;
  /** For names that no host with a certificate has, and viewers who name none. Without it they get no TLS. */
  readonly certificate?: CertificateFiles | null;
  /** Processes that serve viewers, each from memory in front of this one; 1: this process serves them itself. */
  readonly workers?: number;
  /** How often certificate files are looked at; default 30 000. */
  readonly certificatePollMs?: number;
  readonly routes?: readonly Route[];
  readonly titleOf?: (path: string) => string | undefined;
  readonly onServed?: (record: ServedRecord) => void;
  /** A field that is added to the answer with a segment, asked for at each; synchronous. Not with workers. */
  readonly segmentField?: (result: Result) => readonly [name: string, value: string] | undefined;
  /** What the caller expects of keys; absent: nothing is known of any. */
  readonly demand?: Demand;
  /** How names of origins become addresses; absent: by the system's resolver. */
  readonly lookup?: LookupName;
  /** Name in Cache-Status (RFC 9211) and Via. */
  readonly nodeId: string;
  readonly now: () => number;
  readonly log: Log;
};

/** How a fill ended. */
export type FillOutcome =
  | { readonly outcome: 'stored' | 'already'; readonly bytes: number; readonly status: number }
  | { readonly outcome: 'refused' | 'failed' | 'cancelled'; readonly reason: string };

/** What fill() may be told. Bytes per second is a cap for this fill alone. */
export type FillOptions = {
  readonly priority: Priority;
  readonly purpose: Purpose;
  readonly pin?: boolean;
  readonly bytesPerSecond?: number;
  /** A larger body is refused as `size` as soon as that is known, unless a viewer wants it too. */
  readonly maxBytes?: number;
  readonly signal?: AbortSignal;
};

/** Limits of read(). */
export type ReadOptions = { readonly maxBytes: number; readonly signal: AbortSignal };
/** A whole stored body. */
export type ReadObject = { readonly bytes: Buffer; readonly contentType: string };

/** What of the options may change while the cache is open. */
export type Reloadable = Pick<
  CacheOptions,
  'origins' | 'hosts' | 'ignoredQuery' | 'queriesPerPath' | 'rules' | 'limits' | 'certificate'
>;

/** Where a URL is looked for. */
export type Placed = {
  /** Of the host that answers for it; `*` without hosts. */
  readonly names: readonly string[];
  readonly origin: string;
  readonly key: string;
};

/** What the cache holds for a URL. */
export type Holding = {
  readonly key: string;
  readonly tier: 'memory' | 'disk';
  readonly sizeBytes: number;
  readonly storedAt: number;
  readonly freshForSeconds: number;
  readonly isPinned: boolean;
  readonly purpose: Purpose;
  readonly hits: number;
};

/** One stored variant of a URL and why it is as it is; times in whole seconds but storedAt. */
export type ExplainedVariant = {
  /** The request's values that chose it; '' without Vary. */
  readonly variant: string;
  readonly tier: 'memory' | 'disk';
  readonly status: number;
  readonly sizeBytes: number;
  /** Less than sizeBytes while only parts of it are there. */
  readonly storedBytes: number;
  /** Milliseconds since the epoch. */
  readonly storedAt: number;
  readonly ageSeconds: number;
  readonly lifetimeSeconds: number;
  /** Negative: stale since. */
  readonly freshForSeconds: number;
  /** What decides on freshness, and what a plain request gets now, in words. */
  readonly because: string;
  readonly next: string;
  readonly servedOnError: boolean;
  readonly isPinned: boolean;
  readonly isInvalidated: boolean;
  readonly purpose: Purpose;
  readonly hits: number;
  /** Where it waits to leave its disk; null: pinned, or in memory alone. Of an object in parts, its head's. */
  readonly eviction: EvictionPlace | null;
  /** Response fields that decide, as they came. */
  readonly fields: Readonly<Record<string, string>>;
  readonly tags: readonly string[];
  readonly groups: readonly string[];
};

/** What the cache knows of a URL. */
export type Explanation = Placed & {
  /** Origin fetches of it under way. */
  readonly fills: number;
  readonly variants: readonly ExplainedVariant[];
};

/**
 * An open cache. A URL is absolute and means the host of its name, or a path with query: then the first host that has an
 * origin for it, for a purge every host.
 */
export type Cache = {
  /** Starts the viewer listener, with TLS on a second address; resolves with the ports. Rejects with CACHE_LISTEN_FAILED. */
  readonly serve: (plain: Listen, secure?: Listen) => Promise<{ readonly port: number; readonly securePort?: number }>;
  readonly fill: (url: string, options: FillOptions) => Promise<FillOutcome>;
  readonly has: (url: string) => Holding | undefined;
  /** Undefined: no origin serves that URL. */
  readonly explain: (url: string) => Explanation | undefined;
  /** Fills if need be and gives the body; undefined: not stored, not 200, not whole, or above maxBytes. */
  readonly read: (url: string, options: ReadOptions) => Promise<ReadObject | undefined>;
  /** Purges what was there when it was called; resolves when no crash can bring it back. */
  readonly purge: (selector: PurgeSelector) => Promise<PurgeResult>;
  /** How many stored objects of a URL, or below a prefix, are pinned or unpinned now. */
  readonly pin: (selector: PinSelector, isPinned: boolean) => Promise<number>;
  /** Undefined when no host or none of its origins serves that URL. */
  readonly placeOf: (url: string) => Placed | undefined;
  /**
   * New requests use these from now on; what runs ends at the origins where it began. An origin whose options are the
   * same keeps its connections. Rejects with CACHE_OPTIONS_INVALID or CACHE_CERTIFICATE_UNUSABLE, and then nothing has
   * changed. A cache that was opened without any certificate takes none.
   */
  readonly reload: (next: Reloadable) => Promise<void>;
  readonly stats: () => CacheStats;
  /** Origin fetches under way now; stats() has it too, but reads everything. */
  readonly activeFills: () => number;
  /** Memory is short: nothing should begin that no viewer waits for. */
  readonly isTight: () => boolean;
  /** Stops listening, lets answers in flight end for at most drainMs, then flushes and closes the store. */
  readonly close: (drainMs: number) => Promise<void>;
};
