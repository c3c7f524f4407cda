// RFC 9110 sections 10.2.2 and 12.5.3, RFC 6890: redirections into private networks, and codings nobody asked for.
import { expect, test } from 'vitest';
import { isUnacceptable, leadsToPrivate } from '../../../cache/rules/lies.ts';

test.each([
  ['http://127.0.0.1/', true],
  ['http://127.1/', true],
  ['http://2130706433/', true],
  ['http://0x7f.0.0.1:8080/a', true],
  ['http://0/', true],
  ['http://10.1.2.3/', true],
  ['http://172.16.0.1/', true],
  ['http://172.31.255.255/', true],
  ['http://192.168.1.1/', true],
  ['http://169.254.169.254/latest/meta-data/', true],
  ['http://100.64.0.1/', true],
  ['http://user@10.0.0.1/', true],
  ['//10.0.0.1/a', true],
  ['\\\\10.0.0.1\\a', true],
  ['https://[::1]/', true],
  ['https://[::]/', true],
  ['https://[fd00::1]/', true],
  ['https://[fe80::1]/', true],
  ['https://[::ffff:10.0.0.1]/', true],
  ['http://localhost:3000/', true],
  ['http://LOCALHOST./', true],
  ['http://metadata.google.internal/', true],
  ['http://printer.local/', true],
  ['http://172.32.0.1/', false],
  ['http://100.128.0.1/', false],
  ['http://11.0.0.1/', false],
  ['https://[2001:db8::1]/', false],
  ['https://cdn.example.com/10.0.0.1/', false],
  ['https://local.example.com/', false],
  ['/10.0.0.1/', false],
  ['10.0.0.1/a', false],
  ['?next=//10.0.0.1/', false],
  ['http://[broken/', false],
])('a redirection to %s leads to a private network: %s', (location, isPrivate) => {
  expect(leadsToPrivate(302, [['location', location]])).toBe(isPrivate);
  expect(leadsToPrivate(200, [['location', location]])).toBe(false);
});

test('a redirection to nowhere leads to no private network', () => expect(leadsToPrivate(301, [])).toBe(false));

test.each([
  [undefined, 'gzip', false],
  ['gzip, br', 'gzip', false],
  ['gzip, br', 'BR', false],
  ['gzip', 'x-gzip', false],
  ['x-gzip', 'gzip', false],
  ['gzip;q=0.5', 'gzip', false],
  ['*', 'zstd', false],
  ['gzip', 'identity', false],
  ['gzip', '', false],
  ['gzip', 'no-coding-at-all', false],
  ['identity', 'gzip', true],
  ['', 'gzip', true],
  ['gzip', 'br', true],
  ['gzip;q=0', 'gzip', true],
  ['gzip;q=0.000, *', 'gzip', true],
  ['*;q=0', 'br', true],
  ['gzip', 'gzip, br', true],
  ['gzip, br', 'gzip, br', false],
] as const)('Accept-Encoding %j, Content-Encoding %j: not acceptable %s', (accepted, coding, isNot) => {
  expect(isUnacceptable(accepted, [['content-encoding', coding]])).toBe(isNot);
});
