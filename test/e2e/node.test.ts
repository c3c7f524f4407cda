// The whole line on real parts: an origin, a node as its own process, a clip encoded by it, and a viewer in Chromium
// who plays ten seconds, plays them again from the cache, and is shown a preview.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page, Response } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openOrigin } from '../../agent/commands/origin.ts';
import { askControl } from '../../agent/control.ts';
import { findFfmpeg } from '../../agent/encoder-process.ts';
import { openBrowser } from './browser.ts';
import { processesNaming, type Running, start } from './process.ts';

const dir = mkdtempSync(join(tmpdir(), 'nearcast-e2e-'));
const socket = join(dir, 'run', 'nearcast.sock');
const publicDir = join(dir, 'public');
let origin: Awaited<ReturnType<typeof openOrigin>>;
let node: Running;
let browser: Browser;
let url: string;
let metricsUrl: string;

/** 12 s at 180p in four shots, with a tone. */
async function makeClip(file: string): Promise<void> {
  const found = await findFfmpeg(process.env);
  if (!found.ok) throw new Error(found.message);
  const size = 's=320x180:r=24:d=3';
  const sources = [`testsrc2=${size}`, 'mandelbrot=s=320x180:r=24', `gradients=${size}:seed=3`, `smptehdbars=${size}`];
  const chains = sources.map((_, index) => `[${index}:v]trim=duration=3,format=yuv420p,setsar=1[v${index}]`);
  const graph = `${chains.join(';')};${sources.map((_, index) => `[v${index}]`).join('')}concat=n=4:v=1:a=0[v]`;
  const inputs = [...sources, 'sine=f=220:d=12:r=48000'].flatMap((source) => ['-f', 'lavfi', '-i', source]);
  execFileSync(found.path, [
    '-v',
    'error',
    '-y',
    ...inputs,
    '-filter_complex',
    graph,
    '-map',
    '[v]',
    '-map',
    '4:a',
    '-c:v',
    'libx264',
    '-preset',
    'ultrafast',
    '-crf',
    '12',
    '-c:a',
    'aac',
    file,
  ]);
}

async function listed(): Promise<readonly { readonly id: string; readonly ready: boolean }[]> {
  // The node's own route; its shape is held by the assertions on it.
  return (await (await fetch(`${url}.nearcast/titles`)).json()) as { id: string; ready: boolean }[];
}

beforeAll(async () => {
  mkdirSync(join(publicDir, 'titles'), { recursive: true });
  origin = await openOrigin({ dir: publicDir, host: '127.0.0.1', port: 0, log: () => undefined });
  const config = {
    version: 1,
    node: { id: 'edge-test', region: 'test' },
    listen: { http: '127.0.0.1:0' },
    admin: { metrics: '127.0.0.1:0', socket: 'run/nearcast.sock' },
    state: { dir: 'state' },
    origins: [{ name: 'main', url: `http://127.0.0.1:${origin.port}`, match: '/' }],
    store: { ramBytes: '64MiB', dirs: [{ path: 'store', maxBytes: '256MiB' }] },
    catalogue: { file: 'catalogue.jsonl' },
    publish: { dir: 'public/titles' },
    // Other tests keep the processors busy.
    power: { foregroundCeiling: 1 },
    preview: { deadlineMs: 5_000, fileDeadlineMs: 5_000 },
  };
  writeFileSync(join(dir, 'nearcast.yaml'), JSON.stringify(config));
  node = start(['run', '--config', join(dir, 'nearcast.yaml')]);
  const [ready] = await Promise.all([
    node.line(({ event }) => event === 'node.ready'),
    makeClip(join(dir, 'clip.mp4')),
  ]);
  url = `http://127.0.0.1:${ready['port']}/`;
  metricsUrl = `http://127.0.0.1:${ready['metricsPort']}`;
  const published = node.line(({ event, id }) => event === 'encode.published' && id === 'clip');
  await askControl(socket, {
    method: 'POST',
    path: '/encode',
    body: { input: join(dir, 'clip.mp4'), id: 'clip', name: 'A clip' },
  });
  await published;
  browser = await openBrowser();
}, 120_000);

afterAll(async () => {
  await browser?.close();
  node?.child.kill('SIGKILL');
  await node?.ended;
  await origin?.close();
  rmSync(dir, { recursive: true, force: true });
});

const isMedia = (response: Response) => /\/titles\/.*\.(m4s|mp4)(\?|$)/.test(response.url());

/** By evaluate(), which the page's content security policy lets through. */
async function becomesTrue(page: Page, expression: string, timeout: number): Promise<void> {
  await expect.poll(() => page.evaluate(expression), { timeout, interval: 50 }).toBe(true);
}

/** Opens the page, starts the title and waits until its player has come to `seconds`. */
async function play(page: Page, seconds: number): Promise<readonly Response[]> {
  const media: Response[] = [];
  page.on('response', (response) => {
    if (isMedia(response)) media.push(response);
  });
  await page.goto(url);
  await page.locator('.card[data-title=clip][data-state=ready] button').click();
  await becomesTrue(page, `document.querySelector('#player-video').currentTime > ${seconds}`, 40_000);
  return media;
}

test('the title is listed as ready, with its poster', async () => {
  expect(await listed()).toMatchObject([
    {
      id: 'clip',
      name: 'A clip',
      ready: true,
      progressRatio: 1,
      poster: expect.stringMatching(/^\/titles\/clip\/[0-9a-f]+\//),
    },
  ]);
});

test('it plays 10 s in Chromium, and again with every segment a hit', async () => {
  const first = await browser.newPage();
  const asked = await play(first, 10);
  expect(asked.length).toBeGreaterThan(4);
  expect(asked.every((response) => [200, 206].includes(response.status()))).toBe(true);
  await first.close();
  const second = await browser.newPage();
  const again = await play(second, 10);
  for (const response of again) {
    const status = (await response.allHeaders())['cache-status'];
    expect(status, response.url()).toMatch(/; ?hit\b/);
  }
  await second.close();
}, 90_000);

test('a hover plays a preview made of existing segments', async () => {
  const page = await browser.newPage();
  const file = page.waitForResponse((response) => response.url().includes('/.nearcast/preview/clip.mp4'));
  await page.goto(url);
  await page.locator('.card[data-title=clip][data-state=ready] button').hover();
  const response = await file;
  expect(response.status()).toBe(200);
  expect(await response.headerValue('nearcast-skipped')).toBe('0');
  expect(await response.headerValue('nearcast-arm')).toBeTruthy();
  await becomesTrue(page, `(document.querySelector('.card video')?.currentTime ?? 0) > 0.5`, 20_000);
  await page.close();
}, 40_000);

test('explain, status and metrics tell what happened', async () => {
  const status = await askControl(socket, { method: 'GET', path: '/status' });
  expect(status).toMatchObject({ node: { id: 'edge-test' }, encodes: [{ id: 'clip', state: 'done' }] });
  const explained = await askControl(socket, { method: 'GET', path: '/explain?url=/titles/clip/master.m3u8' });
  expect(explained).toMatchObject({ url: '/titles/clip/master.m3u8', title: 'clip' });
  const metrics = await (await fetch(`${metricsUrl}/metrics`)).text();
  expect(metrics).toMatch(/nearcast_cache_requests_total\{result="hit",kind="segment"\} [1-9]/);
  expect(metrics).toMatch(/nearcast_encode_jobs_total\{outcome="done"\} 1/);
  expect(metrics).toMatch(/nearcast_preview_requests_total\{answer="[a-z]+"\} [1-9]/);
  expect((await fetch(`${metricsUrl}/readyz`)).status).toBe(200);
});

test('SIGTERM drains and ends with 0 within 5 s', async () => {
  const began = performance.now();
  node.child.kill('SIGTERM');
  expect(await node.ended).toEqual({ code: 0, signal: null });
  expect(performance.now() - began).toBeLessThan(5_000);
  expect(processesNaming(dir)).toEqual([]);
});
