// Stops an arm that gets titles played but not watched to their end: a bait. Judged by a confidence sequence, so that a
// look every minute finds no harm where there is none.
import { differenceSequence, type Sums } from '../experiment/sequences.ts';
import type { Outcome } from './rewards.ts';

/** Of one arm over all titles: plays that its previews led to, how many were completed, and until when it is stopped. */
export type GuardState = { readonly plays: number; readonly completions: number; readonly stoppedUntil: number };

/** Where counts are kept. */
export type GuardStore = {
  readonly guards: () => readonly (GuardState & { readonly slot: string; readonly arm: string })[];
  readonly saveGuard: (key: { readonly slot: string; readonly arm: string }, state: GuardState) => void;
};

/** `marginRatio`: completions per play that an arm may have fewer than the others; `stopMs`: how long it then rests. */
export type GuardOptions = { readonly marginRatio: number; readonly stopMs: number };

/** Chance of stopping an arm that does no harm, over its whole life. */
const ALPHA = 0.01;
/** Plays with which harm is worth finding soonest. */
const PLANNED_PLAYS = 1_000;

const key = (slot: string, arm: string): string => `${slot}\n${arm}`;
/** A play that was completed is 1, any other 0. */
const sumsOf = (plays: number, completions: number): Sums => {
  const completed = Math.min(plays, completions);
  return { count: plays, sum: completed, squares: completed };
};

/** Opens the guard with the counts that were stored. */
export function openGuard({
  store,
  options,
  now,
}: {
  readonly store: GuardStore;
  readonly options: GuardOptions;
  readonly now: () => number;
}) {
  const arms = new Map<string, GuardState & { readonly slot: string; readonly arm: string }>();
  for (const state of store.guards()) arms.set(key(state.slot, state.arm), state);
  const changed = new Set<string>();

  function put(slot: string, arm: string, state: GuardState): void {
    arms.set(key(slot, arm), { slot, arm, ...state });
    changed.add(key(slot, arm));
  }

  return {
    count(slot: string, arm: string, outcome: Outcome): void {
      if (outcome !== 'played' && outcome !== 'completed') return;
      const { plays = 0, completions = 0, stoppedUntil = 0 } = arms.get(key(slot, arm)) ?? {};
      put(slot, arm, {
        plays: plays + (outcome === 'played' ? 1 : 0),
        completions: completions + (outcome === 'completed' ? 1 : 0),
        stoppedUntil,
      });
    },

    /** Stops arms whose completions are surely too few beside those of all others of their slot, and names them; saves. */
    sweep(): readonly { readonly slot: string; readonly arm: string }[] {
      const harmful: { slot: string; arm: string }[] = [];
      const totals = new Map<string, { plays: number; completions: number }>();
      for (const { slot, plays, completions } of arms.values()) {
        const { plays: all = 0, completions: done = 0 } = totals.get(slot) ?? {};
        totals.set(slot, { plays: all + plays, completions: done + completions });
      }
      for (const { slot, arm, plays, completions, stoppedUntil } of [...arms.values()]) {
        if (stoppedUntil > now()) continue;
        const total = totals.get(slot) ?? { plays: 0, completions: 0 };
        const others = sumsOf(total.plays - plays, total.completions - completions);
        const { high } = differenceSequence(sumsOf(plays, completions), others, ALPHA, PLANNED_PLAYS);
        // Counted anew after its rest: it may have been another title's fault, or mended.
        if (high >= -options.marginRatio) continue;
        put(slot, arm, { plays: 0, completions: 0, stoppedUntil: now() + options.stopMs });
        harmful.push({ slot, arm });
      }
      for (const name of changed) {
        const state = arms.get(name);
        if (state !== undefined) store.saveGuard({ slot: state.slot, arm: state.arm }, state);
      }
      changed.clear();
      return harmful;
    },

    /** A stop that lies further ahead than any can, because the clock was set back, is over. */
    isStopped(slot: string, arm: string): boolean {
      const left = (arms.get(key(slot, arm))?.stoppedUntil ?? 0) - now();
      return left > 0 && left <= options.stopMs;
    },

    stopped: () =>
      [...arms.values()]
        .filter(({ stoppedUntil }) => stoppedUntil > now())
        .map(({ slot, arm, stoppedUntil }) => ({ slot, arm, until: stoppedUntil })),
  };
}
