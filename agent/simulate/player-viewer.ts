// How simulated viewers choose, pause, jump, go on and leave. All of it is assumed, since no data set of such actions is
// public: the chances were written down before anything was measured with them and not changed since. Many leave early, a
// jump is likeliest after a jump, intros are skipped, credits are left. Pure.
import type { Moment } from '../predict/anticipate.ts';
import { normal } from '../train/random.ts';

/** Chance from a seed, in [0, 1). */
export type Chance = () => number;

/** Habits: who watches to the end, who looks at the beginnings of many, who jumps about. */
export const HABITS = ['settled', 'grazing', 'skipping'] as const;
/** One of HABITS. */
export type Habit = (typeof HABITS)[number];

/** What matters of a title for those who watch it. */
export type WatchedTitle = {
  readonly durationSeconds: number;
  /** Where its intro begins and ends; undefined: it has none. */
  readonly intro: readonly [begin: number, end: number] | undefined;
  /** Best scenes, the best first. */
  readonly highlights: readonly number[];
  readonly hasNext: boolean;
};

/** What a viewer does. */
export type Act =
  | { readonly type: 'pause'; readonly seconds: number }
  | { readonly type: 'seek'; readonly toSeconds: number }
  | { readonly type: 'next' }
  | { readonly type: 'leave' };

const HABIT_SHARES: Readonly<Record<Habit, number>> = { settled: 0.5, grazing: 0.3, skipping: 0.2 };
/** Seconds between two of a kind, on average, in the middle of a title. */
const MEAN_SECONDS: Readonly<Record<Habit, { readonly leave: number; readonly seek: number; readonly pause: number }>> =
  {
    settled: { leave: 3600, seek: 900, pause: 900 },
    grazing: { leave: 900, seek: 500, pause: 1500 },
    skipping: { leave: 1800, seek: 150, pause: 1200 },
  };
/** In the first minute so many times as many leave. */
const EARLY_LEAVE: Readonly<Record<Habit, number>> = { settled: 2, grazing: 8, skipping: 4 };
const CREDITS_RATIO = 0.96;
/** After a jump another one follows within seconds. */
const BURST_SECONDS = 6;
const BURST_CHANCE = 0.12;
const INTRO_CHANCE = 0.08;
const CREDITS_NEXT = 0.06;
const CREDITS_LEAVE = 0.02;
/** Whoever has been away for this long leaves. */
const MAX_PAUSE_SECONDS = 900;

/** Draws a habit by its share. */
export function drawHabit(chance: Chance): Habit {
  let left = chance();
  for (const habit of HABITS) {
    left -= HABIT_SHARES[habit];
    if (left < 0) return habit;
  }
  return 'settled';
}

/** Where a jump leads: a step of the buttons, a best scene, or somewhere on the bar. */
function drawJump(title: WatchedTitle, from: number, chance: Chance): number {
  const kind = chance();
  if (kind < 0.35) return from - 10 * (1 + Math.floor(3 * chance()));
  if (kind < 0.75) return from + (chance() < 0.5 ? 10 : 30) * (1 + Math.floor(3 * chance()));
  const scene = title.highlights[Math.floor(title.highlights.length * chance() ** 2)];
  if (kind < 0.88 && scene !== undefined) return scene;
  const seconds = 180 * Math.exp(normal(chance));
  return chance() < 0.65 ? from + seconds : from - seconds;
}

function drawPause(chance: Chance): Act {
  const seconds = 20 * Math.exp(1.3 * normal(chance));
  return seconds > MAX_PAUSE_SECONDS ? { type: 'leave' } : { type: 'pause', seconds };
}

/** What a viewer of a title does in a second of playing; undefined: watches on. */
export function drawAct(habit: Habit, title: WatchedTitle, moment: Moment, chance: Chance): Act | undefined {
  const { positionSeconds: at, last, sinceSeconds } = moment;
  const mean = MEAN_SECONDS[habit];
  const isCredits = at >= CREDITS_RATIO * title.durationSeconds;
  const [introFrom, introTo] = title.intro ?? [0, 0];
  const inIntro = at >= introFrom && at < introTo - 5;
  const isBurst = last === 'seek' && sinceSeconds < BURST_SECONDS;
  if (inIntro && chance() < INTRO_CHANCE) return { type: 'seek', toSeconds: introTo };
  if (isCredits && title.hasNext && chance() < CREDITS_NEXT) return { type: 'next' };
  const leave = isCredits ? CREDITS_LEAVE : (at < 60 ? EARLY_LEAVE[habit] : 1) / mean.leave;
  if (chance() < leave) return { type: 'leave' };
  if (chance() < (isBurst ? BURST_CHANCE : 1 / mean.seek)) {
    const to = drawJump(title, at, chance);
    return { type: 'seek', toSeconds: Math.max(0, Math.min(title.durationSeconds - 2, to)) };
  }
  return chance() < 1 / mean.pause ? drawPause(chance) : undefined;
}
