// `nearcast sidecar`: next to a cache that is there already. It reads that cache's access log, says what it would have
// warmed, saved and wasted, and warms the cache through itself when it is told to.
import { createReadStream } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { parseSize } from '../config-check.ts';
import { AgentError } from '../errors.ts';
import { type ForesightReport, openForesight, WARM_REASONS } from '../sidecar/foresee.ts';
import { LOG_FORMATS, type LogFormat, readLine } from '../sidecar/line.ts';
import { openWarmer, USER_AGENT, type WarmCounts, type Warmer } from '../sidecar/warm.ts';
import { openTail } from '../telemetry/tail.ts';
import { type Command, EXIT_USAGE, type Io } from './command.ts';
import { formatBytes } from './status-text.ts';

const OPTIONS = {
  log: { type: 'string' },
  format: { type: 'string', default: 'nginx' },
  url: { type: 'string' },
  warm: { type: 'boolean', default: false },
  once: { type: 'boolean', default: false },
  'from-start': { type: 'boolean', default: false },
  every: { type: 'string', default: '60' },
  'bytes-per-second': { type: 'string', default: '2MiB' },
  'bytes-per-day': { type: 'string', default: '20GiB' },
  'max-object': { type: 'string', default: '32MiB' },
  match: { type: 'string', default: '\\.(m4s|mp4|m4v|m4a|cmf[vat]|ts|aac|mp3|vtt|webm)$' },
  json: { type: 'boolean', default: false },
} as const;

/** What is asked for, understood. */
type Asked = {
  readonly log: string;
  readonly format: LogFormat;
  readonly url: URL;
  readonly isWarming: boolean;
  readonly isOnce: boolean;
  readonly isFromStart: boolean;
  readonly everyMs: number;
  readonly bytesPerSecond: number;
  readonly bytesPerDay: number;
  readonly maxObjectBytes: number;
  readonly match: RegExp;
  readonly isJson: boolean;
};

/** Own requests of which no line was seen; what is beyond them is counted as viewers'. */
const MAX_OURS = 10_000;

function parsePattern(text: string): RegExp | undefined {
  try {
    return new RegExp(text);
  } catch {
    // The caller says so.
    return undefined;
  }
}

/** What is asked for, or what is wrong with it. */
function understand(args: readonly string[], cwd: string): Asked | string {
  const { values } = parseArgs({ args: [...args], options: OPTIONS });
  const format = LOG_FORMATS.find((known) => known === values.format);
  const url = values.url === undefined ? null : URL.parse(values.url);
  const match = parsePattern(values.match);
  const [bytesPerSecond, bytesPerDay, maxObjectBytes] = [
    parseSize(values['bytes-per-second']),
    parseSize(values['bytes-per-day']),
    parseSize(values['max-object']),
  ];
  const everyMs = Number(values.every) * 1000;
  if (values.log === undefined) return 'name the access log with --log';
  if (format === undefined) return `--format knows ${LOG_FORMATS.join(', ')}, not "${values.format}"`;
  if (url === null || !/^https?:$/.test(url.protocol)) return 'name the cache with --url http://HOST:PORT/';
  if (match === undefined) return `--match is no regular expression: ${values.match}`;
  if (!bytesPerSecond || !bytesPerDay || !maxObjectBytes) return 'sizes are written like 2MiB';
  if (!(everyMs >= 1000)) return '--every takes seconds, 1 at least';
  return {
    ...{ log: resolve(cwd, values.log), format, url, match, everyMs, bytesPerSecond, bytesPerDay, maxObjectBytes },
    ...{ isWarming: values.warm, isOnce: values.once, isJson: values.json },
    isFromStart: values['from-start'],
  };
}

const percent = (part: number, whole: number): string =>
  whole === 0 ? '0 %' : `${((part / whole) * 100).toFixed(1)} %`;

function renderReport(report: ForesightReport, warmed: WarmCounts | undefined): string {
  const { requests, misses, bytes, missedBytes, forecasts } = report;
  const lines = [
    `${requests} requests, ${formatBytes(bytes)}; ${misses} misses (${percent(misses, requests)}), ${formatBytes(missedBytes)}`,
  ];
  for (const reason of WARM_REASONS) {
    const { saved, savedBytes, there, wasted, wastedBytes } = forecasts[reason];
    lines.push(
      `  ${reason.padEnd(8)} ${saved} misses would be hits (${formatBytes(savedBytes)}), ${there} were hits anyway, ${wasted} in vain (${formatBytes(Math.round(wastedBytes))})`,
    );
  }
  lines.push(
    warmed === undefined
      ? '  nothing was fetched; --warm has the cache fetch it'
      : `  warmed ${warmed.warmed} objects, ${formatBytes(warmed.bytes)}; ${warmed.failed} failed, ${warmed.tooLarge} too large, ${warmed.overBudget} over the day's budget, ${warmed.dropped} dropped`,
  );
  return `${lines.join('\n')}\n`;
}

/** Takes lines of the log: learns from viewers', and warms what they foretell. */
function openReader(asked: Asked, warmer: Warmer | undefined) {
  const foresight = openForesight();
  /** Paths that were asked for by us and are not in the log yet, for logs that do not name the user agent. */
  const ours = new Map<string, number>();
  let isEmpty = true;
  const isOurs = (userAgent: string, path: string): boolean => {
    if (userAgent !== '') return userAgent === USER_AGENT;
    const count = ours.get(path) ?? 0;
    if (count > 1) ours.set(path, count - 1);
    else ours.delete(path);
    return count > 0;
  };
  const take = (line: string): void => {
    const request = readLine(asked.format, line);
    if (request === undefined) return;
    isEmpty = false;
    const isGood = request.status === 200 || request.status === 206;
    if (!isGood || !asked.match.test(request.path)) return;
    if (isOurs(request.userAgent, request.path)) {
      foresight.warmed(request);
      return;
    }
    for (const forecast of foresight.see(request)) {
      if (warmer === undefined || !foresight.isTrusted(forecast.reason)) continue;
      if (ours.size >= MAX_OURS) ours.clear();
      ours.set(forecast.path, (ours.get(forecast.path) ?? 0) + 1);
      warmer.push(forecast);
    }
  };
  return { take, report: foresight.report, isEmpty: () => isEmpty };
}

async function readOnce(file: string, take: (line: string) => void, signal: AbortSignal): Promise<void> {
  try {
    for await (const line of createInterface({ input: createReadStream(file, { signal }) })) take(line);
  } catch (cause) {
    if (signal.aborted) return;
    throw new AgentError('AGENT_LOG_UNREADABLE', `${file} cannot be read (${String(cause)})`, { cause });
  }
}

async function follow(asked: Asked, take: (line: string) => void, io: Io): Promise<void> {
  const { signal, stderr } = io;
  const tail = openTail({
    file: asked.log,
    fromStart: asked.isFromStart,
    onLines: (lines) => {
      for (const line of lines) take(line);
    },
    log: (_level, event, fields) => stderr.write(`nearcast sidecar: ${event} ${JSON.stringify(fields)}\n`),
  });
  if (!signal.aborted) await new Promise((done) => signal.addEventListener('abort', done, { once: true }));
  // What was written until now counts.
  await tail.poll();
  await tail.close();
}

async function run(args: readonly string[], io: Io): Promise<number> {
  const asked = understand(args, io.cwd);
  if (typeof asked === 'string') {
    io.stderr.write(`nearcast sidecar: ${asked}\n`);
    return EXIT_USAGE;
  }
  const { url, bytesPerSecond, bytesPerDay, maxObjectBytes } = asked;
  const limits = { url, bytesPerSecond, bytesPerDay, maxObjectBytes, now: Date.now };
  const warmer = asked.isWarming ? openWarmer(limits) : undefined;
  const reader = openReader(asked, warmer);
  const tell = (): void => {
    const [report, warmed] = [reader.report(), warmer?.stats()];
    io.stdout.write(
      asked.isJson ? `${JSON.stringify({ version: 1, ...report, warmed })}\n` : renderReport(report, warmed),
    );
  };
  if (asked.isOnce) await readOnce(asked.log, reader.take, io.signal);
  else {
    const timer = setInterval(tell, asked.everyMs);
    await follow(asked, reader.take, io);
    clearInterval(timer);
  }
  if (asked.isOnce) await warmer?.idle();
  warmer?.close();
  tell();
  if (!asked.isOnce || !reader.isEmpty()) return 0;
  throw new AgentError('AGENT_LOG_UNREADABLE', `${asked.log} has no line of the format ${asked.format}`);
}

/** `nearcast sidecar`. */
export const sidecarCommand: Command = {
  name: 'sidecar',
  summary: 'Beside another cache: foresee from its access log, and warm it',
  usage: `Usage: nearcast sidecar --log FILE --format nginx|varnish|ats --url http://CACHE/ [--warm]

  --log FILE              the cache's access log; it is followed over rotation
  --format NAME           nginx: combined, best with $upstream_cache_status behind it; varnish: varnishncsa, best with
                          %{Varnish:hitmiss}x behind it; ats: squid.log, or combined (default ${OPTIONS.format.default})
  --url URL               the cache, as its viewers reach it
  --warm                  ask the cache for what is foreseen; without it nothing is fetched
  --once                  read the log to its end, print, and end
  --from-start            read what the log holds before following it
  --every SECONDS         between two reports (default ${OPTIONS.every.default})
  --bytes-per-second, --bytes-per-day, --max-object SIZE
                          limits of warming (default ${OPTIONS['bytes-per-second'].default}, ${OPTIONS['bytes-per-day'].default}, ${OPTIONS['max-object'].default})
  --match REGEX           paths that are looked at (default ${OPTIONS.match.default})
  --json                  reports as JSON, one a line

Forecasts are made and judged whether they are warmed or not; those of a kind that come true less than half of the time
are not warmed. Requests of the sidecar name themselves ${USER_AGENT}. Nothing of a viewer is written anywhere.`,
  run,
};
