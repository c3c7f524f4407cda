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
 * How many times the target the turns must then take. Newcomers who are more than can be served make each turn longer than
 * the one before; those inside, a piece of a large object each in every turn, make them no longer than that.
 */
const STANDING = 5;
/**
 * The rate falls and grows as in SEDA's admission control (Welsh and Culler, "Adaptive Overload Control for Busy Internet
 * Servers", USITS 2003, section 3.2), here judged by the turns of the loop: at first to a fifth below what was served while
 * the queue stood, by a fifth for each later queue, and back by half per second while there is none.
 */
const CUT = 0.8;
const GROWTH_PER_SECOND = 1.5;
/** A process that works for less than half of the time, as of the last 100 ms, could serve twice as many: twice in 100 ms. */
const IDLE_GROWTH_PER_SECOND = 2 ** 10;
const BUSY_OVER_MS = 100;
/** Without anybody turned away for so long, there is no limit any more. */
const LIFTED_MS = 1_000;
/** Newcomers per second who are let in whatever happens: the load may be of those who are inside. */
const LEAST_PER_SECOND = 50;
/** Who may come at once after a pause: as many as come in this time, at least the connections of a browser. */
const BURST_SECONDS = 0.02;
const LEAST_BURST = 8;

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
  /** Who may come now. */
  readonly room: number;
  /** The part of the time that the process works, 0-1, while newcomers are limited. */
  readonly busy: number;
  readonly busyMs: number;
  readonly atMs: number;
  readonly refusedAtMs: number;
};

/** No queue, no limit. */
export const UNLOADED: Load = {
  ...{ first: undefined, looks: 0, isLate: false, perSecond: Number.POSITIVE_INFINITY },
  ...{ room: Number.POSITIVE_INFINITY, busy: 1, busyMs: 0, atMs: 0, refusedAtMs: 0 },
};

/** The load after one more look; turns longer than `targetMs` are a queue. */
export function afterLook(load: Load, look: Look, targetMs: number): Load {
  const isLate = look.turnMs > targetMs;
  if (load.perSecond === Number.POSITIVE_INFINITY) return isLate ? afterLate(load, look, targetMs) : UNLOADED;
  if (!isLate && look.atMs - load.refusedAtMs > LIFTED_MS) return UNLOADED;
  const seconds = (look.atMs - load.atMs) / 1000;
  const worked = Math.min(1, (look.busyMs - load.busyMs) / Math.max(1, look.atMs - load.atMs));
  const busy = worked + (load.busy - worked) * Math.exp(-(look.atMs - load.atMs) / BUSY_OVER_MS);
  const growth = busy < LEAST_BUSY ? IDLE_GROWTH_PER_SECOND : GROWTH_PER_SECOND;
  const factor = isLate ? (load.isLate ? 1 : CUT) : growth ** seconds;
  const perSecond = Math.max(LEAST_PER_SECOND, load.perSecond * factor);
  const nowPerSecond = isLate ? LEAST_PER_SECOND : perSecond;
  const room = Math.min(load.room + nowPerSecond * seconds, Math.max(LEAST_BURST, nowPerSecond * BURST_SECONDS));
  return { ...load, isLate, perSecond, room, busy, busyMs: look.busyMs, atMs: look.atMs };
}

/** A late look while everybody is let in. */
function afterLate(load: Load, look: Look, targetMs: number): Load {
  const first = load.first ?? look;
  const stoodMs = look.atMs - first.atMs;
  const looks = load.looks + 1;
  const isBusy = look.busyMs - first.busyMs >= stoodMs * LEAST_BUSY;
  const isBurst = looks < LOOKS || stoodMs < (isBusy ? INTERVAL_MS : STARVED_INTERVAL_MS);
  if (isBurst || look.turnMs <= targetMs * STANDING) return { ...load, first, looks };
  const servedPerSecond = ((look.served - first.served) / stoodMs) * 1000;
  const perSecond = Math.max(LEAST_PER_SECOND, servedPerSecond * CUT);
  const { atMs, busyMs } = look;
  return { ...UNLOADED, isLate: true, perSecond, room: 0, busyMs, atMs, refusedAtMs: atMs };
}

/** What becomes of a newcomer: let in when `room` is 1 less afterwards, turned away when `refusedAtMs` is now. */
export function afterNewcomer(load: Load, atMs: number): { readonly load: Load; readonly isLetIn: boolean } {
  if (load.room >= 1) return { load: { ...load, room: load.room - 1 }, isLetIn: true };
  return { load: { ...load, refusedAtMs: atMs }, isLetIn: false };
}
