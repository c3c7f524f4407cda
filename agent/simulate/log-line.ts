// Lines of access logs and traces, read into requests: combined (nginx, Varnish NCSA), squid (Apache Traffic Server), W3C
// extended (IIS, CloudFront), CSV with a header, JSON (nginx with escape=json), and traces of "time id size".

/** A request that a cache would have to answer. */
export type LoggedRequest = {
  /** Seconds, since the epoch if the log says when that is. */
  readonly at: number;
  /** What is asked for: a URL, or a trace's number. */
  readonly id: string;
  /** Body bytes that were sent. */
  readonly bytes: number;
};

/** What a line is: a request, one that no cache decides about (why), nothing (a comment), or not of this format. */
export type Line = LoggedRequest | 'method' | 'status' | 'empty' | 'comment' | 'malformed';

/** A format of logs; it may remember a header. */
export type LineReader = { readonly name: string; readonly read: (line: string) => Line };

const MONTHS = 'JanFebMarAprMayJunJulAugSepOctNovDec';

/** Keeps what a cache decides about: complete or partial answers to GET. */
function requestOf(fields: {
  readonly at: number;
  readonly id: string;
  readonly bytes: number;
  readonly method: string;
  readonly status: number;
}): Line {
  const { at, id, bytes, method, status } = fields;
  if (!Number.isFinite(at) || id === '' || !Number.isFinite(bytes) || bytes < 0) return 'malformed';
  if (method !== 'GET') return 'method';
  if (status !== 200 && status !== 206) return 'status';
  return bytes === 0 ? 'empty' : { at, id, bytes };
}

/** "10/Oct/2000:13:55:36 -0700" in seconds since the epoch; NaN when it is not that. */
function combinedTime(text: string): number {
  const month = MONTHS.indexOf(text.slice(3, 6));
  if (text.length !== 26 || month < 0 || month % 3 !== 0) return Number.NaN;
  const [year, day] = [Number(text.slice(7, 11)), Number(text.slice(0, 2))];
  const [hour, minute, second] = [text.slice(12, 14), text.slice(15, 17), text.slice(18, 20)].map(Number);
  const offset = Number(text.slice(22, 24)) * 3600 + Number(text.slice(24, 26)) * 60;
  const local = Date.UTC(year, month / 3, day, hour, minute, second) / 1000;
  return text[21] === '-' ? local + offset : local - offset;
}

const COMBINED = /^\S+ \S+ .*?\[([^\]]+)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-)(?:\s|$)/;

/** The path of an absolute URL too, so that both ways to log a request are one object; its host stays. */
const idOf = (target: string): string => target.replace(/^https?:\/\//, '');

/** nginx's and Apache's combined and common formats, and varnishncsa's default. */
function readCombined(line: string): Line {
  const found = COMBINED.exec(line);
  if (found === null) return 'malformed';
  const [, time = '', request = '', status, bytes] = found;
  const [method = '', target = ''] = request.split(' ');
  return requestOf({
    at: combinedTime(time),
    id: idOf(target),
    bytes: bytes === '-' ? 0 : Number(bytes),
    method,
    status: Number(status),
  });
}

/** Seconds with a fraction, milliseconds taken, client, result/status, bytes, method, URL (Squid wiki, Features/LogFormat). */
const SQUID = /^(\d{9,}\.\d+) +\d+ \S+ [A-Z_]+\/(\d{3}) (\d+) ([A-Z]+) (\S+)(?: |$)/;

/** Squid's native format, which Apache Traffic Server writes by default (`squid.log`). */
function readSquid(line: string): Line {
  const [, at, status, bytes, method = '', url = ''] = SQUID.exec(line) ?? [];
  if (at === undefined) return 'malformed';
  return requestOf({ at: Number(at), id: idOf(url), bytes: Number(bytes), method, status: Number(status) });
}

const TRACE = /^(\d+(?:\.\d+)?)[ \t]+(\S+)[ \t]+(\d+)(?:[ \t]|$)/;

/** Traces of "time id size", as cache simulators use them. */
function readTrace(line: string): Line {
  const [, at, id = '', bytes] = TRACE.exec(line) ?? [];
  if (at === undefined) return 'malformed';
  return requestOf({ at: Number(at), id, bytes: Number(bytes), method: 'GET', status: 200 });
}

/** Names of columns that say the same, the most exact first. */
const COLUMNS = {
  at: ['timestamp', 'time', 'datetime', 'date', 'at', 'ts', 'start_time', 'eventtimestamp'],
  id: ['url', 'request_uri', 'uri', 'path', 'cs-uri-stem', 'clientrequesturi', 'key', 'id', 'object', 'object_id'],
  query: ['cs-uri-query', 'query', 'query_string'],
  host: ['x-host-header', 'cs(host)', 'cs-host', 'host'],
  bytes: ['sc-content-len', 'body_bytes_sent', 'bytes', 'bytes_sent', 'sc-bytes', 'size', 'response_bytes', 'length'],
  method: ['cs-method', 'method', 'request_method'],
  status: ['sc-status', 'status', 'status_code'],
} as const;
type Column = keyof typeof COLUMNS;

/** Where columns are; -1: none. */
type Header = Readonly<Record<Column, readonly number[]>>;

function headerOf(names: readonly string[]): Header {
  const plain = names.map((name) => name.trim().toLowerCase().replaceAll('"', ''));
  const places = (column: Column): readonly number[] =>
    COLUMNS[column].map((name) => plain.indexOf(name)).filter((place) => place >= 0);
  return {
    at: places('at'),
    id: places('id'),
    query: places('query'),
    host: places('host'),
    bytes: places('bytes'),
    method: places('method'),
    status: places('status'),
  };
}

const isWhole = ({ at, id, bytes }: Header): boolean => at.length > 0 && id.length > 0 && bytes.length > 0;

/** Seconds of an ISO date, or of a number since the epoch in seconds, milliseconds, micro- or nanoseconds. */
function timeOf(text: string): number {
  const number = Number(text);
  if (text === '' || Number.isNaN(number))
    return Date.parse(/[zZ]|[+-]\d\d:?\d\d$/.test(text) ? text : `${text}Z`) / 1000;
  const digits = Math.floor(Math.abs(number)).toString().length;
  return digits > 11 ? number / 10 ** (3 * Math.ceil((digits - 11) / 3)) : number;
}

function rowOf(cells: readonly string[], header: Header, time: string): Line {
  const cell = (column: Column): string | undefined => {
    const found = header[column].map((place) => cells[place]).find((text) => text !== undefined && text !== '-');
    return found === '' ? undefined : found;
  };
  const [query, host] = [cell('query'), cell('host')];
  const bytes = cell('bytes');
  const id = cell('id');
  if (id === undefined) return 'malformed';
  return requestOf({
    at: timeOf(time),
    id: `${host ?? ''}${idOf(id)}${query === undefined ? '' : `?${query.replace(/^\?/, '')}`}`,
    bytes: bytes === undefined ? 0 : Number(bytes),
    method: cell('method') ?? 'GET',
    status: Number(cell('status') ?? 200),
  });
}

/** The W3C extended log file format (W3C working draft WD-logfile-960323); fields are told by a directive. */
function w3cReader(): LineReader {
  let header: Header | undefined;
  let names: readonly string[] = [];
  return {
    name: 'W3C extended',
    read: (line) => {
      if (line.startsWith('#')) {
        if (!line.startsWith('#Fields:')) return 'comment';
        names = line.slice(8).trim().split(/\s+/);
        header = headerOf(names);
        return isWhole(header) || (names.includes('date') && names.includes('time')) ? 'comment' : 'malformed';
      }
      if (header === undefined) return 'malformed';
      const cells = line.split(line.includes('\t') ? '\t' : ' ');
      if (cells.length !== names.length) return 'malformed';
      const [date, time] = [cells[names.indexOf('date')], cells[names.indexOf('time')]];
      return rowOf(cells, header, date === undefined ? (time ?? '') : `${date}T${time ?? ''}Z`);
    },
  };
}

/** Cells of a line of RFC 4180; undefined when a quote is not closed on it. */
function cellsOf(line: string, separator: string): readonly string[] | undefined {
  if (!line.includes('"')) return line.split(separator);
  const cells: string[] = [];
  let cell = '';
  let isQuoted = false;
  for (let at = 0; at < line.length; at += 1) {
    const sign = line[at];
    if (sign === '"' && isQuoted && line[at + 1] === '"') at += 1;
    else if (sign === '"') {
      isQuoted = !isQuoted;
      continue;
    }
    if (sign === separator && !isQuoted) {
      cells.push(cell);
      cell = '';
    } else cell += sign;
  }
  return isQuoted ? undefined : [...cells, cell];
}

/** CSV with a header, which names at least a time, a URL or id, and bytes; undefined: this is no such header. */
function csvReader(first: string): LineReader | undefined {
  const separator = [',', ';', '\t'].find((sign) => first.split(sign).length >= 3);
  if (separator === undefined) return undefined;
  const names = cellsOf(first, separator) ?? [];
  const header = headerOf(names);
  if (!isWhole(header)) return undefined;
  let isFirst = true;
  return {
    name: 'CSV',
    read: (line) => {
      // Each file of several may repeat it.
      if (isFirst || line === first) {
        isFirst = false;
        return 'comment';
      }
      const cells = cellsOf(line, separator);
      if (cells === undefined || cells.length !== names.length) return 'malformed';
      return rowOf(cells, header, cells[header.at[0] ?? -1]?.trim() ?? '');
    },
  };
}

/** Objects of one line each, whose keys name what COLUMNS name; `request` is a request line. */
function readJson(line: string): Line {
  let found: unknown;
  try {
    found = JSON.parse(line);
  } catch {
    // Not JSON: the line is not of this format.
    return 'malformed';
  }
  if (typeof found !== 'object' || found === null) return 'malformed';
  const cells = new Map<string, string>();
  for (const [key, value] of Object.entries(found)) {
    if (typeof value === 'string' || typeof value === 'number') cells.set(key.toLowerCase(), String(value));
  }
  const [method, target] = (cells.get('request') ?? '').split(' ');
  if (target !== undefined && method !== undefined) cells.set('method', method).set('url', target);
  const names = [...cells.keys()];
  const header = headerOf(names);
  const time = cells.get('msec') ?? cells.get('time_local') ?? cells.get(names[header.at[0] ?? -1] ?? '');
  const at = time === undefined ? Number.NaN : combinedTime(time);
  return rowOf([...cells.values()], header, Number.isNaN(at) ? (time ?? '') : String(at));
}

/** The reader for a log that begins with this line, which is not blank; undefined when no format fits. */
export function readerFor(first: string): LineReader | undefined {
  if (first.startsWith('#')) return w3cReader();
  if (first.startsWith('{')) return readJson(first) === 'malformed' ? undefined : { name: 'JSON', read: readJson };
  if (readSquid(first) !== 'malformed') return { name: 'squid', read: readSquid };
  if (readTrace(first) !== 'malformed') return { name: 'trace', read: readTrace };
  if (readCombined(first) !== 'malformed') return { name: 'combined', read: readCombined };
  return csvReader(first);
}
