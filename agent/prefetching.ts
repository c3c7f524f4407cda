// Prefetch on this node: the fetcher over the cache's fill, what it may spend a day, the nightly run and the session's
// own, and where a title's timeline comes from.
import type { Cache, Log, ServedRecord } from '../cache/cache.ts';
import { type Anticipation, openAnticipation } from './anticipation.ts';
import type { Catalogue } from './catalogue.ts';
import type { Config } from './config.ts';
import type { Expectation } from './expectation.ts';
import type { Power } from './power/power.ts';
import type { Intent } from './predict/anticipate.ts';
import type { Prediction } from './prediction.ts';
import { afterNight, chancesAt, factorIn, kept } from './prefetch/caution.ts';
import type { Happened } from './prefetch/decide.ts';
import { createDecisionLog, type DecisionLog } from './prefetch/decisions.ts';
import { type DayBudget, type Fetcher, type FetchItem, openFetcher } from './prefetch/fetcher.ts';
import { type InSession, openInSession, type ServedPart } from './prefetch/insession.ts';
import { type OffPeakOptions, type OffPeakSummary, runOffPeak } from './prefetch/offpeak.ts';
import { openSwitch, type Switch, type SwitchOptions, type SwitchStats } from './prefetch/switch.ts';
import { openUsefulness, type UsefulnessStats } from './prefetch/usefulness.ts';
import { type Lines, openLines } from './simulate/lines.ts';
import type { State } from './state.ts';
import { dayOf } from './state-schema.ts';
import type { Timelines } from './timelines.ts';

/** What openPrefetching() needs. */
export type PrefetchingOptions = {
  readonly config: Config['prefetch'];
  readonly cache: Pick<Cache, 'activeFills' | 'isTight' | 'fill' | 'has' | 'stats' | 'placeOf'>;
  readonly catalogue: Catalogue;
  readonly timelines: Timelines;
  readonly prediction: Prediction;
  readonly expectation: Pick<
    Expectation,
    'known' | 'open' | 'expected' | 'chance' | 'protect' | 'isProtected' | 'costOf'
  >;
  readonly origins: Config['origins'];
  /** The pace of background work; the nightly fill, which no viewer waits for, stops at 0. */
  readonly power: Pick<Power, 'pace'>;
  readonly ledger: State['ledger'];
  readonly snapshots: State['snapshots'];
  /** Most sessions whose next actions are anticipated, and whether one is still there: consent can be withdrawn. */
  readonly maxSessions: number;
  readonly isSession: (sid: string) => boolean;
  /** What prefetch costs the origin, by which it goes off by itself. */
  readonly cost: SwitchOptions['cost'];
  readonly now: () => number;
  readonly log: Log;
};

/** Prefetch as the node sees it. */
export type Prefetching = {
  readonly fetcher: Fetcher;
  readonly decisions: DecisionLog;
  /** A request was answered; hints are the next objects that CMCD names. */
  readonly served: (part: ServedPart, hints: readonly string[]) => void;
  /** A viewer did something; `sid` of a consented session alone. */
  readonly happened: (what: Happened) => void;
  /** Titles that a consented session is likely to start next, the likeliest first. */
  readonly likely: (titles: readonly { readonly titleId: string }[], sid: string) => void;
  /** What became of what was fetched ahead in sessions, and how that is anticipated. */
  readonly inSession: () => {
    readonly use: UsefulnessStats;
    readonly anticipation: ReturnType<Anticipation['stats']>;
    readonly switched: SwitchStats;
  };
  /** Chances of what a consented session does in the next seconds, and what they were learned from. */
  readonly anticipated: (
    sid: string,
    current: { readonly positionSeconds: number; readonly durationSeconds?: number },
  ) => { readonly intent: Intent; readonly trainedOn: string };
  /** An answer may have come from an origin, over its line. */
  readonly fetched: (record: Pick<ServedRecord, 'key' | 'result' | 'status' | 'bytes'>) => void;
  /** The 95th percentile of each origin's line, bytes a second. */
  readonly lines: () => Readonly<Record<string, number>>;
  /** Writes down what was learnt; what lines carried once an hour, or when it is the last time. */
  readonly save: (isLast?: boolean) => void;
  /** One off-peak run, ended by its window or the signal; undefined while another one runs. */
  readonly runWindow: (signal: AbortSignal) => Promise<OffPeakSummary | undefined>;
  readonly offPeak: () => {
    readonly runs: Readonly<Record<string, number>>;
    readonly lastSuccessSeconds: number;
    readonly last: OffPeakSummary | undefined;
  };
  readonly close: () => Promise<void>;
};

/** What lines carried is written down this often. */
const SAVE_MS = 3_600_000;
const MAX_DECISIONS = 2_000;
/** Above this many fills for viewers at once, prefetch starts nothing new. */
const MAX_VIEWER_FILLS = 8;
const PREFETCH_PURPOSES = ['in-session', 'off-peak'] as const;

/** The day's budget over both kinds of prefetch, kept in the ledger so that a restart spends nothing twice. */
function openBudget({ config, ledger, now }: PrefetchingOptions): DayBudget {
  const spent = () => {
    const bytes = ledger.bytesOn(dayOf(now()));
    return PREFETCH_PURPOSES.reduce((sum, purpose) => sum + bytes[purpose], 0);
  };
  return {
    leftBytes: () => Math.max(0, config.bytesPerDay - spent()),
    spend: (bytes, purpose) => ledger.add({ day: dayOf(now()), purpose, bytes }),
  };
}

/** Between two looks at who is about to leave, and at what nobody asked for in time. */
const LOOK_MS = 1_000;
/** Between two looks at what prefetch costs: three bins of the meter. */
const SWITCH_LOOK_MS = 900_000;
/** Looks between two at which sessions are gone, whose erasure is promised within a minute. */
const FORGET_LOOKS = 15;
/** Titles that are likely to be started next, of which the start is fetched, and the chance of the first one. */
const MAX_LIKELY = 2;
const LIKELY_CHANCE = 0.2;

/** Prefetch for those who watch now: what decides, what learns from it and what anticipates. */
type Sessions = Pick<InSession, 'onServed' | 'onHappened' | 'onLikely'> & {
  readonly stats: () => Omit<ReturnType<Prefetching['inSession']>, 'switched'>;
  readonly anticipated: Prefetching['anticipated'];
  readonly save: () => void;
  readonly close: () => void;
};

function openSessions(options: PrefetchingOptions, fetcher: Fetcher): Sessions {
  const { cache, catalogue, timelines, prediction, config, snapshots, maxSessions, now } = options;
  const usefulness = openUsefulness({ maxWastedRatio: config.maxWastedRatio });
  const durationOf = (titleId: string): number | undefined =>
    catalogue.published(titleId)?.durationSeconds ?? catalogue.title(titleId)?.durationSeconds;
  const anticipation = openAnticipation({ maxSessions, durationOf, snapshots, now });
  const inSession = openInSession({
    timelineOf: timelines.of,
    titleRootOf: catalogue.rootOf,
    nextOf: prediction.predictor.nextOf,
    isHeld: (url) => cache.has(url) !== undefined,
    aheadSeconds: config.aheadSeconds,
    intentOf: anticipation.intentOf,
    ...{ fetcher, usefulness, now },
  });
  let looks = 0;
  const look = setInterval(() => {
    looks += 1;
    if (looks % FORGET_LOOKS === 0) {
      inSession.forget(options.isSession);
      anticipation.forget(options.isSession);
    }
    usefulness.sweep(now());
    for (const sid of anticipation.leaving()) inSession.onLeaving(sid);
  }, LOOK_MS);
  look.unref();
  return {
    onServed: inSession.onServed,
    onHappened: (what) => {
      const { sid } = what;
      if (sid !== undefined) anticipation.happened({ ...what, sid });
      inSession.onHappened(what);
    },
    onLikely: inSession.onLikely,
    stats: () => ({ use: usefulness.stats(), anticipation: anticipation.stats() }),
    anticipated: (sid, { positionSeconds, durationSeconds = 0 }) => ({
      intent: anticipation.intentOf({ sid, positionSeconds, durationSeconds }),
      trainedOn: anticipation.stats().trainedOn,
    }),
    save: anticipation.save,
    close: () => clearInterval(look),
  };
}

const CAUTION = 'offpeak-caution';

/** How sure a night must be of what it fills, learnt from what became of earlier fills; asked once a night. */
function openCaution({ cache, config, snapshots }: PrefetchingOptions): () => ReturnType<typeof chancesAt> {
  let before = { usefulBytes: 0, wastedBytes: 0 };
  return () => {
    const { offPeak } = cache.stats().prefetch;
    const settled = {
      usefulBytes: offPeak.usefulBytes - before.usefulBytes,
      wastedBytes: offPeak.wastedBytes - before.wastedBytes,
    };
    before = offPeak;
    const factor = afterNight(factorIn(snapshots.get(CAUTION)), settled, config.maxWastedRatio);
    snapshots.put(CAUTION, kept(factor));
    return chancesAt(factor);
  };
}

/** One off-peak run over what the catalogue, the store and demand are now. */
async function runOnce(
  options: PrefetchingOptions,
  run: Required<Pick<OffPeakOptions, 'fetcher' | 'plan' | 'signal'>> & { readonly budget: DayBudget },
): Promise<OffPeakSummary> {
  const { cache, timelines, prediction, expectation, now } = options;
  const { usedBytes, limitBytes } = cache.stats().store;
  return runOffPeak({
    ...expectation,
    demand: prediction.predictor.demand,
    timelineOf: timelines.of,
    isHeld: (url) => cache.has(url) !== undefined,
    freeBytes: Math.max(0, limitBytes.disk - usedBytes.disk),
    capacityBytes: limitBytes.disk,
    // A forecast that was wrong of late spends less.
    budgetBytes: run.budget.leftBytes() * prediction.drift.trust(),
    now,
    ...{ fetcher: run.fetcher, plan: run.plan, signal: run.signal },
  });
}

/** What origins' lines carry, counted from what viewers missed; `lineShare` null: no line has a limit. */
function openCounted({
  config: { lineShare },
  origins,
  snapshots,
  now,
}: PrefetchingOptions): Pick<Prefetching, 'fetched' | 'lines' | 'save'> & { readonly line: Lines } {
  const names = lineShare === null ? [] : origins.map(({ name }) => name);
  const lines = openLines({ days: snapshots, origins: names, ratio: lineShare ?? 1, now });
  let savedAt = now();
  return {
    line: lines,
    lines: () => Object.fromEntries(names.map((name) => [name, lines.p95BytesPerSecond(name)])),
    fetched: ({ key, result, status, bytes }) => {
      const isFetched = result === 'miss' && (status === 200 || status === 206);
      if (isFetched) lines.received(key.slice(0, key.indexOf(' ')), bytes);
    },
    save: (isLast = false) => {
      if (!isLast && now() - savedAt < SAVE_MS) return;
      savedAt = now();
      lines.save();
    },
  };
}

/** Fills through the cache, counted to the line of the origin. */
function fillOver({ cache }: PrefetchingOptions, lines: Lines): Cache['fill'] {
  return async (url, how) => {
    const outcome = await cache.fill(url, how);
    const origin = outcome.outcome === 'stored' ? cache.placeOf(url)?.origin : undefined;
    if (origin !== undefined && 'bytes' in outcome) lines.received(origin, outcome.bytes);
    return outcome;
  };
}

/** Whether an off-peak item fits under its origin's percentile now. */
function mayStartBy({ cache }: PrefetchingOptions, line: Lines): (item: FetchItem) => boolean {
  return ({ priority, url, bytes }) => {
    const origin = priority === 'off-peak' ? cache.placeOf(url)?.origin : undefined;
    return origin === undefined || line.roomBytes(origin) > bytes;
  };
}

/** Opens prefetch; nothing is fetched before the first request, hover or window. */
export function openPrefetching(options: PrefetchingOptions): Prefetching {
  const { config, cache, power, now, log } = options;
  const { line, ...counted } = openCounted(options);
  const decisions = createDecisionLog(MAX_DECISIONS);
  const [budget, caution] = [openBudget(options), openCaution(options)];
  const toggle: Switch = openSwitch({
    ...{ maxCostRatio: config.maxCostRatio, cost: options.cost, snapshots: options.snapshots, now, log },
    onOff: () => fetcher.cancel(({ reason }) => reason !== 'operator'),
  });
  const looking = setInterval(() => void toggle.look(), SWITCH_LOOK_MS).unref();
  const fetcher: Fetcher = openFetcher({
    isOn: toggle.isOn,
    ...{ fill: fillOver(options, line), mayStart: mayStartBy(options, line) },
    isHeld: (url) => cache.has(url) !== undefined,
    budget,
    bytesPerSecond: config.bytesPerSecond,
    decisions,
    now,
    hasRoom: (priority) =>
      !cache.isTight() &&
      cache.activeFills() <= MAX_VIEWER_FILLS &&
      (priority === 'in-session' || power.pace().pace > 0),
  });
  const sessions = openSessions(options, fetcher);
  const inSession = config.enabled && config.inSession ? sessions : undefined;
  const runs: Record<string, number> = { done: 0, stopped: 0, 'no-demand': 0, failed: 0 };
  let lastSuccessSeconds = 0;
  let last: OffPeakSummary | undefined;
  let isRunning = false;
  return {
    fetcher,
    decisions,
    served: (part, hints) => inSession?.onServed(part, hints),
    happened: (what) => inSession?.onHappened(what),
    likely: (titles, sid) => {
      for (const [rank, { titleId }] of titles.slice(0, MAX_LIKELY).entries())
        inSession?.onLikely(titleId, { reason: 'likely', chance: LIKELY_CHANCE / (rank + 1), sid });
    },
    inSession: () => ({ ...sessions.stats(), switched: toggle.stats() }),
    anticipated: sessions.anticipated,
    ...counted,
    save: (isLast) => {
      for (const one of [sessions, counted]) one.save(isLast);
    },
    runWindow: async (signal) => {
      if (isRunning || !toggle.isOn()) return undefined;
      isRunning = true;
      try {
        last = await runOnce(options, { fetcher, budget, signal, plan: caution() });
        runs[last.outcome] = (runs[last.outcome] ?? 0) + 1;
        if (last.outcome !== 'stopped') lastSuccessSeconds = now() / 1000;
        const { decisions: _decisions, ...summary } = last;
        log('info', 'offpeak.ended', summary);
        return last;
      } catch (error) {
        runs['failed'] = (runs['failed'] ?? 0) + 1;
        log('error', 'offpeak.failed', { message: String(error) });
        return undefined;
      } finally {
        isRunning = false;
      }
    },
    offPeak: () => ({ runs, lastSuccessSeconds, last }),
    close: () => {
      sessions.close();
      clearInterval(looking);
      return fetcher.close();
    },
  };
}
