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

/** Works out a report; choices of one arm alone tell of nothing and are left out. */
export function reportPolicies(
  choices: readonly (LoggedChoice & { readonly slot: string; readonly policy: string })[],
): PolicyReport {
  const real = choices.filter(({ policy, propensities }) => policy !== 'default' && propensities.length > 1);
  const slots = [...new Set(real.map(({ slot }) => slot))].toSorted();
  return {
    version: 1,
    slots: slots.map((slot) => {
      const own = real.filter((choice) => choice.slot === slot);
      return {
        slot,
        choices: own.length,
        reward: own.reduce((sum, { reward }) => sum + reward, 0) / own.length,
        policies: Object.entries(TARGETS).map(([policy, target]) => ({
          policy,
          estimate: estimatePolicy(own, target) ?? null,
        })),
      };
    }),
  };
}
