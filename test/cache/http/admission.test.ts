// A flood of random queries on a small store: what viewers use stays, and nothing of the flood is kept.
import { afterEach, expect, test } from 'vitest';
import { openNode, type TestNode } from './node.ts';

const BYTES = 64 * 1024;
const body = 'x'.repeat(BYTES);
const headers = { 'cache-control': 'max-age=600' };

let node: TestNode;
afterEach(() => node.close());

async function setUp(more: object = {}): Promise<TestNode> {
  node = await openNode({ ramBytes: 0, diskBytes: 40 * BYTES, ...more });
  for (let n = 0; n < 20; n += 1) node.origin.set(`/seg-${n}`, { body, headers, etag: '"e"', hasRanges: true });
  return node;
}

const proven = ({ cache }: TestNode) =>
  Array.from({ length: 20 }, (_, n) => `/seg-${n}`).filter((path) => cache.has(path) !== undefined).length;

test('the segments that are used stay, and the flood is passed on without being stored', async () => {
  const { get, cache } = await setUp();
  for (let n = 0; n < 20; n += 1) await get(`/seg-${n}`);
  const statuses: string[] = [];
  for (let n = 0; n < 200; n += 1) statuses.push(String((await get(`/seg-3?x=${n}`)).headers['cache-status']));
  expect(proven(node)).toBe(20);
  expect(cache.stats().store.objects).toBeLessThanOrEqual(20 + 16 + 3);
  expect(statuses.filter((text) => text.includes('detail=not-admitted')).length).toBeGreaterThan(180);
  expect(cache.stats().notAdmitted).toBeGreaterThan(180);
});

test('what is asked for again is stored, and then a hit; also a part of it', async () => {
  const { get } = await setUp({ queriesPerPath: 0 });
  const status = async (path: string, more = {}) => String((await get(path, more)).headers['cache-status']);
  expect(await status('/seg-1?a')).toMatch(/not-admitted/);
  expect(await status('/seg-1?a')).toMatch(/stored/);
  expect(await status('/seg-1?a')).toMatch(/hit/);
  const part = { range: 'bytes=5-9' };
  for (const _round of [1, 2]) expect(await status('/seg-1?b', part)).not.toMatch(/hit/);
  expect(await status('/seg-1?b', part)).toMatch(/hit/);
});

test('what is fetched ahead, vouched for, or let be by the operator is stored at first sight', async () => {
  const demand = { groupOf: (key: string) => (key.endsWith('?wanted') ? 1 : undefined), scoreOf: () => 0.9 };
  const { get, cache } = await setUp({ queriesPerPath: 0, demand });
  expect(await cache.fill('/seg-1?a', { priority: 'off-peak', purpose: 'off-peak' })).toMatchObject({
    outcome: 'stored',
  });
  expect((await get('/seg-1?wanted')).headers['cache-status']).toMatch(/stored/);
  await node.close();
  await setUp({ queriesPerPath: null });
  for (let n = 0; n < 30; n += 1) await node.get(`/seg-1?x=${n}`);
  expect(node.cache.stats().notAdmitted).toBe(0);
});

test('a reload changes the limit, and one that leaves it as it was forgets nothing', async () => {
  const { get, cache, origin } = await setUp({ queriesPerPath: 0 });
  const next = {
    origins: [{ name: 'main', url: origin.url, match: '/' }],
    rules: { defaultTtlSeconds: 0, graceSeconds: 0, target: 'Nearcast-Cache-Control' },
  };
  const status = async (path: string) => String((await get(path)).headers['cache-status']);
  expect(await status('/seg-1?a')).toMatch(/not-admitted/);
  await cache.reload({ ...next, queriesPerPath: 0 });
  expect(await status('/seg-1?a')).toMatch(/stored/);
  expect(await status('/seg-1?b')).toMatch(/not-admitted/);
  await cache.reload({ ...next, queriesPerPath: null });
  expect(await status('/seg-1?c')).toMatch(/stored/);
});
