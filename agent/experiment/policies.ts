// Off-policy answers from the choice log: what simpler policies would have earned, slot by slot. Pure.
import { type Estimate, estimatePolicy, type LoggedChoice, type TargetPolicy } from './estimate.ts';

/** Policies that need nothing but what is logged with each choice. */
const TARGETS: Readonly<Record<string, TargetPolicy>> = {
  default: ({ propensities }) => propensities.map((_, arm) => (arm === 0 ? 1 : 0)),
  uniform: ({ propensities }) => propensities.map(() => 1 / propensities.length),
  greedy: ({ expected }) => {
    const best = expected.indexOf(Math.max(...expected));
    return expected.map((_, arm) => (arm === best ? 1 : 0));
  },
};

/** What policies would have earned with a slot's choices. */
export type SlotReport = {
  readonly slot: string;
  readonly choices: number;
  /** Mean reward of what was shown. */
  readonly reward: number;
  readonly policies: readonly { readonly policy: string; readonly estimate: Estimate | null }[];
};

/** All slots. */
export type PolicyReport = { readonly version: 1; readonly slots: readonly SlotReport[] };

/**
 * Works out a report, one estimate at each step, so that a caller may let others have their turn in between. Choices of one
 * arm alone tell of nothing and are left out.
 */
export function* policySteps(
  choices: readonly (LoggedChoice & { readonly slot: string; readonly policy: string })[],
): Generator<undefined, PolicyReport> {
  const real = choices.filter(({ policy, propensities }) => policy !== 'default' && propensities.length > 1);
  const slots: SlotReport[] = [];
  for (const slot of [...new Set(real.map((choice) => choice.slot))].toSorted()) {
    const own = real.filter((choice) => choice.slot === slot);
    const policies: SlotReport['policies'][number][] = [];
    for (const [policy, target] of Object.entries(TARGETS)) {
      yield undefined;
      policies.push({ policy, estimate: estimatePolicy(own, target) ?? null });
    }
    const reward = own.reduce((sum, choice) => sum + choice.reward, 0) / own.length;
    slots.push({ slot, choices: own.length, reward, policies });
  }
  return { version: 1, slots };
}
