// Options of hosts and origins that are replaced while the cache serves, and those that cannot work.
import { describe, expect, test } from 'vitest';
import { type CacheOptions, open } from '../../../cache/cache.ts';
import type { HostOptions } from '../../../cache/contract.ts';
import { readResponse } from './node.ts';
import { a, b, bodyOf, fresh, node, other, setBoth, setUp } from './two-origins.ts';

describe('options that cannot work', () => {
  const origin = { name: 'main', url: 'http://127.0.0.1:1', match: '/' };
  test.each<[string, Partial<CacheOptions>]>([
    ['no origin', { origins: [] }],
    ['two origins of one name', { origins: [origin, origin] }],
    ['an origin whose name would break keys', { origins: [{ ...origin, name: 'a b' }] }],
    ['an origin whose name would pass for another with a host', { origins: [{ ...origin, name: 'a@b' }] }],
    ['a backup that is no URL', { origins: [{ ...origin, backups: ['ftp://a'] }] }],
    ['a backup with a query', { origins: [{ ...origin, backups: ['http://a/?b'] }] }],
    ['a host with an origin that is none', { hosts: [{ names: ['a'], origins: ['man'] }] }],
    ['a name with a port', { hosts: [{ names: ['a:80'] }] }],
    ['a name twice', { hosts: [{ names: ['a'] }, { names: ['a'] }] }],
  ])('%s', async (_name, options) => {
    await setUp([]);
    setBoth('/x');
    const whole: CacheOptions = {
      origins: [origin],
      store: { ramBytes: 1024, dirs: [], required: false },
      rules: { defaultTtlSeconds: 0, graceSeconds: 0, target: 'X-Target' },
      ...{ nodeId: 'edge', now: Date.now, log: () => undefined },
      ...options,
    };
    await expect(open(whole)).rejects.toMatchObject({ code: 'CACHE_OPTIONS_INVALID' });
    // And a reload to them leaves everything as it was.
    await expect(node.cache.reload(whole)).rejects.toMatchObject({ code: 'CACHE_OPTIONS_INVALID' });
    expect(await bodyOf('/x', 'any.example')).toBe('main /x');
  });
});

describe('a reload', () => {
  const rules = { defaultTtlSeconds: 0, graceSeconds: 0, target: 'Nearcast-Cache-Control' };
  const main = () => ({ name: 'main', url: node.origin.url, match: '/' });
  const moved = () => ({ name: 'main', url: other.url, match: '/' });

  test('what runs ends at the origin where it began, even over a break; new requests use the new one', async () => {
    const { start, get, cache, origin } = await setUp([]);
    const body = Buffer.alloc(600_000, 'a body that is under way ');
    const more = Promise.withResolvers<void>();
    let isCut = false;
    origin.set('/long', () => {
      const whole = { body, headers: fresh, etag: '"1"', hasRanges: true };
      if (isCut) return whole;
      isCut = true;
      return { ...whole, gates: [{ offset: 1000, until: more.promise }], cutAfterBytes: 300_000 };
    });
    const { response } = await start('/long');
    await cache.reload({ origins: [moved()], rules });
    setBoth('/x');
    expect((await get('/x')).body.toString()).toBe('other /x');
    more.resolve();
    const read = await readResponse(response);
    expect([read.isCut, read.body.equals(body)]).toEqual([false, true]);
    expect([origin.seen('/long').length, other.seen('/long').length]).toEqual([2, 0]);
    expect((await get('/long')).body.equals(body)).toBe(true);
  });

  test('brings and takes hosts, their rules of keys and the rules of freshness', async () => {
    const { get, cache } = await setUp([a]);
    node.origin.set('/x', { body: 'x' });
    expect((await get('/x', { host: 'b.example' })).status).toBe(421);
    const origins = [main(), { name: 'other', url: other.url, match: '/' }];
    await cache.reload({
      origins,
      hosts: [{ ...a, ignoredQuery: ['t'] }, b],
      rules: { ...rules, defaultTtlSeconds: 60 },
    });
    setBoth('/y');
    expect(await bodyOf('/y', 'b.example')).toBe('other /y');
    await get('/x?t=1', { host: 'a.example' });
    expect((await get('/x?t=2', { host: 'a.example' })).headers['cache-status']).toContain('hit');
    await cache.reload({ origins, hosts: [b], rules });
    expect((await get('/x', { host: 'a.example' })).status).toBe(421);
  });

  test('does not give anew what a quota has spent', async () => {
    const limited: HostOptions = { ...a, quota: { bytesPerSecond: 1000 } };
    const { get, cache, recorded } = await setUp([limited]);
    node.origin.set('/x', { body: Buffer.alloc(50_000), headers: fresh });
    await get('/x', { host: 'a.example' });
    await recorded(1);
    await cache.reload({ origins: [main()], hosts: [limited], rules });
    expect((await get('/x', { host: 'a.example' })).status).toBe(429);
    await cache.reload({ origins: [main()], hosts: [{ ...a, quota: { bytesPerSecond: 2000 } }], rules });
    expect((await get('/x', { host: 'a.example' })).status).toBe(200);
  });

  test('stored objects are judged by the new rules at once', async () => {
    const { get, cache } = await setUp([], { rules: { defaultTtlSeconds: 60 } });
    node.origin.set('/x', { body: 'x' });
    await get('/x');
    expect((await get('/x')).headers['cache-status']).toContain('hit');
    await cache.reload({ origins: [main()], rules });
    expect((await get('/x')).headers['cache-status']).not.toContain('hit');
  });

  test('an origin whose options stay keeps its breaker; one that changes begins anew', async () => {
    const { get, cache } = await setUp([]);
    node.origin.set('/down', { status: 500 });
    for (let round = 0; round < 8; round += 1) await get('/down');
    const breakers = () => cache.stats().origins.map(({ servers }) => servers[0]?.breaker);
    await cache.reload({ origins: [main(), { name: 'more', url: other.url, match: '/more/' }], rules });
    expect(breakers()).toEqual(['open', 'closed']);
    await cache.reload({ origins: [{ ...main(), firstByteTimeoutMs: 5000 }], rules });
    expect(breakers()).toEqual(['closed']);
  });

  test('row 57: hundreds of them while viewers ask: nobody sees it', async () => {
    const { get, cache } = await setUp([]);
    const paths = Array.from({ length: 60 }, (_, index) => `/x-${index}`);
    for (const path of paths) setBoth(path);
    let reloads = 0;
    let isOver = false;
    const reloading = (async () => {
      for (; !isOver; reloads += 1) {
        await cache.reload({ origins: [reloads % 2 === 0 ? moved() : main()], rules });
        await new Promise(setImmediate);
      }
    })();
    const got = await Promise.all(paths.map((path) => get(path)));
    while (reloads < 200) await new Promise(setImmediate);
    isOver = true;
    await reloading;
    expect(got.map(({ status }) => status)).toEqual(got.map(() => 200));
    expect(got.every(({ body, isCut }, index) => !isCut && body.toString().endsWith(paths[index] ?? '?'))).toBe(true);
  });
});
