// RFC 9111 sections 3.1, 4.3.4 and 4.3.5: stored fields after a 304 or a HEAD.
import { expect, test } from 'vitest';
import { renewedBy } from '../../../cache/rules/renewal.ts';

const at = { requestedAt: 1_000_000, receivedAt: 1_000_100 };
const rules = { defaultTtlSeconds: 0, graceSeconds: 60, target: 'Nearcast-Cache-Control' };
const stored = (headers: Record<string, string>) => ({ ...at, status: 200, headers: Object.entries(headers) });

test.each<
  [name: string, before: Record<string, string>, by: Record<string, string>, after: Record<string, string> | undefined]
>([
  ['a field is taken over', { a: '1', b: '2', etag: '"e"' }, { b: '3' }, { a: '1', etag: '"e"', b: '3' }],
  [
    'private: not kept',
    { etag: '"e"', 'cache-control': 'max-age=9' },
    { 'cache-control': 'private, max-age=9' },
    undefined,
  ],
  ['no-store: not kept', { etag: '"e"', 'cache-control': 'max-age=9' }, { 'cache-control': 'no-store' }, undefined],
  [
    'private for other caches: kept',
    { etag: '"e"' },
    { 'cdn-cache-control': 'max-age=9', 'cache-control': 'private' },
    { etag: '"e"', 'cdn-cache-control': 'max-age=9', 'cache-control': 'private' },
  ],
  [
    'a cookie that is for one viewer',
    { etag: '"e"' },
    { 'set-cookie': 'a=1', 'cache-control': 'max-age=9, private="Set-Cookie"' },
    { etag: '"e"', 'cache-control': 'max-age=9, private="Set-Cookie"' },
  ],
  [
    'a field of no-cache',
    { etag: '"e"', 'x-a': '1' },
    { 'cache-control': 'max-age=9, no-cache="x-a, x-b"', 'x-b': '2' },
    { etag: '"e"', 'cache-control': 'max-age=9, no-cache="x-a, x-b"' },
  ],
])('%s', (_name, before, by, after) => {
  const renewed = renewedBy(stored(before), { ...at, headers: Object.entries(by) }, rules);
  expect(renewed === undefined ? undefined : Object.fromEntries(renewed)).toEqual(after);
});
