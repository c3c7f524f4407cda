// The model process: the only file that loads onnxruntime-node, because its native code can abort the process it is in.
// Started by agent/model/runtime.ts with fork(); it ends when its parent does.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { SCORER_INPUT, SCORER_OUTPUT } from '../train/scorer-model.ts';
import { type FromChild, MESSAGES_VERSION, type Refusal, type ToChild } from './messages.ts';

/** A model file larger than this is not read. */
const MAX_MODEL_BYTES = 512 * 1024 * 1024;

let session: InferenceSession | undefined;

const say = (message: FromChild): void => {
  // The parent may have gone this moment; `disconnect` then ends this process.
  if (process.connected) process.send?.(message, undefined, {}, () => undefined);
};

type Load = Extract<ToChild, { type: 'load' }>;
type Score = Extract<ToChild, { type: 'score' }>;

function refuse({ modelVersion }: Load, why: Refusal, cause: unknown): void {
  say({
    version: 1,
    type: 'refused',
    modelVersion,
    why,
    message: cause instanceof Error ? cause.message : String(cause),
  });
}

async function load(message: Load): Promise<void> {
  const startedAt = performance.now();
  let bytes: Buffer;
  try {
    bytes = await readFile(message.path);
  } catch (error) {
    return refuse(message, 'missing', error);
  }
  const hash = createHash('sha256').update(bytes).digest('hex');
  if (hash !== message.sha256 || bytes.length > MAX_MODEL_BYTES) {
    return refuse(message, 'wrong-hash', `the file's sha256 is ${hash}, ${bytes.length} bytes`);
  }
  try {
    // One thread: a score is a few microseconds of arithmetic, and the cores belong to viewers.
    session = await InferenceSession.create(bytes, {
      executionProviders: ['cpu'],
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      logSeverityLevel: 3,
    });
  } catch (error) {
    return refuse(message, 'unreadable', error);
  }
  if (!session.inputNames.includes(SCORER_INPUT) || !session.outputNames.includes(SCORER_OUTPUT)) {
    const names = `${session.inputNames.join()} -> ${session.outputNames.join()}`;
    session = undefined;
    return refuse(message, 'wrong-inputs', `expected ${SCORER_INPUT} -> ${SCORER_OUTPUT}, the model has ${names}`);
  }
  say({ version: 1, type: 'loaded', modelVersion: message.modelVersion, loadMs: performance.now() - startedAt });
}

async function score({ id, features, rows }: Score): Promise<void> {
  if (session === undefined) return say({ version: 1, type: 'failed', id, message: 'no model is loaded' });
  try {
    const width = rows > 0 ? features.length / rows : 0;
    const results = await session.run({ [SCORER_INPUT]: new Tensor('float32', features, [rows, width]) }, [
      SCORER_OUTPUT,
    ]);
    const output = results[SCORER_OUTPUT];
    const values = output?.data;
    if (output === undefined || !(values instanceof Float32Array)) {
      return say({ version: 1, type: 'failed', id, message: `output is ${output?.type ?? 'absent'}, not float32` });
    }
    say({ version: 1, type: 'scored', id, scores: values, dims: output.dims });
  } catch (error) {
    say({ version: 1, type: 'failed', id, message: error instanceof Error ? error.message : String(error) });
  }
}

const handlers: { readonly [T in ToChild['type']]: (message: Extract<ToChild, { type: T }>) => unknown } = {
  load,
  score,
  ping: ({ id }) => say({ version: 1, type: 'pong', id, rssBytes: process.memoryUsage.rss() }),
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
say({ version: 1, type: 'started' });
