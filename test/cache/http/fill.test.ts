// One fetch for many viewers, and what happens to them when a viewer, the origin or the bytes go wrong.
import { open as openFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { type NodeSetup, openNode, readResponse, type TestNode } from './node.ts';

let node: TestNode;
async function setUp(setup?: NodeSetup): Promise<TestNode> {
  node = await openNode(setup);
  return node;
}
afterEach(() => node.close());

const MiB = 1024 * 1024;
const body = Buffer.alloc(4 * MiB, 'four mebibytes of segment ');
const fresh = { 'cache-control': 'max-age=60' };

function gate(): { readonly until: Promise<void>; readonly open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { until: promise, open: resolve };
}

describe('coalescing', () => {
  test('50 viewers on one cold object: one fetch, and all have their first bytes before the body ends', async () => {
    const { origin, start, cache } = await setUp();
    const whole = body.subarray(0, 256 * 1024);
    const rest = gate();
    origin.set('/a.m4s', { body: whole, headers: fresh, gates: [{ offset: 1000, until: rest.until }] });
    const leader = await start('/a.m4s');
    const followers = await Promise.all(Array.from({ length: 49 }, () => start('/a.m4s')));
    const all = [leader, ...followers].map(({ response }) => response);
    await Promise.all(all.map((response) => new Promise((resolve) => response.once('readable', resolve))));
    rest.open();
    const read = await Promise.all(all.map(readResponse));
    expect(read.every((got) => !got.isCut && got.body.equals(whole))).toBe(true);
    expect(origin.seen('/a.m4s')).toHaveLength(1);
    expect(followers.every(({ response }) => response.headers['cache-status']?.includes('collapsed'))).toBe(true);
    expect(cache.stats().coalesced).toBe(49);
  });

  test('who comes late gets everything from the start while the body still comes', async () => {
    const { origin, start } = await setUp();
    const half = gate();
    origin.set('/a', { body, headers: fresh, gates: [{ offset: 2 * MiB, until: half.until }] });
    const leader = await start('/a');
    const read = readResponse(leader.response);
    const late = await start('/a');
    await new Promise((resolve) => late.response.once('readable', resolve));
    half.open();
    const [first, second] = await Promise.all([read, readResponse(late.response)]);
    expect([first.body.equals(body), second.body.equals(body), origin.seen('/a').length]).toEqual([true, true, 1]);
  });

  test('an answer for one viewer only is given to no other', async () => {
    const { origin, get } = await setUp();
    const head = gate();
    let count = 0;
    origin.set('/me', () => {
      count += 1;
      return {
        body: `viewer ${count}`,
        headers: { 'cache-control': 'private' },
        ...(count === 1 && { headAfter: head.until }),
      };
    });
    const first = get('/me');
    await origin.asked('/me', 1);
    const others = [get('/me'), get('/me'), get('/me')];
    head.open();
    const bodies = (await Promise.all([first, ...others])).map((got) => got.body.toString());
    expect(new Set(bodies).size).toBe(4);
  });

  test('viewers of different variants who meet at a cold key each get their own', async () => {
    const { origin, get } = await setUp();
    const head = gate();
    origin.set('/v', ({ headers }) => ({
      body: String(headers['accept-language']),
      headers: { ...fresh, vary: 'accept-language' },
      headAfter: head.until,
    }));
    const asked = ['de', 'en', 'de', 'fr', 'en'].map((language) => get('/v', { 'accept-language': language }));
    await origin.asked('/v', 1);
    head.open();
    const got = (await Promise.all(asked)).map((each) => each.body.toString());
    expect(got).toEqual(['de', 'en', 'de', 'fr', 'en']);
  });
});

describe('viewers who leave', () => {
  test('the leader leaves before the head: the follower gets the whole from the same fetch', async () => {
    const { origin, get, port } = await setUp();
    const head = gate();
    origin.set('/a', { body, headers: fresh, headAfter: head.until });
    const { request } = await import('node:http');
    const leader = request({ port, path: '/a', host: '127.0.0.1', agent: false });
    leader.on('error', () => undefined);
    leader.end();
    await origin.asked('/a', 1);
    const follower = get('/a');
    while (node.cache.stats().coalesced === 0) await new Promise(setImmediate);
    leader.destroy();
    await node.recorded(1);
    head.open();
    expect((await follower).body.equals(body)).toBe(true);
    expect(origin.seen('/a')).toHaveLength(1);
  });

  test.each([
    ['less than half is there: the fetch ends and nothing is stored', 1 * MiB, false],
    ['more than half is there: the fetch goes on and is stored', 3 * MiB, true],
  ])('the only viewer leaves when %s', async (_name, offset, isStored) => {
    const { origin, start, cache } = await setUp();
    const rest = gate();
    origin.set('/a', { body, headers: fresh, gates: [{ offset, until: rest.until }] });
    const { request, response } = await start('/a');
    let size = 0;
    await new Promise<void>((resolve) => {
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size === offset) resolve();
      });
    });
    request.destroy();
    await node.recorded(1);
    rest.open();
    while (cache.stats().activeFills > 0) await new Promise(setImmediate);
    expect(cache.has('/a') !== undefined).toBe(isStored);
    expect(node.served[0]).toMatchObject({ isComplete: false, bytes: offset });
  });

  test.each([
    ['a range', { range: 'bytes=10-19' }, 206],
    ['a 304', { 'if-none-match': '"e"' }, 304],
  ])('a cold object of which a viewer got %s is fetched whole behind it', async (_name, headers, status) => {
    const { origin, get, cache } = await setUp();
    const rest = gate();
    origin.set('/a', { body, headers: { ...fresh, etag: '"e"' }, gates: [{ offset: MiB, until: rest.until }] });
    expect((await get('/a', headers)).status).toBe(status);
    await node.recorded(1);
    rest.open();
    while (cache.stats().activeFills > 0) await new Promise(setImmediate);
    expect((await get('/a')).body.equals(body)).toBe(true);
    expect(origin.seen('/a')).toHaveLength(1);
  });

  test('a viewer who does not read holds up nobody', async () => {
    const { origin, start, get } = await setUp();
    const large = Buffer.alloc(40 * MiB, 'forty mebibytes ');
    origin.set('/large', { body: large, headers: fresh, etag: '"e"', hasRanges: true });
    const slow = await start('/large');
    const got = await get('/large');
    expect(got.body.equals(large)).toBe(true);
    // The slow one goes on where it stopped, by a range of its own if its bytes are no longer there.
    const read = await readResponse(slow.response);
    expect([read.isCut, read.body.equals(large)]).toEqual([false, true]);
  });
});

describe('an origin that lies or breaks', () => {
  test.each([
    ['a body shorter than its length', { body, claimedLength: body.length, cutAfterBytes: MiB }],
    ['a chunked body without its last chunk', { body, isChunked: true, cutAfterBytes: MiB }],
  ])('%s: the connection ends as incomplete and nothing is stored', async (_name, answer) => {
    const { origin, get, cache } = await setUp();
    origin.set('/a', { headers: fresh, ...answer });
    const got = await get('/a');
    expect([got.status, got.isCut]).toEqual([200, true]);
    expect(cache.has('/a')).toBeUndefined();
    origin.set('/a', { body, headers: fresh });
    expect((await get('/a')).body.equals(body)).toBe(true);
  });

  test.each([
    ['206 without Range', 'HTTP/1.1 206 OK\r\ncontent-range: bytes 0-1/5\r\ncontent-length: 2\r\n\r\nab'],
    ['304 without a condition', 'HTTP/1.1 304 Not Modified\r\netag: "x"\r\n\r\n'],
    ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc'],
    ['a head without end', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(70_000)}`],
  ])('%s: 502 with Cache-Status, nothing stored', async (_name, raw) => {
    const { origin, get, cache } = await setUp();
    origin.set('/a', { raw });
    const got = await get('/a');
    expect(got.status).toBe(502);
    expect(got.headers['cache-status']).toMatch(/^edge-test; fwd=uri-miss; detail=CACHE_ORIGIN_/);
    expect(cache.has('/a')).toBeUndefined();
  });

  test('a body that only the end of the connection delimits goes through and is not stored', async () => {
    const { origin, get, cache } = await setUp();
    origin.set('/a', { raw: 'HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\nconnection: close\r\n\r\nwhole or cut?' });
    const got = await get('/a');
    expect([got.status, got.body.toString()]).toEqual([200, 'whole or cut?']);
    expect(cache.has('/a')).toBeUndefined();
  });

  test('a reused connection that is gone is tried once more on a new one', async () => {
    const { origin, get } = await setUp();
    let count = 0;
    origin.set('/a', () => {
      count += 1;
      return count === 1 ? { raw: '' } : { body, headers: fresh };
    });
    expect((await get('/a')).status).toBe(200);
    expect(origin.seen('/a')).toHaveLength(2);
  });

  test('no origin: 502; a black hole: 504 in its time, and everybody who waited is released', async () => {
    const { origin, get, cache } = await setUp({ origin: { firstByteTimeoutMs: 150 } });
    origin.set('/hole', { isBlackHole: true });
    const all = await Promise.all(Array.from({ length: 10 }, () => get('/hole')));
    expect(all.map(({ status }) => status)).toEqual(new Array(10).fill(504));
    expect(origin.seen('/hole')).toHaveLength(1);
    expect(cache.stats().activeFills).toBe(0);
    await origin.close();
    const got = await get('/gone');
    expect([got.status, got.headers['cache-control']]).toEqual([502, 'no-store']);
  });

  test('a stalled body ends after the idle time as incomplete', async () => {
    const { origin, get } = await setUp({ origin: { idleTimeoutMs: 300 } });
    origin.set('/a', { body, headers: fresh, gates: [{ offset: MiB, until: new Promise(() => undefined) }] });
    const got = await get('/a');
    expect([got.isCut, got.body.length]).toEqual([true, MiB]);
  });

  test('after failures in a row the origin is left alone, then probed by one request', async () => {
    const { origin, get, passSeconds } = await setUp();
    origin.set('/a', { status: 503 });
    for (let round = 0; round < 12; round += 1) await get('/a');
    const asked = origin.seen('/a').length;
    expect(asked).toBe(8);
    expect((await get('/a')).headers['cache-status']).toContain('CACHE_ORIGIN_OPEN');
    passSeconds(2);
    origin.set('/a', { body, headers: fresh });
    expect((await get('/a')).status).toBe(200);
    expect(origin.seen('/a')).toHaveLength(asked + 1);
  });
});

describe('a disk that lies or is gone', () => {
  test('a flipped byte is noticed, fetched anew, and no viewer gets it', async () => {
    const { origin, get, cache, directory } = await setUp({ ramBytes: MiB });
    origin.set('/a', { body, headers: fresh, etag: '"e"', hasRanges: true });
    await get('/a');
    expect((await get('/a')).body.equals(body)).toBe(true);
    const names = await readdir(directory, { recursive: true, withFileTypes: true });
    for (const entry of names.filter((each) => each.isFile())) {
      const file = await openFile(join(entry.parentPath, entry.name), 'r+');
      if ((await file.stat()).size === body.length) await file.write(Buffer.from([255]), 0, 1, 3 * MiB);
      await file.close();
    }
    const got = await get('/a');
    expect([got.isCut, got.body.equals(body)]).toEqual([false, true]);
    expect(cache.stats().store.corruptBlocks).toBe(1);
    expect(origin.seen('/a')[1]?.headers.range).toBe(`bytes=${3 * MiB}-${4 * MiB - 1}`);
    expect((await get('/a')).body.equals(body)).toBe(true);
  });

  test('without any room to store, every viewer still gets every byte', async () => {
    const { origin, get, cache, directory } = await setUp({ ramBytes: MiB });
    await rm(directory, { recursive: true });
    origin.set('/a', { body, headers: fresh });
    for (let round = 0; round < 3; round += 1) {
      const got = await get('/a');
      expect([got.status, got.isCut, got.body.equals(body)]).toEqual([200, false, true]);
    }
    while (cache.stats().activeFills > 0) await new Promise(setImmediate);
  });
});

describe('stale', () => {
  test('stale-while-revalidate: the stale one at once, one revalidation behind, then the new one', async () => {
    const { origin, get, passSeconds, cache } = await setUp();
    const headers = { 'cache-control': 'max-age=10, stale-while-revalidate=30' };
    origin.set('/a', { body: 'old', headers });
    await get('/a');
    passSeconds(11);
    const head = gate();
    origin.set('/a', { body: 'new', headers, headAfter: head.until });
    const stale = await Promise.all([get('/a'), get('/a')]);
    expect(stale.map((got) => got.body.toString())).toEqual(['old', 'old']);
    expect(stale[0]?.headers['cache-status']).toBe('edge-test; hit; ttl=-1');
    head.open();
    while (cache.stats().activeFills > 0) await new Promise(setImmediate);
    expect((await get('/a')).body.toString()).toBe('new');
    expect(origin.seen('/a')).toHaveLength(2);
  });

  test.each([
    ['a 503', { status: 503 }],
    ['a cut connection', { raw: '' }],
  ])('stale-if-error: %s brings the stale one', async (_name, broken) => {
    const { origin, get, passSeconds } = await setUp();
    origin.set('/a', { body: 'old', headers: { 'cache-control': 'max-age=10, stale-if-error=30' } });
    await get('/a');
    passSeconds(11);
    origin.set('/a', broken);
    const got = await get('/a');
    expect([got.status, got.body.toString()]).toEqual([200, 'old']);
    expect(got.headers['cache-status']).toContain('detail=stale-if-error');
    passSeconds(30);
    expect((await get('/a')).status).toBeGreaterThanOrEqual(502);
  });

  test('graceSeconds serves what says nothing, must-revalidate forbids it', async () => {
    const { origin, get, passSeconds } = await setUp({ rules: { graceSeconds: 60 } });
    origin.set('/free', { body: 'x', headers: { 'cache-control': 'max-age=1' } });
    origin.set('/strict', { body: 'x', headers: { 'cache-control': 'max-age=1, must-revalidate' } });
    for (const path of ['/free', '/strict']) await get(path);
    passSeconds(5);
    await origin.close();
    expect((await get('/free')).status).toBe(200);
    expect((await get('/strict')).status).toBe(502);
  });

  test('a 304 renews the stored head and keeps the bytes; another tag fetches anew', async () => {
    const { origin, get, passSeconds } = await setUp();
    origin.set('/a', { body, headers: { ...fresh, 'x-count': '1' }, etag: '"v1"' });
    await get('/a');
    passSeconds(61);
    origin.set('/a', { headers: { ...fresh, 'x-count': '2' }, etag: '"v1"' });
    const renewed = await get('/a');
    expect([renewed.body.equals(body), renewed.headers['x-count'], renewed.status]).toEqual([true, '2', 200]);
    expect((await get('/a')).headers['cache-status']).toContain('hit');
    passSeconds(61);
    let count = 0;
    origin.set('/a', () => {
      count += 1;
      return count === 1 ? { status: 304, headers: { etag: '"other"' } } : { body: 'anew', headers: fresh };
    });
    expect((await get('/a')).body.toString()).toBe('anew');
  });
});
