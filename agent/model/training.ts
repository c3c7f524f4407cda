// Trains a model on what a site's own viewers did: the data in order of time, the last part kept for the figures. The
// same data and seed give the same files.
import { createHash } from 'node:crypto';
import { RULES } from '../predict/rank.ts';
import { byScorer, evaluate } from '../train/evaluate.ts';
import { trainInSteps } from '../train/scorer.ts';
import { encodeScorer } from '../train/scorer-model.ts';
import { type DataWindow, SCORER_FILE } from './manifest.ts';
import type { TrainExample, TrainedModel } from './train-messages.ts';

/** Answered questions, and viewers, below which nothing is trained. */
const LEAST_QUESTIONS = 500;
const LEAST_VIEWERS = 20;
/** Of the questions, the last ones in time, for the figures alone. */
const HELD_BACK_RATIO = 0.2;

/** Called between two steps with how far training is, 0..1; training waits for it. */
export type Breathe = (ratio: number) => Promise<void>;

/** Why there is no model: a bounded word for logs and counters. */
export class TooLittle extends Error {}

function describeData(examples: readonly TrainExample[]): DataWindow {
  const hash = createHash('sha256');
  for (const { at, chosen, titleIds, features } of examples) {
    hash.update(`${at} ${chosen} ${titleIds.join('\n')}\n`);
    hash.update(new Uint8Array(features.buffer, features.byteOffset, features.byteLength));
  }
  return {
    from: examples[0]?.at ?? 0,
    to: examples.at(-1)?.at ?? 0,
    viewers: new Set(examples.map(({ viewer }) => viewer)).size,
    examples: examples.length,
    sha256: hash.digest('hex'),
  };
}

/** Trains a scorer. Rejects with TooLittle, and with what `breathe` rejects with. */
export async function trainOnSite(
  questions: readonly TrainExample[],
  seed: number,
  breathe: Breathe,
): Promise<TrainedModel & { readonly scorer: Parameters<typeof encodeScorer>[0] }> {
  const examples = questions.toSorted((one, other) => one.at - other.at);
  const data = describeData(examples);
  const cut = Math.floor(examples.length * (1 - HELD_BACK_RATIO));
  const [train, test] = [examples.slice(0, cut), examples.slice(cut)];
  const answered = train.filter(({ chosen }) => chosen >= 0).length;
  if (answered < LEAST_QUESTIONS || data.viewers < LEAST_VIEWERS) {
    throw new TooLittle(
      `${answered} answered questions of ${data.viewers} viewers; at least ${LEAST_QUESTIONS} of ${LEAST_VIEWERS} are needed`,
    );
  }
  const steps = trainInSteps(train, { seed });
  for (;;) {
    const step = steps.next();
    if (step.done !== true) {
      await breathe(step.value);
      continue;
    }
    const scorer = step.value;
    const own = evaluate(test, byScorer(scorer));
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
    return { files: [[SCORER_FILE, encodeScorer(scorer)]], data, metrics, scorer };
  }
}
