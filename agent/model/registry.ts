// Models on disk: one folder for each, named by the sha256 of its file and never changed, and aliases that point to
// them. A model that is missing, cut short or altered is never run: the one before it is, or none.
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError } from '../errors.ts';
import { isSoundScorer, type ScorerWeights } from '../predict/scorer.ts';
import { encodeScorer } from '../train/scorer-model.ts';

/** What a model is, written beside it as manifest.json. Readers refuse other versions. */
export type ModelManifest = {
  readonly version: 1;
  readonly kind: 'scorer';
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly features: readonly string[];
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** What it was trained on: `synthetic` for the model that ships, `site` for one of the site's own events. */
  readonly trainedOn: 'synthetic' | 'site';
  /** Quality figures by name, as measured on a later time than it was trained on. */
  readonly metrics: Readonly<Record<string, number>>;
  /** The model it was trained from. */
  readonly parent?: string;
  /** The same weights for plain code; believed only if they encode to the very file. */
  readonly scorer?: ScorerWeights;
};

/** Aliases of models. */
export const ALIASES = ['champion', 'challenger'] as const;
/** One of ALIASES. */
export type Alias = (typeof ALIASES)[number];

/** Why a model of the registry is not run. */
export type ModelProblem = {
  readonly sha256: string;
  readonly why: 'missing' | 'truncated' | 'wrong-hash' | 'bad-manifest';
};

/** A model whose bytes were checked. */
export type VerifiedModel = { readonly sha256: string; readonly path: string; readonly manifest: ModelManifest };

/** An alias followed: the model, if any is sound, and what was wrong with those before it. */
export type Resolved = { readonly model: VerifiedModel | undefined; readonly problems: readonly ModelProblem[] };

/** An open registry. */
export type ModelRegistry = {
  /** The alias's newest sound model: the present one, else those that were it before, newest first. */
  readonly resolve: (alias: Alias, except?: ReadonlySet<string>) => Promise<Resolved>;
  /** Stores a model under its hash, once; resolves with the hash. Rejects with AGENT_MODEL_STORE. */
  readonly add: (bytes: Uint8Array, about: ModelAbout) => Promise<string>;
  /** Points an alias to a stored model. Rejects with AGENT_MODEL_UNKNOWN or AGENT_MODEL_STORE. */
  readonly point: (alias: Alias, sha256: string) => Promise<void>;
  /** Every stored model's manifest, oldest first, and the aliases. */
  readonly list: () => Promise<{ readonly models: readonly ModelManifest[]; readonly aliases: AliasFile }>;
};

/** A manifest but for what its bytes say. */
export type ModelAbout = Omit<ModelManifest, 'version' | 'kind' | 'sha256' | 'sizeBytes'>;

/** aliases.json: per alias the hashes that were it, newest first. */
export type AliasFile = { readonly version: 1 } & Readonly<Record<Alias, readonly string[]>>;

const HASH = /^[0-9a-f]{64}$/;
/** Earlier champions that stay on disk, to go back to. */
const MAX_HISTORY = 5;
const NO_ALIASES: AliasFile = { version: 1, champion: [], challenger: [] };

const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

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
    add: async (bytes, about) => {
      const sha256 = hashOf(bytes);
      if ('manifest' in (await verify(sha256))) return sha256;
      const manifest: ModelManifest = { version: 1, kind: 'scorer', sha256, sizeBytes: bytes.length, ...about };
      await storing(dir, () => writeModel(dir, bytes, manifest));
      return sha256;
    },
    point: async (alias, sha256) => {
      const checked = await verify(sha256);
      if (!('manifest' in checked)) {
        throw new AgentError('AGENT_MODEL_UNKNOWN', `Model ${sha256} is ${checked.why} in ${dir}; add it first.`);
      }
      const aliases = await readAliases(dir);
      const history = [sha256, ...aliases[alias].filter((old) => old !== sha256)].slice(0, MAX_HISTORY);
      const updated: AliasFile = { ...aliases, [alias]: history };
      const kept = new Set(ALIASES.flatMap((name) => updated[name]));
      await storing(dir, async () => {
        await writeWhole(join(dir, 'aliases.json'), JSON.stringify(updated, undefined, 2));
        const dropped = aliases[alias].filter((old) => !kept.has(old));
        for (const old of dropped) await rm(join(dir, old), { recursive: true, force: true });
      });
    },
    list: async () => {
      const names = (await readdir(dir)).filter((name) => HASH.test(name));
      const manifests = await Promise.all(names.map((name) => readManifest(dir, name)));
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

async function writeModel(dir: string, bytes: Uint8Array, manifest: ModelManifest): Promise<void> {
  const folder = join(dir, manifest.sha256);
  const beside = `${folder}.${randomUUID()}.tmp`;
  await mkdir(beside);
  await writeWhole(join(beside, 'model.onnx'), bytes);
  await writeWhole(join(beside, 'manifest.json'), JSON.stringify(manifest));
  // A folder that is there already did not verify, or add() would have ended before.
  await rm(folder, { recursive: true, force: true });
  await rename(beside, folder);
}

/** Removes what writes that were cut short have left. */
async function sweep(dir: string): Promise<void> {
  const leftovers = (await readdir(dir)).filter((name) => name.endsWith('.tmp'));
  for (const name of leftovers) await rm(join(dir, name), { recursive: true, force: true });
}

async function readAliases(dir: string): Promise<AliasFile> {
  const text = await readFile(join(dir, 'aliases.json'), 'utf8').catch(() => undefined);
  const read = parsed(text);
  if (read?.['version'] !== 1) return NO_ALIASES;
  const hashes = (alias: Alias): readonly string[] => {
    const list = read[alias];
    return Array.isArray(list) ? list.filter((one): one is string => typeof one === 'string' && HASH.test(one)) : [];
  };
  return { version: 1, champion: hashes('champion'), challenger: hashes('challenger') };
}

/** A JSON object, or undefined for anything else: what cannot be read counts as not there. */
function parsed(text: string | undefined): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text ?? '');
    // Sound: an object that is not null has string keys and unknown values.
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

async function readManifest(dir: string, sha256: string): Promise<ModelManifest | undefined> {
  const text = await readFile(join(dir, sha256, 'manifest.json'), 'utf8').catch(() => undefined);
  const read = parsed(text);
  const isKnown = read?.['version'] === 1 && read['kind'] === 'scorer' && read['sha256'] === sha256;
  const features = read?.['features'];
  const isSound =
    isKnown &&
    Number.isSafeInteger(read['sizeBytes']) &&
    Number.isFinite(read['createdAt']) &&
    Array.isArray(features) &&
    features.every((name) => typeof name === 'string');
  // Sound: the fields that are relied on were checked above; `scorer` is checked before it is used.
  return isSound ? (read as unknown as ModelManifest) : undefined;
}

async function verifyModel(dir: string, sha256: string): Promise<VerifiedModel | ModelProblem> {
  const path = join(dir, sha256, 'model.onnx');
  const size = await stat(path).then(
    (found) => found.size,
    () => undefined,
  );
  if (size === undefined) return { sha256, why: 'missing' };
  const manifest = await readManifest(dir, sha256);
  if (manifest === undefined) return { sha256, why: 'bad-manifest' };
  if (size < manifest.sizeBytes) return { sha256, why: 'truncated' };
  const bytes = await readFile(path).catch(() => undefined);
  if (bytes === undefined) return { sha256, why: 'missing' };
  return hashOf(bytes) === sha256 ? { sha256, path, manifest } : { sha256, why: 'wrong-hash' };
}

/** The weights of a model for plain code, if its manifest has them and they are those of the file. */
export function plainWeights({ sha256, manifest }: VerifiedModel): ScorerWeights | undefined {
  const { scorer } = manifest;
  try {
    if (scorer === undefined || scorer.version !== 1 || !isSoundScorer(scorer)) return undefined;
    return hashOf(encodeScorer(scorer)) === sha256 ? scorer : undefined;
  } catch {
    // A manifest of another shape than this reader knows: then there are no weights to be had from it.
    return undefined;
  }
}
