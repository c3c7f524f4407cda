// What every kind of access token is checked against, and the closed list of why a request is refused.

/** Why a request is refused with 403. */
export const DENIALS = [
  'TOKEN_MISSING',
  'TOKEN_MALFORMED',
  'TOKEN_KEY_UNKNOWN',
  'TOKEN_SIGNATURE',
  'TOKEN_EXPIRED',
  'TOKEN_NOT_YET',
  'TOKEN_PATH',
  'TOKEN_METHOD',
  'TOKEN_ADDRESS',
  'TOKEN_ISSUER',
  'TOKEN_AUDIENCE',
  'TOKEN_CLAIM',
  'TOKEN_REPLAYED',
] as const;
/** One reason of a refusal. */
export type Denial = (typeof DENIALS)[number];

/** The same for people. Nothing of the token is in it. */
export const DENIAL_TEXTS: Readonly<Record<Denial, string>> = {
  TOKEN_MISSING: 'This address needs a token.',
  TOKEN_MALFORMED: 'The token cannot be read.',
  TOKEN_KEY_UNKNOWN: 'The token names a key that is not known here.',
  TOKEN_SIGNATURE: 'The token was not signed with a key that is known here.',
  TOKEN_EXPIRED: 'The token has expired.',
  TOKEN_NOT_YET: 'The token is not valid yet.',
  TOKEN_PATH: 'The token is for another address.',
  TOKEN_METHOD: 'The token is for another method.',
  TOKEN_ADDRESS: 'The token is for another network.',
  TOKEN_ISSUER: 'The token is of another issuer.',
  TOKEN_AUDIENCE: 'The token is for another audience.',
  TOKEN_CLAIM: 'The token demands what this server cannot check.',
  TOKEN_REPLAYED: 'The token has been used.',
};

/** A request as tokens see it. `path` and `query` without the token, as they came and not decoded. */
export type AccessRequest = {
  readonly method: string;
  readonly scheme: 'http' | 'https';
  /** Lower case, without port. */
  readonly host: string;
  /** '' where it is the scheme's own. */
  readonly port: string;
  readonly path: string;
  /** Without its question mark; '' where there is none. */
  readonly query: string;
  /** The client's address, 4 or 16 bytes. */
  readonly address: Uint8Array | undefined;
};

/** A key of a host; its id is in the tokens that it signs. */
export type SigningKey = { readonly id: string; readonly secret: Uint8Array };

/** Keys to try for a token: the one that it names, or all when it names none. Undefined: none has that name. */
export function keysFor(keys: readonly SigningKey[], id: string | undefined): readonly SigningKey[] | undefined {
  if (id === undefined) return keys;
  const named = keys.filter((key) => key.id === id);
  return named.length === 0 ? undefined : named;
}
