// How many newcomers a process that falls behind lets in: a queue is judged as CoDel judges one, so that a burst is taken in,
// and a standing one is answered with a rate that falls by a factor and grows back while turns are short.

/** A queue that has stood for so long is no burst (CoDel's interval, RFC 8289 section 4.3). */
const INTERVAL_MS = 100;
/** And for so many looks: two long turns are a collection of the heap, or a process that was not given a CPU. */
const LOOKS = 3;
/** Of that time, the part that this process must have worked; with less it waits for others, and longer is looked at it. */
const LEAST_BUSY = 0.5;
const STARVED_INTERVAL_MS = 1_000;
/**
 * The rate falls and grows as in SEDA's admission control (Welsh and Culler, "Adaptive Overload Control for Busy Internet
 * Servers", USITS 2003, section 3.2), here judged by the turns of the loop: at first to a fifth below what was served while
 * the queue stood, by a fifth for each later queue, and back by half per second while there is none.
 */
const CUT = 0.8;
const GROWTH_PER_SECOND = 1.5;
/** Without anybody turned away for so long, there is no limit any more. */
const LIFTED_MS = 1_000;
/** Newcomers per second who are let in whatever happens: the load may be of those who are inside. */
const LEAST_PER_SECOND = 50;
/** Who may come at once after a pause: as many as come in this time, at least the connections of a browser. */
const BURST_SECONDS = 0.02;
const LEAST_BURST = 8;
/** And who may come before there is room, and waits for it: the connections of one more browser, at least 50 a second. */
const MOST_WAITING = 8;

/**
 * A look at the loop: when, the CPU time of its thread so far and the part of it that each turn has taken since the look
 * before (all milliseconds), and the newcomers so far who had their first answer, or left. CPU time, for waiting for a CPU that others have is not
 * shortened by turning viewers away; where they pile up meanwhile, turns grow.
 */
export type Look = {
  readonly atMs: number;
  readonly busyMs: number;
  readonly turnMs: number;
  readonly served: number;
};

/** What is known of a process. */
export type Load = {
  /** The first look of a queue while nobody is turned away, and the looks that have found it. */
  readonly first: Look | undefined;
  readonly looks: number;
  readonly isLate: boolean;
  /** Newcomers who are let in; Infinity: all. */
  readonly perSecond: number;
  /** Who may come now; below 0: who has come and waits. */
  readonly room: number;
  readonly atMs: number;
  readonly refusedAtMs: number;
};

/** No queue, no limit. */
export const UNLOADED: Load = {
  ...{ first: undefined, looks: 0, isLate: false, perSecond: Number.POSITIVE_INFINITY },
  ...{ room: Number.POSITIVE_INFINITY, atMs: 0, refusedAtMs: 0 },
};

/** The load after one more look; turns longer than `targetMs` are a queue. */
export function afterLook(load: Load, look: Look, targetMs: number): Load {
  const isLate = look.turnMs > targetMs;
  if (load.perSecond === Number.POSITIVE_INFINITY) return isLate ? afterLate(load, look) : UNLOADED;
  if (!isLate && look.atMs - load.refusedAtMs > LIFTED_MS) return UNLOADED;
  const seconds = (look.atMs - load.atMs) / 1000;
  const factor = isLate ? (load.isLate ? 1 : CUT) : GROWTH_PER_SECOND ** seconds;
  const perSecond = Math.max(LEAST_PER_SECOND, load.perSecond * factor);
  const nowPerSecond = isLate ? LEAST_PER_SECOND : perSecond;
  const room = Math.min(load.room + nowPerSecond * seconds, Math.max(LEAST_BURST, nowPerSecond * BURST_SECONDS));
  return { ...load, isLate, perSecond, room, atMs: look.atMs };
}

/** A late look while everybody is let in. */
function afterLate(load: Load, look: Look): Load {
  const first = load.first ?? look;
  const stoodMs = look.atMs - first.atMs;
  const looks = load.looks + 1;
  const isBusy = look.busyMs - first.busyMs >= stoodMs * LEAST_BUSY;
  if (looks < LOOKS || stoodMs < (isBusy ? INTERVAL_MS : STARVED_INTERVAL_MS)) return { ...load, first, looks };
  const servedPerSecond = ((look.served - first.served) / stoodMs) * 1000;
  const perSecond = Math.max(LEAST_PER_SECOND, servedPerSecond * CUT);
  return { ...UNLOADED, isLate: true, perSecond, room: 0, atMs: look.atMs, refusedAtMs: look.atMs };
}

/**
 * What becomes of a newcomer: let in after `waitMs` milliseconds, 0 at once, or turned away. Only who is turned away keeps
 * the limit up: while all find room in the end, no queue is longer than that of those who wait.
 */
export function afterNewcomer(load: Load, atMs: number): { readonly load: Load; readonly waitMs: number | undefined } {
  const room = load.room - 1;
  if (room < -MOST_WAITING) return { load: { ...load, refusedAtMs: atMs }, waitMs: undefined };
  const perSecond = load.isLate ? LEAST_PER_SECOND : load.perSecond;
  return { load: { ...load, room }, waitMs: room < 0 ? (-room / perSecond) * 1000 : 0 };
}
