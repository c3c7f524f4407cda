// Trains a model on what a site's own viewers did: the data in order of time, the last part kept for the figures. A
// scorer learns from live questions; where enough was watched, a sequence model learns beside it. The same data and seed
// give the same files.
import { createHash } from 'node:crypto';
import type { PredictTitle } from '../predict/catalogue-index.ts';
import { embedMetadata } from '../predict/embed.ts';
import { RULES } from '../predict/rank.ts';
import { RANKER_FILES } from '../predict/ranker-files.ts';
import { type ScorerWeights, scoreRows } from '../predict/scorer.ts';
import type { TitleEmbeddings } from '../predict/tables.ts';
import { byScorer, evaluate } from '../train/evaluate.ts';
import type { Interaction } from '../train/interactions.ts';
import { trainRanker } from '../train/ranker.ts';
import { trainInSteps } from '../train/scorer.ts';
import { encodeScorer } from '../train/scorer-model.ts';
import { type DataWindow, SCORER_FILE } from './manifest.ts';
import { mixed, openSequence } from './sequence.ts';
import type { TrainExample, TrainedModel } from './train-messages.ts';
import { gainAt, placeOf } from './trial.ts';

/** Answered questions, and viewers, below which no scorer is trained. */
const LEAST_QUESTIONS = 500;
const LEAST_VIEWERS = 20;
/** Titles watched below which no sequence model is trained: facts of fewer are better told by counting. */
const LEAST_INTERACTIONS = 5_000;
/** Of the questions, the last ones in time, for the figures alone. */
const HELD_BACK_RATIO = 0.2;
/** Weights of the sequence model that are tried on held-back questions; with fewer of those than LEAST_TRIED, the first. */
const SEQUENCE_WEIGHTS = [0.5, 0.25, 1, 2] as const;
const LEAST_TRIED = 200;
/** Questions that the sequence model is tried on at once. */
const BATCH = 32;
const DAY_MS = 86_400_000;

/** All that there is to learn from. */
export type SiteData = {
  readonly questions: readonly TrainExample[];
  readonly interactions: readonly Interaction[];
  /** The catalogue; empty: titles that nobody has watched have no place. */
  readonly titles: readonly PredictTitle[];
  /** The champion's, where there is one of plain weights. */
  readonly scorer: ScorerWeights | undefined;
};

/** Called between two steps with how far training is, 0..1; training waits for it. */
export type Breathe = (ratio: number) => Promise<void>;

/** There is not enough to learn from. */
export class TooLittle extends Error {}

const byTime = (one: { readonly at: number }, other: { readonly at: number }): number => one.at - other.at;

/** A number that a text always gives and that says nothing of it: FNV-1a, 32 bits. */
function hashed(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

/**
 * Everything watched, in order. What is on disk has no order within a day: it is given one that means nothing, or the
 * order of titles would be learnt. From the first live question on whose history is known only those count, which know
 * the order.
 */
function watchedOf({ questions, interactions }: SiteData): readonly Interaction[] {
  const known = questions.filter(({ history }) => history.length > 0);
  const first = known.reduce((least, { at }) => Math.min(least, at), Number.POSITIVE_INFINITY);
  const stored = interactions
    .filter(({ at }) => at + DAY_MS <= first)
    .map((interaction) => ({ interaction, place: hashed(`${interaction.viewer} ${interaction.titleId}`) }))
    .sort((one, other) => byTime(one.interaction, other.interaction) || one.place - other.place)
    .map(({ interaction }) => interaction);
  const seen = new Set<string>();
  const live = known.toSorted(byTime).flatMap(({ viewer, at, history, titleIds, chosen }): Interaction[] => {
    const before = seen.has(viewer)
      ? []
      : history.map((titleId, back) => ({ viewer, titleId, at: at - 1 - back, weight: 1 }));
    seen.add(viewer);
    const titleId = titleIds[chosen];
    return [...before.reverse(), ...(titleId === undefined ? [] : [{ viewer, titleId, at, weight: 1 }])];
  });
  return [...stored, ...live.sort(byTime)];
}

function describeData(examples: readonly TrainExample[], watched: readonly Interaction[]): DataWindow {
  const hash = createHash('sha256');
  for (const { at, chosen, titleIds, features, history } of examples) {
    hash.update(`${at} ${chosen} ${titleIds.join('\n')} ${history.join('\n')}\n`);
    hash.update(new Uint8Array(features.buffer, features.byteOffset, features.byteLength));
  }
  for (const { viewer, titleId, at, weight } of watched) hash.update(`${viewer} ${titleId} ${at} ${weight}\n`);
  const times = [...examples, ...watched].map(({ at }) => at);
  return {
    from: times.reduce((least, at) => Math.min(least, at), times[0] ?? 0),
    to: times.reduce((most, at) => Math.max(most, at), times[0] ?? 0),
    viewers: new Set([...examples, ...watched].map(({ viewer }) => viewer)).size,
    examples: examples.length + watched.length,
    sha256: hash.digest('hex'),
  };
}

type TrainedScorer = { readonly scorer: ScorerWeights; readonly metrics: Readonly<Record<string, number>> };

/** A scorer of the questions; undefined when they are too few. */
async function scorerOf(
  train: readonly TrainExample[],
  test: readonly TrainExample[],
  { seed, breathe }: { readonly seed: number; readonly breathe: Breathe },
): Promise<TrainedScorer | undefined> {
  const viewers = new Set(train.map(({ viewer }) => viewer)).size;
  if (train.filter(({ chosen }) => chosen >= 0).length < LEAST_QUESTIONS || viewers < LEAST_VIEWERS) return undefined;
  const steps = trainInSteps(train, { seed });
  for (;;) {
    const step = steps.next();
    if (step.done !== true) {
      await breathe(step.value);
      continue;
    }
    const own = evaluate(test, byScorer(step.value));
    const rules = evaluate(test, byScorer(RULES));
    const metrics = {
      testQuestions: own.questions,
      coverageRatio: own.coverageRatio,
      hitRatio1: own.hitRatio1,
      hitRatio10: own.hitRatio10,
      auc: own.auc,
      reachRatio: own.reachRatio,
      rulesHitRatio1: rules.hitRatio1,
      rulesHitRatio10: rules.hitRatio10,
      rulesAuc: rules.auc,
    };
    return { scorer: step.value, metrics };
  }
}

/** The weight of the sequence model that orders held-back questions best, and how well it does; the scorer alone beside. */
async function weigh(
  files: ReadonlyMap<string, Uint8Array>,
  scorer: ScorerWeights,
  test: readonly TrainExample[],
): Promise<{ readonly weight: number; readonly metrics: Readonly<Record<string, number>> }> {
  const [first] = SEQUENCE_WEIGHTS;
  if (test.length < LEAST_TRIED) return { weight: first, metrics: {} };
  const file = (name: string): Uint8Array => files.get(name) ?? new Uint8Array(0);
  const { titles, ease, sequence } = RANKER_FILES;
  const model = await openSequence({ titles: file(titles), ease: file(ease), graph: file(sequence) });
  const sums = new Map<number, number>([0, ...SEQUENCE_WEIGHTS].map((weight) => [weight, 0]));
  for (let start = 0; start < test.length; start += BATCH) {
    const batch = test.slice(start, start + BATCH);
    const beside = await model.score(batch);
    batch.forEach(({ features, titleIds, chosen }, at) => {
      const own = scoreRows(scorer, features, titleIds.length);
      for (const [weight, sum] of sums) {
        const scores = mixed(own, beside[at]?.blend ?? own, weight);
        sums.set(weight, sum + gainAt(placeOf(scores, chosen)) / test.length);
      }
    });
  }
  await model.close();
  const [best = first] = SEQUENCE_WEIGHTS.toSorted((one, other) => (sums.get(other) ?? 0) - (sums.get(one) ?? 0));
  return {
    weight: best,
    metrics: { ndcg10WithSequence: sums.get(best) ?? 0, ndcg10WithoutSequence: sums.get(0) ?? 0 },
  };
}

function metadataOf(titles: readonly PredictTitle[]): { readonly metadata?: TitleEmbeddings } {
  if (titles.length === 0) return {};
  const steps = embedMetadata(titles);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return { metadata: step.value };
  }
}

/** Trains what there is enough for. Rejects with TooLittle, and with what `breathe` rejects with. */
export async function trainOnSite(data: SiteData, seed: number, breathe: Breathe): Promise<TrainedModel> {
  const examples = data.questions.toSorted(byTime);
  const watched = watchedOf(data);
  const isSequence = watched.length >= LEAST_INTERACTIONS;
  const cut = Math.floor(examples.length * (1 - HELD_BACK_RATIO));
  const [train, test] = [examples.slice(0, cut), examples.slice(cut)];
  const share = isSequence ? 0.1 : 1;
  const own = await scorerOf(train, test, { seed, breathe: (ratio) => breathe(ratio * share) });
  const scorer = own?.scorer ?? (isSequence ? data.scorer : undefined);
  if (scorer === undefined) {
    throw new TooLittle(
      `${examples.length} questions and ${watched.length} titles watched; ${LEAST_QUESTIONS} answered questions of ${LEAST_VIEWERS} viewers are needed`,
    );
  }
  const described = { data: describeData(examples, isSequence ? watched : []), scorer };
  const scorerFile = [SCORER_FILE, encodeScorer(scorer)] as const;
  if (!isSequence) return { kind: 'scorer', files: [scorerFile], metrics: own?.metrics ?? {}, ...described };
  const onProgress = (ratio: number) => breathe(share + ratio * (1 - share));
  const ranker = await trainRanker(watched, { seed, onProgress, ...metadataOf(data.titles) });
  const withHistory = test.filter(({ history }) => history.length > 0);
  const { weight, metrics } = await weigh(ranker.files, scorer, withHistory);
  return {
    kind: 'sequence',
    files: [scorerFile, ...ranker.files],
    metrics: { ...own?.metrics, ...ranker.metrics, ...metrics },
    sequenceWeight: weight,
    ...described,
  };
}
