// The models behind the bandit, one pair for each slot: a steady one that answers, and a quick one that forgets fast and
// takes its place when it predicts rewards better, that is when tastes have drifted. Beside them what each arm is by itself.
import {
  addChoice,
  addReward,
  copyLinear,
  emptyLinear,
  expectedReward,
  fade,
  fitScales,
  inputSize,
  type Linear,
  modelInput,
  NO_SCALES,
  type Prior,
  precisionOf,
  type Scales,
  type Scores,
  type Solved,
  scalePrior,
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
  /** Milliseconds since the epoch: evidence counts as of then; what arms proved to be before the last drift is void. */
  readonly at: number;
  readonly driftedAt: number;
  /** How far coefficients spread, beside their prior. */
  readonly scales: Scales;
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

/** What an arm looks like, under its name. */
export type OfferedLook = { readonly id: string; readonly features: ArrayLike<number> };

/** What both models expected of a choice. */
export type Forecast = { readonly steady: number; readonly quick: number };

type ArmKey = { readonly slot: string; readonly title: string; readonly arm: string };

/** An arm that is shown, and the model's input of it. */
export type ShownArm = ArmKey & { readonly input: Float64Array };

/** A choice that was shown, as its token holds it. */
export type Shown = ShownArm & { readonly weight: number; readonly order: number; readonly issuedAt: number };

/** The quick model's evidence halves after so many choices, but not within a day, which has its own hours. */
const QUICK_CHOICES = 200;
const QUICK_MS = 86_400_000;
/** Nats by which the quick model must lead before it takes over; by chance alone one lead in e^8 would. */
const DRIFT_NATS = 8;
/** What is known of the level of rewards halves after so many: slower than a drift, faster than what comes late adds up. */
const LEVEL_CHOICES = 2_000;
/** Choices between two looks at how far coefficients spread. */
const FIT_CHOICES = 100;
/** One standard deviation of what an arm is beyond its descriptor, as a reward: at least, and at most. */
const ARM_DEVIATION = { least: 0.003, most: 0.1 } as const;
/** Choices for each coefficient before which what is left of a reward is the model's own fault, and no arm's. */
const LEARNT_CHOICES = 30;
/** A gap fades evidence as this long at most: the clock may have jumped. */
const LONGEST_GAP_MS = 7 * 86_400_000;
const LEAST_CHANCE = 0.005;

type Slot = {
  readonly length: number;
  /** As given, and at the scales of now. */
  readonly given: Prior;
  prior: Prior;
  scales: Scales;
  /** Choices until the next look at these. */
  unfitted: number;
  steady: Linear;
  quick: Linear;
  /** Of either model, since its evidence last changed. */
  readonly solved: { steady?: Solved | undefined; quick?: Solved | undefined };
  order: number;
  drifts: number;
  lead: number;
  at: number;
  driftedAt: number;
  isDirty: boolean;
  /** Over all arms: sum of response^2 - information, and of information^2. */
  readonly arms: { excess: number; squares: number };
  /** Sums of judged rewards and of both forecasts of them, recent ones first in weight. */
  readonly levels: { reward: number; steady: number; quick: number };
};

/** The models of all slots. */
export type Posteriors = {
  /** Expected rewards of arms for a taste; all descriptors, and the taste if there is one, have one length. */
  readonly believe: (
    slot: string,
    title: string,
    taste: ArrayLike<number> | undefined,
    arms: readonly OfferedLook[],
  ) => Scores;
  /** Counts a choice as one without reward; gives what its token must carry. */
  readonly shown: (choice: ShownArm) => Pick<Shown, 'weight' | 'order' | 'issuedAt'>;
  /** Adds to the reward of a choice, as if it had been known when it was shown. */
  readonly rewarded: (shown: Shown, amount: number) => void;
  /** What both models expect of an input: the forecast that judge() is given when its reward is known. */
  readonly forecast: (slot: string, input: Float64Array) => Forecast;
  /** Compares both models by a reward that is now known, 0..1; the quick one may take over. */
  readonly judge: (slot: string, forecast: Forecast, reward: number) => void;
  /** Queues what changed since the last save. */
  readonly save: () => void;
  /** Drifts found in all slots. */
  readonly drifts: () => number;
  /** A slot's model and the prior it stands on; undefined before its first use. */
  readonly model: (
    slot: string,
  ) => { readonly linear: Linear; readonly prior: Prior; readonly length: number } | undefined;
};

type Room = PosteriorOptions & { readonly slots: Map<string, Slot> };

/** Opens the models as they were stored; a slot whose looks have another length than before begins anew. */
export function openPosteriors(options: PosteriorOptions): Posteriors {
  const slots = new Map<string, Slot>();
  const room: Room = { ...options, slots };
  return {
    believe(slotName, title, taste, arms) {
      const slot = slotOf(room, slotName, arms[0]?.features.length ?? 0);
      const scores = score(
        solvedOf(slot, 'steady'),
        arms.map(({ features }) => modelInput(taste, features)),
      );
      const spread = armVariance(slot);
      for (const [index, { id }] of arms.entries()) {
        const { information, response } = armOf(room, slot, { slot: slotName, title, arm: id });
        const variance = 1 / (1 / spread + information);
        scores.means[index] = (scores.means[index] ?? 0) + variance * response;
        const at = index * arms.length + index;
        scores.covariance[at] = (scores.covariance[at] ?? 0) + variance;
      }
      return scores;
    },
    shown: (choice) => addShown(room, choice),
    rewarded: (shown, amount) => addLate(room, shown, amount),
    forecast(slotName, input) {
      const slot = slotOf(room, slotName, lengthOf(input));
      const [steady, quick] = [solvedOf(slot, 'steady'), solvedOf(slot, 'quick')];
      return { steady: expectedReward(steady, input), quick: expectedReward(quick, input) };
    },
    judge(slotName, forecast, reward) {
      const slot = slots.get(slotName);
      if (slot !== undefined) judge(slot, forecast, { reward, at: options.now() });
    },
    save() {
      for (const [name, slot] of slots) {
        if (!slot.isDirty) continue;
        slot.isDirty = false;
        options.store.saveSlot(name, slot);
      }
    },
    drifts: () => [...slots.values()].reduce((sum, { drifts }) => sum + drifts, 0),
    model(name) {
      const slot = slots.get(name);
      return slot === undefined ? undefined : { linear: slot.steady, prior: slot.prior, length: slot.length };
    },
  };
}

const lengthOf = (input: Float64Array): number => (input.length - inputSize(0)) / 2;

function slotOf({ slots, store, prior, now }: Room, name: string, length: number): Slot {
  const known = slots.get(name);
  if (known?.length === length) return known;
  const stored = known === undefined ? store.loadSlot(name) : undefined;
  const opened = openSlot(stored?.length === length ? stored : emptySlot(length, now()), prior(name, length));
  for (const arm of store.armsOf(name)) if (arm.at >= opened.driftedAt) countArm(opened, arm, 1);
  slots.set(name, opened);
  return opened;
}

/** Lets a slot's evidence fade to now, before a choice is added. A clock set back fades nothing. */
function catchUp({ now, halfLifeMs }: Room, slot: Slot): void {
  const gapMs = Math.min(LONGEST_GAP_MS, Math.max(0, now() - slot.at));
  fade(slot.steady, 0.5 ** (gapMs / halfLifeMs));
  const halves = Math.min(1 / QUICK_CHOICES, gapMs / QUICK_MS);
  fade(slot.quick, 0.5 ** halves);
  slot.order += halves;
  slot.at = now();
}

function armOf({ store, now, halfLifeMs }: Room, { driftedAt }: Slot, { slot, title, arm }: ArmKey): ArmState {
  const stored = store.loadArm(slot, title, arm);
  if (stored === undefined || stored.at < driftedAt) return { information: 0, response: 0, at: now() };
  const { information, response, at } = stored;
  const faded = 0.5 ** (Math.min(LONGEST_GAP_MS, Math.max(0, now() - at)) / halfLifeMs);
  return { information: information * faded, response: response * faded, at: now() };
}

/** Adds to what is known of an arm by itself, once the slot's model is learnt. */
function addToArm(room: Room, slot: Slot, { slot: name, title, arm }: ArmKey, added: Omit<ArmState, 'at'>): void {
  if (slot.steady.weight < LEARNT_CHOICES * slot.steady.size) return;
  const key = { slot: name, title, arm };
  const stored = room.store.loadArm(name, title, arm);
  const { information, response, at } = armOf(room, slot, key);
  const state = { information: information + added.information, response: response + added.response, at };
  if (stored !== undefined && stored.at >= slot.driftedAt) countArm(slot, stored, -1);
  countArm(slot, state, 1);
  room.store.saveArm(key, state);
}

function addShown(room: Room, choice: ShownArm): Pick<Shown, 'weight' | 'order' | 'issuedAt'> {
  const { input } = choice;
  const slot = slotOf(room, choice.slot, lengthOf(input));
  const expected = expectedReward(solvedOf(slot, 'steady'), input);
  const weight = precisionOf(expected);
  catchUp(room, slot);
  addChoice(slot.steady, input, weight);
  addChoice(slot.quick, input, weight);
  touch(slot);
  slot.unfitted -= 1;
  if (slot.unfitted <= 0) refit(slot);
  addToArm(room, slot, choice, { information: weight, response: -weight * expected });
  return { weight, order: slot.order, issuedAt: room.now() };
}

function addLate(room: Room, shown: Shown, amount: number): void {
  const { input, weight } = shown;
  const slot = room.slots.get(shown.slot) ?? slotOf(room, shown.slot, lengthOf(input));
  // A token of other looks than today's teaches nothing any more.
  if (inputSize(slot.length) !== input.length) return;
  // Evidence counts as of the last choice; what came between this one and that has faded it.
  const ageMs = Math.min(LONGEST_GAP_MS, Math.max(0, slot.at - shown.issuedAt));
  const faded = weight * amount * 0.5 ** (ageMs / room.halfLifeMs);
  addReward(slot.steady, input, faded);
  addReward(slot.quick, input, weight * amount * 0.5 ** Math.max(0, slot.order - shown.order));
  touch(slot);
  addToArm(room, slot, shown, { information: 0, response: faded });
}

/**
 * A one-sided CUSUM of the quick model's log-likelihood lead (Page 1954). When it leads by DRIFT_NATS the steady model
 * becomes a copy of it. Each forecast is scaled to the mean of the rewards first: those that come late are not in yet, and
 * the level of all arms decides nothing.
 */
function judge(slot: Slot, forecast: Forecast, { reward, at }: { reward: number; at: number }): void {
  const { levels } = slot;
  const fitted = (kind: 'steady' | 'quick') => logLikelihood((forecast[kind] * levels.reward) / levels[kind], reward);
  slot.lead = Math.max(0, slot.lead + fitted('quick') - fitted('steady'));
  const kept = 0.5 ** (1 / LEVEL_CHOICES);
  levels.reward = levels.reward * kept + reward;
  levels.steady = levels.steady * kept + Math.max(LEAST_CHANCE, forecast.steady);
  levels.quick = levels.quick * kept + Math.max(LEAST_CHANCE, forecast.quick);
  if (slot.lead < DRIFT_NATS) return;
  slot.steady = copyLinear(slot.quick);
  slot.lead = 0;
  slot.drifts += 1;
  slot.driftedAt = at;
  slot.arms.excess = 0;
  slot.arms.squares = 0;
  touch(slot);
}

function emptySlot(length: number, at: number): SlotState {
  const size = inputSize(length);
  const models = { steady: emptyLinear(size), quick: emptyLinear(size) };
  return { length, ...models, order: 0, drifts: 0, lead: 0, at, driftedAt: 0, scales: NO_SCALES };
}

function openSlot(state: SlotState, prior: Prior): Slot {
  return {
    ...state,
    ...{ given: prior, prior: scalePrior(prior, state.scales), unfitted: FIT_CHOICES, solved: {}, isDirty: false },
    arms: { excess: 0, squares: 0 },
    levels: { reward: 1, steady: 1, quick: 1 },
  };
}

function refit(slot: Slot): void {
  slot.scales = fitScales(solvedOf(slot, 'steady'), slot.given, slot.scales);
  slot.prior = scalePrior(slot.given, slot.scales);
  slot.unfitted = FIT_CHOICES;
  touch(slot);
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
 * information + variance * information^2, so the method of moments gives excess / squares. Two standard errors
 * (of excess without any such variance: sqrt(2 squares)) are taken off, so that little evidence means none.
 */
function armVariance({ arms: { excess, squares } }: Slot): number {
  const estimate = squares > 0 ? (excess - 2 * Math.sqrt(2 * squares)) / squares : 0;
  return Math.min(ARM_DEVIATION.most ** 2, Math.max(ARM_DEVIATION.least ** 2, estimate));
}

/** Of a reward in 0..1 as a Bernoulli variable, in nats. */
function logLikelihood(expected: number, reward: number): number {
  const chance = Math.min(1 - LEAST_CHANCE, Math.max(LEAST_CHANCE, expected));
  return reward * Math.log(chance) + (1 - reward) * Math.log(1 - chance);
}
