// 50 viewers on one cold object over a real process; the figures themselves are the benchmark's.
import { expect, test } from 'vitest';
import { measureHerd } from '../bench/herd.ts';

test('a herd costs one fetch, and no follower waits for the body to end', async () => {
  const { originFetches, followerP50Ms, followerP95Ms } = await measureHerd();
  expect(originFetches).toBe(1);
  expect(followerP50Ms).toBeLessThanOrEqual(followerP95Ms);
  expect(followerP95Ms).toBeLessThan(1000);
});
