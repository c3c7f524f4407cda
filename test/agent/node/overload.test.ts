// A whole node with more viewers than listen.* lets in: /metrics and the control socket answer as ever, and count it.
import { connect } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { openWorld, type World } from './world.ts';

let world: World;
afterEach(() => world.close());

test('while every place is held, viewers get 503 at once and operators their answers', async () => {
  world = await openWorld({ listen: { http: '127.0.0.1:0', maxRequests: 2, maxConnections: 20 } });
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  world.origin.set('/held', { body: 'late', headers: { 'cache-control': 'max-age=60' }, headAfter: held });
  const waiting = [world.get('/held'), world.get('/held')];
  const seen = async (line: RegExp) => line.test(await world.metrics());
  while (!(await seen(/^nearcast_cache_coalesced_total 1$/m))) await new Promise(setImmediate);
  const shed = await world.get('/other');
  expect([shed.status, shed.headers.get('retry-after')]).toEqual([503, '1']);
  const idle = Array.from({ length: 25 }, () => connect(world.node.port, '127.0.0.1').on('error', () => undefined));
  while (!(await seen(/^nearcast_cache_shed_total\{reason="connections"\} \d+$/m))) await new Promise(setImmediate);
  const startedMs = performance.now();
  expect(await world.metrics()).toMatch(/^nearcast_cache_shed_total\{reason="requests"\} 1$/m);
  expect(performance.now() - startedMs).toBeLessThan(1000);
  expect(await world.ask('GET', '/status')).toMatchObject({ hitRatio: null });
  release();
  expect((await Promise.all(waiting)).map(({ body }) => body.toString())).toEqual(['late', 'late']);
  for (const socket of idle) socket.destroy();
});
