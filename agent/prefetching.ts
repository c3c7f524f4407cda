// Prefetch on this node: the fetcher over the cache's fill, what it may spend a day, the nightly run and the session's
// own, and where a title's timeline comes from.
import type { Cache, Log } from '../cache/cache.ts';
import type { Catalogue } from './catalogue.ts';
import type { Config } from './config.ts';
import type { Power } from './power/power.ts';
import type { Prediction } from './prediction.ts';
import { createDecisionLog, type DecisionLog } from './prefetch/decisions.ts';
import { type DayBudget, type Fetcher, openFetcher } from './prefetch/fetcher.ts';
import { type InSession, openInSession, type ServedPart } from './prefetch/insession.ts';
import { type OffPeakSummary, runOffPeak } from './prefetch/offpeak.ts';
import type { Timeline } from './prefetch/timeline.ts';
import type { State } from './state.ts';
import { dayOf } from './state-schema.ts';
import type { Timelines } from './timelines.ts';

/** What openPrefetching() needs. */
export type PrefetchingOptions = {
  readonly config: Config['prefetch'];
  readonly cache: Pick<Cache, 'activeFills' | 'isTight' | 'fill' | 'has' | 'stats'>;
  readonly catalogue: Catalogue;
  readonly timelines: Timelines;
  readonly prediction: Prediction;
  /** The pace of background work; the nightly fill, which no viewer waits for, stops at 0. */
  readonly power: Pick<Power, 'pace'>;
  readonly ledger: State['ledger'];
  readonly now: () => number;
  readonly log: Log;
};

/** Prefetch as the node sees it. */
export type Prefetching = {
  readonly fetcher: Fetcher;
  readonly decisions: DecisionLog;
  /** A request was answered; hints are the next objects that CMCD names. */
  readonly served: (part: ServedPart, hints: readonly string[]) => void;
  readonly hovered: (titleId: string) => void;
  /** The titles that a session is likeliest to open next, best first. */
  readonly likely: (titles: readonly { readonly titleId: string }[], sid: string) => void;
  /** One off-peak run, ended by its window or the signal; undefined while another one runs. */
  readonly runWindow: (signal: AbortSignal) => Promise<OffPeakSummary | undefined>;
  readonly offPeak: () => {
    readonly runs: Readonly<Record<string, number>>;
    readonly lastSuccessSeconds: number;
    readonly last: OffPeakSummary | undefined;
  };
  readonly close: () => Promise<void>;
};

const MAX_DECISIONS = 2_000;
/** Titles that may make room for others in one run. */
const MAX_HELD = 1_000;
/** Above this many fills for viewers at once, prefetch starts nothing new. */
const MAX_VIEWER_FILLS = 8;
/** Of the titles that a session may open next, the starts of so many are fetched. */
const LIKELY_TITLES = 2;
const PREFETCH_PURPOSES = ['in-session', 'off-peak'] as const;

/** What a title has in the store, for the plan's hysteresis. */
function heldBytes(has: Cache['has'], { tracks }: Timeline): number {
  const parts = tracks.flatMap(({ parts: list }) => list);
  return parts.reduce((sum, { url }) => sum + (has(url)?.sizeBytes ?? 0), 0);
}

/** Timelines of titles of which the store may hold something; a title whose manifest it lacks is passed over unread. */
async function heldTimelines(
  { cache, catalogue, timelines }: PrefetchingOptions,
  signal: AbortSignal,
): Promise<readonly Timeline[]> {
  const held: Timeline[] = [];
  for (const { id, manifestUrl } of catalogue.titles()) {
    if (signal.aborted || held.length >= MAX_HELD) break;
    const isForeign = catalogue.published(id) === undefined;
    if (isForeign && (manifestUrl?.startsWith('/') !== true || cache.has(manifestUrl) === undefined)) continue;
    const timeline = await timelines.of(id).catch(() => undefined);
    if (timeline !== undefined) held.push(timeline);
  }
  return held;
}

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

function openSession({ catalogue, timelines, prediction, now }: PrefetchingOptions, fetcher: Fetcher): InSession {
  return openInSession({
    timelineOf: timelines.of,
    titleRootOf: catalogue.rootOf,
    nextOf: prediction.predictor.nextOf,
    fetcher,
    now,
  });
}

/** One off-peak run over what the catalogue, the store and demand are now. */
async function runOnce(
  options: PrefetchingOptions,
  { fetcher, budget, signal }: { readonly fetcher: Fetcher; readonly budget: DayBudget; readonly signal: AbortSignal },
): Promise<OffPeakSummary> {
  const { cache, timelines, prediction, now } = options;
  const known = await heldTimelines(options, signal);
  const { usedBytes, limitBytes } = cache.stats().store;
  return runOffPeak({
    demand: prediction.predictor.demand,
    timelineOf: timelines.of,
    isHeld: (url) => cache.has(url) !== undefined,
    room: (scoreOf) => ({
      freeBytes: Math.max(0, limitBytes.disk - usedBytes.disk),
      held: known.map((timeline) => ({
        titleId: timeline.titleId,
        bytes: heldBytes(cache.has, timeline),
        score: scoreOf(timeline.titleId),
        renditions: timeline.tracks.filter(({ kind }) => kind === 'video').length,
      })),
    }),
    fetcher,
    // A forecast that was wrong of late spends less.
    budgetBytes: budget.leftBytes() * prediction.drift.trust(),
    now,
    signal,
  });
}

/** Opens prefetch; nothing is fetched before the first request, hover or window. */
export function openPrefetching(options: PrefetchingOptions): Prefetching {
  const { config, cache, power, now, log } = options;
  const decisions = createDecisionLog(MAX_DECISIONS);
  const budget = openBudget(options);
  const fetcher = openFetcher({
    fill: cache.fill,
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
  const inSession = config.enabled && config.inSession ? openSession(options, fetcher) : undefined;
  const runs: Record<string, number> = { done: 0, stopped: 0, 'no-demand': 0, failed: 0 };
  let lastSuccessSeconds = 0;
  let last: OffPeakSummary | undefined;
  let isRunning = false;
  return {
    fetcher,
    decisions,
    served: (part, hints) => inSession?.onServed(part, hints),
    hovered: (titleId) => inSession?.onHover(titleId),
    likely: (titles) => {
      for (const { titleId } of titles.slice(0, LIKELY_TITLES)) inSession?.onHover(titleId);
    },
    runWindow: async (signal) => {
      if (isRunning) return undefined;
      isRunning = true;
      try {
        last = await runOnce(options, { fetcher, budget, signal });
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
    close: () => fetcher.close(),
  };
}
