// The node's own routes as a player meets them: over HTTP, through a real cache listener, with the real preview,
// telemetry and counters behind them.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ListedTitle, summarise, viewerRoutes } from '../../agent/api.ts';
import { readStats } from '../../agent/node-stats.ts';
import { openAds } from '../../agent/preview/ads.ts';
import type { PackageState } from '../../agent/preview/decide.ts';
import { openPreview } from '../../agent/preview/preview.ts';
import { parsePromos } from '../../agent/preview/promos.ts';
import { openIntake } from '../../agent/telemetry/intake.ts';
import { openSessions } from '../../agent/telemetry/sessions.ts';
import { type Cache, open as openCache, type Route } from '../../cache/cache.ts';
import { openFakeChooser } from '../fake/chooser.ts';
import { makeClipPackage } from '../fake/clip-package.ts';
import { makeVariedTitle, published } from '../fake/title.ts';

const TITLES: readonly ListedTitle[] = [
  {
    id: 'film',
    name: 'A film',
    manifestUrl: '/titles/film/master.m3u8',
    poster: null,
    ready: true,
    progressRatio: 1,
    isEncodedHere: true,
  },
];
const DECISIONS = Array.from({ length: 3 }, (_, index) => ({ url: `/titles/film/${index}.m4s`, reason: 'next' }));
const closers: (() => Promise<void> | void)[] = [];
let cache: Cache;
let url: string;
let quietUrl: string;

async function serve(routes: readonly Route[]): Promise<string> {
  cache = await openCache({
    routes,
    origins: [{ name: 'none', url: 'http://127.0.0.1:9', match: '/titles/' }],
    store: { ramBytes: 1 << 20, dirs: [], required: false },
    rules: { defaultTtlSeconds: 0, graceSeconds: 0, target: 'Nearcast-Cache-Control' },
    nodeId: 'test',
    now: Date.now,
    log: () => undefined,
  });
  const { close } = cache;
  closers.push(() => close(0));
  const { port } = await cache.serve({ host: '127.0.0.1', port: 0 });
  return `http://127.0.0.1:${port}`;
}

beforeAll(async () => {
  const clip = await makeClipPackage({ id: 'clip', seconds: 6 });
  const sessions = openSessions({ maxSessions: 10, idleMs: 60_000, durationOf: () => 100, now: Date.now });
  const intake = openIntake({
    sessions,
    now: Date.now,
    titleOf: () => 'film',
    isTitle: (id) => id === 'film',
    durationOf: () => 100,
    maxPerViewerPerMinute: 100,
    maxPerMinute: 100,
    maxPerAddressPerMinute: 100,
    maxTitleRatio: 1,
    onTitle: () => undefined,
    onEvent: () => undefined,
    onRequest: () => undefined,
  });
  const film = published(makeVariedTitle('film'));
  const packages = new Map<string, PackageState>([
    ['film', { state: 'ready', ...film }],
    ['clip', { state: 'ready', title: clip.title, baseUrl: clip.baseUrl }],
    ['soon', { state: 'pending' }],
  ]);
  const preview = openPreview({
    packageOf: (id) => packages.get(id),
    sessionOf: () => undefined,
    bandit: openFakeChooser(),
    read: async (path) => clip.files.get(path),
    deadlineMs: 5_000,
    fileDeadlineMs: 5_000,
    imagesOf: () => undefined,
    now: Date.now,
  });
  closers.push(sessions.close, intake.close);
  const ads = openAds({
    promos: () => parsePromos(JSON.stringify({ version: 1, promos: [{ id: 'spring', titleId: 'clip', perDay: 1e6 }] })),
    limits: { perViewerPerHour: 2, noRepeatWithin: 0 },
    mayRemember: () => false,
    ...{ decider: preview.decider, films: preview.films, bandit: openFakeChooser(), now: Date.now },
    secret: Buffer.alloc(32, 3),
    deadlineMs: 5_000,
  });
  const build = { version: '1.2.3', node: 'v24' };
  const parts: Parameters<typeof viewerRoutes>[0] = {
    titles: () => TITLES,
    events: intake.events,
    preview: { preview, ads, promos: 'promos.json', deadlineMs: 5_000, fileDeadlineMs: 5_000 },
    stats: () =>
      readStats(
        { cache, agent: undefined },
        { build, loopLagSeconds: 0, logDropped: 0, configReloads: { ok: 0, failed: 0 } },
      ),
    decisions: () => DECISIONS,
    encodes: () =>
      (['queued', 'running', 'done', 'failed'] as const).map((of) => ({
        id: of,
        state: of,
        step: of,
        progressRatio: 0,
      })),
    page: [],
  };
  quietUrl = await serve(viewerRoutes({ ...parts, preview: undefined }));
  url = await serve(viewerRoutes(parts));
});
afterAll(async () => {
  for (const close of closers.reverse()) await close();
});

const ask = (path: string, init?: RequestInit): Promise<Response> => fetch(`${url}${path}`, init);

test('titles are listed as JSON that nobody may keep', async () => {
  const response = await ask('/.nearcast/titles');
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('application/json');
  expect(response.headers.get('cache-control')).toBe('no-store');
  expect(await response.json()).toEqual(TITLES);
});

describe('a preview', () => {
  test('of a ready title is a playlist with a token, no taller than asked for', async () => {
    const response = await ask('/.nearcast/preview/film.m3u8?maxHeight=360');
    expect(response.status).toBe(200);
    const text = await response.text();
    expect(text).toMatch(/^#EXTM3U\n/);
    expect(text).toContain('/v360/');
    expect(text).not.toContain('/v720/');
  });

  test.each([
    ['an unknown title', 'other.m3u8', 404],
    ['a title that is still being encoded', 'soon.m3u8', 409],
    ['what is no preview', 'film.webm', 404],
    ['a file whose segments are not to be had', 'film.mp4', 503],
    ['captions of no cut', 'film.vtt', 404],
    ['a cut that there is not', 'film.m3u8?cut=other', 404],
    ['malformed percent-encoding', '%E0%A4%A.m3u8', 404],
    ['no title', '', 404],
  ])('of %s is refused: %s -> %d', async (_name, file, status) => {
    expect((await ask(`/.nearcast/preview/${file}`)).status).toBe(status);
  });

  test.each(['-1', '0', '1e9999', 'tall', ''])('with maxHeight=%s is one without it', async (height) => {
    expect((await ask(`/.nearcast/preview/film.m3u8?maxHeight=${height}`)).status).toBe(200);
  });

  test('as one file is whole; of a named cut it may be kept, validated and asked for in ranges', async () => {
    const chosen = await ask('/.nearcast/preview/clip.mp4?sound=1');
    expect(chosen.status).toBe(200);
    expect(chosen.headers.get('content-type')).toBe('video/mp4; codecs="avc1.64001f, mp4a.40.2"');
    expect(chosen.headers.get('nearcast-arm')).toMatch(/^token-/);
    expect(chosen.headers.get('accept-ranges')).toBeNull();
    const same = await ask(chosen.headers.get('content-location') ?? '', { headers: { range: 'bytes=0-99' } });
    expect(same.status).toBe(206);
    const begin = Buffer.from(await chosen.arrayBuffer()).subarray(0, 100);
    expect(Buffer.from(await same.arrayBuffer()).equals(begin)).toBe(true);
    const path = '/.nearcast/preview/clip.mp4?cut=opening';
    const whole = await ask(path);
    const bytes = Buffer.from(await whole.arrayBuffer());
    const etag = whole.headers.get('etag') ?? '';
    const range = (value: string, more: Record<string, string> = {}) =>
      ask(path, { headers: { range: value, ...more } });
    const part = await range('bytes=100-199');
    expect([part.status, part.headers.get('content-range')]).toEqual([206, `bytes 100-199/${bytes.length}`]);
    expect(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(100, 200))).toBe(true);
    expect(Buffer.from(await (await range('bytes=-7')).arrayBuffer()).equals(bytes.subarray(-7))).toBe(true);
    expect((await range(`bytes=${bytes.length}-`)).status).toBe(416);
    expect((await range('bytes=0-1,4-5')).status).toBe(200);
    expect((await range('bytes=0-1', { 'if-range': '"other"' })).status).toBe(200);
    expect((await ask(path, { headers: { 'if-none-match': etag } })).status).toBe(304);
  });

  test('has no route where previews are off', async () => {
    const response = await fetch(`${quietUrl}/.nearcast/preview/film.m3u8`);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ code: 'ROUTE_NOT_FOUND' });
  });
});

describe('artwork', () => {
  test('is JSON with every width and why, or the way to the picture', async () => {
    const response = await ask('/.nearcast/artwork/film?width=640');
    expect(response.headers.get('cache-control')).toBe('private, no-store');
    const poster = '/titles/film/0123456789abcdef/poster.jpg';
    expect(await response.json()).toMatchObject({
      ...{ version: 1, title: 'film', src: poster, srcset: '', token: expect.stringMatching(/^token-/) },
      why: { answer: 'default', reason: 'one-cut', variant: 'poster', chance: 1, like: [] },
    });
    const way = await ask('/.nearcast/artwork/film?redirect=1', { redirect: 'manual' });
    expect([way.status, way.headers.get('location')]).toEqual([302, poster]);
    for (const [path, status] of [
      ['other', 404],
      ['soon', 409],
      ['', 404],
      ['%E0%A4%A', 404],
    ] as const)
      expect((await ask(`/.nearcast/artwork/${path}`)).status).toBe(status);
  });
});

describe('an ad slot', () => {
  const post = (body: unknown) =>
    ask('/.nearcast/ad/slot', { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) });

  test('is filled with one file of its length at most, until the viewer has seen enough', async () => {
    const first = await post({ version: 1, seconds: 4 });
    expect(first.status).toBe(200);
    expect(Object.fromEntries(first.headers)).toMatchObject({
      'content-type': 'video/mp4; codecs="avc1.64001f, mp4a.40.2"',
      ...{ 'nearcast-promo': 'spring', 'nearcast-title': 'clip', 'cache-control': 'private, no-store' },
    });
    expect(Number(first.headers.get('nearcast-seconds'))).toBeLessThanOrEqual(4);
    expect(Buffer.from(await first.arrayBuffer()).toString('latin1', 4, 8)).toBe('ftyp');
    const second = await post({ version: 1, seconds: 4, note: first.headers.get('nearcast-note') });
    const note = second.headers.get('nearcast-note') ?? '';
    const third = await post({ version: 1, seconds: 4, note });
    expect([third.status, third.headers.get('nearcast-why')]).toEqual([204, 'capped']);
    expect((await post({ version: 1, seconds: 4, note: `${note}x` })).status).toBe(200);
    const got = await ask(`/.nearcast/ad/slot?seconds=4&note=${note}`);
    expect([got.status, got.headers.get('nearcast-why')]).toEqual([204, 'capped']);
    expect((await ask('/.nearcast/ad/slot?seconds=4')).status).toBe(200);
  });

  test('of another kind is refused, of one too long left empty', async () => {
    const bad = [
      '{',
      '[]',
      { version: 2, seconds: 4 },
      { version: 1 },
      { version: 1, seconds: -1 },
      { version: 1, seconds: 1e9 },
    ];
    for (const body of [...bad, { version: 1, seconds: 4, sid: 7 }, { version: 1, seconds: 4, maxHeight: 'tall' }])
      expect((await post(body)).status).toBe(400);
    expect((await ask('/.nearcast/ad/slot')).status).toBe(400);
    expect((await post('x'.repeat(9_000))).status).toBe(413);
    const long = await post({ version: 1, seconds: 110 });
    expect([long.status, long.headers.get('nearcast-why')]).toEqual([204, 'too-short']);
  });
});

describe('events', () => {
  const post = (body: string, type = 'application/json') =>
    ask('/.nearcast/events', { method: 'POST', body, headers: { 'content-type': type } });
  const beacon = {
    version: 1,
    sid: 'session-0001',
    consent: 'none',
    events: [{ type: 'hover', title: 'film', at: Date.now() }],
  };

  test('that keep to the schema are taken without an answer', async () => {
    const response = await post(JSON.stringify(beacon));
    expect(response.status, await response.clone().text()).toBe(204);
    expect(await response.text()).toBe('');
  });

  test.each([
    ['{', 'EVENTS_NOT_JSON'],
    [JSON.stringify({ ...beacon, version: 2 }), 'EVENTS_VERSION'],
    [JSON.stringify({ ...beacon, events: 7 }), 'EVENTS_INVALID'],
    [JSON.stringify({ ...beacon, events: Array.from({ length: 65 }, () => beacon.events[0]) }), 'EVENTS_TOO_LARGE'],
  ])('such as %.30s are refused with %s and nothing of what was sent', async (body, code) => {
    const response = await post(body);
    expect(response.status).toBe(400);
    const text = await response.text();
    expect(JSON.parse(text)).toEqual({ code, message: expect.any(String) });
    expect(text).not.toContain('session-0001');
  });

  test('over the limit are not read', async () => {
    expect((await post('x'.repeat(17 * 1024))).status).toBe(413);
  });

  test('are posted, not fetched', async () => {
    expect((await ask('/.nearcast/events')).status).toBe(405);
  });
});

test('activity has the shape that the page reads', async () => {
  expect(await (await ask('/.nearcast/activity')).json()).toEqual({
    hitRatio: null,
    byteHitRatio: null,
    requests: expect.objectContaining({ hit: 0, miss: 0 }),
    originBytes: 0,
    servedBytes: 0,
    prefetch: { storedBytes: 0, usefulBytes: 0, wastedBytes: 0, offPeak: { usefulBytes: 0, wastedBytes: 0 } },
    prefetched: DECISIONS,
    model: { version: null, answeredBy: expect.stringMatching(/^(model|rules)$/) },
    encodes: [
      { id: 'queued', state: 'queued', step: 'queued', progressRatio: 0 },
      { id: 'running', state: 'running', step: 'running', progressRatio: 0 },
    ],
  });
});

test('ratios count a revalidated and a stale answer as hits, and never fall below nothing', () => {
  const stats = readStats(
    { cache, agent: undefined },
    { build: { version: '', node: '' }, loopLagSeconds: 0, logDropped: 0, configReloads: { ok: 0, failed: 0 } },
  );
  const of = (count: number) => ({ ...stats.cache.requests.hit, segment: count });
  const { requests, sentBytes, originBytes } = stats.cache;
  const counted = {
    ...stats,
    cache: {
      ...stats.cache,
      requests: { ...requests, hit: of(4), stale: of(1), revalidated: of(1), miss: of(1), pass: of(1) },
      sentBytes: { ...sentBytes, hit: 60, miss: 40 },
      originBytes: { ...originBytes, viewer: 40, 'off-peak': 1_000 },
    },
  };
  expect(summarise(counted)).toEqual({ hitRatio: 0.75, byteHitRatio: 0.6 });
  const cut = { ...counted, cache: { ...counted.cache, originBytes: { ...originBytes, viewer: 500 } } };
  expect(summarise(cut).byteHitRatio).toBe(0);
});

test.each(['/.nearcast/', '/.nearcast/nothing', '/.nearcast/titles/film', '/.nearcast/previews/film.m3u8'])(
  'an unknown route is 404 and never asks an origin: %s',
  async (path) => {
    const response = await ask(path);
    expect(response.status).toBe(404);
    expect(await response.json()).toEqual({ code: 'ROUTE_NOT_FOUND', message: 'no such route of this node' });
  },
);
