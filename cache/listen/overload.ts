// Watches the event loop of this thread, so that newcomers are turned away while it falls behind.
import { afterLook, afterNewcomer, UNLOADED } from '../rules/overload.ts';

/** Between two looks at the loop. */
const TICK_MS = 10;

/** A watch of the loop. */
export type OverloadWatch = {
  /** One more newcomer: the milliseconds after which he is let in, 0 at once; undefined: turned away. */
  readonly waitMs: () => number | undefined;
  /** To be called when one who was let in has had the first answer, or has left. */
  readonly served: () => void;
  readonly close: () => void;
};

function busyMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** Starts to watch; turns longer than `targetMs` are late. 0: everybody is let in. */
export function watchOverload(targetMs: number): OverloadWatch {
  if (targetMs === 0) return { waitMs: () => 0, served: () => undefined, close: () => undefined };
  let load = UNLOADED;
  let served = 0;
  let workedMs = busyMs();
  let turns = performance.nodeTiming.uvMetricsInfo.loopCount;
  const timer = setInterval(() => {
    const nowWorkedMs = busyMs();
    const { loopCount } = performance.nodeTiming.uvMetricsInfo;
    const turnMs = (nowWorkedMs - workedMs) / Math.max(1, loopCount - turns);
    load = afterLook(load, { atMs: performance.now(), busyMs: nowWorkedMs, turnMs, served }, targetMs);
    workedMs = nowWorkedMs;
    turns = loopCount;
  }, TICK_MS);
  timer.unref();
  return {
    waitMs: () => {
      const after = afterNewcomer(load, performance.now());
      load = after.load;
      return after.waitMs;
    },
    served: () => {
      served += 1;
    },
    close: () => clearInterval(timer),
  };
}
