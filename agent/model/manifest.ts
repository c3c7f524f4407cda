// What a stored model says of itself, and the name that its bytes give it. Reads manifests that others may have damaged.
import { createHash } from 'node:crypto';
import type { ScorerWeights } from '../predict/scorer.ts';

/** Readers refuse other versions. */
export const MANIFEST_VERSION = 2;
/** `scorer`: features of candidates to scores. `sequence`: that, and a transformer over what a viewer opened before. */
export const MODEL_KINDS = ['scorer', 'sequence'] as const;
/** One of MODEL_KINDS. */
export type ModelKind = (typeof MODEL_KINDS)[number];

/** One file of a model's folder. */
export type ModelFile = { readonly sha256: string; readonly sizeBytes: number };

/** What a model was trained on. */
export type DataWindow = {
  /** First and last moment, milliseconds since the epoch. */
  readonly from: number;
  readonly to: number;
  /** Viewers, or daily pseudonyms of them, and what was learnt from them. */
  readonly viewers: number;
  readonly examples: number;
  /** Of the data in the order in which it was used: equal data are known again though none is kept. */
  readonly sha256: string;
};

/** What a model is, written beside its files as manifest.json. */
export type ModelManifest = {
  readonly version: typeof MANIFEST_VERSION;
  readonly kind: ModelKind;
  /** The name of the folder: see modelHash(). */
  readonly sha256: string;
  readonly files: Readonly<Record<string, ModelFile>>;
  /** Names of the scorer's inputs, in order. */
  readonly features: readonly string[];
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** Of all chance in training. The same data, seed and parent give the same files. */
  readonly seed: number;
  /** `synthetic` for the model that ships, `site` for one of the site's own events. */
  readonly trainedOn: 'synthetic' | 'site';
  /** Absent for the model that ships. */
  readonly data?: DataWindow;
  /** Quality figures by name, as measured on a later time than it was trained on. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Of kind `sequence`: the weight of its scores beside the scorer's log-odds, chosen on held-back questions. */
  readonly sequenceWeight?: number;
  /** The model it was trained beside. */
  readonly parent?: string;
  /** The weights of scorer.onnx for plain code; believed only if they encode to the very file. */
  readonly scorer?: ScorerWeights;
};

/** A manifest but for what the files say. */
export type ModelAbout = Omit<ModelManifest, 'version' | 'sha256' | 'files'>;

/** Files of a model by name. */
export type ModelFiles = ReadonlyMap<string, Uint8Array>;

/** The scorer's file, which every model has. */
export const SCORER_FILE = 'scorer.onnx';

const HASH = /^[0-9a-f]{64}$/;
/** A plain name: nothing that could leave the folder. */
const FILE_NAME = /^[a-z0-9][a-z0-9.-]{0,63}$/;
const MAX_FILES = 16;

/** Whether a text is a model's name. */
export const isHash = (text: unknown): text is string => typeof text === 'string' && HASH.test(text);

/** SHA-256 of bytes or text, in hexadecimal. */
export const sha256Of = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

/** The hash that names a model: over a line "name sha256" for each file, in the order of their names. */
export function modelHash(files: Readonly<Record<string, Pick<ModelFile, 'sha256'>>>): string {
  const lines = Object.entries(files).map(([name, { sha256 }]) => `${name} ${sha256}\n`);
  return sha256Of(lines.sort().join(''));
}

/** Hash and size of each file. */
export function describeFiles(files: ModelFiles): Readonly<Record<string, ModelFile>> {
  return Object.fromEntries(
    [...files].map(([name, bytes]) => [name, { sha256: sha256Of(bytes), sizeBytes: bytes.length }]),
  );
}

/** A JSON object, or undefined for anything else: what cannot be read counts as not there. */
export function parseObject(text: string | undefined): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text ?? '');
    // Sound: an object that is not null has string keys and unknown values.
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function areFiles(value: unknown): value is ModelManifest['files'] {
  if (typeof value !== 'object' || value === null) return false;
  const entries: readonly [string, unknown][] = Object.entries(value);
  const isFile = (file: unknown): boolean =>
    typeof file === 'object' &&
    file !== null &&
    isHash(Reflect.get(file, 'sha256')) &&
    Number.isSafeInteger(Reflect.get(file, 'sizeBytes'));
  return (
    entries.length <= MAX_FILES &&
    Object.hasOwn(value, SCORER_FILE) &&
    entries.every(([name, file]) => FILE_NAME.test(name) && isFile(file))
  );
}

/** The manifest in `text` of the folder `sha256`; undefined when it is none, of another version or of other files. */
export function readManifest(text: string | undefined, sha256: string): ModelManifest | undefined {
  const read = parseObject(text);
  const kind = MODEL_KINDS.find((known) => known === read?.['kind']);
  if (read?.['version'] !== MANIFEST_VERSION || kind === undefined || read['sha256'] !== sha256) return undefined;
  const { features, files, metrics } = read;
  const isSound =
    areFiles(files) &&
    modelHash(files) === sha256 &&
    Number.isFinite(read['createdAt']) &&
    typeof metrics === 'object' &&
    metrics !== null &&
    Array.isArray(features) &&
    features.every((name) => typeof name === 'string');
  // Sound: the fields that are relied on were checked above; `scorer` is checked before it is used.
  return isSound ? (read as unknown as ModelManifest) : undefined;
}
