// What viewers get while the origin or the disk is in trouble, through a whole node.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { catalogue, openWorld, publish, sample, segmentBytes, type World } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld({ cache: { graceSeconds: 60 } });
});
afterAll(() => world?.close());

test('an origin that refuses connections is a 502 that says so in Cache-Status', async () => {
  const dead = await openWorld({ origins: [{ name: 'main', url: 'http://127.0.0.1:1', match: '/' }] });
  try {
    const got = await dead.get('/titles/a/x.m4s');
    expect(got.status).toBe(502);
    expect(got.headers.get('cache-status')).toMatch(/^edge-test; ?fwd=/);
    expect(got.headers.get('cache-control') ?? 'no-store').toMatch(/no-store/);
  } finally {
    await dead.close();
  }
});

test('an origin that breaks off before its answer is a 502, and stale content is served where that is allowed', async () => {
  world.origin.set('/page', { headers: { 'cache-control': 'max-age=0, stale-if-error=60' }, body: 'first' });
  expect((await world.get('/page')).body.toString()).toBe('first');
  world.origin.set('/page', { raw: '' });
  const stale = await world.get('/page');
  expect(stale.status).toBe(200);
  expect(stale.body.toString()).toBe('first');
  world.origin.set('/unknown', { raw: '' });
  expect((await world.get('/unknown')).status).toBe(502);
});

test('stale content is not served where the origin forbids it', async () => {
  world.origin.set('/strict', { headers: { 'cache-control': 'max-age=0, must-revalidate' }, body: 'first' });
  expect((await world.get('/strict')).status).toBe(200);
  world.origin.set('/strict', { raw: '' });
  const refused = await world.get('/strict');
  expect(refused.status).toBeGreaterThanOrEqual(500);
  expect(refused.headers.get('cache-status')).toMatch(/edge-test/);
});

test('an origin that takes the request and is silent is a 504', async () => {
  const silent = await openWorld(
    { origins: [{ name: 'main', url: world.origin.url, match: '/', firstByteTimeoutMs: 200 }] },
    { place: { dir: join(world.dir, 'silent'), origin: world.origin } },
  );
  try {
    world.origin.set('/hole', { isBlackHole: true });
    const got = await silent.get('/hole');
    expect(got.status).toBe(504);
    expect(got.headers.get('cache-status')).toMatch(/^edge-test; ?fwd=/);
  } finally {
    await silent.close();
  }
});

test('a store that cannot be used is served without, from memory, and said so', async () => {
  const place = { dir: join(world.dir, 'no-store'), origin: world.origin };
  mkdirSync(place.dir);
  writeFileSync(join(place.dir, 'store'), 'a file');
  world.origin.set('/kept', { headers: { 'cache-control': 'max-age=60' }, body: 'bytes' });
  const node = await openWorld({}, { place });
  try {
    for (const _ of [1, 2]) expect((await node.get('/kept')).body.toString()).toBe('bytes');
    expect((await node.get('/kept')).headers.get('cache-status')).toMatch(/; ?hit\b/);
    expect(world.origin.seen('/kept')).toHaveLength(1);
    expect(sample(await node.metrics(), 'nearcast_store_degraded')).toBe(1);
    expect(await node.ask('GET', '/status')).toMatchObject({ unready: null });
  } finally {
    await node.close();
  }
});

describe('a disk without room', () => {
  const isRoot = process.getuid?.() === 0;
  let mounted: string | undefined;
  afterEach(() => {
    if (mounted !== undefined) execFileSync('umount', ['-l', mounted]);
    mounted = undefined;
  });

  /** A mount of 1 MiB where this user may mount; elsewhere a file where the directory should be. */
  function smallDisk(path: string): string {
    mkdirSync(path, { recursive: true });
    try {
      if (!isRoot) throw new Error('only root may mount');
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', path], { stdio: 'ignore' });
      mounted = path;
      return path;
    } catch {
      // A container's root may not mount either: then the disk is one that cannot be used at all.
      writeFileSync(join(path, 'file'), '');
      return join(path, 'file');
    }
  }

  test('costs hits and not one byte of an answer', async () => {
    const path = smallDisk(join(world.dir, 'small'));
    const place = { dir: join(world.dir, 'full'), origin: world.origin };
    mkdirSync(place.dir);
    const big = Buffer.alloc(300_000, 'segment');
    const names = Array.from({ length: 12 }, (_, index) => `/full/${index}.m4s`);
    for (const name of names) {
      world.origin.set(name, {
        headers: { 'cache-control': 'max-age=3600' },
        body: Buffer.concat([Buffer.from(name), big]),
      });
    }
    const node = await openWorld({ store: { ramBytes: '1MiB', dirs: [{ path, maxBytes: '1GiB' }] } }, { place });
    try {
      for (const round of [1, 2]) {
        for (const name of names) {
          const got = await node.get(name);
          expect(got.status, `${name}, round ${round}`).toBe(200);
          expect(got.body.equals(Buffer.concat([Buffer.from(name), big])), `${name}, round ${round}`).toBe(true);
        }
      }
      const metrics = await node.metrics();
      const errors = metrics.split('\n').filter((line) => /^nearcast_store_(errors_total|degraded)/.test(line));
      expect(
        errors.some((line) => Number(line.split(' ').at(-1)) > 0),
        errors.join('\n'),
      ).toBe(true);
    } finally {
      await node.close();
    }
  }, 30_000);
});

test("with agent: off every path is the origin's, and operators still see the node", async () => {
  const place = { dir: join(world.dir, 'plain'), origin: world.origin };
  mkdirSync(place.dir);
  world.origin.set('/', { body: 'the site' });
  world.origin.set('/.nearcast/titles', { body: 'of the origin' });
  world.origin.set('/off.m4s', { headers: { 'cache-control': 'max-age=60' }, body: 'bytes' });
  const plain = await openWorld({ agent: 'off' }, { place });
  try {
    expect((await plain.get('/')).body.toString()).toBe('the site');
    expect((await plain.get('/.nearcast/titles')).body.toString()).toBe('of the origin');
    await plain.get('/off.m4s');
    expect((await plain.get('/off.m4s')).headers.get('cache-status')).toMatch(/; ?hit\b/);
    expect(sample(await plain.metrics(), 'nearcast_cache_requests_total{result="hit",kind="segment"}')).toBe(1);
    expect(await plain.ask('GET', '/status')).toMatchObject({ node: { id: 'edge-test' }, unready: null });
    expect(await plain.ask('POST', '/purge', { url: '/off.m4s' })).toMatchObject({
      isDone: true,
      progress: { objects: 1 },
    });
    await expect(plain.ask('DELETE', '/viewers/anybody')).rejects.toThrow(/agent: off/);
    expect((await fetch(`http://127.0.0.1:${plain.node.metricsPort}/readyz`)).status).toBe(200);
  } finally {
    await plain.close();
  }
});

test('a node that is opened again on its folders serves from disk and asks the origin nothing', async () => {
  const place = { dir: join(world.dir, 'again'), origin: world.origin };
  mkdirSync(place.dir);
  const title = publish(place, 'lasting', 2);
  catalogue(place, [{ id: 'lasting' }]);
  const settings = { prefetch: { enabled: false } };
  const first = await openWorld(settings, { place });
  for (const path of title.segments) await first.get(path);
  for (const path of title.segments) await first.get(path);
  await first.stop();
  const asked = world.origin.seen().length;
  const second = await openWorld(settings, { place });
  try {
    for (const path of title.segments) {
      const got = await second.get(path);
      expect(got.headers.get('cache-status'), path).toMatch(/; ?hit\b/);
      expect(got.body.equals(segmentBytes(path))).toBe(true);
    }
    expect(world.origin.seen().length).toBe(asked);
  } finally {
    await second.close();
  }
});
