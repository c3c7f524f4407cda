// What viewers turn to after a title: decayed counts of pairs over all viewers together. Of a rare pair nothing leaves RAM,
// since it may be one viewer's own. It learns from the first view on, where item-to-item models wait for a night.
import { bump, type DecayedCounter, decayed } from './decay.ts';

/** Live transitions; no viewer is in it, only sums. */
export type Transitions = {
  /** Somebody turned to a title after these, which are turnedFrom(). */
  readonly add: (titleId: string, before: readonly string[], at: number) => void;
  /** Chance of what follows turnedFrom(): 0..1 for each title, a mean over them, newer ones counting more. */
  readonly after: (before: readonly string[], now: number) => ReadonlyMap<string, number>;
  readonly size: () => number;
  readonly kept: (now: number) => KeptTransitions;
};

/** A title, the views after which something else was opened, and what: each with a count as of `at`. */
type KeptTitle = readonly [titleId: string, views: number, following: readonly (readonly [string, number])[]];

/** What of it outlives the process: pairs that were counted often enough to be nobody's own, the most counted first. */
export type KeptTransitions = { readonly version: 1; readonly at: number; readonly titles: readonly KeptTitle[] };

const HALF_LIFE_MS = 14 * 86_400_000;
/** Titles of which it is known what follows, and how many each; the least counted leaves. */
const MAX_TITLES = 20_000;
const MAX_FOLLOWING = 24;
/** How far back a title still leads to the next, and what each step back is worth. */
const WINDOW = 4;
const STEP_DECAY = 0.5;
/** Views that no transition stands against: one pair seen once is no rule. */
const PRIOR_VIEWS = 5;
/** A pair is kept from so many views on, and the most counted of all: some 2 MB. */
const LEAST_KEPT = 5;
const MAX_KEPT = 20_000;

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

function keptOf(titles: ReadonlyMap<string, Following>, now: number): KeptTransitions {
  const pairs = [...titles].flatMap(([titleId, { counts }]) =>
    [...counts].flatMap(([next, counter]) => {
      const value = decayed(counter, now, HALF_LIFE_MS);
      return value < LEAST_KEPT ? [] : [{ titleId, next, value }];
    }),
  );
  const kept = new Map<string, [string, number][]>();
  for (const { titleId, next, value } of pairs.sort((one, other) => other.value - one.value).slice(0, MAX_KEPT)) {
    const following = kept.get(titleId) ?? [];
    kept.set(titleId, following);
    following.push([next, value]);
  }
  const views = (titleId: string): number => {
    const total = titles.get(titleId)?.total;
    return total === undefined ? 0 : decayed(total, now, HALF_LIFE_MS);
  };
  return { version: 1, at: now, titles: [...kept].map(([titleId, next]) => [titleId, views(titleId), next]) };
}

/** Starts with nothing known, or with what was kept. */
export function createTransitions(from?: KeptTransitions): Transitions {
  const titles = new Map<string, Following>();
  for (const [titleId, views, following] of from?.titles.slice(0, MAX_TITLES) ?? []) {
    const at = from?.at ?? 0;
    const counts = new Map(following.slice(0, MAX_FOLLOWING).map(([next, value]) => [next, { value, at }]));
    titles.set(titleId, { counts, total: { value: views, at } });
  }
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
    kept: (now) => keptOf(titles, now),
  };
}
