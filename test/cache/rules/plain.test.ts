// Requests that need no second look: which fields ask for more, and when a request has just one Host and no body.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { chooseRange, neededParts } from '../../../cache/rules/range.ts';
import { asksPlainly, isJustFor, malformed } from '../../../cache/rules/request.ts';

describe('plain requests', () => {
  test.each([
    'Cache-Control',
    'CDN-Loop',
    'If-Match',
    'If-Modified-Since',
    'If-None-Match',
    'If-Range',
    'If-Unmodified-Since',
    'Pragma',
    'RANGE',
  ])('%s asks for more, wherever it stands', (name) => {
    expect(asksPlainly(['Host', 'a', name, 'x'])).toBe(false);
    expect(asksPlainly([name, 'x', 'Host', 'a'])).toBe(false);
  });

  test('other fields do not, nor do values', () => {
    expect(asksPlainly([])).toBe(true);
    expect(asksPlainly(['Host', 'range', 'Accept', 'pragma', 'Cookie', 'if-range', 'Origin', 'x', 'Rango', '1'])).toBe(
      true,
    );
  });

  test.each([
    [['Host', 'a'], true],
    [['hOST', 'a', 'Accept', '*/*', 'Data', 'b'], true],
    [[], false],
    [['Host', 'A'], false],
    [['Host', 'a:80'], false],
    [['Host', 'a', 'host', 'a'], false],
    [['Host', 'a', 'host', 'b'], false],
    [['Host', 'a', 'Content-Length', '0'], false],
    [['Transfer-Encoding', 'chunked', 'Host', 'a'], false],
  ])('%o is just for a: %s', (rawHeaders, isJust) => expect(isJustFor(rawHeaders, 'a')).toBe(isJust));

  test('what is just for a well-formed Host is never malformed by its fields', () => {
    const name = fc.constantFrom('Host', 'host', 'Content-Length', 'transfer-encoding', 'Accept', 'X-Host', 'Range');
    const value = fc.constantFrom('a.example', 'b', '0', '5', 'chunked', '');
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 6 }), (pairs) => {
        const rawHeaders = pairs.flat();
        const fault = malformed({ method: 'GET', url: '/a', httpVersion: '1.1', rawHeaders });
        if (isJustFor(rawHeaders, 'a.example')) expect(fault).toBeUndefined();
      }),
    );
  });
});

test('one range in its usual form means what it means in any other', () => {
  const number = fc.nat({ max: 300 });
  fc.assert(
    fc.property(number, number, number, (first, last, length) => {
      const [usual, other] = [`bytes=${first}-${last}`, `Bytes = ${first}-${last} ,`];
      expect(chooseRange(usual, length)).toEqual(chooseRange(other, length));
      expect(neededParts(usual, length)).toEqual(neededParts(other, length));
    }),
  );
});
