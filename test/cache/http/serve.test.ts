// What a viewer gets: hits, HEAD, conditions, ranges, variants, methods and purges, through real HTTP, store and origin.
import { afterEach, describe, expect, test } from 'vitest';
import { type NodeSetup, openNode, type TestNode } from './node.ts';

let node: TestNode;
async function setUp(setup?: NodeSetup): Promise<TestNode> {
  node = await openNode(setup);
  return node;
}
afterEach(() => node.close());

const body = Buffer.from(Array.from({ length: 1000 }, (_, index) => index % 251));
const fresh = { 'cache-control': 'max-age=60' };

describe('hit and miss', () => {
  test('a second viewer gets the stored bytes, and the origin is asked once', async () => {
    const { origin, get, served, recorded } = await setUp();
    origin.set('/a.m4s', { body, headers: { ...fresh, 'content-type': 'video/mp4' } });
    const first = await get('/a.m4s');
    const second = await get('/a.m4s');
    expect(first.body.equals(body) && second.body.equals(body)).toBe(true);
    expect(first.headers['cache-status']).toBe('edge-test; fwd=uri-miss; fwd-status=200; stored');
    expect(second.headers['cache-status']).toMatch(/^edge-test; hit; ttl=(59|60)$/);
    expect(second.headers['content-type']).toBe('video/mp4');
    expect(second.headers['content-length']).toBe('1000');
    expect(second.headers['age']).toMatch(/^[01]$/);
    expect(second.headers['via']).toBe('1.1 edge-test');
    expect(origin.seen('/a.m4s')).toHaveLength(1);
    await recorded(2);
    expect(served.map((each) => [each.result, each.kind, each.bytes, each.isComplete, each.status])).toEqual([
      ['miss', 'segment', 1000, true, 200],
      ['hit', 'segment', 1000, true, 200],
    ]);
  });

  test('an object larger than the memory tier comes back byte for byte from disk, whole and by range', async () => {
    const { origin, get, cache } = await setUp({ ramBytes: 1024 * 1024 });
    const large = Buffer.alloc(5_000_001, 'nearcast large object ');
    origin.set('/large.mp4', { body: large, headers: fresh });
    expect((await get('/large.mp4')).body.equals(large)).toBe(true);
    // The viewer has it all before the disk has.
    await expect.poll(() => cache.has('/large.mp4')?.tier).toBe('disk');
    expect((await get('/large.mp4')).body.equals(large)).toBe(true);
    const part = await get('/large.mp4', { range: 'bytes=3000000-3999999' });
    expect([part.status, part.body.equals(large.subarray(3_000_000, 4_000_000))]).toEqual([206, true]);
    expect(cache.has('/large.mp4')?.tier).toBe('disk');
    expect(origin.seen()).toHaveLength(1);
  });

  test('what is not to be stored passes each time', async () => {
    const { origin, get, recorded, served } = await setUp();
    origin.set('/p', { body: 'mine', headers: { 'cache-control': 'private, max-age=60' } });
    await get('/p');
    const second = await get('/p');
    expect(second.headers['cache-status']).toBe('edge-test; fwd=uri-miss; fwd-status=200; detail=private');
    expect(origin.seen('/p')).toHaveLength(2);
    await recorded(2);
    expect(served.map(({ result }) => result)).toEqual(['pass', 'pass']);
  });

  test('CMCD enters neither the key nor the origin, and comes in the record', async () => {
    const { origin, get, recorded, served } = await setUp({ ignoredQuery: ['token'] });
    origin.set('/a.m4s', { body, headers: fresh });
    await get('/a.m4s?CMCD=br%3D3200&x=1&token=t1', { 'CMCD-Session': 'sid="s1"' });
    await get('/a.m4s?x=1&token=t2&CMCD=br%3D900');
    expect(origin.seen('/a.m4s').map(({ url }) => url)).toEqual(['/a.m4s?x=1']);
    expect(origin.seen()[0]?.headers['cmcd-session']).toBeUndefined();
    await recorded(2);
    expect(served[0]?.cmcd).toEqual({ query: 'br%3D3200', headers: { 'cmcd-session': 'sid="s1"' } });
    expect(served[1]?.cmcd).toEqual({ query: 'br%3D900' });
    expect(served[0]?.key).toBe('main /a.m4s?x=1');
  });

  test('unkeyed fields of a viewer never reach the origin, hop-by-hop ones of the origin never the viewer', async () => {
    const { origin, get } = await setUp();
    origin.set('/a', { body, headers: { ...fresh, connection: 'x-hop', 'x-hop': '1', 'x-end': '2' } });
    const got = await get('/a', {
      'x-forwarded-host': 'evil',
      'x-original-url': '/b',
      host: 'shop.example',
      te: 'trailers',
    });
    const asked = origin.seen('/a')[0]?.headers ?? {};
    expect([asked['x-forwarded-host'], asked['x-original-url'], asked['te']]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect([asked.host, asked['cdn-loop']]).toEqual([`127.0.0.1:${origin.port}`, 'edge-test']);
    expect([got.headers['x-hop'], got.headers['x-end']]).toEqual([undefined, '2']);
  });

  test('a request that was here before gets 508', async () => {
    const { get } = await setUp();
    expect((await get('/a', { 'cdn-loop': 'other, edge-test; n=1' })).status).toBe(508);
  });

  test('the operator field governs this cache and goes no further', async () => {
    const { origin, get } = await setUp();
    const headers = { 'nearcast-cache-control': 'max-age=60', 'cache-control': 'no-store' };
    origin.set('/a', { body, headers });
    const first = await get('/a');
    await get('/a');
    expect(origin.seen('/a')).toHaveLength(1);
    expect([first.headers['nearcast-cache-control'], first.headers['cache-control']]).toEqual([undefined, 'no-store']);
  });
});

describe('HEAD, conditions and ranges', () => {
  test('HEAD is answered from the stored GET', async () => {
    const { origin, get } = await setUp();
    origin.set('/a', { body, headers: fresh });
    await get('/a');
    const head = await get('/a', {}, 'HEAD');
    expect([head.status, head.headers['content-length'], head.body.length]).toEqual([200, '1000', 0]);
    expect(origin.seen()).toHaveLength(1);
  });

  test('a HEAD that shows another length invalidates the stored response', async () => {
    const { origin, get, passSeconds } = await setUp();
    origin.set('/a', { body, headers: { ...fresh, etag: '"1"' } });
    await get('/a');
    passSeconds(61);
    origin.set('/a', { body: 'shorter', headers: { ...fresh, etag: '"2"' } });
    await get('/a', {}, 'HEAD');
    expect((await get('/a')).body.toString()).toBe('shorter');
  });

  test.each([
    ['stored', true],
    ['cold', false],
  ])('If-None-Match on a %s object gives 304 without body', async (_name, isStored) => {
    const { origin, get } = await setUp();
    origin.set('/a', { body, headers: { ...fresh, etag: '"v1"' } });
    if (isStored) await get('/a');
    const got = await get('/a', { 'if-none-match': 'W/"v1"' });
    expect([got.status, got.body.length, got.headers['etag']]).toEqual([304, 0, '"v1"']);
    expect(origin.seen('/a')[0]?.headers['if-none-match']).toBeUndefined();
    expect((await get('/a')).body.equals(body)).toBe(true);
  });

  test.each([
    ['bytes=0-9', 206, 0, 10],
    ['bytes=990-', 206, 990, 1000],
    ['bytes=-5', 206, 995, 1000],
    ['bytes=9-1', 200, 0, 1000],
    ['lines=1-2', 200, 0, 1000],
  ])('%s of a stored and of a cold object: %i', async (range, status, start, end) => {
    const { origin, get } = await setUp();
    for (const path of ['/cold', '/stored']) origin.set(path, { body, headers: fresh });
    await get('/stored');
    for (const path of ['/cold', '/stored']) {
      const got = await get(path, { range });
      expect([path, got.status, got.body.equals(body.subarray(start, end))]).toEqual([path, status, true]);
      expect(got.headers['content-range']).toBe(status === 206 ? `bytes ${start}-${end - 1}/1000` : undefined);
    }
    expect(origin.seen('/cold')).toHaveLength(1);
  });

  test('a range beyond the end gives 416 with the length, stored or cold', async () => {
    const { origin, get } = await setUp();
    origin.set('/a', { body, headers: fresh });
    for (let round = 0; round < 2; round += 1) {
      const got = await get('/a', { range: 'bytes=1000-' });
      expect([got.status, got.headers['content-range'], got.body.length]).toEqual([416, 'bytes */1000', 0]);
      await get('/a');
    }
  });

  test('If-Range with another tag gives the whole', async () => {
    const { origin, get } = await setUp();
    origin.set('/a', { body, headers: { ...fresh, etag: '"v1"' } });
    await get('/a');
    expect((await get('/a', { range: 'bytes=0-1', 'if-range': '"v0"' })).status).toBe(200);
    expect((await get('/a', { range: 'bytes=0-1', 'if-range': '"v1"' })).status).toBe(206);
  });
});

describe('Vary', () => {
  test('each variant is stored apart, and spellings of one meaning share it', async () => {
    const { origin, get } = await setUp();
    origin.set('/a', ({ headers }) => ({
      body: String(headers['accept-encoding'] ?? 'none'),
      headers: { ...fresh, vary: 'Accept-Encoding' },
    }));
    const ask = async (value?: string) =>
      (await get('/a', value === undefined ? {} : { 'accept-encoding': value })).body.toString();
    expect(await ask('gzip, br')).toBe('gzip, br');
    expect(await ask('br,  GZIP')).toBe('gzip, br');
    expect(await ask('identity')).toBe('identity');
    expect(await ask()).toBe('none');
    expect(await ask('gzip,br')).toBe('gzip, br');
    expect(origin.seen('/a')).toHaveLength(3);
  });
});

describe('methods and purge', () => {
  test.each(['POST', 'PUT', 'DELETE', 'PATCH'])('%s passes with its body and invalidates', async (method) => {
    const { origin, get } = await setUp();
    for (const path of ['/a', '/other']) origin.set(path, { body, headers: fresh });
    for (const path of ['/a', '/other']) await get(path);
    origin.set('/a', { status: 200, headers: { location: '/other' } });
    expect((await get('/a', {}, method, 'payload')).status).toBe(200);
    expect(origin.seen('/a').at(-1)).toMatchObject({ method, body: 'payload' });
    for (const path of ['/a', '/other']) await get(path);
    expect([origin.seen('/a').length, origin.seen('/other').length]).toEqual([3, 2]);
  });

  test('an unsafe method that fails invalidates nothing', async () => {
    const { origin, get } = await setUp();
    origin.set('/a', ({ method }) => (method === 'POST' ? { status: 500 } : { body, headers: fresh }));
    await get('/a');
    await get('/a', {}, 'POST', 'x');
    await get('/a');
    expect(origin.seen('/a').map(({ method }) => method)).toEqual(['GET', 'POST']);
  });

  test('purge by URL and prefix removes, a soft one has the origin asked with the validator', async () => {
    const { origin, get, cache } = await setUp();
    for (const path of ['/t/1', '/t/2', '/u/1']) origin.set(path, { body, headers: fresh, etag: '"e"' });
    for (const path of ['/t/1', '/t/2', '/u/1']) await get(path);
    expect(await cache.purge({ url: `http://any/u/1`, soft: true })).toEqual({ objects: 1, fills: 0 });
    expect((await get('/u/1')).headers['cache-status']).toMatch(/fwd=stale; fwd-status=304/);
    expect(await cache.purge({ prefix: '/t/' })).toEqual({ objects: 2, fills: 0 });
    expect(cache.has('/t/1')).toBeUndefined();
    await get('/t/1');
    expect(origin.seen('/t/1').map(({ headers }) => headers['if-none-match'])).toEqual([undefined, undefined]);
    expect(await cache.purge({ url: '/t/9' })).toEqual({ objects: 0, fills: 0 });
  });

  test('pin and has tell of what is stored', async () => {
    const { origin, get, cache } = await setUp();
    origin.set('/a', { body, headers: fresh });
    expect(await cache.pin({ url: '/a' }, true)).toBe(0);
    await get('/a');
    expect(await cache.pin({ prefix: '/' }, true)).toBe(1);
    expect(cache.has('/a')).toMatchObject({ key: 'main /a', sizeBytes: 1000, isPinned: true, purpose: 'viewer' });
  });
});
