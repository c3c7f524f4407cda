// The reward token: says which cut was shown and with what chance, signed so that no player can make one up, and good
// for one reward. It carries nothing about the viewer.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Arm } from './moments.ts';

/** What a token vouches for. `day` counts days since the epoch, `propensity` is 0..1. */
export type TokenClaims = {
  readonly title: string;
  readonly arm: Arm;
  readonly propensity: number;
  readonly day: number;
  readonly nonce: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
};

/** Why a token gives no reward; `full`: more live tokens were redeemed than the set of seen ones holds. */
export const TOKEN_REFUSALS = ['malformed', 'forged', 'expired', 'replayed', 'full'] as const;
export type TokenRefusal = (typeof TOKEN_REFUSALS)[number];

/** Issues tokens and redeems each once. */
export type Tokens = {
  readonly issue: (claims: Pick<TokenClaims, 'title' | 'arm' | 'propensity'>) => { token: string; claims: TokenClaims };
  readonly redeem: (token: string) => { readonly claims: TokenClaims } | { readonly refused: TokenRefusal };
};

/** `secret`: at least 16 bytes, the same on all nodes of a site. `maxSeen` bounds the memory of redeemed tokens. */
export type TokenOptions = {
  readonly secret: Uint8Array;
  readonly ttlMs: number;
  readonly maxSeen: number;
  readonly now: () => number;
};

/** No honest token is longer. */
const MAX_TOKEN_CHARS = 512;
const DAY_MS = 86_400_000;
const VERSION = 1;

/** Opens an issuer. Throws RangeError for a secret shorter than 16 bytes. */
export function openTokens(options: TokenOptions): Tokens {
  if (options.secret.byteLength < 16) throw new RangeError('the token secret must have at least 16 bytes');
  /** Nonce -> expiry of what was redeemed; in order of redemption. */
  const seen = new Map<string, number>();
  const sign = (text: string) => createHmac('sha256', options.secret).update(text).digest();

  function forgetExpired(now: number): void {
    for (const [nonce, expiresAt] of seen) if (expiresAt <= now) seen.delete(nonce);
  }

  return {
    issue({ title, arm, propensity }) {
      const now = options.now();
      const nonce = randomBytes(9).toString('base64url');
      const claims = { title, arm, propensity, day: Math.floor(now / DAY_MS), nonce, expiresAt: now + options.ttlMs };
      const text = Buffer.from(JSON.stringify([VERSION, title, arm, propensity, claims.day, nonce, claims.expiresAt]));
      const payload = text.toString('base64url');
      return { token: `${payload}.${sign(payload).toString('base64url')}`, claims };
    },

    redeem(token) {
      const [payload, signature, rest] = token.length > MAX_TOKEN_CHARS ? [] : token.split('.');
      if (payload === undefined || signature === undefined || rest !== undefined) return { refused: 'malformed' };
      const given = Buffer.from(signature, 'base64url');
      const expected = sign(payload);
      if (given.length !== expected.length || !timingSafeEqual(given, expected)) return { refused: 'forged' };
      const claims = readClaims(payload);
      if (claims === undefined) return { refused: 'malformed' };
      const now = options.now();
      if (claims.expiresAt <= now) return { refused: 'expired' };
      if (seen.has(claims.nonce)) return { refused: 'replayed' };
      if (seen.size >= options.maxSeen) forgetExpired(now);
      if (seen.size >= options.maxSeen) return { refused: 'full' };
      seen.set(claims.nonce, claims.expiresAt);
      return { claims };
    },
  };
}

/** Signed by us, but perhaps by another version: still read as unknown. */
function readClaims(payload: string): TokenClaims | undefined {
  let read: unknown;
  try {
    read = JSON.parse(Buffer.from(payload, 'base64url').toString());
  } catch {
    return undefined; // Not JSON: the caller counts it as malformed.
  }
  if (!Array.isArray(read) || read[0] !== VERSION) return undefined;
  const fields: readonly unknown[] = read;
  const [, title, arm, propensity, day, nonce, expiresAt] = fields;
  if (typeof title !== 'string' || typeof arm !== 'string' || typeof nonce !== 'string') return undefined;
  if (typeof propensity !== 'number' || typeof day !== 'number' || typeof expiresAt !== 'number') return undefined;
  return { title, arm, propensity, day, nonce, expiresAt };
}
