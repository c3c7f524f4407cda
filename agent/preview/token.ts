// The reward token: says which arm was shown to whom it was shown to, and nothing to anybody else. Sealed, so that no
// player can make one up or read one; what was known of the viewer travels in it and is kept nowhere.
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

/** What a token vouches for. */
export type TokenClaims = {
  /** Number of the choice on this node; a token counts once for each outcome. */
  readonly id: number;
  readonly slot: string;
  readonly title: string;
  readonly arm: string;
  /** Chance with which the arm was shown, above 0 and at most 1. */
  readonly propensity: number;
  /** Weight of the choice in the model, and how far the quick model of its slot had faded then, in half-lives. */
  readonly weight: number;
  readonly order: number;
  /** Milliseconds since the epoch. */
  readonly issuedAt: number;
  /** Taste and descriptor, each 0..1 in steps of 1/255; `taste` is empty without consent. */
  readonly taste: Uint8Array;
  readonly descriptor: Uint8Array;
};

/** Why a text is no token of ours. */
export const SEAL_REFUSALS = ['malformed', 'forged'] as const;
export type SealRefusal = (typeof SEAL_REFUSALS)[number];

/** Seals claims, and opens what it sealed. */
export type Tokens = {
  readonly seal: (claims: TokenClaims) => string;
  readonly open: (token: string) => TokenClaims | SealRefusal;
};

/** No honest token is longer, in characters; events.ts lets 1,024 pass. */
const MAX_TOKEN_CHARS = 700;
const VERSION = 2;
const IV_BYTES = 12;
const TAG_BYTES = 16;
/** Bytes of all fixed fields: version, id, issuedAt, propensity, weight, order and five lengths. */
const FIXED_BYTES = 1 + 8 + 8 + 8 + 4 + 4 + 5;
const LENGTHS_AT = FIXED_BYTES - 5;

/** Opens a sealer. `secret`: at least 16 bytes, drawn once by each node. Throws RangeError for a shorter one. */
export function openTokens(secret: Uint8Array): Tokens {
  if (secret.byteLength < 16) throw new RangeError('the token secret must have at least 16 bytes');
  const key = Buffer.from(hkdfSync('sha256', secret, new Uint8Array(0), 'nearcast preview token', 32));
  return {
    seal(claims) {
      // Random: 2^32 tokens of one key are safe (NIST SP 800-38D, 8.3); at 100 a second that takes a year.
      const iv = randomBytes(IV_BYTES);
      const cipher = createCipheriv('aes-256-gcm', key, iv);
      const sealed = Buffer.concat([iv, cipher.update(write(claims)), cipher.final()]);
      return Buffer.concat([sealed, cipher.getAuthTag()]).toString('base64url');
    },
    open(token) {
      if (token.length > MAX_TOKEN_CHARS || !/^[\w-]+$/.test(token)) return 'malformed';
      const sealed = Buffer.from(token, 'base64url');
      // A last character may have bits that no byte has: two texts of one token.
      if (sealed.length < IV_BYTES + FIXED_BYTES + TAG_BYTES || sealed.toString('base64url') !== token)
        return 'malformed';
      const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, IV_BYTES));
      decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
      let text: Buffer;
      try {
        text = Buffer.concat([decipher.update(sealed.subarray(IV_BYTES, -TAG_BYTES)), decipher.final()]);
      } catch {
        return 'forged'; // The tag is not ours: counted by the caller.
      }
      return text[0] === VERSION ? read(text) : 'malformed';
    },
  };
}

function write(claims: TokenClaims): Buffer {
  const parts = [claims.slot, claims.title, claims.arm].map((text) => Buffer.from(text));
  const bytes = [...parts, claims.taste, claims.descriptor];
  const head = Buffer.alloc(FIXED_BYTES);
  head.writeUInt8(VERSION, 0);
  head.writeDoubleLE(claims.id, 1);
  head.writeDoubleLE(claims.issuedAt, 9);
  head.writeDoubleLE(claims.order, 17);
  head.writeFloatLE(claims.propensity, 25);
  head.writeFloatLE(claims.weight, 29);
  for (const [index, { length }] of bytes.entries()) head.writeUInt8(length, LENGTHS_AT + index);
  return Buffer.concat([head, ...bytes]);
}

function read(text: Buffer): TokenClaims {
  let at = FIXED_BYTES;
  const [slot, title, arm, taste, descriptor] = [0, 1, 2, 3, 4].map((index) => {
    const length = text.readUInt8(LENGTHS_AT + index);
    at += length;
    return text.subarray(at - length, at);
  });
  return {
    id: text.readDoubleLE(1),
    issuedAt: text.readDoubleLE(9),
    order: text.readDoubleLE(17),
    propensity: text.readFloatLE(25),
    weight: text.readFloatLE(29),
    slot: String(slot),
    title: String(title),
    arm: String(arm),
    taste: taste ?? new Uint8Array(0),
    descriptor: descriptor ?? new Uint8Array(0),
  };
}
