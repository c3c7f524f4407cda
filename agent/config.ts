// nearcast.yaml: the one place of its keys, defaults and bounds. Reading it gives the whole configuration or every
// problem at once, each with its line.
import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { isMap, isNode, isScalar, isSeq, LineCounter, type Node, parseDocument, stringify } from 'yaml';
import { z } from 'zod';
import {
  type CheckedSections,
  type Finding,
  findClashes,
  formatAddress,
  isTimeZone,
  joinKey,
  knownKeys,
  member,
  nearestOf,
  parseAddress,
  parseCron,
  parseSize,
  titlePatternProblem,
} from './config-check.ts';

/** Largest configuration file that is read, bytes. */
const MAX_FILE_BYTES = 1024 * 1024;

const count = z.number().int().nonnegative();
const positive = z.number().positive();

const sizeText = z
  .string()
  .regex(/^\d+(\.\d+)? ?(B|KiB|MiB|GiB|TiB)?$/, 'expected a size like 256MiB (B, KiB, MiB, GiB or TiB)')
  .transform((text, context) => {
    const bytes = parseSize(text);
    if (bytes !== undefined) return bytes;
    context.addIssue({ code: 'custom', message: 'expected a size below 2^53 bytes' });
    return z.NEVER;
  });
/** Bytes, written as a number or as a size. */
const size = z.union([count, sizeText], 'expected a size like 256MiB, or a number of bytes');

/** "host:port". */
const address = z.string().transform((text, context) => {
  const parsed = parseAddress(text);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: 'custom', message: 'expected "host:port", for example "127.0.0.1:8080" or "[::1]:8080"' });
  return z.NEVER;
});

/** CIDR. */
const prefix = z.union([z.cidrv4(), z.cidrv6()], 'expected a prefix like 100.64.0.0/10 or 2001:db8::/32');

const cron = z.string().superRefine((text, context) => {
  const parsed = parseCron(text);
  if (!parsed.ok) context.addIssue({ code: 'custom', message: parsed.message });
});

const timeZone = z.string().refine(isTimeZone, 'not a time zone; expected an IANA name like Europe/Berlin, or UTC');

const titlePattern = z.string().superRefine((text, context) => {
  const problem = titlePatternProblem(text);
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
});

/** Where a secret is: a file, or a variable of the environment. Never the secret. */
const secret = z.union(
  [z.strictObject({ file: z.string().min(1) }), z.strictObject({ env: z.string().regex(/^[A-Z_][A-Z0-9_]*$/i) })],
  'expected { file: PATH } or { env: NAME }; a secret itself never stands here',
);

const origin = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/i, 'expected letters, digits, ".", "_" and "-"'),
  url: z.url({ protocol: /^https?$/, error: 'expected an http or https URL' }),
  match: z.string().startsWith('/').default('/').describe('prefix of the path; the first origin that matches serves'),
  firstByteTimeoutMs: positive.max(600_000).default(10_000).describe('until the head of a response'),
  idleTimeoutMs: positive.max(600_000).default(10_000).describe('between two chunks of a body'),
  minimumBytesPerSecond: z.int().min(0).max(1_000_000).default(1024).describe('mean over idleTimeoutMs; 0: none'),
  maxConnections: z.number().int().min(1).max(4096).default(64),
});

const notYet = (what: string) => z.null(`${what} is not supported by this version; expected null`).default(null);

/** Every section but `version`, by its key. A section that is not written takes all its defaults. */
const sections = {
  node: z
    .strictObject({
      id: z
        .string()
        .regex(/^[a-z0-9][a-z0-9.-]{0,62}$/i, 'expected letters, digits, "." and "-"')
        .default('edge-01'),
      region: z.string().min(1).max(64).default('default').describe('popularity is counted by region'),
    })
    .prefault({}),
  listen: z
    .strictObject({
      http: address.prefault('127.0.0.1:8080'),
      https: notYet('listening for HTTPS'),
      workers: z.literal(1, 'more than one worker is not supported by this version; expected 1').default(1),
      unixSocketFd: notYet('an inherited socket'),
      maxConnections: z
        .number()
        .int()
        .min(1)
        .max(1_000_000)
        .default(16_384)
        .describe('one more gets 503 and is closed'),
      maxRequests: z
        .number()
        .int()
        .min(1)
        .max(1_000_000)
        .default(8192)
        .describe('in flight; one more gets 503 at once'),
      addressLimit: z.number().int().min(1).max(1_000_000).default(1024).describe('connections of one address or /64'),
      exemptPrefixes: z.array(prefix).max(256).default([]).describe('not bound by addressLimit: CGNAT, own proxies'),
    })
    .prefault({}),
  admin: z
    .strictObject({
      metrics: address.prefault('127.0.0.1:9464').describe('/metrics, /livez and /readyz only'),
      socket: z.string().min(1).default('run/nearcast.sock').describe('control socket; whoever may write to it rules'),
    })
    .prefault({}),
  state: z.strictObject({ dir: z.string().min(1).default('var/state') }).prefault({}),
  origins: z
    .array(origin)
    .min(1)
    .max(64)
    .prefault([{ name: 'main', url: 'http://127.0.0.1:8090', match: '/' }]),
  store: z
    .strictObject({
      ramBytes: size.prefault('256MiB'),
      dirs: z
        .array(z.strictObject({ path: z.string().min(1), maxBytes: size.prefault('20GiB') }))
        .max(64)
        .prefault([{ path: 'var/store' }]),
      required: z.boolean().default(false).describe('true: do not start without a usable directory'),
    })
    .prefault({}),
  cache: z
    .strictObject({
      defaultTtlSeconds: count.default(0),
      graceSeconds: count.default(60),
      target: z
        .string()
        .regex(/^[A-Za-z0-9-]+$/, 'expected the name of a header field')
        .default('Nearcast-Cache-Control'),
      ignoredQuery: z.array(z.string().min(1)).max(64).default([]).describe('parameters that never enter a key'),
    })
    .prefault({}),
  catalogue: z
    .strictObject({
      file: z.string().min(1).default('var/catalogue.jsonl'),
      titlePattern: titlePattern.default('^/titles/(?<title>[^/]+)/'),
    })
    .prefault({}),
  publish: z
    .strictObject({
      dir: z.string().min(1).default('var/titles'),
      path: z
        .string()
        .regex(/^\/([^?#]*\/)?$/, 'expected a path such as /titles/')
        .default('/titles/'),
      warmSeconds: z.number().min(0).max(86_400).default(30).describe('of a new title, fetched and pinned at once'),
    })
    .prefault({}),
  telemetry: z
    .strictObject({
      maxSessions: z.number().int().min(1).max(1_000_000).default(10_000).describe('consented sessions held in RAM'),
      sessionHours: positive.max(168).default(24).describe('a session without a sign of life ends'),
      maxEventsPerViewerPerMinute: z.number().int().min(1).max(100_000).default(300),
      maxEventsPerMinute: z.number().int().min(1).max(10_000_000).default(120_000).describe('of all viewers together'),
    })
    .prefault({}),
  predict: z
    .strictObject({
      enabled: z.boolean().default(true),
      deadlineMs: positive.max(10_000).default(50).describe('after it plain code answers instead of the model'),
    })
    .prefault({}),
  prefetch: z
    .strictObject({
      enabled: z.boolean().default(true),
      window: z
        .strictObject({
          cron: cron.default('0 2 * * *'),
          minutes: z.number().int().min(1).max(1440).default(240),
          timeZone: timeZone.default('UTC'),
        })
        .prefault({}),
      bytesPerSecond: size.prefault('20MiB'),
      bytesPerDay: size.prefault('500GiB'),
      inSession: z.boolean().default(true),
    })
    .prefault({}),
  encode: z
    .strictObject({
      enabled: z.boolean().default(true),
      codecs: z
        .array(z.enum(['h264']))
        .min(1)
        .default(['h264']),
      vmafCap: z.number().min(50).max(100).default(95),
      cpuShare: z.number().gt(0).max(1).default(0.5),
      ffmpegPath: z.string().min(1).nullable().default(null).describe('the variable FFMPEG_PATH goes before it'),
    })
    .prefault({}),
  preview: z
    .strictObject({ enabled: z.boolean().default(true), deadlineMs: positive.max(10_000).default(100) })
    .prefault({}),
  privacy: z
    .strictObject({
      retentionDays: z.number().int().min(0).max(30).default(7).describe('0: nothing of a viewer is ever on disk'),
      viewerTokenSecret: secret.nullable().default(null).describe('key of signed viewer tokens; null: none accepted'),
    })
    .prefault({}),
  log: z.strictObject({ level: z.enum(['debug', 'info', 'warn', 'error']).default('info') }).prefault({}),
  drainSeconds: z.number().min(0).max(300).default(3).describe('how long answers in flight may end after SIGTERM'),
  agent: z.enum(['on', 'off']).default('on').describe('off: a plain caching reverse proxy without /.nearcast'),
};
const version = z.literal(1, 'expected 1, the version of this format');
const schema = z.strictObject({ version, ...sections });

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

/** JSON Schema (draft 2020-12) of nearcast.yaml, for editors. */
export function configJsonSchema(): Readonly<Record<string, unknown>> {
  return z.toJSONSchema(schema, { io: 'input' });
}

/** The configuration as YAML that loads to the same configuration again: every default spelt out, sizes in bytes. */
export function renderEffective(config: Config): string {
  return stringify({
    ...config,
    listen: { ...config.listen, http: formatAddress(config.listen.http) },
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
  return {
    listen: sections.listen.safeParse(member(content, 'listen')).data,
    admin: sections.admin.safeParse(member(content, 'admin')).data,
    origins: sections.origins.safeParse(member(content, 'origins')).data ?? [],
    window: sections.prefetch.safeParse(member(content, 'prefetch')).data?.window,
    storeDirs: sections.store.safeParse(member(content, 'store')).data?.dirs ?? [],
  };
}

/** Relative paths start at the folder of the file. */
function withAbsolutePaths(config: z.output<typeof schema>, base: string): Config {
  const from = (path: string): string => resolve(base, path);
  const { viewerTokenSecret } = config.privacy;
  return {
    ...config,
    admin: { ...config.admin, socket: from(config.admin.socket) },
    state: { dir: from(config.state.dir) },
    store: { ...config.store, dirs: config.store.dirs.map((dir) => ({ ...dir, path: from(dir.path) })) },
    catalogue: { ...config.catalogue, file: from(config.catalogue.file) },
    publish: { ...config.publish, dir: from(config.publish.dir) },
    encode: { ...config.encode, ffmpegPath: config.encode.ffmpegPath === null ? null : from(config.encode.ffmpegPath) },
    privacy: {
      ...config.privacy,
      viewerTokenSecret:
        viewerTokenSecret !== null && 'file' in viewerTokenSecret
          ? { file: from(viewerTokenSecret.file) }
          : viewerTokenSecret,
    },
  };
}
