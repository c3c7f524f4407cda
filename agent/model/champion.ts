// Sees to it that the best sound model runs: the champion, else the one before it, else none; and that a site without
// one starts from the model that ships.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FEATURE_NAMES } from '../predict/features.ts';
import { RANKER_FILES, readEmbeddings, readNeighbours, readTitles } from '../predict/ranker-files.ts';
import { isSoundScorer, type ScorerWeights } from '../predict/scorer.ts';
import { encodeScorer } from '../train/scorer-model.ts';
import { SEED_RECIPE } from '../train/seed.ts';
import type { LearntTables } from './knowledge.ts';
import { type ModelFiles, type ModelKind, SCORER_FILE } from './manifest.ts';
import { type ModelRegistry, plainWeights, type VerifiedModel } from './registry.ts';
import type { ModelRuntime, RunnableModel } from './runtime-contract.ts';
import seed from './seed-scorer.json' with { type: 'json' };

/** The model that runs, and its weights for plain code where they are known. */
export type Champion = {
  readonly modelVersion: string;
  readonly weights: ScorerWeights | undefined;
  /** It is the one that ships, or was trained on the site's own viewers. */
  readonly trainedOn: 'synthetic' | 'site';
  readonly kind: ModelKind;
  /** What a sequence model's training learnt of titles, for candidates. */
  readonly tables: LearntTables | undefined;
};

/** Keeps the champion running. */
export type ChampionKeeper = {
  /**
   * Makes the shipped model the champion where the site has none, or only one that shipped earlier; then loads the
   * champion. Rejects with AGENT_MODEL_STORE.
   */
  readonly start: () => Promise<Champion | undefined>;
  /** Never that model again (until restart): loads the one before it. For the runtime's onDisabled. */
  readonly giveUp: (modelVersion: string) => Promise<Champion | undefined>;
  /** Loads what the alias points to now, after it was moved; a model that was given up has another chance. */
  readonly reload: () => Promise<Champion | undefined>;
  readonly current: () => Champion | undefined;
};

type Seed = { readonly scorer: ScorerWeights; readonly metrics: Readonly<Record<string, number>> };

/** The shipped model: weights trained by test/bench/train-seed.ts on synthetic viewers, with what they measured. */
export function seedModel(): Seed {
  // Sound: the file is written by the project's own trainer; the test of this file and isSoundScorer() check it.
  return seed as Seed;
}

/** Relative loss of HR@10 up to which the 8-bit form of a sequence model serves. */
const MOST_INT8_LOSS = 0.01;

/** Files of a model that is a scorer alone. */
export const scorerFiles = (scorer: ScorerWeights): ModelFiles => new Map([[SCORER_FILE, encodeScorer(scorer)]]);

/** What of a stored model its process loads. */
export function runnableOf({ sha256, dir, manifest }: VerifiedModel): RunnableModel {
  const file = (name: string) => ({ path: join(dir, name), sha256: manifest.files[name]?.sha256 ?? '' });
  const { features, kind, metrics, sequenceWeight: weight = 0 } = manifest;
  const model = { scorer: file(SCORER_FILE), modelVersion: sha256, features };
  if (kind === 'scorer') return model;
  const { titles, ease, sequence, sequenceInt8 } = RANKER_FILES;
  // Whole numbers of 8 bits take less time and memory; they serve where they were measured to cost next to nothing.
  const isSmall = (metrics['int8LossRatio'] ?? 1) <= MOST_INT8_LOSS && manifest.files[sequenceInt8] !== undefined;
  const graph = file(isSmall ? sequenceInt8 : sequence);
  return { ...model, sequence: { graph, titles: file(titles), ease: file(ease), weight } };
}

/** Larger tables are left to the model process: reading them would hold viewers up for too long. */
const MOST_TABLE_BYTES = 12 * 1024 * 1024;

/** What training learnt of titles; undefined where there is nothing, or too much of it. */
async function readTables({ dir, manifest }: VerifiedModel): Promise<LearntTables | undefined> {
  if (manifest.kind !== 'sequence') return undefined;
  const { titles, ease, embeddings } = RANKER_FILES;
  const read = async (name: string): Promise<Uint8Array | undefined> =>
    (manifest.files[name]?.sizeBytes ?? MOST_TABLE_BYTES + 1) <= MOST_TABLE_BYTES
      ? readFile(join(dir, name)).catch(() => undefined)
      : undefined;
  const [listed, near, places] = await Promise.all([titles, ease, embeddings].map(read));
  try {
    return {
      ...(listed && near && { neighbours: readNeighbours(near, readTitles(listed).titles) }),
      ...(places && { embeddings: readEmbeddings(places) }),
    };
  } catch {
    // Files of the right hash and the wrong sense: the model process will refuse them and say so.
    return undefined;
  }
}

const hasOurFeatures = ({ features }: { readonly features: readonly string[] }): boolean =>
  features.length === FEATURE_NAMES.length && FEATURE_NAMES.every((name, at) => features[at] === name);

/** Keeps `runtime` on the registry's champion. A model of other features than ours is passed over. */
export function keepChampion(registry: ModelRegistry, runtime: ModelRuntime, now: () => number): ChampionKeeper {
  const givenUp = new Set<string>();
  let current: Champion | undefined;

  const soundChampion = async (): Promise<VerifiedModel | undefined> => {
    for (;;) {
      const { model } = await registry.resolve('champion', givenUp);
      if (model === undefined || hasOurFeatures(model.manifest)) return model;
      givenUp.add(model.sha256);
    }
  };
  const loadBest = async (): Promise<Champion | undefined> => {
    const model = await soundChampion();
    current = model && {
      modelVersion: model.sha256,
      weights: plainWeights(model),
      trainedOn: model.manifest.trainedOn,
      kind: model.manifest.kind,
      tables: await readTables(model),
    };
    await runtime.load(model && runnableOf(model));
    return current;
  };
  const storeSeed = async (): Promise<void> => {
    const { scorer, metrics } = seedModel();
    if (!isSoundScorer(scorer) || !hasOurFeatures(scorer)) return;
    const about = { kind: 'scorer' as const, features: scorer.features, createdAt: now(), seed: SEED_RECIPE.seed };
    const files = scorerFiles(scorer);
    await registry.point('champion', await registry.add(files, { ...about, trainedOn: 'synthetic', metrics, scorer }));
  };

  return {
    start: async () => {
      const champion = await soundChampion();
      if (champion === undefined || champion.manifest.trainedOn === 'synthetic') await storeSeed();
      return await loadBest();
    },
    giveUp: async (modelVersion) => {
      givenUp.add(modelVersion);
      return await loadBest();
    },
    reload: async () => {
      givenUp.clear();
      return await loadBest();
    },
    current: () => current,
  };
}
