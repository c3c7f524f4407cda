// Chooses arms by what the title's viewers did: Thompson sampling over counts of each arm, tilted by how near an arm is to
// a viewer's taste.
import { believe, chooseArm, discount, UNSEEN } from './bandit.ts';
import type { Choice, ChoiceAsked, Chooser } from './choice.ts';
import { openRewards, type RewardOutcome, type RewardResult, type RewardStats, type RewardStore } from './rewards.ts';

/** What openChooser() needs. */
export type ChooserOptions = {
  readonly store: RewardStore;
  /** At least 16 bytes, the same on all nodes of a site. */
  readonly secret: Uint8Array;
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
};

/** A chooser with its rewards. */
export type OpenChooser = Chooser & {
  /** Counts one reward; a bad, used or expired token is counted and changes nothing. */
  readonly reward: (token: string, outcome: Exclude<RewardOutcome, 'expired'>) => RewardResult;
  /** Counts choices whose reward never came as failures. */
  readonly sweep: () => void;
  readonly stats: () => RewardStats;
  readonly close: () => Promise<void>;
};

const DAY_MS = 86_400_000;
/** A reward halves in weight after this long. */
const HALF_LIFE_MS = 14 * DAY_MS;
/** A reward may come this long after the preview. */
const REWARD_TTL_MS = 600_000;
/** Share of choices that is uniform. */
const EXPLORATION_RATIO = 0.1;
/** What a taste is worth, in views of the title. */
const TASTE_STRENGTH = 4;

/** Opens the chooser. Throws RangeError for a secret shorter than 16 bytes. */
export function openChooser({ store, secret, now, random }: ChooserOptions): OpenChooser {
  const rewards = openRewards({ store, secret, ttlMs: REWARD_TTL_MS, halfLifeMs: HALF_LIFE_MS, now });
  const asks = new WeakMap<Choice, ChoiceAsked>();
  return {
    choose(asked) {
      const key = asked.slot === 'preview' ? asked.titleId : `${asked.slot}:${asked.titleId}`;
      const loaded = store.load(key);
      const seen = loaded instanceof Promise ? {} : loaded;
      const tilts = affinities(asked);
      const beliefs = asked.arms.map(({ id }, index) =>
        believe(discount(seen[id] ?? UNSEEN, now(), HALF_LIFE_MS), {
          affinityRatio: tilts[index] ?? 0.5,
          strength: asked.context === undefined ? 0 : TASTE_STRENGTH,
        }),
      );
      const drawn = chooseArm(beliefs, { explorationRatio: EXPLORATION_RATIO, random: random() });
      const expected = beliefs.map(({ alpha, beta }) => alpha / (alpha + beta));
      const choice: Choice = { ...drawn, policy: 'thompson', isHeldOut: false, expected };
      asks.set(choice, asked);
      return choice;
    },
    shown(choice) {
      const asked = asks.get(choice);
      const arm = asked?.arms[choice.index]?.id ?? '';
      const arms = (asked?.arms ?? []).map(({ id }, index) => ({
        arm: id,
        propensity: choice.propensities[index] ?? 0,
      }));
      const key = asked === undefined || asked.slot === 'preview' ? asked?.titleId : `${asked.slot}:${asked.titleId}`;
      const answer = asked?.context === undefined ? 'cohort' : 'personal';
      return rewards.offer({ title: key ?? '', arm, propensity: choice.propensity, answer, arms });
    },
    reward: rewards.take,
    sweep: rewards.sweep,
    stats: rewards.stats,
    close: rewards.settled,
  };
}

/** Nearness of each arm to the taste, compared among the arms, through the logistic curve: 0..1. */
function affinities({ arms, context }: ChoiceAsked): readonly number[] {
  if (context === undefined) return arms.map(() => 0.5);
  const nearness = arms.map(
    ({ features }) => -features.reduce((sum, one, at) => sum + (one - (context[at] ?? 0)) ** 2, 0),
  );
  const mean = nearness.reduce((sum, value) => sum + value, 0) / nearness.length;
  const deviation = Math.sqrt(nearness.reduce((sum, value) => sum + (value - mean) ** 2, 0) / nearness.length);
  return nearness.map((value) => (deviation > 1e-9 ? 1 / (1 + Math.exp(-(value - mean) / deviation)) : 0.5));
}
