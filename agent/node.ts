// The composition root: opens the cache, what stands behind "agent: on", monitoring, control and cron; drains and closes
// them in order. Nothing else constructs rooms.
import { readFileSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { schedule } from 'node-cron';
import { type Cache, CacheError, type CacheOptions, open as openCache, type Route } from '../cache/cache.ts';
import { type Agent, openAgent } from './agent.ts';
import type { Config } from './config.ts';
import { openControl, openMonitoring } from './control.ts';
import { controlCalls } from './control-calls.ts';
import type { EncodeStatus, SubmittedJob } from './encodes.ts';
import { AgentError } from './errors.ts';
import { newHistogram } from './histogram.ts';
import type { OpenLog } from './log.ts';
import { type NodeStats, openMetrics } from './metrics.ts';

/** What openNode() takes besides the configuration. */
export type NodeOptions = {
  readonly log: OpenLog;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly onEncode?: (status: EncodeStatus) => void;
};

/** A running node. */
export type Node = {
  readonly port: number;
  readonly metricsPort: number;
  readonly isPublished: (titleId: string) => boolean;
  /** Resolves with false when that title is being encoded already. Rejects with AGENT_ENCODE_OFF, or on a bad job. */
  readonly encode: (job: SubmittedJob) => Promise<boolean>;
  /** Drains: not ready, no new connections, answers in flight end, then everything closes. Idempotent. */
  readonly close: () => Promise<void>;
};

/** The event loop's worst delay is that of this period and the one before. */
const LAG_PERIOD_MS = 15_000;
const LAG_RESOLUTION_MS = 20;
const SWEEP_MS = 60_000;

function readVersion(): string {
  // package.json is this project's own file; a version that is not a string would show as such.
  const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };
  return manifest.version;
}

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

async function readSecret(
  secret: Config['privacy']['viewerTokenSecret'],
  env: NodeOptions['env'],
): Promise<Uint8Array | undefined> {
  if (secret === null) return undefined;
  const text =
    'file' in secret
      ? await readFile(secret.file, 'utf8').catch((cause: unknown) => {
          throw new AgentError(
            'AGENT_CONFIG_INVALID',
            `privacy.viewerTokenSecret: ${secret.file} cannot be read (${String(cause)})`,
            { cause },
          );
        })
      : env[secret.env];
  if (text === undefined || text.trim() === '')
    throw new AgentError('AGENT_CONFIG_INVALID', 'privacy.viewerTokenSecret is empty');
  return Buffer.from(text.trim());
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

const NO_HISTOGRAM = newHistogram();

/** One reading of everything, for /metrics, status and the page. */
function readStats(
  cache: Cache,
  agent: Agent | undefined,
  rest: Pick<NodeStats, 'build' | 'loopLagSeconds' | 'logDropped'>,
): NodeStats {
  const jobs = agent?.encodes?.list() ?? [];
  const running = jobs.find(({ state }) => state === 'running');
  const counts = agent?.encodes?.counts;
  const fetcher = agent?.prefetching.fetcher.stats();
  const predicted = agent?.prediction.predictor.stats();
  const preview = agent?.preview.stats();
  return {
    ...rest,
    cache: cache.stats(),
    prefetch: {
      isPaused: fetcher !== undefined && (fetcher.isPaused || fetcher.breaker === 'open'),
      outcomes: fetcher?.outcomes ?? {},
    },
    offPeak: agent?.prefetching.offPeak() ?? { runs: {}, lastSuccessSeconds: 0 },
    predict: {
      answers: { model: predicted?.byModel ?? 0, rules: predicted?.byRules ?? 0 },
      seconds: agent?.prediction.seconds ?? { model: NO_HISTOGRAM, rules: NO_HISTOGRAM },
      childRestarts: agent?.prediction.childRestarts() ?? 0,
      models: agent?.prediction.models() ?? [],
    },
    encode: {
      jobs: { started: counts?.started ?? 0, done: counts?.done ?? 0, failed: counts?.failed ?? 0 },
      active: running === undefined ? 0 : 1,
      progressRatio: running?.progressRatio ?? 0,
      cpuSeconds: counts?.cpuSeconds ?? 0,
      lastSuccessSeconds: counts?.lastSuccessSeconds ?? 0,
      savedBytes: agent?.publishing.savedBytes() ?? { cap: 0, pruning: 0, allocation: 0 },
    },
    preview: {
      answers: preview?.answers ?? {},
      rewards: preview?.rewards.results ?? {},
      seconds: preview?.durationSeconds ?? NO_HISTOGRAM,
    },
    events: agent?.intake.stats() ?? { accepted: 0, invalid: 0, dropped: 0 },
    sessions: agent?.sessions.stats().sessions ?? 0,
  };
}

function cacheOptions(
  config: Config,
  hooks: Pick<CacheOptions, 'routes' | 'titleOf' | 'onServed' | 'now' | 'log'>,
): CacheOptions {
  return {
    ...hooks,
    origins: config.origins,
    store: config.store,
    rules: config.cache,
    ignoredQuery: config.cache.ignoredQuery,
    nodeId: config.node.id,
  };
}

/** The nightly window: starts a run by cron and ends it after its minutes. */
function openWindow({ prefetch }: Config, agent: Agent): { readonly close: () => void } {
  if (!prefetch.enabled) return { close: () => undefined };
  const closing = new AbortController();
  const task = schedule(
    prefetch.window.cron,
    () =>
      void agent.prefetching.runWindow(
        AbortSignal.any([closing.signal, AbortSignal.timeout(prefetch.window.minutes * 60_000)]),
      ),
    { timezone: prefetch.window.timeZone, noOverlap: true },
  );
  return {
    close: () => {
      closing.abort();
      void task.destroy();
    },
  };
}

/**
 * Opens a node and starts to serve. Rejects with AGENT_LISTEN_FAILED, AGENT_DIRECTORY_UNUSABLE, AGENT_CONFIG_INVALID,
 * AGENT_STATE_* or the cache's own codes; what was opened until then is closed again.
 */
export async function openNode(config: Config, options: NodeOptions): Promise<Node> {
  const closers: (() => Promise<void> | void)[] = [];
  const close = async () => {
    for (const closeNext of closers.splice(0).reverse()) await closeNext();
  };
  try {
    return await openParts(config, options, { closers, close });
  } catch (error) {
    await close();
    throw error instanceof CacheError && UNUSABLE_CACHE.has(error.code)
      ? new AgentError('AGENT_LISTEN_FAILED', error.message, { cause: error })
      : error;
  }
}

/** What of the cache's codes ends a start for good: a port that is taken, a store that is required and cannot be had. */
const UNUSABLE_CACHE: ReadonlySet<string> = new Set([
  'CACHE_LISTEN_FAILED',
  'CACHE_STORE_LOCKED',
  'CACHE_STORE_UNUSABLE',
  'CACHE_FORMAT_NEWER',
]);

async function openParts(
  config: Config,
  { log: openedLog, env, onEncode = () => undefined }: NodeOptions,
  { closers, close }: { readonly closers: (() => Promise<void> | void)[]; readonly close: () => Promise<void> },
): Promise<Node> {
  const { log } = openedLog;
  const now = Date.now;
  const isOn = config.agent === 'on';
  let unready: string | undefined = 'starting';
  let agent: Agent | undefined;
  let stats: () => NodeStats = () => assertNever();
  const loop = watchLoop();
  closers.push(loop.close);
  if (isOn) {
    await makeDirectory(config.state.dir, 'state.dir');
    await makeDirectory(config.publish.dir, 'publish.dir');
  }
  // The cache needs its routes before the agent can be opened over it; they are only asked once it serves.
  const routes: Route[] = [];
  const cache = await openCache(
    cacheOptions(config, {
      routes,
      titleOf: (path) => agent?.catalogue.titleOf(path),
      onServed: (record) => agent?.served(record),
      now,
      log,
    }),
  );
  closers.push(() => cache.close(config.drainSeconds * 1000));
  const build = { version: readVersion(), node: process.version };
  stats = () =>
    readStats(cache, agent, { build, loopLagSeconds: loop.seconds(), logDropped: openedLog.stats().dropped });
  if (isOn) {
    const tokenSecret = await readSecret(config.privacy.viewerTokenSecret, env);
    const opened = await openAgent({ config, cache, stats, tokenSecret, env, onEncode, now, log });
    agent = opened;
    routes.push(...opened.routes);
    closers.push(opened.close);
    const sweeper = setInterval(opened.sweep, SWEEP_MS);
    closers.push(() => clearInterval(sweeper), openWindow(config, opened).close);
  }
  const metrics = openMetrics(stats);
  const monitoring = await openMonitoring(config.admin.metrics, { metrics: metrics.text, unreadiness: () => unready });
  closers.push(monitoring.close);
  const startedAt = now();
  const control = await openControl(
    config.admin.socket,
    controlCalls({
      config,
      cache,
      agent,
      stats,
      unreadiness: () => unready,
      uptimeSeconds: () => (now() - startedAt) / 1000,
    }),
  );
  closers.push(control.close);
  const { port } = await cache.serve(config.listen.http);
  unready = undefined;
  closers.push(() => {
    unready = 'draining';
  });
  return {
    port,
    metricsPort: monitoring.port,
    isPublished: (titleId) => agent?.catalogue.package(titleId) !== undefined,
    encode: async (job) => {
      if (agent?.encodes === undefined)
        throw new AgentError('AGENT_ENCODE_OFF', 'encoding is off on this node: set encode.enabled and agent');
      return agent.encodes.submit(job);
    },
    close,
  };
}

/** Before the cache is there nobody asks for figures. */
function assertNever(): never {
  throw new Error('statistics were asked for before the node was opened');
}
