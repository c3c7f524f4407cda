// The predictor with what keeps it alive: counters of popularity on disk, the champion model in its process, the models
// that are tried beside it and trained at night, and how long answers took.
import { randomInt } from 'node:crypto';
import type { Log } from '../cache/cache.ts';
import { startFromSimilar } from './cold-start.ts';
import { newHistogram, type Observed, observe } from './histogram.ts';
import { type ChampionKeeper, keepChampion } from './model/champion.ts';
import { openLife } from './model/life.ts';
import type { ModelLife } from './model/life-contract.ts';
import { type Memory, openMemory } from './model/memory.ts';
import { openPredictor, type Predictor, type Ranking, type RankQuestion } from './model/predictor.ts';
import { openQuestions, type Questions, type Viewer } from './model/questions.ts';
import { openRegistry } from './model/registry.ts';
import { trainApart } from './model/retrain.ts';
import { openRuntime } from './model/runtime.ts';
import type { ModelRuntime } from './model/runtime-contract.ts';
import type { Adaptation } from './model/sequence.ts';
import { openSwapping } from './model/swap.ts';
import { type DriftWatch, openDriftWatch } from './model/watch.ts';
import type { PredictTitle } from './predict/catalogue-index.ts';
import {
  createPopularity,
  DEFAULT_HALF_LIFE_MS,
  type Popularity,
  type PopularitySnapshot,
} from './predict/popularity.ts';
import { createTransitions } from './predict/transitions.ts';
import { WATCH_BUCKETS, type WatchRow } from './state-schema.ts';
import type { Interaction } from './train/interactions.ts';

/** Where the counters are kept: one document by name. */
export type SnapshotStore = {
  readonly get: (name: string) => string | undefined;
  readonly put: (name: string, json: string) => void;
};

/** How models are trained and replaced. */
export type TrainingConfig = {
  readonly promotion: 'auto' | 'manual';
  readonly minutes: number;
  readonly maxBytes: number;
  readonly minReachRatio: number;
};

/** What openPrediction() needs. */
export type PredictionOptions = {
  readonly titles: () => Iterable<PredictTitle>;
  readonly catalogueVersion: () => number;
  readonly region: string;
  /** Lists of regions like this one, for a node that has counted nothing. */
  readonly similarRegions?: string | null;
  readonly modelsDir: string;
  /** False: rules alone, and no process. */
  readonly hasModel: boolean;
  readonly deadlineMs: number;
  readonly retrain: TrainingConfig;
  /** What consented viewers watched, as it is on disk. */
  readonly watches: (page: { readonly after?: WatchRow | undefined; readonly limit: number }) => readonly WatchRow[];
  /** The pace of background work, 0..1. */
  readonly pace: () => number;
  readonly snapshots: SnapshotStore;
  readonly now: () => number;
  readonly log: Log;
};

/** A play of a title, of nobody in particular. */
export type Play = { readonly titleId: string; readonly at: number; readonly weight: number };

/** What the node asks of prediction. */
export type Prediction = {
  readonly rank: (question: RankQuestion) => Promise<Ranking>;
  readonly predictor: Predictor;
  readonly popularity: Popularity;
  readonly seconds: Readonly<Record<'model' | 'rules', Observed>>;
  /** How questions to the champion's process ended. */
  readonly asked: () => Readonly<Record<'answered' | 'late' | 'refused' | 'failed', number>>;
  /** The models that run now. */
  readonly models: () => readonly { readonly alias: string; readonly version: string }[];
  readonly childRestarts: () => number;
  /** Training, trial and replacement of models; undefined when there is no model. */
  readonly life: ModelLife | undefined;
  readonly questions: Pick<Questions, 'stats'>;
  readonly drift: Pick<DriftWatch, 'last' | 'trust'>;
  /** A title was played. */
  readonly played: (play: Play) => void;
  /** A viewer who consented gave a sign of life. */
  readonly seen: (viewer: Viewer) => void;
  /** Viewers were erased: so is what they were asked. */
  readonly forget: (viewers: readonly string[]) => void;
  /** Changes what a sequence model answers from the next question on; undefined without a model. */
  readonly adapt: ((adaptation: Adaptation) => void) | undefined;
  /** Trains a challenger within its deadline; resolves with the outcome. */
  readonly retrain: (run: Parameters<ModelLife['retrain']>[0], signal: AbortSignal) => Promise<string>;
  /** Every minute. */
  readonly sweep: () => Promise<void>;
  /** Writes down the counters of popularity, and of the rest what is due, or all of it. */
  readonly save: (isLast?: boolean) => void;
  readonly close: () => Promise<void>;
};

const SNAPSHOT = 'popularity';
/** What came out within it is new, and its rise is no drift. */
const LAUNCH_MS = 14 * 86_400_000;
/** The model beside the champion, which nobody waits for. */
const SHADOW_NICENESS = 15;
const SHADOW_DEADLINE_MS = 1_000;
/** Watches that one training reads, and how many at once: some milliseconds of the viewers' thread. */
const MAX_WATCHES = 1_000_000;
const WATCH_PAGE = 4_000;

const isNumeric = ({ regions }: PopularitySnapshot): boolean =>
  regions
    .flatMap(({ total, squares, titles }) => [total, squares, ...titles.map(([, value, at]) => ({ value, at }))])
    .every(({ value, at }) => Number.isFinite(value) && Number.isFinite(at));

/** Counters as they were saved; those that cannot be read begin anew, whole: they are learnt again in days. */
function restorePopularity({ snapshots, now, log }: PredictionOptions): Popularity {
  const empty = () => createPopularity({ halfLifeMs: DEFAULT_HALF_LIFE_MS });
  const text = snapshots.get(SNAPSHOT);
  if (text === undefined) return empty();
  try {
    const popularity = empty();
    popularity.merge(JSON.parse(text));
    if (!isNumeric(popularity.snapshot(now()))) throw new TypeError('a counter is no number');
    return popularity;
  } catch (error) {
    log('warn', 'popularity.unreadable', { message: String(error) });
    return empty();
  }
}

/** The models of a node: the one that answers, the one beside it, and who decides between them. */
type Models = {
  readonly runtime: ModelRuntime;
  readonly shadow: ModelRuntime;
  readonly keeper: ChampionKeeper;
  readonly life: ModelLife;
};

/** What the life of models needs of the rooms that are opened after it. */
type Late = { questions?: Questions; drift?: DriftWatch };

/** Opens the registry and what lives on it; one that cannot be written leaves plain rules. */
async function openModels(options: PredictionOptions, late: Late, memory: Memory): Promise<Models | undefined> {
  const { log, modelsDir, now, retrain } = options;
  const opened: { life?: ModelLife } = {};
  const failed = (error: unknown) => log('error', 'model.registry', { message: String(error) });
  const runtime = openSwapping({
    log,
    deadlineMs: options.deadlineMs,
    onDisabled: (modelVersion, reason) => void opened.life?.gaveUp(modelVersion, reason).catch(failed),
  });
  const shadow = openRuntime({ log, deadlineMs: SHADOW_DEADLINE_MS, niceness: SHADOW_NICENESS });
  try {
    const registry = await openRegistry(modelsDir);
    const keeper = keepChampion(registry, runtime, now);
    const life: ModelLife = openLife({
      ...{ registry, keeper, shadow, now, log },
      isAutomatic: retrain.promotion === 'auto',
      leastReachRatio: retrain.minReachRatio,
      train: (seed, signal) =>
        trainApart(
          {
            questions: late.questions?.answered() ?? [],
            interactions: interactionsOf(options.watches),
            titles: options.titles(),
            scorer: keeper.current()?.weights,
          },
          {
            ...{ seed, signal, log, pace: options.pace },
            ...{ deadlineMs: retrain.minutes * 60_000, maxRssBytes: retrain.maxBytes },
            onProgress: (ratio) => life.progress(ratio),
          },
        ),
      onRanked: (bin) => late.drift?.ranked(bin),
      kept: memory.read('life'),
    });
    opened.life = life;
    // Loading takes a moment; until then plain code answers.
    keeper
      .start()
      .then((champion) => {
        log('info', 'model.champion', { modelVersion: champion?.modelVersion ?? null });
        return life.start();
      })
      .catch(failed);
    return { runtime, shadow, keeper, life };
  } catch (error) {
    failed(error);
    await Promise.all([runtime.close(), shadow.close()]);
    return undefined;
  }
}

function openDrift(options: PredictionOptions, predictor: Predictor, memory: Memory): DriftWatch {
  const { now, log } = options;
  return openDriftWatch({
    shares: predictor.shares,
    isLaunch: (titleId) => now() - (predictor.releaseOf(titleId) ?? 0) < LAUNCH_MS,
    chance: () => randomInt(2 ** 32) / 2 ** 32,
    now,
    onDrift: (what, { ratio, kind }) => log('warn', 'predict.drift', { what, ratio, kind }),
    kept: memory.read('drift'),
  });
}

/** Watches as training takes them, page by page: by day and pseudonym, weighed by how much was watched. */
function* interactionsOf(watches: PredictionOptions['watches']): Generator<readonly Interaction[]> {
  let after: WatchRow | undefined;
  for (let left = MAX_WATCHES; left > 0; left -= WATCH_PAGE) {
    const rows = watches({ after, limit: WATCH_PAGE });
    after = rows.at(-1);
    if (after === undefined) return;
    yield rows.map(({ day, pseudonym, titleId, bucket }) => ({
      viewer: `${day} ${pseudonym}`,
      titleId,
      at: day * 86_400_000,
      weight: (WATCH_BUCKETS.indexOf(bucket) + 1) / WATCH_BUCKETS.length,
    }));
  }
}

const shown = (alias: string, runtime: ModelRuntime) => {
  const { state, modelVersion } = runtime.stats();
  return state === 'ready' && modelVersion !== undefined ? [{ alias, version: modelVersion.slice(0, 12) }] : [];
};

function askedOf(runtime: ModelRuntime | undefined): ReturnType<Prediction['asked']> {
  const { answered, late, refused, failed } = runtime?.stats() ?? { answered: 0, late: 0, refused: 0, failed: 0 };
  return { answered, late, refused, failed };
}

/** Opens prediction. The model loads behind it; until it is there, plain code answers. */
export async function openPrediction(options: PredictionOptions): Promise<Prediction> {
  const popularity = restorePopularity(options);
  const { similarRegions: file } = options;
  if (file) await startFromSimilar(popularity, { ...options, file, now: options.now() });
  const late: Late = {};
  const memory = openMemory({ documents: options.snapshots, ...options });
  const models = options.hasModel ? await openModels(options, late, memory) : undefined;
  const transitions = createTransitions(memory.read('transitions'));
  const predictor = openPredictor({
    ...{ titles: options.titles, catalogueVersion: options.catalogueVersion, popularity, region: options.region },
    ...{ runtime: models?.runtime, champion: models?.keeper.current, transitions, now: options.now },
    tables: () => models?.keeper.current()?.tables,
  });
  const drift = openDrift(options, predictor, memory);
  const questions = openQuestions({
    rank: predictor.score,
    onAnswered: (question) => models?.life.answered(question),
    now: options.now,
  });
  Object.assign(late, { questions, drift } satisfies Late);
  const seconds = { model: newHistogram(), rules: newHistogram() };
  const parts = {
    life: () => models?.life.kept(),
    drift: drift.kept,
    transitions: () => transitions.kept(options.now()),
  };
  return {
    ...{ predictor, popularity, seconds, questions, drift, life: models?.life, adapt: models?.runtime.adapt },
    rank: async (question) => {
      const startedAt = performance.now();
      const ranking = await predictor.rank(question);
      observe(seconds[ranking.answeredBy], (performance.now() - startedAt) / 1000);
      return ranking;
    },
    models: () =>
      models === undefined
        ? []
        : [...shown('champion', models.runtime), ...shown(models.life.report().other?.role ?? 'none', models.shadow)],
    asked: () => askedOf(models?.runtime),
    childRestarts: () => (models?.runtime.stats().crashes ?? 0) + (models?.shadow.stats().crashes ?? 0),
    played: ({ titleId, at, weight }) => {
      popularity.add({ titleId, region: options.region, at, weight }, options.now());
      drift.played(titleId);
    },
    // Without a model nothing is compared or trained, and nothing need be asked.
    seen: (viewer) => models && questions.seen(viewer),
    forget: (viewers) => {
      const gone = new Set(viewers);
      questions.forget(gone);
      models?.life.forget(gone);
      // What was kept of them is in a sum: it is written anew without.
      memory.save(parts, 'due');
    },
    retrain: async (run, signal) => (await models?.life.retrain(run, signal)) ?? 'off',
    sweep: async () => {
      drift.sweep();
      questions.sweep();
      await models?.life.sweep();
    },
    save: (isLast = false) => {
      options.snapshots.put(SNAPSHOT, JSON.stringify(popularity.snapshot(options.now())));
      memory.save(parts, isLast ? 'all' : 'due');
    },
    close: async () => {
      predictor.close();
      models?.life.setPaused(true);
      await Promise.all([models?.runtime.close(), models?.shadow.close()]);
    },
  };
}
