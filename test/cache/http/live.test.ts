// Live HLS and DASH through the cache: playlists that are new every second, blocking reloads, parts that grow.
import { afterEach, describe, expect, test } from 'vitest';
import { holdMsOf } from '../../../cache/rules/blocking.ts';
import { type NodeSetup, openNode, readResponse, type TestNode } from './node.ts';

let node: TestNode;
async function setUp(setup?: NodeSetup): Promise<TestNode> {
  node = await openNode(setup);
  return node;
}
afterEach(() => node.close());

const playlist = 'application/vnd.apple.mpegurl';
const gate = () => Promise.withResolvers<void>();
/** Resolves when so many viewers wait for a fetch that others started. */
async function waiting(count: number): Promise<void> {
  while (node.cache.stats().coalesced < count) await new Promise(setImmediate);
}

describe('playlists', () => {
  test.each([
    ['max-age=1', '/live.m3u8', playlist],
    ['max-age=0', '/live.m3u8', playlist],
    ['max-age=0', '/live', playlist],
    ['s-maxage=0', '/live.mpd', 'application/dash+xml'],
  ])('%s: who asks before %s comes shares one fetch; who comes later gets a newer one', async (control, path, type) => {
    const { origin, get, passSeconds } = await setUp();
    let sequence = 0;
    const head = gate();
    origin.set(path, () => {
      sequence += 1;
      const headers = { 'cache-control': control, 'content-type': type };
      return { body: `sequence ${sequence}`, headers, ...(sequence === 1 && { headAfter: head.promise }) };
    });
    const all = Array.from({ length: 20 }, () => get(path));
    await waiting(19);
    head.resolve();
    expect(new Set((await Promise.all(all)).map(({ body }) => body.toString()))).toEqual(new Set(['sequence 1']));
    expect(origin.seen(path)).toHaveLength(1);
    passSeconds(2);
    expect((await get(path)).body.toString()).toBe('sequence 2');
  });

  test.each([
    ['no-cache', {}],
    ['private, max-age=0', {}],
    ['max-age=0', { 'set-cookie': 'viewer=1' }],
    ['no-store', {}],
  ])('%s %j: each viewer has an own one', async (control, more) => {
    const { origin, get } = await setUp();
    const head = gate();
    let count = 0;
    origin.set('/live.m3u8', () => {
      count += 1;
      const headers = { 'cache-control': control, 'content-type': playlist, ...more };
      return { body: `for viewer ${count}`, headers, ...(count === 1 && { headAfter: head.promise }) };
    });
    const all = Array.from({ length: 5 }, () => get('/live.m3u8'));
    await waiting(4);
    head.resolve();
    expect(new Set((await Promise.all(all)).map(({ body }) => body.toString())).size).toBe(5);
  });
});

describe('blocking playlist reload', () => {
  test.each([
    ['/live.m3u8?_HLS_msn=7', 30_000],
    ['/live.m3u8?token=x&_HLS_msn=7&_HLS_part=2', 30_000],
    ['/live.m3u8?_HLS_skip=YES', 0],
    ['/live.m3u8', 0],
    ['/_HLS_msn=7', 0],
  ])('%s may be held %i ms beyond the limit of others', (resource, ms) => {
    expect(holdMsOf(resource)).toBe(ms);
  });

  test('a held request outlives the first-byte limit, all who wait share it, and parts have keys of their own', async () => {
    const { origin, get } = await setUp({ origin: { firstByteTimeoutMs: 200 } });
    const next = gate();
    origin.set('/live.m3u8', ({ url }) => ({
      body: url,
      headers: { 'cache-control': 'max-age=6', 'content-type': playlist },
      ...(url.includes('_HLS_msn=9') && { headAfter: next.promise }),
    }));
    origin.set('/slow.m3u8', { headAfter: next.promise });
    const held = Array.from({ length: 10 }, () => get('/live.m3u8?_HLS_msn=9'));
    await waiting(9);
    // What is not asked to block has met its limit meanwhile.
    expect((await get('/slow.m3u8')).status).toBe(504);
    expect((await get('/live.m3u8?_HLS_msn=8&_HLS_part=1')).body.toString()).toBe('/live.m3u8?_HLS_msn=8&_HLS_part=1');
    next.resolve();
    const got = await Promise.all(held);
    expect(got.map(({ status, body }) => `${status} ${body}`)).toEqual(new Array(10).fill('200 /live.m3u8?_HLS_msn=9'));
    expect(origin.seen('/live.m3u8').filter(({ url }) => url.includes('msn=9'))).toHaveLength(1);
  });
});

describe('segments that grow', () => {
  test('a chunked DASH segment flows to leader and followers as it grows, in one fetch, and is whole in the end', async () => {
    const { origin, start, get } = await setUp();
    const chunks = [gate(), gate()];
    const body = Buffer.from('moof-1 moof-2 moof-3 ');
    origin.set('/seg.m4s', {
      body,
      isChunked: true,
      headers: { 'cache-control': 'max-age=60' },
      gates: chunks.map(({ promise }, index) => ({ offset: (index + 1) * 7, until: promise })),
    });
    const leader = await start('/seg.m4s');
    const seen: string[] = [];
    const first = new Promise<void>((resolve) =>
      leader.response.on('data', (bytes) => {
        seen.push(String(bytes));
        if (seen.join('').length >= 7) resolve();
      }),
    );
    await first;
    expect(seen.join('')).toBe('moof-1 ');
    const follower = await start('/seg.m4s');
    const late = new Promise<string>((resolve) => follower.response.once('data', (bytes) => resolve(String(bytes))));
    expect(await late).toBe('moof-1 ');
    const rest = readResponse(follower.response);
    for (const chunk of chunks) chunk.resolve();
    expect((await rest).isCut).toBe(false);
    expect((await get('/seg.m4s')).body.equals(body)).toBe(true);
    expect(origin.seen('/seg.m4s')).toHaveLength(1);
  });

  test('a preload hint by range of a part that grows is passed, byte by byte as it comes', async () => {
    const { origin, start } = await setUp();
    const rest = gate();
    origin.set('/part.mp4', {
      body: 'first half second half',
      headers: { 'cache-control': 'max-age=60' },
      etag: '"p"',
      isChunked: true,
      hasRanges: true,
      contentRange: 'bytes 0-21/*',
      gates: [{ offset: 10, until: rest.promise }],
    });
    for (let round = 0; round < 2; round += 1) {
      const { response } = await start('/part.mp4', { range: 'bytes=0-' });
      expect([response.statusCode, response.headers['content-range']]).toEqual([206, 'bytes 0-21/*']);
      await new Promise((resolve) => response.once('readable', resolve));
      expect(response.read(10)?.toString()).toBe('first half');
      rest.resolve();
      expect((await readResponse(response)).body.toString()).toBe(' second half');
    }
    expect(origin.seen('/part.mp4').map(({ headers }) => headers.range)).toEqual([
      'bytes=0-8388607',
      'bytes=0-',
      'bytes=0-',
    ]);
  });
});
