// A line of another cache's access log as the sidecar needs it: who asked for what, when, and whether it was there.

/** Caches whose logs are read. */
export const LOG_FORMATS = ['nginx', 'varnish', 'ats'] as const;
/** One of LOG_FORMATS. */
export type LogFormat = (typeof LOG_FORMATS)[number];

/** An answered GET of a log. */
export type SeenRequest = {
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** Address and user agent, as far as the log has them: one device, or a few that are alike. */
  readonly client: string;
  readonly address: string;
  readonly userAgent: string;
  /** The name that was asked, where the log has absolute URLs. */
  readonly host: string | undefined;
  /** Path and query. */
  readonly path: string;
  readonly status: number;
  readonly bytes: number;
  /** Undefined: the log does not say. */
  readonly wasHit: boolean | undefined;
};

const MONTHS = 'JanFebMarAprMayJunJulAugSepOctNovDec';
/** nginx's combined format, and varnishncsa's; what an operator has added stands behind. */
const COMBINED = /^(\S+) \S+ .*?\[([^\]]{26})\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-)(.*)$/;
const QUOTED = /"((?:[^"\\]|\\.)*)"/g;
/** ATS's and Squid's native format. */
const SQUID = /^(\d+\.\d+) +\d+ (\S+) ([A-Z_]+)\/(\d{3}) (\d+) (\S+) (\S+)/;
/** How caches say it: nginx's $upstream_cache_status, Varnish's %{Varnish:hitmiss}x and handling. */
const RESULTS: Readonly<Record<string, boolean>> = {
  ...{ HIT: true, STALE: true, UPDATING: true, REVALIDATED: true },
  ...{ MISS: false, EXPIRED: false, BYPASS: false, PASS: false },
};

/** "10/Oct/2000:13:55:36 -0700" in milliseconds since the epoch; NaN when it is not that. */
function combinedTime(text: string): number {
  const month = MONTHS.indexOf(text.slice(3, 6));
  if (month < 0 || month % 3 !== 0) return Number.NaN;
  const [year, day] = [Number(text.slice(7, 11)), Number(text.slice(0, 2))];
  const [hour, minute, second] = [text.slice(12, 14), text.slice(15, 17), text.slice(18, 20)].map(Number);
  const offset = (Number(text.slice(22, 24)) * 60 + Number(text.slice(24, 26))) * 60_000;
  const local = Date.UTC(year, month / 3, day, hour, minute, second);
  return text[21] === '-' ? local + offset : local - offset;
}

function target(text: string): Pick<SeenRequest, 'host' | 'path'> | undefined {
  const absolute = /^https?:\/\/([^/?#]+)(\/.*)?$/i.exec(text);
  if (absolute !== null) return { host: absolute[1], path: absolute[2] ?? '/' };
  return text.startsWith('/') ? { host: undefined, path: text } : undefined;
}

function readCombined(line: string): SeenRequest | undefined {
  const found = COMBINED.exec(line);
  if (found === null) return undefined;
  const [, address = '', time = '', request = '', status, bytes, rest = ''] = found;
  const [method, url = ''] = request.split(' ');
  const asked = target(url);
  const at = combinedTime(time);
  if (method !== 'GET' || asked === undefined || !Number.isFinite(at)) return undefined;
  const quoted = [...rest.matchAll(QUOTED)].map(([, text = '']) => text);
  const userAgent = quoted[1] ?? '';
  const words = [...rest.replaceAll(QUOTED, ' ').split(/[\s/]+/), ...quoted.slice(2)];
  const result = words.map((word) => RESULTS[word.toUpperCase()]).find((known) => known !== undefined);
  const known = { at, address, userAgent, client: `${address} ${userAgent}`, status: Number(status), wasHit: result };
  return { ...known, ...asked, bytes: bytes === '-' ? 0 : Number(bytes) };
}

function readSquid(line: string): SeenRequest | undefined {
  const found = SQUID.exec(line);
  if (found === null) return undefined;
  const [, seconds, address = '', result = '', status, bytes, method, url = ''] = found;
  const asked = target(url);
  if (method !== 'GET' || asked === undefined) return undefined;
  const wasHit = /HIT/.test(result) ? true : /MISS/.test(result) ? false : undefined;
  const known = { at: Number(seconds) * 1000, address, userAgent: '', client: address, wasHit };
  return { ...known, ...asked, status: Number(status), bytes: Number(bytes) };
}

const READERS: Readonly<Record<LogFormat, (line: string) => SeenRequest | undefined>> = {
  nginx: readCombined,
  varnish: readCombined,
  ats: (line) => readSquid(line) ?? readCombined(line),
};

/** A line of a log in that format; undefined for what is no GET, or not of the format. */
export const readLine = (format: LogFormat, line: string): SeenRequest | undefined => READERS[format](line);
