// Writes rewards into the stored posteriors: one writer per title at a time, rewards that come meanwhile wait bounded.
import { observe, type Posterior, UNSEEN } from './bandit.ts';
import type { Arm } from './moments.ts';

/** What is stored of a title: counts per arm; an arm never shown is absent. */
export type TitlePosteriors = Readonly<Partial<Record<Arm, Posterior>>>;

/** Where posteriors live. Either may fail or be slow; a preview waits for neither beyond its deadline. */
export type PosteriorStore = {
  readonly load: (titleId: string) => Promise<TitlePosteriors> | TitlePosteriors;
  readonly save: (titleId: string, posteriors: TitlePosteriors) => Promise<void> | void;
};

/** One reward to be counted; `at` in milliseconds since the epoch. */
export type ArmReward = { readonly arm: Arm; readonly reward: 0 | 1; readonly at: number };

/** A writer of rewards. `lost` counts rewards that were dropped because the store failed or fell behind. */
export type PosteriorWriter = {
  readonly add: (titleId: string, reward: ArmReward) => void;
  /** Resolves when nothing waits or is being written; never rejects. */
  readonly settled: () => Promise<void>;
  readonly lost: () => number;
};

/** Rewards that may wait for one title, and titles that may wait. */
const MOST_WAITING = 1000;
const MOST_TITLES = 1000;

/** Opens a writer; `deadlineMs` bounds each load and save. */
export function openPosteriorWriter(options: {
  readonly store: PosteriorStore;
  readonly halfLifeMs: number;
  readonly deadlineMs: number;
}): PosteriorWriter {
  const waiting = new Map<string, ArmReward[]>();
  const running = new Map<string, Promise<void>>();
  let lostRewards = 0;

  async function write(titleId: string): Promise<void> {
    for (let due = waiting.get(titleId); due !== undefined; due = waiting.get(titleId)) {
      waiting.delete(titleId);
      try {
        const posteriors = { ...(await withinMs(options.store.load(titleId), options.deadlineMs)) };
        for (const { arm, reward, at } of due)
          posteriors[arm] = observe(posteriors[arm] ?? UNSEEN, { reward, now: at, halfLifeMs: options.halfLifeMs });
        await withinMs(options.store.save(titleId, posteriors), options.deadlineMs);
      } catch {
        lostRewards += due.length; // Counted and shown; a lost reward costs a little learning, nothing else.
      }
    }
    running.delete(titleId);
  }

  return {
    add(titleId, reward) {
      const due = waiting.get(titleId) ?? [];
      if (due.length >= MOST_WAITING || (due.length === 0 && waiting.size >= MOST_TITLES)) {
        lostRewards += 1;
        return;
      }
      waiting.set(titleId, [...due, reward]);
      // Deferred by one turn, so that a load that throws at once cannot throw into the caller.
      if (!running.has(titleId))
        running.set(
          titleId,
          Promise.resolve().then(() => write(titleId)),
        );
    },
    async settled() {
      while (running.size > 0) await Promise.all(running.values());
    },
    lost: () => lostRewards,
  };
}

async function withinMs<T>(work: Promise<T> | T, deadlineMs: number): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`the posterior store took longer than ${deadlineMs} ms`)),
    deadlineMs,
  );
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
