// What follows from what a consented viewer does: a new plan of what they may open next, within milliseconds of a change
// in what it is made of and at least every 90 s, and for all viewers together what is turned to after what.
import { newHistogram, type Observed, observe } from './histogram.ts';
import type { Ranking, RankQuestion } from './model/predictor.ts';
import type { RankedTitle } from './predict/rank.ts';
import { turnedFrom } from './predict/transitions.ts';
import { remember } from './remember.ts';
import type { Session } from './telemetry/session.ts';

/** What openPlans() needs. Callbacks are synchronous and must not throw. */
export type PlansOptions = {
  readonly rank: (question: RankQuestion) => Promise<Ranking>;
  readonly sessionOf: (sid: string) => Session | undefined;
  readonly turned: (titleId: string, before: readonly string[]) => void;
  /** The likeliest next titles of a session, best first; what plays now is not among them. */
  readonly onPlan: (titles: readonly RankedTitle[], sid: string) => void;
  /** Most sessions that are remembered here, as many as there may be. */
  readonly maxSessions: number;
  readonly now: () => number;
};

/** Counts since start; `seconds` from the event to its plan. */
export type PlansStats = {
  readonly made: number;
  /** Sessions that wanted a plan while MAX_WAITING others did. */
  readonly dropped: number;
  readonly seconds: Observed;
};

/** Open plans. */
export type Plans = {
  /** Something came from a consented session: an event, or a request that its player explained. Cheap when it is not new. */
  readonly heard: (session: Session) => void;
  /** Forgets sessions that are gone; every minute. */
  readonly sweep: () => void;
  /** Resolves when no plan is waiting or being made. */
  readonly idle: () => Promise<void>;
  readonly stats: () => PlansStats;
  readonly close: () => void;
};

/** A plan is never older than this while its viewer is active. */
const REFRESH_MS = 90_000;
/** Two minutes watched since the last plan change a taste. */
const WATCHED_SECONDS = 120;
/** Titles of a plan. */
const PLANNED_TITLES = 20;
/** Sessions that wait for a plan, and plans under way at once. */
const MAX_WAITING = 1_000;
const MAX_RUNNING = 4;
/**
 * Plans a second at most, refilled evenly, up to as many saved up: at about two milliseconds each over 100,000 titles
 * they take no more than a fifth of the viewers' thread. Further sessions wait, and keep only their latest wish.
 */
const PLANS_PER_SECOND = 100;

/** What a session's last plan was made of, as far as it may change: titles by id, and how far. */
type Known = {
  readonly plannedAt: number;
  /** What plays, or played last. */
  readonly titleId: string | undefined;
  readonly watchedSeconds: number;
  readonly isCompleted: boolean;
  readonly made: Made;
};

/** What a plan follows at once, each compared as it is. */
type Made = readonly [
  playing: string | undefined,
  latest: string | undefined,
  hovered: string | undefined,
  looked: string | undefined,
  dwelt: string | undefined,
  announced: string | undefined,
];

/** Opens plans. */
export function openPlans(options: PlansOptions): Plans {
  const known = new Map<string, Known>();
  const counts = { made: 0, dropped: 0 };
  const seconds = newHistogram();
  const make = async (session: Session, since: number): Promise<void> => {
    const { titles } = await options.rank({ session, limit: PLANNED_TITLES });
    counts.made += 1;
    observe(seconds, (performance.now() - since) / 1000);
    options.onPlan(
      titles.filter(({ titleId }) => titleId !== session.current?.titleId),
      session.sid,
    );
  };
  const queue = openQueue({ sessionOf: options.sessionOf, make, allow: openAllowance(options.now) });

  return {
    heard: (session) => {
      const { sid } = session;
      const before = known.get(sid);
      const made = madeOf(session, before);
      if (!isNew(made, before) && !isDue(session, before, options.now())) return;
      const turnedTo = turnOf(session, before);
      if (turnedTo !== undefined) options.turned(turnedTo, turnedFrom({ history: session.history.slice(1) }));
      remember(known, sid, { ...knownNow(session, before, options.now()), made }, options.maxSessions);
      if (!queue.push(sid)) counts.dropped += 1;
    },
    sweep: () => {
      for (const sid of known.keys()) if (options.sessionOf(sid) === undefined) known.delete(sid);
    },
    idle: queue.idle,
    stats: () => ({ ...counts, seconds }),
    close: queue.close,
  };
}

type QueueOptions = Pick<PlansOptions, 'sessionOf'> & {
  readonly make: (session: Session, since: number) => Promise<void>;
  readonly allow: () => number;
};

/** Sessions that wait for their plan, each once, served in order as far as `allow` lets them. */
function openQueue({ sessionOf, make, allow }: QueueOptions) {
  /** Since when a session waits. */
  const waiting = new Map<string, number>();
  const running = new Set<Promise<void>>();
  let turn: NodeJS.Immediate | undefined;
  let pause: NodeJS.Timeout | undefined;
  /** Who waits until nothing is left to do. */
  let idlers: (() => void)[] = [];
  const schedule = (): void => {
    if (waiting.size > 0 && turn === undefined && pause === undefined) turn = setImmediate(work);
    if (waiting.size > 0 || running.size > 0) return;
    for (const resolve of idlers) resolve();
    idlers = [];
  };
  const work = (): void => {
    turn = undefined;
    for (const [sid, since] of waiting) {
      if (running.size >= MAX_RUNNING) return;
      const session = sessionOf(sid);
      if (session === undefined) {
        waiting.delete(sid);
        continue;
      }
      const waitMs = allow();
      if (waitMs > 0) {
        pause = setTimeout(() => {
          pause = undefined;
          schedule();
        }, waitMs);
        return;
      }
      waiting.delete(sid);
      const plan: Promise<void> = make(session, since).finally(() => {
        running.delete(plan);
        schedule();
      });
      running.add(plan);
    }
    schedule();
  };
  return {
    /** False when too many wait. */
    push: (sid: string): boolean => {
      if (waiting.has(sid)) return true;
      if (waiting.size >= MAX_WAITING) return false;
      waiting.set(sid, performance.now());
      schedule();
      return true;
    },
    idle: (): Promise<void> =>
      new Promise((resolve) => {
        idlers.push(resolve);
        schedule();
      }),
    close: (): void => {
      waiting.clear();
      clearImmediate(turn);
      clearTimeout(pause);
      schedule();
    },
  };
}

/** The title that a session turned to since it was last heard, if it did. */
const turnOf = ({ current }: Session, before: Known | undefined): string | undefined =>
  current !== undefined && current.titleId !== before?.titleId ? current.titleId : undefined;

/** A title that the player no longer announces may still be next: the last one that it did stands. */
const madeOf = ({ current, history, hovered, hovers, announced }: Session, before: Known | undefined): Made => [
  current?.titleId,
  history[0]?.titleId,
  hovered?.titleId,
  hovers[0]?.titleId,
  hovers[0]?.dwellBucket,
  announced?.titleId ?? before?.made[5],
];

const isNew = (made: Made, before: Known | undefined): boolean =>
  before === undefined || made.some((part, at) => part !== before.made[at]);

function isDue({ current }: Session, before: Known | undefined, now: number): boolean {
  if (before === undefined || now - before.plannedAt >= REFRESH_MS) return true;
  if (current === undefined) return false;
  return (
    current.watchedSeconds - before.watchedSeconds >= WATCHED_SECONDS || current.isCompleted !== before.isCompleted
  );
}

/** A title that was left is still the one turned away from. */
const knownNow = ({ current }: Session, before: Known | undefined, now: number): Omit<Known, 'made'> => ({
  plannedAt: now,
  titleId: current?.titleId ?? before?.titleId,
  watchedSeconds: current?.watchedSeconds ?? before?.watchedSeconds ?? 0,
  isCompleted: current?.isCompleted ?? before?.isCompleted ?? false,
});

/** Takes one plan from the allowance: 0, or how many milliseconds until there is one. */
function openAllowance(now: () => number): () => number {
  let left = PLANS_PER_SECOND;
  let at = now();
  return () => {
    const passed = Math.max(0, now() - at);
    at = now();
    left = Math.min(PLANS_PER_SECOND, left + (passed * PLANS_PER_SECOND) / 1000);
    if (left < 1) return Math.ceil(((1 - left) * 1000) / PLANS_PER_SECOND);
    left -= 1;
    return 0;
  };
}
