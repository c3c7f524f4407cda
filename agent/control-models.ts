// What the control socket answers of models: which there are and how they fare, promote, roll back, train.
import type { ControlCall, ControlInput, ControlReply } from './control.ts';
import { bad, type Controlled, keyOf, OFF, ok, textOf } from './control-input.ts';
import { AgentError } from './errors.ts';
import type { ModelLife } from './model/life-contract.ts';
import type { Adaptation } from './model/sequence.ts';

const NO_MODEL: ControlReply = { status: 409, json: { error: 'this node runs without a model (predict.enabled)' } };
const BUSY: ControlReply = { status: 503, json: { error: 'too many jobs run; try again when one has ended' } };
/** Letters of a hash that name a model, at least. */
const LEAST_LETTERS = 8;
/** Titles with a bias, and numbers of one side of an adapter. */
const MAX_BIASES = 20_000;
const MAX_ADAPTER = 65_536;
/** Of a job: how long an answer is held back for it. */
const MAX_WAIT_MS = 1_000;

async function list({ agent }: Controlled, life: ModelLife): Promise<ControlReply> {
  if (agent === undefined) return OFF;
  const { drift, questions } = agent.prediction;
  return ok({
    running: agent.prediction.models(),
    ...life.report(),
    drift: { ...drift.last(), trust: drift.trust() },
    questions: questions.stats(),
    models: await life.list(),
  });
}

/** The stored model whose hash begins so. */
async function findModel(life: ModelLife, begin: string): Promise<string | undefined> {
  const found = (await life.list()).filter(({ sha256 }) => sha256.startsWith(begin));
  return found.length === 1 ? found[0]?.sha256 : undefined;
}

async function changed(change: () => Promise<void>, life: ModelLife): Promise<ControlReply> {
  try {
    await change();
    return ok({ champion: life.report().champion ?? null });
  } catch (error) {
    if (error instanceof AgentError) return { status: 409, json: { error: error.message, code: error.code } };
    throw error;
  }
}

async function promote(life: ModelLife, { body }: ControlInput): Promise<ControlReply> {
  const begin = textOf(body, 'model') ?? '';
  if (begin.length < LEAST_LETTERS) return bad(`model is a hash, or its first ${LEAST_LETTERS} letters at least`);
  const sha256 = await findModel(life, begin);
  if (sha256 === undefined) return { status: 404, json: { error: `no model, or several, begin with ${begin}` } };
  return await changed(() => life.promote(sha256), life);
}

async function retrain({ agent, jobs }: Controlled, life: ModelLife, { body }: ControlInput): Promise<ControlReply> {
  if (agent === undefined) return OFF;
  const seed = keyOf(body, 'seed') ?? 1;
  if (typeof seed !== 'number' || !Number.isSafeInteger(seed)) return bad('seed is a whole number');
  const job = await jobs.start(
    'retrain',
    async (tell, signal) => {
      const timer = setInterval(() => tell({ ratio: life.report().training?.ratio ?? 0 }), MAX_WAIT_MS);
      try {
        const outcome = await agent.prediction.retrain({ seed, isUrgent: true }, signal);
        const { lastRun } = life.report();
        return lastRun?.outcome === outcome ? lastRun : { outcome };
      } finally {
        clearInterval(timer);
      }
    },
    MAX_WAIT_MS,
  );
  return job === undefined ? BUSY : ok(job);
}

const isFiniteNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);
const numbersOf = (value: unknown): readonly number[] | undefined =>
  Array.isArray(value) && value.length <= MAX_ADAPTER && value.every(isFiniteNumber) ? value : undefined;

/** What is to be added to a sequence model, or undefined for anything else. */
function adaptationOf(body: unknown): Adaptation | undefined {
  const bias = keyOf(body, 'bias') ?? {};
  const adapter = keyOf(body, 'adapter');
  const [down, up] = [numbersOf(keyOf(adapter, 'down')), numbersOf(keyOf(adapter, 'up'))];
  if (typeof bias !== 'object' || bias === null || Array.isArray(bias)) return undefined;
  const entries: readonly [string, unknown][] = Object.entries(bias);
  const known = entries.filter((entry): entry is [string, number] => isFiniteNumber(entry[1]));
  if (known.length < entries.length || known.length > MAX_BIASES) return undefined;
  if (adapter === undefined) return { bias: Object.fromEntries(known) };
  return down === undefined || up === undefined
    ? undefined
    : { bias: Object.fromEntries(known), adapter: { down, up } };
}

function adapt({ agent }: Controlled, { body }: ControlInput): ControlReply {
  const adaptation = adaptationOf(body);
  if (adaptation === undefined)
    return bad('bias is an object of numbers by title, adapter { down, up } lists of numbers');
  agent?.prediction.adapt?.(adaptation);
  return ok({ biases: Object.keys(adaptation.bias).length, hasAdapter: adaptation.adapter !== undefined });
}

/** The calls below /models. */
export function modelCalls(controlled: Controlled): readonly ControlCall[] {
  const withLife =
    (answer: (life: ModelLife, input: ControlInput) => Promise<ControlReply>): ControlCall['answer'] =>
    (input) => {
      const { agent } = controlled;
      if (agent === undefined) return OFF;
      return agent.prediction.life === undefined ? NO_MODEL : answer(agent.prediction.life, input);
    };
  return [
    { method: 'GET', path: '/models', answer: withLife((life) => list(controlled, life)) },
    { method: 'POST', path: '/models/promote', answer: withLife(promote) },
    { method: 'POST', path: '/models/rollback', answer: withLife((life) => changed(life.rollBack, life)) },
    { method: 'POST', path: '/models/adapt', answer: withLife(async (_life, input) => adapt(controlled, input)) },
    { method: 'POST', path: '/models/retrain', answer: withLife((life, input) => retrain(controlled, life, input)) },
  ];
}
