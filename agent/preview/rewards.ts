// What a token's bearer did later, and what that is worth: four outcomes, each counted once for a choice and only at a
// time at which it can have happened. Remembers which were counted, on disk too, so that no restart makes one good twice.
import { SEAL_REFUSALS, type TokenClaims, type Tokens } from './token.ts';

/** What may follow a preview, in the order in which it happens. */
export const OUTCOMES = ['played', 'watched', 'completed', 'returned'] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** Why a reward was not counted. `early`: it cannot have happened yet, or a clock was set back. */
const REWARD_REFUSALS = [...SEAL_REFUSALS, 'expired', 'early', 'replayed'] as const;

/** How a report was taken; `failure`: the viewer left the preview. */
export const REWARD_RESULTS = [...OUTCOMES, 'failure', ...REWARD_REFUSALS] as const;
export type RewardResult = (typeof REWARD_RESULTS)[number];

/** What one outcome adds to the reward of a choice; together 1. */
export type RewardWeights = Readonly<Record<Outcome, number>>;

/** What a player tells about a title that it had a token for. */
export type Told = { readonly type: string; readonly positionSeconds?: number | undefined };

/** Where counted outcomes are kept: a set of bits for each choice. */
export type SpentStore = { readonly get: (id: number) => number; readonly add: (id: number, bit: number) => void };

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/**
 * When each outcome may be told, after the choice. Two minutes of media take at least one at double speed; a title that
 * is shorter is watched when most of it is. A return is told on a later day, and only within the week.
 */
const WINDOWS: Readonly<Record<Outcome, { readonly fromMs: number; readonly toMs: number }>> = {
  played: { fromMs: 0, toMs: 10 * MINUTE_MS },
  watched: { fromMs: 0, toMs: DAY_MS },
  completed: { fromMs: 0, toMs: DAY_MS },
  returned: { fromMs: 12 * 60 * MINUTE_MS, toMs: 7 * DAY_MS },
};
/** After this long a choice without a play is one that nobody wanted. */
export const SILENCE_MS = WINDOWS.played.toMs;
/** A token is worth nothing after this long. */
const TOKEN_TTL_MS = WINDOWS.returned.toMs;
/** A node's clock may be set back so far before its own tokens are from the future. */
const CLOCK_SLACK_MS = 1_000;
const WATCHED_SECONDS = 120;
/** Share of a title whose end is its credits. */
const COMPLETED_RATIO = 0.9;
/** Fastest that media is watched, times normal speed. */
const FASTEST = 2;
/** Bit of a choice whose viewer left the preview. */
const LEFT_BIT = 1 << OUTCOMES.length;

const LEAVING = new Set(['pause', 'stop', 'seek', 'next']);

/** The outcomes that a report may stand for, the latest first; empty for a report that means nothing. */
function outcomesOf(told: Told, ageMs: number, durationSeconds: number | undefined): Outcome[] {
  if (told.type === 'open' || told.type === 'play') return [ageMs >= WINDOWS.returned.fromMs ? 'returned' : 'played'];
  const { positionSeconds } = told;
  if (!LEAVING.has(told.type) || positionSeconds === undefined) return [];
  const whole = durationSeconds === undefined ? Number.POSITIVE_INFINITY : durationSeconds * COMPLETED_RATIO;
  if (positionSeconds >= whole) return ['completed', 'watched'];
  return positionSeconds >= WATCHED_SECONDS ? ['watched'] : [];
}

/** One counted outcome. */
export type Reward = { readonly claims: TokenClaims; readonly outcome: Outcome; readonly amount: number };

/** What a report came to: outcomes that now count, or why none does; undefined where it means nothing. */
export type Taken = {
  readonly result: RewardResult | undefined;
  readonly rewards: readonly Reward[];
  readonly claims?: TokenClaims;
};

/** Takes reports. Each outcome of a token counts once; a bad, old, used or impossible one changes nothing. */
export function openRewards(options: {
  readonly tokens: Tokens;
  readonly spent: SpentStore;
  readonly weights: RewardWeights;
  readonly now: () => number;
}): (token: string, told: Told, durationSeconds?: number) => Taken {
  const { tokens, spent, weights, now } = options;
  const refuse = (result: RewardResult | undefined): Taken => ({ result, rewards: [] });

  return (token, told, durationSeconds) => {
    const claims = tokens.open(token);
    if (typeof claims === 'string') return refuse(claims);
    const ageMs = now() - claims.issuedAt;
    if (ageMs < -CLOCK_SLACK_MS) return refuse('early');
    if (ageMs > TOKEN_TTL_MS) return refuse('expired');
    const counted = spent.get(claims.id);
    if (told.type === 'unhover') {
      if (counted !== 0) return refuse('replayed');
      spent.add(claims.id, LEFT_BIT);
      return { result: 'failure', rewards: [], claims };
    }
    const outcomes = outcomesOf(told, ageMs, durationSeconds);
    const [latest] = outcomes;
    if (latest === undefined) return refuse(undefined);
    if (ageMs > WINDOWS[latest].toMs) return refuse('expired');
    const least = latest === 'watched' || latest === 'completed' ? leastMs(told, durationSeconds) : 0;
    if (ageMs < least - CLOCK_SLACK_MS) return refuse('early');
    const fresh = outcomes.filter((outcome) => (counted & bitOf(outcome)) === 0);
    if (fresh.length === 0) return refuse('replayed');
    for (const outcome of fresh) spent.add(claims.id, bitOf(outcome));
    return {
      result: latest,
      claims,
      rewards: fresh.map((outcome) => ({ claims, outcome, amount: weights[outcome] })),
    };
  };
}

const bitOf = (outcome: Outcome): number => 1 << OUTCOMES.indexOf(outcome);

/** A minute for two minutes of media; a shorter title takes half of itself. What a resumed title had before is free. */
function leastMs(told: Told, durationSeconds = Number.POSITIVE_INFINITY): number {
  const seconds = Math.min(WATCHED_SECONDS, durationSeconds * COMPLETED_RATIO, told.positionSeconds ?? 0);
  return (seconds / FASTEST) * 1000;
}
