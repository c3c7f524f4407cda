// Decides one choice: who chooses for this session, which arms may be shown, and with which chance each. Nothing here counts
// or remembers anything.
import { drawArm, POLICIES, type Policy, policyShares, withFloor } from './bandit.ts';
import { modelInput, type Scores } from './bandit-linear.ts';
import type { Choice, ChoiceAsked, OfferedArm } from './choice.ts';
import type { Ranker } from './modules.ts';
import type { Posteriors } from './posteriors.ts';

/** What an experiment decides for a session; undefined where none is concerned. */
export type Assignment = { readonly policy?: string | undefined; readonly isHeldOut: boolean };

/** How choices are made; bounds and defaults are those of `preview` in the configuration. */
export type ChoiceSettings = {
  readonly policy: string;
  readonly explorationRatio: number;
  readonly leastPropensity: number;
  readonly confidence: number;
};

/** What deciding stands on. */
export type Deciding = {
  readonly settings: ChoiceSettings;
  readonly posteriors: Pick<Posteriors, 'believe'>;
  readonly rankers: readonly Ranker[];
  readonly assign: (asked: { readonly slot: ChoiceAsked['slot']; readonly sid: string }) => Assignment | undefined;
  readonly isStopped: (slot: string, arm: string) => boolean;
  /** A module's ranker gave no chances. */
  readonly onBadRanking: () => void;
  readonly random: () => number;
};

/** Longest descriptor; a token carries it. */
const MOST_FEATURES = 64;

/** A choice; `context` is the taste as a token carries it. Never throws. */
export function decide(room: Deciding, asked: ChoiceAsked, context: Uint8Array | undefined): Choice {
  const { slot, sid, arms } = asked;
  const assigned = sid === undefined ? undefined : room.assign({ slot, sid });
  const isHeldOut = assigned?.isHeldOut ?? false;
  const policy = assigned?.policy ?? room.settings.policy;
  const taste = context === undefined ? undefined : ratios(context);
  const open = arms
    .filter(({ id }, index) => index === 0 || !room.isStopped(slot, id))
    .map(({ id, features }) => ({ id, features: ratios(steps(features)) }));
  const [first] = open;
  if (first === undefined || policy === 'default' || open.length === 1 || !isEven(arms, context)) {
    const propensities = arms.map((_, index) => (index === 0 ? 1 : 0));
    const only = { index: arms.length === 0 ? -1 : 0, propensity: propensities[0] ?? 0, propensities };
    return { ...only, policy: 'default', isHeldOut, expected: arms.map(() => 0) };
  }
  const result = ranked(room, { ...asked, arms: open }, { taste, policy });
  const chances = withFloor(result.shares, room.settings);
  const chosen = open[drawArm(chances, room.random())] ?? first;
  const places = arms.map(({ id }) => open.findIndex((arm) => arm.id === id));
  const propensities = places.map((place) => chances[place] ?? 0);
  const index = arms.findIndex(({ id }) => id === chosen.id);
  const expected = places.map((place) => result.scores.means[place] ?? 0);
  return { index, propensity: propensities[index] ?? 0, propensities, policy: result.policy, isHeldOut, expected };
}

function ranked(
  room: Deciding,
  { slot, titleId, arms }: ChoiceAsked,
  { taste, policy }: { readonly taste: Float64Array | undefined; readonly policy: string },
): { readonly scores: Scores; readonly shares: ArrayLike<number>; readonly policy: string } {
  const scores = room.posteriors.believe(slot, titleId, taste, arms);
  const ranker = room.rankers.find(({ id }) => id === policy);
  if (ranker !== undefined) {
    const shares = rankerShares(ranker, { context: taste, arms, scores });
    if (shares !== undefined) return { scores, shares, policy };
    room.onBadRanking();
  }
  const own = policyOf(policy);
  return { scores, policy: own, shares: policyShares(scores, { ...room.settings, policy: own, random: room.random }) };
}

/** A policy's name; one that no module has any more means the node's own. */
const policyOf = (name: string): Policy => POLICIES.find((policy) => policy === name) ?? 'linucb';

/** Numbers of 0..1 in steps of 1/255, as a token carries them; what is no number is neutral. */
export function steps(values: ArrayLike<number>): Uint8Array {
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
export function inputOf(taste: Uint8Array | undefined, descriptor: Uint8Array): Float64Array {
  return modelInput(taste === undefined || taste.length === 0 ? undefined : ratios(taste), ratios(descriptor));
}

/** All descriptors, and the taste if there is one, have one length: only then do they mean anything. */
export function isEven(arms: readonly OfferedArm[], taste: ArrayLike<number> | undefined): boolean {
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
