// Reading fields: lists, dates, directives, targets, vary, kinds, keys. Each case names its section.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseHttpDate } from '../../../cache/rules/date.ts';
import {
  fieldsNamedBy,
  governingDirectives,
  isBare,
  parseDirectives,
  secondsOf,
} from '../../../cache/rules/directives.ts';
import { endToEnd, fieldsOf, fieldValue, splitLinks, splitList } from '../../../cache/rules/fields.ts';
import { ageSecondsOf } from '../../../cache/rules/freshness.ts';
import { keyOf, originFor, resourceOf, targetOf } from '../../../cache/rules/key.ts';
import { kindOf } from '../../../cache/rules/kind.ts';
import { forwardedFields, malformed, originForm } from '../../../cache/rules/request.ts';
import { cacheStatus, isLoop, nameItem, pseudonym } from '../../../cache/rules/status.ts';
import { chooseVariant, normaliseField, variantOf, varyOn } from '../../../cache/rules/vary.ts';

describe('lists (RFC 9110 section 5.6.1)', () => {
  test.each([
    ['a, b ,c', ['a', 'b', 'c']],
    [', a,, b ,', ['a', 'b']],
    ['"x,y", z', ['"x,y"', 'z']],
    ['"x\\",y", z', ['"x\\",y"', 'z']],
    ['', []],
  ])('%s', (value, elements) => expect(splitList(value)).toEqual(elements));

  test('fields of one hop and those that Connection names go no further (RFC 9110 section 7.6.1)', () => {
    const fields = fieldsOf([
      'Connection',
      'close, X-A',
      'X-a',
      '1',
      'TE',
      'gzip',
      'Upgrade',
      'h2c',
      'Keep-Alive',
      '5',
      'X-B',
      '2',
    ]);
    expect(endToEnd(fields)).toEqual([['x-b', '2']]);
  });
});

describe('Link lines (RFC 8288 section 3)', () => {
  test.each([
    ['</a>; rel=x, </b>; rel=y', ['</a>; rel=x', '</b>; rel=y']],
    ['</a,b>; t="x, \\"y, z"; rel=z,</c>;r=1', ['</a,b>; t="x, \\"y, z"; rel=z', '</c>;r=1']],
    ['nonsense', ['nonsense']],
    [' , ', []],
    ['<a, b', ['<a, b']],
  ])('%s', (line, links) => expect(splitLinks(line)).toEqual(links));
});

describe('dates (RFC 9110 section 5.6.7)', () => {
  const now = Date.UTC(2026, 0, 1);
  const at = Date.UTC(1994, 10, 6, 8, 49, 37);
  test.each([
    ['Sun, 06 Nov 1994 08:49:37 GMT', at],
    ['sun, 06 nov 1994 08:49:37 gmt', at],
    ['Sunday, 06-Nov-94 08:49:37 GMT', at],
    ['Sun Nov  6 08:49:37 1994', at],
    ['Wednesday, 18-Aug-50 02:01:18 GMT', Date.UTC(2050, 7, 18, 2, 1, 18)],
    ['Sunday, 18-Aug-86 02:01:18 GMT', Date.UTC(1986, 7, 18, 2, 1, 18)],
    ['0', undefined],
    ['', undefined],
    ['Sun, 06 Nov 1994 08:49:37', undefined],
    ['Sun, 06 Nov 1994 8:49:37 GMT', undefined],
    ['Sun, 06 Nov 1994 08:49:37 PST', undefined],
    ['Sun, 31 Feb 1994 08:49:37 GMT', undefined],
    ['Sun, 06 Nov 1994 25:49:37 GMT', undefined],
    ['1994-11-06T08:49:37Z', undefined],
  ])('%s', (text, expected) => expect(parseHttpDate(text, now)).toBe(expected));

  test('every time that toUTCString writes is read back', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4_000_000_000 }), (seconds) => {
        expect(parseHttpDate(new Date(seconds * 1000).toUTCString(), now)).toBe(seconds * 1000);
      }),
    );
  });
});

describe('Cache-Control (RFC 9111 sections 4.2.1 and 5.2)', () => {
  test.each([
    ['max-age=60', 60],
    ['MAX-AGE=60', 60],
    ['max-age="60"', 60],
    ['max-age=0060', 60],
    ['a, max-age=60, b="c,d"', 60],
    ['max-age=60, max-age=1', 60],
    ['max-age=1, max-age=60', 1],
    ['max-age=99999999999', 2 ** 31],
    ['max-age=-1', 0],
    ['max-age=1.5', 0],
    ["max-age='60'", 0],
    ['max-age', 0],
    ['max-age=', 0],
    ['max-age= 60', 0],
    ['max-age =60', 0],
    ['x-max-age=60', undefined],
    ['foo="max-age=60"', undefined],
  ])('%s means %s', (value, seconds) => expect(secondsOf(parseDirectives([value]), 'max-age')).toBe(seconds));

  test('directives of several lines count together; field names are told from bare ones (5.2.2.4, 5.2.2.7)', () => {
    const directives = parseDirectives(['private="Set-Cookie, X-A"', 'no-cache, no-cache="x"']);
    expect([isBare(directives, 'private'), isBare(directives, 'no-cache'), isBare(directives, 'public')]).toEqual([
      false,
      true,
      false,
    ]);
    expect(fieldsNamedBy(directives, 'private')).toEqual(['set-cookie', 'x-a']);
  });

  test('any text gives seconds within bounds or nothing', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const seconds = secondsOf(parseDirectives([`max-age=${text}`]), 'max-age') ?? 0;
        expect(Number.isInteger(seconds) && seconds >= 0 && seconds <= 2 ** 31).toBe(true);
      }),
    );
  });
});

describe('targeted fields (RFC 9213 section 2.2)', () => {
  const govern = (fields: Record<string, string>) =>
    governingDirectives(Object.entries(fields), ['nearcast-cache-control', 'cdn-cache-control']);
  test.each([
    [{ 'cdn-cache-control': 'max-age=1', 'cache-control': 'max-age=2' }, 1, true],
    [{ 'nearcast-cache-control': 'max-age=3', 'cdn-cache-control': 'max-age=1' }, 3, true],
    [{ 'cdn-cache-control': 'max-age=1, max-age=9' }, 9, true],
    [{ 'cdn-cache-control': 'max-age=1;foo=bar' }, 1, true],
    [{ 'cdn-cache-control': '', 'cache-control': 'max-age=2' }, 2, false],
    [{ 'cdn-cache-control': 'max-age=1, &&', 'cache-control': 'max-age=2' }, 2, false],
    [{ 'cdn-cache-control': 'max-age=1,', 'cache-control': 'max-age=2' }, 2, false],
    [{ 'cdn-cache-control': 'MAX-AGE=1', 'cache-control': 'max-age=2' }, 2, false],
    [{ 'cdn-cache-control': 'max-age="1"', 'cache-control': 'max-age=2' }, 2, false],
    [{ 'cdn-cache-control': 'max-age=1.5', 'cache-control': 'max-age=2' }, 2, false],
    [{ 'cdn-cache-control': 'max-age', 'cache-control': 'max-age=2' }, 2, false],
    [{ 'cdn-cache-control': 'max-age =1', 'cache-control': 'max-age=2' }, 2, false],
    [{ 'cdn-cache-control': 'no-store, max-age="1"', 'cache-control': 'max-age=2' }, 1, true],
    [{ 'cdn-cache-control': 'foobar, max-age=1', 'cache-control': 'max-age=2' }, 1, true],
    [{ 'cdn-cache-control': 'max-age=99999999999', 'cache-control': 'max-age=2' }, 2 ** 31, true],
  ])('%o', (fields, seconds, isTargeted) => {
    const found = govern(fields as Record<string, string>); // The table's rows differ in their keys only.
    expect([secondsOf(found.directives, 'max-age'), found.isTargeted]).toEqual([seconds, isTargeted]);
  });
});

describe('Age (RFC 9111 section 5.1)', () => {
  test.each([
    ['beyond all bounds is the greatest', ['9999999999999'], 2 ** 31],
    ['of a list the first: older', ['7200, 0'], 7200],
    ['of a list the first: younger', ['0, 7200'], 0],
    ['of several lines the greatest: last', ['0', '7200'], 7200],
    ['of several lines the greatest: first', ['7200', '0'], 7200],
    ['of several lines an unreadable one is ignored', ['abc', '7'], 7],
    ['twice the same', ['0', '0'], 0],
    ['a fraction', ['7200.0'], 7200],
    ['a parameter', ['7200;foo=bar'], 7200],
    ['no number', ['abc'], 0],
    ['negative', ['-7200'], 0],
    ['empty', [''], 0],
    ['none', [], 0],
  ])('%s', (_name, lines, expected) =>
    expect(ageSecondsOf(lines.map((line) => ['age', line] as const))).toBe(expected),
  );
});

describe('Vary (RFC 9111 section 4.1)', () => {
  test.each([
    [[], []],
    [[['vary', 'B, a']], ['a', 'b']],
    [
      [
        ['vary', 'a'],
        ['vary', 'A, c'],
      ],
      ['a', 'c'],
    ],
    [[['vary', 'a, *']], undefined],
    [[['vary', Array.from({ length: 20 }, (_, index) => `x${index}`).join()]], undefined],
  ])('%o', (headers, names) => expect(varyOn(headers as [string, string][])).toEqual(names)); // As above.

  test.each([
    ['accept-encoding', 'gzip,  br', 'br, GZIP', true],
    ['accept-encoding', 'gzip, br;q=0', 'gzip', true],
    ['accept-encoding', 'gzip;q=0.5, br', 'gzip, br', false],
    ['accept-language', 'en; q=0.5, DE', 'de, en;q=0.5', true],
    ['accept-language', 'en, de', 'de, en', false],
    ['x-foo', 'a, b', 'a,b', true],
    ['x-foo', 'a', 'A', false],
    ['x-foo', 'a, b', 'b, a', false],
  ])('%s: "%s" and "%s" are the same: %s', (name, one, other, isSame) => {
    expect(normaliseField(name, one) === normaliseField(name, other)).toBe(isSame);
  });

  test('an absent field differs from an empty one; of several matches the latest is chosen', () => {
    expect(variantOf(['x'], [])).not.toBe(variantOf(['x'], [['x', '']]));
    const stored = [
      { varyOn: ['x'], variant: variantOf(['x'], [['x', '1']]), receivedAt: 1 },
      { varyOn: [], variant: '', receivedAt: 2 },
      { varyOn: ['y'], variant: variantOf(['y'], [['y', '9']]), receivedAt: 3 },
    ];
    expect(chooseVariant(stored, () => [['x', '1']])?.receivedAt).toBe(2);
    expect(chooseVariant(stored, () => [['y', '9']])?.receivedAt).toBe(3);
    expect(chooseVariant(stored.slice(0, 1), () => [['x', '2']])).toBeUndefined();
  });
});

describe('keys and kinds', () => {
  test.each([
    ['/a', '/a', undefined],
    ['/a?b=1&c', '/a?b=1&c', undefined],
    ['/a?CMCD=x%3D1', '/a', 'x%3D1'],
    ['/a?b=1&CMCD=x&token=9&c=2', '/a?b=1&c=2', 'x'],
    ['/a?%43MCD=x', '/a', 'x'],
    ['/a?tok%65n=1&cmcd=y', '/a?cmcd=y', undefined],
    ['/a?%E0%A4%A=1', '/a?%E0%A4%A=1', undefined],
    ['/a?', '/a', undefined],
  ])('%s has the resource %s and CMCD %s', (url, resource, cmcd) => {
    expect(targetOf(url, new Set(['token']))).toEqual({ path: '/a', resource, cmcd });
  });

  test('a key names origin and resource; the first origin that matches serves', () => {
    expect(resourceOf(keyOf('main', '/a?b c'))).toBe('/a?b c');
    const origins = [{ match: '/x/' }, { match: '/' }];
    expect(originFor(origins, '/x/a')).toBe(origins[0]);
    expect(originFor(origins, '/y')).toBe(origins[1]);
    expect(originFor([], '/y')).toBeUndefined();
  });

  test.each([
    ['/t/master.m3u8', undefined, 'manifest'],
    ['/t/Manifest.MPD', undefined, 'manifest'],
    ['/t/seg-1.m4s', undefined, 'segment'],
    ['/t/init.mp4', undefined, 'init'],
    ['/t/video_init-0.m4s', undefined, 'init'],
    ['/t/initial.mp4', undefined, 'segment'],
    ['/t/play', 'application/vnd.apple.mpegurl', 'manifest'],
    ['/t/play', 'video/mp2t', 'segment'],
    ['/t/poster.jpg', 'image/jpeg', 'other'],
    ['/', undefined, 'other'],
  ])('%s of type %s is %s', (path, type, kind) => expect(kindOf(path, type)).toBe(kind));
});

describe('requests', () => {
  const raw = { method: 'GET', url: '/a', httpVersion: '1.1', rawHeaders: ['Host', 'a.example:8080'] };
  test.each([
    [{}, true],
    [{ httpVersion: '1.0', rawHeaders: [] }, true],
    [{ url: '/a/..b/c...' }, true],
    [{ url: '/a?x=/../' }, true],
    [{ rawHeaders: ['Host', '[::1]:80'] }, true],
    [{ rawHeaders: ['Host', ''] }, true],
    [{ rawHeaders: ['Host', 'a', 'Content-Length', '0'] }, true],
    [{ method: 'POST', rawHeaders: ['Host', 'a', 'Content-Length', '9'] }, true],
    [{ method: 'OPTIONS', url: '*' }, true],
    [{ httpVersion: '2.0' }, false],
    [{ url: 'a' }, false],
    [{ url: '/a/..' }, false],
    [{ url: '/%2E%2e%2Fa' }, false],
    [{ url: '/a\\b' }, false],
    [{ url: '/%5cb' }, false],
    [{ rawHeaders: ['Host', 'a', 'hOST', 'a'] }, false],
    [{ rawHeaders: ['Host', 'a@b'] }, false],
    [{ rawHeaders: ['Host', 'a', 'Transfer-Encoding', 'chunked'] }, false],
  ])('%o passes: %s', (change, passes) => expect(malformed({ ...raw, ...change }) === undefined).toBe(passes));

  test('an absolute target becomes its path', () => {
    expect(['http://a/b?c', 'http://a', 'HTTPS://a?x', '/b', '*'].map(originForm)).toEqual([
      '/b?c',
      '/',
      '/?x',
      '/b',
      '*',
    ]);
  });

  test('a fill is asked without the conditions and range of its first viewer', () => {
    const fields = fieldsOf(['Range', 'bytes=0-1', 'If-None-Match', '"a"', 'CMCD-Object', 'x', 'Accept', '*/*']);
    expect(forwardedFields(fields, true)).toEqual([['accept', '*/*']]);
    expect(fieldValue(forwardedFields(fields, false), 'range')).toBe('bytes=0-1');
  });
});

describe('Cache-Status and CDN-Loop', () => {
  test.each([
    [{ hit: true, ttlSeconds: 30 }, 'n; hit; ttl=30'],
    [{ hit: true, ttlSeconds: -3 }, 'n; hit; ttl=-3'],
    [
      { fwd: 'uri-miss', fwdStatus: 200, stored: true, collapsed: true },
      'n; fwd=uri-miss; fwd-status=200; stored; collapsed',
    ],
    [{ fwd: 'stale', detail: 'a b' }, 'n; fwd=stale; detail="a b"'],
  ] as const)('%o (RFC 9211 section 2)', (facts, text) => expect(cacheStatus('n', facts)).toBe(text));

  test('names that are no token are quoted (RFC 8941), or made one for Via', () => {
    expect([nameItem('edge-1'), nameItem('1 "x"'), pseudonym('edge 1')]).toEqual(['edge-1', '"1 \\"x\\""', 'edge-1']);
  });

  test.each([
    [undefined, false],
    ['a, b;x=1', false],
    ['a, edge;x="y"', true],
    ['edge', true],
    ['edges', false],
  ])('CDN-Loop %s (RFC 8586 section 2)', (value, expected) => expect(isLoop(value, 'edge')).toBe(expected));
});
