// Sees to it that the best sound model runs: the champion, else the one before it, else none; and that a site without
// one starts from the model that ships.
import { FEATURE_NAMES } from '../predict/features.ts';
import { isSoundScorer, type ScorerWeights } from '../predict/scorer.ts';
import { encodeScorer } from '../train/scorer-model.ts';
import { type ModelRegistry, plainWeights, type VerifiedModel } from './registry.ts';
import type { ModelRuntime } from './runtime.ts';
import seed from './seed-scorer.json' with { type: 'json' };

/** The model that runs, and its weights for plain code where they are known. */
export type Champion = { readonly modelVersion: string; readonly weights: ScorerWeights | undefined };

/** Keeps the champion running. */
export type ChampionKeeper = {
  /**
   * Makes the shipped model the champion where the site has none, or only one that shipped earlier; then loads the
   * champion. Rejects with AGENT_MODEL_STORE.
   */
  readonly start: () => Promise<Champion | undefined>;
  /** Never that model again (until restart): loads the one before it. For the runtime's onDisabled. */
  readonly giveUp: (modelVersion: string) => Promise<Champion | undefined>;
  readonly current: () => Champion | undefined;
};

type Seed = { readonly scorer: ScorerWeights; readonly metrics: Readonly<Record<string, number>> };

/** The shipped model: weights trained by test/bench/train-seed.ts on synthetic viewers, with what they measured. */
export function seedModel(): Seed {
  // Sound: the file is written by the project's own trainer; the test of this file and isSoundScorer() check it.
  return seed as Seed;
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
    current = model && { modelVersion: model.sha256, weights: plainWeights(model) };
    await runtime.load(model && { path: model.path, modelVersion: model.sha256, features: model.manifest.features });
    return current;
  };
  const storeSeed = async (): Promise<void> => {
    const { scorer, metrics } = seedModel();
    if (!isSoundScorer(scorer) || !hasOurFeatures(scorer)) return;
    const about = { features: scorer.features, createdAt: now(), trainedOn: 'synthetic' as const, metrics, scorer };
    await registry.point('champion', await registry.add(encodeScorer(scorer), about));
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
    current: () => current,
  };
}
