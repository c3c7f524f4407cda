// A worker that hangs: it cannot serve what was purged, and viewers of others do not notice.
import cluster from 'node:cluster';
import { afterEach, expect, test } from 'vitest';
import { openNode, type TestNode } from '../cache/http/node.ts';

let node: TestNode;
afterEach(() => node.close());

const pids = (): number[] => Object.values(cluster.workers ?? {}).flatMap((each) => each?.process.pid ?? []);

test('a stopped worker is killed before a purge is answered, and replaced', async () => {
  const limits: unknown[] = [];
  node = await openNode({
    workers: 2,
    // A part for the primary and for each worker, all of them too small, as each tells.
    maxResidentBytes: 3 * 2 ** 20,
    log: (_level, event, fields = {}) => {
      if (event === 'memory.tight') limits.push(fields['limitBytes']);
    },
  });
  const headers = { 'cache-control': 'max-age=600' };
  node.origin.set('/a', { body: 'old', headers });
  await Promise.all(Array.from({ length: 8 }, () => node.get('/a')));
  const [victim = 0, other = 0] = pids();
  node.origin.set('/a', { body: 'new', headers });
  process.kill(victim, 'SIGSTOP');
  // A viewer that the other takes meanwhile is served.
  expect((await node.get('/a')).body.toString()).toBe('old');
  await node.cache.purge({ url: '/a' });
  expect(pids()).not.toContain(victim);
  expect((await node.get('/a')).body.toString()).toBe('new');
  while (pids().length < 2) await node.get('/a');
  expect(pids()).toContain(other);
  expect(node.cache.stats().workers).toMatchObject({ running: 2, restarts: 1 });
  while (limits.length < 3) await node.get('/a');
  expect(limits).toEqual(new Array(limits.length).fill(2 ** 20));
});
