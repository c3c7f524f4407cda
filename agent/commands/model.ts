// `nearcast model`: which models there are and how they fare; promote one, go back, train a new one.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { AgentError } from '../errors.ts';
import { ask, at, awaitJob, list, misused, number, type Parsed, parse, print, text } from './ask.ts';
import { type Command, EXIT_FAILED, type Io } from './command.ts';
import { SOCKET_USAGE } from './socket.ts';

const SHOWN_LETTERS = 12;
const METRICS = ['hitRatio10', 'rulesHitRatio10', 'auc'];

const day = (ms: unknown): string => new Date(number(ms)).toISOString().slice(0, 16).replace('T', ' ');

function modelLine(model: unknown): string {
  const aliases = list(at(model, 'aliases')).map(String).join(', ');
  const metrics = METRICS.flatMap((name) => {
    const value = at(model, 'metrics', name);
    return typeof value === 'number' ? [`${name} ${value.toFixed(3)}`] : [];
  });
  const made = `${String(at(model, 'kind'))}, ${String(at(model, 'trainedOn'))}, ${day(at(model, 'createdAt'))}`;
  return `  ${String(at(model, 'sha256')).slice(0, SHOWN_LETTERS)}  ${aliases.padEnd(10)}  ${made}  ${metrics.join(', ')}`;
}

function driftText(report: unknown, what: string): string {
  const ratio = at(report, 'drift', what, 'ratio');
  if (typeof ratio !== 'number') return `${what} not compared yet`;
  const isDrifting = at(report, 'drift', what, 'isDrifting') === true;
  return `${what} ${ratio.toFixed(2)} of what chance allows${isDrifting ? ' DRIFT' : ''}`;
}

/** Renders the answer of GET /models. Missing keys show as nothing, so an older node can still be read. */
function renderModels(report: unknown): string {
  const [trial, other, run] = [at(report, 'trial'), at(report, 'other'), at(report, 'lastRun')];
  const ndcg = at(trial, 'otherNdcg');
  const beside =
    other === null || other === undefined
      ? 'nothing beside the champion'
      : `${String(at(other, 'role'))} ${String(at(other, 'version')).slice(0, SHOWN_LETTERS)}${typeof ndcg === 'number' ? ` at ${ndcg.toFixed(3)}` : ''}`;
  const lines = [
    ...list(at(report, 'models')).map(modelLine),
    '',
    `  trial     ${number(at(trial, 'questions'))} questions of ${number(at(trial, 'viewers'))} viewers, champion at ${number(at(trial, 'championNdcg')).toFixed(3)} NDCG@10; ${beside}; decided at ${number(at(trial, 'nextLook'))}`,
    `  drift     ${driftText(report, 'demand')}, ${driftText(report, 'rank')}; forecasts trusted ${number(at(report, 'drift', 'trust'))}`,
    `  training  ${at(report, 'isPaused') === true ? 'paused; ' : ''}${run === undefined ? 'not yet' : `last ${day(at(run, 'at'))}: ${String(at(run, 'outcome'))} ${String(at(run, 'message'))}`}`,
  ];
  return `${lines.join('\n').trimEnd()}\n`;
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new AgentError('AGENT_CONTROL_REFUSED', `${file} cannot be read as JSON (${String(cause)})`, { cause });
  }
}

async function retrain(io: Io, parsed: Parsed): Promise<number> {
  const seed = text(parsed.values['seed']);
  const body = seed === undefined ? {} : { seed: Number(seed) };
  const begun = await ask(io, parsed, { method: 'POST', path: '/models/retrain', body });
  const done = await awaitJob(io, parsed, begun, (progress) =>
    io.stderr.write(`training: ${Math.floor(number(at(progress, 'ratio')) * 100)} %\n`),
  );
  print(io, done);
  return at(done, 'outcome') === 'trained' || at(done, 'outcome') === 'same' ? 0 : EXIT_FAILED;
}

/** What `nearcast model` can be told to do. */
const ACTIONS: Readonly<Record<string, (io: Io, parsed: Parsed) => Promise<number>>> = {
  list: async (io, parsed) => {
    const report = await ask(io, parsed, { method: 'GET', path: '/models' });
    if (parsed.values['json'] === true) return print(io, report);
    io.stdout.write(renderModels(report));
    return 0;
  },
  promote: async (io, parsed) => {
    const model = parsed.positionals[1];
    if (model === undefined) return misused(io, 'model promote takes the hash of a model, or its beginning');
    return print(io, await ask(io, parsed, { method: 'POST', path: '/models/promote', body: { model } }));
  },
  rollback: async (io, parsed) => print(io, await ask(io, parsed, { method: 'POST', path: '/models/rollback' })),
  adapt: async (io, parsed) => {
    const file = parsed.positionals[1];
    if (file === undefined) return misused(io, 'model adapt takes a file of JSON');
    return print(
      io,
      await ask(io, parsed, { method: 'POST', path: '/models/adapt', body: readJson(resolve(io.cwd, file)) }),
    );
  },
  retrain,
};

/** `nearcast model`. */
export const modelCommand: Command = {
  name: 'model',
  summary: 'List models and how they fare; promote one, roll back, train anew',
  usage: `Usage: nearcast model list [--json]|promote HASH|rollback|retrain [--seed N]|adapt FILE ${SOCKET_USAGE}

  list      stored models, the trial on live questions, drift, the last training
  promote   makes a stored model the champion at once, without a trial
  rollback  makes the model before it the champion; the present one is removed
  retrain   trains a challenger now, and waits for it; exit code 1 when there is none at the end
  adapt     changes a sequence model's answers at once, until the node stops: {"bias": {"TITLE": 1.5}}, in standard
            deviations of its scores, and {"adapter": {"down": [...], "up": [...]}} of its width by its rank; {}: none`,
  run: async (args, io) => {
    const parsed = parse(args, { json: { type: 'boolean' }, seed: { type: 'string' } });
    const name = parsed.positionals[0] ?? 'list';
    const action = Object.hasOwn(ACTIONS, name) ? ACTIONS[name] : undefined;
    return action === undefined ? misused(io, `model knows ${Object.keys(ACTIONS).join(', ')}`) : action(io, parsed);
  },
};
