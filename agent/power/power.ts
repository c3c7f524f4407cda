// The one pace of all background work: reads the sensors, asks the governor, tells encodes and the nightly fill.
import type { Histogram, Log } from '../../cache/cache.ts';
import { type GovernorState, govern, type Limits, type PaceReason, STARTED } from './governor.ts';
import { hitP99 } from './latency.ts';
import type { Load } from './load.ts';
import { hostJoules, hostWatts, type Reading } from './reading.ts';
import type { Sensors } from './sensors.ts';

/** What openPower() needs. */
export type PowerOptions = {
  readonly limits: Limits;
  readonly sensors: Sensors;
  readonly load: Load;
  /** First bytes of hits, as counted since the start. */
  readonly hits: () => Histogram;
  /** Background work runs now. */
  readonly isActive: () => boolean;
  readonly log: Log;
  /** Between two readings; default PERIOD_MS. */
  readonly periodMs?: number;
};

/** What background work may do. `isUrgent`: a pause that cannot wait for the end of a shot. */
export type Pace = { readonly pace: number; readonly reason: PaceReason; readonly isUrgent: boolean };

/** One reading of it all, for status and metrics. */
export type PowerStats = {
  readonly pace: number;
  readonly reason: PaceReason;
  readonly watts: number | undefined;
  readonly joules: number | undefined;
  readonly rails: Readonly<Record<string, number>>;
  readonly celsius: Readonly<Record<string, number>>;
  readonly foregroundRatio: number;
  readonly pauses: number;
  /** Sensors that could be read once and cannot now. */
  readonly lost: readonly string[];
  /** Sensor -> why it tells nothing now, those that never did among them. */
  readonly faults: Readonly<Record<string, string>>;
};

/** The room of power. */
export type Power = {
  readonly pace: () => Pace;
  /** Joules of the host since the start; undefined where no rail can be read. */
  readonly joules: () => number | undefined;
  readonly stats: () => PowerStats;
  /** Called after each reading, from the next one on. Gives what ends that. */
  readonly onReading: (listener: () => void) => () => void;
  readonly close: () => void;
};

const PERIOD_MS = 2_000;
/** The load is smoothed over so many readings. */
const LOAD_READINGS = 5;

/** Pauses for these cannot wait until a shot is done. */
const URGENT: readonly PaceReason[] = ['heat', 'throttled', 'watts'];

/** Opens it with a first reading, so that the pace is known before work begins. Never rejects. */
export async function openPower(options: PowerOptions): Promise<Power> {
  const { limits, sensors, load, log, periodMs = PERIOD_MS } = options;
  const listeners = new Set<() => void>();
  let state: GovernorState = STARTED;
  let reading: Reading | undefined;
  let foregroundRatio = 0;
  let pauses = 0;
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;
  const p99 = hitP99();

  const note = (next: GovernorState, faults: Reading['faults']): void => {
    if ((next.pace === 0) !== (state.pace === 0)) {
      if (next.pace === 0) pauses += 1;
      const fields = { pace: next.pace, reason: next.reason, watts: hostWatts(reading?.rails ?? []) ?? null };
      log(next.pace === 0 ? 'warn' : 'info', next.pace === 0 ? 'power.paused' : 'power.resumed', fields);
    }
    for (const [sensor, why] of faults) {
      if (reading !== undefined && !reading.faults.has(sensor)) log('warn', 'power.sensor-lost', { sensor, why });
    }
  };
  const step = async (): Promise<void> => {
    const [seen, ratio] = await Promise.all([sensors.read(), load.foregroundRatio()]);
    foregroundRatio += (ratio - foregroundRatio) / LOAD_READINGS;
    const hitP99Seconds = p99(options.hits());
    const next = govern(state, { reading: seen, foregroundRatio, hitP99Seconds, isActive: options.isActive() }, limits);
    note(next, seen.faults);
    reading = seen;
    state = next;
    for (const listener of listeners) listener();
  };
  const run = (): void => {
    timer = setTimeout(() => {
      step()
        .catch((error: unknown) => log('error', 'power.failed', { message: String(error) }))
        .finally(() => {
          if (!isClosed) run();
        });
    }, periodMs);
    timer.unref();
  };
  await step();
  if (limits.wattsBudget !== null && reading?.rails.length === 0) {
    log('warn', 'power.no-watts', { wattsBudget: limits.wattsBudget, faults: Object.fromEntries(reading.faults) });
  }
  run();
  return {
    pace: () => ({ pace: state.pace, reason: state.reason, isUrgent: URGENT.includes(state.reason) }),
    joules: () => hostJoules(reading?.rails ?? []),
    stats: () => ({
      pace: state.pace,
      reason: state.reason,
      watts: hostWatts(reading?.rails ?? []),
      joules: hostJoules(reading?.rails ?? []),
      rails: known((reading?.rails ?? []).map(({ rail, watts }) => [rail, watts])),
      celsius: known((reading?.zones ?? []).map(({ zone, celsius }) => [zone, celsius])),
      ...{ foregroundRatio, pauses, lost: lostIn(reading) },
      faults: Object.fromEntries(reading?.faults ?? []),
    }),
    onReading: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: () => {
      isClosed = true;
      clearTimeout(timer);
      listeners.clear();
    },
  };
}

function lostIn(reading: Reading | undefined): readonly string[] {
  const names = [
    ...(reading?.zones ?? []).filter(({ celsius }) => celsius === undefined).map(({ zone }) => zone),
    ...(reading?.rails ?? []).map(({ rail }) => rail),
  ];
  return names.filter((name) => reading?.faults.has(name) === true);
}

function known(pairs: readonly (readonly [string, number | undefined])[]): Readonly<Record<string, number>> {
  return Object.fromEntries(pairs.filter((pair): pair is readonly [string, number] => pair[1] !== undefined));
}
