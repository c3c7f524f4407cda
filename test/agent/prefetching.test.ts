// A night on real parts: catalogue, predictor without a model, state, cache and an origin, over titles of other publishers.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Catalogue, openCatalogue } from '../../agent/catalogue.ts';
import { openExpectation } from '../../agent/expectation.ts';
import { openPrediction, type Prediction } from '../../agent/prediction.ts';
import { openPrefetching, type Prefetching, type PrefetchingOptions } from '../../agent/prefetching.ts';
import { openState, type State } from '../../agent/state.ts';
import { openTimelines } from '../../agent/timelines.ts';
import { openNode, type TestNode } from '../cache/http/node.ts';

const NOTHING = { value: 0, low: 0, high: 0 };
const NO_COST = { hours: 0, originBytes: NOTHING, originP95: NOTHING, withoutBytes: 0 };
const SEGMENT_BYTES = 2000;
const SEGMENTS = 10;
const log = () => undefined;
let dir: string;
let node: TestNode;
let catalogue: Catalogue;
let state: State;
let prediction: Prediction;
/** Of background work. */
let pace = 1;
let prefetching: Prefetching;
let open: (changed?: Partial<PrefetchingOptions>) => Prefetching;

const urls = (title: string) => Array.from({ length: SEGMENTS }, (_, index) => `/films/${title}/${index}.ts`);

function publish(title: string, end: string): void {
  const headers = { 'cache-control': 'max-age=3600' };
  const key = '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://k",KEYFORMAT="com.apple.streamingkeydelivery"';
  const lines = urls(title).flatMap((url) => ['#EXTINF:4,', url]);
  node.origin.set(`/films/${title}/p.m3u8`, { headers, body: ['#EXTM3U', key, ...lines, end].join('\n') });
  for (const url of urls(title)) node.origin.set(url, { headers, body: Buffer.alloc(SEGMENT_BYTES, title) });
}

beforeEach(async () => {
  pace = 1;
  dir = mkdtempSync(join(tmpdir(), 'nearcast-night-'));
  node = await openNode();
  const line = (id: string, manifestUrl: string) => JSON.stringify({ id, source: 'sealed', manifestUrl });
  const lines = [
    ...['film', 'series', 'live', 'gone'].map((id) => line(id, `/films/${id}/p.m3u8`)),
    line('far', 'http://127.0.0.1:1/p.m3u8'),
  ];
  writeFileSync(join(dir, 'catalogue.jsonl'), lines.join('\n'));
  for (const title of ['film', 'series']) publish(title, '#EXT-X-ENDLIST');
  publish('live', '');
  const file = join(dir, 'catalogue.jsonl');
  const titlePattern = '^/titles/(?<title>[^/]+)/';
  catalogue = await openCatalogue({
    file,
    titlePattern,
    publishDir: join(dir, 'titles'),
    publishPath: '/titles/',
    log,
  });
  state = openState({ dir: join(dir, 'state'), flushMs: 60_000, log });
  prediction = await openPrediction({
    titles: catalogue.titles,
    catalogueVersion: () => catalogue.stats().reloads,
    region: 'test',
    modelsDir: join(dir, 'models'),
    hasModel: false,
    retrain: { promotion: 'auto', minutes: 1, maxBytes: 2 ** 29, minReachRatio: 0 },
    watches: () => [],
    pace: () => 1,
    deadlineMs: 10,
    snapshots: state.snapshots,
    now: Date.now,
    log,
  });
  const { cache } = node;
  const timelines = openTimelines({ catalogue, cache, now: Date.now });
  const window = { cron: '0 2 * * *', minutes: 1, timeZone: 'UTC' };
  const { ledger, snapshots } = state;
  const kept = { ledger, snapshots, maxSessions: 100, isSession: () => true, cost: () => Promise.resolve(NO_COST) };
  const power = { pace: () => ({ pace, reason: 'none', isUrgent: false }) as const };
  const known = { cache, catalogue, timelines, now: Date.now, log };
  const expectation = openExpectation({
    ...known,
    nextOf: prediction.predictor.nextOf,
    startsPerDay: () => 20,
    costOf: () => 1,
    headRatio: 0.1,
    snapshots,
  });
  open = (changed = {}) => {
    const config = {
      ...{
        enabled: true,
        inSession: true,
        bytesPerSecond: 1e9,
        bytesPerDay: 1e9,
        retention: true,
        beginningRatio: 0.1,
        lineShare: null,
        window,
      },
      ...{ aheadSeconds: 60, maxWastedRatio: 0.2, maxCostRatio: 0.15, cmsd: false },
    };
    return openPrefetching({ ...kept, origins: [], ...known, config, prediction, expectation, power, ...changed });
  };
  prefetching = open();
});
afterEach(async () => {
  await prefetching.close();
  await prediction.close();
  catalogue.close();
  state.close();
  await node.close();
  rmSync(dir, { recursive: true, force: true });
});

test('fills what others publish, sealed or not; leaves out live, unreadable and far titles; and fetches nothing twice', async () => {
  const { signal } = new AbortController();
  const run = await prefetching.runWindow(signal);
  expect(run).toMatchObject({ outcome: 'done', considered: 5, withoutTimeline: 3 });
  const asked = (title: string) => urls(title).map((url) => node.origin.seen(url).length);
  expect(asked('film')).toEqual(Array(SEGMENTS).fill(1));
  expect(asked('series')).toEqual(Array(SEGMENTS).fill(1));
  expect(asked('live')).toEqual(Array(SEGMENTS).fill(0));
  expect(run?.storedBytes).toBe(2 * SEGMENTS * SEGMENT_BYTES);

  const again = await prefetching.runWindow(signal);
  expect(again?.plan).toMatchObject({ items: 0, skipped: { held: 2 * (SEGMENTS + 1) } });
  expect(asked('film')).toEqual(Array(SEGMENTS).fill(1));

  const answer = await node.get(urls('film')[0] ?? '');
  expect(answer.headers['cache-status']).toMatch(/; ?hit\b/);
});

test('row 50: a forecast that drifted spends only the part of the budget that it is still trusted with', async () => {
  await prefetching.close();
  const drift = { ...prediction.drift, trust: () => 0.5 };
  // What the segments of two titles are taken for before they are known.
  const bytesPerDay = 2 * SEGMENTS * 1_000_000;
  const window = { cron: '0 2 * * *', minutes: 1, timeZone: 'UTC' };
  const config = {
    ...{
      enabled: true,
      inSession: false,
      retention: true,
      lineShare: null,
      bytesPerSecond: 1e9,
      bytesPerDay,
      window,
      beginningRatio: 0,
    },
    ...{ aheadSeconds: 60, maxWastedRatio: 0.2, maxCostRatio: 0.15, cmsd: false },
  };
  prefetching = open({ prediction: { ...prediction, drift }, config });
  const run = await prefetching.runWindow(new AbortController().signal);
  expect(run?.plan.bytes).toBeGreaterThan(0);
  expect(run?.plan.bytes).toBeLessThanOrEqual(bytesPerDay / 2);
  expect(run?.plan.skipped.budget).toBeGreaterThan(0);
});

test('a request for a live title has its next segments fetched', async () => {
  const [first = '', second = '', third = ''] = urls('live');
  await node.get(first);
  prefetching.served(
    { path: first, status: 200, isHit: false, kind: 'segment', title: catalogue.titleOf(first) ?? '' },
    [],
  );
  await Promise.all([second, third].map((url) => node.origin.asked(url, 1)));
});

test('while background work is paused the nightly fill waits, and what viewers need next does not', async () => {
  pace = 0;
  const run = prefetching.runWindow(new AbortController().signal);
  await vi.waitFor(() => expect(prefetching.fetcher.stats().queued).toBeGreaterThan(0), { interval: 5 });
  const [first = '', second = '', third = ''] = urls('live');
  await node.get(first);
  prefetching.served(
    { path: first, status: 200, isHit: false, kind: 'segment', title: catalogue.titleOf(first) ?? '' },
    [],
  );
  await Promise.all([second, third].map((url) => node.origin.asked(url, 1)));
  expect(urls('film').map((url) => node.origin.seen(url).length)).toEqual(Array(SEGMENTS).fill(0));
  pace = 1;
  expect(await run).toMatchObject({ outcome: 'done', storedBytes: 2 * SEGMENTS * SEGMENT_BYTES });
});

const seenBy = (title: string, sid?: string) => {
  const [first = ''] = urls(title);
  const viewing = sid === undefined ? {} : { sid };
  const part = {
    path: first,
    status: 200,
    isHit: true,
    kind: 'segment',
    title: catalogue.titleOf(first) ?? '',
  } as const;
  prefetching.served({ ...part, viewing }, []);
};

test('a viewer who leaves ends the fills that ran for it, down to the origin', async () => {
  const [, second = ''] = urls('live');
  const never = new Promise<void>(() => undefined);
  const headers = { 'cache-control': 'max-age=3600' };
  node.origin.set(second, { headers, body: Buffer.alloc(SEGMENT_BYTES), gates: [{ offset: 100, until: never }] });
  seenBy('live', 'somebody');
  await node.origin.asked(second, 1);
  expect(node.cache.activeFills()).toBeGreaterThan(0);
  prefetching.happened({ type: 'stop', titleId: 'live', sid: 'somebody' });
  await vi.waitFor(() => expect(node.cache.activeFills()).toBe(0), { interval: 5 });
  expect(prefetching.fetcher.stats()).toMatchObject({ queued: 0, running: 0 });
  expect(node.cache.has(second)).toBeUndefined();
});

test('prefetch that was switched off takes nothing ahead, also at night, but what an operator asks for', async () => {
  await prefetching.close();
  const json = JSON.stringify({ version: 1, isOn: false, since: Date.now(), retryMs: 6 * 3_600_000 });
  state.snapshots.put('prefetch-switch', json);
  prefetching = open();
  expect(prefetching.inSession().switched).toMatchObject({ isOn: false });
  expect(await prefetching.runWindow(new AbortController().signal)).toBeUndefined();
  const [first = '', second = '', third = ''] = urls('film');
  const item = { titleId: 'film', why: 'a test', bytes: 0 } as const;
  expect(prefetching.fetcher.push({ ...item, url: first, reason: 'hover', priority: 'in-session' })).toBe('stopped');
  expect(prefetching.fetcher.push({ ...item, url: second, reason: 'operator', priority: 'off-peak' })).toBe('queued');
  await node.origin.asked(second, 1);
  expect([first, third].map((url) => node.origin.seen(url).length)).toEqual([0, 0]);
});
