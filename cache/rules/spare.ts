// How fast fills that no viewer waits for may be while viewers are answered by the same loop: what is left over, found as
// TCP finds a link's share.

const MIB = 1024 * 1024;

/**
 * Slow start, then additive increase, multiplicative decrease (RFC 5681 section 3.1; Chiu and Jain, "Analysis of the increase
 * and decrease algorithms for congestion avoidance", 1989), bytes per second: begun low, grown by this factor each second
 * until the first long turn, then by so much each second, and cut after a long turn.
 */
const FIRST_PER_SECOND = 8 * MIB;
const START_FACTOR_PER_SECOND = 16;
const GROWTH_PER_SECOND = 4 * MIB;
const CUT = 0.7;
/** Always allowed, so that viewers alone cannot stop what is fetched ahead for them: a segment of video a second. */
const LEAST_PER_SECOND = 4 * MIB;
/** What no disk or link of a node exceeds: numbers stay numbers. */
const MOST_PER_SECOND = 4096 * MIB;
/** Cuts are so far apart, milliseconds: what one has changed must show first. */
const CUT_EVERY_MS = 100;
/** Without an answer to a viewer for so long, milliseconds, nobody is in the way. */
const ALONE_MS = 2_000;
/** A turn that delayed a look by more, milliseconds, was long: a collection of the heap, or too many bytes at once. */
const LONG_TURN_MS = 4;

/** A look at the loop. */
export type SpareLook = {
  readonly atMs: number;
  /** By how much the look came too late, milliseconds. */
  readonly lateMs: number;
  /** CPU time of the thread since the look before, milliseconds: a look that others' work delayed is not this loop's. */
  readonly busyMs: number;
  /** Viewers who were answered since the look before. */
  readonly answered: number;
};

/** What fills in the background may take. */
export type Spare = {
  /** Bytes per second of all of them together; Infinity: whatever they can. */
  readonly perSecond: number;
  /** No long turn has been seen yet. */
  readonly isStarting: boolean;
  readonly atMs: number;
  readonly cutAtMs: number;
  readonly answeredAtMs: number;
};

/** Nobody is served. */
export const ALL_SPARE: Spare = {
  ...{ perSecond: Number.POSITIVE_INFINITY, isStarting: true, atMs: 0 },
  ...{ cutAtMs: Number.NEGATIVE_INFINITY, answeredAtMs: Number.NEGATIVE_INFINITY },
};

/** What may be taken after one more look. */
export function spareAfter(spare: Spare, { atMs, lateMs, busyMs, answered }: SpareLook): Spare {
  const answeredAtMs = answered > 0 ? atMs : spare.answeredAtMs;
  if (atMs - answeredAtMs > ALONE_MS) return ALL_SPARE;
  if (spare.perSecond === Number.POSITIVE_INFINITY) {
    return { perSecond: FIRST_PER_SECOND, isStarting: true, atMs, cutAtMs: atMs, answeredAtMs };
  }
  if (Math.min(lateMs, busyMs) > LONG_TURN_MS) {
    if (atMs - spare.cutAtMs < CUT_EVERY_MS) return { ...spare, atMs, answeredAtMs };
    const perSecond = Math.max(LEAST_PER_SECOND, spare.perSecond * CUT);
    return { perSecond, isStarting: false, atMs, cutAtMs: atMs, answeredAtMs };
  }
  const seconds = (atMs - spare.atMs) / 1000;
  const perSecond = spare.isStarting
    ? spare.perSecond * START_FACTOR_PER_SECOND ** seconds
    : spare.perSecond + GROWTH_PER_SECOND * seconds;
  return { ...spare, perSecond: Math.min(MOST_PER_SECOND, perSecond), atMs, answeredAtMs };
}
