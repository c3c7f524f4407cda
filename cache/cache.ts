// The cache's front door: open(options) puts its parts together and gives serve, fill, has, purge, pin, stats, close.
import type {
  Cache,
  CacheOptions,
  CacheStats,
  CertificateStats,
  Explanation,
  FillOptions,
  FillOutcome,
  Holding,
  ReadObject,
  ReadOptions,
  Reloadable,
} from './contract.ts';
import type { PinSelector, PurgeResult, PurgeSelector } from './contract-rights.ts';
import { explain } from './explain.ts';
import { type Fills, openFills } from './fill/fills.ts';
import { Handler, type HandlerParts } from './handler.ts';
import { Hosts } from './hosts/hosts.ts';
import { Judges } from './judges.ts';
import { checkCertificates } from './listen/certificates.ts';
import { withinDescriptors } from './listen/descriptors.ts';
import { openServer, type Server, type ServerOptions } from './listen/server.ts';
import { openTls, TLS_SETTINGS } from './listen/tls.ts';
import { availableBytes, type MemoryWatch, watchMemory } from './pressure.ts';
import { openInvalidation, type PurgeTarget, pin, purge, purgeNow } from './purge.ts';
import { type FreshnessRules, NO_DEMANDS, policyOf, reuseOf } from './rules/freshness.ts';
import { resourceOf, targetOf } from './rules/key.ts';
import { pseudonym } from './rules/status.ts';
import { groupKey, tagKey } from './rules/tags.ts';
import { slicedOf, storedBytes } from './slices/sliced.ts';
import { Counters, sumStats } from './stats.ts';
import type { DiskShare, Store, StoredObject } from './store/object.ts';
import { openStore } from './store/store.ts';
import { addressOf, openRemoteHasher } from './workers/remote.ts';
import { memoryShare, type Role } from './workers/tier.ts';
import { openWorkers, type Workers, type WorkersStats } from './workers/workers.ts';

export type {
  Cache,
  CacheOptions,
  CacheStats,
  CertificateFiles,
  CertificateStats,
  Demand,
  ExplainedVariant,
  Explanation,
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

export { HISTOGRAM_SECONDS, KINDS, PRIORITIES, PURPOSES, RESULTS } from './contract.ts';
export type { PurgeResult, PurgeSelector, Signing } from './contract-rights.ts';
export { CACHE_CODES, type CacheCode, CacheError } from './errors.ts';
export { tuneHeap } from './heap.ts';
export type { Manifest, Segment } from './manifest/manifest.ts';
export { parseManifest } from './manifest/timeline.ts';
export { type CatGrant, signCat } from './rules/access-cat.ts';
export { type HmacGrant, signHmac } from './rules/access-hmac.ts';
export { prefixOf } from './rules/address.ts';
export { arc } from './rules/eviction/arc.ts';
export { belady } from './rules/eviction/belady.ts';
export { gdsf } from './rules/eviction/gdsf.ts';
export { lru } from './rules/eviction/lru.ts';
export type { EvictionPolicy } from './rules/eviction/policy.ts';
export { s3fifo } from './rules/eviction/s3fifo.ts';
export { Slots, scored } from './rules/eviction/scored.ts';
export { hashInto, MODULUS as SAMPLE_MODULUS, Shards } from './rules/eviction/shards.ts';
export { sieve } from './rules/eviction/sieve.ts';
export { footprintBytes, type Requests, SimulatedCache } from './rules/eviction/simulate.ts';
export { wTinyLfu } from './rules/eviction/wtinylfu.ts';
export { isHostPattern } from './rules/host.ts';
export { kindOf } from './rules/kind.ts';
export { isGroupName, isTagName } from './rules/tags.ts';

const NO_CERTIFICATES: CertificateStats = { expiresAt: [], reloads: 0, failures: 0 };
/** What the store may take for its last sync after the drain. */
const STORE_CLOSE_MS = 3_000;

const NO_WORKERS: WorkersStats = { running: 0, restarts: 0, droppedRecords: 0, each: [] };

type Parts = {
  readonly options: CacheOptions;
  readonly hosts: Hosts;
  readonly rules: () => FreshnessRules;
  readonly store: Store;
  readonly fills: Fills;
  readonly server: Server;
  readonly counters: Counters;
  readonly now: () => number;
  readonly memory: MemoryWatch;
  readonly workers: Workers | undefined;
};

/** Opens the listener, with TLS where there is a certificate. */
function openListener(
  options: CacheOptions,
  counters: Counters,
  how: Pick<ServerOptions, 'handle' | 'isShared'>,
): Promise<Server> {
  const hasTls = [options, ...(options.hosts ?? [])].some(({ certificate }) => (certificate ?? null) !== null);
  return openServer({
    ...{ ...how, limits: withinDescriptors(options.limits ?? {}, options.log), log: options.log },
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

/** Opens a cache. Rejects with CACHE_OPTIONS_INVALID or the errors of a required store. `primary`: a worker's way to origins. */
export async function open(options: CacheOptions, primary?: string): Promise<Cache> {
  const { now, log } = options;
  const judges = new Judges(options);
  const currentRules = () => judges.rules;
  const counters = new Counters();
  const hosts = new Hosts(options, {
    ...{ now, log, random: Math.random, lookup: options.lookup, primary },
    purge: (selector) => purgeSelected(parts, selector),
    onFailure: () => {
      counters.originErrors += 1;
    },
  });
  // Before the store, since bad limits must not leave one open.
  const server = await openListener(options, counters, {
    handle: (request, response) => handler.handle(request, response),
    isShared: primary !== undefined,
  });
  const residentBytes = options.maxResidentBytes ?? availableBytes();
  const ramBytes = memoryShare(options.store.ramBytes, options.workers ?? 1);
  const onEvict = counters.evicted.bind(counters);
  const kept = { ...options.store, ramBytes, hostQuotas: diskSharesOf(options), demand: options.demand, onEvict };
  const store = await openStore({ ...kept, now, log }).catch(async (error: unknown) => {
    await server.close(0);
    throw error;
  });
  const limitBytes = memoryShare(residentBytes, options.workers ?? 1);
  const memory = watchMemory({ limitBytes, log }, (share) => store.limitMemory(ramBytes * share));
  const fills = openFills({ store, counters, ...judges.ofFills(options.demand), now, log });
  const hasher = openRemoteHasher(now);
  const role: Role = primary === undefined ? 'alone' : 'worker';
  // A worker has no key to hash with: the primary does it.
  const remoteHash = role === 'worker' ? addressOf : hasher.ofRequest;
  const tellWorkers = (selector: PurgeSelector): void => void workers?.purge(selector);
  const known = { options, hosts, rules: currentRules, store, fills, counters };
  const handlerParts = {
    ...known,
    ...openInvalidators({ hosts, store, fills, now, log }, tellWorkers),
    remoteHash,
    role,
  };
  const handler = new Handler(handlerParts);
  const workers = openWorkers({ ...options, maxResidentBytes: residentBytes }, handlerParts, hasher);
  const parts: Parts = { ...known, server, now, memory, workers };
  return {
    serve: (plain, secure) => (workers ?? server).listen(plain, secure),
    fill: (url, how) => runFill(parts, url, how),
    has: (url) => holdingOf(parts, url),
    read: (url, how) => readWhole(parts, url, how),
    purge: (selector) => purgeSelected(parts, selector),
    explain: (url) => explained(parts, url),
    pin: (selector, isPinned) => pinSelected(parts, selector, isPinned),
    activeFills: () => fills.count(),
    isTight: memory.isTight,
    placeOf: (url) => {
      const place = hosts.placeOf(url);
      return place === undefined ? undefined : { names: place.host.names, origin: place.origin.name, key: place.key };
    },
    reload: (next) => reload(parts, next, judges),
    stats: () => statsOf(parts),
    close: async (drainMs) => {
      memory.close();
      await Promise.all([server.close(drainMs), workers?.close(drainMs)]);
      fills.close();
      await hosts.close();
      await store.close(STORE_CLOSE_MS);
    },
  };
}

/** The hosts that may take only so much of the disks. */
function diskSharesOf({ hosts = [] }: Pick<CacheOptions, 'hosts'>): readonly DiskShare[] {
  return hosts.flatMap(({ names, quota }) => {
    const maxBytes = quota?.diskBytes ?? undefined;
    return maxBytes === undefined ? [] : [{ names, maxBytes }];
  });
}

/** Uses other options from now on, all of them or, when one is refused, none. */
async function reload(parts: Parts, next: Reloadable, judges: Judges): Promise<void> {
  const { options, server, hosts, store, workers } = parts;
  const { now, log } = options;
  // What may be refused comes first, what may not last.
  const { certificates } = server.tls ?? {};
  if (certificates === undefined) await checkCertificates(next, { settings: TLS_SETTINGS, now, log });
  const useCertificates = await certificates?.prepare(next);
  const useLimits = server.prepareLimits(withinDescriptors(next.limits ?? {}, log));
  hosts.replace(next);
  store.limitHosts(diskSharesOf(next));
  useLimits();
  useCertificates?.();
  judges.use(next);
  await workers?.reload(next);
}

/** What an unsafe method invalidates, here and at workers, which are told without waiting. */
function openInvalidators(
  parts: Pick<Parts, 'hosts' | 'store' | 'fills' | 'now'> & { readonly log: CacheOptions['log'] },
  tellWorkers: (selector: PurgeSelector) => void,
): Pick<HandlerParts, 'invalidate' | 'invalidateGroup'> {
  const invalidateGroup = openInvalidation(parts);
  return {
    invalidate: ({ host, hostName }, url) => {
      const place = parts.hosts.placeAt({ host, name: hostName }, targetOf(url, host.ignored));
      if (place === undefined) return;
      purgeNow(parts, place.key);
      tellWorkers({ url: hostName === '' ? url : `http://${hostName}${url}` });
    },
    invalidateGroup: (group, visit) => {
      invalidateGroup(group, visit);
      // Of every origin: what a worker asks the primary for once too often costs little.
      tellWorkers({ group: group.slice(groupKey('').length), soft: true });
    },
  };
}

/** What this process and its workers have counted. */
function statsOf({ counters, store, server, fills, hosts, memory, workers }: Parts): CacheStats {
  const { each, ...counts } = workers?.stats() ?? NO_WORKERS;
  const own = counters.read({
    ...{ store: store.stats(), openConnections: server.connections(), activeFills: fills.count() },
    ...{ origins: hosts.stats(), workers: counts, isTight: memory.isTight() },
    handshakeFailures: server.tls?.failures() ?? 0,
    certificates: server.tls?.certificates.stats() ?? NO_CERTIFICATES,
  });
  return sumStats([own, ...each]);
}

function withoutProgress({ onProgress: _, ...selector }: PurgeSelector): PurgeSelector {
  return selector;
}

async function purgeSelected(parts: Parts, selector: PurgeSelector): Promise<PurgeResult> {
  const { soft: isSoft = false, onProgress } = selector;
  const targets = targetsOf(parts, selector);
  let [objects, fills] = [0, 0];
  for (const target of targets) {
    const before = objects;
    const hear = onProgress === undefined ? {} : { onProgress: (count: number) => onProgress(before + count) };
    const done = await purge(parts, target, { isSoft, ...hear });
    objects += done.objects;
    fills += done.fills;
  }
  // After what they would fetch it from; functions do not go to other processes.
  if (parts.workers !== undefined) await parts.workers.purge(withoutProgress(selector));
  return { objects, fills };
}

async function pinSelected(parts: Parts, selector: PinSelector, isPinned: boolean): Promise<number> {
  let count = 0;
  for (const target of targetsOf(parts, selector)) count += await pin(parts, target, isPinned);
  return count;
}

function targetsOf({ hosts }: Parts, selector: PurgeSelector | PinSelector): readonly PurgeTarget[] {
  if ('url' in selector || 'prefix' in selector) {
    const isPrefix = 'prefix' in selector;
    const { keys, anyName } = hosts.coverageOf(isPrefix ? selector.prefix : selector.url, isPrefix);
    const exact = keys.map((key): PurgeTarget => (isPrefix ? { by: 'prefix', prefix: key } : { by: 'key', key }));
    // Whatever its name: the keys of such an origin have to be looked through.
    const others = anyName.map(({ begin, resource }) => {
      const isIn = (key: string): boolean =>
        isPrefix ? resourceOf(key).startsWith(resource) : resourceOf(key) === resource;
      return { by: 'prefix', prefix: begin, isIn } as const;
    });
    return [...exact, ...others];
  }
  const name = 'tag' in selector ? tagKey(selector.tag) : groupKey(selector.group);
  if (selector.host === undefined) return [{ by: 'name', name }];
  const own = hosts.coverageOf(`https://${selector.host}/`, true).keys;
  return [{ by: 'name', name, isIn: (key) => own.some((begin) => key.startsWith(begin)) }];
}

function explained(parts: Parts, url: string): Explanation | undefined {
  const place = parts.hosts.placeOf(url);
  if (place === undefined) return undefined;
  const { key, origin, host } = place;
  const at = { key, origin: origin.name, names: host.names, fills: parts.fills.countOf(key) };
  return explain(at, parts.store, { rules: parts.rules(), nowMs: parts.now() });
}

function freshForMs(parts: Parts, object: StoredObject): number {
  return reuseOf(policyOf(object, parts.rules()), object, NO_DEMANDS, parts.options.now()).freshForMs;
}

function holdingOf(parts: Parts, url: string): Holding | undefined {
  const place = parts.hosts.placeOf(url);
  const object = place === undefined ? undefined : parts.store.find(place.key)[0];
  if (object === undefined) return undefined;
  const sizeBytes = storedBytes(parts.store, object);
  const { key, tier, receivedAt: storedAt, isPinned, purpose, hits } = object;
  const freshForSeconds = object.isInvalidated ? 0 : Math.floor(freshForMs(parts, object) / 1000);
  return { key, tier, sizeBytes, storedAt, freshForSeconds, isPinned, purpose, hits };
}

/** Fills ahead of viewers: what is fresh already stays, what is stale is revalidated. */
async function runFill(parts: Parts, url: string, how: FillOptions): Promise<FillOutcome> {
  const place = parts.hosts.placeOf(url);
  if (place === undefined) return { outcome: 'refused', reason: 'no-origin' };
  const found = parts.store.find(place.key).find(({ varyOn }) => varyOn.length === 0);
  // What is stored in part is fetched whole.
  const object = found === undefined || slicedOf(found) !== undefined ? undefined : found;
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
      account: place.host.account,
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
  if (slicedOf(object) !== undefined) return undefined;
  const contentType = object.headers.find(([name]) => name === 'content-type')?.[1] ?? '';
  const body = parts.store.read(object, { start: 0, end: object.lengthBytes });
  if (body.tier === 'memory') return { bytes: body.bytes, contentType };
  const blocks: Buffer[] = [];
  for (let block = await body.next(); block !== undefined; block = await body.next()) blocks.push(Buffer.from(block));
  return { bytes: Buffer.concat(blocks), contentType };
}
