// The cache's front door: open(options) puts its parts together and gives serve, fill, has, purge, pin, stats, close.
import { createHmac, randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type {
  Cache,
  CacheOptions,
  FillOptions,
  FillOutcome,
  Holding,
  PurgeSelector,
  ReadObject,
  ReadOptions,
} from './contract.ts';
import { CacheError } from './errors.ts';
import type { Origin } from './exchange.ts';
import { type Fills, openFills } from './fills.ts';
import { Handler } from './handler.ts';
import { openOrigin } from './origin.ts';
import { NO_DEMANDS, policyOf, reuseOf } from './rules/freshness.ts';
import { keyOf, originFor, targetOf } from './rules/key.ts';
import { originForm } from './rules/request.ts';
import { pseudonym } from './rules/status.ts';
import { openServer, type Server } from './server.ts';
import { Counters } from './stats.ts';
import type { Store, StoredObject } from './store/object.ts';
import { openStore } from './store/store.ts';

export type {
  Cache,
  CacheOptions,
  CacheStats,
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
  Priority,
  PurgeSelector,
  Purpose,
  RawCmcd,
  ReadObject,
  ReadOptions,
  Result,
  Route,
  RouteReply,
  RouteRequest,
  ServedRecord,
  ShedReason,
  StoreDirectory,
  StoreStats,
} from './contract.ts';
export { HISTOGRAM_SECONDS, KINDS, PRIORITIES, PURPOSES, RESULTS } from './contract.ts';
export { CACHE_CODES, type CacheCode, CacheError } from './errors.ts';
export type { Manifest, Segment } from './manifest/manifest.ts';
export { parseManifest } from './manifest/timeline.ts';
export { arc } from './rules/eviction/arc.ts';
export { belady } from './rules/eviction/belady.ts';
export { gdsf } from './rules/eviction/gdsf.ts';
export { lru } from './rules/eviction/lru.ts';
export type { EvictionPolicy } from './rules/eviction/policy.ts';
export { s3fifo } from './rules/eviction/s3fifo.ts';
export { hashInto, MODULUS as SAMPLE_MODULUS, Shards } from './rules/eviction/shards.ts';
export { sieve } from './rules/eviction/sieve.ts';
export { footprintBytes, type Requests, SimulatedCache } from './rules/eviction/simulate.ts';
export { wTinyLfu } from './rules/eviction/wtinylfu.ts';
export { isHostPattern } from './rules/host.ts';

const DAY_MS = 24 * 3_600_000;
/** Objects that one purge by prefix looks at, per round; it repeats until none is left. */
const PURGE_BATCH = 10_000;
/** What the store may take for its last sync after the drain. */
const STORE_CLOSE_MS = 3_000;

/** A keyed hash of the remote address whose key is drawn anew each day; computed once per connection and day. */
function remoteHasher(now: () => number): (request: IncomingMessage) => string {
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
  readonly origins: readonly Origin[];
  readonly store: Store;
  readonly fills: Fills;
  readonly server: Server;
  readonly counters: Counters;
};

/** Where a URL lives: absolute, or a path with query. */
type Place = { readonly key: string; readonly resource: string; readonly origin: Origin };

function placeOf(parts: Pick<Parts, 'options' | 'origins'>, url: string): Place | undefined {
  const target = targetOf(originForm(url), new Set(parts.options.ignoredQuery ?? []));
  const origin = originFor(parts.origins, target.path);
  if (origin === undefined) return undefined;
  return { key: keyOf(origin.name, target.resource), resource: target.resource, origin };
}

/** Opens a cache. Rejects with CACHE_OPTIONS_INVALID, or with the store's errors when the store is required. */
export async function open(options: CacheOptions): Promise<Cache> {
  if (options.origins.length === 0) throw new CacheError('CACHE_OPTIONS_INVALID', 'A cache needs at least one origin.');
  const { now, log } = options;
  const counters = new Counters();
  const origins = options.origins.map((origin) =>
    openOrigin(origin, {
      ...{ now, log, random: Math.random },
      onFailure: () => {
        counters.originErrors += 1;
      },
    }),
  );
  // Before the store, since bad limits must not leave one open.
  const server = openServer({
    limits: options.limits ?? {},
    handle: (request, response) => handler.handle(request, response),
    log,
    onMalformed: () => {
      counters.malformed += 1;
    },
    onShed: (reason) => {
      counters.shed[reason] += 1;
    },
  });
  const { ramBytes, dirs, required } = options.store;
  const store = await openStore({ ramBytes, dirs, required, now, log, onEvict: (object) => counters.evicted(object) });
  const { rules, worth } = options;
  const fills = openFills({ store, rules, counters, worth, now, log });
  const invalidate = (url: string): void => {
    const place = placeOf({ options, origins }, url);
    if (place !== undefined) drop(store, fills, place.key);
  };
  const remoteHash = remoteHasher(now);
  const handler = new Handler({ options, origins, store, fills, counters, remoteHash, invalidate });
  const parts: Parts = { options, origins, store, fills, server, counters };
  return {
    serve: (listen) => server.listen(listen),
    fill: (url, how) => runFill(parts, url, how),
    has: (url) => holdingOf(parts, url),
    read: (url, how) => readWhole(parts, url, how),
    purge: async (selector) => purge(parts, selector),
    pin: (url, isPinned) => pin(parts, url, isPinned),
    activeFills: () => fills.count(),
    stats: () =>
      counters.read({ store: store.stats(), openConnections: server.connections(), activeFills: fills.count() }),
    close: async (drainMs) => {
      await server.close(drainMs);
      fills.cancelAll();
      await Promise.all(origins.map((origin) => origin.close()));
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

function purge({ options, origins, store, fills }: Parts, selector: PurgeSelector): number {
  const isSoft = selector.soft === true;
  if ('url' in selector) {
    const place = placeOf({ options, origins }, selector.url);
    if (place === undefined) return 0;
    return isSoft ? mark(store, place.key) : drop(store, fills, place.key);
  }
  let count = 0;
  for (const { name } of origins) {
    const prefix = keyOf(name, originForm(selector.prefix));
    if (isSoft) {
      for (const key of store.keys(prefix, Number.MAX_SAFE_INTEGER)) count += mark(store, key);
      continue;
    }
    fills.forget((key) => key.startsWith(prefix));
    for (;;) {
      const keys = store.keys(prefix, PURGE_BATCH);
      const removed = keys.reduce((sum, key) => sum + drop(store, fills, key), 0);
      count += removed;
      if (keys.length < PURGE_BATCH || removed === 0) break;
    }
  }
  return count;
}

function pin(parts: Parts, url: string, isPinned: boolean): boolean {
  const place = placeOf(parts, url);
  const found = place === undefined ? [] : parts.store.find(place.key);
  for (const object of found) parts.store.update(object, { isPinned });
  return found.length > 0;
}

function freshForMs(parts: Parts, object: StoredObject): number {
  return reuseOf(policyOf(object, parts.options.rules), object, NO_DEMANDS, parts.options.now()).freshForMs;
}

function holdingOf(parts: Parts, url: string): Holding | undefined {
  const place = placeOf(parts, url);
  const object = place === undefined ? undefined : parts.store.find(place.key)[0];
  if (object === undefined) return undefined;
  const { key, tier, lengthBytes: sizeBytes, receivedAt: storedAt, isPinned, purpose, hits } = object;
  const freshForSeconds = object.isInvalidated ? 0 : Math.floor(freshForMs(parts, object) / 1000);
  return { key, tier, sizeBytes, storedAt, freshForSeconds, isPinned, purpose, hits };
}

/** Fills ahead of viewers: what is fresh already stays, what is stale is revalidated. */
async function runFill(parts: Parts, url: string, how: FillOptions): Promise<FillOutcome> {
  const place = placeOf(parts, url);
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
      ...{ key: place.key, resource: place.resource, origin: place.origin, purpose: how.purpose },
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
  const place = placeOf(parts, url);
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
