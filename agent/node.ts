// The composition root: opens the cache, what stands behind "agent: on", monitoring, control and cron; drains and closes
// them in order. Nothing else constructs rooms.
import { mkdir } from 'node:fs/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import {
  type Cache,
  CacheError,
  type CacheOptions,
  type Demand,
  open as openCache,
  type Reloadable,
  type Result,
  type Route,
} from '../cache/cache.ts';
import { type Agent, openAgent } from './agent.ts';
import type { Config } from './config.ts';
import { openControl, openMonitoring } from './control.ts';
import { controlCalls } from './control-calls.ts';
import { openJobs } from './control-jobs.ts';
import type { EncodeStatus, SubmittedJob } from './encodes.ts';
import { type AgentCode, AgentError } from './errors.ts';
import type { OpenLog } from './log.ts';
import { openMetrics } from './metrics.ts';
import { openNightly } from './nightly.ts';
import { type NodeStats, readStats } from './node-stats.ts';
import { openReloader, type Reloaded } from './reload.ts';
import { hostOptionsOf, readSecret } from './secrets.ts';
import { readVersion } from './version.ts';

/** What openNode() takes besides the configuration. */
export type NodeOptions = {
  readonly log: OpenLog;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly onEncode?: (status: EncodeStatus) => void;
  /** The file that the configuration is from, for reloads. */
  readonly file?: string;
};

/** A running node. */
export type Node = {
  readonly port: number;
  /** Of TLS, where there is any. */
  readonly securePort?: number;
  readonly metricsPort: number;
  readonly isPublished: (titleId: string) => boolean;
  /** Resolves with false when that title is being encoded already. Rejects with AGENT_ENCODE_OFF, or on a bad job. */
  readonly encode: (job: SubmittedJob) => Promise<boolean>;
  /** Reads the configuration again. Never rejects for what is wrong with it. */
  readonly reload: () => Promise<Reloaded>;
  /** Drains: not ready, no new connections, answers in flight end, then everything closes. Idempotent. */
  readonly close: () => Promise<void>;
};

/** The event loop's worst delay is that of this period and the one before. */
const LAG_PERIOD_MS = 15_000;
const LAG_RESOLUTION_MS = 20;
const SWEEP_MS = 60_000;
/** Of training: the same data give the same model. */
const RETRAIN_SEED = 1;

async function makeDirectory(path: string, key: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (cause) {
    throw new AgentError(
      'AGENT_DIRECTORY_UNUSABLE',
      `${key} ${path} cannot be made (${String(cause)}): choose a directory that this user may write`,
      { cause },
    );
  }
}

/** Measures the loop's delay; seconds() is the worst of the last one to two periods. */
function watchLoop(): { readonly seconds: () => number; readonly close: () => void } {
  const delay = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
  delay.enable();
  let before = 0;
  const worst = () => Math.max(0, delay.max / 1e9 - LAG_RESOLUTION_MS / 1000);
  const timer = setInterval(() => {
    before = worst();
    delay.reset();
  }, LAG_PERIOD_MS);
  timer.unref();
  return {
    seconds: () => Math.max(before, worst()),
    close: () => {
      clearInterval(timer);
      delay.disable();
    },
  };
}

/** What is done at night: the off-peak fill, and training. */
function openNights({ prefetch, predict }: Config, { prefetching, prediction }: Agent): { readonly close: () => void } {
  const { retrain } = predict;
  const closers = [
    prefetch.enabled && openNightly('prefetch.window', prefetch.window, prefetching.runWindow),
    predict.enabled &&
      retrain.enabled &&
      openNightly('predict.retrain', retrain, (signal) =>
        prediction.retrain({ seed: RETRAIN_SEED, isUrgent: false }, signal),
      ),
  ];
  return {
    close: () => {
      for (const close of closers) if (close !== false) close();
    },
  };
}

/** What of the cache's codes ends a start for good, as which code of the agent, and what there is to do. */
const UNUSABLE_CACHE: Readonly<Record<string, readonly [code: AgentCode, todo: string]>> = {
  CACHE_CERTIFICATE_UNUSABLE: ['AGENT_CONFIG_INVALID', 'mend the files that tls and hosts[].certificate name'],
  CACHE_LISTEN_FAILED: ['AGENT_LISTEN_FAILED', 'free the port, or set listen.http to another'],
  CACHE_STORE_LOCKED: ['AGENT_DIRECTORY_UNUSABLE', 'two nodes need two store.dirs'],
  CACHE_STORE_UNUSABLE: ['AGENT_DIRECTORY_UNUSABLE', 'mend that path of store.dirs, or set store.required to false'],
  CACHE_FORMAT_NEWER: ['AGENT_DIRECTORY_UNUSABLE', 'run that version, or give store.dirs an empty directory'],
};

/** An error of the cache that ends a start as one of ours; any other as it is. */
function startError(error: unknown): unknown {
  const known = error instanceof CacheError ? UNUSABLE_CACHE[error.code] : undefined;
  if (!(error instanceof CacheError) || known === undefined) return error;
  const [code, todo] = known;
  return new AgentError(code, `${error.message.replace(/\.$/, '')}: ${todo}`, { cause: error });
}

/** What is asked of parts that are opened later or change while the node lives. */
type Live = {
  agent: Agent | undefined;
  /** Why the node is not ready. */
  unready: string | undefined;
  /** Run at once on closing, all together: viewers drain while work in the background stops. */
  readonly quiesce: (() => Promise<void> | void)[];
  /** Run after that, last opened first. */
  readonly closers: (() => Promise<void> | void)[];
};

async function closeLive(live: Live): Promise<void> {
  live.unready = 'draining';
  await Promise.all(live.quiesce.splice(0).map((each) => each()));
  for (const closeNext of live.closers.splice(0).reverse()) await closeNext();
}

/**
 * Opens a node and starts to serve. Rejects with AGENT_LISTEN_FAILED, AGENT_DIRECTORY_UNUSABLE, AGENT_CONFIG_INVALID,
 * AGENT_STATE_* or the cache's own codes; what was opened until then is closed again.
 */
export async function openNode(config: Config, options: NodeOptions): Promise<Node> {
  const live: Live = { agent: undefined, unready: 'starting', quiesce: [], closers: [] };
  try {
    return await openParts(config, options, live);
  } catch (error) {
    await closeLive(live);
    throw startError(error);
  }
}

async function openParts(config: Config, options: NodeOptions, live: Live): Promise<Node> {
  const { log } = options.log;
  const now = Date.now;
  const loop = watchLoop();
  live.closers.push(loop.close);
  // The cache needs its routes before the agent can be opened over it; they are only asked once it serves.
  const routes: Route[] = [];
  const cache = await openCache({
    routes,
    // Without an agent nobody listens, and no record is made.
    ...(config.agent === 'on' && toldBy(live, config)),
    ...(await reloadable(config, options.env)),
    store: config.store,
    maxResidentBytes: config.store.maxResidentBytes,
    workers: config.listen.workers,
    nodeId: config.node.id,
    now,
    log,
  });
  const reloader = openReloader({
    ...{ config, file: options.file, log },
    apply: async (next) => {
      await cache.reload(await reloadable(next, options.env));
      options.log.setLevel(next.log.level);
    },
  });
  live.quiesce.push(() => cache.close(reloader.config().drainSeconds * 1000));
  const build = { version: readVersion(), node: process.version };
  const stats = () => {
    const own = { build, loopLagSeconds: loop.seconds(), logDropped: options.log.stats().dropped };
    return readStats({ cache, agent: live.agent }, { ...own, configReloads: reloader.counts() });
  };
  if (config.agent === 'on') routes.push(...(await addAgent(config, options, { live, cache, stats })).routes);
  const unreadiness = () => live.unready;
  const monitoring = await openMonitoring(config.admin.metrics, { metrics: openMetrics(stats).text, unreadiness });
  live.closers.push(monitoring.close);
  const startedAt = now();
  const uptimeSeconds = () => (now() - startedAt) / 1000;
  const jobs = openJobs();
  live.quiesce.push(jobs.close);
  const { agent } = live;
  const calls = controlCalls({
    ...{ config, cache, agent, jobs, stats, unreadiness },
    ...{ uptimeSeconds, now, reload: reloader.reload },
  });
  live.closers.push((await openControl(config.admin.socket, calls)).close);
  const { port, securePort } = await cache.serve(config.listen.http, config.listen.https ?? undefined);
  live.unready = undefined;
  return {
    port,
    ...(securePort !== undefined && { securePort }),
    metricsPort: monitoring.port,
    isPublished: (titleId) => live.agent?.catalogue.published(titleId) !== undefined,
    encode: async (job) => {
      if (live.agent?.encodes !== undefined) return live.agent.encodes.submit(job);
      throw new AgentError('AGENT_ENCODE_OFF', 'encoding is off on this node: set encode.enabled and agent');
    },
    reload: reloader.reload,
    close: () => closeLive(live),
  };
}

/** What the agent is told, and tells of keys, once it is there. */
function toldBy(
  live: Live,
  { prefetch }: Config,
): Pick<CacheOptions, 'titleOf' | 'onServed' | 'demand' | 'segmentField'> {
  const demand: Demand = {
    groupOf: (key) => live.agent?.expectation.demand.groupOf(key),
    scoreOf: (group) => live.agent?.expectation.demand.scoreOf(group) ?? 0,
  };
  return {
    titleOf: (path) => live.agent?.catalogue.titleOf(path),
    onServed: (record) => live.agent?.served(record),
    ...(prefetch.retention && { demand }),
    ...(prefetch.cmsd && { segmentField: (result: Result) => live.agent?.hints.field(result) }),
  };
}

/** What of a configuration the cache can take while it serves. */
async function reloadable(config: Config, env: NodeOptions['env']): Promise<Reloadable> {
  const { origins, cache, listen, tls } = config;
  const hosts = await hostOptionsOf(config, env);
  const { maxConnections, maxRequests, addressLimit, exemptPrefixes } = listen;
  const limits = { maxConnections, maxRequests, addressLimit, exemptPrefixes };
  const { ignoredQuery, queriesPerPath } = cache;
  return { origins, hosts, rules: cache, ignoredQuery, queriesPerPath, limits, certificate: tls };
}

/** Opens what stands behind "agent: on", its housekeeping and its nightly window. */
async function addAgent(
  config: Config,
  { env, log: { log }, onEncode = () => undefined }: NodeOptions,
  { live, cache, stats }: { readonly live: Live; readonly cache: Cache; readonly stats: () => NodeStats },
): Promise<Agent> {
  await makeDirectory(config.state.dir, 'state.dir');
  await makeDirectory(config.publish.dir, 'publish.dir');
  const { viewerTokenSecret: named } = config.privacy;
  const tokenSecret = named === null ? undefined : await readSecret(named, 'privacy.viewerTokenSecret', env);
  const agent = await openAgent({ config, cache, stats, tokenSecret, env, onEncode, now: Date.now, log });
  live.agent = agent;
  live.closers.push(agent.close);
  const nights = openNights(config, agent);
  const sweeper = setInterval(agent.sweep, SWEEP_MS);
  live.quiesce.push(nights.close, () => clearInterval(sweeper), agent.quiesce);
  return agent;
}
