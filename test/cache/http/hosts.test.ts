// Hosts: which one a name means, what each has for itself and what they share, and quotas.
import { describe, expect, test } from 'vitest';
import type { HostOptions } from '../../../cache/contract.ts';
import { readResponse } from './node.ts';
import { a, b, bodyOf, fresh, node, other, setBoth, setUp } from './two-origins.ts';

const forwarding: HostOptions = { names: ['*.tenant.example'], origins: ['main'], hostHeader: 'forward' };
const every: HostOptions = { names: ['*'] };

describe('which host answers', () => {
  test('each name its own: origins and stored objects never mix', async () => {
    const { get } = await setUp([a, b]);
    setBoth('/x');
    for (const _round of [1, 2]) {
      expect(await bodyOf('/x', 'a.example')).toBe('main /x');
      expect(await bodyOf('/x', 'b.example')).toBe('other /x');
      expect(await bodyOf('/x', 'deep.a.example')).toBe('main /x');
    }
    expect([node.origin.seen('/x').length, other.seen('/x').length]).toEqual([1, 1]);
    expect((await get('/x', { host: 'b.example' })).headers['cache-status']).toContain('hit');
  });

  test.each(['B.Example', 'b.example:8080', 'b.example.', 'B.EXAMPLE.:1'])('%s is b.example', async (host) => {
    await setUp([a, b]);
    setBoth('/x');
    expect(await bodyOf('/x', host)).toBe('other /x');
  });

  test('a name of no host gets 421 and reaches neither origin nor route; malformed is still 400', async () => {
    const routes = [
      { prefix: '/own', methods: ['GET'], deadlineMs: 1000, maxBodyBytes: 0, answer: () => ({ status: 200 }) },
    ];
    const { get, raw, cache, origin } = await setUp([a, b], { routes });
    setBoth('/x');
    for (const host of ['c.example', 'aa.example', 'xa.example', '127.0.0.1', '[::1]:80', '*.a.example.net']) {
      expect((await get('/x', { host })).status).toBe(421);
      expect((await get('/own', { host })).status).toBe(421);
    }
    expect((await get('/own', { host: 'a.example' })).status).toBe(200);
    expect(await raw('GET /x HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 421 /);
    expect(await raw('GET /x HTTP/1.1\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
    expect([origin.seen().length, other.seen().length, cache.stats().unknownHosts]).toEqual([0, 0, 13]);
  });

  test('an absolute target goes where it says', async () => {
    const { raw } = await setUp([a, b]);
    setBoth('/x');
    const got = await raw('GET http://B.example/x HTTP/1.1\r\nHost: b.example\r\nConnection: close\r\n\r\n');
    expect(got).toContain('other /x');
    expect(await raw('GET http://b.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
  });

  test('* takes every other name, and none at all', async () => {
    const { raw } = await setUp([b, every]);
    setBoth('/x');
    expect(await bodyOf('/x', 'whatever.example')).toBe('main /x');
    expect(await raw('GET /x HTTP/1.0\r\n\r\n')).toContain('main /x');
    expect(await bodyOf('/x', 'b.example')).toBe('other /x');
  });

  test('without hosts every name is the same', async () => {
    await setUp([]);
    setBoth('/x');
    for (const host of ['a.example', 'b.example', 'c']) expect(await bodyOf('/x', host)).toBe('main /x');
    expect(node.origin.seen('/x')).toHaveLength(1);
  });

  test('a path that no origin of its host serves is 404 though another host has it', async () => {
    await setUp([a, b], { origin: { match: '/vod/' } });
    setBoth('/x');
    expect((await node.get('/x', { host: 'a.example' })).status).toBe(404);
    expect(await bodyOf('/x', 'b.example')).toBe('other /x');
  });
});

describe('keys', () => {
  test('hosts with the same origin share what is stored; each leaves its own parameters out', async () => {
    const c: HostOptions = { names: ['c.example'], origins: ['main'], ignoredQuery: ['token'] };
    await setUp([a, c], { ignoredQuery: ['session'] });
    setBoth('/x');
    expect(await bodyOf('/x?session=1', 'a.example')).toBe('main /x');
    expect(await bodyOf('/x?token=1', 'c.example')).toBe('main /x');
    expect(node.origin.seen('/x').map(({ url }) => url)).toEqual(['/x']);
    await bodyOf('/x?token=1', 'a.example');
    await bodyOf('/x?session=1', 'c.example');
    expect(node.origin.seen('/x').map(({ url }) => url)).toEqual(['/x', '/x?token=1', '/x?session=1']);
  });

  test('origin: the origin sees its own name, whatever the viewer says', async () => {
    await setUp([every]);
    node.origin.set('/x', ({ headers }) => ({ body: headers.host ?? '', headers: fresh }));
    const own = `127.0.0.1:${node.origin.port}`;
    expect(await bodyOf('/x', 'evil.example', { 'x-forwarded-host': 'evil', 'x-host': 'evil' })).toBe(own);
    expect(await bodyOf('/x', 'good.example')).toBe(own);
  });

  test('forward: the origin sees the name, in one form, and each name has its own objects', async () => {
    await setUp([forwarding, a]);
    node.origin.set('/x', ({ headers }) => ({ body: headers.host ?? '', headers: fresh }));
    for (const host of ['one.tenant.example', 'ONE.tenant.example:81', 'one.tenant.example.']) {
      expect(await bodyOf('/x', host)).toBe('one.tenant.example');
    }
    expect(await bodyOf('/x', 'two.tenant.example')).toBe('two.tenant.example');
    expect(await bodyOf('/x', 'a.example')).toBe(`127.0.0.1:${node.origin.port}`);
    expect(node.origin.seen('/x')).toHaveLength(3);
  });

  test.each([
    ['x-forwarded-host', 'evil.example'],
    ['forwarded', 'host=evil.example'],
    ['x-original-url', '/evil'],
    ['x-rewrite-url', '/evil'],
    ['x-forwarded-server', 'evil.example'],
  ])('forward: %s neither reaches the origin nor enters the answer', async (name, value) => {
    await setUp([forwarding]);
    node.origin.set('/x', ({ headers }) => ({ body: `${headers.host} ${headers[name] ?? ''}`, headers: fresh }));
    expect(await bodyOf('/x', 'one.tenant.example', { [name]: value })).toBe('one.tenant.example ');
  });

  test.each(['*.tenant.example', 'a$b.tenant.example', '-.tenant.example', 'a..tenant.example'])(
    'forward: %s is no name: 421, and no origin hears of it',
    async (host) => {
      await setUp([forwarding, { ...every, hostHeader: 'forward' }]);
      setBoth('/x');
      expect((await node.get('/x', { host })).status).toBe(421);
      expect(node.origin.seen()).toHaveLength(0);
    },
  );

  test('forward: passes, revalidations and fills of a URL carry the name too', async () => {
    const { cache, get, passSeconds } = await setUp([forwarding]);
    node.origin.set('/x', { body: 'x', headers: { 'cache-control': 'max-age=1' }, etag: '"1"' });
    const host = 'one.tenant.example';
    expect((await cache.fill(`http://${host}/x`, { priority: 'off-peak', purpose: 'off-peak' })).outcome).toBe(
      'stored',
    );
    passSeconds(5);
    await get('/x', { host });
    await get('/x', { host }, 'POST', 'y');
    expect(node.origin.seen('/x').map(({ method, headers }) => [method, headers.host])).toEqual([
      ['GET', host],
      ['GET', host],
      ['POST', host],
    ]);
  });
});

describe('URLs of the front door', () => {
  const filling = { priority: 'off-peak', purpose: 'off-peak' } as const;

  test('an absolute one means its host, a path alone the first host that has an origin for it', async () => {
    const { cache } = await setUp([b, a]);
    setBoth('/x');
    expect(cache.placeOf('/x')).toEqual({ names: ['b.example'], origin: 'other', key: 'other /x' });
    expect(cache.placeOf('https://A.example/x?CMCD=1')).toMatchObject({ origin: 'main', key: 'main /x' });
    expect(cache.placeOf('https://c.example/x')).toBeUndefined();
    await cache.fill('/x', filling);
    expect([node.origin.seen().length, other.seen().length]).toEqual([0, 1]);
    await cache.fill('https://a.example/x', filling);
    expect(cache.has('https://a.example/x')?.key).toBe('main /x');
    expect(await cache.pin({ url: 'https://a.example/x' }, true)).toBe(1);
    expect(cache.has('/x')?.isPinned).toBe(false);
    const read = await cache.read('https://a.example/x', { maxBytes: 100, signal: AbortSignal.timeout(5000) });
    expect(read?.bytes.toString()).toBe('main /x');
    expect(await cache.fill('https://c.example/x', filling)).toEqual({ outcome: 'refused', reason: 'no-origin' });
  });

  test.each([false, true])(
    'a purge of a path reaches every host and name, an absolute one its own (soft: %s)',
    async (soft) => {
      const { cache } = await setUp([a, b, forwarding]);
      setBoth('/v/x');
      setBoth('/w');
      const places = ['a.example', 'b.example', 'one.tenant.example', 'two.tenant.example'];
      const fillAll = async () => {
        for (const host of places) {
          for (const path of ['/v/x', '/w']) await cache.fill(`http://${host}${path}`, filling);
        }
      };
      const left = (path: string) =>
        places.filter((host) => (cache.has(`http://${host}${path}`)?.freshForSeconds ?? 0) > 0);
      await fillAll();
      expect(left('/v/x')).toEqual(places);
      expect(await cache.purge({ url: 'https://b.example/v/x', soft })).toMatchObject({ objects: 1 });
      expect(left('/v/x')).toEqual(['a.example', 'one.tenant.example', 'two.tenant.example']);
      expect(await cache.purge({ prefix: 'https://two.tenant.example/v/', soft })).toMatchObject({ objects: 1 });
      expect(left('/v/x')).toEqual(['a.example', 'one.tenant.example']);
      expect(await cache.purge({ url: '/v/x', soft })).toMatchObject({ objects: 2 });
      expect([left('/v/x'), left('/w')]).toEqual([[], places]);
      await fillAll();
      expect(await cache.purge({ prefix: '/v/', soft })).toMatchObject({ objects: 4 });
      expect([left('/v/x'), left('/w')]).toEqual([[], places]);
      expect(await cache.purge({ url: 'https://c.example/w', soft })).toMatchObject({ objects: 0 });
    },
  );

  test('an unsafe method makes outdated what its own host has', async () => {
    const { cache, get } = await setUp([a, b]);
    setBoth('/x');
    for (const host of ['a.example', 'b.example']) await get('/x', { host });
    await get('/x', { host: 'b.example' }, 'POST', 'y');
    expect([cache.has('http://a.example/x') !== undefined, cache.has('http://b.example/x')]).toEqual([true, undefined]);
  });
});

describe('quotas', () => {
  test('requests a second: above it 429 with Retry-After; other hosts are served', async () => {
    const { get, cache } = await setUp([{ ...a, quota: { requestsPerSecond: 0.1 } }, b]);
    setBoth('/x');
    const got = await Promise.all(Array.from({ length: 30 }, () => get('/x', { host: 'a.example' })));
    const refused = got.filter(({ status }) => status === 429);
    expect(got.filter(({ status }) => status === 200).length).toBe(got.length - refused.length);
    expect([refused.length < 30, refused.length > 25]).toEqual([true, true]);
    const seconds = refused.map(({ headers }) => Number(headers['retry-after']));
    expect(seconds.every((each) => each >= 1 && each <= 10)).toBe(true);
    expect((await get('/x', { host: 'b.example' })).status).toBe(200);
    expect(cache.stats().shed.quota).toBe(refused.length);
  });

  test('bytes a second: a large answer ends, what it took is paid off before the next', async () => {
    const { get, recorded } = await setUp([{ ...a, quota: { bytesPerSecond: 10_000 } }]);
    const body = Buffer.alloc(400_000, 'x');
    node.origin.set('/large', { body, headers: fresh });
    expect((await get('/large', { host: 'a.example' })).body.length).toBe(body.length);
    await recorded(1);
    const refused = await get('/large', { host: 'a.example' });
    expect(refused.status).toBe(429);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(30);
  });

  test('bytes on disk: a host evicts its own objects, what was filled ahead first; a reload changes it', async () => {
    const { get, cache, origin } = await setUp([{ ...a, quota: { diskBytes: 450_000 } }, b], { ramBytes: 0 });
    const body = Buffer.alloc(99_000, 'x');
    for (const each of [origin, other]) for (let n = 0; n < 6; n += 1) each.set(`/${n}`, { body, headers: fresh });
    const stored = (host: string) =>
      [0, 1, 2, 3, 4, 5].filter((n) => cache.has(`http://${host}.example/${n}`) !== undefined);
    const all = async (host: string, count: number) => {
      for (let n = 0; n < count; n += 1) await get(`/${n}`, { host: `${host}.example` });
      await expect.poll(() => stored(host)).toHaveLength(count);
    };
    await all('b', 6);
    await all('a', 4);
    for (const n of [4, 5]) await cache.fill(`http://a.example/${n}`, { priority: 'off-peak', purpose: 'off-peak' });
    expect([stored('a'), stored('b').length]).toEqual([[1, 2, 3, 5], 6]);
    const charged = (limitBytes: number, objects: number) => [
      { name: 'a.example', usedBytes: objects * 100_024, limitBytes },
    ];
    expect(cache.stats().store.hosts).toEqual(charged(450_000, 4));
    const origins = [origin, other].map(({ url }, n) => ({ name: ['main', 'other'][n] ?? '', url, match: '/' }));
    const rules = { defaultTtlSeconds: 0, graceSeconds: 0, target: 'X-Target' };
    await cache.reload({ origins, rules, hosts: [{ ...a, quota: { diskBytes: 110_000 } }, b] });
    await expect.poll(() => cache.stats().store.hosts).toEqual(charged(110_000, 1));
    expect([stored('a').length, stored('b').length]).toEqual([1, 6]);
  });

  test('requests to origins: above it 503 with Retry-After, or what is stale; hits are served; room comes back', async () => {
    const stale = { 'cache-control': 'max-age=10, stale-if-error=600' };
    const { get, start, passSeconds, cache, origin } = await setUp([{ ...a, quota: { originRequests: 2 } }, b]);
    const host = 'a.example';
    origin.set('/stale', { body: 'stale', headers: stale });
    await get('/stale', { host });
    passSeconds(11);
    setBoth('/hit');
    setBoth('/x');
    await get('/hit', { host });
    const held = Promise.withResolvers<void>();
    for (const path of ['/1', '/2']) origin.set(path, { body: path, headers: fresh, headAfter: held.promise });
    const one = get('/1', { host });
    const left = start('/2', { host });
    await origin.asked('/1', 1);
    await origin.asked('/2', 1);
    const refused = await get('/x', { host });
    expect([refused.status, refused.headers['retry-after']]).toEqual([503, '1']);
    expect(refused.headers['cache-status']).toContain('CACHE_HOST_QUOTA');
    expect(await bodyOf('/stale', host)).toBe('stale');
    expect(await bodyOf('/hit', host)).toBe('main /hit');
    expect(await bodyOf('/x', 'b.example')).toBe('other /x');
    expect(cache.stats().originErrors).toBe(0);
    // What is fetched ahead has limits of its own, and takes no room from viewers.
    const filled = await cache.fill('http://a.example/x', { priority: 'off-peak', purpose: 'off-peak' });
    expect(filled.outcome).toBe('stored');
    await cache.purge({ url: 'http://a.example/x' });
    held.resolve();
    expect((await one).status).toBe(200);
    await readResponse((await left).response);
    expect(await bodyOf('/x', host)).toBe('main /x');
  });

  test('requests to origins: a viewer who leaves makes room', async () => {
    const { get, start, origin } = await setUp([{ ...a, quota: { originRequests: 1 } }]);
    const host = 'a.example';
    const body = Buffer.alloc(1000);
    origin.set('/held', { body, headers: fresh, gates: [{ offset: 10, until: new Promise(() => undefined) }] });
    setBoth('/x');
    const { request } = await start('/held', { host });
    expect((await get('/x', { host })).status).toBe(503);
    request.destroy();
    while (node.cache.stats().activeFills > 0) await new Promise(setImmediate);
    expect(await bodyOf('/x', host)).toBe('main /x');
  });
});
