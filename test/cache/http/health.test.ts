// Checks of the health of an origin's servers: who is out before a viewer meets it, who comes back, and when they are not
// believed.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { OriginOptions } from '../../../cache/contract.ts';
import { type FakeOrigin, openFakeOrigin } from '../../fake/origin.ts';
import { until } from '../until.ts';
import { type NodeSetup, openNode, type TestNode } from './node.ts';

const fresh = { 'cache-control': 'max-age=600' };
let node: TestNode;
let second: FakeOrigin;
beforeEach(async () => {
  second = await openFakeOrigin();
});
afterEach(async () => {
  await node.close();
  await second.close();
});

async function setUp(origin: Partial<OriginOptions>, setup: NodeSetup = {}): Promise<TestNode> {
  node = await openNode({ isClockStill: true, ...setup, origin: { backups: [second.url], ...origin } });
  return node;
}
const stats = () => node.cache.stats().origins[0];
describe('checks of health', () => {
  const health = { path: '/up', intervalSeconds: 0.02, timeoutMs: 1000, expect: 200, rise: 2, fall: 3 };
  const events: string[] = [];
  const log: NodeSetup['log'] = (_level, event) => {
    events.push(event);
  };
  const isUp = () => stats()?.servers.map((server) => server.isUp);

  test('take a server out before a viewer meets it, and bring it back', async () => {
    events.length = 0;
    second.set('/up', {});
    const { origin, get } = await setUp({ health }, { log });
    origin.set('/up', { status: 503 });
    await until(() => isUp()?.[0] === false);
    second.set('/a', { body: 'here', headers: fresh });
    expect((await get('/a')).body.toString()).toBe('here');
    expect(origin.seen('/a')).toHaveLength(0);
    origin.set('/up', {});
    origin.set('/b', { body: 'back', headers: fresh });
    await until(() => isUp()?.[0] === true);
    expect((await get('/b')).body.toString()).toBe('back');
    expect(stats()?.servers[0]?.breaker).toBe('recovering');
    expect(events.filter((event) => event.startsWith('origin.server-'))).toEqual([
      'origin.server-down',
      'origin.server-up',
    ]);
    expect(node.cache.stats().originErrors).toBe(0);
    expect(origin.seen('/up')[0]?.headers['user-agent']).toBe('nearcast-check');
  });

  test('that fail for every server are not believed: viewers are served', async () => {
    const { origin, get } = await setUp({ health: { ...health, expect: 204 } });
    await until(() => isUp()?.every((each) => !each) === true);
    origin.set('/a', { body: 'fine', headers: fresh });
    expect((await get('/a')).body.toString()).toBe('fine');
  });

  test('a server that never answers them is down', async () => {
    second.set('/up', {});
    const { origin } = await setUp({ health: { ...health, timeoutMs: 30 } });
    origin.set('/up', { isBlackHole: true });
    // The second may miss one too while this machine is busy, but not for ever.
    await until(() => isUp()?.[0] === false && isUp()?.[1] === true);
    second.set('/a', { body: 'here', headers: fresh });
    expect((await node.get('/a')).status).toBe(200);
  });

  test('end with the cache', async () => {
    second.set('/up', {});
    await setUp({ health });
    await second.asked('/up', 3);
    await node.cache.close(0);
    const count = second.seen('/up').length;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(second.seen('/up').length).toBeLessThanOrEqual(count + 1);
  });
});
