// What viewers turn to after a title: decayed counts of pairs over all viewers together, in RAM alone, since a pair may
// be one viewer's own. It learns from the first view on, where item-to-item models wait for a night.
import { bump, type DecayedCounter, decayed } from './decay.ts';

/** Live transitions; no viewer is in it, only sums. */
export type Transitions = {
  /** Somebody turned to a title after these, which are turnedFrom(). */
  readonly add: (titleId: string, before: readonly string[], at: number) => void;
  /** Chance of what follows turnedFrom(): 0..1 for each title, a mean over them, newer ones counting more. */
  readonly after: (before: readonly string[], now: number) => ReadonlyMap<string, number>;
  readonly size: () => number;
};

const HALF_LIFE_MS = 14 * 86_400_000;
/** Titles of which it is known what follows, and how many each; the least counted leaves. */
const MAX_TITLES = 20_000;
const MAX_FOLLOWING = 24;
/** How far back a title still leads to the next, and what each step back is worth. */
const WINDOW = 4;
const STEP_DECAY = 0.5;
/** Views that no transition stands against: one pair seen once is no rule. */
const PRIOR_VIEWS = 5;

type Following = { readonly counts: Map<string, DecayedCounter>; total: DecayedCounter };

function dropLeast(counts: Map<string, DecayedCounter>, now: number): void {
  let [least, worth] = ['', Number.POSITIVE_INFINITY];
  for (const [titleId, counter] of counts) {
    const value = decayed(counter, now, HALF_LIFE_MS);
    if (value < worth) [least, worth] = [titleId, value];
  }
  counts.delete(least);
}

/** What a viewer turned away from, newest first: what transitions are learnt from and asked by. */
export const turnedFrom = ({ history }: { readonly history: readonly { readonly titleId: string }[] }) =>
  history.slice(0, WINDOW).map(({ titleId }) => titleId);

/** Starts with nothing known. */
export function createTransitions(): Transitions {
  const titles = new Map<string, Following>();
  const followingOf = (titleId: string, at: number): Following => {
    const known = titles.get(titleId) ?? { counts: new Map(), total: { value: 0, at } };
    // The titles last turned away from stay.
    titles.delete(titleId);
    titles.set(titleId, known);
    const [oldest] = titles.size > MAX_TITLES ? titles.keys() : [];
    if (oldest !== undefined) titles.delete(oldest);
    return known;
  };
  return {
    add: (titleId, before, at) => {
      for (const [step, previous] of before.entries()) {
        if (previous === titleId) continue;
        const following = followingOf(previous, at);
        const weight = STEP_DECAY ** step;
        const counter = following.counts.get(titleId);
        if (counter === undefined) {
          if (following.counts.size >= MAX_FOLLOWING) dropLeast(following.counts, at);
          following.counts.set(titleId, { value: weight, at });
        } else bump(counter, weight, at, HALF_LIFE_MS);
        bump(following.total, weight, at, HALF_LIFE_MS);
      }
    },
    after: (before, now) => {
      const chances = new Map<string, number>();
      const whole = before.reduce((sum, _, step) => sum + STEP_DECAY ** step, 0);
      for (const [step, previous] of before.entries()) {
        const following = titles.get(previous);
        if (following === undefined) continue;
        const views = decayed(following.total, now, HALF_LIFE_MS) + PRIOR_VIEWS;
        for (const [titleId, counter] of following.counts) {
          const chance = (decayed(counter, now, HALF_LIFE_MS) / views) * (STEP_DECAY ** step / whole);
          chances.set(titleId, Math.min(1, (chances.get(titleId) ?? 0) + chance));
        }
      }
      return chances;
    },
    size: () => titles.size,
  };
}
