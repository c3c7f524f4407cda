// The training process: takes its data in portions, trains at the pace that it is told, answers with a model and ends.
// Started by agent/model/retrain.ts with fork(); it ends when its parent does.
import type { PredictTitle } from '../predict/catalogue-index.ts';
import type { ScorerWeights } from '../predict/scorer.ts';
import type { Interaction } from '../train/interactions.ts';
import type { FromTrainer, ToTrainer, TrainExample } from './train-messages.ts';
import { TooLittle, trainOnSite } from './training.ts';

/** Between two words of progress, which also let messages in. */
const TURN_MS = 100;

const questions: TrainExample[] = [];
const interactions: Interaction[] = [];
const titles: PredictTitle[] = [];
/** Names as they came first: each portion has its own copies, which for a million interactions would be 100 MB. */
const names = new Map<string, string>();
let pace = 1;
let paceChanged: () => void = () => undefined;

function known(name: string): string {
  const first = names.get(name);
  if (first === undefined) names.set(name, name);
  return first ?? name;
}

const say = (message: FromTrainer): Promise<void> =>
  new Promise((resolve) => {
    // The parent may have gone this moment; `disconnect` then ends this process.
    if (process.connected) process.send?.(message, undefined, {}, () => resolve());
    else resolve();
  });

let workedSince = performance.now();

/** Rests as long as the pace asks for what was worked since the last rest. */
async function breathe(ratio: number): Promise<void> {
  const worked = performance.now() - workedSince;
  if (worked < TURN_MS) return;
  void say({ version: 1, type: 'progress', ratio });
  const restMs = pace > 0 ? worked * (1 / pace - 1) : 0;
  await new Promise((resolve) => setTimeout(resolve, restMs));
  while (pace <= 0) {
    await new Promise<void>((resolve) => {
      paceChanged = resolve;
    });
  }
  workedSince = performance.now();
}

async function train(seed: number, scorer: ScorerWeights | undefined): Promise<void> {
  try {
    const model = await trainOnSite({ questions, interactions, titles, scorer }, seed, breathe);
    await say({ version: 1, type: 'progress', ratio: 1 });
    await say({ version: 1, type: 'trained', model });
  } catch (error) {
    const why = error instanceof TooLittle || error instanceof RangeError ? 'too-little' : 'error';
    await say({ version: 1, type: 'failed', why, message: error instanceof Error ? error.message : String(error) });
  }
  process.disconnect();
}

const handlers: { readonly [T in ToTrainer['type']]: (message: Extract<ToTrainer, { type: T }>) => unknown } = {
  questions: (message) => questions.push(...message.questions),
  titles: (message) => titles.push(...message.titles),
  interactions: (message) => {
    for (const { viewer, titleId, at, weight } of message.interactions) {
      interactions.push({ viewer: known(viewer), titleId: known(titleId), at, weight });
    }
  },
  train: ({ seed, scorer }) => train(seed, scorer),
  pace: (message) => {
    pace = message.pace;
    paceChanged();
  },
};

process.on('disconnect', () => process.exit(0));
process.on('SIGINT', () => undefined);
process.on('message', (message: ToTrainer) => {
  if (message.version !== 1) process.exit(1);
  // Sound: the table has for every type the handler of that type, which the compiler cannot tie together.
  const handle = handlers[message.type] as (message: ToTrainer) => unknown;
  handle(message);
});
