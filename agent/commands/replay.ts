// `nearcast replay`: what caches of other policies, sizes and fills would have made of an access log or a trace.
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { parseSize } from '../config-check.ts';
import { AgentError } from '../errors.ts';
import { BIN_SECONDS } from '../simulate/billing.ts';
import { renderChart } from '../simulate/chart.ts';
import { FILLS } from '../simulate/prefetch.ts';
import { fileOf, type Log, readLog } from '../simulate/read-log.ts';
import { footprintOf, POLICIES, type Replayed, replay, runsOf } from '../simulate/replay.ts';
import { type Command, EXIT_FAILED, EXIT_USAGE, type Io } from './command.ts';
import { formatBits } from './report.ts';
import { formatBytes } from './status-text.ts';

const OPTIONS = {
  policy: { type: 'string', default: 'lru,s3fifo' },
  size: { type: 'string', default: '1%,5%,20%' },
  prefetch: { type: 'string', default: 'none' },
  'fill-hour': { type: 'string', default: '4' },
  html: { type: 'string' },
  json: { type: 'boolean' },
} as const;

/** A cache's size as it was asked for. */
type Size = { readonly text: string; readonly of: (footprintBytes: number) => number };

type Asked = {
  readonly policies: readonly string[];
  readonly prefetches: readonly (keyof typeof FILLS)[];
  readonly sizes: readonly Size[];
  readonly fillHour: number;
};

function sizeOf(text: string): Size | undefined {
  const share = /^(\d+(?:\.\d+)?) ?%$/.exec(text);
  const bytes = share === null ? parseSize(text) : undefined;
  const ratio = share === null ? undefined : Number(share[1]) / 100;
  if (ratio !== undefined && ratio > 0 && ratio <= 1) return { text, of: (footprint) => footprint * ratio };
  return bytes === undefined || bytes === 0 ? undefined : { text, of: () => bytes };
}

const isFill = (name: string): name is keyof typeof FILLS => Object.hasOwn(FILLS, name);
const listOf = (text: string): readonly string[] => [...new Set(text.split(',').map((item) => item.trim()))];

/** What is asked for, or what is wrong with it. */
function understand(values: {
  readonly policy: string;
  readonly size: string;
  readonly prefetch: string;
  readonly 'fill-hour': string;
}): Asked | string {
  const policies = listOf(values.policy);
  const stranger = policies.find((name) => !Object.hasOwn(POLICIES, name));
  if (stranger !== undefined) return `--policy knows ${Object.keys(POLICIES).join(', ')}, not "${stranger}"`;
  const names = listOf(values.prefetch);
  const unknown = names.find((name) => !isFill(name));
  if (unknown !== undefined) return `--prefetch knows ${Object.keys(FILLS).join(', ')}, not "${unknown}"`;
  const texts = listOf(values.size);
  const sizes = texts.map(sizeOf);
  const wrong = texts.find((_, index) => sizes[index] === undefined);
  if (wrong !== undefined) return `--size takes sizes like 10GiB, or 5% of what the log asks for, not "${wrong}"`;
  const fillHour = Number(values['fill-hour']);
  if (!Number.isInteger(fillHour) || fillHour < 0 || fillHour > 23) return '--fill-hour takes an hour from 0 to 23';
  return {
    policies,
    prefetches: names.filter(isFill),
    sizes: sizes.filter((size) => size !== undefined),
    fillHour,
  };
}

const nameOf = ({ policy, prefetch }: Pick<Replayed, 'policy' | 'prefetch'>): string =>
  `${policy === 'belady' ? 'oracle (belady)' : policy}${prefetch === 'none' ? '' : ` + ${prefetch} fill`}`;

/** What was read, in a few lines. */
function describe(log: Log): readonly string[] {
  const { lines, requests, sampleRatio, format } = log;
  const { at } = requests;
  const days = ((at.at(-1) ?? 0) - (at[0] ?? 0)) / 86_400;
  const left = lines.method + lines.status + lines.empty;
  return [
    `${format}: ${lines.requests} requests over ${days.toFixed(1)} days for ${formatBytes(Math.round(footprintOf(log)))} of objects; ` +
      `${left} lines left out (another method than GET, another status than 200 and 206, or no body), ${lines.malformed} malformed.`,
    ...(sampleRatio < 1
      ? [
          `Too many to hold at once: ${(sampleRatio * 100).toFixed(1)} % of the objects were played, in caches that much smaller.`,
        ]
      : []),
  ];
}

function tableOf(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ');
  return rows.map((row) => line(row).trimEnd()).join('\n');
}

const percent = (ratio: number): string => `${(ratio * 100).toFixed(1)} %`;

type Row = Replayed & { readonly size: string; readonly name: string };

function textOf(rows: readonly Row[]): string {
  const head = ['size', 'cache', 'requests hit', 'bytes hit', 'origin bytes', 'prefetched', '95th percentile'];
  return tableOf([
    head,
    ...rows.map((row) => [
      row.size,
      row.name,
      percent(row.requestHitRatio),
      percent(row.byteHitRatio),
      formatBytes(Math.round(row.originBytes)),
      formatBytes(Math.round(row.prefetchedBytes)),
      formatBits(row.originP95),
    ]),
  ]);
}

function jsonOf(log: Log, rows: readonly Row[]): unknown {
  return {
    version: 1,
    format: log.format,
    lines: log.lines,
    sampleRatio: log.sampleRatio,
    footprintBytes: Math.round(footprintOf(log)),
    results: rows.map(({ bins, ...row }) => ({ ...row, bins: bins.length })),
  };
}

/** Plays everything that is asked for; undefined when a signal came. */
async function playAll(log: Log, asked: Asked, io: Io): Promise<readonly Row[] | undefined> {
  const footprint = footprintOf(log);
  const named = new Map(asked.sizes.map((size) => [size.of(footprint), size.text]));
  const runs = runsOf({ ...asked, sizes: [...named.keys()] });
  const rows: Row[] = [];
  for (const run of runs) {
    // Lets a signal be heard between two runs.
    await new Promise((resolve) => setImmediate(resolve));
    if (io.signal.aborted) return undefined;
    const size = named.get(run.capacityBytes) ?? '';
    const name = nameOf(run);
    if (log.requests.at.length > 500_000)
      io.stderr.write(`playing ${size} ${name} (${rows.length + 1} of ${runs.length})\n`);
    rows.push({ ...replay(log, run), size, name });
  }
  return rows;
}

async function run(args: readonly string[], io: Io): Promise<number> {
  const { values, positionals } = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  const asked = understand(values);
  const problem = positionals.length === 0 ? 'name at least one LOG' : typeof asked === 'string' ? asked : undefined;
  if (typeof asked === 'string' || problem !== undefined) {
    io.stderr.write(`nearcast replay: ${problem}\n`);
    return EXIT_USAGE;
  }
  const files = positionals.map((path) =>
    path === '-' ? { name: 'standard input', open: () => process.stdin } : fileOf(resolve(io.cwd, path)),
  );
  const log = await readLog(files, {
    signal: io.signal,
    onProgress: (lines) => io.stderr.write(`read ${lines} lines\n`),
  });
  const rows = io.signal.aborted ? undefined : await playAll(log, asked, io);
  if (rows === undefined) return EXIT_FAILED;
  if (values.html !== undefined) writeChart(resolve(io.cwd, values.html), log, rows);
  const lines = describe(log);
  if (values.json === true) io.stdout.write(`${JSON.stringify(jsonOf(log, rows), undefined, 2)}\n`);
  else io.stdout.write(`${lines.join('\n')}\n\n${textOf(rows)}\n`);
  return 0;
}

function writeChart(file: string, log: Log, rows: readonly Row[]): void {
  const html = renderChart(rows, {
    title: 'What other caches would have made of this log',
    lines: [
      ...describe(log),
      'The oracle (Belady) knows every request to come and is the bound of all caches without prefetch. The 95th percentile is of 5-minute means of origin bandwidth, prefetch included: what 95/5 billing charges.',
    ],
    bytes: (value) => formatBytes(Math.round(value)),
    bits: formatBits,
    firstSeconds: log.requests.at[0] ?? 0,
    binSeconds: BIN_SECONDS,
  });
  try {
    writeFileSync(file, html);
  } catch (cause) {
    throw new AgentError('AGENT_DIRECTORY_UNUSABLE', `${file} cannot be written (${String(cause)})`, { cause });
  }
}

/** Plays a log against policies, sizes and fills, with the oracle and no prefetch beside them. */
export const replayCommand: Command = {
  name: 'replay',
  summary: 'Play an access log against other policies, sizes and prefetch',
  usage: `Usage: nearcast replay LOG... [--policy LIST] [--size LIST] [--prefetch LIST] [--html FILE] [--json]

  LOG               access logs of one format, plain or gzip; "-" is standard input. Formats: nginx combined, varnishncsa,
                    W3C extended (IIS, CloudFront), CSV with a header that names time, url and bytes (and status,
                    method), and traces of "time id size"
  --policy LIST     of ${Object.keys(POLICIES).join(', ')} (default ${OPTIONS.policy.default}); the oracle is always beside
  --size LIST       sizes like 10GiB, or 5% of all that the log asks for (default ${OPTIONS.size.default})
  --prefetch LIST   nightly fills, of ${Object.keys(FILLS).join(', ')} (default none, which is always beside)
  --fill-hour HOUR  when fills begin, UTC (default ${OPTIONS['fill-hour'].default})
  --html FILE       write a page with charts too
  --json            print JSON, not a table

An object is as large as the most that was sent of it: logs say nothing of the rest of a range or of a viewer who left.`,
  run,
};
