// The predictor with what keeps it alive: counters of popularity on disk, the champion model in its process, and how
// long answers took.
import type { Log } from '../cache/cache.ts';
import { newHistogram, type Observed, observe } from './histogram.ts';
import { type ChampionKeeper, keepChampion } from './model/champion.ts';
import { openPredictor, type Predictor, type Ranking, type RankQuestion } from './model/predictor.ts';
import { openRegistry } from './model/registry.ts';
import { type ModelRuntime, openRuntime } from './model/runtime.ts';
import type { PredictTitle } from './predict/catalogue-index.ts';
import {
  createPopularity,
  DEFAULT_HALF_LIFE_MS,
  type Popularity,
  type PopularitySnapshot,
} from './predict/popularity.ts';

/** Where the counters are kept: one document by name. */
export type SnapshotStore = {
  readonly get: (name: string) => string | undefined;
  readonly put: (name: string, json: string) => void;
};

/** What openPrediction() needs. */
export type PredictionOptions = {
  readonly titles: () => Iterable<PredictTitle>;
  readonly catalogueVersion: () => number;
  readonly region: string;
  readonly modelsDir: string;
  /** False: rules alone, and no process. */
  readonly hasModel: boolean;
  readonly deadlineMs: number;
  readonly snapshots: SnapshotStore;
  readonly now: () => number;
  readonly log: Log;
};

/** What the node asks of prediction. */
export type Prediction = {
  readonly rank: (question: RankQuestion) => Promise<Ranking>;
  readonly predictor: Predictor;
  readonly popularity: Popularity;
  readonly seconds: Readonly<Record<'model' | 'rules', Observed>>;
  /** The model that answers now, if one does. */
  readonly models: () => readonly { readonly alias: string; readonly version: string }[];
  readonly childRestarts: () => number;
  /** Writes the counters of popularity down. */
  readonly save: () => void;
  readonly close: () => Promise<void>;
};

const SNAPSHOT = 'popularity';

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

/** Keeps the champion running in its process; a registry that cannot be written leaves plain rules. */
async function openModel(
  options: PredictionOptions,
): Promise<{ readonly runtime: ModelRuntime; readonly keeper: ChampionKeeper } | undefined> {
  const { log, modelsDir, now } = options;
  let keeper: ChampionKeeper | undefined;
  const runtime = openRuntime({
    log,
    deadlineMs: options.deadlineMs,
    onDisabled: (modelVersion, reason) => {
      log('warn', 'model.given-up', { modelVersion, reason });
      keeper
        ?.giveUp(modelVersion)
        .catch((error: unknown) => log('error', 'model.registry', { message: String(error) }));
    },
  });
  try {
    keeper = keepChampion(await openRegistry(modelsDir), runtime, now);
  } catch (error) {
    log('error', 'model.registry', { message: String(error) });
    await runtime.close();
    return undefined;
  }
  // Loading takes a moment; until then plain code answers.
  keeper.start().then(
    (champion) => log('info', 'model.champion', { modelVersion: champion?.modelVersion ?? null }),
    (error: unknown) => log('error', 'model.registry', { message: String(error) }),
  );
  return { runtime, keeper };
}

/** Opens prediction. The model loads behind it; until it is there, plain code answers. */
export async function openPrediction(options: PredictionOptions): Promise<Prediction> {
  const popularity = restorePopularity(options);
  const model = options.hasModel ? await openModel(options) : undefined;
  const predictor = openPredictor({
    titles: options.titles,
    catalogueVersion: options.catalogueVersion,
    popularity,
    region: options.region,
    runtime: model?.runtime,
    champion: model?.keeper.current,
    now: options.now,
  });
  const seconds = { model: newHistogram(), rules: newHistogram() };
  return {
    predictor,
    popularity,
    seconds,
    rank: async (question) => {
      const startedAt = performance.now();
      const ranking = await predictor.rank(question);
      observe(seconds[ranking.answeredBy], (performance.now() - startedAt) / 1000);
      return ranking;
    },
    models: () => {
      const stats = model?.runtime.stats();
      return stats?.state === 'ready' && stats.modelVersion !== undefined
        ? [{ alias: 'champion', version: stats.modelVersion.slice(0, 12) }]
        : [];
    },
    childRestarts: () => model?.runtime.stats().crashes ?? 0,
    save: () => options.snapshots.put(SNAPSHOT, JSON.stringify(popularity.snapshot(options.now()))),
    close: async () => {
      predictor.close();
      await model?.runtime.close();
    },
  };
}
