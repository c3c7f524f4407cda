// From the choice of a cut to its reward: issues the token, remembers the choice until it expires, counts a success, a
// failure or a silence once, and writes both ends into the choice log.
import type { Arm } from './moments.ts';
import { openPosteriorWriter, type PosteriorStore } from './posteriors.ts';
import { openTokens, TOKEN_REFUSALS, type TokenClaims } from './token.ts';

/** Who made a choice; `none`: there was no preview to give. */
export const ANSWERS = ['personal', 'cohort', 'default', 'none'] as const;
export type Answer = (typeof ANSWERS)[number];

/** What came after a preview: the viewer opened or played the title, left it, or nothing before the token expired. */
export const REWARD_OUTCOMES = ['open', 'play', 'unhover', 'expired'] as const;
export type RewardOutcome = (typeof REWARD_OUTCOMES)[number];

/** How a reward was taken. */
export const REWARD_RESULTS = ['success', 'failure', ...TOKEN_REFUSALS] as const;
export type RewardResult = (typeof REWARD_RESULTS)[number];

/** A choice as it was made; `arms` holds every arm's chance, `propensity` that of the chosen one. */
export type ArmChoice = {
  readonly title: string;
  readonly arm: Arm;
  readonly propensity: number;
  readonly answer: Answer;
  readonly arms: readonly { readonly arm: Arm; readonly propensity: number }[];
};

/** One line of the choice log, ready for IPS and SNIPS; joined by `id`, to the day only, nothing about a viewer. */
export type PreviewRecord = {
  readonly version: 1;
  readonly id: string;
  /** Days since the epoch. */
  readonly day: number;
  readonly title: string;
  readonly arm: Arm;
  readonly propensity: number;
} & (
  | ({ readonly kind: 'choice' } & Pick<ArmChoice, 'answer' | 'arms'>)
  | { readonly kind: 'reward'; readonly reward: 0 | 1; readonly outcome: RewardOutcome }
);

/** Where posteriors and the choice log live. */
export type RewardStore = PosteriorStore & { readonly log: (record: PreviewRecord) => void };

/** Plain counters since start. */
export type RewardStats = {
  readonly results: Readonly<Record<RewardResult, number>>;
  /** Choices counted as failures because no reward came in time. */
  readonly expiries: number;
  /** Choices that still wait. */
  readonly waiting: number;
  /** Rewards that could not be stored, choices forgotten because too many waited, records that the log refused. */
  readonly lost: { readonly rewards: number; readonly choices: number; readonly records: number };
};

/** An open ledger of rewards. */
export type Rewards = {
  /** Logs the choice and gives its token. */
  readonly offer: (choice: ArmChoice) => string;
  /** Counts a reward once; a bad, used or expired token is counted as such and changes nothing. */
  readonly take: (token: string, outcome: Exclude<RewardOutcome, 'expired'>) => RewardResult;
  /** Counts choices whose token expired as failures. */
  readonly sweep: () => void;
  readonly stats: () => RewardStats;
  /** Resolves when every reward is stored or lost. */
  readonly settled: () => Promise<void>;
};

const DAY_MS = 86_400_000;
const NO_RESULTS = { success: 0, failure: 0, malformed: 0, forged: 0, expired: 0, replayed: 0, full: 0 } as const;
const STORE_DEADLINE_MS = 5000;
/** Choices that wait for their reward, and redeemed tokens remembered until they expire; about 200 bytes each. */
const MOST_WAITING = 20_000;

/**
 * Opens the ledger. A choice made before a restart still takes its reward, but its silence is not counted. Throws
 * RangeError for a secret shorter than 16 bytes.
 */
export function openRewards(options: {
  readonly store: RewardStore;
  readonly secret: Uint8Array;
  readonly ttlMs: number;
  readonly halfLifeMs: number;
  readonly now: () => number;
}): Rewards {
  const { store, halfLifeMs, now } = options;
  const tokens = openTokens({ secret: options.secret, ttlMs: options.ttlMs, maxSeen: MOST_WAITING, now });
  const writer = openPosteriorWriter({ store, halfLifeMs, deadlineMs: STORE_DEADLINE_MS });
  const waiting = openWaiting();
  const results: Record<RewardResult, number> = { ...NO_RESULTS };
  let expiries = 0;
  let lostRecords = 0;

  function log(record: PreviewRecord): void {
    try {
      store.log(record);
    } catch {
      lostRecords += 1; // A full log must not cost the viewer the preview.
    }
  }

  function settle(claims: TokenClaims, outcome: RewardOutcome): 'success' | 'failure' {
    const reward = outcome === 'open' || outcome === 'play' ? 1 : 0;
    waiting.remove(claims);
    writer.add(claims.title, { arm: claims.arm, reward, at: now() });
    const { nonce: id, title, arm, propensity } = claims;
    log({ version: 1, kind: 'reward', id, day: dayOf(now()), title, arm, propensity, reward, outcome });
    return reward === 1 ? 'success' : 'failure';
  }

  function sweep(): void {
    for (const claims of waiting.takeExpired(now())) {
      settle(claims, 'expired');
      expiries += 1;
    }
  }

  return {
    offer({ title, arm, propensity, answer, arms }) {
      sweep();
      const { token, claims } = tokens.issue({ title, arm, propensity });
      waiting.add(claims);
      log({ version: 1, kind: 'choice', id: claims.nonce, day: dayOf(now()), title, arm, propensity, answer, arms });
      return token;
    },
    take(token, outcome) {
      sweep();
      const redeemed = tokens.redeem(token);
      const result = 'refused' in redeemed ? redeemed.refused : settle(redeemed.claims, outcome);
      results[result] += 1;
      return result;
    },
    sweep,
    stats: () => ({
      results: { ...results },
      expiries,
      waiting: waiting.size(),
      lost: { rewards: writer.lost(), choices: waiting.lost(), records: lostRecords },
    }),
    settled: writer.settled,
  };
}

/** Choices whose reward may still come, in order of expiry; when too many wait, the oldest is forgotten. */
function openWaiting() {
  const byNonce = new Map<string, TokenClaims>();
  let lost = 0;
  return {
    add(claims: TokenClaims): void {
      const [oldest] = byNonce.keys();
      if (byNonce.size >= MOST_WAITING && oldest !== undefined) {
        byNonce.delete(oldest);
        lost += 1;
      }
      byNonce.set(claims.nonce, claims);
    },
    remove: (claims: TokenClaims) => void byNonce.delete(claims.nonce),
    takeExpired(now: number): TokenClaims[] {
      const expired: TokenClaims[] = [];
      for (const claims of byNonce.values()) {
        if (claims.expiresAt > now) break;
        expired.push(claims);
      }
      for (const { nonce } of expired) byNonce.delete(nonce);
      return expired;
    },
    size: () => byNonce.size,
    lost: () => lost,
  };
}

function dayOf(at: number): number {
  return Math.floor(at / DAY_MS);
}
