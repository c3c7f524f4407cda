// `nearcast report`: what eviction, prefetch and a second disk save at the origin, as the counterfactual meter sees it.
import { parseArgs } from 'node:util';
import { askControl } from '../control.ts';
import type { Command } from './command.ts';
import { findSocket, SOCKET_OPTIONS, SOCKET_USAGE } from './socket.ts';
import { formatBytes } from './status-text.ts';

const UNITS = ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s', 'Tbit/s'] as const;

/** 12_300_000 -> "12.3 Mbit/s". */
export function formatBits(bitsPerSecond: number): string {
  const size = Math.abs(bitsPerSecond);
  const exponent = size < 1000 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(size) / 3));
  const value = bitsPerSecond / 1000 ** exponent;
  return `${exponent === 0 ? Math.round(value) : value.toFixed(size / 1000 ** exponent < 10 ? 2 : 1)} ${UNITS[exponent] ?? 'bit/s'}`;
}

const signed = (format: (value: number) => string) => (value: number) =>
  value < 0 ? `-${format(-value)}` : format(value);
const bytes = signed((value) => formatBytes(Math.round(value)));
const bits = signed(formatBits);

function member(value: unknown, ...keys: readonly string[]): unknown {
  let here = value;
  for (const key of keys) {
    if (typeof here !== 'object' || here === null || !Object.hasOwn(here, key)) return undefined;
    here = Reflect.get(here, key);
  }
  return here;
}

const number = (value: unknown, ...keys: readonly string[]): number => {
  const found = member(value, ...keys);
  return typeof found === 'number' ? found : 0;
};

const interval = (estimate: unknown, format: (value: number) => string): string =>
  `${format(number(estimate, 'value'))} (${format(number(estimate, 'low'))} to ${format(number(estimate, 'high'))})`;

/** Renders the answer of GET /report. Missing keys show as nothing, so an older node can still be read. */
export function renderReport(report: unknown): string {
  const since = number(report, 'since');
  if (since === 0) return 'Nothing was served yet, so there is nothing to compare.\n';
  const list = member(report, 'savings');
  const savings: readonly unknown[] = Array.isArray(list) ? list : [];
  const sampled = number(report, 'sampleRatio');
  const of = sampled >= 1 ? 'every key' : `1 in ${Math.round(1 / sampled)} keys`;
  const lines = [
    `Since ${new Date(since).toISOString()} (${number(report, 'days').toFixed(1)} days), playing ${of}; in brackets the 95 % interval of the sample.`,
    '',
    'fetched from origins              bytes                                5-minute 95th percentile',
    `  measured                        ${bytes(number(report, 'measured', 'originBytes')).padEnd(36)} ${bits(number(report, 'measured', 'originP95'))}`,
    ...['as-is', 'lru', 'no-prefetch', 'double-disk'].map((name) => {
      const played = member(report, 'played', name);
      return `  played ${name.padEnd(24)} ${interval(member(played, 'originBytes'), bytes).padEnd(36)} ${interval(member(played, 'originP95'), bits)}`;
    }),
    '',
    'what it saves (less than 0: what it costs)',
    ...savings.map(
      (one) =>
        `  ${String(member(one, 'feature')).padEnd(31)} ${interval(member(one, 'originBytes'), bytes).padEnd(36)} ${interval(member(one, 'originP95'), bits)}`,
    ),
    '',
    'Played caches begin empty at each start, and know of no expiry: judge them by how near "played as-is" is to "measured".',
    ...(member(report, 'prefetch', 'isOn') === false
      ? [`Prefetch has switched itself off: ${String(member(report, 'prefetch', 'because'))}.`]
      : []),
  ];
  return `${lines.join('\n')}\n`;
}

/** Asks a running node what its features save. */
export const reportCommand: Command = {
  name: 'report',
  summary: 'Show what eviction, prefetch and a second disk save at the origin',
  usage: `Usage: nearcast report [--json] ${SOCKET_USAGE}

Over the last 30 days: origin bytes, and the 95th percentile of 5-minute origin bandwidth that 95/5 billing charges.`,
  run: async (args, io) => {
    const { values } = parseArgs({ args: [...args], options: { ...SOCKET_OPTIONS, json: { type: 'boolean' } } });
    const socket = findSocket({ socket: values.socket, config: values.config }, io);
    const report = await askControl(socket, { method: 'GET', path: '/report' });
    io.stdout.write(values.json === true ? `${JSON.stringify(report, undefined, 2)}\n` : renderReport(report));
    return 0;
  },
};
