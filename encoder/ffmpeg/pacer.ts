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
  return new ProcessPacer(parallel);
}

class ProcessPacer implements Pacer {
  readonly #parallel: number;
  readonly #tracked = new Set<Tracked>();
  readonly #listeners = new Set<() => void>();
  #pace = 1;
  #timer: NodeJS.Timeout | undefined;
  /** Of a pause: processes that run may end until then; milliseconds of performance.now(). */
  #graceEndsAt = 0;

  constructor(parallel: number) {
    this.#parallel = parallel;
  }

  slots(): number {
    return this.#pace === 0 ? 0 : Math.max(1, Math.ceil(this.#parallel * this.#pace - 1e-9));
  }

  setPace(wanted: number, graceMs: number): void {
    this.#pace = Math.min(1, Math.max(0, wanted));
    this.#graceEndsAt = performance.now() + graceMs;
    this.#beat();
    if (this.#pace > 0) this.#tell();
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  track(child: PacedProcess): () => void {
    const each: Tracked = { child, isHeld: false };
    this.#tracked.add(each);
    if (this.#timer === undefined) this.#beat();
    return () => {
      this.#tracked.delete(each);
      if (this.isStill()) this.#tell();
    };
  }

  isStill(): boolean {
    return this.#pace === 0 && [...this.#tracked].every(({ isHeld }) => isHeld);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#hold(false);
    this.#tracked.clear();
    this.#listeners.clear();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  #hold(isHeld: boolean): void {
    for (const each of this.#tracked) {
      if (each.isHeld === isHeld) continue;
      each.isHeld = isHeld;
      if (isHeld) each.child.onHeld(true);
      each.child.kill(isHeld ? 'SIGSTOP' : 'SIGCONT');
      if (!isHeld) each.child.onHeld(false);
    }
  }

  #pause(): void {
    const leftMs = this.#graceEndsAt - performance.now();
    if (leftMs > 0 && this.#tracked.size > 0) {
      this.#hold(false);
      this.#timer = setTimeout(() => this.#pause(), leftMs);
      return;
    }
    this.#hold(true);
    this.#tell();
  }

  /** One period: run for the share that this many processes have of it, be held for the rest. */
  #beat(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#pace === 0) {
      this.#pause();
      return;
    }
    this.#hold(false);
    const running = Math.max(1, this.slots(), this.#tracked.size);
    const runMs = Math.min(1, (this.#parallel * this.#pace) / running) * PERIOD_MS;
    if (this.#tracked.size === 0 || PERIOD_MS - runMs < LEAST_MS) return;
    const rest = (): void => {
      this.#hold(true);
      this.#timer = setTimeout(() => this.#beat(), PERIOD_MS - runMs);
    };
    this.#timer = setTimeout(rest, Math.max(LEAST_MS, runMs));
  }
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
