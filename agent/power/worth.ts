// Whether encoding a title pays, and which one pays most: bytes that its viewers will not need against what fetching its
// source costs, and against processor time. Pure.

/** The time that a title's worth is counted over, days: what comes later is too unsure to pay for today. */
export const HORIZON_DAYS = 14;

/** What encoding can save and cost at this node, from titles that were encoded here, or as first assumed. */
export type Experience = {
  /** Bits a second that a viewer gets of the ladder that titles have today. */
  readonly deliveredBps: number;
  /** Part of these that our ladder spares, 0..1. */
  readonly savedRatio: number;
  /** CPU-seconds to encode a second of video. */
  readonly cpuSecondsPerSecond: number;
};

/** Before any title was encoded; one title counts as much as this. */
const FIRST: Experience = {
  // The middle rungs of the fixed reference ladder (encoder/plan/savings.ts).
  deliveredBps: 2_500_000,
  // Low against the 40 % of the benchmark: a promise must not be paid for in advance.
  savedRatio: 0.25,
  // 15.75 s of 720p took 120 CPU-seconds.
  cpuSecondsPerSecond: 7.6,
};

/** A title that was encoded here: its package's own estimate, and what it took. */
export type Encoded = {
  readonly durationSeconds: number;
  readonly referenceBps: number;
  readonly savedRatio: number;
  readonly cpuSeconds: number;
};

/** What a package on disk may say: others wrote it, too. */
const isSane = ({ deliveredBps, savedRatio, cpuSecondsPerSecond }: Experience): boolean =>
  deliveredBps > 0 &&
  deliveredBps < 1e10 &&
  Number.isFinite(savedRatio) &&
  cpuSecondsPerSecond >= 0 &&
  cpuSecondsPerSecond < 1e6;

/** The mean of what was seen, each title by its length but at most an hour, and FIRST as one title of ten minutes. */
export function learn(encoded: readonly Encoded[]): Experience {
  const firstSeconds = 600;
  const sum = { seconds: firstSeconds, delivered: 0, saved: 0, cpu: 0 };
  sum.delivered = FIRST.deliveredBps * firstSeconds;
  sum.saved = FIRST.savedRatio * sum.delivered;
  sum.cpu = FIRST.cpuSecondsPerSecond * firstSeconds;
  for (const { durationSeconds, referenceBps, savedRatio, cpuSeconds } of encoded) {
    const seconds = Math.min(3600, durationSeconds);
    const cpuSecondsPerSecond = cpuSeconds / durationSeconds;
    if (!isSane({ deliveredBps: referenceBps, savedRatio, cpuSecondsPerSecond }) || durationSeconds < 1) continue;
    sum.seconds += seconds;
    sum.delivered += referenceBps * seconds;
    sum.saved += Math.min(1, Math.max(0, savedRatio)) * referenceBps * seconds;
    sum.cpu += cpuSecondsPerSecond * seconds;
  }
  return {
    deliveredBps: sum.delivered / sum.seconds,
    savedRatio: sum.saved / sum.delivered,
    cpuSecondsPerSecond: sum.cpu / sum.seconds,
  };
}

/** A title that could be encoded. */
export type Candidate = {
  /** Undefined when nobody has said it: then an hour, which changes no order. */
  readonly durationSeconds: number | undefined;
  /** Views expected within the horizon, each of the whole title. */
  readonly views: number;
  /** What fetching its source costs; 0 for a file that is here. */
  readonly sourceBytes: number;
};

/** What a title is worth. */
export type Worth = {
  readonly watchHours: number;
  /** That its viewers will not need within the horizon. */
  readonly savedBytes: number;
  readonly sourceBytes: number;
  readonly cpuHours: number;
  /** By which jobs are ordered. */
  readonly savedBytesPerCpuHour: number;
  /** More is saved than its source costs. */
  readonly pays: boolean;
};

const UNKNOWN_SECONDS = 3600;

/** The worth of encoding a title now. */
export function worthOf({ durationSeconds, views, sourceBytes }: Candidate, experience: Experience): Worth {
  const seconds = durationSeconds !== undefined && durationSeconds > 0 ? durationSeconds : UNKNOWN_SECONDS;
  const watchSeconds = Math.max(0, views) * seconds;
  const savedBytes = (watchSeconds * experience.deliveredBps * experience.savedRatio) / 8;
  const cpuHours = (seconds * experience.cpuSecondsPerSecond) / 3600;
  return {
    watchHours: watchSeconds / 3600,
    savedBytes,
    sourceBytes,
    cpuHours,
    savedBytesPerCpuHour: cpuHours > 0 ? savedBytes / cpuHours : 0,
    pays: savedBytes > sourceBytes,
  };
}

/** A job as it waits. */
export type Waiting = {
  /** When it must be ready, milliseconds since the epoch; undefined: it need not. */
  readonly dueAt: number | undefined;
  /** False: it waits until it pays. */
  readonly isForced: boolean;
  readonly worth: Worth;
};

/** Whether the job may run at all. */
export const mayRun = ({ isForced, dueAt, worth }: Waiting): boolean => isForced || dueAt !== undefined || worth.pays;

/**
 * Which of two jobs goes first, for sorting: the one that is due first, then what saves most in each CPU-hour. 0: as
 * they came.
 */
export function byOrder(one: Waiting, other: Waiting): number {
  const due = (one.dueAt ?? Number.POSITIVE_INFINITY) - (other.dueAt ?? Number.POSITIVE_INFINITY);
  if (due !== 0 && !Number.isNaN(due)) return due;
  return other.worth.savedBytesPerCpuHour - one.worth.savedBytesPerCpuHour;
}
