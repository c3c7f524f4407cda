// Ranges of objects that are not stored whole: what the origin is asked for, what viewers get, and what goes wrong.
import { describe, expect, test } from 'vitest';
import { readMultipart } from '../multipart.ts';
import { blocks, body, expectPart, fresh, large, MiB, other, part } from './blocks.ts';
import { type Got, readResponse } from './node.ts';
import { node, rangesOf, settled, setUp } from './one-node.ts';

describe('only what is needed is asked for', () => {
  test('a probe costs one block; the same block again costs nothing', async () => {
    const { origin, get } = await setUp();
    origin.set('/a', large);
    const first = await get('/a', part(0, 2));
    expectPart(first, 0, 2);
    expect(first.headers['cache-status']).toBe('edge-test; fwd=uri-miss; fwd-status=206; ttl=60; stored');
    await settled();
    const again = await get('/a', part(500_000, 1_000_000));
    expectPart(again, 500_000, 1_000_000);
    expect(again.headers['cache-status']).toMatch(/^edge-test; hit; ttl=/);
    expect([rangesOf(), origin.askedBytes('/a')]).toEqual([[blocks(0, 1)], MiB]);
    expect(node.served.map(({ result }) => result)).toEqual(['miss', 'hit']);
  });

  test('a range over blocks of which some are there: the missing runs, each once', async () => {
    const { origin, get } = await setUp();
    origin.set('/a', large);
    expectPart(await get('/a', part(3 * MiB + 5, 3 * MiB + 6)), 3 * MiB + 5, 3 * MiB + 6);
    await settled();
    const got = await get('/a', part(MiB + 1, 5 * MiB - 1));
    expectPart(got, MiB + 1, 5 * MiB - 1);
    expect(got.headers['cache-status']).toMatch(/^edge-test; fwd=partial; ttl=\d+; stored$/);
    await settled();
    // Two blocks ahead of who reads on.
    expect(rangesOf()).toEqual([blocks(3, 4), blocks(1, 3), blocks(4, 5), blocks(5, 7)]);
  });

  test('who plays from start to end by ranges: every block once, at most 1.1 times the bytes', async () => {
    const { origin, get } = await setUp();
    origin.set('/a', large);
    for (let start = 0; start < body.length; start += 700_000) {
      const end = Math.min(body.length, start + 700_000);
      expectPart(await get('/a', part(start, end)), start, end);
    }
    await settled();
    expect(origin.askedBytes('/a')).toBe(body.length);
    expect(origin.askedBytes('/a')).toBeLessThanOrEqual(body.length * 1.1);
  });

  test('a seek reads nothing ahead, going on from there does', async () => {
    const { origin, get } = await setUp();
    origin.set('/a', large);
    await get('/a', part(4 * MiB, 4 * MiB + 100));
    await settled();
    expect(rangesOf()).toEqual([blocks(4, 5)]);
    await get('/a', part(5 * MiB, 5 * MiB + 100));
    await settled();
    expect(rangesOf()).toEqual([blocks(4, 5), blocks(5, 6), blocks(6, 8)]);
  });

  test.each([
    ['an open range', { range: `bytes=${8 * MiB + 7}-` }, [`bytes=${8 * MiB}-${16 * MiB - 1}`]],
    ['a suffix', { range: 'bytes=-100' }, [blocks(0, 1), blocks(9, 10)]],
    ['several ranges', { range: `bytes=0-99,${7 * MiB}-${7 * MiB + 9}` }, [blocks(0, 1), blocks(7, 8)]],
  ])('%s of a cold object', async (_name, headers, asked) => {
    const { origin, get } = await setUp();
    origin.set('/a', large);
    const got = await get('/a', headers);
    expect([got.status, got.isCut]).toEqual([206, false]);
    await settled();
    expect(rangesOf()).toEqual(asked);
    await node.cache.fill('/a', { priority: 'viewer', purpose: 'operator' });
    const expected = await get('/a', headers);
    const read = (each: Got) =>
      each.headers['content-type']?.startsWith('multipart')
        ? readMultipart(each.headers['content-type'], each.body).map(({ start, end, bytes }) => ({ start, end, bytes }))
        : each.body;
    expect(read(got)).toEqual(read(expected));
  });

  test('an object within one block becomes a whole one, without any tag', async () => {
    const { origin, get } = await setUp();
    const small = body.subarray(0, MiB - 1);
    origin.set('/a', { body: small, headers: fresh, hasRanges: true });
    expectPart(await get('/a', part(10, 20)), 10, 20, small);
    await settled();
    const whole = await get('/a');
    expect([whole.status, whole.body.equals(small), whole.headers['content-range']]).toEqual([200, true, undefined]);
    expect(whole.headers['cache-status']).toMatch(/hit/);
    expect(origin.seen('/a')).toHaveLength(1);
  });

  test('an origin without ranges: its 200 is the whole, in the same fetch', async () => {
    const { origin, get } = await setUp();
    const all = body.subarray(0, 3 * MiB);
    origin.set('/a', { ...large, body: all, hasRanges: false });
    expectPart(await get('/a', part(10, 20)), 10, 20, all);
    await settled();
    expect((await get('/a')).body.equals(all)).toBe(true);
    expect(origin.seen('/a')).toHaveLength(1);
  });

  test('all of it: what is there is served, what is missing fetched, and HEAD and conditions are answered', async () => {
    const { origin, get } = await setUp();
    origin.set('/a', large);
    await get('/a', part(2 * MiB, 3 * MiB));
    await settled();
    const head = await get('/a', {}, 'HEAD');
    expect([head.status, head.headers['content-length'], head.headers[':total']]).toEqual([
      200,
      String(body.length),
      undefined,
    ]);
    expect((await get('/a', { 'if-none-match': '"v1"' })).status).toBe(304);
    expect((await get('/a', { ...part(0, 9), 'if-range': '"v1"' })).status).toBe(206);
    const whole = await get('/a', { ...part(0, 9), 'if-range': '"v0"' });
    expect([whole.status, whole.isCut, whole.body.equals(body)]).toEqual([200, false, true]);
    await settled();
    expect(origin.askedBytes('/a')).toBe(body.length);
    expect((await get('/a')).headers['cache-status']).toMatch(/hit/);
    expect((await get('/a', { range: `bytes=${body.length}-` })).status).toBe(416);
    expect(origin.seen('/a').every(({ method }) => method === 'GET')).toBe(true);
  });
});

describe('coalescing', () => {
  test('many viewers on one range: one fetch, and bytes before the block ends', async () => {
    const { origin, start } = await setUp();
    const rest = Promise.withResolvers<void>();
    origin.set('/a', { ...large, gates: [{ offset: 1000, until: rest.promise }] });
    const leader = await start('/a', part(0, 2 * MiB));
    const followers = await Promise.all(Array.from({ length: 20 }, () => start('/a', part(100, 2 * MiB))));
    const all = [leader, ...followers].map(({ response }) => response);
    await Promise.all(all.map((response) => new Promise((resolve) => response.once('readable', resolve))));
    rest.resolve();
    const read = await Promise.all(all.map(readResponse));
    expect(read[0]?.body.equals(body.subarray(0, 2 * MiB))).toBe(true);
    expect(read.slice(1).every((got) => !got.isCut && got.body.equals(body.subarray(100, 2 * MiB)))).toBe(true);
    expect(rangesOf().filter((range) => range === blocks(0, 2))).toHaveLength(1);
    expect(node.cache.stats().coalesced).toBe(20);
    expect(followers.every(({ response }) => response.headers['cache-status']?.includes('; collapsed'))).toBe(true);
  });

  test('an answer for one viewer only: each gets its own, by its own range', async () => {
    const { origin, get } = await setUp();
    origin.set('/a', { ...large, headers: { 'cache-control': 'private' } });
    for (const got of await Promise.all([1, 2, 3].map(() => get('/a', part(5, 9))))) expectPart(got, 5, 9);
    expect(rangesOf().filter((range) => range === 'bytes=5-8')).toHaveLength(3);
    expect(node.cache.has('/a')).toBeUndefined();
  });

  test.each([
    [{ authorization: 'Basic eDp5' }, 'max-age=60'],
    [{ cookie: 'viewer=1' }, 'private'],
  ])('what %j brings changes nothing for others', async (credentials, control) => {
    const { origin, get } = await setUp();
    origin.set('/a', ({ headers }) => {
      const isKnown = headers.authorization !== undefined || headers.cookie !== undefined;
      return { ...large, headers: { 'cache-control': isKnown ? control : 'max-age=60' } };
    });
    expectPart(await get('/a', { ...part(5, 9), ...credentials }), 5, 9);
    for (let round = 0; round < 2; round += 1) {
      expectPart(await get('/a', part(5, 9)), 5, 9);
      await settled();
    }
    expect(rangesOf()).toEqual([blocks(0, 1), 'bytes=5-8', blocks(0, 1)]);
  });

  test('variants are kept apart, even under one tag', async () => {
    const { origin, get } = await setUp();
    const bodies: Record<string, Buffer> = { de: body, en: other };
    origin.set('/a', ({ headers }) => ({
      ...large,
      body: bodies[String(headers['accept-language'])] ?? body,
      headers: { ...fresh, vary: 'accept-language' },
    }));
    for (let round = 0; round < 2; round += 1) {
      for (const language of ['de', 'en']) {
        const got = await get('/a', { ...part(MiB, MiB + 100), 'accept-language': language });
        expectPart(got, MiB, MiB + 100, bodies[language]);
      }
      await settled();
    }
    expect(rangesOf()).toEqual([blocks(1, 2), blocks(1, 2)]);
  });
});

describe('freshness', () => {
  test('a stale head with the part there: one 304 renews it for all blocks', async () => {
    const { origin, get, passSeconds } = await setUp();
    origin.set('/a', large);
    for (const block of [0, 2]) await get('/a', part(block * MiB, block * MiB + 9));
    await settled();
    passSeconds(61);
    const renewed = await get('/a', part(5, 9));
    expectPart(renewed, 5, 9);
    expect(renewed.headers['cache-status']).toMatch(/^edge-test; fwd=stale; fwd-status=304; ttl=60$/);
    expect(origin.seen('/a').at(-1)?.headers['if-none-match']).toBe('"v1"');
    expect((await get('/a', part(2 * MiB, 2 * MiB + 9))).headers['cache-status']).toMatch(/hit/);
    expect(origin.seen('/a')).toHaveLength(3);
  });

  test('a stale head with a block missing: the block tells that the others still hold', async () => {
    const { origin, get, passSeconds } = await setUp();
    origin.set('/a', large);
    await get('/a', part(0, 9));
    await settled();
    passSeconds(61);
    expectPart(await get('/a', part(MiB - 5, MiB + 5)), MiB - 5, MiB + 5);
    await settled();
    expect((await get('/a', part(0, 9))).headers['cache-status']).toMatch(/hit/);
    expect(rangesOf().slice(0, 2)).toEqual([blocks(0, 1), blocks(1, 2)]);
    expect(origin.seen('/a')[1]?.headers['if-none-match']).toBeUndefined();
  });

  test('stale-while-revalidate: the part at once, one question behind', async () => {
    const { origin, get, passSeconds } = await setUp();
    origin.set('/a', { ...large, headers: { 'cache-control': 'max-age=60, stale-while-revalidate=60' } });
    await get('/a', part(0, 9));
    await settled();
    passSeconds(61);
    expect((await get('/a', part(0, 9))).headers['cache-status']).toBe('edge-test; hit; ttl=-1');
    await settled();
    expect((await get('/a', part(0, 9))).headers['cache-status']).toBe('edge-test; hit; ttl=60');
    expect(origin.seen('/a').map(({ headers }) => headers['if-none-match'])).toEqual([undefined, '"v1"']);
  });

  test('an origin that fails: what is there is served where that is allowed, what is not there is an error', async () => {
    const { origin, get, passSeconds } = await setUp();
    origin.set('/a', { ...large, headers: { 'cache-control': 'max-age=60, stale-if-error=600' } });
    await get('/a', part(0, 9));
    await settled();
    passSeconds(61);
    origin.set('/a', { status: 503 });
    const got = await get('/a', part(0, 9));
    expectPart(got, 0, 9);
    expect(got.headers['cache-status']).toContain('detail=stale-if-error');
    expect((await get('/a', part(5 * MiB, 5 * MiB + 9))).status).toBe(502);
    expect((await get('/a', { ...part(5 * MiB, 5 * MiB + 9), 'cache-control': 'only-if-cached' })).status).toBe(504);
  });

  test.each([
    ['purged', false],
    ['purged softly', true],
  ])('%s: no block is used any more without the origin', async (_name, soft) => {
    const { origin, get, cache } = await setUp();
    origin.set('/a', large);
    await get('/a', part(0, 9));
    await settled();
    expect(cache.has('/a')?.sizeBytes).toBe(MiB);
    expect(cache.explain('/a')?.variants).toMatchObject([{ sizeBytes: body.length, storedBytes: MiB, status: 200 }]);
    expect(await cache.purge({ prefix: '/', soft })).toMatchObject({ objects: 1 });
    origin.set('/a', { ...large, body: other, etag: '"v2"' });
    expectPart(await get('/a', part(0, 9)), 0, 9, other);
    await settled();
    expect(await cache.purge({ url: '/a' })).toMatchObject({ objects: 1 });
    expect([cache.has('/a'), cache.stats().store.objects]).toEqual([undefined, 0]);
  });

  test('a fill ahead brings all of it', async () => {
    const { origin, get, cache } = await setUp();
    origin.set('/a', large);
    await get('/a', part(0, 9));
    await settled();
    const outcome = await cache.fill('/a', { priority: 'off-peak', purpose: 'off-peak' });
    expect(outcome).toMatchObject({ outcome: 'stored', bytes: body.length });
    expect((await get('/a')).body.equals(body)).toBe(true);
    expect(origin.seen('/a')).toHaveLength(2);
  });
});
