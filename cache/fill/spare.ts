// Watches the loop while fills run in the background, so that they take what answering viewers leaves over.
import { ALL_SPARE, spareAfter } from '../rules/spare.ts';

/** Between two looks: shorter than the turns that are looked for. */
const LOOK_MS = 5;
/** After the last bytes in the background the watch goes on for so long. */
const QUIET_MS = 1_000;

/** The share of fills in the background. */
export type SpareWatch = {
  /** Counts bytes that came in the background; gives the time (performance.now) before which no more should. */
  readonly took: (bytes: number) => number;
  readonly close: () => void;
};

function threadMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** Opens a watch, which runs only while there is something to pace. `answered`: viewers answered so far. */
export function watchSpare(answered: () => number): SpareWatch {
  let spare = ALL_SPARE;
  let timer: NodeJS.Timeout | undefined;
  let untilMs = 0;
  let tookAtMs = 0;
  let seen = { atMs: 0, busyMs: 0, answered: 0 };
  const see = () => ({ atMs: performance.now(), busyMs: threadMs(), answered: answered() });
  const look = (): void => {
    const now = see();
    spare = spareAfter(spare, {
      atMs: now.atMs,
      lateMs: now.atMs - seen.atMs - LOOK_MS,
      busyMs: now.busyMs - seen.busyMs,
      answered: now.answered - seen.answered,
    });
    seen = now;
    if (now.atMs - tookAtMs < QUIET_MS) return;
    clearInterval(timer);
    timer = undefined;
  };
  return {
    took: (bytes) => {
      tookAtMs = performance.now();
      if (timer === undefined) {
        const { answered: before } = seen;
        seen = see();
        // Those who were answered while nobody looked count as one look.
        spare = spareAfter(spare, { atMs: tookAtMs, lateMs: 0, busyMs: 0, answered: seen.answered - before });
        timer = setInterval(look, LOOK_MS);
        timer.unref();
      }
      untilMs = Math.max(untilMs, tookAtMs) + (bytes / spare.perSecond) * 1000;
      return untilMs;
    },
    close: () => clearInterval(timer),
  };
}
