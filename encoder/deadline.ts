// A job's deadline while it runs: what is done, what is under way, and so how many trials the next shot may have.
import { COST_PER_CPU_SECOND, gridWithin, type ShotCosts } from './plan/deadline.ts';

/** What openHaste() needs; costs in units of trialCost(). */
export type HasteOptions = {
  /** The deadline, on the clock of `now`; Infinity: there is none. */
  readonly endsAt: number;
  /** Processor threads that work at once. */
  readonly processes: number;
  readonly shots: readonly ShotCosts[];
  /** After all trials. */
  readonly tailCost: number;
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
};

/** Chooses between all and the least trials of each shot. */
export type Haste = {
  /** Asked once for each shot, just before its trials. */
  readonly gridOf: (shot: number) => 'full' | 'least';
  /** A trial was made, not found. */
  readonly spent: (cost: number) => void;
  /** Shots that got the least so far. */
  readonly hastyShots: () => number;
};

/** A processor is expected to do half of what the costs were measured on, until it has shown its own speed. */
const EXPECTED_RATIO = 0.5;

/** Opens the watch over one job's trials. */
export function openHaste({ endsAt, processes, shots, tailCost, now }: HasteOptions): Haste {
  const startedAt = now();
  const waiting = new Set(shots.keys());
  let begun = 0;
  let done = 0;
  let hasty = 0;
  return {
    gridOf: (shot) => {
      const costs = shots[shot];
      waiting.delete(shot);
      if (costs === undefined) return 'full';
      const rest = [...waiting].reduce((sum, at) => sum + (shots[at]?.least ?? 0), 0);
      const grid = gridWithin(costs, {
        leftSeconds: (endsAt - now()) / 1000,
        doneCost: done,
        spentSeconds: (now() - startedAt) / 1000,
        expectedSpeed: COST_PER_CPU_SECOND * EXPECTED_RATIO * processes,
        otherCost: Math.max(0, begun - done) + rest + tailCost,
      });
      begun += costs[grid];
      if (grid === 'least') hasty += 1;
      return grid;
    },
    spent: (cost) => {
      done += cost;
    },
    hastyShots: () => hasty,
  };
}
