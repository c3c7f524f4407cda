// The keys of nearcast.yaml with their types, defaults and bounds, as a zod schema; config.ts reads files with it.
import { z } from 'zod';
import { isHostPattern } from '../cache/cache.ts';
import { CODECS, DEVICES } from '../encoder/contract.ts';
import { isTimeZone, PROCESS_BYTES, parseAddress, parseCron, parseSize, titlePatternProblem } from './config-check.ts';
import { prefetchJudgement } from './config-prefetch.ts';
import { previewSection } from './config-preview.ts';

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

const originName = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/i, 'expected letters, digits, ".", "_" and "-"');
const originUrl = z.url({ protocol: /^https?$/, error: 'expected an http or https URL' });
const health = z.strictObject({
  path: z.string().startsWith('/').describe('asked by GET, below the path of each URL'),
  intervalSeconds: positive.min(0.5).max(3600).default(5),
  timeoutMs: positive.max(60_000).default(2000),
  expect: z.int().min(200).max(599).default(200).describe('the status of a server that is well'),
  rise: z.int().min(1).max(100).default(2).describe('good checks in a row that bring a server back'),
  fall: z.int().min(1).max(100).default(3).describe('failed checks in a row that take it out'),
});
const origin = z.strictObject({
  name: originName,
  url: originUrl,
  backups: z.array(originUrl).max(7).default([]).describe('same content; each asked when those before it fail'),
  health: health.nullable().default(null).describe('null: servers are judged by the answers to requests alone'),
  match: z.string().startsWith('/').default('/').describe('prefix of the path; the first origin that matches serves'),
  firstByteTimeoutMs: positive.max(600_000).default(10_000).describe('until the head of a response'),
  idleTimeoutMs: positive.max(600_000).default(10_000).describe('between two chunks of a body'),
  minimumBytesPerSecond: z.int().min(0).max(1_000_000).default(1024).describe('mean over idleTimeoutMs; 0: none'),
  maxConnections: z.number().int().min(1).max(4096).default(64),
  cost: z.number().min(0).max(1000).default(1).describe('of a byte, beside other origins: what is dear is kept longer'),
});

const quota = z.strictObject({
  requestsPerSecond: positive.max(10_000_000).nullable().default(null).describe('above it 429 with Retry-After'),
  bytesPerSecond: size.nullable().default(null).describe('body bytes to viewers; above it 429 with Retry-After'),
  originRequests: z.int().min(1).max(65_536).nullable().default(null).describe('at once; above it stale or 503'),
  diskBytes: size.nullable().default(null).describe('of all store.dirs; above it the host loses its own objects'),
});

const notYet = (what: string) => z.null(`${what} is not supported by this version; expected null`).default(null);

/** Where a certificate is. */
const certificateFiles = z.strictObject({
  cert: z.string().min(1).describe('PEM: the certificate, then those that it stands on'),
  key: z.string().min(1).describe('PEM, without a passphrase'),
});

const signing = z.strictObject({
  scheme: z.enum(['hmac', 'cat']).describe("hmac: this server's own tokens; cat: Common Access Tokens (CTA-5007)"),
  keys: z
    .array(
      z.strictObject({ id: z.string().regex(/^[\w.-]{1,64}$/, 'expected letters, digits, ".", "_", "-"'), secret }),
    )
    .min(1)
    .max(8)
    .describe('all are good, so that one can take over from another'),
  name: z
    .string()
    .regex(/^[\w-]{1,64}$/)
    .default('token')
    .describe('hmac: query parameter and cookie'),
  pathPrefix: z
    .string()
    .regex(/^\/[\w-]+\/$/, 'expected a path such as /_t/')
    .nullable()
    .default(null)
    .describe('/_t/: tokens may stand in the path, /_t/TOKEN/titles/...'),
  exempt: z.array(z.string().startsWith('/')).max(64).default([]).describe('beginnings of paths without tokens'),
  clockSkewSeconds: z.number().min(0).max(3600).default(30).describe('how far clocks may be apart'),
  issuer: z.string().min(1).nullable().default(null).describe('cat: the only one taken; null: any'),
  audience: z.array(z.string().min(1)).max(16).default([]).describe('cat: names of this host in tokens'),
});

const hostPattern = z.string().refine(isHostPattern, 'expected cdn.example.com, *.example.com or *, in lower case');
const host = z.strictObject({
  names: z.array(hostPattern).min(1).max(256).describe('*.example.com: every name below; *: every other name'),
  origins: z.array(originName).min(1).max(64).nullable().default(null).describe('null: all; tried in this order'),
  hostHeader: z.enum(['origin', 'forward']).default('origin').describe('forward: the key then includes the name'),
  ignoredQuery: z.array(z.string().min(1)).max(64).nullable().default(null).describe('null: as cache.ignoredQuery'),
  certificate: certificateFiles.nullable().default(null).describe('null: that of tls'),
  signing: signing.nullable().default(null).describe('null: no request needs a token'),
  purgeTokens: z.array(secret).max(16).default([]).describe('who has one may purge this host over the listener'),
  quota: quota.prefault({}),
});

/** Every section but `version`, by its key. A section that is not written takes all its defaults. */
export const sections = {
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
      https: address
        .nullable()
        .default(null)
        .describe('HTTP/1.1 and HTTP/2 over TLS; needs tls or a certificate of a host'),
      workers: z
        .number()
        .int()
        .min(1)
        .max(64)
        .default(1)
        .describe('processes that serve viewers; at most one for each core but one'),
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
  tls: certificateFiles.nullable().default(null).describe('for names that no host with a certificate has'),
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
  hosts: z
    .array(host)
    .max(256)
    .default([])
    .describe('empty: every name is answered alike; otherwise a name of no host gets 421'),
  store: z
    .strictObject({
      ramBytes: size.prefault('256MiB'),
      maxResidentBytes: size
        .refine((bytes) => bytes >= PROCESS_BYTES, 'expected at least 64MiB: the process alone takes that')
        .nullable()
        .default(null)
        .describe('memory of all processes near which RAM shrinks; null: what the cgroup or the host has'),
      dirs: z
        .array(z.strictObject({ path: z.string().min(1), maxBytes: size.prefault('20GiB') }))
        .max(64)
        .prefault([{ path: 'var/store' }]),
      required: z.boolean().default(false).describe('true: do not start without a usable directory'),
      scrubDays: z
        .number()
        .min(0)
        .max(365)
        .default(30)
        .describe('in which every stored block is read once, to find decay before a viewer does; 0: never'),
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
      queriesPerPath: z
        .int()
        .min(0)
        .max(200)
        .nullable()
        .default(16)
        .describe('new queries of a path stored at first sight in 10 min; more need a second request; null: all'),
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
      accessLogs: z
        .array(z.string().min(1))
        .max(16)
        .default([])
        .describe('of nginx, Varnish or Traffic Server, followed from now on: what they served is learnt from too'),
      maxEventsPerAddressPerMinute: z
        .number()
        .int()
        .min(1)
        .max(10_000_000)
        .default(24_000)
        .describe('of one address, a fifth of maxEventsPerMinute; raise it behind a proxy of your own'),
      maxTitleRatio: z
        .number()
        .min(0.01)
        .max(1)
        .default(0.3)
        .describe('of the plays that count, so much may be of one title; more are taken for a flood'),
      maxEventsPerMinute: z.number().int().min(1).max(10_000_000).default(120_000).describe('of all viewers together'),
    })
    .prefault({}),
  predict: z
    .strictObject({
      enabled: z.boolean().default(true),
      deadlineMs: positive.max(10_000).default(50).describe('after it plain code answers instead of the model'),
      similarRegions: z
        .string()
        .min(1)
        .nullable()
        .default(null)
        .describe(
          'JSON file: lists of regions like this one; the first order of titles while nothing was counted here',
        ),
      retrain: z
        .strictObject({
          enabled: z.boolean().default(true),
          cron: cron.default('30 3 * * *'),
          timeZone: timeZone.default('UTC'),
          minutes: z.int().min(1).max(1440).default(60).describe('after which a run is given up'),
          maxBytes: size.prefault('600MiB').describe('memory of its process, which is ended above it'),
          promotion: z
            .enum(['auto', 'manual'])
            .default('auto')
            .describe('manual: a model that won its trial waits for nearcast model promote'),
          minReachRatio: z
            .number()
            .min(0)
            .max(1)
            .default(0.03)
            .describe('of the titles on offer; a trained model whose first ten never show more is not tried'),
        })
        .prefault({}),
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
      ...prefetchJudgement,
    })
    .prefault({}),
  encode: z
    .strictObject({
      enabled: z.boolean().default(true),
      codecs: z.array(z.enum(CODECS)).min(1).default(['h264']).describe('most wanted first; each costs a ladder'),
      devices: z.array(z.enum(DEVICES)).default([]).describe('codecs that these ask for are added to codecs'),
      hardware: z.enum(['auto', 'off']).default('off').describe('auto: a hardware encoder that wins a test encode'),
      vmafCap: z.number().min(50).max(100).default(95),
      cpuShare: z.number().gt(0).max(1).default(0.5),
      reservedCores: z
        .int()
        .min(0)
        .max(256)
        .default(1)
        .describe('the first cores, which encoders keep off where there are more: hits then wait for no encode'),
      ffmpegPath: z.string().min(1).nullable().default(null).describe('the variable FFMPEG_PATH goes before it'),
    })
    .prefault({}),
  power: z
    .strictObject({
      wattsBudget: positive.max(5000).nullable().default(null).describe('of the whole host; null: as it comes'),
      degreesBudget: z
        .number()
        .min(30)
        .max(110)
        .nullable()
        .default(null)
        .describe('Celsius, of the processor; null: 6 below where the kernel slows it down'),
      foregroundCeiling: z
        .number()
        .gt(0)
        .max(1)
        .default(0.7)
        .describe('share of the processors that other work may take before background work slows down; 1: never does'),
      sysfsRoot: z.string().min(1).default('/sys').describe('where sensors are; another one in a container'),
    })
    .prefault({}),
  preview: previewSection,
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
/** The whole file. */
export const schema = z.strictObject({ version, ...sections });
