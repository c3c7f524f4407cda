// Every figure of the node in one reading: what the rooms count, put together for /metrics, status and the page.
import type { Cache, CacheStats, Histogram } from '../cache/cache.ts';
import type { PlannedJob, WaitReason } from './encode-order.ts';
import { newHistogram } from './histogram.ts';
import type { PowerStats } from './power/power.ts';
import type { BanditStats } from './preview/bandit-room.ts';
import type { PreviewStats } from './preview/preview.ts';

/** Prefetch in sessions: what became of objects by reason, and how what comes next is anticipated. */
export type InSessionFigures = {
  readonly use: {
    readonly objects: Readonly<Record<string, Readonly<Record<string, number>>>>;
    readonly wastedRatio: number;
    readonly threshold: number;
  };
  readonly anticipation: { readonly sessions: number; readonly observed: number; readonly trainedOn: string };
  readonly switched: {
    readonly isOn: boolean;
    readonly offs: number;
    readonly because: string;
    readonly retryAt: number | undefined;
  };
};

/** Everything that a scrape reads, assembled by node.ts. */
export type NodeStats = {
  readonly build: { readonly version: string; readonly node: string };
  readonly cache: CacheStats;
  readonly prefetch: { readonly isPaused: boolean; readonly outcomes: Readonly<Record<string, number>> };
  /** Undefined without an agent. */
  readonly inSession: InSessionFigures | undefined;
  readonly offPeak: { readonly runs: Readonly<Record<string, number>>; readonly lastSuccessSeconds: number };
  readonly expectation: {
    readonly titles: number;
    readonly horizonSeconds: number;
    readonly heldRatio: number;
    /** Percentiles of origins' lines, bytes a second. */
    readonly lines: Readonly<Record<string, number>>;
  };
  readonly predict: {
    readonly answers: Readonly<Record<'model' | 'rules', number>>;
    /** `plan`: from a viewer's event to the plan that it led to. */
    readonly seconds: Readonly<Record<'model' | 'rules' | 'plan', Histogram>>;
    readonly childRestarts: number;
    readonly models: readonly { readonly alias: string; readonly version: string }[];
    /** Undefined without a model. */
    readonly life: LifeStats | undefined;
    /** How questions to the champion's process ended. */
    readonly asked: Readonly<Record<string, number>>;
    /** Of the last comparison, evidence by what is needed of it; undefined before it. */
    readonly drift: Readonly<Record<string, number | undefined>>;
    readonly trust: number;
  };
  readonly encode: {
    readonly jobs: Readonly<Record<'started' | 'done' | 'failed', number>>;
    readonly active: number;
    readonly progressRatio: number;
    readonly cpuSeconds: number;
    readonly joules: number;
    /** Jobs by what they wait for. */
    readonly waiting: Readonly<Record<WaitReason, number>>;
    readonly lastSuccessSeconds: number;
    readonly savedBytes: Readonly<Record<'cap' | 'pruning' | 'allocation', number>>;
  };
  /** Undefined without an agent. */
  readonly power: PowerStats | undefined;
  readonly preview: {
    readonly answers: Readonly<Record<string, number>>;
    readonly reasons: Readonly<Record<string, number>>;
    /** Steps that were gone on without. */
    readonly late: Readonly<Record<string, number>>;
    readonly rewards: Readonly<Record<string, number>>;
    /** By what was answered with. */
    readonly seconds: Readonly<Record<string, Histogram>>;
    readonly skippedSegments: Readonly<Record<string, number>>;
    /** Previews decided before they were asked for, and what became of them. */
    readonly ahead: Readonly<Record<string, number>>;
    /** Ad slots. */
    readonly slots: Readonly<Record<string, number>>;
    /** Choices that were shown, by slot, and the sum of their rewards. */
    readonly choices: Readonly<Record<string, number>>;
    readonly earned: number;
    /** Times that tastes were found to have drifted; arms that do harm and rest. */
    readonly drifts: number;
    readonly stoppedArms: number;
    /** Experiments that run. */
    readonly experiments: number;
  };
  readonly events: Readonly<Record<'accepted' | 'invalid' | 'dropped' | 'capped', number>>;
  /** Lines of other caches' access logs by what they were. */
  readonly accessLogs: Readonly<Record<'requests' | 'malformed' | 'tooLong', number>>;
  readonly sessions: number;
  /** By played cache; empty without an agent. */
  readonly whatIf: {
    readonly originBytes: Readonly<Record<string, number>>;
    readonly p95BytesPerSecond: Readonly<Record<string, number>>;
  };
  readonly loopLagSeconds: number;
  readonly logDropped: number;
  readonly configReloads: Readonly<Record<'ok' | 'failed', number>>;
};

/** Training, trial and replacement of models. */
export type LifeStats = {
  readonly runs: Readonly<Record<string, number>>;
  readonly lastTrainedSeconds: number;
  readonly changes: Readonly<Record<string, number>>;
  /** 0..1 while one is trained, else undefined. */
  readonly trainingRatio: number | undefined;
  readonly trial: {
    readonly questions: number;
    readonly viewers: number;
    readonly championNdcg: number;
    readonly otherNdcg: number | undefined;
  };
};

const NO_HISTOGRAM = newHistogram();

/** The rooms that are read; structural, so that this file stands below those that open them. */
export type CountedAgent = {
  readonly encodes:
    | {
        readonly list: () => readonly { readonly state: string; readonly progressRatio: number }[];
        readonly counts: NodeStats['encode']['jobs'] & {
          readonly cpuSeconds: number;
          readonly joules: number;
          readonly lastSuccessSeconds: number;
        };
        readonly plan: () => readonly Pick<PlannedJob, 'waitsFor'>[];
      }
    | undefined;
  readonly prefetching: {
    readonly fetcher: {
      readonly stats: () => {
        readonly isPaused: boolean;
        readonly breaker: string;
        readonly outcomes: Readonly<Record<string, number>>;
      };
    };
    readonly offPeak: () => NodeStats['offPeak'];
    readonly lines: () => NodeStats['expectation']['lines'];
    readonly inSession: () => InSessionFigures;
  };
  readonly expectation: { readonly stats: () => Omit<NodeStats['expectation'], 'lines'> };
  readonly plans: { readonly stats: () => { readonly seconds: Histogram } };
  readonly prediction: {
    readonly seconds: Readonly<Record<'model' | 'rules', Histogram>>;
    readonly predictor: { readonly stats: () => { readonly byModel: number; readonly byRules: number } };
    readonly childRestarts: () => number;
    readonly asked: () => NodeStats['predict']['asked'];
    readonly models: () => NodeStats['predict']['models'];
    readonly life:
      | {
          readonly counts: () => Readonly<Record<'promoted' | 'rolledBack' | 'withdrawn' | 'demoted', number>> &
            Pick<LifeStats, 'runs' | 'lastTrainedSeconds'>;
          readonly report: () => Pick<LifeStats, 'trial'> & {
            readonly training: { readonly ratio: number } | undefined;
          };
        }
      | undefined;
    readonly drift: {
      readonly last: () => Readonly<Record<string, { readonly ratio: number | undefined } | undefined>>;
      readonly trust: () => number;
    };
  };
  readonly power: { readonly stats: () => PowerStats };
  readonly publishing: { readonly savedBytes: () => NodeStats['encode']['savedBytes'] };
  readonly previews: {
    readonly preview: { readonly stats: () => PreviewStats };
    readonly ads: { readonly stats: () => Readonly<Record<string, number>> };
  };
  readonly bandits: {
    readonly bandit: { readonly stats: () => BanditStats };
    readonly experiments: { readonly stats: () => { readonly running: number } };
  };
  readonly intake: { readonly stats: () => NodeStats['events'] };
  readonly accessLogs: { readonly stats: () => NodeStats['accessLogs'] };
  readonly sessions: { readonly stats: () => { readonly sessions: number } };
  readonly meter: { readonly figures: () => NodeStats['whatIf'] };
};

/** One reading of everything, for /metrics, status and the page. */
export function readStats(
  { cache, agent }: { readonly cache: Pick<Cache, 'stats'>; readonly agent: CountedAgent | undefined },
  rest: Pick<NodeStats, 'build' | 'loopLagSeconds' | 'logDropped' | 'configReloads'>,
): NodeStats {
  const jobs = agent?.encodes?.list() ?? [];
  const running = jobs.find(({ state }) => state === 'running');
  const counts = agent?.encodes?.counts;
  const fetcher = agent?.prefetching.fetcher.stats();
  const predicted = agent?.prediction.predictor.stats();
  return {
    ...rest,
    cache: cache.stats(),
    prefetch: {
      isPaused: fetcher !== undefined && (fetcher.isPaused || fetcher.breaker === 'open'),
      outcomes: fetcher?.outcomes ?? {},
    },
    inSession: agent?.prefetching.inSession(),
    offPeak: agent?.prefetching.offPeak() ?? { runs: {}, lastSuccessSeconds: 0 },
    expectation: {
      ...(agent?.expectation.stats() ?? { titles: 0, horizonSeconds: 0, heldRatio: 0 }),
      lines: agent?.prefetching.lines() ?? {},
    },
    predict: {
      answers: { model: predicted?.byModel ?? 0, rules: predicted?.byRules ?? 0 },
      seconds: {
        model: agent?.prediction.seconds.model ?? NO_HISTOGRAM,
        rules: agent?.prediction.seconds.rules ?? NO_HISTOGRAM,
        plan: agent?.plans.stats().seconds ?? NO_HISTOGRAM,
      },
      childRestarts: agent?.prediction.childRestarts() ?? 0,
      models: agent?.prediction.models() ?? [],
      asked: agent?.prediction.asked() ?? {},
      life: lifeOf(agent),
      drift: driftOf(agent),
      trust: agent?.prediction.drift.trust() ?? 1,
    },
    encode: {
      jobs: { started: counts?.started ?? 0, done: counts?.done ?? 0, failed: counts?.failed ?? 0 },
      active: running === undefined ? 0 : 1,
      progressRatio: running?.progressRatio ?? 0,
      cpuSeconds: counts?.cpuSeconds ?? 0,
      joules: counts?.joules ?? 0,
      waiting: waitingIn(agent?.encodes?.plan() ?? []),
      lastSuccessSeconds: counts?.lastSuccessSeconds ?? 0,
      savedBytes: agent?.publishing.savedBytes() ?? { cap: 0, pruning: 0, allocation: 0 },
    },
    power: agent?.power.stats(),
    preview: previewOf(agent),
    events: eventsOf(agent),
    accessLogs: agent?.accessLogs.stats() ?? { requests: 0, malformed: 0, tooLong: 0 },
    sessions: agent?.sessions.stats().sessions ?? 0,
    whatIf: agent?.meter.figures() ?? { originBytes: {}, p95BytesPerSecond: {} },
  };
}

function waitingIn(plan: readonly Pick<PlannedJob, 'waitsFor'>[]): NodeStats['encode']['waiting'] {
  const waiting: Record<WaitReason, number> = { operator: 0, memory: 0, power: 0, worth: 0, turn: 0 };
  for (const { waitsFor } of plan) if (waitsFor !== undefined) waiting[waitsFor] += 1;
  return waiting;
}

function previewOf(agent: CountedAgent | undefined): NodeStats['preview'] {
  const stats = agent?.previews.preview.stats();
  const bandit = agent?.bandits.bandit.stats();
  return {
    answers: stats?.answers ?? {},
    reasons: stats?.reasons ?? {},
    late: stats?.late ?? {},
    rewards: bandit?.results ?? {},
    choices: bandit?.choices ?? {},
    earned: bandit?.rewards ?? 0,
    drifts: bandit?.drifts ?? 0,
    stoppedArms: bandit?.stopped.length ?? 0,
    experiments: agent?.bandits.experiments.stats().running ?? 0,
    seconds: stats?.durationSeconds ?? {},
    skippedSegments: stats?.films.skipped ?? {},
    ahead: stats?.ahead ?? {},
    slots: agent?.previews.ads.stats() ?? {},
  };
}

function lifeOf(agent: CountedAgent | undefined): LifeStats | undefined {
  const life = agent?.prediction.life;
  if (life === undefined) return undefined;
  const { runs, lastTrainedSeconds, promoted, rolledBack, withdrawn, demoted } = life.counts();
  const { trial, training } = life.report();
  const changes = { promoted, 'rolled-back': rolledBack, withdrawn, demoted };
  return { runs, lastTrainedSeconds, changes, trial, trainingRatio: training?.ratio };
}

function driftOf(agent: CountedAgent | undefined): NodeStats['predict']['drift'] {
  const last = Object.entries(agent?.prediction.drift.last() ?? {});
  return Object.fromEntries(last.map(([what, drift]) => [what, drift?.ratio]));
}

/** Events by outcome; what the intake counts of CMCD requests besides is no outcome of an event. */
function eventsOf(agent: CountedAgent | undefined): NodeStats['events'] {
  const none = { accepted: 0, invalid: 0, dropped: 0, capped: 0 };
  const { accepted, invalid, dropped, capped } = agent?.intake.stats() ?? none;
  return { accepted, invalid, dropped, capped };
}
