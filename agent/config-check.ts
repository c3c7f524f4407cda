// What of a configuration can be wrong though every key alone is right: clashes, shadows, overlapping windows. Pure;
// also the small grammars of its values (sizes, addresses, cron) and the search for the nearest known key.

/** A finding at a place in the configuration; `isKey`: it is the key that is wrong and not its value. */
export type Finding = {
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly isKey?: boolean;
};

const SIZE_UNITS = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 } as const;

/** Bytes of "256MiB", "1.5 GiB" or "1024"; undefined when it is not a size or exceeds 2^53. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d{1,16}(?:\.\d{1,6})?) ?(B|KiB|MiB|GiB|TiB)?$/.exec(text.trim());
  if (match === null) return undefined;
  // Sound: the expression lets through the keys of SIZE_UNITS alone.
  const unit = (match[2] ?? 'B') as keyof typeof SIZE_UNITS;
  const bytes = Number(match[1]) * SIZE_UNITS[unit];
  return Number.isSafeInteger(Math.round(bytes)) ? Math.round(bytes) : undefined;
}

/** Host and port of "127.0.0.1:8080", "edge.example:80" or "[::1]:8080"; port 0 asks for a free one. */
export function parseAddress(text: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port > 65_535 ? undefined : { host, port };
}

/** An address as parseAddress() reads it. */
export function formatAddress({ host, port }: { readonly host: string; readonly port: number }): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

type CronField = {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly names?: readonly string[];
  /** Forms that only a calendar can expand (last day, nearest weekday, nth weekday). */
  readonly special?: RegExp;
};
const CRON_FIELDS: readonly CronField[] = [
  { name: 'second', min: 0, max: 59 },
  { name: 'minute', min: 0, max: 59 },
  { name: 'hour', min: 0, max: 23 },
  { name: 'day of month', min: 1, max: 31, special: /^(\?|L|LW|L-\d{1,2}|\d{1,2}W)$/i },
  {
    name: 'month',
    min: 1,
    max: 12,
    names: ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'],
  },
  {
    name: 'day of week',
    min: 0,
    max: 7,
    names: ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'],
    special: /^(\?|[0-7]#[1-5]|[0-7]L)$/i,
  },
];

/** Values of one part of a cron field ("5", "1-4", "22-2/2", "*" + "/15"); undefined when it is malformed. */
function cronPart(part: string, field: CronField): readonly number[] | undefined {
  const match = /^(?:\*|([a-z]+|\d{1,2})(?:-([a-z]+|\d{1,2}))?)(?:\/(\d{1,2}))?$/i.exec(part);
  // A step belongs to a range: "5/15" means one thing here and another there, and the scheduler refuses it.
  const isBareStep = match?.[1] !== undefined && match[2] === undefined && match[3] !== undefined;
  if (match === null || isBareStep) return undefined;
  const value = (text: string | undefined, absent: number): number => {
    if (text === undefined) return absent;
    const index = field.names?.indexOf(text.toLowerCase().slice(0, 3)) ?? -1;
    return /^\d/.test(text) ? Number(text) : index < 0 ? Number.NaN : index + field.min;
  };
  const from = value(match[1], field.min);
  const step = Number(match[3] ?? 1);
  const to = value(match[2], match[1] === undefined ? field.max : from);
  const isInside = (number: number): boolean => number >= field.min && number <= field.max;
  if (!isInside(from) || !isInside(to) || step < 1) return undefined;
  // An inverted range wraps around the field.
  const length = to >= from ? to - from : field.max - field.min + 1 - (from - to);
  const size = field.max - field.min + 1;
  return Array.from(
    { length: Math.floor(length / step) + 1 },
    (_, i) => field.min + ((from - field.min + i * step) % size),
  );
}

/** A cron expression's times of day, or what is wrong with it. */
export type Cron =
  | { readonly ok: true; readonly minutesOfDay: readonly number[] }
  | { readonly ok: false; readonly message: string };

/** Reads a cron expression of five fields, or six with seconds first. */
export function parseCron(text: string): Cron {
  const parts = text.trim().split(/\s+/);
  if (parts.length !== 5 && parts.length !== 6) {
    return { ok: false, message: `a cron expression has 5 fields, or 6 with seconds, this one has ${parts.length}` };
  }
  const fields = parts.length === 6 ? CRON_FIELDS : CRON_FIELDS.slice(1);
  const expanded = new Map<string, number[]>();
  for (const [i, field] of fields.entries()) {
    const values: number[] = [];
    for (const part of (parts[i] ?? '').split(',')) {
      const found = field.special?.test(part) === true ? [] : cronPart(part, field);
      if (found === undefined) {
        return {
          ok: false,
          message: `"${part}" does not fit the ${field.name} of a cron expression (${field.min}-${field.max})`,
        };
      }
      values.push(...found);
    }
    expanded.set(field.name, values);
  }
  const minutesOfDay = (expanded.get('hour') ?? []).flatMap((hour) =>
    (expanded.get('minute') ?? []).map((minute) => hour * 60 + minute),
  );
  return { ok: true, minutesOfDay: [...new Set(minutesOfDay)].sort((a, b) => a - b) };
}

/** Fewest minutes from one start to the next on a day whose times of day are given; a day when there is one. */
export function shortestGapMinutes(minutesOfDay: readonly number[]): number {
  return minutesOfDay.reduce((shortest, minute, i) => {
    const next = minutesOfDay[i + 1] ?? (minutesOfDay[0] ?? minute) + 1440;
    return Math.min(shortest, next - minute);
  }, 1440);
}

type Address = { readonly host: string; readonly port: number };

/** What a process takes without any object. */
export const PROCESS_BYTES = 64 * 2 ** 20;

/** What the clashes are looked for in; undefined or empty where a section is wrong in itself. */
export type CheckedSections = {
  readonly listen: { readonly http: Address; readonly https: Address | null; readonly workers: number } | undefined;
  /** Whether players are told by CMSD. */
  readonly hasCmsd: boolean;
  /** Null: none; undefined: wrong in itself. */
  readonly tls: object | null | undefined;
  readonly admin: { readonly metrics: Address } | undefined;
  readonly origins: readonly {
    readonly name: string;
    readonly match: string;
    readonly url: string;
    readonly backups: readonly string[];
  }[];
  readonly hosts: readonly {
    readonly names: readonly string[];
    readonly origins: readonly string[] | null;
    readonly hostHeader: 'origin' | 'forward';
    readonly certificate: object | null;
  }[];
  readonly window: { readonly cron: string; readonly minutes: number } | undefined;
  readonly store:
    | { readonly dirs: readonly { readonly path: string }[]; readonly maxResidentBytes: number | null }
    | undefined;
};

/** Problems that forbid a start, and warnings that do not. */
export type Clashes = { readonly problems: readonly Finding[]; readonly warnings: readonly Finding[] };

/** Everything that is right by itself and wrong together. */
export function findClashes(checked: CheckedSections): Clashes {
  const { listen, admin, origins, hosts, window } = checked;
  const byHost = findHostClashes(hosts, origins);
  const problems = [...findTakenNames(origins), ...byHost.problems];
  if (hosts.length === 0) problems.push(...findShadowedOrigins(origins, (i) => ['origins', i, 'match']));
  const bySecure = findTlsClashes(checked);
  problems.push(...bySecure.problems);
  const warnings: Finding[] = [...byHost.warnings, ...bySecure.warnings];
  if (listen !== undefined && admin !== undefined && isSamePort(listen.http, admin.metrics)) {
    problems.push({ path: ['admin', 'metrics'], message: `port ${admin.metrics.port} is already that of listen.http` });
  }
  if (admin !== undefined && !isLoopback(admin.metrics.host)) {
    const message = 'the metrics are open to other hosts; whoever reaches the port reads them';
    warnings.push({ path: ['admin', 'metrics'], message });
  }
  const times = window === undefined ? undefined : parseCron(window.cron);
  if (window !== undefined && times?.ok === true && shortestGapMinutes(times.minutesOfDay) < window.minutes) {
    const message = `${window.minutes} minutes do not fit between two starts of "${window.cron}"`;
    problems.push({ path: ['prefetch', 'window', 'minutes'], message });
  }
  if (checked.hasCmsd && listen !== undefined && listen.workers > 1) {
    problems.push({ path: ['prefetch', 'cmsd'], message: 'workers do not know what to tell: set listen.workers to 1' });
  }
  problems.push(...findStoreClashes(checked));
  for (const [i, { match }] of origins.entries()) {
    if (match.startsWith('/.nearcast')) {
      const message = '/.nearcast belongs to the agent while it is on';
      warnings.push({ path: ['origins', i, 'match'], message });
    }
  }
  return { problems, warnings };
}

/** What is wrong between directories, and between memory and the processes that share it. */
function findStoreClashes({ store, listen }: CheckedSections): readonly Finding[] {
  const dirs = store?.dirs ?? [];
  const found = dirs.flatMap<Finding>(({ path }, i) =>
    dirs.slice(0, i).some((other) => plainPath(other.path) === plainPath(path))
      ? [{ path: ['store', 'dirs', i, 'path'], message: `the directory "${path}" is already listed` }]
      : [],
  );
  const workers = listen?.workers ?? 1;
  const processes = workers < 2 ? 1 : workers + 1;
  const maxResidentBytes = store?.maxResidentBytes ?? Number.POSITIVE_INFINITY;
  if (maxResidentBytes >= processes * PROCESS_BYTES) return found;
  const message = `expected at least ${processes} times 64MiB: the primary and ${workers} workers share it`;
  return [...found, { path: ['store', 'maxResidentBytes'], message }];
}

/** What is wrong between the address for TLS, the certificates and the other addresses. */
function findTlsClashes({ listen, admin, tls, hosts }: CheckedSections): Clashes {
  const problems: Finding[] = [];
  const warnings: Finding[] = [];
  const https = listen?.https ?? null;
  const hasOne = tls !== null || hosts.some(({ certificate }) => certificate !== null);
  if (https === null) {
    if (listen === undefined || tls === undefined || !hasOne) return { problems, warnings };
    const path = tls === null ? ['hosts'] : ['tls'];
    warnings.push({ path, message: 'a certificate is of no use while listen.https is null' });
    return { problems, warnings };
  }
  const path = ['listen', 'https'];
  if (!hasOne) problems.push({ path, message: 'needs a certificate: set tls, or certificate of a host' });
  for (const [name, other] of [
    ['listen.http', listen?.http],
    ['admin.metrics', admin?.metrics],
  ] as const) {
    if (other === undefined || !isSamePort(https, other)) continue;
    problems.push({ path, message: `port ${https.port} is already that of ${name}` });
  }
  for (const [i, host] of hosts.entries()) {
    if (tls !== null || host.certificate !== null || !hasOne) continue;
    warnings.push({ path: ['hosts', i, 'names'], message: 'without a certificate, as tls is null: no TLS for it' });
  }
  return { problems, warnings };
}

function isSamePort(a: Address, b: Address): boolean {
  const isEvery = (host: string): boolean => host === '0.0.0.0' || host === '::';
  return a.port !== 0 && a.port === b.port && (a.host === b.host || isEvery(a.host) || isEvery(b.host));
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}

/** Without what does not change a path: `.` steps, doubled and last slashes. */
function plainPath(path: string): string {
  const steps = path.split('/').filter((step) => step !== '' && step !== '.');
  return (path.startsWith('/') ? '/' : '') + steps.join('/');
}

/** Names of origins, and servers of one of them, that are there twice. */
function findTakenNames(origins: CheckedSections['origins']): readonly Finding[] {
  return origins.flatMap(({ name, url, backups }, i) => {
    const findings: Finding[] = backups.flatMap((backup, k) => {
      if (backup !== url && backups.indexOf(backup) === k) return [];
      return [{ path: ['origins', i, 'backups', k], message: `the server "${backup}" is already one of "${name}"` }];
    });
    if (origins.slice(0, i).some((other) => other.name === name)) {
      const message = `the name "${name}" is already taken by an earlier origin`;
      findings.push({ path: ['origins', i, 'name'], message });
    }
    return findings;
  });
}

/** Origins whose paths all go to one before them. `pathOf`: where the fault is shown for the one at an index. */
function findShadowedOrigins(
  origins: CheckedSections['origins'],
  pathOf: (index: number) => Finding['path'],
): readonly Finding[] {
  return origins.flatMap(({ match }, i) => {
    const shadow = origins.slice(0, i).find((other) => match.startsWith(other.match));
    if (shadow === undefined) return [];
    const message = `never reached: "${shadow.match}" of origin "${shadow.name}" before it matches all of "${match}"; put the longer match first`;
    return [{ path: pathOf(i), message }];
  });
}

/** What is wrong between hosts, and between a host and the origins that it names. */
function findHostClashes(hosts: CheckedSections['hosts'], origins: CheckedSections['origins']): Clashes {
  const problems: Finding[] = [];
  const warnings: Finding[] = [];
  const taken = new Set<string>();
  for (const [i, host] of hosts.entries()) {
    for (const [k, name] of host.names.entries()) {
      const path = ['hosts', i, 'names', k];
      if (taken.has(name)) problems.push({ path, message: `the name "${name}" is already taken` });
      taken.add(name);
      if (name === '*' && host.hostHeader === 'forward') {
        const message = 'with hostHeader: forward whoever asks under a new name makes new objects and origin requests';
        warnings.push({ path, message });
      }
    }
    const chosen = (host.origins ?? origins.map(({ name }) => name)).map((name) =>
      origins.find((origin) => origin.name === name),
    );
    for (const [k, origin] of chosen.entries()) {
      const message = `no origin has the name "${host.origins?.[k]}"`;
      if (origin === undefined) problems.push({ path: ['hosts', i, 'origins', k], message });
    }
    const known = chosen.filter((origin) => origin !== undefined);
    if (known.length < chosen.length) continue;
    problems.push(...findShadowedOrigins(known, (k) => ['hosts', i, 'origins', k]));
  }
  const isUsed = (name: string): boolean => hosts.some((host) => host.origins?.includes(name) ?? true);
  for (const [i, { name }] of origins.entries()) {
    if (hosts.length === 0 || isUsed(name)) continue;
    warnings.push({ path: ['origins', i, 'name'], message: `no host has the origin "${name}"` });
  }
  return { problems, warnings };
}

/** Edit distance of Levenshtein (1966): insertions, deletions and substitutions from one word to the other. */
export function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= to.length; j += 1) {
      const substituted = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substituted));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}

/** The known word nearest to one that is not known, whatever its case; undefined when there are none. */
export function nearestOf(word: string, known: readonly string[]): string | undefined {
  const scored = known.map((name) => ({ name, distance: editDistance(word.toLowerCase(), name.toLowerCase()) }));
  return scored.sort((a, b) => a.distance - b.distance)[0]?.name;
}

/** Whether a name is an IANA time zone that this Node knows. */
export function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    // The constructor's refusal is the answer.
    return false;
  }
}

/** Why a text is no pattern of title paths; undefined when it is one. */
export function titlePatternProblem(text: string): string | undefined {
  try {
    // With an empty alternative the expression matches '' and lists the names of all its groups.
    const groups = new RegExp(`${new RegExp(text).source}|`).exec('')?.groups ?? {};
    return 'title' in groups ? undefined : 'needs a group named title: (?<title>[^/]+)';
  } catch (error) {
    return error instanceof Error ? error.message : 'not a regular expression';
  }
}

/** A key appended to keys that are joined by dots, indexes in brackets. */
export function joinKey(text: string, key: string | number): string {
  if (typeof key === 'number') return `${text}[${key}]`;
  return text === '' ? key : `${text}.${key}`;
}

/** The member of an object or array by its key; undefined when there is none. */
export function member(value: unknown, key: string | number): unknown {
  return typeof value === 'object' && value !== null
    ? Object.entries(value).find(([name]) => name === String(key))?.[1]
    : undefined;
}

/** Keys that a JSON Schema knows at a path. */
export function knownKeys(schema: unknown, path: Finding['path']): readonly string[] {
  const properties = path.reduce<unknown>(
    (node, key) => (typeof key === 'number' ? member(node, 'items') : member(member(node, 'properties'), key)),
    schema,
  );
  const keys = member(properties, 'properties');
  return typeof keys === 'object' && keys !== null ? Object.keys(keys) : [];
}
