// The bandit as the node has it: its store, its secret, what other regions learnt, modules, and experiments that decide for
// some sessions. What players tell of previews comes in here.
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Log } from '../cache/cache.ts';
import type { Config } from './config.ts';
import { AgentError } from './errors.ts';
import { type Experiments, openExperiments } from './experiments.ts';
import { POLICIES } from './preview/bandit.ts';
import { type Prior, vaguePrior } from './preview/bandit-linear.ts';
import { type Bandit, openBandit, SLOTS } from './preview/bandit-room.ts';
import { loadModules, type PreviewModules } from './preview/modules.ts';
import { openPreviewStore } from './preview-store.ts';
import type { State } from './state.ts';
import type { ViewerEvent } from './telemetry/event.ts';
import type { Sessions } from './telemetry/sessions.ts';

/** An open bandit and what belongs to it. */
export type Bandits = {
  readonly bandit: Bandit;
  readonly experiments: Experiments;
  readonly modules: PreviewModules;
  /** Takes the reward token of an event, if it has one. */
  readonly told: (event: ViewerEvent) => void;
  /** What this region learnt, as a file for preview.priors of others. */
  readonly priors: () => object;
  readonly sweep: () => void;
  readonly close: () => void;
};

const DAY_MS = 86_400_000;
/** Priors are as many numbers as a model has coefficients; a file of this size holds hundreds of regions. */
const MOST_PRIOR_BYTES = 4_000_000;

/** What openBandits() needs. */
export type BanditsOptions = {
  readonly config: Config;
  readonly state: State;
  readonly sessions: Pick<Sessions, 'get'>;
  readonly durationOf: (titleId: string) => number | undefined;
  readonly now: () => number;
  readonly log: Log;
};

/** Opens the bandit. Rejects with AGENT_MODULE_INVALID for a module or a file of priors that cannot be used. */
export async function openBandits(options: BanditsOptions): Promise<Bandits> {
  const { config, state, sessions, durationOf, now, log } = options;
  const { preview, node } = config;
  const { modules, priors } = await readFiles(preview);
  const experiments = openExperiments({
    state,
    sessionOf: sessions.get,
    isPolicy: (policy) =>
      policy === 'default' || [...POLICIES, ...modules.rankers.map(({ id }) => id)].some((id) => id === policy),
    now,
    random: Math.random,
    log,
  });
  const bandit = openBandit({
    store: openPreviewStore(state, { region: node.region, now }),
    secret: secretOf(state),
    now,
    random: Math.random,
    prior: (slot, length) => priorOf(priors, { slot, region: node.region, length }) ?? vaguePrior(length),
    rankers: modules.rankers,
    assign: experiments.assign,
    exposed: experiments.exposed,
    settings: {
      ...preview,
      halfLifeMs: preview.halfLifeDays * DAY_MS,
      weights: preview.rewards,
      guard: { marginRatio: preview.guard.marginRatio, stopMs: preview.guard.stopDays * DAY_MS },
    },
  });
  const ids = { arms: modules.arms, momentScorers: modules.momentScorers, rankers: modules.rankers };
  if (preview.modules.length > 0)
    log(
      'info',
      'preview.modules',
      Object.fromEntries(Object.entries(ids).map(([name, list]) => [name, list.map(({ id }) => id)])),
    );
  const timer = setInterval(bandit.save, SAVE_MS);
  timer.unref();
  return {
    bandit,
    experiments,
    modules,
    told: ({ type, title, positionSeconds, rewardToken }) => {
      if (rewardToken !== undefined) bandit.told(rewardToken, { type, positionSeconds }, durationOf(title));
    },
    priors: () => {
      const slots = SLOTS.flatMap((slot) => {
        const prior = bandit.exportPrior(slot);
        return prior === undefined ? [] : [[slot, prior] as const];
      });
      return { version: 1, regions: { [node.region]: Object.fromEntries(slots) } };
    },
    sweep: () => {
      for (const arm of bandit.sweep()) log('warn', 'preview.arm-stopped', arm);
      experiments.sweep();
    },
    close: () => {
      clearInterval(timer);
      experiments.close();
      bandit.save();
    },
  };
}

/** Models are queued for the disk this often; a crash loses that much of them, and at most the state's own 2 s of rows. */
const SAVE_MS = 5_000;

function secretOf(state: State): Uint8Array {
  const known = state.secrets.get('preview');
  if (known !== undefined) return known;
  const drawn = randomBytes(32);
  state.secrets.set('preview', drawn);
  return drawn;
}

type Priors = Readonly<Record<string, unknown>>;

async function readFiles(preview: Config['preview']): Promise<{ modules: PreviewModules; priors: Priors }> {
  try {
    return { modules: await loadModules(preview.modules), priors: await readPriors(preview.priors) };
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new AgentError(
      'AGENT_MODULE_INVALID',
      `a file of preview.modules or preview.priors cannot be used: ${message}`,
      { cause },
    );
  }
}

async function readPriors(file: string | null): Promise<Priors> {
  if (file === null) return {};
  const text = await readFile(file, 'utf8');
  if (text.length > MOST_PRIOR_BYTES) throw new Error(`${file}: longer than ${MOST_PRIOR_BYTES} bytes`);
  const content: unknown = JSON.parse(text);
  const isSound = typeof content === 'object' && content !== null && Reflect.get(content, 'version') === 1;
  const regions: unknown = isSound ? Reflect.get(content, 'regions') : undefined;
  if (typeof regions !== 'object' || regions === null) throw new Error(`${file}: expected version 1 and "regions"`);
  return Object.fromEntries(Object.entries(regions));
}

/** The prior of a slot for looks of `length`: that of the region, else that of "*"; undefined for neither. */
function priorOf(priors: Priors, asked: { slot: string; region: string; length: number }): Prior | undefined {
  for (const region of [asked.region, '*']) {
    const slots = Object.hasOwn(priors, region) ? priors[region] : undefined;
    const found: unknown = typeof slots === 'object' && slots !== null ? Reflect.get(slots, asked.slot) : undefined;
    if (typeof found !== 'object' || found === null || Reflect.get(found, 'length') !== asked.length) continue;
    const size = 2 * asked.length + 2;
    const mean = doublesOf(Reflect.get(found, 'mean'), size);
    const precision = doublesOf(Reflect.get(found, 'precision'), size);
    if (mean !== undefined && precision?.every((value) => value > 0) === true) return { mean, precision };
  }
  return undefined;
}

function doublesOf(list: unknown, size: number): Float64Array | undefined {
  if (!Array.isArray(list) || list.length !== size) return undefined;
  const values = Float64Array.from(list, Number);
  return values.every(Number.isFinite) ? values : undefined;
}
