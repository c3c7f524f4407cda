// Models on disk: one folder for each, named by the sha256 of its file and never changed, and aliases that point to
// them. A model that is missing, cut short or altered is never run: the one before it is, or none.
import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError } from '../errors.ts';
import { isSoundScorer, type ScorerWeights } from '../predict/scorer.ts';
import { encodeScorer } from '../train/scorer-model.ts';
import {
  describeFiles,
  isHash,
  MANIFEST_VERSION,
  type ModelAbout,
  type ModelFiles,
  type ModelManifest,
  modelHash,
  parseObject,
  readManifest,
  SCORER_FILE,
  sha256Of,
} from './manifest.ts';

/** Aliases of models. */
export const ALIASES = ['champion', 'challenger'] as const;
/** One of ALIASES. */
export type Alias = (typeof ALIASES)[number];

/** Why a model of the registry is not run. */
export type ModelProblem = {
  readonly sha256: string;
  readonly why: 'missing' | 'truncated' | 'wrong-hash' | 'bad-manifest';
};

/** A model whose bytes were checked; `dir` holds its files. */
export type VerifiedModel = { readonly sha256: string; readonly dir: string; readonly manifest: ModelManifest };

/** An alias followed: the model, if any is sound, and what was wrong with those before it. */
export type Resolved = { readonly model: VerifiedModel | undefined; readonly problems: readonly ModelProblem[] };

/** An open registry. */
export type ModelRegistry = {
  /** The alias's newest sound model: the present one, else those that were it before, newest first. */
  readonly resolve: (alias: Alias, except?: ReadonlySet<string>) => Promise<Resolved>;
  /** Stores a model under its hash, once; resolves with the hash. Rejects with AGENT_MODEL_STORE. */
  readonly add: (files: ModelFiles, about: ModelAbout) => Promise<string>;
  /** Points an alias to a stored model. Rejects with AGENT_MODEL_UNKNOWN or AGENT_MODEL_STORE. */
  readonly point: (alias: Alias, sha256: string) => Promise<void>;
  /** Takes a model out of an alias; one that no alias names any more is removed. Rejects with AGENT_MODEL_STORE. */
  readonly withdraw: (alias: Alias, sha256: string) => Promise<void>;
  /** Every stored model's manifest, oldest first, and the aliases. */
  readonly list: () => Promise<{ readonly models: readonly ModelManifest[]; readonly aliases: AliasFile }>;
};

/** aliases.json: per alias the hashes that were it, newest first. */
export type AliasFile = { readonly version: 1 } & Readonly<Record<Alias, readonly string[]>>;

/** Earlier champions that stay on disk, to go back to. */
const MAX_HISTORY = 5;
const NO_ALIASES: AliasFile = { version: 1, champion: [], challenger: [] };

/** Opens (and makes) `dir`, which one process at a time may write. Rejects with AGENT_MODEL_STORE when it cannot be made. */
export async function openRegistry(dir: string): Promise<ModelRegistry> {
  await storing(dir, async () => {
    await mkdir(dir, { recursive: true });
    await sweep(dir);
  });
  const verify = (sha256: string) => verifyModel(dir, sha256);

  return {
    resolve: async (alias, except = new Set()) => {
      const problems: ModelProblem[] = [];
      for (const sha256 of (await readAliases(dir))[alias]) {
        if (except.has(sha256)) continue;
        const checked = await verify(sha256);
        if ('manifest' in checked) return { model: checked, problems };
        problems.push(checked);
      }
      return { model: undefined, problems };
    },
    add: async (files, about) => {
      const described = describeFiles(files);
      const sha256 = modelHash(described);
      if ('manifest' in (await verify(sha256))) return sha256;
      const manifest: ModelManifest = { version: MANIFEST_VERSION, sha256, files: described, ...about };
      await storing(dir, () => writeModel(dir, files, manifest));
      return sha256;
    },
    point: async (alias, sha256) => {
      const checked = await verify(sha256);
      if (!('manifest' in checked)) {
        throw new AgentError('AGENT_MODEL_UNKNOWN', `Model ${sha256} is ${checked.why} in ${dir}; add it first.`);
      }
      const aliases = await readAliases(dir);
      const history = [sha256, ...aliases[alias].filter((old) => old !== sha256)].slice(0, MAX_HISTORY);
      await storing(dir, () => writeAliases(dir, aliases, { ...aliases, [alias]: history }));
    },
    withdraw: async (alias, sha256) => {
      const aliases = await readAliases(dir);
      const history = aliases[alias].filter((old) => old !== sha256);
      await storing(dir, () => writeAliases(dir, aliases, { ...aliases, [alias]: history }));
    },
    list: async () => {
      const names = (await readdir(dir)).filter(isHash);
      const manifests = await Promise.all(names.map((name) => manifestOf(dir, name)));
      const models = manifests.filter((manifest) => manifest !== undefined);
      return { models: models.sort((one, other) => one.createdAt - other.createdAt), aliases: await readAliases(dir) };
    },
  };
}

async function storing<T>(dir: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new AgentError(
      'AGENT_MODEL_STORE',
      `Cannot write models to ${dir}: check that it is writable and has room.`,
      {
        cause,
        retryable: true,
      },
    );
  }
}

/** Writes beside and renames, so that a reader sees the old file or the new one whole. */
async function writeWhole(path: string, content: Uint8Array | string): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  const file = await open(temporary, 'w');
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

async function writeModel(dir: string, files: ModelFiles, manifest: ModelManifest): Promise<void> {
  const folder = join(dir, manifest.sha256);
  const beside = `${folder}.${randomUUID()}.tmp`;
  await mkdir(beside);
  for (const [name, bytes] of files) await writeWhole(join(beside, name), bytes);
  await writeWhole(join(beside, 'manifest.json'), JSON.stringify(manifest));
  // A folder that is there already did not verify, or add() would have ended before.
  await rm(folder, { recursive: true, force: true });
  await rename(beside, folder);
}

/** Writes the aliases; then models that they no longer name are removed. */
async function writeAliases(dir: string, before: AliasFile, after: AliasFile): Promise<void> {
  const kept = new Set(ALIASES.flatMap((alias) => after[alias]));
  await writeWhole(join(dir, 'aliases.json'), JSON.stringify(after, undefined, 2));
  const dropped = ALIASES.flatMap((alias) => before[alias]).filter((old) => !kept.has(old));
  for (const old of dropped) await rm(join(dir, old), { recursive: true, force: true });
}

/** Removes what writes that were cut short have left. */
async function sweep(dir: string): Promise<void> {
  const leftovers = (await readdir(dir)).filter((name) => name.endsWith('.tmp'));
  for (const name of leftovers) await rm(join(dir, name), { recursive: true, force: true });
}

async function readAliases(dir: string): Promise<AliasFile> {
  const text = await readFile(join(dir, 'aliases.json'), 'utf8').catch(() => undefined);
  const read = parseObject(text);
  if (read?.['version'] !== 1) return NO_ALIASES;
  const hashes = (alias: Alias): readonly string[] => {
    const list = read[alias];
    return Array.isArray(list) ? list.filter(isHash) : [];
  };
  return { version: 1, champion: hashes('champion'), challenger: hashes('challenger') };
}

async function manifestOf(dir: string, sha256: string): Promise<ModelManifest | undefined> {
  return readManifest(await readFile(join(dir, sha256, 'manifest.json'), 'utf8').catch(() => undefined), sha256);
}

/** What is wrong with one file of a model; undefined: nothing. */
async function problemOf(path: string, file: ModelManifest['files'][string]): Promise<ModelProblem['why'] | undefined> {
  const size = await stat(path).then(
    (found) => found.size,
    () => undefined,
  );
  if (size === undefined) return 'missing';
  if (size < file.sizeBytes) return 'truncated';
  const bytes = await readFile(path).catch(() => undefined);
  if (bytes === undefined) return 'missing';
  return sha256Of(bytes) === file.sha256 ? undefined : 'wrong-hash';
}

async function verifyModel(dir: string, sha256: string): Promise<VerifiedModel | ModelProblem> {
  const folder = join(dir, sha256);
  const isThere = await stat(folder).then(
    () => true,
    () => false,
  );
  if (!isThere) return { sha256, why: 'missing' };
  const manifest = await manifestOf(dir, sha256);
  if (manifest === undefined) return { sha256, why: 'bad-manifest' };
  for (const [name, file] of Object.entries(manifest.files)) {
    const why = await problemOf(join(folder, name), file);
    if (why !== undefined) return { sha256, why };
  }
  return { sha256, dir: folder, manifest };
}

/** The weights of a model's scorer for plain code, if its manifest has them and they are those of the file. */
export function plainWeights({ manifest }: Pick<VerifiedModel, 'manifest'>): ScorerWeights | undefined {
  const { scorer } = manifest;
  try {
    if (scorer === undefined || scorer.version !== 1 || !isSoundScorer(scorer)) return undefined;
    return sha256Of(encodeScorer(scorer)) === manifest.files[SCORER_FILE]?.sha256 ? scorer : undefined;
  } catch {
    // A manifest of another shape than this reader knows: then there are no weights to be had from it.
    return undefined;
  }
}
