// Cache-Status (RFC 9211) of every way that a request can go, as viewers and the next caches read it.
import { afterEach, expect, test } from 'vitest';
import type { Answer } from '../../fake/origin.ts';
import { openNode, type TestNode } from './node.ts';

let node: TestNode;
afterEach(() => node.close());

const MiB = 1024 * 1024;
const fresh = { 'cache-control': 'max-age=60' };
const large = Buffer.alloc(3 * MiB, 'large ');

type Case = {
  readonly name: string;
  readonly answer: Answer;
  /** Asked before, in order; then time passes. */
  readonly before?: readonly Readonly<Record<string, string>>[];
  readonly passSeconds?: number;
  /** What the origin answers from then on. */
  readonly later?: Answer;
  readonly ask?: Readonly<Record<string, string>>;
  readonly method?: string;
  readonly expected: string;
};

const cases: readonly Case[] = [
  { name: 'stored', answer: { headers: fresh }, expected: 'fwd=uri-miss; fwd-status=200; stored' },
  {
    name: 'not to be stored',
    answer: { headers: { 'cache-control': 'no-store' } },
    expected: 'fwd=uri-miss; fwd-status=200; detail=no-store',
  },
  { name: 'a hit', answer: { headers: fresh }, before: [{}], passSeconds: 10, expected: 'hit; ttl=50' },
  {
    name: 'stale, served',
    answer: { headers: { 'cache-control': 'max-age=60, stale-while-revalidate=60' } },
    ...{ before: [{}], passSeconds: 61, expected: 'hit; ttl=-1' },
  },
  {
    name: 'stale, confirmed',
    answer: { headers: fresh, etag: '"v"' },
    ...{ before: [{}], passSeconds: 61, expected: 'fwd=stale; fwd-status=304; ttl=60' },
  },
  {
    name: 'stale, replaced',
    answer: { headers: fresh, body: 'old' },
    ...{ before: [{}], passSeconds: 61, expected: 'fwd=stale; fwd-status=200; stored' },
  },
  {
    name: 'stale, since the origin fails',
    answer: { headers: { 'cache-control': 'max-age=60, stale-if-error=60' } },
    ...{ before: [{}], passSeconds: 61, later: { status: 500 } },
    expected: 'hit; ttl=-1; detail=stale-if-error',
  },
  {
    name: 'demanded by the request',
    answer: { headers: fresh, etag: '"v"' },
    ...{ before: [{}], ask: { 'cache-control': 'no-cache' }, expected: 'fwd=request; fwd-status=304; ttl=60' },
  },
  {
    name: 'another variant',
    answer: { headers: { ...fresh, vary: 'accept-language' } },
    ...{ before: [{ 'accept-language': 'de' }], ask: { 'accept-language': 'en' } },
    expected: 'fwd=vary-miss; fwd-status=200; stored',
  },
  { name: 'a method', answer: {}, method: 'POST', expected: 'fwd=method; fwd-status=200' },
  {
    name: 'a precondition for the origin',
    answer: { headers: fresh },
    ...{ ask: { 'if-match': '"v"' }, expected: 'fwd=request; fwd-status=200' },
  },
  {
    name: 'blocks of a cold object',
    answer: { headers: fresh, body: large, etag: '"v"', hasRanges: true },
    ...{ ask: { range: 'bytes=0-9' }, expected: 'fwd=uri-miss; fwd-status=206; ttl=60; stored' },
  },
  {
    name: 'a block that is there',
    answer: { headers: fresh, body: large, etag: '"v"', hasRanges: true },
    ...{ before: [{ range: 'bytes=0-9' }], ask: { range: 'bytes=5-9' }, expected: 'hit; ttl=60' },
  },
  {
    name: 'a block that is not there',
    answer: { headers: fresh, body: large, etag: '"v"', hasRanges: true },
    ...{ before: [{ range: 'bytes=0-9' }], ask: { range: `bytes=${2 * MiB}-` } },
    expected: 'fwd=partial; ttl=60; stored',
  },
  {
    name: 'not there, and not to be fetched',
    answer: {},
    ...{ ask: { 'cache-control': 'only-if-cached' }, expected: 'detail=only-if-cached' },
  },
  {
    name: 'an origin that answers what was not asked',
    answer: { raw: 'HTTP/1.1 304 Not Modified\r\n\r\n' },
    expected: 'fwd=uri-miss; detail=CACHE_ORIGIN_INVALID',
  },
  { name: 'a loop', answer: {}, ask: { 'cdn-loop': 'edge-test' }, expected: 'detail=loop' },
];

test.each(cases)('$name', async ({ answer, before = [], passSeconds = 0, later, ask = {}, method, expected }) => {
  node = await openNode();
  node.origin.set('/a', answer);
  for (const headers of before) await node.get('/a', headers);
  while (node.cache.stats().activeFills > 0) await new Promise(setImmediate);
  node.passSeconds(passSeconds);
  if (later !== undefined) node.origin.set('/a', later);
  const got = await node.get('/a', ask, method);
  // A second may begin between two readings of the clock.
  const [, text = ''] = /^edge-test; (.*)$/.exec(String(got.headers['cache-status'])) ?? [];
  const ttl = (of: string) => Number(/ttl=(-?\d+)/.exec(of)?.[1] ?? 0);
  expect(Math.abs(ttl(text) - ttl(expected))).toBeLessThanOrEqual(1);
  expect(text.replace(/ttl=-?\d+/, 'ttl')).toBe(expected.replace(/ttl=-?\d+/, 'ttl'));
});

test('fetched ahead: said of its hits and of who joins; the caches before this one stay in the list', async () => {
  node = await openNode();
  node.origin.set('/a', { headers: { ...fresh, 'cache-status': 'shield; hit' } });
  await node.cache.fill('/a', { priority: 'in-session', purpose: 'in-session' });
  expect((await node.get('/a')).headers['cache-status']).toMatch(
    /^shield; hit, edge-test; hit; ttl=\d+; detail=prefetch$/,
  );
  node.origin.set('/b', { headers: fresh });
  await node.cache.fill('/b', { priority: 'viewer', purpose: 'publish' });
  expect((await node.get('/b')).headers['cache-status']).toMatch(/^edge-test; hit; ttl=\d+$/);
});
