// Work that begins by cron in a time zone and ends after its minutes, on the nights too on which clocks are changed.
import { type ScheduledTask, schedule } from 'node-cron';
import { parseCron } from './config-check.ts';
import { AgentError } from './errors.ts';

/** When work begins, and for how long it may go on. */
export type Night = { readonly cron: string; readonly minutes: number; readonly timeZone: string };

const DAY_MINUTES = 1440;
const MINUTE_MS = 60_000;
/** No clock was ever put forward by more. */
const MAX_SKIPPED_MINUTES = 180;

/** Minutes of the day on a clock of that zone. */
function clockOf(timeZone: string): (atMs: number) => number {
  const format = new Intl.DateTimeFormat('en-GB', { timeZone, hour: 'numeric', minute: 'numeric', hourCycle: 'h23' });
  return (atMs) => {
    const parts = format.formatToParts(atMs);
    const of = (type: string): number => Number(parts.find((part) => part.type === type)?.value ?? 0);
    return of('hour') * 60 + of('minute');
  };
}

/**
 * Calls `run` at times that the clock skips when it is put forward, in the minute in which it is: at 3:00 for 2:30. When
 * it is put back, cron itself begins once.
 */
function scheduleSkipped({ cron, timeZone }: Night, run: () => void): ScheduledTask {
  const parsed = parseCron(cron);
  const times = parsed.ok ? parsed.minutesOfDay : [];
  const clock = clockOf(timeZone);
  // Of each minute of the days on which it may begin.
  const days = cron.trim().split(/\s+/).slice(-3).join(' ');
  const look = (): void => {
    const now = Date.now();
    const before = (clock(now - MINUTE_MS) + 1) % DAY_MINUTES;
    const skipped = (clock(now) - before + DAY_MINUTES) % DAY_MINUTES;
    if (skipped === 0 || skipped > MAX_SKIPPED_MINUTES) return;
    if (times.some((time) => (time - before + DAY_MINUTES) % DAY_MINUTES < skipped)) run();
  };
  return schedule(`* * ${days}`, look, { timezone: timeZone, noOverlap: true });
}

/**
 * Calls `run` every night with a signal that aborts after the night's minutes, which are minutes that pass, whatever clocks
 * say; the function given back ends it. `path`: of the key in the configuration. Throws AGENT_CONFIG_INVALID for an
 * expression that no calendar has, such as the 30th of February.
 */
export function openNightly(path: string, night: Night, run: (signal: AbortSignal) => Promise<unknown>): () => void {
  const closing = new AbortController();
  const begin = (): void => {
    void run(AbortSignal.any([closing.signal, AbortSignal.timeout(night.minutes * MINUTE_MS)]));
  };
  const tasks: ScheduledTask[] = [];
  try {
    tasks.push(schedule(night.cron, begin, { timezone: night.timeZone, noOverlap: true }));
    tasks.push(scheduleSkipped(night, begin));
  } catch (cause) {
    for (const task of tasks) void task.destroy();
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new AgentError('AGENT_CONFIG_INVALID', `${path}.cron "${night.cron}" cannot be used: ${reason}`, { cause });
  }
  return () => {
    closing.abort();
    for (const task of tasks) void task.destroy();
  };
}
