// An origin of two servers whose first goes wrong: who is asked next and when, what is never repeated, how a broken body is
// gone on with, and how the first is taken back.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { OriginOptions } from '../../../cache/contract.ts';
import { type Answer, type FakeOrigin, openFakeOrigin, type Seen } from '../../fake/origin.ts';
import { until } from '../until.ts';
import { type NodeSetup, openNode, type TestNode } from './node.ts';

const PART = 256 * 1024;
const fresh = { 'cache-control': 'max-age=600' };
const body = Buffer.alloc(4 * PART, 'one mebibyte of a segment ');
/** Nobody listens there. */
const REFUSED = 'http://127.0.0.1:1';

let node: TestNode;
let second: FakeOrigin;
beforeEach(async () => {
  second = await openFakeOrigin();
});
afterEach(async () => {
  await node.close();
  await second.close();
});

async function setUp(origin: Partial<OriginOptions> = {}, setup: NodeSetup = {}): Promise<TestNode> {
  node = await openNode({ isClockStill: true, ...setup, origin: { backups: [second.url], ...origin } });
  return node;
}
const stats = () => node.cache.stats().origins[0];
const retries = () => stats()?.retries;
/** Breaker of the first server. */
const breaker = () => stats()?.servers[0]?.breaker;
const paths = (count: number, name: string) => Array.from({ length: count }, (_, index) => `/${name}-${index}`);
describe('row 20: the first server refuses connections', () => {
  test('every viewer is served by the second; once the breaker is open, without asking the first', async () => {
    const { get, cache } = await setUp({ url: REFUSED });
    for (const path of paths(12, 'key')) {
      second.set(path, { body: path, headers: fresh });
      const got = await get(path);
      expect([got.status, got.body.toString()]).toEqual([200, path]);
    }
    expect(stats()?.servers).toEqual([
      { server: '127.0.0.1:1', isUp: false, breaker: 'open', requests: 8, failures: 8 },
      { server: `127.0.0.1:${second.port}`, isUp: true, breaker: 'closed', requests: 12, failures: 0 },
    ]);
    expect(retries()).toEqual({ repeat: 0, failover: 8, resume: 0, denied: 0 });
    expect(cache.stats().originErrors).toBe(8);
  });

  test('a whole crowd at once is served: going on to a server that is well takes nothing from the budget', async () => {
    const { get } = await setUp({ url: REFUSED });
    for (const path of paths(60, 'key')) second.set(path, { body: path, headers: fresh });
    const got = await Promise.all(paths(60, 'key').map((path) => get(path)));
    expect(got.map(({ status }) => status)).toEqual(got.map(() => 200));
    expect(retries()?.denied).toBe(0);
  });

  test('what is not safe is not repeated, and goes to the second once the first is known to be out', async () => {
    const { get } = await setUp({ url: REFUSED });
    second.set('/form', { body: 'taken' });
    for (let round = 0; round < 8; round += 1) expect((await get('/form', {}, 'POST', 'x')).status).toBe(502);
    expect(second.seen()).toHaveLength(0);
    expect((await get('/form', {}, 'POST', 'x')).body.toString()).toBe('taken');
    expect(second.seen('/form')).toHaveLength(1);
  });

  test('a HEAD and a GET that passes are repeated', async () => {
    const { get } = await setUp({ url: REFUSED });
    second.set('/a', { body: 'abc', headers: fresh });
    expect((await get('/a', {}, 'HEAD')).status).toBe(200);
    expect((await get('/a', { 'if-match': '"x"' })).body.toString()).toBe('abc');
  });

  test('and so does the second: stale where that is allowed, else 502; fills ahead stop', async () => {
    const { origin, get, cache, passSeconds } = await setUp({});
    origin.set('/stale', { body: 'old', headers: { 'cache-control': 'max-age=10, stale-if-error=600' } });
    await get('/stale');
    passSeconds(11);
    await origin.close();
    await second.close();
    expect((await get('/stale')).body.toString()).toBe('old');
    for (const path of paths(20, 'key')) expect((await get(path)).status).toBe(502);
    const requests = stats()?.servers.map((server) => server.requests) ?? [];
    const filled = await cache.fill('/ahead', { priority: 'off-peak', purpose: 'off-peak' });
    expect(filled).toEqual({ outcome: 'failed', reason: 'CACHE_ORIGIN_OPEN' });
    expect((await get('/stale')).body.toString()).toBe('old');
    expect(stats()?.servers.map(({ breaker: state }) => state)).toEqual(['open', 'open']);
    expect(Math.max(...requests)).toBeLessThan(10);
    second = await openFakeOrigin();
  });
});

describe('the first server answers', () => {
  test.each([502, 503, 504])('%d: another that is well is asked', async (status) => {
    const { origin, get } = await setUp();
    origin.set('/a', { status, body: 'away' });
    second.set('/a', { body: 'here', headers: fresh });
    const got = await get('/a');
    expect([got.status, got.body.toString(), retries()?.failover]).toEqual([200, 'here', 1]);
  });

  test.each([500, 404, 429])('%d: that is the answer', async (status) => {
    const { origin, get } = await setUp();
    origin.set('/a', { status, body: 'mine' });
    expect((await get('/a')).body.toString()).toBe('mine');
    expect(second.seen()).toHaveLength(0);
  });

  test('503, and the second too: the viewer gets it, and each was asked once', async () => {
    const { origin, get } = await setUp();
    for (const each of [origin, second]) each.set('/a', { status: 503, body: 'away' });
    const got = await get('/a');
    expect([got.status, got.body.toString()]).toEqual([503, 'away']);
    expect([origin.seen('/a').length, second.seen('/a').length]).toEqual([1, 1]);
  });

  test('503 to a POST: that is the answer', async () => {
    const { origin, get } = await setUp();
    origin.set('/a', { status: 503, body: 'away' });
    expect((await get('/a', {}, 'POST', 'x')).status).toBe(503);
    expect(second.seen()).toHaveLength(0);
  });
});

describe('row 23: the first server is a black hole', () => {
  test('all who wait are served by the second within the one deadline; the hole is asked once for them', async () => {
    const { origin, get } = await setUp({ firstByteTimeoutMs: 800 });
    origin.set('/a', { isBlackHole: true });
    second.set('/a', { body: 'here', headers: fresh });
    const got = await Promise.all(Array.from({ length: 10 }, () => get('/a')));
    expect(got.map(({ status }) => status)).toEqual(got.map(() => 200));
    expect(Math.max(...got.map(({ firstByteMs }) => firstByteMs))).toBeGreaterThanOrEqual(390);
    expect(origin.seen('/a')).toHaveLength(1);
  });

  test('and so is the second: 504 when the deadline is over, not twice as late', async () => {
    const { origin, get } = await setUp({ firstByteTimeoutMs: 600 });
    for (const each of [origin, second]) each.set('/a', { isBlackHole: true });
    const startedMs = performance.now();
    expect((await get('/a')).status).toBe(504);
    const ms = performance.now() - startedMs;
    expect(ms).toBeGreaterThanOrEqual(590);
    expect(second.seen('/a')).toHaveLength(1);
    expect(ms).toBeLessThan(1100);
  });

  test('once it is left alone, its probes cost no viewer any time', async () => {
    const { origin, get, passSeconds } = await setUp();
    origin.set('/down', { status: 503 });
    second.set('/down', { body: 'here' });
    for (let round = 0; round < 8; round += 1) await get('/down');
    expect(breaker()).toBe('open');
    passSeconds(2);
    origin.set('/a', { isBlackHole: true });
    second.set('/a', { body: 'here', headers: fresh });
    // The hole's share of the deadline would be 5 s.
    const got = await get('/a');
    expect([got.body.toString(), got.firstByteMs < 4000]).toEqual(['here', true]);
    await origin.asked('/a', 1);
    second.set('/form', { body: 'taken' });
    expect((await get('/form', {}, 'POST', 'x')).body.toString()).toBe('taken');
    expect(origin.seen().length).toBe(9);
  });

  test('what cannot be repeated has the whole deadline', async () => {
    const { origin, get } = await setUp({ firstByteTimeoutMs: 600 });
    const late = new Promise((resolve) => setTimeout(resolve, 400));
    origin.set('/a', { body: 'late', headAfter: late });
    expect((await get('/a', {}, 'POST', 'x')).body.toString()).toBe('late');
  });
});

describe('row 21: the body breaks in its middle', () => {
  const whole: Answer = { body, headers: fresh, etag: '"1"', hasRanges: true };
  const broken: Answer = { ...whole, cutAfterBytes: PART };

  test('the second goes on with it: the viewer and the store get every byte', async () => {
    const { origin, get, cache } = await setUp();
    origin.set('/a', broken);
    second.set('/a', whole);
    const got = await get('/a');
    expect([got.status, got.isCut, got.body.equals(body)]).toEqual([200, false, true]);
    expect(second.seen('/a')[0]?.headers).toMatchObject({ 'if-range': '"1"' });
    expect(second.seen('/a')[0]?.headers.range).toMatch(/^bytes=\d+-1048575$/);
    await until(() => cache.has('/a') !== undefined);
    expect((await get('/a')).body.equals(body)).toBe(true);
    expect(retries()).toEqual({ repeat: 0, failover: 0, resume: 1, denied: 0 });
  });

  test('so does the first itself where it is alone', async () => {
    const { origin, get } = await setUp({ backups: [] });
    origin.set('/a', (request) => (request.headers.range === undefined ? broken : whole));
    const got = await get('/a');
    expect([got.isCut, got.body.equals(body), origin.seen('/a').length]).toEqual([false, true, 2]);
  });

  test('so does a part that was asked for, and a body that trickles (row 24)', async () => {
    const { origin, get } = await setUp({ idleTimeoutMs: 200 });
    const part = { range: 'bytes=1000-900999', 'if-match': '"1"' };
    origin.set('/part', { ...whole, cutAfterBytes: PART });
    second.set('/part', whole);
    const got = await get('/part', part);
    expect([got.status, got.isCut, got.body.equals(body.subarray(1000, 901_000))]).toEqual([206, false, true]);
    const small = body.subarray(0, 400);
    origin.set('/slow', { ...whole, body: small, pace: { pieces: 400, overMs: 20_000 } });
    second.set('/slow', { ...whole, body: small });
    expect((await get('/slow')).body.equals(small)).toBe(true);
    expect(retries()?.resume).toBe(2);
  });

  test('so does a run of blocks, that a part of a large object is stored in', async () => {
    const { origin, get } = await setUp();
    const large = Buffer.alloc(24 * PART, 'six mebibytes of a film ');
    const film = { body: large, headers: fresh, etag: '"1"', hasRanges: true };
    origin.set('/film', { ...film, cutAfterBytes: PART });
    second.set('/film', film);
    const range = { range: `bytes=${9 * PART}-${15 * PART - 1}` };
    const got = await get('/film', range);
    expect([got.status, got.isCut, got.body.equals(large.subarray(9 * PART, 15 * PART))]).toEqual([206, false, true]);
    expect(retries()?.resume).toBe(1);
    await until(() => node.cache.stats().activeFills === 0);
    const again = await get('/film', range);
    expect(again.body.equals(got.body)).toBe(true);
    expect(again.headers['cache-status']).toContain('hit');
  });

  test('twice, and no more often', async () => {
    const { origin, get } = await setUp({ backups: [] });
    origin.set('/a', { ...whole, cutAfterBytes: 1000 });
    const got = await get('/a');
    expect([got.isCut, got.body.equals(body.subarray(0, got.body.length))]).toEqual([true, true]);
    expect(origin.seen('/a')).toHaveLength(3);
  });

  const other = Buffer.alloc(4 * PART, 'another edition of it ');
  /** A part that is sent whatever If-Range says; `shift`: bytes by which it misses what was asked for; `total`: what it says. */
  const part =
    (of: Buffer, fields: Readonly<Record<string, string>>, { shift = 0, total = of.length } = {}) =>
    (request: Seen): Answer => {
      const start = Number(/\d+/.exec(request.headers.range ?? '')?.[0]) + shift;
      const range = `bytes ${start}-${of.length - 1}/${total}`;
      return { status: 206, body: of.subarray(start), headers: { 'content-range': range, ...fields } };
    };
  test('a part that is right is joined', async () => {
    const { origin, get } = await setUp();
    origin.set('/a', broken);
    second.set('/a', part(body, { etag: '"1"' }));
    expect((await get('/a')).body.equals(body)).toBe(true);
  });

  test.each<[string, Answer, Answer | ((request: Seen) => Answer)]>([
    ['a part of another tag', broken, part(other, { etag: '"2"' })],
    ['a part without a tag', broken, part(other, {})],
    ['a part of a weak tag', broken, part(other, { etag: 'W/"1"' })],
    ['a part from further on', broken, part(body, { etag: '"1"' }, { shift: 1 })],
    ['a part of another total', broken, part(body, { etag: '"1"' }, { total: body.length + 1 })],
    ['a part of something longer', broken, part(Buffer.concat([body, body]), { etag: '"1"' })],
    ['a part of another coding', broken, part(body, { etag: '"1"', 'content-encoding': 'br' })],
    ['a part that says of which it is in no way', broken, part(body, { etag: '"1"', 'content-range': 'bytes *' })],
    ['another tag', broken, { ...whole, body: other, etag: '"2"' }],
    ['no ranges', broken, { ...whole, hasRanges: false }],
    ['another length', broken, { ...whole, body: other.subarray(0, 3 * PART) }],
    ['another coding', broken, { ...whole, headers: { ...fresh, 'content-encoding': 'gzip' } }],
    ['a failure', broken, { status: 500 }],
    ['no tag in the first', { ...broken, etag: 'none', headers: fresh }, whole],
    ['a weak tag in both', { ...broken, etag: 'W/"1"' }, { ...whole, etag: 'W/"1"' }],
    ['no length in the first', { ...broken, isChunked: true }, whole],
  ])('with %s it is not joined: the viewer sees a cut, nothing is stored', async (_name, first, next) => {
    const { origin, get, cache } = await setUp();
    origin.set('/a', first);
    second.set('/a', next);
    const got = await get('/a');
    expect([got.status, got.isCut, got.body.equals(body.subarray(0, got.body.length))]).toEqual([200, true, true]);
    expect(got.body.length).toBeLessThan(body.length);
    await until(() => cache.stats().activeFills === 0);
    expect(cache.has('/a')).toBeUndefined();
  });

  test('a viewer who left is not gone on for', async () => {
    const { origin, start, cache } = await setUp();
    const held = Promise.withResolvers<void>();
    origin.set('/a', { ...whole, gates: [{ offset: PART, until: held.promise }], cutAfterBytes: PART });
    second.set('/a', whole);
    const { request } = await start('/a');
    request.destroy();
    await until(() => cache.stats().activeFills === 0);
    held.resolve();
    expect(second.seen()).toHaveLength(0);
  });
});

describe('the budget', () => {
  test('bounds repetitions at a server whose connections keep breaking', async () => {
    const { origin, get } = await setUp({ backups: [] });
    let turn = 0;
    for (const path of paths(120, 'key')) {
      turn = 0;
      origin.set(path, () => {
        turn += 1;
        // Every fourth breaks, and breaks again: the others keep the breaker closed.
        return path.endsWith('3') || path.endsWith('7') ? { raw: '' } : { body: path, headers: fresh };
      });
      await get(path);
      expect(turn).toBeLessThanOrEqual(2);
    }
    const repeats = retries()?.repeat ?? 0;
    expect(repeats).toBeGreaterThanOrEqual(3);
    expect(repeats).toBeLessThanOrEqual(120 * 0.1 + 3);
    expect((retries()?.denied ?? 0) + repeats).toBe(24);
    expect(origin.seen()).toHaveLength(120 + repeats);
  });

  test('bounds going on to a server that has failed itself', async () => {
    const { origin, get } = await setUp();
    // Neither breaker opens: after every third both answer once.
    for (let round = 0; round < 30; round += 1) {
      const path = `/key-${round}`;
      const isBad = round % 3 !== 2;
      const answer: Answer = isBad ? { raw: 'no HTTP at all\r\n\r\n' } : { body: 'x', headers: fresh };
      for (const each of [origin, second]) each.set(path, answer);
      await get(path);
    }
    const { failover = 0, denied = 0 } = retries() ?? {};
    expect(second.seen().length).toBe(failover);
    expect(denied).toBeGreaterThan(0);
    expect(origin.seen().length + second.seen().length).toBeLessThan(30 * 2);
  });
});

describe('row 28: the first server comes back', () => {
  test('by one probe, then by few at once while the second serves the rest; nobody sees an error', async () => {
    const { origin, get, passSeconds } = await setUp();
    origin.set('/down', { status: 503 });
    second.set('/down', { body: 'here' });
    for (let round = 0; round < 8; round += 1) await get('/down');
    expect(breaker()).toBe('open');
    passSeconds(2);
    const held = Promise.withResolvers<void>();
    for (const path of paths(40, 'key')) {
      origin.set(path, { body: path, headers: fresh, headAfter: held.promise });
      second.set(path, { body: path, headers: fresh });
    }
    for (const each of [origin, second]) each.set('/probe', { body: each.url, headers: fresh });
    expect((await get('/probe')).body.toString()).toBe(second.url);
    await until(() => breaker() === 'recovering');
    expect(origin.seen('/probe')).toHaveLength(1);
    const all = paths(40, 'key').map((path) => get(path));
    // All the others end while the first still holds its few.
    await until(() => node.served.filter(({ path, status }) => path.startsWith('/key') && status === 200).length >= 37);
    expect(origin.seen().filter(({ url }) => url.startsWith('/key')).length).toBeLessThanOrEqual(3);
    held.resolve();
    const got = await Promise.all(all);
    expect(got.map(({ status }) => status)).toEqual(got.map(() => 200));
    const asked = [origin, second].flatMap((each) => each.seen().filter(({ url }) => url.startsWith('/key')));
    expect(asked).toHaveLength(40);
  });
});
