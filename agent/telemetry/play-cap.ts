// Whether one more play of a title counts: so that who sends plays of one title, and be it a million, moves its popularity
// no further than a share of what all viewers watch. It knows titles alone, never who sent. Pure: times come in.

/** How plays are capped. */
export type PlayCapOptions = {
  /** Most that one title may have of the plays that count within a window, 0..1. */
  readonly titleRatio: number;
  /** Titles of a window that are told apart; further ones share one place. */
  readonly maxTitles?: number;
};

/** A cap over plays. */
export type PlayCap = {
  /** Whether this play counts; it is then counted. */
  readonly takes: (titleId: string, now: number) => boolean;
};

/** A quiet node counts so many plays of a title in a window whatever the others are. */
export const FREE_PLAYS = 20;
/** Long enough that an evening's start is not taken for a flood, short enough that a flood is over with it. */
const WINDOW_MS = 30 * 60_000;
const OVERFLOW = '';

type Window = { readonly counts: Map<string, number>; total: number };
const newWindow = (): Window => ({ counts: new Map(), total: 0 });

/**
 * Opens a cap. A title's count n over this window and the one before may reach FREE_PLAYS, or else as many as keep
 * n / (n + others) at `titleRatio` at most.
 */
export function createPlayCap({ titleRatio, maxTitles = 20_000 }: PlayCapOptions): PlayCap {
  let windows: readonly [Window, Window] = [newWindow(), newWindow()];
  let index = Number.NEGATIVE_INFINITY;
  const turn = (now: number): void => {
    const next = Math.floor(now / WINDOW_MS);
    // A clock that was set back changes nothing until it has caught up.
    if (next <= index) return;
    windows = next === index + 1 ? [newWindow(), windows[0]] : [newWindow(), newWindow()];
    index = next;
  };
  return {
    takes: (titleId, now) => {
      turn(now);
      const [current, last] = windows;
      const name = current.counts.has(titleId) || current.counts.size < maxTitles ? titleId : OVERFLOW;
      const own = (current.counts.get(name) ?? 0) + (last.counts.get(name) ?? 0);
      const others = current.total + last.total - own;
      const most = titleRatio >= 1 ? Number.POSITIVE_INFINITY : (others * titleRatio) / (1 - titleRatio);
      if (own + 1 > Math.max(FREE_PLAYS, most)) return false;
      current.counts.set(name, (current.counts.get(name) ?? 0) + 1);
      current.total += 1;
      return true;
    },
  };
}
