// CDN-Cache-Control (RFC 9213) as viewers see it: case by case as the newest public suite of cache tests describes its
// group, which the version on npm does not have.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openNode, type TestNode } from './node.ts';

let node: TestNode;
beforeAll(async () => {
  node = await openNode();
});
afterAll(() => node.close());

const at = (seconds: number) => new Date(Date.now() + seconds * 1000).toUTCString();

test.each([
  // A good cache does these.
  ['max-age', { 'cdn-cache-control': 'max-age=3600' }, true],
  ['the greatest max-age', { 'cdn-cache-control': 'max-age=2147483648' }, true],
  ['a max-age beyond that', { 'cdn-cache-control': 'max-age=99999999999' }, true],
  ['an unknown directive beside it', { 'cdn-cache-control': 'foobar, max-age=3600' }, true],
  ['a past Expires', { 'cdn-cache-control': 'max-age=3600', expires: at(-10_000), date: at(0) }, true],
  ['an Expires that is no date', { 'cdn-cache-control': 'max-age=3600', expires: '0', date: at(0) }, true],
  ['a shorter Cache-Control', { 'cdn-cache-control': 'max-age=3600', 'cache-control': 'max-age=1' }, true],
  // The RFC demands these.
  ['an Age above it', { 'cdn-cache-control': 'max-age=3600', age: '7200', date: at(0) }, false],
  ['max-age=0', { 'cdn-cache-control': 'max-age=0' }, false],
  ['max-age=0 and a future Expires', { 'cdn-cache-control': 'max-age=0', expires: at(10_000), date: at(0) }, false],
  ['a longer Cache-Control', { 'cdn-cache-control': 'max-age=1', 'cache-control': 'max-age=3600' }, false],
  ['private', { 'cdn-cache-control': 'private', 'cache-control': 'max-age=10000', expires: at(10_000) }, false],
  ['no-cache', { 'cdn-cache-control': 'no-cache', 'cache-control': 'max-age=10000', expires: at(10_000) }, false],
  ['no-store', { 'cdn-cache-control': 'no-store', 'cache-control': 'max-age=10000', expires: at(10_000) }, false],
  ['no-store for others', { 'cdn-cache-control': 'max-age=10000', 'cache-control': 'no-store' }, true],
  ['no structured field', { 'cdn-cache-control': 'max-age=10000, &&&&&', 'cache-control': 'no-store' }, false],
  ['a wrong type', { 'cdn-cache-control': 'max-age="10000"', 'cache-control': 'no-store' }, false],
  // Only observed there; here the field is a structured one, to the letter.
  ['a space before =', { 'cdn-cache-control': 'max-age =100', 'cache-control': 'max-age=1' }, false],
  ['a space after =', { 'cdn-cache-control': 'max-age= 100', 'cache-control': 'max-age=1' }, false],
  ['capitals', { 'cdn-cache-control': 'MaX-aGe=3600' }, false],
  ['two lines', { 'cdn-cache-control': ['max-age=1', 'max-age=3600'] }, true],
  ['the own field before it', { 'nearcast-cache-control': 'max-age=3600', 'cdn-cache-control': 'max-age=0' }, true],
] as const)('%s: case %#', async (name, headers, isReused) => {
  const path = `/${encodeURIComponent(name)}`;
  node.origin.set(path, { body: name, headers });
  const first = await node.get(path);
  node.passSeconds(3);
  const second = await node.get(path);
  expect([first.status, second.status]).toEqual([200, 200]);
  expect([node.origin.seen(path).length, second.headers['cache-status']?.includes('; hit')]).toEqual(
    isReused ? [1, true] : [2, false],
  );
  // Caches behind this one have a right to the field; our own was meant for us alone.
  expect('cdn-cache-control' in second.headers).toBe(true);
  expect(second.headers['nearcast-cache-control']).toBeUndefined();
});
