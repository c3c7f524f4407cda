// The time that a preview may take, step by step. A step that is not done by its share of the deadline is gone on
// without, so that the answer, however plain, is never late.

/** The steps in their order. `media`: segments that are read for a spliced file. */
export const STEPS = ['package', 'taste', 'choice', 'media'] as const;
/** One of STEPS. */
export type Step = (typeof STEPS)[number];

/**
 * By which part of the deadline a step is over, 0..1; time that one leaves is the next one's. Package and taste begin
 * together, and the rest of the deadline is for writing the answer. Package first: without one there is no preview at
 * all, while taste only makes it a better one.
 */
const OVER_BY: Readonly<Record<Step, number>> = { package: 0.5, taste: 0.65, choice: 0.8, media: 0.95 };

/** How a step ended. */
export type Ended<T> = { readonly ended: 'value'; readonly value: T } | { readonly ended: 'late' | 'failed' };

/** The time of one answer. */
export type Budget = {
  /** Waits for work of that step until its share is over; what is there already counts even then. Never rejects. */
  readonly by: <T>(step: Step, work: Promise<T>) => Promise<Ended<T>>;
  /** Whether the step's share is over. */
  readonly isOver: (step: Step) => boolean;
  /** Milliseconds that are left of the whole deadline, at least 0. */
  readonly leftMs: () => number;
};

/** Starts the clock; an aborted signal (the viewer left) ends every step. */
export function openBudget(deadlineMs: number, signal: AbortSignal): Budget {
  const startedAt = performance.now();
  const leftOf = (step: Step) => startedAt + deadlineMs * OVER_BY[step] - performance.now();
  return {
    isOver: (step) => leftOf(step) <= 0,
    leftMs: () => Math.max(0, startedAt + deadlineMs - performance.now()),
    async by(step, work) {
      const settled = work.then(
        (value) => ({ ended: 'value', value }) as const,
        () => ({ ended: 'failed' }) as const,
      );
      const { promise, resolve } = Promise.withResolvers<{ readonly ended: 'late' }>();
      const onLate = () => resolve({ ended: 'late' });
      const leftMs = signal.aborted ? 0 : leftOf(step);
      // Also when no time is left, a turn of the loop is: what has come already is taken.
      const timer = setTimeout(onLate, Math.max(0, leftMs));
      if (!signal.aborted) signal.addEventListener('abort', onLate, { once: true });
      const ended = await Promise.race([settled, promise]);
      clearTimeout(timer);
      signal.removeEventListener('abort', onLate);
      return ended;
    },
  };
}

/** Starts work so that neither a throw nor a rejection that nobody awaits any more escapes. */
export function attempt<T>(work: () => Promise<T> | T): Promise<T> {
  const started = (async () => work())();
  started.catch(() => undefined); // Read by Budget.by(), or no longer wanted.
  return started;
}
