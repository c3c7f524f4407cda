// Switches prefetch off by itself when the counterfactual meter is sure that it costs the origin more than it saves, says so,
// and tries again later, each time after a longer pause.
import type { Log } from '../../cache/cache.ts';
import type { PrefetchCost } from '../simulate/meter.ts';
import { readSnapshot } from '../snapshot.ts';

/** How it stands. `since` and `retryAt` in milliseconds since the epoch. */
export type SwitchStats = {
  readonly isOn: boolean;
  readonly since: number;
  /** Undefined while it is on. */
  readonly retryAt: number | undefined;
  /** Times that it went off, since start. */
  readonly offs: number;
  /** What was measured last, in words; empty before the first time. */
  readonly because: string;
};

/** What openSwitch() needs. */
export type SwitchOptions = {
  /** Share of the origin's bytes that prefetch may cost before it goes off, 0..1: in sessions it buys time, not bytes. */
  readonly maxCostRatio: number;
  readonly cost: (sinceMs: number) => Promise<PrefetchCost>;
  readonly snapshots: {
    readonly get: (name: string) => string | undefined;
    readonly put: (name: string, json: string) => void;
  };
  readonly onOff: () => void;
  readonly now: () => number;
  readonly log: Log;
};

/** The switch. */
export type Switch = {
  readonly isOn: () => boolean;
  /** Looks at the meter; every few minutes. Never rejects. */
  readonly look: () => Promise<void>;
  readonly stats: () => SwitchStats;
};

const HOUR_MS = 3_600_000;
/** Nothing is judged by less, and nothing older than a day counts. */
const LEAST_HOURS = 6;
const WINDOW_MS = 24 * HOUR_MS;
/** Between going off and the next try: doubled each time that it goes off again before it has been on for a day. */
const FIRST_RETRY_MS = 6 * HOUR_MS;
const LONGEST_RETRY_MS = 48 * HOUR_MS;
const SNAPSHOT = 'prefetch-switch';
const VERSION = 1;

/** What is kept over a restart. */
type Kept = { readonly isOn: boolean; readonly since: number; readonly retryMs: number };

const percent = (ratio: number): string => `${(100 * ratio).toFixed(1)} %`;

/** Whether it is sure that prefetch costs more than it may, though it spares the origin no peak. */
export function isTooDear(
  { hours, originBytes, originP95, withoutBytes }: PrefetchCost,
  maxCostRatio: number,
): boolean {
  if (hours < LEAST_HOURS || withoutBytes <= 0) return false;
  const sparesPeak = hours >= 24 && originP95.high < 0;
  return originBytes.low > maxCostRatio * withoutBytes && !sparesPeak;
}

function restore(json: string | undefined, now: number): Kept {
  const saved = readSnapshot(json, VERSION);
  if (saved === undefined) return { isOn: true, since: now, retryMs: FIRST_RETRY_MS };
  const { isOn = false, since, retryMs } = saved;
  const pauseMs = typeof retryMs === 'number' ? retryMs : FIRST_RETRY_MS;
  return {
    isOn: isOn !== false,
    since: typeof since === 'number' ? Math.min(now, since) : now,
    retryMs: Math.max(FIRST_RETRY_MS, Math.min(LONGEST_RETRY_MS, pauseMs)),
  };
}

/** Opens the switch as an earlier run left it; at first it is on. */
export function openSwitch(options: SwitchOptions): Switch {
  const { cost, maxCostRatio, now, log } = options;
  let kept = restore(options.snapshots.get(SNAPSHOT), now());
  let offs = 0;
  let because = '';
  let isLooking = false;
  const change = (next: Kept): void => {
    kept = next;
    options.snapshots.put(SNAPSHOT, JSON.stringify({ version: VERSION, ...next }));
  };
  const judge = async (): Promise<void> => {
    const { isOn, since, retryMs } = kept;
    if (!isOn) {
      if (now() - since < retryMs) return;
      // If it goes off again before it was on for a day, it stays off for longer.
      change({ isOn: true, since: now(), retryMs: Math.min(LONGEST_RETRY_MS, 2 * retryMs) });
      log('info', 'prefetch.retried', { afterHours: retryMs / HOUR_MS });
      return;
    }
    const found = await cost(Math.max(since, now() - WINDOW_MS));
    const { hours, originBytes, withoutBytes } = found;
    const of = (bytes: number): string => percent(withoutBytes > 0 ? bytes / withoutBytes : 0);
    because = `over ${hours.toFixed(1)} h it cost ${of(originBytes.value)} of the origin's bytes (${of(originBytes.low)} to ${of(originBytes.high)})`;
    if (isTooDear(found, maxCostRatio)) {
      change({ isOn: false, since: now(), retryMs });
      offs += 1;
      log('warn', 'prefetch.switched-off', { because, retryHours: retryMs / HOUR_MS });
      options.onOff();
    } else if (hours >= 24 && retryMs > FIRST_RETRY_MS) change({ isOn, since, retryMs: FIRST_RETRY_MS });
  };
  return {
    isOn: () => kept.isOn,
    look: async () => {
      if (isLooking) return;
      isLooking = true;
      try {
        await judge();
      } catch (error) {
        log('error', 'prefetch.not-judged', { message: String(error) });
      } finally {
        isLooking = false;
      }
    },
    stats: () => ({
      ...{ isOn: kept.isOn, since: kept.since, offs, because },
      retryAt: kept.isOn ? undefined : kept.since + kept.retryMs,
    }),
  };
}
