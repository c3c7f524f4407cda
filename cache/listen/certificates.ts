// Certificates and their keys from files: checked, chosen by the name that a viewer asks for, read again when they change.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { CertificateFiles, CertificateStats, HostOptions, Log } from '../contract.ts';
import { CacheError } from '../errors.ts';
import { type HostTable, hostFor, hostName, hostTable } from '../rules/host.ts';

/** How often the files are looked at. */
const POLL_MS = 30_000;
/** The largest file that is read: a chain of many certificates has some 20 KB. */
const MAX_FILE_BYTES = 256 * 1024;
const DAY_MS = 24 * 3_600_000;
/** A certificate that ends sooner is warned of. */
const WARN_DAYS = 14;
/** What the certificate is called that stands for every name without its own. */
const DEFAULT = 'default';

/** Which certificates there are: the default one, and those of hosts. */
export type CertificateChoice = {
  readonly certificate?: CertificateFiles | null | undefined;
  readonly hosts?: readonly Pick<HostOptions, 'names' | 'certificate'>[] | undefined;
};

/** What the certificates of a listener need. */
export type CertificateTools = {
  /** Protocol settings that every context has. */
  readonly settings: SecureContextOptions;
  readonly now: () => number;
  readonly log: Log;
  readonly pollMs?: number | undefined;
};

/** A pair that may be used. */
type Pair = {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly expiresAt: number;
  readonly context: SecureContext;
};

/** A pair of files for some names, with what was last read of it. */
type Entry = {
  readonly names: readonly string[];
  readonly label: string;
  readonly files: CertificateFiles;
  pair: Pair;
  /** The files' times and sizes when they were last read, well or not. */
  seen: string;
};

type Loaded = {
  readonly entries: readonly Entry[];
  readonly table: HostTable<Entry>;
  readonly fallback: Entry | undefined;
};

/** Certificates in use. */
export type Certificates = {
  /** Certificate and key for viewers who name no host, or one without its own; empty without a default. */
  readonly fallback: () => { readonly cert?: Buffer; readonly key?: Buffer };
  /** The context for a name; undefined: the fallback. */
  readonly contextFor: (name: string) => SecureContext | undefined;
  /** Looks at the files now. What changed and is sound is taken; what is not sound leaves the old pair in use. */
  readonly poll: () => Promise<void>;
  /** Reads other certificates, which are in use once the result is called. Rejects with CACHE_CERTIFICATE_UNUSABLE. */
  readonly prepare: (choice: CertificateChoice) => Promise<() => void>;
  readonly stats: () => CertificateStats;
  readonly close: () => void;
};

async function read(path: string): Promise<Buffer> {
  const { size } = await stat(path);
  if (size > MAX_FILE_BYTES) throw new Error(`larger than ${MAX_FILE_BYTES} bytes`);
  return readFile(path);
}

async function signature({ cert, key }: CertificateFiles): Promise<string> {
  const parts = await Promise.all(
    [cert, key].map(async (path) => {
      const { ino, size, mtimeMs } = await stat(path);
      return `${ino}:${size}:${mtimeMs}`;
    }),
  );
  return parts.join(' ');
}

/** Why something failed, in a few words and without a byte of what was read. */
function reasonOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
}

function unusable(files: CertificateFiles, file: 'cert' | 'key', why: string): CacheError {
  return new CacheError('CACHE_CERTIFICATE_UNUSABLE', `${file} ${files[file]}: ${why}`);
}

/** Reads a pair. Rejects with CACHE_CERTIFICATE_UNUSABLE. */
async function loadPair(
  files: CertificateFiles,
  settings: SecureContextOptions,
): Promise<Pair & { leaf: X509Certificate }> {
  const bytes = async (file: 'cert' | 'key'): Promise<Buffer> => {
    try {
      return await read(files[file]);
    } catch (error) {
      throw unusable(files, file, `cannot be read (${reasonOf(error)})`);
    }
  };
  const parsed = <T>(file: 'cert' | 'key', why: string, parse: () => T): T => {
    try {
      return parse();
    } catch (error) {
      throw unusable(files, file, `${why} (${reasonOf(error)})`);
    }
  };
  const [cert, key] = await Promise.all([bytes('cert'), bytes('key')]);
  const leaf = parsed('cert', 'no certificate in PEM', () => new X509Certificate(cert));
  const secret = parsed('key', 'no private key in PEM without a passphrase', () => createPrivateKey(key));
  if (!leaf.checkPrivateKey(secret)) throw unusable(files, 'key', `does not belong to the certificate ${files.cert}`);
  const context = parsed('cert', 'cannot be used for TLS', () => createSecureContext({ ...settings, cert, key }));
  return { cert, key, context, leaf, expiresAt: Date.parse(leaf.validTo) };
}

/** The names of a host that its certificate does not hold. */
function missingNames(leaf: X509Certificate, names: readonly string[]): readonly string[] {
  return names.filter((name) => {
    const asked = name.startsWith('*.') ? `any${name.slice(1)}` : name;
    return name !== '*' && leaf.checkHost(asked) === undefined;
  });
}

function warnOf(
  tools: CertificateTools,
  entry: Pick<Entry, 'label' | 'names'>,
  pair: Pair & { leaf: X509Certificate },
): void {
  const days = Math.floor((pair.expiresAt - tools.now()) / DAY_MS);
  const host = entry.label;
  if (days < 0) tools.log('error', 'certificate.expired', { host, days });
  else if (days < WARN_DAYS) tools.log('warn', 'certificate.expires-soon', { host, days });
  const missing = missingNames(pair.leaf, entry.names);
  if (missing.length > 0) tools.log('warn', 'certificate.lacks-names', { host, names: missing });
}

async function load(choice: CertificateChoice, tools: CertificateTools): Promise<Loaded> {
  const wanted = (choice.hosts ?? []).flatMap(({ names, certificate }) =>
    certificate === undefined || certificate === null ? [] : [{ names, label: names[0] ?? '', files: certificate }],
  );
  const { certificate } = choice;
  if (certificate !== undefined && certificate !== null) wanted.push({ names: [], label: DEFAULT, files: certificate });
  const entries: Entry[] = [];
  for (const one of wanted) {
    // Before the bytes, so that a change in between is seen as one.
    const seen = await signature(one.files).catch(() => '');
    const pair = await loadPair(one.files, tools.settings);
    warnOf(tools, one, pair);
    entries.push({ ...one, pair, seen });
  }
  return { entries, table: hostTable(entries), fallback: entries.find(({ label }) => label === DEFAULT) };
}

/** Reads certificates that are not used yet. Rejects with CACHE_CERTIFICATE_UNUSABLE. */
export async function checkCertificates(choice: CertificateChoice, tools: CertificateTools): Promise<void> {
  await load(choice, tools);
}

/** Opens the certificates of a listener. Rejects with CACHE_CERTIFICATE_UNUSABLE for a pair that cannot be used. */
export async function openCertificates(
  choice: CertificateChoice,
  tools: CertificateTools,
  onFallback: () => void,
): Promise<Certificates> {
  let loaded = await load(choice, tools);
  let reloads = 0;
  let failures = 0;
  let polling: Promise<void> | undefined;

  async function renew(entry: Entry): Promise<void> {
    const seen = await signature(entry.files).catch(reasonOf);
    if (seen === entry.seen) return;
    entry.seen = seen;
    try {
      const pair = await loadPair(entry.files, tools.settings);
      const isValid = pair.expiresAt > tools.now() && Date.parse(pair.leaf.validFrom) <= tools.now();
      if (!isValid) throw unusable(entry.files, 'cert', 'is not valid now');
      entry.pair = pair;
      reloads += 1;
      warnOf(tools, entry, pair);
      tools.log('info', 'certificate.reloaded', { host: entry.label });
      if (entry === loaded.fallback) onFallback();
    } catch (error) {
      failures += 1;
      const reason = error instanceof CacheError ? error.message : reasonOf(error);
      tools.log('error', 'certificate.reload-failed', { host: entry.label, reason });
    }
  }

  async function pollAll(): Promise<void> {
    for (const entry of loaded.entries) await renew(entry);
  }
  const poll = (): Promise<void> => {
    polling ??= pollAll().finally(() => {
      polling = undefined;
    });
    return polling;
  };
  const timer = setInterval(() => void poll(), tools.pollMs ?? POLL_MS);
  timer.unref();
  return {
    fallback: () => {
      const pair = loaded.fallback?.pair;
      return pair === undefined ? {} : { cert: pair.cert, key: pair.key };
    },
    contextFor: (name) => hostFor(loaded.table, hostName(name))?.pair.context,
    poll,
    prepare: async (next) => {
      const prepared = await load(next, tools);
      return () => {
        loaded = prepared;
        onFallback();
      };
    },
    stats: () => ({
      expiresAt: loaded.entries.map(({ label, pair }) => ({ host: label, at: pair.expiresAt })),
      reloads,
      failures,
    }),
    close: () => clearInterval(timer),
  };
}
