// Chooses among arms for previews, artwork and ads, shows what it chose, and learns from what comes of it. One front for
// all slots; no arm, model or viewer is known outside.

import { remember } from '../remember.ts';
import type { ChoiceRow } from '../state-schema.ts';
import { type ChoiceSettings, type Deciding, decide, inputOf, isEven, steps } from './bandit-decide.ts';
import { type GuardOptions, type GuardStore, openGuard } from './bandit-guard.ts';
import { type Prior, priorFrom } from './bandit-linear.ts';
import type { Choice, ChoiceAsked, Chooser, OfferedArm } from './choice.ts';
import { openPosteriors, type PosteriorStore, type Posteriors } from './posteriors.ts';
import {
  openRewards,
  REWARD_RESULTS,
  type RewardResult,
  type RewardWeights,
  SILENCE_MS,
  type SpentStore,
  type Told,
} from './rewards.ts';
import { openTokens, type Tokens } from './token.ts';

/** Where something is chosen; each has models of its own. */
export const SLOTS = ['preview', 'artwork', 'ad'] as const satisfies readonly ChoiceAsked['slot'][];
type Slot = ChoiceAsked['slot'];

/** Where everything is kept. Reads are of memory, writes are queued: neither waits nor throws. */
export type BanditStore = PosteriorStore &
  GuardStore & {
    readonly spent: SpentStore;
    /** Whole days, nothing about a viewer; gives what addReward() names it by. */
    readonly addChoice: (choice: Omit<ChoiceRow, 'reward'>) => number;
    /** Adds to the reward of a choice. */
    readonly addReward: (id: number, amount: number) => void;
  };

/** Everything openBandit() needs. */
export type BanditOptions = Pick<Deciding, 'rankers' | 'assign'> & {
  readonly store: BanditStore;
  /** At least 16 bytes. */
  readonly secret: Uint8Array;
  readonly now: () => number;
  readonly random: () => number;
  readonly prior: (slot: string, length: number) => Prior;
  /** A session saw a choice, or was held out. */
  readonly exposed: (sid: string) => void;
  readonly settings: BanditSettings;
};

/** Settings; bounds and defaults are those of `preview` in the configuration. */
export type BanditSettings = ChoiceSettings & {
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

/** Choices whose first reward may still come, for the check on drift; the oldest is forgotten first. */
const MOST_WAITING = 20_000;
const DAY_MS = 86_400_000;
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

/** What another region may begin with. */
export type ExportedPrior = {
  readonly length: number;
  readonly mean: readonly number[];
  readonly precision: readonly number[];
};

/** An arm of a slot. */
export type SlotArm = { readonly slot: string; readonly arm: string };

/** An open bandit. */
export type Bandit = Chooser & {
  /** What an event with a token says: counts its outcomes, once each. Undefined for an event that says nothing. */
  readonly told: (token: string, event: Told, durationSeconds?: number) => RewardResult | undefined;
  /** Judges choices whose time for a first reward is over, stops arms that do harm and names them, and saves. */
  readonly sweep: () => readonly SlotArm[];
  /** Undefined for a slot that was never used. */
  readonly exportPrior: (slot: Slot) => ExportedPrior | undefined;
  readonly stats: () => BanditStats;
  /** Queues what was learnt since the last time. */
  readonly save: () => void;
};

/** What there is of an open bandit. */
type Room = {
  readonly options: BanditOptions;
  readonly tokens: Tokens;
  readonly posteriors: Posteriors;
  readonly take: ReturnType<typeof openRewards>;
  readonly guard: ReturnType<typeof openGuard>;
  readonly waiting: Map<number, Waiting>;
  readonly details: WeakMap<Choice, Details>;
  readonly results: Record<RewardResult, number>;
  readonly choices: Record<Slot, number>;
  readonly sums: { rewards: number; badRankings: number };
};

/** Opens the bandit. Throws RangeError for a secret shorter than 16 bytes. */
export function openBandit(options: BanditOptions): Bandit {
  const { store, settings, now } = options;
  const tokens = openTokens(options.secret);
  const posteriors = openPosteriors({ store, prior: options.prior, halfLifeMs: settings.halfLifeMs, now });
  const guard = openGuard({ store, options: settings.guard, now });
  const sums = { rewards: 0, badRankings: 0 };
  const onBadRanking = () => {
    sums.badRankings += 1;
  };
  const deciding: Deciding = { ...options, posteriors, isStopped: guard.isStopped, onBadRanking };
  const room: Room = {
    ...{ options, tokens, posteriors, guard, sums, waiting: new Map(), details: new WeakMap() },
    take: openRewards({ tokens, spent: store.spent, weights: settings.weights, now }),
    results: zeroes(REWARD_RESULTS),
    choices: zeroes(SLOTS),
  };
  return {
    choose(asked) {
      const { slot, titleId, arms, sid } = asked;
      const context = asked.context === undefined ? undefined : steps(asked.context);
      const choice = decide(deciding, asked, context);
      room.details.set(choice, { slot, titleId, arms, context, sid });
      return choice;
    },
    shown: (choice) => show(room, choice),
    told: (token, event, durationSeconds) => hear(room, token, event, durationSeconds),
    sweep: () => sweep(room),
    exportPrior(slot) {
      const model = posteriors.model(slot);
      if (model === undefined) return undefined;
      const { mean, precision } = priorFrom(model.linear, model.prior, PRIOR_CHOICES);
      return { length: model.length, mean: [...mean], precision: [...precision] };
    },
    stats: () => ({
      results: { ...room.results },
      choices: { ...room.choices },
      ...sums,
      waiting: room.waiting.size,
      drifts: posteriors.drifts(),
      stopped: guard.stopped(),
    }),
    save: posteriors.save,
  };
}

/**
 * The choice goes out: logs and counts it, and gives its token. One that is held out, and so does not, is an exposure all
 * the same; it has no token ('' is given). Throws RangeError for a choice of no arm.
 */
function show({ options, posteriors, tokens, details, waiting, choices }: Room, choice: Choice): string {
  const asked = details.get(choice);
  const arm = asked?.arms[choice.index];
  if (asked?.sid !== undefined) options.exposed(asked.sid);
  if (choice.isHeldOut) return '';
  if (asked === undefined || arm === undefined) throw new RangeError('a choice without an arm cannot be shown');
  const { slot, titleId, arms, context } = asked;
  const { propensity, propensities, expected, policy, index } = choice;
  const now = options.now();
  const day = Math.floor(now / DAY_MS);
  const ids = arms.map(({ id }) => id);
  const id = options.store.addChoice({ day, slot, titleId, policy, chosen: index, arms: ids, propensities, expected });
  choices[slot] += 1;
  // Looks of several lengths mean nothing: shown all the same, but nothing is learnt of it.
  const isLearnt = isEven(arms, context);
  const descriptor = isLearnt ? steps(arm.features) : new Uint8Array(0);
  const taste = isLearnt && context !== undefined ? context : new Uint8Array(0);
  const claims = { id, slot, title: titleId, arm: arm.id, propensity, descriptor, taste };
  if (!isLearnt) return tokens.seal({ ...claims, weight: 0, order: 0, issuedAt: now });
  const input = inputOf(taste, descriptor);
  const silent = { slot, forecast: posteriors.forecast(slot, input), dueAt: now + SILENCE_MS, reward: 0 };
  remember(waiting, id, silent, MOST_WAITING);
  return tokens.seal({ ...claims, ...posteriors.shown({ slot, title: titleId, arm: arm.id, input }) });
}

function hear(room: Room, token: string, event: Told, durationSeconds?: number): RewardResult | undefined {
  const taken = room.take(token, event, durationSeconds);
  if (taken.result === undefined) return undefined;
  room.results[taken.result] += 1;
  for (const { claims, outcome, amount } of taken.rewards) {
    if (claims.weight > 0)
      room.posteriors.rewarded({ ...claims, input: inputOf(claims.taste, claims.descriptor) }, amount);
    room.options.store.addReward(claims.id, amount);
    room.guard.count(claims.slot, claims.arm, outcome);
    room.sums.rewards += amount;
    const pending = room.waiting.get(claims.id);
    if (pending !== undefined) pending.reward += amount;
  }
  return taken.result;
}

function sweep({ options: { now }, waiting, posteriors, guard }: Room): readonly SlotArm[] {
  for (const [id, { slot, forecast, dueAt, reward }] of waiting) {
    if (dueAt > now() && dueAt <= now() + SILENCE_MS) break;
    waiting.delete(id);
    posteriors.judge(slot, forecast, reward);
  }
  const harmful = guard.sweep();
  posteriors.save();
  return harmful;
}

function zeroes<const Name extends string>(names: readonly Name[]): Record<Name, number> {
  // Sound: one entry for each name.
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;
}
