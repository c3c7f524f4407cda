// What workers and the primary say to each other besides HTTP's own: fields of the socket between them, and how an answer of
// the primary is read. A worker is a cache in memory whose only origin is the primary.
import type { CacheOptions, HostOptions, ListenLimits, Reloadable, Result } from '../contract.ts';
import { type Fields, fieldValue } from '../rules/fields.ts';

/**
 * Who a handler answers. `alone`: viewers, from its origins. `worker`: viewers, from the primary. `primary`: workers, whose
 * viewers have been counted and judged there.
 */
export type Role = 'alone' | 'worker' | 'primary';

/** A worker's stored answers keep in this field how the primary came by them; no viewer sees it. */
export const TIER_FIELD = 'nearcast-tier';
/** A worker names its viewer's address to the routes of the primary in this field. */
export const REMOTE_FIELD = 'nearcast-remote';

/** `list` without its last member, which is the primary's own; '' when it was the only one. */
function withoutLast(list: string): string {
  const comma = list.lastIndexOf(', ');
  return comma < 0 ? '' : list.slice(0, comma);
}

/** The fields of an answer of the primary as its origin gave them; what the primary said of it goes to TIER_FIELD. */
export function fromPrimary(headers: Fields): Fields {
  const fields: (readonly [string, string])[] = [];
  const status = fieldValue(headers, 'cache-status');
  for (const field of headers) {
    const [name, value] = field;
    if (name === 'cache-status') continue;
    if (name !== 'via') fields.push(field);
    else if (withoutLast(value) !== '') fields.push([name, withoutLast(value)]);
  }
  if (status === undefined) return fields;
  const before = withoutLast(status);
  if (before !== '') fields.push(['cache-status', before]);
  return [...fields, [TIER_FIELD, before === '' ? status : status.slice(before.length + 2)]];
}

/** How a viewer was served, by what the primary said (RFC 9211). */
export function tierResult(status: string): Result {
  if (status.includes('; hit')) return status.includes('; ttl=-') ? 'stale' : 'hit';
  if (status.includes('; fwd-status=304')) return 'revalidated';
  return status.includes('; stored') || status.includes('; collapsed') ? 'miss' : 'pass';
}

/** What of a cache's options goes to its workers: plain data. Functions stay with the primary. */
export type WorkerOptions = Pick<CacheOptions, 'nodeId' | 'maxResidentBytes'> &
  WorkerReload & {
    readonly ramBytes: number;
    readonly routes: readonly {
      prefix: string;
      methods: readonly string[];
      deadlineMs: number;
      maxBodyBytes: number;
    }[];
    /** Somebody listens to what is served. */
    readonly hasListener: boolean;
  };

/** What may change while workers run. */
export type WorkerReload = Reloadable;

const shareOf = (limit: number | null | undefined, count: number): number | null =>
  limit === null || limit === undefined ? null : Math.max(1, Math.ceil(limit / count));

/** A host for one of `count` workers: its share of what is limited there; requests to origins the primary limits. */
function hostShare(host: HostOptions, count: number): HostOptions {
  if (host.quota === undefined) return host;
  const { requestsPerSecond, bytesPerSecond } = host.quota;
  const quota = {
    requestsPerSecond: shareOf(requestsPerSecond, count),
    bytesPerSecond: shareOf(bytesPerSecond, count),
    originRequests: null,
    diskBytes: null,
  };
  return { ...host, quota };
}

/** The limits of one of `count` workers: connections and requests are divided among them. */
function limitsShare(limits: ListenLimits, count: number): ListenLimits {
  const { maxConnections, maxRequests } = limits;
  return {
    ...limits,
    ...(maxConnections !== undefined && { maxConnections: Math.ceil(maxConnections / count) }),
    ...(maxRequests !== undefined && { maxRequests: Math.ceil(maxRequests / count) }),
  };
}

/** What of new options one of `count` workers hears. */
export function reloadFor(options: WorkerReload, count: number): WorkerReload {
  const { origins, hosts = [], ignoredQuery = [], queriesPerPath, rules, limits = {}, certificate = null } = options;
  const shares = hosts.map((host) => hostShare(host, count));
  return {
    ...{ origins, hosts: shares, ignoredQuery, rules, certificate, limits: limitsShare(limits, count) },
    ...(queriesPerPath !== undefined && { queriesPerPath }),
  };
}

/** Memory, for bodies or resident: all of it without workers, else an equal part for the primary and for each of them. */
export function memoryShare(bytes: number, workers: number): number {
  return workers < 2 ? bytes : Math.floor(bytes / (workers + 1));
}

/** The options of one of `count` workers. */
export function workerOptions(options: CacheOptions, count: number): WorkerOptions {
  const { nodeId, routes = [], store, maxResidentBytes = null } = options;
  return {
    ...reloadFor(options, count),
    nodeId,
    ramBytes: memoryShare(store.ramBytes, count),
    ...(maxResidentBytes !== null && { maxResidentBytes: memoryShare(maxResidentBytes, count) }),
    routes: routes.map(({ prefix, methods, deadlineMs, maxBodyBytes }) => ({
      ...{ prefix, methods, deadlineMs, maxBodyBytes },
    })),
    hasListener: options.onServed !== undefined,
  };
}
