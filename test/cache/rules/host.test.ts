// Names of hosts: what may be one, how an authority becomes comparable, and which entry answers (RFC 9112 section 3.2.2).
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { authorityOf, hostFor, hostName, hostTable, isHostName, isHostPattern } from '../../../cache/rules/host.ts';

describe('a name of a host', () => {
  test.each([
    'cdn.example.com',
    'a',
    '*',
    '*.example.net',
    'xn--bcher-kva.example',
    '10.0.0.1',
    '[::1]',
    'a_b.example',
  ])('may be %s', (name) => expect([isHostPattern(name), isHostName(name)]).toEqual([true, !name.startsWith('*')]));
  test.each([
    '',
    '.',
    'a.',
    '.a',
    'a..b',
    'A.example',
    'a:80',
    '*.',
    '**',
    'a.*',
    '*a.example',
    '*.*.example',
    '-a.example',
    'a-.example',
    'bücher.example',
    'a b',
    'a/b',
    '::1',
    `${'a'.repeat(64)}.example`,
    Array(64).fill('abc').join('.'),
  ])('is not %j', (name) => expect(isHostPattern(name)).toBe(false));
});

describe('the name in an authority', () => {
  test.each([
    ['cdn.example.com', 'cdn.example.com'],
    ['CDN.Example.COM:8080', 'cdn.example.com'],
    ['cdn.example.com.', 'cdn.example.com'],
    ['cdn.example.com.:443', 'cdn.example.com'],
    ['cdn.example.com:', 'cdn.example.com'],
    ['[::1]:8080', '[::1]'],
    ['[2001:DB8::1]', '[2001:db8::1]'],
    ['cdn.example.com..', 'cdn.example.com.'],
    ['', ''],
    [':80', ''],
    [undefined, ''],
  ])('%j is %j', (authority, name) => expect(hostName(authority)).toBe(name));

  test('case, port and last dot change nothing', () => {
    const names = fc.stringMatching(/^[a-z0-9]{1,8}(\.[a-z0-9]{1,8}){0,3}$/);
    const noise = fc.record({ port: fc.option(fc.nat(65_535)), isUpper: fc.boolean(), hasDot: fc.boolean() });
    fc.assert(
      fc.property(names, noise, (name, { port, isUpper, hasDot }) => {
        const written = `${isUpper ? name.toUpperCase() : name}${hasDot ? '.' : ''}${port === null ? '' : `:${port}`}`;
        expect(hostName(written)).toBe(name);
      }),
    );
  });
});

describe('the authority of a request', () => {
  test.each([
    ['/a', 'x', 'x'],
    ['http://y/a', 'x', 'y'],
    ['HTTPS://y:1?q', 'x', 'y:1'],
    ['*', 'x', 'x'],
    ['/http://y/', 'x', 'x'],
    ['/a', undefined, undefined],
  ])('of %s with Host %s is %s', (target, host, authority) => expect(authorityOf(target, host)).toBe(authority));
});

describe('which host answers', () => {
  const exact = { names: ['cdn.example.com', 'cdn.example.org'] };
  const below = { names: ['*.example.com'] };
  const deeper = { names: ['*.eu.example.com'] };
  const every = { names: ['*'] };
  const table = hostTable([every, below, deeper, exact]);
  test.each([
    ['cdn.example.com', exact],
    ['cdn.example.org', exact],
    ['other.example.com', below],
    ['a.b.example.com', below],
    ['a.eu.example.com', deeper],
    ['eu.example.com', below],
    ['example.com', every],
    ['evilexample.com', every],
    ['.example.com', every],
    ['*.example.com', below],
    ['', every],
    ['*', every],
  ])('%j', (name, host) => expect(hostFor(table, name)).toBe(host));

  test('without an entry for every other name there may be none', () => {
    const strict = hostTable([exact, below]);
    expect(['example.com', '', '*', 'a.example.org'].map((name) => hostFor(strict, name))).toEqual(
      Array(4).fill(undefined),
    );
  });
});
