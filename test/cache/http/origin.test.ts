// Origins that are slow, endless or coming back: what is cut, what is never fetched whole, and how they are taken back.
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { type NodeSetup, openNode, readResponse, type TestNode } from './node.ts';

let node: TestNode;
async function setUp(setup?: NodeSetup): Promise<TestNode> {
  node = await openNode(setup);
  return node;
}
afterEach(() => node.close());

const MiB = 1024 * 1024;
const fresh = { 'cache-control': 'max-age=60' };
const body = Buffer.alloc(4 * MiB, 'four mebibytes of segment ');

async function idle(): Promise<void> {
  while (node.cache.stats().activeFills > 0) await new Promise(setImmediate);
}

describe('a body that trickles', () => {
  const slow = { body: 'x'.repeat(400), headers: fresh, pace: { pieces: 400, overMs: 20_000 } };

  test('is cut though each byte comes before the idle time is over; other keys are served', async () => {
    const { origin, get, cache } = await setUp({ origin: { idleTimeoutMs: 400 } });
    origin.set('/slow', slow);
    origin.set('/good', { body, headers: fresh });
    const [got, good] = await Promise.all([get('/slow'), get('/good')]);
    expect([got.status, got.isCut, got.body.length < 200]).toEqual([200, true, true]);
    expect(good.body.equals(body)).toBe(true);
    expect(cache.has('/slow')).toBeUndefined();
    expect(cache.stats().originErrors).toBe(1);
  });

  test('is cut for a fill without viewers, and for a request that passes', async () => {
    const { origin, get, cache } = await setUp({ origin: { idleTimeoutMs: 400 } });
    origin.set('/slow', slow);
    const filled = await cache.fill('/slow', { priority: 'off-peak', purpose: 'off-peak' });
    expect(filled).toEqual({ outcome: 'failed', reason: 'CACHE_ORIGIN_TIMEOUT' });
    expect((await get('/slow', {}, 'POST', 'x')).isCut).toBe(true);
  });

  test('comes whole with minimumBytesPerSecond: 0', async () => {
    const { origin, get } = await setUp({ origin: { idleTimeoutMs: 200, minimumBytesPerSecond: 0 } });
    origin.set('/slow', { ...slow, pace: { pieces: 20, overMs: 800 } });
    const got = await get('/slow');
    expect([got.isCut, got.body.length]).toEqual([false, 400]);
  });

  test('is not what a viewer who reads slowly makes of it', async () => {
    const { origin, start } = await setUp({ origin: { idleTimeoutMs: 200 } });
    const large = Buffer.alloc(40 * MiB, 'forty mebibytes ');
    origin.set('/large', { body: large, headers: fresh });
    const { response } = await start('/large');
    await wait(1000);
    const read = await readResponse(response);
    expect([read.isCut, read.body.equals(large)]).toEqual([false, true]);
  });
});

test('a body whose last bytes come into a pause is whole, though its connection ends before the pause does', async () => {
  const { origin, cache } = await setUp();
  const whole = body.subarray(0, 200 * 1024);
  origin.set('/a', { body: whole, headers: fresh });
  const filled = cache.fill('/a', { priority: 'off-peak', purpose: 'off-peak', bytesPerSecond: 300_000 });
  while (cache.stats().originBytes['off-peak'] < whole.length) await new Promise(setImmediate);
  origin.dropConnections();
  expect(await filled).toMatchObject({ outcome: 'stored', bytes: whole.length });
});

test('who waits for one answer gets the same 500, and the origin is asked once', async () => {
  const { origin, get } = await setUp();
  const head = Promise.withResolvers<void>();
  origin.set('/a', { status: 500, body: 'broken', headAfter: head.promise });
  const all = Array.from({ length: 20 }, () => get('/a'));
  while (node.cache.stats().coalesced < 19) await new Promise(setImmediate);
  head.resolve();
  const got = await Promise.all(all);
  expect(got.map(({ status, body: text }) => [status, text.toString()])).toEqual(all.map(() => [500, 'broken']));
  expect(origin.seen('/a')).toHaveLength(1);
});

describe('bodies larger than wanted', () => {
  test.each([
    ['its head says so', {}],
    ['its bytes say so', { isChunked: true }],
  ])('a fill with maxBytes ends as soon as %s', async (_name, kind) => {
    const { origin, cache } = await setUp();
    const never = new Promise(() => undefined);
    origin.set('/a', { body, headers: fresh, ...kind, gates: [{ offset: MiB, until: never }] });
    const filled = await cache.fill('/a', { priority: 'in-session', purpose: 'in-session', maxBytes: 64 * 1024 });
    expect(filled).toEqual({ outcome: 'refused', reason: 'size' });
    await idle();
    expect(cache.has('/a')).toBeUndefined();
    expect(cache.stats().originBytes['in-session']).toBeLessThanOrEqual(MiB);
  });

  test('read() fetches no more than it may give, and what just fits', async () => {
    const { origin, cache } = await setUp();
    origin.set('/a', { body, headers: fresh, isChunked: true });
    const signal = AbortSignal.timeout(10_000);
    expect(await cache.read('/a', { maxBytes: 1000, signal })).toBeUndefined();
    expect(cache.stats().originBytes['in-session']).toBeLessThan(body.length);
    expect((await cache.read('/a', { maxBytes: body.length, signal }))?.bytes.equals(body)).toBe(true);
  });

  test('a viewer who joins such a fill gets everything', async () => {
    const { origin, cache, start } = await setUp();
    const more = Promise.withResolvers<void>();
    origin.set('/a', { body, headers: fresh, isChunked: true, headAfter: more.promise });
    const filled = cache.fill('/a', { priority: 'in-session', purpose: 'in-session', maxBytes: 1000 });
    await origin.asked('/a', 1);
    const viewer = start('/a');
    while (cache.stats().coalesced === 0) await new Promise(setImmediate);
    more.resolve();
    const got = await readResponse((await viewer).response);
    expect([got.isCut, got.body.equals(body)]).toEqual([false, true]);
    expect(await filled).toMatchObject({ outcome: 'stored', bytes: body.length });
    expect(origin.seen('/a')).toHaveLength(1);
  });

  test('a fill of a body without end stops at what the store can hold', async () => {
    const { origin, cache } = await setUp({ ramBytes: MiB, diskBytes: 8 * MiB });
    origin.set('/endless', { body: Buffer.alloc(64 * MiB, 'endless '), headers: fresh, isChunked: true });
    const filled = await cache.fill('/endless', { priority: 'off-peak', purpose: 'off-peak' });
    expect(filled).toEqual({ outcome: 'refused', reason: 'store' });
    await idle();
    expect(cache.stats().originBytes['off-peak']).toBeLessThan(48 * MiB);
    expect(cache.has('/endless')).toBeUndefined();
  });
});

describe('an origin that comes back', () => {
  const KEYS = 100;
  const paths = Array.from({ length: KEYS }, (_, index) => `/key-${index}`);

  test('is asked by one probe, then by few at once, and once for each key', async () => {
    const { origin, get, passSeconds } = await setUp({ isClockStill: true });
    origin.set('/down', { status: 503 });
    for (let round = 0; round < 8; round += 1) await get('/down');
    const refused = await Promise.all(paths.map((path) => get(path)));
    expect(refused.every(({ status }) => status >= 502)).toBe(true);
    expect(origin.seen()).toHaveLength(8);

    passSeconds(2);
    let running = 0;
    const runningAt: number[] = [];
    const answer = Promise.withResolvers<void>();
    origin.set('/probe', () => ({ body: 'up', headers: fresh, headAfter: answer.promise }));
    for (const path of paths) {
      origin.set(path, () => {
        running += 1;
        runningAt.push(running);
        const ended = wait(5).then(() => {
          running -= 1;
        });
        return { body: path, headers: fresh, headAfter: ended };
      });
    }
    const probe = get('/probe');
    await origin.asked('/probe', 1);
    expect((await get('/key-0')).status).toBeGreaterThanOrEqual(502);
    answer.resolve();
    expect((await probe).status).toBe(200);

    const got = await Promise.all(paths.flatMap((path) => [get(path), get(path)]));
    expect(got.map(({ status }) => status)).toEqual(got.map(() => 200));
    expect(got.every((each, index) => each.body.toString() === paths[index >> 1])).toBe(true);
    expect(origin.seen().filter(({ url }) => url.startsWith('/key-'))).toHaveLength(KEYS);
    expect(runningAt.slice(0, 4).every((count) => count <= 3)).toBe(true);
    expect(Math.max(...runningAt)).toBeGreaterThan(3);
  });

  test('and fails again lets nobody wait', async () => {
    const { origin, get, passSeconds } = await setUp({ isClockStill: true });
    for (const path of paths) origin.set(path, { status: 503 });
    for (let round = 0; round < 8; round += 1) await get('/key-0');
    passSeconds(2);
    origin.set('/probe', { body: 'up', headers: fresh });
    expect((await get('/probe')).status).toBe(200);
    const got = await Promise.all(paths.map((path) => get(path)));
    expect(got.every(({ status }) => status >= 502)).toBe(true);
    expect(origin.seen().length).toBeLessThanOrEqual(8 + 1 + 8 + 3);
  });

  test('viewers who leave while they wait for it are not asked for', async () => {
    const { origin, start, get, passSeconds } = await setUp({ isClockStill: true });
    origin.set('/down', { status: 503 });
    for (let round = 0; round < 8; round += 1) await get('/down');
    passSeconds(2);
    const held = Promise.withResolvers<void>();
    origin.set('/probe', { body: 'up', headers: fresh });
    for (const path of paths) origin.set(path, { body: path, headers: fresh, headAfter: held.promise });
    await get('/probe');
    const stop = new AbortController();
    const waiting = paths.slice(0, 6).map((path) => node.cache.fill(path, fillUntil(stop.signal)));
    await origin.asked('/key-1', 1);
    stop.abort();
    expect((await Promise.all(waiting)).every(({ outcome }) => outcome === 'cancelled')).toBe(true);
    await idle();
    expect(origin.seen().filter(({ url }) => url.startsWith('/key-')).length).toBeLessThan(6);
    held.resolve();
    const after = await start('/key-9');
    expect((await readResponse(after.response)).body.toString()).toBe('/key-9');
  });
});

function fillUntil(signal: AbortSignal) {
  return { priority: 'viewer', purpose: 'publish', signal } as const;
}
