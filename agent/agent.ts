// Everything behind "agent: on", composed: telemetry, prediction, prefetch, encoding, preview, and the routes and
// control calls over them. With "agent: off" none of this is opened.
import { join } from 'node:path';
import type { Cache, Log, Route, ServedRecord } from '../cache/cache.ts';
import { type ListedTitle, viewerRoutes } from './api.ts';
import { type Bandits, openBandits } from './bandits.ts';
import { type Catalogue, openCatalogue } from './catalogue.ts';
import type { Config } from './config.ts';
import { consoleRoutes } from './console/console.ts';
import type { EncodeStatus, Encodes } from './encodes.ts';
import { type Encoding, openEncoding } from './encoding.ts';
import { countedBefore, type Expectation, openExpectation } from './expectation.ts';
import { openHearing } from './hearing.ts';
import { type Hints, openHints } from './hints.ts';
import { listTitles } from './listing.ts';
import type { NodeStats } from './node-stats.ts';
import type { Plans } from './plans.ts';
import { openLoad } from './power/load.ts';
import { openPower, type Power } from './power/power.ts';
import { openSensors } from './power/sensors.ts';
import { openPrediction, type Prediction } from './prediction.ts';
import { openPrefetching, type Prefetching, type PrefetchingOptions } from './prefetching.ts';
import { openPreviews, type Previews } from './previews.ts';
import { openPublishing, type Publishing } from './publishing.ts';
import { type Meter, openMeter } from './simulate/meter.ts';
import { openState, type State } from './state.ts';
import { dayOf } from './state-schema.ts';
import type { AccessLogs } from './telemetry/access-log.ts';
import type { Intake } from './telemetry/intake.ts';
import { openSessions, type Sessions } from './telemetry/sessions.ts';
import { openTimelines, type Timelines } from './timelines.ts';

/** What openAgent() needs. `onEncode` hears every step of every encode. */
export type AgentOptions = {
  readonly config: Config;
  readonly cache: Cache;
  readonly stats: () => NodeStats;
  readonly tokenSecret: Uint8Array | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly onEncode: (status: EncodeStatus) => void;
  readonly now: () => number;
  readonly log: Log;
};

/** The opened rooms of the agent. */
export type Agent = {
  readonly catalogue: Catalogue;
  readonly sessions: Sessions;
  readonly intake: Intake;
  readonly accessLogs: Pick<AccessLogs, 'stats'>;
  readonly prediction: Prediction;
  readonly prefetching: Prefetching;
  readonly timelines: Timelines;
  readonly expectation: Expectation;
  readonly encodes: Encodes | undefined;
  readonly encoding: Encoding | undefined;
  readonly power: Power;
  readonly bandits: Bandits;
  readonly previews: Previews;
  readonly plans: Plans;
  readonly publishing: Publishing;
  readonly state: State;
  readonly meter: Meter;
  /** What players are told with segments; asked only where prefetch.cmsd is on. */
  readonly hints: Hints;
  readonly routes: readonly Route[];
  readonly titles: () => readonly ListedTitle[];
  readonly served: (record: ServedRecord) => void;
  /** Housekeeping; every minute. */
  readonly sweep: () => void;
  /** Stops work in the background: encodes, prefetch, publishing. Routes go on to answer. */
  readonly quiesce: () => Promise<void>;
  /** Closes everything else; what can be resumed is on disk. After quiesce() and the cache's drain. */
  readonly close: () => Promise<void>;
};

const FLUSH_MS = 2_000;
/** Choices and the ledger are kept this long for off-policy estimates. */
const LOG_DAYS = 60;
/** A catalogue or a package that somebody else wrote is seen after this long at the latest. */
const RELOAD_MS = 5_000;
/** Prefetch decisions that the page is given. */
const SHOWN_DECISIONS = 30;
const isRunning = ({ state }: EncodeStatus): boolean => state === 'running';

/** The pace of background work; what runs of it is asked for once it is open. */
function openPowerOver({ config, cache, now, log }: AgentOptions, isActive: () => boolean): Promise<Power> {
  const { sysfsRoot: root, ...limits } = config.power;
  return openPower({
    limits,
    sensors: openSensors({ root, now }),
    load: openLoad('/proc'),
    hits: () => cache.stats().firstByteSeconds.hit,
    isActive,
    log,
  });
}

type Durations = (titleId: string) => number | undefined;

function openViewers(
  { config, tokenSecret, now }: AgentOptions,
  state: State,
  durationOf: Durations,
  running: Running,
): Sessions {
  return openSessions({
    maxSessions: config.telemetry.maxSessions,
    idleMs: config.telemetry.sessionHours * 3_600_000,
    durationOf,
    now,
    onErased: (viewers) => running.prediction?.forget(viewers),
    ...(config.privacy.retentionDays > 0 ? { watches: state.watches } : {}),
    ...(tokenSecret === undefined ? {} : { tokenSecret }),
  });
}

type Rooms = Omit<Agent, 'routes' | 'titles' | 'served' | 'sweep' | 'quiesce' | 'close'>;

/** What there is to do every minute. */
function openSweep({ config, now, log }: AgentOptions, rooms: Rooms): () => void {
  let purgedOn = -1;
  return () => {
    void rooms.catalogue.reload();
    rooms.sessions.sweep();
    rooms.previews.sweep();
    rooms.plans.sweep();
    rooms.expectation.sweep();
    rooms.prediction.save();
    rooms.prediction.sweep().catch((error: unknown) => log('error', 'model.registry', { message: String(error) }));
    rooms.meter.save();
    rooms.prefetching.save();
    const today = dayOf(now());
    if (today === purgedOn) return;
    purgedOn = today;
    rooms.state.purge({ now: now(), watchDays: config.privacy.retentionDays, logDays: LOG_DAYS });
    void rooms.publishing.sweep();
  };
}

/** What closes the rooms opened so far; run last first. */
type Closers = (() => Promise<void> | void)[];

async function closeAll(closers: Closers): Promise<void> {
  for (const closeNext of closers.splice(0).reverse()) await closeNext();
}

/** Rooms that others ask before they are open. */
type Running = { encodes?: Encodes | undefined; power?: Power; prediction?: Prediction };

function openPrefetchingOver(
  { config }: AgentOptions,
  rooms: Pick<
    PrefetchingOptions,
    'cache' | 'catalogue' | 'timelines' | 'prediction' | 'expectation' | 'power' | 'now' | 'log'
  > &
    Pick<Rooms, 'state' | 'sessions' | 'meter'>,
): Prefetching {
  const { ledger, snapshots } = rooms.state;
  const { maxSessions } = config.telemetry;
  return openPrefetching({
    ...rooms,
    ...{ ledger, snapshots, maxSessions },
    isSession: rooms.sessions.has,
    cost: rooms.meter.prefetchCost,
    ...{ config: config.prefetch, origins: config.origins },
  });
}

/** The rooms in the order in which they need each other; each pushes what closes it. */
async function openRooms(options: AgentOptions, closing: AbortSignal, closers: Closers): Promise<Rooms> {
  const { config, cache, now, log } = options;
  const { path: publishPath, dir: publishDir, warmSeconds } = config.publish;
  const state = openState({ dir: config.state.dir, flushMs: FLUSH_MS, log });
  closers.push(state.close);
  const published = { publishDir, publishPath };
  const catalogue = await openCatalogue({ ...config.catalogue, ...published, reloadMs: RELOAD_MS, log });
  closers.push(catalogue.close);
  const durationOf: Durations = (titleId) =>
    catalogue.published(titleId)?.durationSeconds ?? catalogue.title(titleId)?.durationSeconds;
  const running: Running = {};
  const sessions = openViewers(options, state, durationOf, running);
  closers.push(sessions.close);
  const prediction = await openPrediction({
    ...{ titles: catalogue.titles, catalogueVersion: () => catalogue.stats().reloads },
    region: config.node.region,
    modelsDir: join(config.state.dir, 'models'),
    ...{ hasModel: config.predict.enabled, deadlineMs: config.predict.deadlineMs },
    ...{ retrain: config.predict.retrain, similarRegions: config.predict.similarRegions },
    watches: (page) => state.watches.since(dayOf(now()) - config.privacy.retentionDays, page),
    pace: () => running.power?.pace().pace ?? 0,
    ...{ snapshots: state.snapshots, now, log },
  });
  closers.push(prediction.close, () => prediction.save(true));
  running.prediction = prediction;
  const power = await openPowerOver(options, () => running.encodes?.list().some(isRunning) === true);
  closers.push(power.close);
  running.power = power;
  const timelines = openTimelines({ catalogue, cache, now });
  const known = { cache, catalogue, timelines, now, log };
  const diskBytes = config.store.dirs.reduce((sum, { maxBytes }) => sum + maxBytes, 0);
  const meter = openMeter({ diskBytes: Math.max(diskBytes, config.store.ramBytes), days: state.snapshots, now });
  closers.push(() => meter.save(true));
  const metered = { ...known, cache: meter.watch(cache) };
  const hints = openHints({ ...cache, nodeId: config.node.id, now });
  const { beginningRatio, retention } = config.prefetch;
  const expectation = openExpectation({
    ...{ ...known, ...countedBefore(options, prediction), snapshots: state.snapshots },
    headRatio: retention ? beginningRatio : 0,
  });
  closers.push(expectation.save);
  const expecting = { ...metered, state, sessions, meter, prediction, power, expectation };
  const prefetching = openPrefetchingOver(options, expecting);
  closers.push(prefetching.close, () => prefetching.save(true));
  const { bytesPerSecond } = config.prefetch;
  const publishing = openPublishing({ ...known, publishDir, publishPath, bytesPerSecond, warmSeconds });
  const encoding = await openEncoding({
    ...options,
    ...{ catalogue, prediction, expectation, power },
    onPublished: (id) =>
      void publishing.published(id, closing).then((title) => title && encoding?.worth.learned(title)),
  });
  const encodes = encoding?.encodes;
  running.encodes = encodes;
  closers.push(() => encodes?.close());
  const bandits = await openBandits({ config, state, sessions, durationOf, now, log });
  const viewed = { ...known, sessions, prediction, prefetching, encodes, state, bandits, durationOf };
  const previews = openPreviews({ config: config.preview, ...viewed });
  closers.push(bandits.close, previews.close);
  const told = { catalogue, sessions, prediction, prefetching, previews, expectation, hints };
  const { intake, plans, accessLogs, close } = openHearing(options, told, durationOf);
  closers.push(close);
  return { ...told, bandits, intake, plans, accessLogs, timelines, encodes, encoding, power, publishing, state, meter };
}

/**
 * Opens every room and wires them. Rejects with AGENT_STATE_*, AGENT_PAGE_UNREADABLE or the system's own error for a
 * folder of encodes that cannot be made; what was opened until then is closed again.
 */
export async function openAgent(options: AgentOptions): Promise<Agent> {
  const closing = new AbortController();
  const closers: Closers = [() => closing.abort()];
  try {
    const rooms = await openRooms(options, closing.signal, closers);
    const { encodes, intake, meter, prefetching } = rooms;
    return {
      ...rooms,
      ...openRoutes(options, rooms),
      served: (record) => {
        intake.served(record);
        meter.served(record);
        prefetching.fetched(record);
      },
      sweep: openSweep(options, rooms),
      quiesce: async () => {
        closing.abort();
        await Promise.all([encodes?.close(), prefetching.close()]);
      },
      close: () => closeAll(closers),
    };
  } catch (error) {
    await closeAll(closers);
    throw error;
  }
}

/** What viewers' players ask of the node itself. */
function openRoutes({ config, stats }: AgentOptions, rooms: Rooms): Pick<Agent, 'routes' | 'titles'> {
  const { catalogue, encodes, intake, prefetching, previews } = rooms;
  const titles = () => listTitles(catalogue, encodes, config.publish.path);
  const routes = viewerRoutes({
    titles,
    events: intake.events,
    preview: config.preview.enabled ? { preview: previews.preview, ads: previews.ads, ...config.preview } : undefined,
    stats,
    decisions: () =>
      prefetching.decisions
        .latest(SHOWN_DECISIONS)
        .map((decision) => ({ ...decision, title: catalogue.title(decision.titleId)?.name ?? decision.titleId })),
    encodes: () => encodes?.list() ?? [],
    page: consoleRoutes(),
  });
  return { titles, routes };
}
