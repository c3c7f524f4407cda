// The cache's front door: open(options) puts its parts together and gives serve, fill, has, purge, pin, stats, close.
import { createHmac, randomBytes } from 'node:crypto';
import type {
  Cache,
  CacheOptions,
  CertificateStats,
  FillOptions,
  FillOutcome,
  Holding,
  PurgeSelector,
  ReadObject,
  ReadOptions,
} from './contract.ts';
import { type Fills, openFills } from './fills.ts';
import { Handler } from './handler.ts';
import { Hosts } from './hosts.ts';
import { type FreshnessRules, NO_DEMANDS, policyOf, reuseOf } from './rules/freshness.ts';
import { resourceOf, targetOf } from './rules/key.ts';
import { pseudonym } from './rules/status.ts';
import { openServer, type Server, type ServerOptions } from './server.ts';
import { Counters } from './stats.ts';
import type { Store, StoredObject } from './store/object.ts';
import { openStore } from './store/store.ts';
import { openTls } from './tls.ts';
import type { Visit } from './visit.ts';

export type {
  Cache,
  CacheOptions,
  CacheStats,
  CertificateFiles,
  CertificateStats,
  FillOptions,
  FillOutcome,
  HealthOptions,
  Histogram,
  Holding,
  HostOptions,
  HostQuota,
  Kind,
  Listen,
  ListenLimits,
  Log,
  OriginOptions,
  OriginServerStats,
  OriginStats,
  Placed,
  Priority,
  PurgeSelector,
  Purpose,
  RawCmcd,
  ReadObject,
  ReadOptions,
  Reloadable,
  Result,
  Retry,
  Route,
  RouteReply,
  RouteRequest,
  ServedRecord,
  ShedReason,
  StoreDirectory,
  StoreStats,
} from './contract.ts';

import type { ViewerRequest } from './viewer.ts';

export { HISTOGRAM_SECONDS, KINDS, PRIORITIES, PURPOSES, RESULTS } from './contract.ts';
export { CACHE_CODES, type CacheCode, CacheError } from './errors.ts';
export type { Manifest, Segment } from './manifest/manifest.ts';
export { parseManifest } from './manifest/timeline.ts';
export type { Requests } from './rules/eviction/simulate.ts';
export { isHostPattern } from './rules/host.ts';

const DAY_MS = 24 * 3_600_000;
/** Objects that one purge by prefix looks at, per round; it repeats until none is left. */
const PURGE_BATCH = 10_000;
const NO_CERTIFICATES: CertificateStats = { expiresAt: [], reloads: 0, failures: 0 };
/** What the store may take for its last sync after the drain. */
const STORE_CLOSE_MS = 3_000;

/** A keyed hash of the remote address whose key is drawn anew each day; computed once per connection and day. */
function remoteHasher(now: () => number): (request: ViewerRequest) => string {
  let day = -1;
  let secret = randomBytes(32);
  let known = new WeakMap<object, string>();
  return (request) => {
    const today = Math.floor(now() / DAY_MS);
    if (today !== day) {
      day = today;
      secret = randomBytes(32);
      known = new WeakMap();
    }
    const { socket } = request;
    let hash = known.get(socket);
    if (hash === undefined) {
      hash = createHmac('sha256', secret)
        .update(socket.remoteAddress ?? '')
        .digest('base64url')
        .slice(0, 22);
      known.set(socket, hash);
    }
    return hash;
  };
}

type Parts = {
  readonly options: CacheOptions;
  readonly hosts: Hosts;
  readonly rules: () => FreshnessRules;
  readonly store: Store;
  readonly fills: Fills;
  readonly server: Server;
  readonly counters: Counters;
};

/** Opens the listener, with TLS where there is a certificate. */
function openListener(options: CacheOptions, counters: Counters, handle: ServerOptions['handle']): Promise<Server> {
  const hasTls = [options, ...(options.hosts ?? [])].some(({ certificate }) => (certificate ?? null) !== null);
  return openServer({
    ...{ handle, limits: options.limits ?? {}, log: options.log },
    onMalformed: () => {
      counters.malformed += 1;
    },
    onShed: (reason) => {
      counters.shed[reason] += 1;
    },
    onMisuse: (reason) => {
      counters.misuse[reason] += 1;
    },
    ...(hasTls && { openTls: (tools) => openTls({ ...options, ...tools }) }),
  });
}

/** Opens a cache. Rejects with CACHE_OPTIONS_INVALID, or with the store's errors when the store is required. */
export async function open(options: CacheOptions): Promise<Cache> {
  const { now, log } = options;
  let { rules } = options;
  const currentRules = () => rules;
  const counters = new Counters();
  const hosts = new Hosts(options, {
    ...{ now, log, random: Math.random, lookup: options.lookup },
    onFailure: () => {
      counters.originErrors += 1;
    },
  });
  // Before the store, since bad limits must not leave one open.
  const server = await openListener(options, counters, (request, response) => handler.handle(request, response));
  const { ramBytes, dirs, required } = options.store;
  const onEvict = counters.evicted.bind(counters);
  const store = await openStore({ ramBytes, dirs, required, now, log, onEvict }).catch(async (error: unknown) => {
    await server.close(0);
    throw error;
  });
  const { worth } = options;
  const fills = openFills({ store, rules: currentRules, counters, worth, now, log });
  const invalidate = (visit: Visit, url: string): void => {
    const place = hosts.placeAt({ host: visit.host, name: visit.hostName }, targetOf(url, visit.host.ignored));
    if (place !== undefined) drop(store, fills, place.key);
  };
  const remoteHash = remoteHasher(now);
  const handler = new Handler({ options, hosts, rules: currentRules, store, fills, counters, remoteHash, invalidate });
  const parts: Parts = { options, hosts, rules: currentRules, store, fills, server, counters };
  return {
    serve: (plain, secure) => server.listen(plain, secure),
    fill: (url, how) => runFill(parts, url, how),
    has: (url) => holdingOf(parts, url),
    read: (url, how) => readWhole(parts, url, how),
    purge: async (selector) => purge(parts, selector),
    pin: (url, isPinned) => pin(parts, url, isPinned),
    activeFills: () => fills.count(),
    placeOf: (url) => {
      const place = hosts.placeOf(url);
      return place === undefined ? undefined : { names: place.host.names, origin: place.origin.name, key: place.key };
    },
    reload: async (next) => {
      // What may be refused comes first, what may not last.
      const useCertificates = await server.tls?.certificates.prepare(next);
      const useLimits = server.prepareLimits(next.limits ?? {});
      hosts.replace(next);
      useLimits();
      useCertificates?.();
      rules = next.rules;
    },
    stats: () =>
      counters.read({
        ...{ store: store.stats(), openConnections: server.connections(), activeFills: fills.count() },
        origins: hosts.stats(),
        handshakeFailures: server.tls?.failures() ?? 0,
        certificates: server.tls?.certificates.stats() ?? NO_CERTIFICATES,
      }),
    close: async (drainMs) => {
      await server.close(drainMs);
      fills.cancelAll();
      await hosts.close();
      await store.close(STORE_CLOSE_MS);
    },
  };
}

function drop(store: Store, fills: Fills, key: string): number {
  const found = store.find(key);
  for (const object of found) store.remove(object);
  fills.forget((each) => each === key);
  return found.length;
}

function mark(store: Store, key: string): number {
  const found = store.find(key).filter(({ isInvalidated }) => !isInvalidated);
  for (const object of found) store.update(object, { isInvalidated: true });
  return found.length;
}

function purge({ hosts, store, fills }: Parts, selector: PurgeSelector): number {
  const isPrefix = 'prefix' in selector;
  const { keys, anyName } = hosts.coverageOf(isPrefix ? selector.prefix : selector.url, isPrefix);
  const isCovered = (key: string): boolean =>
    keys.some((each) => (isPrefix ? key.startsWith(each) : key === each)) ||
    anyName.some(({ begin, resource }) => {
      const own = resourceOf(key);
      return key.startsWith(begin) && (isPrefix ? own.startsWith(resource) : own === resource);
    });
  const isSoft = selector.soft === true;
  if (!isSoft) fills.forget(isCovered);
  const purgeKey = (key: string): number => (isSoft ? mark(store, key) : drop(store, fills, key));
  let count = 0;
  for (const begin of isPrefix ? keys : []) count += purgeBegun(store, begin, { isSoft, purgeKey });
  if (!isPrefix) for (const key of keys) count += purgeKey(key);
  // Whatever its name: the keys of such an origin have to be looked through.
  for (const { begin } of anyName) {
    for (const key of store.keys(begin, Number.MAX_SAFE_INTEGER)) if (isCovered(key)) count += purgeKey(key);
  }
  return count;
}

function purgeBegun(
  store: Store,
  begin: string,
  { isSoft, purgeKey }: { readonly isSoft: boolean; readonly purgeKey: (key: string) => number },
): number {
  // What is marked stays, so it is gone through once.
  if (isSoft) return store.keys(begin, Number.MAX_SAFE_INTEGER).reduce((sum, key) => sum + purgeKey(key), 0);
  for (let count = 0; ; ) {
    const keys = store.keys(begin, PURGE_BATCH);
    const removed = keys.reduce((sum, key) => sum + purgeKey(key), 0);
    count += removed;
    if (keys.length < PURGE_BATCH || removed === 0) return count;
  }
}

function pin(parts: Parts, url: string, isPinned: boolean): boolean {
  const place = parts.hosts.placeOf(url);
  const found = place === undefined ? [] : parts.store.find(place.key);
  for (const object of found) parts.store.update(object, { isPinned });
  return found.length > 0;
}

function freshForMs(parts: Parts, object: StoredObject): number {
  return reuseOf(policyOf(object, parts.rules()), object, NO_DEMANDS, parts.options.now()).freshForMs;
}

function holdingOf(parts: Parts, url: string): Holding | undefined {
  const place = parts.hosts.placeOf(url);
  const object = place === undefined ? undefined : parts.store.find(place.key)[0];
  if (object === undefined) return undefined;
  const { key, tier, lengthBytes: sizeBytes, receivedAt: storedAt, isPinned, purpose, hits } = object;
  const freshForSeconds = object.isInvalidated ? 0 : Math.floor(freshForMs(parts, object) / 1000);
  return { key, tier, sizeBytes, storedAt, freshForSeconds, isPinned, purpose, hits };
}

/** Fills ahead of viewers: what is fresh already stays, what is stale is revalidated. */
async function runFill(parts: Parts, url: string, how: FillOptions): Promise<FillOutcome> {
  const place = parts.hosts.placeOf(url);
  if (place === undefined) return { outcome: 'refused', reason: 'no-origin' };
  const object = parts.store.find(place.key).find(({ varyOn }) => varyOn.length === 0);
  if (object !== undefined && !object.isInvalidated && freshForMs(parts, object) > 0) {
    if (how.pin === true && !object.isPinned) parts.store.update(object, { isPinned: true });
    return { outcome: 'already', bytes: object.lengthBytes, status: object.status };
  }
  if (how.signal?.aborted === true) return { outcome: 'cancelled', reason: 'signal' };
  const name = pseudonym(parts.options.nodeId);
  const fill = parts.fills.keep(
    {
      ...{ key: place.key, resource: place.target.resource, origin: place.origin, purpose: how.purpose },
      fields: [
        ['via', `1.1 ${name}`],
        ['cdn-loop', name],
      ],
      revalidates: object,
      prefersStale: true,
      isPinned: how.pin === true || object?.isPinned === true,
    },
    how,
  );
  const cancelled = Promise.withResolvers<'cancelled'>();
  const onAbort = () => cancelled.resolve('cancelled');
  how.signal?.addEventListener('abort', onAbort, { once: true });
  const end = await Promise.race([fill.done, cancelled.promise]);
  how.signal?.removeEventListener('abort', onAbort);
  fill.release();
  if (end === 'cancelled') return { outcome: 'cancelled', reason: 'signal' };
  if (end.end === 'refused') return { outcome: 'refused', reason: end.reason };
  if (end.end === 'failed') return { outcome: 'failed', reason: end.error.code };
  if (how.pin === true && !end.object.isPinned) parts.store.update(end.object, { isPinned: true });
  return { outcome: 'stored', bytes: end.object.lengthBytes, status: end.object.status };
}

/** The body of what is stored for a URL, filled or confirmed before. */
async function readWhole(
  parts: Parts,
  url: string,
  { maxBytes, signal }: ReadOptions,
): Promise<ReadObject | undefined> {
  const ended = await runFill(parts, url, { priority: 'in-session', purpose: 'in-session', maxBytes, signal });
  const place = parts.hosts.placeOf(url);
  if (place === undefined || !('bytes' in ended) || ended.status !== 200 || ended.bytes > maxBytes) return undefined;
  const object = parts.store.find(place.key).find(({ varyOn }) => varyOn.length === 0);
  if (object === undefined || object.status !== 200 || object.lengthBytes > maxBytes) return undefined;
  const contentType = object.headers.find(([name]) => name === 'content-type')?.[1] ?? '';
  const body = parts.store.read(object, { start: 0, end: object.lengthBytes });
  if (body.tier === 'memory') return { bytes: body.bytes, contentType };
  const blocks: Buffer[] = [];
  for (let block = await body.next(); block !== undefined; block = await body.next()) blocks.push(Buffer.from(block));
  return { bytes: Buffer.concat(blocks), contentType };
}
