// The models behind the bandit, one pair for each slot: a steady one that answers, and a quick one that forgets fast and
// takes its place when it predicts rewards better, that is when tastes have drifted. Beside them what each arm is by itself.
import {
  addChoice,
  addReward,
  copyLinear,
  emptyLinear,
  expectedReward,
  fade,
  inputSize,
  type Linear,
  modelInput,
  type Prior,
  precisionOf,
  type Scores,
  type Solved,
  score,
  solveLinear,
} from './bandit-linear.ts';

/** A slot's models as they are stored. */
export type SlotState = {
  readonly length: number;
  readonly steady: Linear;
  readonly quick: Linear;
  /** Half-lives that the quick model has faded by, drifts found, and how far ahead the quick model is, in nats. */
  readonly order: number;
  readonly drifts: number;
  readonly lead: number;
  /** Milliseconds since the epoch: evidence counts as of then. */
  readonly at: number;
};

/** What is known of one arm of one title that its descriptor does not tell. */
export type ArmState = { readonly information: number; readonly response: number; readonly at: number };

/** Where models and arms are kept. Reads are of memory, writes are queued: neither waits nor throws. */
export type PosteriorStore = {
  readonly loadSlot: (slot: string) => SlotState | undefined;
  readonly saveSlot: (slot: string, state: SlotState) => void;
  readonly loadArm: (slot: string, title: string, arm: string) => ArmState | undefined;
  /** Every arm of a slot; read once. */
  readonly armsOf: (slot: string) => Iterable<ArmState>;
  readonly saveArm: (key: { slot: string; title: string; arm: string }, state: ArmState) => void;
};

/** What openPosteriors() needs. */
export type PosteriorOptions = {
  readonly store: PosteriorStore;
  /** What is believed of a slot before anything was seen, for descriptors of `length`. */
  readonly prior: (slot: string, length: number) => Prior;
  /** Evidence halves in weight after this long. */
  readonly halfLifeMs: number;
  readonly now: () => number;
};

/** An arm as it is asked about. */
export type Arm = { readonly id: string; readonly features: ArrayLike<number> };

/** What is believed of the arms of a title, and what the choice of one has to carry. */
export type Belief = {
  readonly scores: Scores;
  readonly inputs: readonly Float64Array[];
};

/** A choice that was shown, as its token holds it. */
export type Shown = {
  readonly slot: string;
  readonly title: string;
  readonly arm: string;
  readonly input: Float64Array;
  readonly weight: number;
  readonly order: number;
  readonly issuedAt: number;
};

/** The quick model's evidence halves after so many choices, but not within a day, which has its own hours. */
const QUICK_CHOICES = 500;
const QUICK_MS = 86_400_000;
/** Nats by which the quick model must lead before it takes over; by chance alone one lead in e^5 would. */
const DRIFT_NATS = 5;
/** One standard deviation of what an arm is beyond its descriptor, as a reward: at least, and at most. */
const ARM_DEVIATION = { least: 0.003, most: 0.1 } as const;
/** Choices for each coefficient before which what is left of a reward is the model's own fault, and no arm's. */
const LEARNT_CHOICES = 10;
/** A gap fades evidence as this long at most: the clock may have jumped. */
const LONGEST_GAP_MS = 7 * 86_400_000;
const LEAST_CHANCE = 0.005;

type Slot = {
  readonly length: number;
  readonly prior: Prior;
  steady: Linear;
  quick: Linear;
  /** Of either model, since its evidence last changed. */
  readonly solved: { steady?: Solved | undefined; quick?: Solved | undefined };
  order: number;
  drifts: number;
  lead: number;
  at: number;
  isDirty: boolean;
  /** Over all arms: sum of response^2 - information, and of information^2. */
  readonly arms: { excess: number; squares: number };
  /** Sums of judged rewards and of both forecasts of them, recent ones first in weight. */
  readonly levels: { reward: number; steady: number; quick: number };
};

/** The models of all slots. */
export type Posteriors = ReturnType<typeof openPosteriors>;

/** Opens the models as they were stored; a slot whose looks have another length than before begins anew. */
export function openPosteriors({ store, prior, halfLifeMs, now }: PosteriorOptions) {
  const slots = new Map<string, Slot>();

  function slotOf(name: string, length: number): Slot {
    const known = slots.get(name);
    if (known?.length === length) return known;
    const stored = known === undefined ? store.loadSlot(name) : undefined;
    const opened = openSlot(stored?.length === length ? stored : emptySlot(length, now()), prior(name, length));
    for (const arm of store.armsOf(name)) countArm(opened, arm, 1);
    slots.set(name, opened);
    return opened;
  }

  /** Lets a slot's evidence fade to now, before a choice is added. A clock set back fades nothing. */
  function catchUp(slot: Slot): void {
    const gapMs = Math.min(LONGEST_GAP_MS, Math.max(0, now() - slot.at));
    fade(slot.steady, 0.5 ** (gapMs / halfLifeMs));
    const halves = Math.min(1 / QUICK_CHOICES, gapMs / QUICK_MS);
    fade(slot.quick, 0.5 ** halves);
    slot.order += halves;
    slot.at = now();
  }

  function armOf(slot: string, title: string, arm: string): ArmState {
    const { information = 0, response = 0, at = now() } = store.loadArm(slot, title, arm) ?? {};
    const faded = 0.5 ** (Math.min(LONGEST_GAP_MS, Math.max(0, now() - at)) / halfLifeMs);
    return { information: information * faded, response: response * faded, at: now() };
  }

  /** Adds to what is known of an arm by itself, once the slot's model is learnt. */
  function addToArm(slot: Slot, key: { slot: string; title: string; arm: string }, added: Omit<ArmState, 'at'>): void {
    if (slot.steady.weight < LEARNT_CHOICES * slot.steady.size) return;
    const stored = store.loadArm(key.slot, key.title, key.arm);
    const faded = armOf(key.slot, key.title, key.arm);
    const { information, response } = added;
    const state = { information: faded.information + information, response: faded.response + response, at: now() };
    if (stored !== undefined) countArm(slot, stored, -1);
    countArm(slot, state, 1);
    store.saveArm(key, state);
  }

  return {
    /** Expected rewards of arms for a taste; all descriptors, and the taste if there is one, have one length. */
    believe(slotName: string, title: string, taste: ArrayLike<number> | undefined, arms: readonly Arm[]): Belief {
      const slot = slotOf(slotName, arms[0]?.features.length ?? 0);
      const inputs = arms.map(({ features }) => modelInput(taste, features));
      const scores = score(solvedOf(slot, 'steady'), inputs);
      const spread = armVariance(slot);
      for (const [index, { id }] of arms.entries()) {
        const { information, response } = armOf(slotName, title, id);
        const variance = 1 / (1 / spread + information);
        scores.means[index] = (scores.means[index] ?? 0) + variance * response;
        const at = index * arms.length + index;
        scores.covariance[at] = (scores.covariance[at] ?? 0) + variance;
      }
      return { scores, inputs };
    },

    /** Counts a choice as one without reward; gives what its token must carry. */
    shown({
      slot: slotName,
      title,
      arm,
      input,
      length,
    }: Pick<Shown, 'slot' | 'title' | 'arm' | 'input'> & { length: number }) {
      const slot = slotOf(slotName, length);
      const expected = expectedReward(solvedOf(slot, 'steady'), input);
      const weight = precisionOf(expected);
      catchUp(slot);
      addChoice(slot.steady, input, weight);
      addChoice(slot.quick, input, weight);
      touch(slot);
      addToArm(slot, { slot: slotName, title, arm }, { information: weight, response: -weight * expected });
      return { weight, order: slot.order, issuedAt: now() };
    },

    /** Adds to the reward of a choice, as if it had been known when it was shown. */
    rewarded(shown: Shown, amount: number): void {
      const slot = slots.get(shown.slot) ?? slotOf(shown.slot, (shown.input.length - 2) / 2);
      // A token of other looks than today's teaches nothing any more.
      if (inputSize(slot.length) !== shown.input.length) return;
      // Evidence counts as of the last choice; what came between this one and that has faded it.
      const ageMs = Math.min(LONGEST_GAP_MS, Math.max(0, slot.at - shown.issuedAt));
      const faded = shown.weight * amount * 0.5 ** (ageMs / halfLifeMs);
      addReward(slot.steady, shown.input, faded);
      addReward(slot.quick, shown.input, shown.weight * amount * 0.5 ** Math.max(0, slot.order - shown.order));
      touch(slot);
      addToArm(slot, shown, { information: 0, response: faded });
    },

    /** What both models expect of an input: the forecast that judge() is given when its reward is known. */
    forecast(slotName: string, input: Float64Array): { readonly steady: number; readonly quick: number } {
      const slot = slotOf(slotName, (input.length - 2) / 2);
      const [steady, quick] = [solvedOf(slot, 'steady'), solvedOf(slot, 'quick')];
      return { steady: expectedReward(steady, input), quick: expectedReward(quick, input) };
    },

    /**
     * Compares both models by a reward that is now known (0..1): a one-sided CUSUM of the quick one's log-likelihood
     * lead (Page 1954). When it leads by DRIFT_NATS the steady model becomes a copy of it. Each forecast is scaled to
     * the mean of the rewards first: those that come late are not in yet, and the level of all arms decides nothing.
     */
    judge(slotName: string, forecast: { readonly steady: number; readonly quick: number }, reward: number): void {
      const slot = slots.get(slotName);
      if (slot === undefined) return;
      const { levels } = slot;
      const fitted = (kind: 'steady' | 'quick') =>
        logLikelihood((forecast[kind] * levels.reward) / levels[kind], reward);
      slot.lead = Math.max(0, slot.lead + fitted('quick') - fitted('steady'));
      const kept = 0.5 ** (1 / QUICK_CHOICES);
      levels.reward = levels.reward * kept + reward;
      levels.steady = levels.steady * kept + Math.max(LEAST_CHANCE, forecast.steady);
      levels.quick = levels.quick * kept + Math.max(LEAST_CHANCE, forecast.quick);
      if (slot.lead < DRIFT_NATS) return;
      slot.steady = copyLinear(slot.quick);
      slot.lead = 0;
      slot.drifts += 1;
      touch(slot);
    },

    /** Queues what changed since the last save. */
    save(): void {
      for (const [name, slot] of slots) {
        if (!slot.isDirty) continue;
        slot.isDirty = false;
        store.saveSlot(name, slot);
      }
    },

    /** Of each slot: what its evidence counts now, in choices, and drifts found. */
    stats: () => [...slots].map(([slot, { drifts, steady }]) => ({ slot, drifts, weight: steady.weight })),

    /** A slot's model and the prior it stands on; undefined before its first use. */
    model: (name: string): { readonly linear: Linear; readonly prior: Prior; readonly length: number } | undefined => {
      const slot = slots.get(name);
      return slot === undefined ? undefined : { linear: slot.steady, prior: slot.prior, length: slot.length };
    },
  };
}

function emptySlot(length: number, at: number): SlotState {
  const size = inputSize(length);
  return { length, steady: emptyLinear(size), quick: emptyLinear(size), order: 0, drifts: 0, lead: 0, at };
}

function openSlot(state: SlotState, prior: Prior): Slot {
  return {
    ...state,
    prior,
    solved: {},
    isDirty: false,
    arms: { excess: 0, squares: 0 },
    levels: { reward: 1, steady: 1, quick: 1 },
  };
}

function solvedOf(slot: Slot, kind: 'steady' | 'quick'): Solved {
  slot.solved[kind] ??= solveLinear(slot[kind], slot.prior);
  return slot.solved[kind];
}

function touch(slot: Slot): void {
  slot.solved.steady = undefined;
  slot.solved.quick = undefined;
  slot.isDirty = true;
}

function countArm(slot: Slot, { information, response }: ArmState, sign: 1 | -1): void {
  slot.arms.excess += sign * (response * response - information);
  slot.arms.squares += sign * information * information;
}

/**
 * Variance of what arms are beyond their descriptors, from all arms of the slot: an arm's response has variance
 * information + variance * information^2, so the method of moments gives excess / squares. One standard error is taken off
 * (that of excess without any such variance, sqrt(2 squares)), so that little evidence means none.
 */
function armVariance({ arms: { excess, squares } }: Slot): number {
  const estimate = squares > 0 ? (excess - Math.sqrt(2 * squares)) / squares : 0;
  return Math.min(ARM_DEVIATION.most ** 2, Math.max(ARM_DEVIATION.least ** 2, estimate));
}

/** Of a reward in 0..1 as a Bernoulli variable, in nats. */
function logLikelihood(expected: number, reward: number): number {
  const chance = Math.min(1 - LEAST_CHANCE, Math.max(LEAST_CHANCE, expected));
  return reward * Math.log(chance) + (1 - reward) * Math.log(1 - chance);
}
