// Who goes first on the way from the origin: viewers, then prefetch in session, then off-peak fills.
import { afterEach, expect, test } from 'vitest';
import type { Priority } from '../../../cache/contract.ts';
import { until } from '../until.ts';
import { openNode, type TestNode } from './node.ts';

let node: TestNode;
afterEach(() => node.close());

const MiB = 1024 * 1024;
const fresh = { 'cache-control': 'max-age=60' };
/** What may still be on its way when a fetch is told to wait: socket buffers of both sides. */
const IN_FLIGHT_BYTES = 8 * MiB;
const large = Buffer.alloc(11 * MiB, 'night');

function prefetch(path: string, priority: Exclude<Priority, 'viewer'>): { bytes: () => number } {
  node.origin.set(path, { body: large, headers: fresh, etag: '"night"' });
  void node.cache.fill(path, { priority, purpose: priority });
  return { bytes: () => node.cache.stats().originBytes[priority] };
}
// All fit the RAM tier, so that no slow disk ends a fetch that nobody waits for.
test.each([
  ['viewer', 'off-peak'],
  ['viewer', 'in-session'],
  ['in-session', 'off-peak'],
] as const)('a fetch for %s takes the way from one for %s at once, and gives it back', async (first, second) => {
  node = await openNode({ ramBytes: 256 * MiB });
  const ahead = prefetch('/night', second);
  await until(() => ahead.bytes() > 2 * MiB);
  // While the urgent one's body comes, the other would get all of its own on this link.
  const rest = Promise.withResolvers<void>();
  const body = Buffer.alloc(8 * MiB, 'day');
  node.origin.set('/day', { body, headers: fresh, gates: [{ offset: body.length - 1, until: rest.promise }] });
  const urgent = first === 'viewer' ? node.get('/day') : node.cache.fill('/day', { priority: first, purpose: first });
  await node.origin.asked('/day', 1);
  const before = ahead.bytes();
  await until(() => node.cache.stats().originBytes[first] >= body.length - 1);
  expect(ahead.bytes() - before).toBeLessThan(IN_FLIGHT_BYTES);
  rest.resolve();
  await urgent;
  await until(() => ahead.bytes() === large.length);
});

test('a viewer who joins what is being fetched ahead has it at full pace at once', async () => {
  node = await openNode({ ramBytes: 256 * MiB });
  const body = Buffer.alloc(4 * MiB, 'ahead');
  node.origin.set('/a', { body, headers: fresh });
  const filled = node.cache.fill('/a', { priority: 'off-peak', purpose: 'off-peak', bytesPerSecond: 1000 });
  await until(() => node.cache.stats().originBytes['off-peak'] > 0);
  const got = await node.get('/a');
  expect([got.body.equals(body), got.headers['cache-status']]).toEqual([
    true,
    'edge-test; fwd=uri-miss; fwd-status=200; stored; collapsed; detail=prefetch',
  ]);
  expect(await filled).toMatchObject({ outcome: 'stored' });
});

test('a fetch in the background is slowed beside viewers who are answered from memory', async () => {
  node = await openNode({ ramBytes: 256 * MiB });
  node.origin.set('/hit', { body: 'hit', headers: fresh });
  node.origin.set('/night', { body: large.subarray(0, 4 * MiB), headers: fresh });
  let isOver = false;
  const lane = async (): Promise<void> => {
    while (!isOver) await node.get('/hit');
  };
  await node.get('/hit');
  const hits = lane();
  const beganMs = performance.now();
  const filled = await node.cache.fill('/night', { priority: 'off-peak', purpose: 'off-peak' });
  // 8 MiB in the first second, and sixteen times as much in each further one: by rules/spare.ts 4 MiB take 0.31 s.
  expect(performance.now() - beganMs).toBeGreaterThan(250);
  isOver = true;
  await hits;
  expect(filled).toMatchObject({ outcome: 'stored' });
});
