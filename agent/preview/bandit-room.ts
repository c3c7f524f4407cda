// Chooses among arms for previews, artwork and ads, shows what it chose, and learns from what comes of it. One front for
// all slots; no arm, model or viewer is known outside.
import { drawArm, POLICIES, type Policy, policyShares, withFloor } from './bandit.ts';
import { type GuardOptions, type GuardStore, openGuard } from './bandit-guard.ts';
import { modelInput, type Prior, priorFrom, type Scores } from './bandit-linear.ts';
import type { Choice, ChoiceAsked, OfferedArm } from './choice.ts';
import type { Ranker } from './modules.ts';
import { openPosteriors, type PosteriorStore } from './posteriors.ts';
import {
  openRewards,
  REWARD_RESULTS,
  type RewardResult,
  type RewardWeights,
  SILENCE_MS,
  type SpentStore,
  type Told,
} from './rewards.ts';
import { openTokens } from './token.ts';

/** Where something is chosen; each has models of its own. */
export const SLOTS = ['preview', 'artwork', 'ad'] as const satisfies readonly ChoiceAsked['slot'][];
type Slot = ChoiceAsked['slot'];

/** A choice as it is logged: whole days, nothing about a viewer. */
export type ChoiceRecord = {
  readonly id: number;
  readonly day: number;
  readonly slot: string;
  readonly titleId: string;
  readonly policy: string;
  readonly chosen: number;
  readonly arms: readonly string[];
  readonly propensities: readonly number[];
  readonly expected: readonly number[];
};

/** Where everything is kept. Reads are of memory, writes are queued: neither waits nor throws. */
export type BanditStore = PosteriorStore &
  GuardStore & {
    readonly spent: SpentStore;
    readonly addChoice: (choice: Omit<ChoiceRecord, 'id'>) => number;
    /** Adds to the reward of a choice. */
    readonly addReward: (id: number, amount: number) => void;
  };

/** What an experiment decides for a session; undefined where none is concerned. */
export type Assignment = { readonly policy?: string | undefined; readonly isHeldOut: boolean };

/** Everything openBandit() needs. */
export type BanditOptions = {
  readonly store: BanditStore;
  /** At least 16 bytes. */
  readonly secret: Uint8Array;
  readonly now: () => number;
  readonly random: () => number;
  readonly prior: (slot: string, length: number) => Prior;
  readonly rankers: readonly Ranker[];
  readonly assign: (asked: { readonly slot: Slot; readonly sid: string }) => Assignment | undefined;
  /** A session saw a choice, or was held out. */
  readonly exposed: (sid: string) => void;
  readonly settings: BanditSettings;
};

/** Settings; bounds and defaults are those of `preview` in the configuration. */
export type BanditSettings = {
  readonly policy: string;
  readonly explorationRatio: number;
  readonly leastPropensity: number;
  readonly confidence: number;
  readonly halfLifeMs: number;
  readonly weights: RewardWeights;
  readonly guard: GuardOptions;
};

/** Plain figures. */
export type BanditStats = {
  readonly results: Readonly<Record<RewardResult, number>>;
  readonly choices: Readonly<Record<Slot, number>>;
  /** Sum of rewards of choices that were shown. */
  readonly rewards: number;
  readonly waiting: number;
  readonly drifts: number;
  readonly stopped: readonly { readonly slot: string; readonly arm: string; readonly until: number }[];
  /** Answers of a module's ranker that were no chances; the node's own policy chose then. */
  readonly badRankings: number;
};

/** An open bandit. */
export type Bandit = ReturnType<typeof openBandit>;

/** Choices whose first reward may still come, for the check on drift; the oldest is forgotten first. */
const MOST_WAITING = 20_000;
const DAY_MS = 86_400_000;
/** Longest descriptor; a token carries it. */
const MOST_FEATURES = 64;
/** A prior made of this node's models is worth at most so many choices elsewhere. */
const PRIOR_CHOICES = 500;

/** What shown() needs to know of a choice beside its answer. */
type Details = {
  readonly slot: Slot;
  readonly titleId: string;
  readonly arms: readonly OfferedArm[];
  readonly context: Uint8Array | undefined;
  readonly sid: string | undefined;
};
type Forecast = { readonly steady: number; readonly quick: number };
type Waiting = { readonly slot: string; readonly forecast: Forecast; readonly dueAt: number; reward: number };

/** Opens the bandit. Throws RangeError for a secret shorter than 16 bytes. */
export function openBandit(options: BanditOptions) {
  const { store, settings, now, random } = options;
  const tokens = openTokens(options.secret);
  const posteriors = openPosteriors({ store, prior: options.prior, halfLifeMs: settings.halfLifeMs, now });
  const take = openRewards({ tokens, spent: store.spent, weights: settings.weights, now });
  const guard = openGuard({ store, options: settings.guard, now });
  const waiting = new Map<number, Waiting>();
  const details = new WeakMap<Choice, Details>();
  const results = zeroes(REWARD_RESULTS);
  const choices = zeroes(SLOTS);
  let rewards = 0;
  let badRankings = 0;

  function ranked(asked: ChoiceAsked, taste: Float64Array | undefined, policy: string) {
    const { slot, titleId, arms } = asked;
    const { scores } = posteriors.believe(slot, titleId, taste, arms);
    const ranker = options.rankers.find(({ id }) => id === policy);
    if (ranker !== undefined) {
      const shares = rankerShares(ranker, { context: taste, arms, scores });
      if (shares !== undefined) return { scores, shares, policy };
      badRankings += 1;
    }
    const own = policyOf(policy);
    return { scores, policy: own, shares: policyShares(scores, { ...settings, policy: own, random }) };
  }

  function decide(asked: ChoiceAsked, context: Uint8Array | undefined): Choice {
    const { slot, sid, arms } = asked;
    const assigned = sid === undefined ? undefined : options.assign({ slot, sid });
    const isHeldOut = assigned?.isHeldOut ?? false;
    const policy = assigned?.policy ?? settings.policy;
    const taste = context === undefined ? undefined : ratios(context);
    const open = arms
      .filter(({ id }, index) => index === 0 || !guard.isStopped(slot, id))
      .map(({ id, features }) => ({ id, features: ratios(steps(features)) }));
    const none = arms.map(() => 0);
    const [first] = open;
    if (first === undefined || policy === 'default' || open.length === 1 || !isEven(open, taste)) {
      const propensities = arms.map((_, index) => (index === 0 ? 1 : 0));
      const only = { index: arms.length === 0 ? -1 : 0, propensity: propensities[0] ?? 0, propensities };
      return { ...only, policy: 'default', isHeldOut, expected: none };
    }
    const result = ranked({ ...asked, arms: open }, taste, policy);
    const chances = withFloor(result.shares, settings);
    const chosen = open[drawArm(chances, random())] ?? first;
    const places = arms.map(({ id }) => open.findIndex((arm) => arm.id === id));
    const propensities = places.map((place) => chances[place] ?? 0);
    const index = arms.findIndex(({ id }) => id === chosen.id);
    const expected = places.map((place) => result.scores.means[place] ?? 0);
    return { index, propensity: propensities[index] ?? 0, propensities, policy: result.policy, isHeldOut, expected };
  }

  /** Without any effect: a choice counts when it is shown. Never throws. */
  function choose(asked: ChoiceAsked): Choice {
    const { slot, titleId, arms } = asked;
    const context = asked.context === undefined ? undefined : steps(asked.context);
    const choice = decide(asked, context);
    details.set(choice, { slot, titleId, arms, context, sid: asked.sid });
    return choice;
  }

  /**
   * The choice goes out: logs and counts it, and gives its token. One that is held out, and so does not, is an exposure
   * all the same; it has no token ('' is given). Throws RangeError for a choice of no arm.
   */
  function shown(choice: Choice): string {
    const asked = details.get(choice);
    const arm = asked?.arms[choice.index];
    if (asked?.sid !== undefined) options.exposed(asked.sid);
    if (choice.isHeldOut) return '';
    if (asked === undefined || arm === undefined) throw new RangeError('a choice without an arm cannot be shown');
    const { slot, titleId, arms, context } = asked;
    const { propensity, propensities, expected, policy, index } = choice;
    const descriptor = steps(arm.features);
    const input = inputOf(context, descriptor);
    const forecast = posteriors.forecast(slot, input);
    const { length } = descriptor;
    const counted = posteriors.shown({ slot, title: titleId, arm: arm.id, input, length });
    const ids = arms.map(({ id }) => id);
    const day = Math.floor(now() / DAY_MS);
    const id = store.addChoice({ day, slot, titleId, policy, chosen: index, arms: ids, propensities, expected });
    choices[slot] += 1;
    waiting.set(id, { slot, forecast, dueAt: now() + SILENCE_MS, reward: 0 });
    const [oldest] = waiting.size > MOST_WAITING ? waiting.keys() : [];
    if (oldest !== undefined) waiting.delete(oldest);
    const claims = { id, slot, title: titleId, arm: arm.id, propensity, ...counted };
    return tokens.seal({ ...claims, descriptor, taste: context ?? new Uint8Array(0) });
  }

  /** What an event with a token says: counts its outcomes, once each. Undefined for an event that says nothing. */
  function told(token: string, event: Told, durationSeconds?: number): RewardResult | undefined {
    const taken = take(token, event, durationSeconds);
    if (taken.result === undefined) return undefined;
    results[taken.result] += 1;
    for (const { claims, outcome, amount } of taken.rewards) {
      posteriors.rewarded({ ...claims, input: inputOf(claims.taste, claims.descriptor) }, amount);
      store.addReward(claims.id, amount);
      guard.count(claims.slot, claims.arm, outcome);
      rewards += amount;
      const pending = waiting.get(claims.id);
      if (pending !== undefined) pending.reward += amount;
    }
    return taken.result;
  }

  /** Judges choices whose time for a first reward is over, looks after arms that do harm, and saves. */
  function sweep(): void {
    for (const [id, { slot, forecast, dueAt, reward }] of waiting) {
      if (dueAt > now() && dueAt <= now() + SILENCE_MS) break;
      waiting.delete(id);
      posteriors.judge(slot, forecast, reward);
    }
    guard.sweep();
    posteriors.save();
  }

  return {
    choose,
    shown,
    told,
    sweep,
    /** What another region may begin with; undefined for a slot that was never used. */
    exportPrior(
      slot: Slot,
    ): { readonly length: number; readonly mean: number[]; readonly precision: number[] } | undefined {
      const model = posteriors.model(slot);
      if (model === undefined) return undefined;
      const { mean, precision } = priorFrom(model.linear, model.prior, PRIOR_CHOICES);
      return { length: model.length, mean: [...mean], precision: [...precision] };
    },
    stats: (): BanditStats => ({
      results: { ...results },
      choices: { ...choices },
      rewards,
      waiting: waiting.size,
      drifts: posteriors.stats().reduce((sum, slot) => sum + slot.drifts, 0),
      stopped: guard.stopped(),
      badRankings,
    }),
    /** Queues what was learnt since the last time. */
    save: posteriors.save,
  };
}

/** A policy's name; one that no module has any more means the node's own. */
const policyOf = (name: string): Policy => POLICIES.find((policy) => policy === name) ?? 'linucb';

function zeroes<const Name extends string>(names: readonly Name[]): Record<Name, number> {
  // Sound: one entry for each name.
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;
}

/** Numbers of 0..1 in steps of 1/255, as a token carries them; what is no number is neutral. */
function steps(values: ArrayLike<number>): Uint8Array {
  const stepped = new Uint8Array(Math.min(values.length, MOST_FEATURES));
  for (let i = 0; i < stepped.length; i += 1) {
    const value = values[i] ?? 0.5;
    stepped[i] = Number.isNaN(value) ? 128 : Math.round(255 * Math.min(1, Math.max(0, value)));
  }
  return stepped;
}

function ratios(stepped: Uint8Array): Float64Array {
  const values = new Float64Array(stepped.length);
  for (let i = 0; i < values.length; i += 1) values[i] = (stepped[i] ?? 0) / 255;
  return values;
}

/** The model's input of what a token carries. */
function inputOf(taste: Uint8Array | undefined, descriptor: Uint8Array): Float64Array {
  return modelInput(taste === undefined || taste.length === 0 ? undefined : ratios(taste), ratios(descriptor));
}

/** All descriptors, and the taste if there is one, have one length. */
function isEven(arms: readonly OfferedArm[], taste: Float64Array | undefined): boolean {
  const length = arms[0]?.features.length ?? 0;
  return (
    length > 0 &&
    (taste === undefined || taste.length === length) &&
    arms.every((arm) => arm.features.length === length)
  );
}

function rankerShares(
  ranker: Ranker,
  { context, arms, scores }: Pick<ChoiceAsked, 'arms'> & { context: Float64Array | undefined; scores: Scores },
): readonly number[] | undefined {
  const { length } = arms;
  const deviations = Array.from(scores.means, (_, i) => Math.sqrt(scores.covariance[i * length + i] ?? 0));
  try {
    const shares = ranker.propensities({ context, arms, expected: [...scores.means], deviations });
    const sum = shares.reduce((total, share) => total + share, 0);
    const isSound = shares.length === length && shares.every((share) => share >= 0) && Math.abs(sum - 1) < 1e-6;
    return isSound ? shares : undefined;
  } catch {
    return undefined; // A fault of somebody else's module: counted, and the node's own policy chooses.
  }
}
