// A preview in the players that viewers have: hls.js and Shaka Player play its jumps through to the end in Chromium, and
// show its captions where they are said, whether they take the playlist alone or the one that names its captions.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openPreview } from '../../agent/preview/preview.ts';
import { NO_OVERRIDES } from '../../agent/preview/sidecar.ts';
import { previewRoutes } from '../../agent/preview-routes.ts';
import { openBrowser } from '../e2e/browser.ts';
import { buildRich } from '../encoder/package/media.ts';
import { openFakeChooser } from '../fake/chooser.ts';
import { type PackageServer, servePackage } from '../fake/package-server.ts';
import { openPlayerPage } from './player-page.ts';

/** Three stretches of three segments of 1.001 s each. */
const CUT = [1, 8, 12].map((startSeconds) => ({ startSeconds, endSeconds: startSeconds + 2.9 }));
const SECONDS = 9 * 1.001;
const VTT = [
  'WEBVTT',
  '00:00:01.501 --> 00:00:03.001\nfirst',
  '00:00:05.000 --> 00:00:06.000\nnever',
  '00:00:08.508 --> 00:00:10.008\nsecond',
  '00:00:13.012 --> 00:00:14.012\nthird',
].join('\n\n');
/** When each is said in the preview: its stretch begins at 0, 3.003 and 6.006 s. */
const SAID = { first: 0.5, second: 3.503, third: 7.006 };
const WAIT_MS = 40_000;

let dir: string;
let server: PackageServer;
let browser: Browser;
let page: Page;
let problems: readonly string[];

/** A node's previews of one title that is on disk. */
async function openServer(): Promise<PackageServer> {
  const { folder, title } = await buildRich(dir, [270, 210]);
  const preview = openPreview({
    packageOf: () => ({
      ...{ state: 'ready', title, baseUrl: '/p/' },
      overrides: { ...NO_OVERRIDES, cut: CUT.map((span) => ({ ...span })), isOnly: true },
    }),
    sessionOf: () => undefined,
    bandit: openFakeChooser(),
    read: async (url) => (url.endsWith('.vtt') ? Buffer.from(VTT) : readFile(join(folder.path, url.slice(3)))),
    imagesOf: () => undefined,
    now: Date.now,
    ...{ deadlineMs: 5_000, fileDeadlineMs: 5_000 },
  });
  const refused = () => ({ status: 404, headers: {}, body: '' });
  const ads = { fill: async () => ({ outcome: 'no-promo' as const }) };
  const parts = { preview, ads, promos: null, deadlineMs: 5_000, fileDeadlineMs: 5_000, refused };
  const [route] = previewRoutes(parts);
  const modules = fileURLToPath(new URL('../../node_modules', import.meta.url));
  const { signal } = new AbortController();
  return servePackage({ p: folder.path, modules }, async (url) => {
    if (route === undefined || !url.pathname.startsWith(route.prefix)) return undefined;
    const request = { method: 'GET', path: url.pathname, query: url.searchParams, headers: {}, signal } as const;
    const reply = await route.answer({ ...request, body: Buffer.alloc(0), remoteHash: '' });
    return { status: reply.status, headers: reply.headers ?? {}, body: reply.body ?? '' };
  });
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'preview-players-'));
  server = await openServer();
  browser = await openBrowser();
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
  await rm(dir, { recursive: true, force: true });
});
beforeEach(async () => {
  await page?.close();
  ({ page, problems } = await openPlayerPage(browser, server));
});

const START = {
  'hls.js': [
    'hls.js/dist/hls.min.js',
    (url: string) => `
      const hls = new Hls({ subtitlePreference: { lang: 'en' } });
      hls.on(Hls.Events.ERROR, (_, { type, details, fatal }) => { if (fatal) seen.errors.push(type + ' ' + details); });
      hls.on(Hls.Events.MANIFEST_PARSED, () => { hls.subtitleTrack = 0; video.play(); });
      hls.loadSource('${url}');
      hls.attachMedia(video);`,
  ],
  'Shaka Player': [
    'shaka-player/dist/shaka-player.compiled.js',
    (url: string) => `(async () => {
      shaka.polyfill.installAll();
      const player = new shaka.Player();
      player.addEventListener('error', ({ detail }) => seen.errors.push('shaka ' + detail.code));
      await player.attach(video);
      await player.load('${url}');
      if (player.getTextTracks().length > 0) player.selectTextTrack(player.getTextTracks()[0]);
      await player.setTextTrackVisibility?.(true);
      video.play();
    })().catch((error) => seen.errors.push(String(error?.code ?? error)))`,
  ],
} as const;

async function playsToTheEnd(name: keyof typeof START, url: string): Promise<void> {
  const [script, start] = START[name];
  await page.addScriptTag({ url: `${server.url}modules/${script}` });
  await page.evaluate(`{ ${start(url)} }`);
  await expect
    .poll(() => page.evaluate('video.ended || seen.errors.length > 0'), { timeout: WAIT_MS, interval: 50 })
    .toBe(true)
    .catch(async (cause: unknown) => {
      const state = await page.evaluate('({ at: video.currentTime, ready: video.readyState, errors: seen.errors })');
      throw new Error(`does not end: ${JSON.stringify(state)}, ${server.asked.slice(-5).join()}`, { cause });
    });
  expect(await page.evaluate('seen.errors')).toEqual([]);
  expect(problems).toEqual([]);
  expect(Math.abs(Number(await page.evaluate('video.currentTime')) - SECONDS)).toBeLessThan(0.25);
  // Played through in one piece: a player that falls into a gap, or skips a stretch, plays in several.
  expect(await page.evaluate('video.played.length')).toBe(1);
  // Frames, not only time: nine stretches of thirty, less what a loaded machine drops.
  const shown = Number(await page.evaluate('video.getVideoPlaybackQuality().totalVideoFrames'));
  expect(shown).toBeGreaterThan(240);
}

describe.each(['hls.js', 'Shaka Player'] as const)('%s', (name) => {
  test('plays the playlist alone, of its own segments only', async () => {
    await playsToTheEnd(name, '/.nearcast/preview/test.m3u8?maxHeight=90');
    const segments = server.asked.filter((path) => path.endsWith('.m4s') || / bytes=/.test(path));
    // Shaka Player reads one or two of them beforehand, to learn what a playlist without a multivariant one holds.
    expect(new Set(segments).size).toBe(9);
  });

  test('plays it with its captions, each where it is said', async () => {
    await playsToTheEnd(name, '/.nearcast/preview/test.m3u8?captions=1');
    const cues = await page.evaluate(
      `[...video.textTracks].flatMap((track) => [...(track.cues ?? [])]).map(({ text, startTime }) => [text, startTime])`,
    );
    // Sound: what the expression above gives.
    const said = new Map(cues as [string, number][]);
    expect([...said.keys()].toSorted()).toEqual(Object.keys(SAID).toSorted());
    for (const [text, at] of Object.entries(SAID)) expect(Math.abs((said.get(text) ?? -9) - at)).toBeLessThan(0.15);
  });
});
