// Anyone's own arms, moment scorers and rankers: JavaScript or TypeScript files that the configuration names, loaded at
// start. This file is the whole interface; what a module gets wrong is refused at start or left out of one answer.
import { pathToFileURL } from 'node:url';
import { HOLDOUT } from '../experiment/assign.ts';
import { POLICIES } from './bandit.ts';
import type { Features } from './descriptor.ts';
import { ARMS } from './moments.ts';

/** Features of a moment, 0..1 by name, as FEATURE_NAMES of descriptor.ts lists them. */
export type MomentFeatures = Features;

/** A cut of its own: the moments of a title with the highest scores, by the ranks of their features among its own. */
export type ModuleArm = { readonly id: string; readonly score: (ranks: MomentFeatures) => number };

/** Adds its score to that of every arm but `opening`: an editor's eye for what is worth showing. Around -1..1. */
export type MomentScorer = { readonly id: string; readonly score: (features: MomentFeatures) => number };

/** What a ranker is asked: the taste (absent without consent), the arms, and what the node itself expects of each. */
export type RankerQuestion = {
  readonly context: ArrayLike<number> | undefined;
  readonly arms: readonly { readonly id: string; readonly features: ArrayLike<number> }[];
  readonly expected: readonly number[];
  readonly deviations: readonly number[];
};

/** Chooses: gives each arm its chance, sum 1. The node mixes them with its floor, draws, logs and learns. */
export type Ranker = { readonly id: string; readonly propensities: (question: RankerQuestion) => readonly number[] };

/** What a module file exports as `nearcast`. */
export type PreviewModule = {
  readonly version: 1;
  readonly arms?: readonly ModuleArm[];
  readonly momentScorers?: readonly MomentScorer[];
  readonly rankers?: readonly Ranker[];
};

/** All modules together. */
export type PreviewModules = {
  readonly arms: readonly ModuleArm[];
  readonly momentScorers: readonly MomentScorer[];
  readonly rankers: readonly Ranker[];
};

const ID = /^[a-z0-9][a-z0-9-]{0,63}$/;
/** Names that are taken. */
const OWN: readonly string[] = ['default', HOLDOUT, ...POLICIES, ...ARMS, 'editor'];

/**
 * Loads module files in their order. Rejects with an Error that names the file and what is wrong: it cannot be loaded, it
 * has another version, an id is malformed or taken, a function is missing.
 */
export async function loadModules(files: readonly string[]): Promise<PreviewModules> {
  const loaded: PreviewModules[] = [];
  const taken = new Set(OWN);
  for (const file of files) {
    const module: unknown = await import(pathToFileURL(file).href);
    const content = memberOf(module, 'nearcast');
    if (memberOf(content, 'version') !== 1) throw new Error(`${file}: expected an export "nearcast" with version 1`);
    const where = { file, content, taken };
    loaded.push({
      arms: readList(where, 'arms', (item): item is ModuleArm => isFunction(item, 'score')),
      momentScorers: readList(where, 'momentScorers', (item): item is MomentScorer => isFunction(item, 'score')),
      rankers: readList(where, 'rankers', (item): item is Ranker => isFunction(item, 'propensities')),
    });
  }
  return {
    arms: loaded.flatMap(({ arms }) => arms),
    momentScorers: loaded.flatMap(({ momentScorers }) => momentScorers),
    rankers: loaded.flatMap(({ rankers }) => rankers),
  };
}

function memberOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}

const isFunction = (item: unknown, key: string): boolean => typeof memberOf(item, key) === 'function';

/** One list of a module; an id may be taken once among all lists of all modules. */
function readList<Item extends { readonly id: string }>(
  { file, content, taken }: { readonly file: string; readonly content: unknown; readonly taken: Set<string> },
  name: string,
  isItem: (item: unknown) => item is Item,
): readonly Item[] {
  const list = memberOf(content, name) ?? [];
  if (!Array.isArray(list)) throw new Error(`${file}: "${name}" must be a list`);
  const items: readonly unknown[] = list;
  return items.map((item, index) => {
    const id = memberOf(item, 'id');
    if (typeof id !== 'string' || !ID.test(id)) throw new Error(`${file}: ${name}[${index}] needs an id like "my-arm"`);
    if (taken.has(id)) throw new Error(`${file}: the id "${id}" is taken`);
    if (!isItem(item)) throw new Error(`${file}: ${name}[${index}] ("${id}") lacks its function`);
    taken.add(id);
    return item;
  });
}
