// `nearcast status` for people: the node's own JSON as a page of aligned lines.
import { at, number } from './ask.ts';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** 1536 -> "1.5 KiB". */
export function formatBytes(bytes: number): string {
  const exponent = bytes < 1024 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** exponent;
  return `${exponent === 0 ? value : value.toFixed(value < 10 ? 1 : 0)} ${UNITS[exponent] ?? 'B'}`;
}

/** 3725 -> "1 h 2 min". */
export function formatSeconds(seconds: number): string {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`;
}

const percent = (value: unknown): string =>
  typeof value === 'number' ? `${(value * 100).toFixed(1)} %` : 'nothing served yet';

function encodeLine(job: unknown): string {
  const state = String(at(job, 'state'));
  const failure = at(job, 'failure', 'code');
  const detail =
    state === 'running' ? `${at(job, 'step')} ${Math.floor(number(at(job, 'progressRatio')) * 100)} %` : '';
  return `    ${String(at(job, 'id')).padEnd(28)} ${state.padEnd(8)} ${failure === undefined ? detail : String(failure)}`;
}

/** The servers of one origin, a line each. */
function originLines(origin: unknown): readonly string[] {
  const servers = at(origin, 'servers');
  return (Array.isArray(servers) ? servers : []).map((server: unknown) => {
    const breaker = String(at(server, 'breaker'));
    const state = at(server, 'isUp') !== true ? `DOWN (breaker ${breaker})` : breaker === 'closed' ? 'up' : breaker;
    const counts = `${number(at(server, 'requests'))} requests, ${number(at(server, 'failures'))} failed`;
    return `    ${`${at(origin, 'origin')}  ${at(server, 'server')}`.padEnd(40)} ${state}, ${counts}`;
  });
}

/** At what pace work in the background goes, and how hot and hungry the host is. */
function paceText(power: unknown): string {
  const pace = at(power, 'pace');
  if (typeof pace !== 'number') return 'unknown';
  const held =
    pace === 1 ? 'full pace' : `${pace === 0 ? 'paused' : `pace ${pace.toFixed(2)}`} (${at(power, 'reason')})`;
  const watts = at(power, 'watts');
  const celsius = at(power, 'celsius');
  const degrees = typeof celsius === 'object' && celsius !== null ? Object.values(celsius).map(number) : [];
  const hottest = degrees.length > 0 ? `, hottest ${Math.max(...degrees).toFixed(0)} C` : '';
  const lost = at(power, 'lost');
  const missing = Array.isArray(lost) && lost.length > 0 ? `, lost sensors: ${lost.join(', ')}` : '';
  return `${held}${typeof watts === 'number' ? `, ${watts.toFixed(1)} W` : ''}${hottest}${missing}`;
}

/** Whether prefetch is on, and if not, why and until when. */
function prefetchState(status: unknown): string {
  const switched = (key: string) => at(status, 'prefetch', 'inSession', 'switched', key);
  if (switched('isOn') === false) {
    const retryAt = new Date(number(switched('retryAt'))).toISOString();
    return `SWITCHED ITSELF OFF (${switched('because')}; tries again at ${retryAt})`;
  }
  return at(status, 'prefetch', 'isPaused') === true ? 'paused' : 'on';
}

/** Renders the answer of GET /status. Missing keys show as nothing, so an older node can still be read. */
export function renderStatus(status: unknown): string {
  const used = (tier: string) =>
    `${formatBytes(number(at(status, 'store', 'usedBytes', tier)))} of ${formatBytes(number(at(status, 'store', 'limitBytes', tier)))}`;
  const jobs = at(status, 'encodes');
  const reason = at(status, 'unready');
  const lines: readonly (readonly [string, string])[] = [
    [
      'node',
      `${at(status, 'node', 'id')} in ${at(status, 'node', 'region')}, version ${at(status, 'node', 'version')}`,
    ],
    [
      'state',
      `${typeof reason === 'string' ? reason : 'ready'}, up ${formatSeconds(number(at(status, 'uptimeSeconds')))}`,
    ],
    ['hit ratio', `${percent(at(status, 'hitRatio'))} of requests, ${percent(at(status, 'byteHitRatio'))} of bytes`],
    [
      'served',
      `${formatBytes(number(at(status, 'servedBytes')))}, fetched from origins ${formatBytes(number(at(status, 'originBytes')))}`,
    ],
    ['memory', used('memory')],
    [
      'disk',
      `${used('disk')}${at(status, 'store', 'isDegraded') === true ? '  DEGRADED: see nearcast_store_errors_total' : ''}`,
    ],
    [
      'prefetch',
      `${prefetchState(status)}, ${formatBytes(number(at(status, 'prefetch', 'storedBytes')))} stored, ${formatBytes(number(at(status, 'prefetch', 'usefulBytes')))} used, ${formatBytes(number(at(status, 'prefetch', 'wastedBytes')))} wasted`,
    ],
    ['background', paceText(at(status, 'power'))],
    ['model', String(at(status, 'model', 'version') ?? 'none: plain rules answer')],
    ['sessions', String(number(at(status, 'sessions')))],
  ];
  const width = Math.max(...lines.map(([label]) => label.length));
  const head = lines.map(([label, text]) => `  ${label.padEnd(width)}  ${text}`);
  const given = at(status, 'origins');
  const servers = (Array.isArray(given) ? given : []).flatMap(originLines);
  const origins = servers.length > 0 ? ['  origins', ...servers] : [];
  const encodes = Array.isArray(jobs) && jobs.length > 0 ? ['  encodes', ...jobs.map(encodeLine)] : [];
  return `${[...head, ...origins, ...encodes].join('\n')}\n`;
}
