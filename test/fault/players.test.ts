// A package in the players that viewers have: hls.js, dash.js and Shaka Player play it to its end in Chromium, switch
// rendition and audio on the way, and load subtitles, thumbnails and I-frames.
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Title } from '../../encoder/contract.ts';
import { openBrowser } from '../e2e/browser.ts';
import { findTool, makeClip } from '../encoder/clips.ts';
import { buildRich } from '../encoder/package/media.ts';
import { type PackageServer, servePackage } from '../fake/package-server.ts';
import { openPlayerPage } from './player-page.ts';

/** Frames of the two shots, 16 s together; played at twice the speed. */
const LENGTHS = [270, 210] as const;
const ENCODER = fileURLToPath(new URL('../../encoder/main.ts', import.meta.url));
const WAIT_MS = 40_000;

let dir: string;
let server: PackageServer;
let browser: Browser;
let page: Page;
let title: Title;
let problems: readonly string[];

/** A title of the encoder's own, with the same ladder in two codecs. */
async function encodeTwoCodecs(): Promise<string> {
  makeClip(await findTool(), join(dir, 'clip.mp4'), { audio: true });
  const job = {
    ...{ version: 1, id: 'two', input: join(dir, 'clip.mp4'), outDir: join(dir, 'two'), codecs: ['h264', 'av1'] },
    ...{ preset: 'ultrafast', ladder: { heights: [180, 144], minimumStep: 1 }, trials: { crfs: [24, 38] } },
  };
  await writeFile(join(dir, 'job.json'), JSON.stringify(job));
  await promisify(execFile)(process.execPath, [ENCODER, join(dir, 'job.json')]);
  return join(dir, 'two/package');
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'players-'));
  const built = await buildRich(dir, LENGTHS);
  title = built.title;
  const modules = fileURLToPath(new URL('../../node_modules', import.meta.url));
  server = await servePackage({ p: built.folder.path, two: await encodeTwoCodecs(), modules });
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
  await page.evaluate(`video.addEventListener('canplay', () => { video.playbackRate = 2; })`);
});

async function load(script: string): Promise<void> {
  await page.addScriptTag({ url: `${server.url}modules/${script}` });
}

async function becomesTrue(expression: string): Promise<void> {
  await expect.poll(() => page.evaluate(expression), { timeout: WAIT_MS, interval: 50 }).toBe(true);
}

/** Waits for the end, and requires that it was played without an error, and every frame range of the timeline shown. */
async function playsToTheEnd(): Promise<void> {
  await becomesTrue('video.ended').catch(async (cause: unknown) => {
    const state = await page.evaluate(
      '({ at: video.currentTime, ready: video.readyState, errors: seen.errors, ranges: video.buffered.length })',
    );
    throw new Error(`does not end: ${JSON.stringify(state)}, asked last ${server.asked.slice(-5).join()}`, { cause });
  });
  expect(await page.evaluate('seen.errors')).toEqual([]);
  expect(problems).toEqual([]);
  expect(await page.evaluate('video.currentTime')).toBeCloseTo(title.durationSeconds, 0);
  expect(await page.evaluate('video.played.length')).toBe(1);
  expect(await page.evaluate('video.buffered.length')).toBe(1);
}

/** Texts of all cues that the player gave to the video element. */
const cuesLoaded = (): Promise<unknown> =>
  page.evaluate(
    `[...video.textTracks].flatMap((track) => [...(track.cues ?? [])]).map(({ text }) => text).join(' | ')`,
  );

const asked = (path: string): boolean => server.asked.some((one) => one.startsWith(`/p/${path}`));

describe('hls.js', () => {
  test('plays, switches rendition and audio, shows subtitles', async () => {
    await load('hls.js/dist/hls.min.js');
    await page.evaluate(`
      globalThis.hls = new Hls({ startLevel: 0, maxBufferLength: 3, maxMaxBufferLength: 3 });
      hls.on(Hls.Events.ERROR, (_, { type, details, fatal }) => { if (fatal) seen.errors.push(type + ' ' + details); });
      hls.on(Hls.Events.LEVEL_SWITCHED, (_, { level }) => seen.levels.add(hls.levels[level].height));
      hls.on(Hls.Events.AUDIO_TRACK_SWITCHED, () => seen.audio.add(hls.audioTracks[hls.audioTrack].lang));
      hls.on(Hls.Events.MANIFEST_PARSED, () => video.play());
      hls.loadSource('/p/master.m3u8');
      hls.attachMedia(video);
    `);
    await becomesTrue('video.currentTime > 1');
    await page.evaluate('hls.subtitleTrack = 0; hls.nextLevel = hls.levels.length - 1');
    await becomesTrue('seen.levels.size > 1');
    await page.evaluate(`hls.audioTrack = hls.audioTracks.find(({ lang }) => lang === 'de').id`);
    await becomesTrue(`seen.audio.has('de')`);
    await playsToTheEnd();
    expect(await page.evaluate('[...seen.levels].sort()')).toEqual([180, 90]);
    expect(await cuesLoaded()).toContain('Hello & <b>welcome</b>');
    expect(asked('t1/00001.vtt')).toBe(true);
    expect(asked('a2/')).toBe(true);
  });
});

describe('dash.js', () => {
  test('plays, switches rendition, shows subtitles and thumbnails', async () => {
    await load('dashjs/dist/modern/umd/dash.all.min.js');
    await page.evaluate(`
      globalThis.player = dashjs.MediaPlayer().create();
      player.updateSettings({ debug: { logLevel: 0 }, streaming: {
        abr: { autoSwitchBitrate: { video: false }, initialBitrate: { video: 1 } },
        buffer: { bufferTimeDefault: 3, bufferTimeAtTopQuality: 3, bufferTimeAtTopQualityLongForm: 3 },
        text: { defaultEnabled: true },
      } });
      player.on('error', ({ error }) => seen.errors.push(error.message ?? String(error)));
      player.on('qualityChangeRendered', ({ mediaType, newRepresentation }) => {
        if (mediaType === 'video') seen.levels.add(newRepresentation.height);
      });
      player.initialize(video, '/p/manifest.mpd', true);
    `);
    await becomesTrue('video.currentTime > 1');
    await page.evaluate(`
      const other = player.getRepresentationsByType('video').find(({ id }) => id !== player.getCurrentRepresentationForType('video').id);
      player.setRepresentationForTypeById('video', other.id, true);
    `);
    await becomesTrue('seen.levels.size > 1');
    const thumbnail = await page.evaluate(`new Promise((resolve) => player.provideThumbnail(1.6, resolve))`);
    expect(thumbnail).toMatchObject({ x: 72, y: 36, width: 72, height: 36 });
    expect(thumbnail).toMatchObject({ url: `${server.url}p/thumbnails/00001.jpg` });
    await playsToTheEnd();
    expect(await cuesLoaded()).toContain('the whole rest');
    expect(asked('t1/all.vtt') || asked('t2/all.vtt')).toBe(true);
  });
});

describe.each(['manifest.mpd', 'master.m3u8'])('Shaka Player with %s', (manifest) => {
  test('plays, switches rendition and audio, shows subtitles and thumbnails', async () => {
    await load('shaka-player/dist/shaka-player.compiled.js');
    await page.evaluate(`(async () => {
      shaka.polyfill.installAll();
      globalThis.player = new shaka.Player();
      player.addEventListener('error', ({ detail }) => seen.errors.push('shaka ' + detail.code));
      await player.attach(video);
      player.configure({ abr: { enabled: false }, streaming: { bufferingGoal: 3, rebufferingGoal: 1 } });
      await player.load('/p/${manifest}');
      player.selectTextTrack(player.getTextTracks()[0]);
      await player.setTextTrackVisibility?.(true);
      video.play();
    })()`);
    await becomesTrue('video.currentTime > 1');
    const before = await page.evaluate('player.getVariantTracks().find((track) => track.active).height');
    await page.evaluate(`{
      const now = player.getVariantTracks().find((track) => track.active);
      player.selectVariantTrack(player.getVariantTracks().find((track) => track.height !== now.height), true);
    }`);
    await becomesTrue(`player.getVariantTracks().find((track) => track.active).height !== ${before}`);
    // Shaka Player loses the picture when it is told to switch again before the first switch is in the buffer.
    await becomesTrue('globalThis.from ??= video.currentTime, video.currentTime > from + 0.5');
    await page.evaluate(`player.selectAudioTrack(player.getAudioTracks().find(({ language }) => language === 'de'))`);
    await becomesTrue(`player.getAudioTracks().find(({ active }) => active)?.language === 'de'`);
    const thumbnail = await page.evaluate(
      `player.getThumbnails(player.getImageTracks()[0].id, 1.6).then(({ uris, positionX, positionY, width, height }) =>
        ({ uri: uris[0], positionX, positionY, width, height }))`,
    );
    expect(thumbnail).toMatchObject({ positionX: 72, positionY: 36, width: 72, height: 36 });
    await playsToTheEnd();
    // Both are German.
    expect(asked('a2/') || asked('a5/')).toBe(true);
    expect(await cuesLoaded()).toContain('the whole rest');
    expect(asked(manifest === 'manifest.mpd' ? 't1/all.vtt' : 't1/00001.vtt')).toBe(true);
  });
});

test.each(['avc1', 'av01'])('hls.js plays the %s half of a ladder in two codecs', async (codec) => {
  await load('hls.js/dist/hls.min.js');
  await page.evaluate(`
    globalThis.hls = new Hls({ videoPreference: { videoCodec: '${codec}' } });
    hls.on(Hls.Events.ERROR, (_, { type, details, fatal }) => { if (fatal) seen.errors.push(type + ' ' + details); });
    hls.on(Hls.Events.LEVEL_SWITCHED, (_, { level }) => seen.levels.add(hls.levels[level].videoCodec.slice(0, 4)));
    hls.on(Hls.Events.MANIFEST_PARSED, (_, { levels }) => {
      hls.startLevel = hls.loadLevel = levels.findIndex(({ videoCodec }) => videoCodec.startsWith('${codec}'));
      video.play();
    });
    hls.loadSource('/two/master.m3u8');
    hls.attachMedia(video);
  `);
  await becomesTrue('video.ended');
  expect(await page.evaluate('seen.errors')).toEqual([]);
  expect(await page.evaluate('[...seen.levels]')).toEqual([codec]);
});

test.each([
  [
    'dashjs/dist/modern/umd/dash.all.min.js',
    `dashjs.MediaPlayer().create().initialize(video, '/two/manifest.mpd', true);`,
  ],
  [
    'shaka-player/dist/shaka-player.compiled.js',
    `globalThis.player = new shaka.Player();
     player.addEventListener('error', ({ detail }) => seen.errors.push('shaka ' + detail.code));
     player.attach(video).then(() => player.load('/two/manifest.mpd')).then(() => video.play());`,
  ],
])('%s plays a manifest in two codecs', async (script, start) => {
  await load(script);
  await page.evaluate(`{ ${start} }`);
  await becomesTrue('video.ended');
  expect(await page.evaluate('seen.errors')).toEqual([]);
  expect(problems).toEqual([]);
});

test('Shaka Player steps through I-frames: byte ranges of segments', async () => {
  await load('shaka-player/dist/shaka-player.compiled.js');
  await page.evaluate(`(async () => {
    shaka.polyfill.installAll();
    globalThis.player = new shaka.Player();
    player.addEventListener('error', ({ detail }) => seen.errors.push('shaka ' + detail.code));
    await player.attach(video);
    await player.load('/p/master.m3u8');
    video.play();
  })()`);
  await becomesTrue('video.currentTime > 0.5');
  await page.evaluate('player.trickPlay(8)');
  await expect.poll(() => server.asked.some((one) => /m4s bytes=0-\d+$/.test(one)), { timeout: WAIT_MS }).toBe(true);
  expect(await page.evaluate('seen.errors')).toEqual([]);
});

test('thumbnails by their WebVTT: every cue lies within the picture that it names', async () => {
  const loaded = await page.evaluate(`(async () => {
    const base = '/p/thumbnails/';
    const text = await (await fetch(base + 'thumbnails.vtt')).text();
    const rectangles = [...text.matchAll(/^(\\S+\\.jpg)#xywh=(\\d+),(\\d+),(\\d+),(\\d+)$/gm)];
    const image = new Image();
    let inside = 0;
    for (const [, name, x, y, w, h] of rectangles) {
      image.src = base + name;
      await image.decode();
      if (+x + +w <= image.naturalWidth && +y + +h <= image.naturalHeight) inside += 1;
    }
    return { rectangles: rectangles.length, inside };
  })()`);
  expect(loaded).toEqual({ rectangles: 32, inside: 32 });
});
