// `nearcast experiment`: lists, starts, stops and removes experiments of a running node, and shows what they found.
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { ask, at, list, misused, number, type Parsed, parse, print, text } from './ask.ts';
import type { Command, Io } from './command.ts';
import { SOCKET_USAGE } from './socket.ts';

const OPTIONS = {
  json: { type: 'boolean' },
  html: { type: 'string' },
  layer: { type: 'string' },
  from: { type: 'string' },
  to: { type: 'string' },
  ramp: { type: 'string' },
  variants: { type: 'string' },
} as const;

/** "control=default:0.5,bandit=linucb:0.5" in parts; undefined where one is malformed. */
function variantsOf(described: string): readonly object[] | undefined {
  const parts = described.split(',').map((part) => /^([\w-]+)=([\w-]+):(0?\.\d+|[01](?:\.0*)?)$/.exec(part.trim()));
  const variants = parts.flatMap((part) =>
    part === null ? [] : [{ name: part[1], policy: part[2], share: Number(part[3]) }],
  );
  return variants.length === parts.length ? variants : undefined;
}

/** Options that are numbers, under their keys in the call; undefined where one is no number. */
function numbersOf(parsed: Parsed): Readonly<Record<string, number>> | undefined {
  const keys = { from: 'from', to: 'to', ramp: 'rampRatio' };
  const given = Object.entries(keys).flatMap(([option, key]) => {
    const value = text(parsed.values[option]);
    return value === undefined ? [] : [[key, Number(value)] as const];
  });
  return given.every(([, value]) => Number.isFinite(value)) ? Object.fromEntries(given) : undefined;
}

async function start(id: string, io: Io, parsed: Parsed): Promise<number> {
  const variants = variantsOf(text(parsed.values['variants']) ?? '');
  if (variants === undefined) return misused(io, 'start takes --variants NAME=POLICY:SHARE,NAME=POLICY:SHARE');
  const numbers = numbersOf(parsed);
  if (numbers === undefined) return misused(io, '--from, --to and --ramp are numbers of 0 to 1');
  const layer = text(parsed.values['layer']);
  const body = { id, variants, ...(layer === undefined ? {} : { layer }), ...numbers };
  return print(io, await ask(io, parsed, { method: 'POST', path: '/experiments/start', body }));
}

const interval = (value: unknown): string =>
  typeof value === 'object' && value !== null
    ? `${number(at(value, 'estimate')).toPrecision(3)} (${number(at(value, 'low')).toPrecision(3)} to ${number(at(value, 'high')).toPrecision(3)})`
    : 'too little';

/** Renders GET /experiments/report?id= for people. */
export function renderExperiment(report: unknown): string {
  const lines = [
    `${String(at(report, 'id'))}: ${at(report, 'ratio', 'isSound') === true ? 'shares as planned' : 'SHARES ARE NOT AS PLANNED: nothing below counts'}`,
    ...list(at(report, 'variants')).map(
      (variant) =>
        `  ${String(at(variant, 'name')).padEnd(20)} ${String(at(variant, 'policy')).padEnd(12)} ${number(at(variant, 'units'))} sessions`,
    ),
    ...list(at(report, 'comparisons')).flatMap((one) => [
      `${String(at(one, 'metric'))}, ${String(at(one, 'variant'))}: ${String(at(one, 'verdict'))}`,
      `  difference, at every look   ${interval(at(one, 'difference'))}`,
      `  adjusted, at the end        ${interval(at(one, 'adjusted'))}`,
      `  double machine learning     ${interval(at(one, 'learned'))}${at(one, 'placebo', 'isSound') === true ? '' : '  (a placebo found something: do not believe it)'}`,
    ]),
  ];
  return `${lines.join('\n')}\n`;
}

/** Renders GET /experiments/report for people. */
export function renderPolicies(report: unknown): string {
  const slots = list(at(report, 'slots'));
  if (slots.length === 0) return 'Nothing was chosen yet, so there is nothing to tell.\n';
  const lines = slots.flatMap((slot) => [
    `${String(at(slot, 'slot'))}: ${number(at(slot, 'choices'))} choices, mean reward ${number(at(slot, 'reward')).toPrecision(3)}`,
    ...list(at(slot, 'policies')).map((one) => {
      const name = `  ${String(at(one, 'policy')).padEnd(10)}`;
      const size = Math.round(number(at(one, 'estimate', 'effectiveCount')));
      return at(one, 'estimate', 'isDecidable') === true
        ? `${name} DR ${interval(at(one, 'estimate', 'dr'))}  SNIPS ${interval(at(one, 'estimate', 'snips'))}  of ${size} effective choices`
        : `${name} too little to tell: ${size} effective choices`;
    }),
  ]);
  return `${lines.join('\n')}\n`;
}

async function report(id: string | undefined, io: Io, parsed: Parsed): Promise<number> {
  const file = text(parsed.values['html']);
  const query = new URLSearchParams({
    ...(id === undefined ? {} : { id }),
    ...(file === undefined ? {} : { as: 'html' }),
  });
  const answer = await ask(io, parsed, { method: 'GET', path: `/experiments/report?${query}` });
  if (file !== undefined) {
    writeFileSync(resolve(io.cwd, file), String(at(answer, 'html')));
    return 0;
  }
  if (parsed.values['json'] === true) return print(io, answer);
  io.stdout.write(id === undefined ? renderPolicies(answer) : renderExperiment(answer));
  return 0;
}

/** `nearcast experiment`. */
export const experimentCommand: Command = {
  name: 'experiment',
  summary: 'List, start, stop and report experiments with previews',
  usage: `Usage: nearcast experiment list
       nearcast experiment start ID --variants NAME=POLICY:SHARE,... [--ramp 0..1] [--layer NAME] [--from 0..1] [--to 0..1]
       nearcast experiment stop|remove ID
       nearcast experiment report [ID] [--json | --html FILE]
       nearcast experiment priors
${SOCKET_USAGE}

A policy is default (always the first cut), linucb, thompson, uniform, the id of a module's ranker, or holdout (no preview).
The first variant is the control. Without ID, report tells what other policies would have earned; priors prints what this
region learnt, for preview.priors of others. Only viewers who consented are in an experiment.`,
  run: async (args, io) => {
    const parsed = parse(args, OPTIONS);
    const [action, id] = parsed.positionals;
    if (action === 'list') return print(io, await ask(io, parsed, { method: 'GET', path: '/experiments' }));
    if (action === 'priors') return print(io, await ask(io, parsed, { method: 'GET', path: '/priors' }));
    if (action === 'report') return report(id, io, parsed);
    if (id === undefined) return misused(io, 'experiment takes list, start ID, stop ID, remove ID or report [ID]');
    if (action === 'start') return start(id, io, parsed);
    if (action !== 'stop' && action !== 'remove') return misused(io, `experiment cannot ${action}`);
    return print(io, await ask(io, parsed, { method: 'POST', path: `/experiments/${action}`, body: { id } }));
  },
};
