// Reads nearcast.yaml, whose keys are in config-schema.ts: gives the whole configuration or every problem at once, each
// with its line.
import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { isMap, isNode, isScalar, isSeq, LineCounter, type Node, parseDocument, stringify } from 'yaml';
import { z } from 'zod';
import {
  type CheckedSections,
  type Finding,
  findClashes,
  formatAddress,
  joinKey,
  knownKeys,
  member,
  nearestOf,
} from './config-check.ts';
import { schema, sections } from './config-schema.ts';

/** Largest configuration file that is read, bytes. */
const MAX_FILE_BYTES = 1024 * 1024;

type DeepReadonly<T> = T extends readonly (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
    : T;

/** The whole configuration: defaults filled in, sizes in bytes, addresses parsed, paths absolute. */
export type Config = DeepReadonly<z.output<typeof schema>>;
/** One thing that is wrong with a configuration; line and column count from 1. */
export type ConfigProblem = {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** Keys joined by dots, indexes in brackets; '' for the file as a whole. */
  readonly path: string;
  readonly message: string;
};

/** A configuration, or everything that is wrong with it. */
export type LoadedConfig =
  | { readonly ok: true; readonly config: Config; readonly warnings: readonly ConfigProblem[] }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/** Reads and checks a configuration file; a file that cannot be read is a problem at its line 1. Never throws. */
export function loadConfig(path: string): LoadedConfig {
  const file = resolve(path);
  const whole = (message: string): LoadedConfig => ({
    ok: false,
    problems: [{ file, line: 1, column: 1, path: '', message }],
  });
  try {
    if (statSync(file).size > MAX_FILE_BYTES) return whole(`larger than ${MAX_FILE_BYTES} bytes`);
    return parseConfig(readFileSync(file, 'utf8'), file);
  } catch (error) {
    return whole(`cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Checks the text of a configuration whose relative paths start at the folder of `file`. */
export function parseConfig(text: string, file: string): LoadedConfig {
  const source = openSource(text, file);
  if (source.syntax.length > 0) return { ok: false, problems: source.syntax };
  const parsed = schema.safeParse(source.content);
  const findings = [...(parsed.error?.issues ?? []).flatMap((issue) => explain(issue, source.content))];
  const { problems, warnings } = findClashes(parsedSections(source.content));
  findings.push(...problems);
  if (findings.length > 0 || parsed.data === undefined) {
    return { ok: false, problems: findings.map(source.locate).sort((a, b) => a.line - b.line || a.column - b.column) };
  }
  return { ok: true, config: withAbsolutePaths(parsed.data, dirname(file)), warnings: warnings.map(source.locate) };
}

/** The control socket of a configuration that may have problems elsewhere; undefined when even that cannot be read. */
export function readSocket(path: string): string | undefined {
  const file = resolve(path);
  try {
    const admin = sections.admin.safeParse(member(openSource(readFileSync(file, 'utf8'), file).content, 'admin'));
    return admin.data === undefined ? undefined : resolve(dirname(file), admin.data.socket);
  } catch {
    // Not a file that can be read.
    return undefined;
  }
}

/** JSON Schema (draft 2020-12) of nearcast.yaml, for editors. */
export function configJsonSchema(): Readonly<Record<string, unknown>> {
  return z.toJSONSchema(schema, { io: 'input' });
}

/** The configuration as YAML that loads to the same configuration again: every default spelt out, sizes in bytes. */
export function renderEffective(config: Config): string {
  return stringify({
    ...config,
    listen: {
      ...config.listen,
      http: formatAddress(config.listen.http),
      https: config.listen.https === null ? null : formatAddress(config.listen.https),
    },
    admin: { ...config.admin, metrics: formatAddress(config.admin.metrics) },
  });
}

type Source = {
  readonly content: unknown;
  readonly syntax: readonly ConfigProblem[];
  readonly locate: (finding: Finding) => ConfigProblem;
};

/** Parses YAML and keeps where everything stood. */
function openSource(text: string, file: string): Source {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number): { line: number; column: number } => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const syntax = document.errors.map((error) => ({ file, ...at(error.pos[0]), path: '', message: error.message }));
  if (syntax.length > 0) return { content: undefined, syntax, locate: notLocated };
  try {
    return {
      content: document.toJS({ maxAliasCount: 100 }) ?? {},
      syntax,
      locate: ({ path, message, isKey = false }) => ({
        file,
        ...at(offsetOf(document.contents, path, isKey)),
        path: path.reduce<string>((text, key) => joinKey(text, key), ''),
        message,
      }),
    };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { content: undefined, syntax: [{ file, line: 1, column: 1, path: '', message }], locate: notLocated };
  }
}

function notLocated(): never {
  throw new Error('a file with syntax errors has no places');
}

/** Offset of the scalar at a path, else of its key, else of the nearest thing around it. */
function offsetOf(root: Node | null, path: Finding['path'], isKey: boolean): number {
  let node: unknown = root;
  let offset = 0;
  for (const [i, key] of path.entries()) {
    let keyNode: unknown;
    if (isSeq(node)) {
      node = node.items[Number(key)];
    } else if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
      keyNode = pair?.key;
      node = pair?.value;
    } else {
      return offset;
    }
    // A block begins on the line after its key, and its key is what people look for.
    const isShown = isScalar(node) && !(isKey && i === path.length - 1);
    const shown = isShown || keyNode === undefined ? node : keyNode;
    if (!isNode(shown)) return isNode(keyNode) ? (keyNode.range?.[0] ?? offset) : offset;
    offset = shown.range?.[0] ?? offset;
  }
  return offset;
}

/** What an issue of the schema means to whoever wrote the file. */
function explain(issue: z.core.$ZodIssue, content: unknown): readonly Finding[] {
  const path = issue.path.filter((key) => typeof key !== 'symbol');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const nearest = nearestOf(key, knownKeys(configJsonSchema(), path));
      return {
        path: [...path, key],
        isKey: true,
        message: `unknown key "${key}"${nearest === undefined ? '' : `; did you mean "${nearest}"?`}`,
      };
    });
  }
  const isMissing = path.reduce<unknown>(member, content) === undefined;
  return [{ path, message: isMissing && path.length > 0 ? `missing; ${issue.message}` : issue.message }];
}

/** The sections that are right in themselves, so that clashes show together with what is wrong elsewhere. */
function parsedSections(content: unknown): CheckedSections {
  const prefetch = sections.prefetch.safeParse(member(content, 'prefetch')).data;
  return {
    hasCmsd: prefetch?.cmsd === true,
    listen: sections.listen.safeParse(member(content, 'listen')).data,
    admin: sections.admin.safeParse(member(content, 'admin')).data,
    origins: sections.origins.safeParse(member(content, 'origins')).data ?? [],
    tls: sections.tls.safeParse(member(content, 'tls')).data,
    hosts: sections.hosts.safeParse(member(content, 'hosts')).data ?? [],
    window: prefetch?.window,
    store: sections.store.safeParse(member(content, 'store')).data,
  };
}

/** Relative paths start at the folder of the file. */
function withAbsolutePaths(config: z.output<typeof schema>, base: string): Config {
  const from = (path: string): string => resolve(base, path);
  const secretFrom = <T extends { readonly file: string } | { readonly env: string }>(secret: T): T =>
    'file' in secret ? { ...secret, file: from(secret.file) } : secret;
  const { viewerTokenSecret } = config.privacy;
  const { similarRegions } = config.predict;
  const fromPair = (pair: z.output<typeof sections.tls>) =>
    pair === null ? null : { cert: from(pair.cert), key: from(pair.key) };
  return {
    ...config,
    tls: fromPair(config.tls),
    admin: { ...config.admin, socket: from(config.admin.socket) },
    state: { dir: from(config.state.dir) },
    store: { ...config.store, dirs: config.store.dirs.map((dir) => ({ ...dir, path: from(dir.path) })) },
    catalogue: { ...config.catalogue, file: from(config.catalogue.file) },
    publish: { ...config.publish, dir: from(config.publish.dir) },
    predict: { ...config.predict, similarRegions: similarRegions === null ? null : from(similarRegions) },
    telemetry: { ...config.telemetry, accessLogs: config.telemetry.accessLogs.map(from) },
    power: { ...config.power, sysfsRoot: from(config.power.sysfsRoot) },
    encode: { ...config.encode, ffmpegPath: config.encode.ffmpegPath === null ? null : from(config.encode.ffmpegPath) },
    privacy: {
      ...config.privacy,
      viewerTokenSecret: viewerTokenSecret === null ? null : secretFrom(viewerTokenSecret),
    },
    hosts: config.hosts.map(({ signing, purgeTokens, ...host }) => ({
      ...host,
      certificate: fromPair(host.certificate),
      signing:
        signing === null
          ? null
          : { ...signing, keys: signing.keys.map(({ id, secret }) => ({ id, secret: secretFrom(secret) })) },
      purgeTokens: purgeTokens.map(secretFrom),
    })),
  };
}
