// What is expected over real URLs: groups of keys by title, track and time, scores from what is served; and in a node, what
// is expected to be watched outlives what is not on a full disk.
import { expect, test } from 'vitest';
import { openExpectation } from '../../agent/expectation.ts';
import type { Timeline } from '../../agent/prefetch/timeline.ts';
import { openNode } from '../cache/http/node.ts';

const MINUTE = 60_000;
const SEGMENT_BYTES = 20_000;
/** Of each title that are asked for on the full disk. */
const SEGMENTS = 30;

/** A title of an hour in segments of a minute. */
const timelineOf = (titleId: string, base = `/t/${titleId}/`): Timeline => ({
  titleId,
  durationSeconds: 3600,
  masterUrl: `${base}master.m3u8`,
  tracks: [
    {
      id: 'v',
      kind: 'video',
      bandwidthBps: 1e6,
      playlistUrl: `${base}v.m3u8`,
      parts: Array.from({ length: 60 }, (_, at) => ({
        url: `${base}${at}.m4s`,
        startSeconds: at * 60,
        durationSeconds: 60,
      })),
    },
  ],
});

function open(kept = new Map<string, string>()) {
  let nowMs = 0;
  let originBytes = 0;
  let timelines = new Map(['a', 'b', 'c'].map((id) => [id, timelineOf(id)]));
  const stats = { originBytes: { viewer: 0 }, store: { limitBytes: { disk: 1e6 } } };
  const expectation = openExpectation({
    // Sound: nothing else of a catalogue's line is asked for.
    catalogue: {
      title: () => undefined,
      titles: () => ['a', 'b', 'c'].map((id) => ({ id })),
      titleOf: (path: string) => /^\/t\/(?<id>[^/]+)\//.exec(path)?.groups?.['id'],
    } as never,
    timelines: { of: async (titleId) => timelines.get(titleId), forPreview: async () => undefined },
    // Sound: nothing else of the figures is asked for.
    cache: { stats: () => ({ ...stats, originBytes: { viewer: originBytes } }) as never },
    nextOf: (titleId) => (titleId === 'a' ? 'b' : undefined),
    startsPerDay: () => 0,
    costOf: () => 1,
    headRatio: 0.1,
    snapshots: { get: (name) => kept.get(name), put: (name, json) => void kept.set(name, json) },
    now: () => nowMs,
    log: () => undefined,
  });
  return {
    expectation,
    wait: (ms: number) => {
      nowMs += ms;
    },
    receive: (bytes: number) => {
      originBytes += bytes;
    },
    republish: (titleId: string, timeline: Timeline) => {
      timelines = new Map([...timelines, [titleId, timeline]]);
    },
    serve: (title: string, at: number) =>
      expectation.served({ path: `/t/${title}/${at}.m4s`, status: 200, kind: 'segment', title }),
    score: (url: string) => expectation.demand.scoreOf(expectation.demand.groupOf(`origin ${url}`) ?? 0),
  };
}

test('groups are of a title, track and 5 minutes; what is no part of a title has none', async () => {
  const { expectation } = open();
  const groupOf = (url: string) => expectation.demand.groupOf(`origin ${url}`);
  expect(groupOf('/t/a/7.m4s')).toBeUndefined(); // Its timeline is read now.
  await expect.poll(() => groupOf('/t/a/7.m4s')).toBeDefined();
  expect(groupOf('/t/a/9.m4s?x=1')).toBe(groupOf('/t/a/7.m4s'));
  expect(groupOf('/t/a/10.m4s')).not.toBe(groupOf('/t/a/9.m4s'));
  expect(groupOf('/t/a/v.m3u8')).toBe(groupOf('/t/a/0.m4s'));
  expect(groupOf('/t/a/master.m3u8')).toBe(groupOf('/t/a/0.m4s'));
  for (const url of ['/t/a/99.m4s', '/t/z/0.m4s', '/other']) expect(groupOf(url)).toBeUndefined();
  expect(expectation.stats()).toMatchObject({ titles: 1 });
});

test('where viewers are counts for what comes after; status, kind and unknown titles are left out', async () => {
  const { expectation, serve, score, wait } = open();
  for (const id of ['a', 'b', 'c']) expectation.open(timelineOf(id));
  wait(24 * 60 * MINUTE);
  const before = score('/t/a/20.m4s');
  for (let viewer = 0; viewer < 10; viewer += 1) for (let at = 0; at < 4; at += 1) serve('a', at);
  expectation.served({ path: '/t/b/0.m4s', status: 404, kind: 'segment', title: 'b' });
  expectation.served({ path: '/t/b/0.m4s', status: 200, kind: 'manifest', title: 'b' });
  expectation.served({ path: '/t/z/0.m4s', status: 200, kind: 'segment' });
  wait(5 * MINUTE);
  expect(score('/t/a/20.m4s')).toBeGreaterThan(before + 5);
  // The next episode too, and of others nothing.
  expect(score('/t/b/20.m4s')).toBeGreaterThan(score('/t/c/20.m4s'));
});

test('looks as far ahead as objects stay', () => {
  const { expectation, wait, receive } = open();
  const horizon = () => expectation.stats().horizonSeconds;
  expectation.sweep();
  expect(horizon()).toBe(7 * 86_400);
  for (let minute = 0; minute < 3; minute += 1) {
    wait(MINUTE);
    receive(6000); // 100 bytes a second into a megabyte.
    expectation.sweep();
  }
  expect(horizon()).toBeCloseTo(10_000, -1);
});

test('a title that is published anew is expected anew within a minute', async () => {
  const { expectation, republish, score, wait } = open();
  expectation.open(timelineOf('a'));
  const old = expectation.demand.groupOf('origin /t/a/0.m4s') ?? 0;
  republish('a', { ...timelineOf('a', '/t/a/new/'), durationSeconds: 1800 });
  wait(2 * MINUTE);
  await expect.poll(() => score('/t/a/new/0.m4s')).toBeGreaterThan(0);
  wait(60 * MINUTE);
  expect(expectation.demand.scoreOf(old)).toBe(0);
});

test('on a full disk what viewers are coming to stays, and what nobody will ask for leaves', async () => {
  const { expectation, serve, wait } = open();
  for (const id of ['a', 'b', 'c']) expectation.open(timelineOf(id));
  const urls = ['a', 'b', 'c'].flatMap((id) => Array.from({ length: SEGMENTS }, (_, at) => `/t/${id}/${at}.m4s`));
  const { demand } = expectation;
  // Room for a third of all, each with its row of 1 KiB.
  const node = await openNode({ ramBytes: 0, diskBytes: SEGMENTS * (SEGMENT_BYTES + 1024), demand });
  try {
    const headers = { 'cache-control': 'max-age=3600' };
    for (const url of urls) node.origin.set(url, { headers, body: Buffer.alloc(SEGMENT_BYTES, url) });
    // Thirty viewers are at the beginning of b: all of it is to come.
    for (let viewer = 0; viewer < 30; viewer += 1) serve('b', 0);
    wait(5 * MINUTE);
    for (let from = 0; from < urls.length; from += 6) {
      await Promise.all(urls.slice(from, from + 6).map((url) => node.get(url)));
    }
    const held = (id: string) => urls.filter((url) => url.startsWith(`/t/${id}/`) && node.cache.has(url)).length;
    expect(held('b')).toBeGreaterThan(15);
    // By S3-FIFO alone it would be one.
  } finally {
    await node.close();
  }
});

test('hours are forecast from segments that were served, and outlive a restart; what cannot be read begins anew', () => {
  const kept = new Map<string, string>();
  const { expectation, serve, wait } = open(kept);
  expectation.open(timelineOf('a'));
  for (let viewer = 0; viewer < 10; viewer += 1) for (let at = 0; at < 60; at += 1) serve('a', at);
  expect(expectation.hours('a', 1)).toBeUndefined();
  wait(24 * 60 * MINUTE);
  const { low = 0, mean = 0, high = 0 } = expectation.hours('a', 1) ?? {};
  expect(mean).toBeGreaterThan(5);
  expect(mean).toBeLessThanOrEqual(10);
  expect(low).toBeLessThan(mean);
  expect(high).toBeGreaterThan(mean);
  expect(expectation.hours('b', 1)).toBeUndefined();
  expectation.sweep();
  const again = open(kept);
  again.wait(24 * 60 * MINUTE);
  expect(again.expectation.hours('a', 1)?.mean).toBeCloseTo(mean, 3);
  kept.set('forecast', '{"version":1,"day":"x"}');
  expect(open(kept).expectation.hours('a', 1)).toBeUndefined();
});
