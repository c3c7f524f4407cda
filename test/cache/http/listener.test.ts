// The listener itself: malformed requests, limits, the caller's routes, drain, and fills ahead of viewers.
import { connect } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { open } from '../../../cache/cache.ts';
import type { Route } from '../../../cache/contract.ts';
import { type NodeSetup, openNode, readResponse, type TestNode } from './node.ts';

let node: TestNode;
async function setUp(setup?: NodeSetup): Promise<TestNode> {
  node = await openNode(setup);
  return node;
}
afterEach(() => node.close());

const fresh = { 'cache-control': 'max-age=60' };

describe('malformed requests get 400 and a closed connection, and none reaches the origin', () => {
  test.each([
    ['two Hosts', 'GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
    ['Host and target disagree', 'GET http://x.example/a HTTP/1.1\r\nHost: y.example\r\n\r\n'],
    ['GET with a body', 'GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc'],
    ['HTTP/1.0 with Transfer-Encoding', 'POST /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['HTTP/0.9', 'GET /a HTTP/0.9\r\n\r\n'],
    ['a path in Host', 'GET /a HTTP/1.1\r\nHost: a/x\r\n\r\n'],
    ['a fragment', 'GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a dot segment', 'GET /x/../a HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['an encoded dot segment', 'GET /x/%2e%2E/a HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a NUL', 'GET /a%00 HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['no Host', 'GET /a HTTP/1.1\r\n\r\n'],
    [
      'length and chunks',
      'POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['two lengths', 'POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc'],
    ['a space before the colon', 'GET /a HTTP/1.1\r\nHost : a\r\n\r\n'],
    ['a folded field', 'GET /a HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n'],
    ['a long target', `GET /${'a'.repeat(9000)} HTTP/1.1\r\nHost: a\r\n\r\n`],
    ['a large head', `GET /a HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`],
  ])('%s', async (_name, bytes) => {
    const { raw, origin, cache } = await setUp();
    origin.set('/a', { body: 'secret', headers: fresh });
    const answer = await raw(`${bytes}GET /a HTTP/1.1\r\nHost: a\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 4(00|31) /);
    expect(answer.match(/HTTP\/1\.1 /g)).toHaveLength(1);
    expect(origin.seen()).toHaveLength(0);
    expect(cache.stats().malformed).toBe(1);
  });

  test('an absolute target that agrees with Host is served, OPTIONS * goes on', async () => {
    const { raw, origin } = await setUp();
    origin.set('/a', { body: 'ok', headers: fresh });
    const answer = await raw('GET http://Edge.example/a HTTP/1.1\r\nHost: edge.example\r\nConnection: close\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(origin.seen('/a')).toHaveLength(1);
  });
});

describe('routes', () => {
  const echo: Route = {
    prefix: '/.nearcast/',
    methods: ['GET', 'POST'],
    deadlineMs: 1000,
    maxBodyBytes: 16,
    answer: ({ path, query, body, headers, remoteHash }) => ({
      status: 201,
      headers: { 'x-path': path, 'x-hash': String(remoteHash.length) },
      body: `${query.get('q')} ${body.toString()} ${headers['x-one']}`,
    }),
  };

  test('a route answers below its prefix, the longest wins, everything else belongs to the origin', async () => {
    const deep: Route = { ...echo, prefix: '/.nearcast/deep', answer: () => ({ status: 204 }) };
    const root: Route = { ...echo, prefix: '/', answer: () => ({ status: 200, body: 'page' }) };
    const { get, origin } = await setUp({ routes: [echo, deep, root] });
    origin.set('/a', { body: 'from origin', headers: fresh });
    const got = await get('/.nearcast/x?q=1', { 'x-one': 'two' }, 'POST', 'hello');
    expect([got.status, got.headers['x-path'], got.headers['x-hash'], got.body.toString()]).toEqual([
      ...[201, '/.nearcast/x', '22', '1 hello two'],
    ]);
    expect((await get('/.nearcast/deep')).status).toBe(204);
    expect((await get('/')).body.toString()).toBe('page');
    const head = await get('/', {}, 'HEAD');
    expect([head.status, head.headers['content-length'], head.body.length]).toEqual([200, '4', 0]);
    expect((await get('/a')).body.toString()).toBe('from origin');
    expect((await get('/.nearcast/x', {}, 'DELETE')).status).toBe(405);
  });

  test('a body above the limit gets 413, declared or not, and the connection ends', async () => {
    const { get, raw } = await setUp({ routes: [echo] });
    const got = await get('/.nearcast/x', {}, 'POST', 'seventeen bytes..');
    expect([got.status, got.headers.connection]).toEqual([413, 'close']);
    const chunked = 'POST /.nearcast/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n';
    expect(await raw(`${chunked}${'x'.repeat(32)}\r\n0\r\n\r\n`)).toMatch(/^HTTP\/1\.1 413 /);
  });

  test('a route that is late gets 504 and its signal aborts, one that throws 500; both are counted', async () => {
    let isAborted = false;
    const late: Route = {
      ...echo,
      prefix: '/late',
      deadlineMs: 50,
      answer: ({ signal }) =>
        new Promise((resolve) => {
          signal.addEventListener('abort', () => {
            isAborted = true;
            resolve({ status: 200 });
          });
        }),
    };
    const broken: Route = { ...echo, prefix: '/broken', answer: () => Promise.reject(new Error('broken')) };
    const { get, cache } = await setUp({ routes: [late, broken] });
    expect([(await get('/late')).status, (await get('/broken')).status]).toEqual([504, 500]);
    expect([isAborted, cache.stats().routeErrors]).toEqual([true, 2]);
  });
});

describe('fills ahead of viewers', () => {
  const body = Buffer.alloc(300_000, 'segment ');
  const ahead = { priority: 'off-peak', purpose: 'off-peak' } as const;

  test('a prefetch is stored once, and its first viewer makes it useful', async () => {
    const { cache, origin, get, recorded, served } = await setUp();
    origin.set('/a', { body, headers: fresh });
    expect(await cache.fill('/a', { ...ahead, pin: true })).toEqual({ outcome: 'stored', bytes: 300_000, status: 200 });
    expect(await cache.fill('/a', ahead)).toEqual({ outcome: 'already', bytes: 300_000, status: 200 });
    expect(cache.has('/a')).toMatchObject({ isPinned: true, purpose: 'off-peak', hits: 0 });
    await get('/a');
    await get('/a');
    await recorded(2);
    expect(served.map(({ result, prefetched }) => [result, prefetched])).toEqual([
      ['hit', 'off-peak'],
      ['hit', undefined],
    ]);
    const { prefetch, originRequests, originBytes } = cache.stats();
    expect(prefetch).toEqual({
      ...{ storedBytes: 300_000, usefulBytes: 300_000, wastedBytes: 0 },
      offPeak: { usefulBytes: 300_000, wastedBytes: 0 },
    });
    expect([originRequests['off-peak'], originBytes['off-peak'], originRequests.viewer]).toEqual([1, 300_000, 0]);
  });

  test('what may not be stored is refused, what fails says why, no origin says so', async () => {
    const { cache, origin } = await setUp();
    origin.set('/private', { body, headers: { 'cache-control': 'private' } });
    origin.set('/cut', { body, headers: fresh, cutAfterBytes: 1000 });
    origin.set('/error', { status: 503 });
    expect(await cache.fill('/private', ahead)).toEqual({ outcome: 'refused', reason: 'private' });
    expect(await cache.fill('/cut', ahead)).toEqual({ outcome: 'failed', reason: 'CACHE_ORIGIN_CUT' });
    expect(await cache.fill('/error', ahead)).toEqual({ outcome: 'failed', reason: 'CACHE_ORIGIN_STATUS' });
  });

  test('its signal ends it, unless a viewer has joined', async () => {
    const { cache, origin, start } = await setUp();
    const { promise: rest, resolve: release } = Promise.withResolvers<void>();
    for (const path of ['/a', '/b']) {
      origin.set(path, { body, headers: fresh, gates: [{ offset: 1000, until: rest }] });
    }
    const abort = new AbortController();
    const fills = ['/a', '/b'].map((path) => cache.fill(path, { ...ahead, signal: abort.signal }));
    await Promise.all(['/a', '/b'].map((path) => origin.asked(path, 1)));
    const { response } = await start('/b');
    abort.abort();
    expect(await Promise.all(fills)).toEqual(new Array(2).fill({ outcome: 'cancelled', reason: 'signal' }));
    release();
    expect((await readResponse(response)).body.equals(body)).toBe(true);
    while (cache.stats().activeFills > 0) await new Promise(setImmediate);
    expect([cache.has('/a'), cache.has('/b')?.purpose]).toEqual([undefined, 'off-peak']);
    expect(cache.stats().prefetch.usefulBytes).toBe(body.length);
  });

  test('its cap in bytes a second holds', async () => {
    const { cache, origin } = await setUp();
    origin.set('/a', { body, headers: fresh });
    const startedMs = performance.now();
    await cache.fill('/a', { ...ahead, bytesPerSecond: 1_000_000 });
    expect(performance.now() - startedMs).toBeGreaterThan(150);
  });
});

describe('life', () => {
  test('a port that is taken is CACHE_LISTEN_FAILED', async () => {
    const { port, cache } = await setUp();
    await expect(cache.serve({ host: '127.0.0.1', port })).rejects.toThrow();
    const other = await open({
      origins: [{ name: 'o', url: 'http://127.0.0.1:9', match: '/' }],
      store: { ramBytes: 1024, dirs: [], required: false },
      rules: { defaultTtlSeconds: 0, graceSeconds: 0, target: 'x' },
      nodeId: 'n',
      now: Date.now,
      log: () => undefined,
    });
    await expect(other.serve({ host: '127.0.0.1', port })).rejects.toMatchObject({ code: 'CACHE_LISTEN_FAILED' });
    await other.close(0);
  });

  test.each(['ftp://x/', 'nonsense', 'http://user@x/'])('an origin at %s is CACHE_OPTIONS_INVALID', async (url) => {
    await setUp();
    const opening = open({
      origins: [{ name: 'o', url, match: '/' }],
      store: { ramBytes: 1024, dirs: [], required: false },
      rules: { defaultTtlSeconds: 0, graceSeconds: 0, target: 'x' },
      nodeId: 'n',
      now: Date.now,
      log: () => undefined,
    });
    await expect(opening).rejects.toMatchObject({ code: 'CACHE_OPTIONS_INVALID' });
  });

  test('close lets an answer in flight end, takes no new connection, and ends idle ones', async () => {
    const { cache, origin, start, port } = await setUp();
    const { promise: rest, resolve: release } = Promise.withResolvers<void>();
    const body = Buffer.alloc(300_000, 'x');
    origin.set('/a', { body, headers: fresh, gates: [{ offset: 1000, until: rest }] });
    const idle = connect(port, '127.0.0.1');
    idle.write('GET /none HTTP/1.1\r\nHost: a\r\n\r\n');
    await new Promise((resolve) => idle.once('data', resolve));
    const ended = new Promise((resolve) => idle.once('close', resolve));
    const { response } = await start('/a');
    const closing = cache.close(5000);
    await ended;
    await expect(start('/a')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    release();
    expect((await readResponse(response)).body.equals(body)).toBe(true);
    await closing;
  });

  test('close cuts what takes longer than the drain', async () => {
    const { cache, origin, start } = await setUp();
    origin.set('/a', {
      ...{ body: Buffer.alloc(3000), headers: fresh },
      gates: [{ offset: 1000, until: new Promise(() => undefined) }],
    });
    const { response } = await start('/a');
    const read = readResponse(response);
    await cache.close(20);
    expect((await read).isCut).toBe(true);
  });
});
