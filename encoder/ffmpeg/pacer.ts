// Holds back the ffmpeg processes of a job: how many may run, for which part of the time, and whether any may at all.
// A process that is held is stopped by SIGSTOP, keeps what it has, and goes on where it was.

/** A process as the pacer sees it. */
export type PacedProcess = {
  readonly kill: (signal: 'SIGSTOP' | 'SIGCONT') => void;
  /** Told before it is stopped and after it goes on, so that a watchdog does not count the time between. */
  readonly onHeld: (isHeld: boolean) => void;
};

/** How fast a job may go; shared by all its processes. */
export type Pacer = {
  /** Processes that may run at once; 0 while the job is paused. */
  readonly slots: () => number;
  /**
   * 0..1: the share of `parallel` processes that may run, in whole processes and, for what is left over, in parts of
   * each second. At 0 no process is started, and those that run may go on for graceMs to reach their end.
   */
  readonly setPace: (pace: number, graceMs: number) => void;
  /** Calls on each change of slots(), and when a pause is complete: nothing runs any more. Gives what ends that. */
  readonly onChange: (listener: () => void) => () => void;
  /** A process that runs from now on; gives what to call when it has ended. */
  readonly track: (child: PacedProcess) => () => void;
  /** Of a paused job: every process has ended or is stopped. */
  readonly isStill: () => boolean;
  /** Lets every process go on and forgets them. */
  readonly close: () => void;
};

/** Parts of the time are parts of this; short enough for what heats, long enough to be worth the switching. */
const PERIOD_MS = 1_000;
/** A share that would leave less of a period than this, either way, is rounded. */
const LEAST_MS = 20;

type Tracked = { readonly child: PacedProcess; isHeld: boolean };

/** A pacer at full pace for at most `parallel` processes. */
export function createPacer(parallel: number): Pacer {
  const tracked = new Set<Tracked>();
  const listeners = new Set<() => void>();
  let pace = 1;
  let timer: NodeJS.Timeout | undefined;
  /** Of a pause: processes that run may end until then; milliseconds of performance.now(). */
  let graceEndsAt = 0;

  const slots = (): number => (pace === 0 ? 0 : Math.max(1, Math.ceil(parallel * pace - 1e-9)));
  /** Part of each period in which the running processes may run. */
  const duty = (): number => (pace === 0 ? 0 : Math.min(1, (parallel * pace) / Math.max(1, slots(), tracked.size)));
  const isStill = (): boolean => pace === 0 && [...tracked].every(({ isHeld }) => isHeld);
  const tell = (): void => {
    for (const listener of listeners) listener();
  };
  const hold = (isHeld: boolean): void => {
    for (const each of tracked) {
      if (each.isHeld === isHeld) continue;
      each.isHeld = isHeld;
      if (isHeld) each.child.onHeld(true);
      each.child.kill(isHeld ? 'SIGSTOP' : 'SIGCONT');
      if (!isHeld) each.child.onHeld(false);
    }
  };
  const pause = (): void => {
    const leftMs = graceEndsAt - performance.now();
    if (leftMs > 0 && tracked.size > 0) {
      hold(false);
      timer = setTimeout(pause, leftMs);
      return;
    }
    hold(true);
    tell();
  };
  /** One period: run for the duty, be held for the rest. */
  const beat = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (pace === 0) {
      pause();
      return;
    }
    hold(false);
    const runMs = duty() * PERIOD_MS;
    if (tracked.size === 0 || PERIOD_MS - runMs < LEAST_MS) return;
    timer = setTimeout(
      () => {
        hold(true);
        timer = setTimeout(beat, PERIOD_MS - runMs);
      },
      Math.max(LEAST_MS, runMs),
    );
  };
  return {
    slots,
    setPace: (wanted, graceMs) => {
      pace = Math.min(1, Math.max(0, wanted));
      graceEndsAt = performance.now() + graceMs;
      beat();
      if (pace > 0) tell();
    },
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    track: (child) => {
      const each: Tracked = { child, isHeld: false };
      tracked.add(each);
      if (timer === undefined) beat();
      return () => {
        tracked.delete(each);
        if (pace === 0 && isStill()) tell();
      };
    },
    isStill,
    close: () => {
      clearTimeout(timer);
      hold(false);
      tracked.clear();
      listeners.clear();
    },
  };
}

/** A timer that counts only the time in which its process runs. */
export type Watchdog = {
  /** Progress was made: all of the time is left again. */
  readonly refresh: () => void;
  readonly hold: (isHeld: boolean) => void;
  readonly clear: () => void;
};

/** Calls `expired` once after so many milliseconds without refresh(), not counting those in which it was held. */
export function createWatchdog(limitMs: number, expired: () => void): Watchdog {
  let leftMs = limitMs;
  let startedAt = performance.now();
  let timer: NodeJS.Timeout | undefined = setTimeout(expired, leftMs);
  const start = (): void => {
    startedAt = performance.now();
    timer = setTimeout(expired, leftMs);
  };
  return {
    refresh: () => {
      leftMs = limitMs;
      if (timer === undefined) return;
      clearTimeout(timer);
      start();
    },
    hold: (isHeld) => {
      if (isHeld === (timer === undefined)) return;
      if (!isHeld) return start();
      clearTimeout(timer);
      timer = undefined;
      leftMs = Math.max(1, leftMs - (performance.now() - startedAt));
    },
    clear: () => clearTimeout(timer),
  };
}
