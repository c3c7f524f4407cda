// The model process: onnxruntime's native code can abort the process it is in, so it has one of its own. Started by
// agent/model/runtime.ts with fork(); it ends when its parent does.
import { readFile } from 'node:fs/promises';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { SCORER_INPUT, SCORER_OUTPUT } from '../train/scorer-model.ts';
import { sha256Of } from './manifest.ts';
import { type FileToLoad, type FromChild, MESSAGES_VERSION, type Refusal, type ToChild } from './messages.ts';
import { mixed, openSequence, type Sequence, type SequenceScores } from './sequence.ts';

/** A model file larger than this is not read. */
const MAX_MODEL_BYTES = 512 * 1024 * 1024;
/** Questions that a sequence model answers at once. */
const MAX_BATCH = 32;

let scorer: InferenceSession | undefined;
let sequence: { readonly model: Sequence; readonly weight: number } | undefined;

const say = (message: FromChild): void => {
  // The parent may have gone this moment; `disconnect` then ends this process.
  if (process.connected) process.send?.(message, undefined, {}, () => undefined);
};

type Load = Extract<ToChild, { type: 'load' }>;
type Score = Extract<ToChild, { type: 'score' }>;

/** Why a file is not loaded. */
class Refused extends Error {
  readonly why: Refusal;

  constructor(why: Refusal, message: string) {
    super(message);
    this.why = why;
  }
}

/** The bytes of a file, if they are the ones that were meant. */
async function readChecked({ path, sha256 }: FileToLoad): Promise<Uint8Array> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw new Refused('missing', String(error));
  });
  const hash = sha256Of(bytes);
  if (hash === sha256 && bytes.length <= MAX_MODEL_BYTES) return bytes;
  throw new Refused('wrong-hash', `the file's sha256 is ${hash}, ${bytes.length} bytes`);
}

async function openScorer(file: FileToLoad): Promise<InferenceSession> {
  // One thread: a score is a few microseconds of arithmetic, and the cores belong to viewers.
  const session = await InferenceSession.create(await readChecked(file), {
    executionProviders: ['cpu'],
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    logSeverityLevel: 3,
  });
  if (session.inputNames.includes(SCORER_INPUT) && session.outputNames.includes(SCORER_OUTPUT)) return session;
  const names = `${session.inputNames.join()} -> ${session.outputNames.join()}`;
  throw new Refused('wrong-inputs', `expected ${SCORER_INPUT} -> ${SCORER_OUTPUT}, the model has ${names}`);
}

async function load(message: Load): Promise<void> {
  const startedAt = performance.now();
  const { modelVersion } = message;
  try {
    scorer = await openScorer(message.scorer);
    if (message.sequence !== undefined) {
      const { graph, titles, ease, weight } = message.sequence;
      const [graphBytes, titleBytes, easeBytes] = await Promise.all([graph, titles, ease].map(readChecked));
      const none = new Uint8Array(0);
      const files = { graph: graphBytes ?? none, titles: titleBytes ?? none, ease: easeBytes ?? none };
      sequence = { model: await openSequence(files), weight };
    }
    say({ version: 2, type: 'loaded', modelVersion, loadMs: performance.now() - startedAt });
  } catch (error) {
    scorer = undefined;
    const why = error instanceof Refused ? error.why : 'unreadable';
    say({
      version: 2,
      type: 'refused',
      modelVersion,
      why,
      message: error instanceof Error ? error.message : String(error),
    });
  }
}

/** Answers one question by the scorer, with what the sequence model says of it, if it was asked. */
async function answer({ id, features, rows }: Score, beside: SequenceScores | undefined): Promise<void> {
  if (scorer === undefined) return say({ version: 2, type: 'failed', id, message: 'no model is loaded' });
  const width = rows > 0 ? features.length / rows : 0;
  const results = await scorer.run({ [SCORER_INPUT]: new Tensor('float32', features, [rows, width]) }, [SCORER_OUTPUT]);
  const output = results[SCORER_OUTPUT];
  const values = output?.data;
  if (output === undefined || !(values instanceof Float32Array)) {
    return say({ version: 2, type: 'failed', id, message: `output is ${output?.type ?? 'absent'}, not float32` });
  }
  const scores = beside === undefined || sequence === undefined ? values : mixed(values, beside.blend, sequence.weight);
  say({ version: 2, type: 'scored', id, scores, dims: output.dims, ease: beside?.ease });
}

/** Scores of a batch by the sequence model, by question; none for those that it is not asked. */
async function sequenceScores(batch: readonly Score[]): Promise<ReadonlyMap<number, SequenceScores>> {
  const asked = batch.flatMap(({ id, about }) => (about === undefined ? [] : [{ id, about }]));
  if (sequence === undefined || asked.length === 0) return new Map();
  const scores = await sequence.model.score(asked.map(({ about }) => about));
  return new Map(
    asked.flatMap(({ id }, at) => {
      const own = scores[at];
      return own === undefined ? [] : [[id, own] as const];
    }),
  );
}

const waiting: Score[] = [];
let isAnswering = false;

/** Answers what waits, together as far as one run of the sequence model goes. */
async function answerAll(): Promise<void> {
  if (isAnswering) return;
  isAnswering = true;
  while (waiting.length > 0) {
    const batch = waiting.splice(0, MAX_BATCH);
    const beside = await sequenceScores(batch).catch((error: unknown) => {
      for (const { id } of batch) say({ version: 2, type: 'failed', id, message: String(error) });
      return undefined;
    });
    for (const question of beside === undefined ? [] : batch) {
      await answer(question, beside?.get(question.id)).catch((error: unknown) =>
        say({ version: 2, type: 'failed', id: question.id, message: String(error) }),
      );
    }
  }
  isAnswering = false;
}

const handlers: { readonly [T in ToChild['type']]: (message: Extract<ToChild, { type: T }>) => unknown } = {
  load,
  score: (message) => {
    waiting.push(message);
    // What came in the same turn is answered together.
    setImmediate(answerAll);
  },
  adapt: ({ adaptation }) => {
    try {
      sequence?.model.adapt(adaptation);
    } catch {
      // An adapter of another model's sizes: its answers stay as they were. Whoever sent it was told the sizes.
    }
  },
  ping: ({ id }) => say({ version: 2, type: 'pong', id, rssBytes: process.memoryUsage.rss() }),
};

process.on('disconnect', () => process.exit(0));
// A terminal's Ctrl-C reaches the whole process group; the parent decides when this process ends.
process.on('SIGINT', () => undefined);
process.on('message', (message: ToChild) => {
  if (message.version !== MESSAGES_VERSION) process.exit(1);
  // Sound: the table has for every type the handler of that type, which the compiler cannot tie together.
  const handle = handlers[message.type] as (message: ToChild) => unknown;
  handle(message);
});
say({ version: 2, type: 'started' });
