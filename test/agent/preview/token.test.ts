// Reward tokens: good once, for their own time, and only when we signed them.
import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openTokens } from '../../../agent/preview/token.ts';

const secret = Buffer.from('a secret of more than sixteen bytes');
const claims = { title: 'bbb-1', arm: 'action', propensity: 0.375 } as const;

function open(clock = { ms: 1_700_000_000_000 }, maxSeen = 100) {
  return { clock, tokens: openTokens({ secret, ttlMs: 1000, maxSeen, now: () => clock.ms }) };
}

describe('token', () => {
  test('gives its claims back once', () => {
    const { tokens } = open();
    const { token, claims: issued } = tokens.issue(claims);
    expect(issued).toMatchObject({ ...claims, day: 19_675, expiresAt: 1_700_000_001_000 });
    expect(tokens.redeem(token)).toEqual({ claims: issued });
    expect(tokens.redeem(token)).toEqual({ refused: 'replayed' });
  });

  test('any changed character is refused', () => {
    const { tokens } = open();
    const { token } = tokens.issue(claims);
    const alphabet = 'ABCxyz019-_.';
    fc.assert(
      fc.property(fc.nat(token.length - 2), fc.constantFrom(...alphabet), (at, character) => {
        fc.pre(token[at] !== character);
        const result = tokens.redeem(token.slice(0, at) + character + token.slice(at + 1));
        expect('refused' in result && ['forged', 'malformed'].includes(result.refused)).toBe(true);
      }),
      { numRuns: 300 },
    );
    expect('claims' in tokens.redeem(token)).toBe(true);
  });

  test.each(['', '.', 'a.b', 'a.b.c', 'x'.repeat(10_000), '..', 'é.é'])('nonsense is refused: %j', (token) => {
    const result = open().tokens.redeem(token);
    expect('refused' in result && ['forged', 'malformed'].includes(result.refused)).toBe(true);
  });

  test('expires to the millisecond', () => {
    const { tokens, clock } = open();
    const early = tokens.issue(claims).token;
    const late = tokens.issue(claims).token;
    clock.ms += 999;
    expect('claims' in tokens.redeem(early)).toBe(true);
    clock.ms += 1;
    expect(tokens.redeem(late)).toEqual({ refused: 'expired' });
    expect(tokens.redeem(early)).toEqual({ refused: 'expired' });
  });

  test('another secret, and our own signature over another version, are refused', () => {
    const other = openTokens({ secret: Buffer.alloc(32, 7), ttlMs: 1000, maxSeen: 10, now: () => 0 });
    expect(open({ ms: 0 }).tokens.redeem(other.issue(claims).token)).toEqual({ refused: 'forged' });
    const payload = Buffer.from(JSON.stringify([2, 'bbb-1', 'action', 1, 0, 'n', 5000])).toString('base64url');
    const signed = `${payload}.${createHmac('sha256', secret).update(payload).digest('base64url')}`;
    expect(open({ ms: 0 }).tokens.redeem(signed)).toEqual({ refused: 'malformed' });
  });

  test('a full memory refuses new ones rather than forget, and recovers when they expire', () => {
    const { tokens, clock } = open(undefined, 2);
    const [a, b, c] = [1, 2, 3].map(() => tokens.issue(claims).token);
    for (const token of [a, b]) expect('claims' in tokens.redeem(token ?? '')).toBe(true);
    expect(tokens.redeem(c ?? '')).toEqual({ refused: 'full' });
    expect(tokens.redeem(a ?? '')).toEqual({ refused: 'replayed' });
    clock.ms += 1000;
    expect('claims' in tokens.redeem(tokens.issue(claims).token)).toBe(true);
  });

  test('carries nothing but the choice, and a short secret is refused', () => {
    const [payload = ''] = open().tokens.issue(claims).token.split('.');
    expect(JSON.parse(Buffer.from(payload, 'base64url').toString())).toEqual([
      1,
      'bbb-1',
      'action',
      0.375,
      19_675,
      expect.any(String),
      1_700_000_001_000,
    ]);
    expect(() => openTokens({ secret: Buffer.alloc(15), ttlMs: 1, maxSeen: 1, now: () => 0 })).toThrow(RangeError);
  });
});
