// When a model process that ended is started again: soon at first, then slower, and seldom once it has ended too often.
// Pure: the clock stays with the caller.

/** How restarts are spaced. */
export type RestartPolicy = {
  /** Pause before the first restart, doubled for each further one up to maxPauseMs. */
  readonly firstPauseMs: number;
  readonly maxPauseMs: number;
  /** Ends in a row, without one good answer between them, after which only coolDownMs brings a restart. */
  readonly crashBudget: number;
  readonly coolDownMs: number;
};

/** 100 ms to 10 s, five in a row, then one attempt in five minutes. */
export const DEFAULT_RESTART: RestartPolicy = {
  firstPauseMs: 100,
  maxPauseMs: 10_000,
  crashBudget: 5,
  coolDownMs: 300_000,
};

/** Pause before the next start after `crashes` ends in a row (>= 1). */
export function restartPause(crashes: number, policy: RestartPolicy): number {
  if (crashes >= policy.crashBudget) return policy.coolDownMs;
  return Math.min(policy.maxPauseMs, policy.firstPauseMs * 2 ** (crashes - 1));
}
