// The latest prefetch decisions, for `explain` and the page. A decision is about a URL; no viewer is in it.

/** Why a URL was asked for ahead of a viewer. */
export const PREFETCH_REASONS = [
  'off-peak',
  'next-segments',
  'rendition',
  'seek',
  'next-object',
  'next-episode',
  'hover',
  'likely',
  'operator',
] as const;
/** One of PREFETCH_REASONS. */
export type PrefetchReason = (typeof PREFETCH_REASONS)[number];

/** How it went. `held`: it was there already; `dropped`: queue full, too late or stopped. */
export const PREFETCH_OUTCOMES = ['stored', 'held', 'refused', 'failed', 'cancelled', 'dropped', 'budget'] as const;
/** One of PREFETCH_OUTCOMES. */
export type PrefetchOutcome = (typeof PREFETCH_OUTCOMES)[number];

/** One decision that has ended. `at` is when it ended, milliseconds since the epoch. */
export type Decision = {
  readonly at: number;
  readonly url: string;
  readonly titleId: string;
  readonly reason: PrefetchReason;
  readonly why: string;
  readonly outcome: PrefetchOutcome;
  readonly bytes: number;
};

/** A ring of decisions. */
export type DecisionLog = {
  readonly add: (decision: Decision) => void;
  /** Newest first; of one URL or title where asked. */
  readonly latest: (limit: number, of?: { readonly url?: string; readonly titleId?: string }) => readonly Decision[];
};

/** Keeps the latest `capacity` decisions. */
export function createDecisionLog(capacity: number): DecisionLog {
  const ring: Decision[] = [];
  let next = 0;
  return {
    add: (decision) => {
      ring[next] = decision;
      next = (next + 1) % capacity;
    },
    latest: (limit, of = {}) =>
      [...ring.slice(next), ...ring.slice(0, next)]
        .reverse()
        .filter(
          ({ url, titleId }) =>
            (of.url === undefined || of.url === url) && (of.titleId === undefined || of.titleId === titleId),
        )
        .slice(0, limit),
  };
}
