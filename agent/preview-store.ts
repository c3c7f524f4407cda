// Where the preview's posteriors and its choice log live: the agent's state, read once at start and written behind.

import { ARMS, type Arm } from './preview/moments.ts';
import type { TitlePosteriors } from './preview/posteriors.ts';
import type { PreviewRecord, RewardStore } from './preview/rewards.ts';
import type { State } from './state.ts';

/** Choices whose reward may still come; the oldest is forgotten first, its row stays without a reward. */
const MAX_WAITING = 20_000;

const isArm = (name: string): name is Arm => name === 'editor' || ARMS.some((arm) => arm === name);

/** Opens the store over the state's tables of arms and choices. */
export function openPreviewStore({ arms, choices }: Pick<State, 'arms' | 'choices'>): RewardStore {
  const posteriors = new Map<string, TitlePosteriors>();
  for (const { titleId, arm, successes, failures, updatedAt } of arms.all()) {
    if (isArm(arm))
      posteriors.set(titleId, { ...posteriors.get(titleId), [arm]: { successes, failures, at: updatedAt } });
  }
  const waiting = new Map<string, number>();

  function logChoice({ id, day, title, arm, propensity }: PreviewRecord): void {
    waiting.set(id, choices.add({ day, titleId: title, arm, propensity }));
    const [oldest] = waiting.size > MAX_WAITING ? waiting.keys() : [];
    if (oldest !== undefined) waiting.delete(oldest);
  }

  return {
    load: (titleId) => posteriors.get(titleId) ?? {},
    save: (titleId, counts) => {
      posteriors.set(titleId, counts);
      for (const [arm, seen] of Object.entries(counts))
        if (seen !== undefined)
          arms.put({ titleId, arm, successes: seen.successes, failures: seen.failures, updatedAt: seen.at });
    },
    log: (record) => {
      if (record.kind === 'choice') return logChoice(record);
      const row = waiting.get(record.id);
      if (row === undefined) return;
      waiting.delete(record.id);
      choices.reward(row, record.reward);
    },
  };
}
