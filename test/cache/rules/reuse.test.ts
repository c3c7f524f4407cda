// Storing and reusing: cacheability, freshness, staleness, ranges, conditions, invalidation. Each case names its section.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  afterFailure,
  afterNothing,
  afterSending,
  afterSuccess,
  CLOSED,
  FAILURES_TO_OPEN,
  LONGEST_PAUSE_MS,
  mayPass,
} from '../../../cache/rules/breaker.ts';
import { refusalOf } from '../../../cache/rules/cacheability.ts';
import {
  allowsRange,
  confirms,
  describes,
  isNotModified,
  updatedBy,
  validatorsOf,
} from '../../../cache/rules/conditional.ts';
import { parseDirectives } from '../../../cache/rules/directives.ts';
import type { Fields } from '../../../cache/rules/fields.ts';
import { demandsOf, NO_DEMANDS, policyOf, reuseOf, strippedFields } from '../../../cache/rules/freshness.ts';
import { invalidatedBy } from '../../../cache/rules/invalidation.ts';
import { chooseRange, contentRange, parseContentRange } from '../../../cache/rules/range.ts';

const T0 = Date.UTC(2026, 0, 1, 12);
const date = (offsetSeconds = 0) => new Date(T0 + offsetSeconds * 1000).toUTCString();
const rules = { defaultTtlSeconds: 0, graceSeconds: 0, target: 'Nearcast-Cache-Control' };
const fieldsFrom = (headers: Record<string, string>): Fields => Object.entries(headers);

function policy(
  headers: Record<string, string>,
  change: { status?: number; rules?: Partial<typeof rules>; delayMs?: number } = {},
) {
  const received = {
    status: change.status ?? 200,
    headers: fieldsFrom(headers),
    requestedAt: T0 - (change.delayMs ?? 0),
    receivedAt: T0,
  };
  return policyOf(received, { ...rules, ...change.rules });
}

describe('freshness lifetime in seconds (RFC 9111 section 4.2.1)', () => {
  test.each([
    ['5.2.2.1 max-age', { 'cache-control': 'max-age=10' }, 10],
    ['5.2.2.10 s-maxage before max-age', { 'cache-control': 'max-age=10, s-maxage=20' }, 20],
    ['5.3 max-age before Expires', { 'cache-control': 'max-age=10', expires: date(99) }, 10],
    ['5.3 Expires less Date', { expires: date(30), date: date(10) }, 20],
    ['5.3 Expires without Date', { expires: date(30) }, 30],
    ['5.3 Expires in the past', { expires: date(-30) }, 0],
    ['5.3 an invalid Expires is past', { expires: '0', 'last-modified': date(-10_000) }, 0],
    ['4.2.1 an invalid max-age is stale', { 'cache-control': 'max-age=x', expires: date(60) }, 0],
    ['4.2.2 a tenth since the last change', { date: date(), 'last-modified': date(-1000) }, 100],
    ['4.2.2 at most a day', { date: date(), 'last-modified': date(-100_000_000) }, 86_400],
    ['4.2.2 a change in the future says nothing', { date: date(), 'last-modified': date(10) }, 0],
    ['5.2.2.4 no-cache is never fresh', { 'cache-control': 'max-age=10, no-cache' }, 0],
    ['5.2.2.4 no-cache of a field is', { 'cache-control': 'max-age=10, no-cache="a"' }, 10],
    ['9213 2.2 a target ignores Cache-Control', { 'cdn-cache-control': 'max-age=5', 'cache-control': 'no-cache' }, 5],
    ['9213 2.2 a target ignores Expires', { 'cdn-cache-control': 'public', expires: date(50) }, 0],
  ])('%s', (_name, headers, seconds) => {
    expect(policy(headers as Record<string, string>).lifetimeMs / 1000).toBe(seconds); // The rows differ in keys only.
  });

  test('the default is for a 200 that says nothing', () => {
    const change = { rules: { defaultTtlSeconds: 7 } };
    expect(policy({}, change).lifetimeMs).toBe(7000);
    expect(policy({}, { ...change, status: 404 }).lifetimeMs).toBe(0);
    expect(policy({ 'cache-control': 'max-age=0' }, change).lifetimeMs).toBe(0);
    expect(policy({ date: date(), 'last-modified': date(-100) }, { status: 302 }).lifetimeMs).toBe(0);
  });
});

describe('age (RFC 9111 sections 4.2.3 and 5.1)', () => {
  test.each([
    ['Age of other caches', { age: '30' }, 0, 30_000],
    ['Age and the time on the way', { age: '30' }, 2000, 32_000],
    ['Date before arrival', { date: date(-50) }, 0, 50_000],
    ['the greater of both', { date: date(-50), age: '60' }, 0, 60_000],
    ['a Date in the future', { date: date(50) }, 0, 0],
    ['the first of several', { age: '7, 9' }, 0, 7000],
    ['no number', { age: 'abc' }, 0, 0],
    ['negative', { age: '-7' }, 0, 0],
  ])('%s', (_name, headers, delayMs, expected) => {
    expect(policy(headers as Record<string, string>, { delayMs }).initialAgeMs).toBe(expected); // As above.
  });
});

describe('reuse after some seconds (RFC 9111 sections 4.2.4 and 5.2, RFC 5861)', () => {
  type Row = readonly [
    name: string,
    control: string,
    request: string,
    afterSeconds: number,
    use: string,
    onError: boolean,
  ];
  const rows: readonly Row[] = [
    ['fresh', 'max-age=10', '', 9, 'fresh', true],
    ['the last moment is stale', 'max-age=10', '', 10, 'validate', true],
    ['5861 3 within', 'max-age=10, stale-while-revalidate=5', '', 15, 'stale', true],
    ['5861 3 beyond', 'max-age=10, stale-while-revalidate=5', '', 16, 'validate', false],
    ['5861 4 within', 'max-age=10, stale-if-error=5', '', 15, 'validate', true],
    ['5861 4 beyond', 'max-age=10, stale-if-error=5', '', 16, 'validate', false],
    ['5.2.2.2 must-revalidate', 'max-age=10, must-revalidate, stale-while-revalidate=9', '', 11, 'validate', false],
    ['5.2.2.8 proxy-revalidate', 'max-age=10, proxy-revalidate, stale-if-error=9', '', 11, 'validate', false],
    ['5.2.2.10 s-maxage', 's-maxage=10', 'max-stale', 11, 'validate', false],
    ['5.2.2.4 no-cache', 'no-cache, stale-if-error=99', '', 0, 'validate', false],
    ['5.2.1.1 max-age', 'max-age=10', 'max-age=3', 4, 'validate', true],
    ['5.2.1.1 max-age not reached', 'max-age=10', 'max-age=5', 4, 'fresh', true],
    ['5.2.1.1 max-age=0', 'max-age=10', 'max-age=0', 0, 'validate', true],
    ['5.2.1.2 max-stale within', 'max-age=10', 'max-stale=5', 14, 'fresh', false],
    ['5.2.1.2 max-stale beyond', 'max-age=10', 'max-stale=5', 16, 'validate', false],
    ['5.2.1.2 any staleness', 'max-age=10', 'max-stale', 999, 'fresh', false],
    ['5.2.1.2 not against must-revalidate', 'max-age=10, must-revalidate', 'max-stale', 11, 'validate', false],
    ['5.2.1.3 min-fresh kept', 'max-age=10', 'min-fresh=5', 5, 'fresh', true],
    ['5.2.1.3 min-fresh missed', 'max-age=10', 'min-fresh=5', 6, 'validate', true],
    ['5.2.1.4 no-cache', 'max-age=10', 'no-cache', 0, 'validate', true],
    ['5861 4 in a request', 'max-age=10', 'stale-if-error=9', 15, 'validate', true],
  ];
  test.each(rows)('%s', (...row) => {
    const [, control, request, afterSeconds, use, onError] = row;
    const demands = request === '' ? NO_DEMANDS : demandsOf(parseDirectives([request]), undefined);
    const stored = { receivedAt: T0, isInvalidated: false };
    const reuse = reuseOf(policy({ 'cache-control': control }), stored, demands, T0 + afterSeconds * 1000);
    expect(reuse.use).toBe(use);
    // At the very end of the lifetime nothing has been stale yet.
    if (afterSeconds !== 10) expect(reuse.onError).toBe(onError);
  });

  test('5.4 Pragma counts only without Cache-Control', () => {
    expect(demandsOf(parseDirectives([]), 'no-cache').noCache).toBe(true);
    expect(demandsOf(parseDirectives(['max-age=9']), 'no-cache').noCache).toBe(false);
  });

  test('grace is for responses that say nothing of staleness; a soft purge needs the origin', () => {
    const change = { rules: { graceSeconds: 60 } };
    const later = T0 + 30_000;
    const at = (control: string, isInvalidated = false) =>
      reuseOf(policy({ 'cache-control': control }, change), { receivedAt: T0, isInvalidated }, NO_DEMANDS, later);
    expect(at('max-age=10').use).toBe('stale');
    expect(at('max-age=10, stale-while-revalidate=0').use).toBe('validate');
    expect(at('max-age=10, must-revalidate').use).toBe('validate');
    expect(at('max-age=99', true)).toMatchObject({ use: 'validate', onError: true });
  });

  test('time never makes a response fresher', () => {
    const order = { fresh: 0, stale: 1, validate: 2 };
    const control = fc.record({ age: fc.nat(100), swr: fc.nat(100), sie: fc.nat(100) });
    fc.assert(
      fc.property(control, fc.nat(400), fc.nat(400), ({ age, swr, sie }, one, more) => {
        const read = policy({
          'cache-control': `max-age=${age}, stale-while-revalidate=${swr}, stale-if-error=${sie}`,
        });
        const at = (seconds: number) =>
          reuseOf(read, { receivedAt: T0, isInvalidated: false }, NO_DEMANDS, T0 + seconds * 1000);
        expect(order[at(one + more).use]).toBeGreaterThanOrEqual(order[at(one).use]);
        expect(Number(at(one).onError)).toBeGreaterThanOrEqual(Number(at(one + more).onError));
      }),
    );
  });
});

describe('storing (RFC 9111 sections 3 and 3.5)', () => {
  const get = { method: 'GET', hasAuthorization: false, noStore: false };
  const fresh = 'max-age=10';
  test.each([
    ['fresh', get, 200, { 'cache-control': fresh }, null],
    ['3 POST', { ...get, method: 'POST' }, 200, { 'cache-control': fresh }, 'method'],
    ['3 interim', get, 103, { 'cache-control': fresh }, 'status'],
    ['3.3 partial', get, 206, { 'cache-control': fresh }, 'status'],
    ['5.2.2.5 no-store', get, 200, { 'cache-control': 'max-age=10, no-store' }, 'no-store'],
    ['5.2.1.5 no-store asked', { ...get, noStore: true }, 200, { 'cache-control': fresh }, 'no-store'],
    ['5.2.2.7 private', get, 200, { 'cache-control': 'private, max-age=10' }, 'private'],
    ['5.2.2.7 private field', get, 200, { 'cache-control': 'private="a", max-age=10' }, null],
    ['5.2.2.3 must-understand known', get, 200, { 'cache-control': 'must-understand, no-store, max-age=10' }, null],
    ['5.2.2.3 must-understand unknown', get, 299, { 'cache-control': 'must-understand, max-age=10' }, 'status'],
    ['3.5 authorization', { ...get, hasAuthorization: true }, 200, { 'cache-control': fresh }, 'authorization'],
    ['3.5 public', { ...get, hasAuthorization: true }, 200, { 'cache-control': 'public, max-age=10' }, null],
    ['3.5 s-maxage', { ...get, hasAuthorization: true }, 200, { 'cache-control': 's-maxage=10' }, null],
    [
      '3.5 must-revalidate',
      { ...get, hasAuthorization: true },
      200,
      { 'cache-control': 'max-age=9, must-revalidate' },
      null,
    ],
    ['4.1 Vary: *', get, 200, { 'cache-control': fresh, vary: 'a, *' }, 'vary'],
    ['3 unknown status, explicit', get, 299, { 'cache-control': fresh }, null],
    ['3 unknown status, nothing said', get, 299, { etag: '"a"' }, 'no-freshness'],
    ['3 302, nothing said', get, 302, { etag: '"a"' }, 'no-freshness'],
    ['3 404, explicit', get, 404, { 'cache-control': fresh }, null],
    ['3 503, explicit', get, 503, { 'cache-control': fresh }, null],
    ['nothing said, no validator', get, 200, {}, 'no-freshness'],
    ['nothing said, validator', get, 200, { etag: '"a"' }, null],
    ['7.3 cookie, explicit', get, 200, { 'cache-control': fresh, 'set-cookie': 'a=b' }, null],
    ['7.3 cookie, nothing said', get, 200, { etag: '"a"', 'set-cookie': 'a=b' }, 'set-cookie'],
    ['already expired, no validator', get, 200, { 'cache-control': 'max-age=0' }, 'no-freshness'],
    ['no-cache with a validator', get, 200, { 'cache-control': 'no-cache', etag: '"a"' }, null],
  ] as const)('%s', (...row) => {
    const [, asked, status, headers, expected] = row;
    expect(refusalOf(asked, status, fieldsFrom(headers), policy(headers, { status }))).toBe(expected);
  });

  test('5.2.2.4 and 5.2.2.7: fields that the directives name are not kept', () => {
    const read = policy({ 'cache-control': 'private="Set-Cookie", no-cache="x-a, X-B", max-age=9' });
    expect([...strippedFields(read)]).toEqual(['set-cookie', 'x-a', 'x-b']);
  });
});

describe('ranges (RFC 9110 section 14)', () => {
  test.each([
    ['bytes=0-0', 0, 1],
    ['bytes=5-', 5, 10],
    ['bytes=-3', 7, 10],
    ['bytes=-99', 0, 10],
    ['bytes=2-99', 2, 10],
    ['Bytes = 2-3', 2, 4],
    ['bytes=2-3,99-', 2, 4],
    ['bytes=10-', 'none', 0],
    ['bytes=-0', 'none', 0],
    ['bytes=10-,11-12', 'none', 0],
    ['bytes=3-2', 'whole', 0],
    ['bytes=a-b', 'whole', 0],
    ['bytes=', 'whole', 0],
    ['bytes', 'whole', 0],
    ['bytes=-', 'whole', 0],
    ['items=0-1', 'whole', 0],
    ['bytes=0-1,3-4', 'whole', 0],
    [`bytes=${'0-1,'.repeat(20)}0-1`, 'whole', 0],
  ])('%s of ten bytes', (value, start, end) => {
    const expected = typeof start === 'string' ? { choice: start } : { choice: 'part', start, end };
    expect(chooseRange(value, 10)).toEqual(expected);
  });

  test('nothing can be satisfied of an empty object', () => {
    expect(['bytes=0-', 'bytes=-1', 'bytes=0-0'].map((value) => chooseRange(value, 0).choice)).toEqual([
      'none',
      'none',
      'none',
    ]);
  });

  test('a part always lies within the object and is not empty', () => {
    const spec = fc.oneof(
      fc.string(),
      fc.tuple(fc.nat(), fc.nat()).map(([a, b]) => `${a}-${b}`),
      fc.nat().map((n) => `-${n}`),
    );
    fc.assert(
      fc.property(fc.array(spec, { maxLength: 4 }), fc.nat(2000), (specs, length) => {
        const range = chooseRange(`bytes=${specs.join(',')}`, length);
        if (range.choice !== 'part') return;
        expect(range.start >= 0 && range.start < range.end && range.end <= length).toBe(true);
        expect(parseContentRange(contentRange(length, range))).toEqual({
          start: range.start,
          end: range.end,
          total: length,
        });
      }),
    );
  });

  test.each(['bytes 0-9/*', 'bytes 5-4/10', 'bytes 0-10/10', 'bytes */10', 'items 0-1/2', ''])(
    'Content-Range "%s" is refused',
    (value) => expect(parseContentRange(value)).toBeUndefined(),
  );
});

describe('conditions (RFC 9110 section 13, RFC 9111 section 4.3)', () => {
  const stored = (headers: Record<string, string>) => ({ status: 200, headers: fieldsFrom(headers), receivedAt: T0 });
  test.each([
    ['13.1.2 same tag', { etag: '"a"' }, '"a"', undefined, true],
    ['13.1.2 weak comparison', { etag: 'W/"a"' }, '"b", "a"', undefined, true],
    ['13.1.2 other tag', { etag: '"a"' }, '"b"', undefined, false],
    ['13.1.2 any', {}, '*', undefined, true],
    ['13.1.2 tag before date', { etag: '"a"', 'last-modified': date(-9) }, '"b"', date(), false],
    ['13.1.3 unchanged since', { 'last-modified': date(-9) }, undefined, date(-9), true],
    ['13.1.3 changed since', { 'last-modified': date(-9) }, undefined, date(-10), false],
    ['13.1.3 no date', { 'last-modified': date(-9) }, undefined, 'yesterday', false],
    ['4.3.2 Date where no Last-Modified is', { date: date(-9) }, undefined, date(), true],
  ])('%s', (...row) => {
    const [, headers, ifNoneMatch, ifModifiedSince, expected] = row;
    const one = stored(headers as Record<string, string>); // The rows differ in keys only.
    expect(isNotModified({ ifNoneMatch, ifModifiedSince }, one)).toBe(expected);
    expect(isNotModified({ ifNoneMatch, ifModifiedSince }, { ...one, status: 404 })).toBe(false);
  });

  test.each([
    ['same strong tag', { etag: '"a"' }, '"a"', true],
    ['weak tags prove nothing', { etag: 'W/"a"' }, 'W/"a"', false],
    ['other tag', { etag: '"a"' }, '"b"', false],
    ['exact date, old enough', { 'last-modified': date(-9), date: date() }, date(-9), true],
    ['later date', { 'last-modified': date(-9), date: date() }, date(-8), false],
    ['too young a change', { 'last-modified': date(), date: date() }, date(), false],
  ])('If-Range 13.1.5: %s', (_name, headers, value, expected) => {
    expect(allowsRange(value, fieldsFrom(headers as Record<string, string>), T0)).toBe(expected); // As above.
  });

  test.each([
    ['no validator', {}, true],
    ['same tag', { etag: '"a"' }, true],
    ['the weak form of it', { etag: 'W/"a"' }, true],
    ['another tag', { etag: '"b"' }, false],
    ['same date', { 'last-modified': date(-5) }, true],
    ['another date', { 'last-modified': date(-4) }, false],
  ])('a 304 with %s (RFC 9111 section 4.3.4)', (_name, headers, expected) => {
    const known = fieldsFrom({ etag: '"a"', 'last-modified': date(-5) });
    expect(confirms(fieldsFrom(headers as Record<string, string>), known)).toBe(expected); // As above.
  });

  test('a 304 replaces fields but those that describe the bytes (RFC 9111 section 3.2)', () => {
    const old: Fields = [
      ...fieldsFrom({ 'content-type': 'video/mp4', 'x-a': '1', 'x-b': '2', age: '5' }),
      ['x-a', '1b'],
    ];
    const kept = { 'content-encoding': 'gzip', 'content-md5': 'A', 'repr-digest': 'sha-256=:A:', etag: '"a"' };
    const other = { 'content-encoding': 'br', 'content-md5': 'B', 'repr-digest': 'sha-256=:B:', etag: 'W/"a"' };
    const head = fieldsFrom({
      ...{ 'x-a': '3', 'content-type': 'video/mp4;codecs=avc1', 'content-length': '0', connection: 'close' },
      ...other,
    });
    expect(updatedBy([...old, ...fieldsFrom(kept)], head)).toEqual([
      ['x-b', '2'],
      ...Object.entries(kept),
      ['x-a', '3'],
      ['content-type', 'video/mp4;codecs=avc1'],
    ]);
    expect(validatorsOf(fieldsFrom({ etag: '"a"', 'last-modified': 'x' }))).toEqual([
      ['if-none-match', '"a"'],
      ['if-modified-since', 'x'],
    ]);
  });

  test.each([
    [{ 'content-length': '10', etag: '"a"' }, true],
    [{}, true],
    [{ 'content-length': '11' }, false],
    [{ etag: '"b"' }, false],
  ])('a HEAD with %o (RFC 9111 section 4.3.5)', (headers, expected) => {
    const one = { headers: fieldsFrom({ etag: '"a"' }), lengthBytes: 10 };
    expect(describes(fieldsFrom(headers as Record<string, string>), one)).toBe(expected); // As above.
  });

  test.each([
    ['POST', 200, {}, ['/a?b']],
    ['POST', 303, { location: '/c?d#e', 'content-location': 'http://edge.example/f' }, ['/a?b', '/c?d', '/f']],
    ['DELETE', 204, { location: 'http://other.example/c' }, ['/a?b']],
    ['POST', 404, { location: '/c' }, []],
    ['GET', 200, { location: '/c' }, []],
    ['BREW', 200, { location: 'http://[' }, ['/a?b']],
  ])('%s answered by %i (RFC 9111 section 4.4)', (method, status, headers, expected) => {
    const asked = { method, resource: '/a?b', host: 'edge.example' };
    expect(invalidatedBy(asked, status, fieldsFrom(headers as Record<string, string>))).toEqual(expected); // As above.
  });
});

describe('breaker', () => {
  const failed = (times: number) => {
    let breaker = CLOSED;
    for (let round = 0; round < times; round += 1) breaker = afterFailure(breaker, T0, 0);
    return breaker;
  };
  test('opens after failures in a row, lets one probe through, doubles its pause, closes on success', () => {
    expect(mayPass(failed(FAILURES_TO_OPEN - 1), T0)).toBe(true);
    const open = failed(FAILURES_TO_OPEN);
    expect([mayPass(open, T0), mayPass(open, T0 + 1000)]).toEqual([false, true]);
    const probing = afterSending(open);
    expect(mayPass(probing, T0 + 9999)).toBe(false);
    expect(mayPass(afterNothing(probing), T0 + 1000)).toBe(true);
    const again = afterFailure(probing, T0 + 1000, 0);
    expect([mayPass(again, T0 + 2999), mayPass(again, T0 + 3000)]).toEqual([false, true]);
    expect(afterSuccess()).toEqual(CLOSED);
  });

  test('a late failure of an older request does not prolong the pause, and the pause is bounded', () => {
    const open = failed(FAILURES_TO_OPEN);
    expect(afterFailure(open, T0 + 900, 1).probeAt).toBe(open.probeAt);
    let breaker = open;
    for (let round = 0; round < 20; round += 1) breaker = afterFailure(afterSending(breaker), T0, 1);
    expect(breaker.pauseMs).toBe(LONGEST_PAUSE_MS);
  });
});
