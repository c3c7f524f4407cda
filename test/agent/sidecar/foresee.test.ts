// What the sidecar reads in logs, foresees from them, and how it judges itself; its requests against a real server.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { describe, expect, test } from 'vitest';
import { type Forecast, openForesight } from '../../../agent/sidecar/foresee.ts';
import { readLine, type SeenRequest } from '../../../agent/sidecar/line.ts';
import { openWarmer, USER_AGENT } from '../../../agent/sidecar/warm.ts';
import { seededRandom } from '../../../agent/train/random.ts';

const NCSA = '10.0.0.7 - - [21/Nov/2026:18:00:01 +0100] "GET';
const AT = Date.UTC(2026, 10, 21, 17, 0, 1);

describe('a line', () => {
  test.each([
    ['nginx', `${NCSA} /v/s1.ts HTTP/1.1" 200 900 "-" "vlc"`, { path: '/v/s1.ts', bytes: 900, wasHit: undefined }],
    ['nginx', `${NCSA} /v/s1.ts HTTP/1.1" 206 900 "-" "vlc" HIT`, { status: 206, wasHit: true }],
    ['nginx', `${NCSA} /v/s1.ts HTTP/1.1" 200 900 "-" "a \\"b\\" MISS" "MISS"`, { wasHit: false }],
    ['nginx', `${NCSA} /v/s1.ts HTTP/1.1" 200 900 "-" "HIT"`, { wasHit: undefined, userAgent: 'HIT' }],
    [
      'varnish',
      `${NCSA} http://cdn.test:80/v/s1.ts HTTP/1.1" 200 900 "-" "vlc" miss`,
      { host: 'cdn.test:80', path: '/v/s1.ts', wasHit: false },
    ],
    [
      'ats',
      '1795280401.000 12 10.0.0.7 TCP_MISS/200 900 GET http://cdn.test/v/s1.ts - DIRECT/origin video/mp2t',
      { host: 'cdn.test', path: '/v/s1.ts', status: 200, bytes: 900, wasHit: false, client: '10.0.0.7' },
    ],
    [
      'ats',
      '1795280401.000 12 10.0.0.7 TCP_MEM_HIT/206 900 GET http://cdn.test/v/s1.ts - NONE/- video/mp2t',
      { wasHit: true },
    ],
    ['ats', `${NCSA} /v/s1.ts HTTP/1.1" 200 900 "-" "vlc"`, { path: '/v/s1.ts' }],
  ] as const)('of %s: %s', (format, line, wanted) => {
    expect(readLine(format, line)).toMatchObject({ at: AT, address: '10.0.0.7', ...wanted });
  });

  test.each([
    `${NCSA.replace('GET', 'POST')} /v HTTP/1.1" 200 900 "-" "vlc"`,
    `${NCSA} ftp://x/v HTTP/1.1" 200 900`,
    '10.0.0.7 - - [21/Nox/2026:18:00:01 +0100] "GET /v HTTP/1.1" 200 1',
    'garbage',
    '',
  ])('that is no answered GET is none: %s', (line) => {
    expect(readLine('nginx', line)).toBeUndefined();
    expect(readLine('ats', line)).toBeUndefined();
  });
});

const asked = (path: string, at: number, client = 'c', wasHit?: boolean): SeenRequest => ({
  ...{ at, client, address: client, userAgent: '', host: undefined, path, status: 200, bytes: 1_000 },
  wasHit,
});
const pathsOf = (forecasts: readonly Forecast[]): readonly string[] => forecasts.map(({ path }) => path);

describe('foresight', () => {
  test('after two of numbered objects the next two are foreseen, padded as they are, by their own step', () => {
    const foresight = openForesight();
    foresight.see(asked('/v/seg-0007.m4s', 1_000));
    expect(pathsOf(foresight.see(asked('/v/seg-0008.m4s', 5_000)))).toEqual(['/v/seg-0009.m4s', '/v/seg-0010.m4s']);
    expect(pathsOf(foresight.see(asked('/v/seg-0009.m4s', 9_000)))).toEqual(['/v/seg-0011.m4s']);
    // DASH with times in its names: the step is a segment's duration.
    for (const time of [0, 96_000, 192_000]) foresight.see(asked(`/w/t${time}.m4s`, 10_000 + time));
    expect(pathsOf(foresight.see(asked('/w/t288000.m4s', 400_000)))).toContain('/w/t384000.m4s');
    expect(foresight.report().forecasts.next).toMatchObject({ saved: 2, wasted: 4 });
  });

  test('what usually follows is foreseen: the title after a title', () => {
    const foresight = openForesight();
    for (let viewer = 0; viewer < 3; viewer += 1) {
      foresight.see(asked('/a/last.ts', viewer * 900_000, `v${viewer}`));
      foresight.see(asked('/b/first.ts', viewer * 900_000 + 5_000, `v${viewer}`));
    }
    const found = foresight.see(asked('/a/last.ts', 3 * 900_000, 'v9'));
    expect(found).toMatchObject([{ path: '/b/first.ts', reason: 'follows', bytes: 1_000 }]);
  });

  test('what many ask for is foreseen once it has been quiet', () => {
    const foresight = openForesight();
    for (let at = 0; at < 60; at += 1) foresight.see(asked('/hot/film.mp4', at * 20_000, `v${at}`));
    const quiet = 60 * 20_000 + 700_000;
    expect(foresight.see(asked('/x', quiet))).toMatchObject([{ path: '/hot/film.mp4', reason: 'popular' }]);
    foresight.see(asked('/hot/film.mp4', quiet + 60_000, 'late', false));
    expect(foresight.report().forecasts.popular).toMatchObject({ saved: 1, wasted: 0 });
  });

  test('every forecast ends: saved, there anyway, or in vain; and only kinds that come true are trusted', () => {
    const foresight = openForesight();
    for (let at = 0; at < 80; at += 1) foresight.see(asked(`/v/${at}.ts`, at * 4_000, 'c', at % 2 === 0));
    const { saved, there, wasted } = foresight.report().forecasts.next;
    expect([saved, there, wasted]).toEqual([39, 39, 0]);
    expect(foresight.isTrusted('next')).toBe(true);
    expect(foresight.isTrusted('follows')).toBe(false);
    // Players who jump about: nearly all is in vain.
    const random = seededRandom(1);
    for (let at = 0; at < 400; at += 1) {
      const title = Math.floor(at / 2);
      foresight.see(asked(`/t${title}/${at % 2 === 0 ? 5 : 6}.ts`, 1e6 + at * 10_000, `c${random()}`));
      foresight.see(asked(`/t${title}/6.ts`, 1e6 + at * 10_000, `d${title}`));
      foresight.see(asked(`/t${title}/7.ts`, 1e6 + at * 10_000, `d${title}`));
    }
    foresight.see(asked('/end', 1e9));
    expect(foresight.report().forecasts.next.wasted).toBeGreaterThan(150);
    expect(foresight.isTrusted('next')).toBe(false);
    expect(foresight.report().waiting).toBe(0);
  });

  test('a hit that is owed to warming counts as saved', () => {
    const foresight = openForesight();
    for (const at of [1, 2]) foresight.see(asked(`/v/${at}.ts`, at * 4_000, 'c', false));
    foresight.warmed(asked('/v/3.ts', 9_000, 'us', false));
    foresight.warmed(asked('/v/4.ts', 9_000, 'us', true));
    foresight.see(asked('/v/3.ts', 12_000, 'c', true));
    foresight.see(asked('/v/4.ts', 16_000, 'c', true));
    expect(foresight.report().forecasts.next).toMatchObject({ saved: 1, there: 1 });
  });

  test('very many objects and clients leave it within its bounds', () => {
    const foresight = openForesight();
    const before = process.memoryUsage().heapUsed;
    for (let at = 0; at < 80_000; at += 1) foresight.see(asked(`/x${at % 7}/${at * 3}/9.ts`, at, `c${at}`));
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(200 * 1024 * 1024);
    expect(foresight.report().waiting).toBeLessThanOrEqual(20_000);
  });
});

describe('the warmer', () => {
  const forecast = (path: string, bytes = 10): Forecast => ({ path, host: 'cdn.test', reason: 'next', bytes });

  async function serverOf(answer: (path: string) => { readonly status: number; readonly body: Buffer }) {
    const seen: { path: string; host: string | undefined; agent: string | undefined }[] = [];
    const server = createServer((request, response) => {
      const { url: path = '', headers } = request;
      seen.push({ path, host: headers.host, agent: headers['user-agent'] });
      const { status, body } = answer(path);
      response.writeHead(status).end(body);
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    return { seen, url: new URL(`http://127.0.0.1:${port}/`), close: () => server.close() };
  }
  const limits = { bytesPerSecond: 1e9, bytesPerDay: 1e9, maxObjectBytes: 1_000, now: Date.now };

  test("asks the cache for the log's path under the log's name, once each, and says who it is", async () => {
    const server = await serverOf(() => ({ status: 200, body: Buffer.alloc(100) }));
    const warmer = openWarmer({ ...limits, url: server.url });
    for (const path of ['/a.ts', '//evil.test/b.ts']) warmer.push(forecast(path));
    await warmer.idle();
    expect(server.seen).toEqual([
      { path: '/a.ts', host: 'cdn.test', agent: USER_AGENT },
      { path: '//evil.test/b.ts', host: 'cdn.test', agent: USER_AGENT },
    ]);
    expect(warmer.stats()).toMatchObject({ warmed: 2, bytes: 200, failed: 0 });
    warmer.close();
    server.close();
  });

  test('stays within its size and its day, leaves a failing cache alone, and stops when it is closed', async () => {
    const server = await serverOf((path) => ({
      status: path.startsWith('/bad') ? 503 : 200,
      body: Buffer.alloc(path === '/large.ts' ? 5_000 : 100),
    }));
    let now = 1_000;
    const warmer = openWarmer({ ...limits, url: server.url, bytesPerDay: 250, now: () => now });
    for (const path of ['/large.ts', '/1.ts', '/2.ts']) warmer.push(forecast(path));
    await warmer.idle();
    warmer.push(forecast('/3.ts', 100));
    warmer.push(forecast('/known.ts', 2_000));
    await warmer.idle();
    expect(warmer.stats()).toMatchObject({ warmed: 2, tooLarge: 2, overBudget: 1, bytes: 200 });
    now += 86_400_000;
    warmer.push(forecast('/3.ts', 100));
    await warmer.idle();
    expect(warmer.stats()).toMatchObject({ warmed: 3 });
    for (let at = 0; at < 20; at += 1) warmer.push(forecast(`/bad${at}.ts`));
    await expect.poll(() => warmer.stats().failed).toBeGreaterThanOrEqual(4);
    warmer.close();
    await warmer.idle();
    expect(warmer.stats().failed + warmer.stats().dropped).toBe(20);
    expect(warmer.stats().dropped).toBeGreaterThan(5);
    server.close();
  });
});
