// Reward tokens: only ours open, they say all that was sealed, and nobody else can read them.
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openTokens } from '../../../agent/preview/token.ts';

const secret = Buffer.from('a secret of more than sixteen bytes');
const claims = {
  id: 2 ** 40 + 3,
  slot: 'preview',
  title: 'bbb-1',
  arm: 'action',
  propensity: 0.375,
  weight: 10.5,
  order: 12.25,
  issuedAt: 1_700_000_000_123,
  taste: Uint8Array.of(0, 128, 255),
  descriptor: Uint8Array.of(7, 8, 9),
};

describe('token', () => {
  test('gives its claims back', () => {
    const { seal, open } = openTokens(secret);
    const opened = open(seal(claims));
    if (typeof opened === 'string') throw new Error(opened);
    expect({ ...opened, taste: [...opened.taste], descriptor: [...opened.descriptor] }).toEqual({
      ...claims,
      taste: [0, 128, 255],
      descriptor: [7, 8, 9],
    });
  });

  test('nobody can read one: not its title, and not that two are of one choice', () => {
    const { seal } = openTokens(secret);
    const [one, two] = [seal(claims), seal(claims)];
    expect(one).not.toBe(two);
    expect(Buffer.from(one, 'base64url').toString('latin1')).not.toContain('bbb-1');
  });

  test('any changed, added or lost character is refused', () => {
    const { seal, open } = openTokens(secret);
    const token = seal(claims);
    const alphabet = 'ABCxyz019-_.';
    fc.assert(
      fc.property(fc.nat(token.length - 1), fc.constantFrom(...alphabet), (at, character) => {
        fc.pre(token[at] !== character);
        expect(['forged', 'malformed']).toContain(open(token.slice(0, at) + character + token.slice(at + 1)));
        expect(['forged', 'malformed']).toContain(open(token.slice(0, at)));
        expect(['forged', 'malformed']).toContain(open(token + character));
      }),
      { numRuns: 200 },
    );
  });

  test.each(['', '.', 'a.b', 'x'.repeat(10_000), 'é', randomBytes(100).toString('base64url')])(
    'nonsense is refused: %j',
    (token) => expect(['forged', 'malformed']).toContain(openTokens(secret).open(token)),
  );

  test('of another node it is forged', () => {
    expect(openTokens(secret).open(openTokens(Buffer.alloc(32, 7)).seal(claims))).toBe('forged');
  });

  test('the longest fits into an event, and a short secret is refused', () => {
    const { seal, open } = openTokens(secret);
    const longest = {
      ...claims,
      title: 't'.repeat(128),
      arm: 'a'.repeat(128),
      taste: new Uint8Array(64),
      descriptor: new Uint8Array(64),
    };
    const token = seal(longest);
    expect(token.length).toBeLessThanOrEqual(700);
    expect(open(token)).toMatchObject({ title: longest.title, arm: longest.arm });
    expect(() => openTokens(Buffer.alloc(15))).toThrow(RangeError);
  });
});
