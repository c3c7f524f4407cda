// Records what real players ask for while somebody pauses, plays, seeks and changes speed: hls.js and dash.js in
// headless Chromium, several at once, each action labelled with its time. Writes the requests and labels as the fixture
// of the inference tests, a seek to what a player still holds aside, which no request shows: `node run.mjs --entry=test/bench/record-actions.ts [FILE]`. Takes about six minutes.
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import type { Browser, Page } from 'playwright-core';
import send from 'send';
import { openBrowser } from '../e2e/browser.ts';
import { FFMPEG } from '../encoder/package/media.ts';

const SEGMENT_SECONDS = 2;
const TITLE_SECONDS = 1_800;
/** Where the second half of the title begins: seeks go to and fro between the halves, always to what was not yet seen. */
const HALF_SECONDS = 900;
const PAGES = 10;
const CYCLES = 4;
const PLAYERS = ['hls.js', 'dash.js'] as const;
const FIXTURE = fileURLToPath(new URL('../agent/telemetry/actions.jsonl.gz', import.meta.url));
const MODULES = fileURLToPath(new URL('../../node_modules', import.meta.url));

type Line = Readonly<Record<string, string | number>>;
const lines: Line[] = [];
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A long title in short segments, as HLS and DASH over the same files. */
async function makeTitle(dir: string): Promise<void> {
  const source = `testsrc2=size=160x90:rate=5,trim=duration=${TITLE_SECONDS}`;
  const gop = String(5 * SEGMENT_SECONDS);
  const video = ['-c:v', 'libx264', '-preset', 'ultrafast', '-crf', '40', '-g', gop, '-keyint_min', gop];
  const dash = ['-f', 'dash', '-seg_duration', String(SEGMENT_SECONDS), '-use_timeline', '0', '-hls_playlist', '1'];
  const input = ['-v', 'error', '-f', 'lavfi', '-i', source];
  await promisify(execFile)(
    FFMPEG,
    [...input, ...video, '-sc_threshold', '0', '-pix_fmt', 'yuv420p', ...dash, 'm.mpd'],
    {
      cwd: dir,
    },
  );
}

/** Serves `/PAGE/FILE` and writes each segment's request down under its page. */
async function serve(dir: string): Promise<{ readonly server: Server; readonly url: string }> {
  const server = createServer((request, response) => {
    const [, page = '', ...rest] = (request.url ?? '/').split('/');
    const file = rest.join('/');
    if (file === '')
      return void response.setHeader('content-type', 'text/html').end('<!doctype html><video muted></video>');
    const number = /^chunk-stream0-(\d+)\.m4s$/.exec(file)?.[1];
    if (number !== undefined) lines.push({ s: page, t: Date.now(), n: Number(number) });
    const root = page === 'modules' ? MODULES : dir;
    send(request, file, { root, maxAge: 86_400_000, acceptRanges: true }).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A TCP listener has an address of this shape.
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}

const START: Readonly<Record<(typeof PLAYERS)[number], readonly [script: string, start: string]>> = {
  'hls.js': [
    'hls.js/dist/hls.min.js',
    `const hls = new Hls({ maxBufferLength: 12, maxMaxBufferLength: 12 }); hls.loadSource('master.m3u8');
     hls.attachMedia(video); video.play();`,
  ],
  'dash.js': [
    'dashjs/dist/modern/umd/dash.all.min.js',
    `const player = dashjs.MediaPlayer().create();
     player.updateSettings({ debug: { logLevel: 0 }, streaming: { buffer: { bufferTimeDefault: 12,
       bufferTimeAtTopQuality: 12, bufferTimeAtTopQualityLongForm: 12 } } });
     player.initialize(video, 'm.mpd', true);`,
  ],
};

/** Waits until the player asks for one segment after the other at its pace: its buffer is full. */
async function becomesSteady(name: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline) {
    const since = lines.findLastIndex(({ s, a }) => s === name && a !== undefined);
    const own = lines
      .slice(since + 1)
      .filter(({ s, n }) => s === name && n !== undefined)
      .slice(-4);
    const gaps = own.slice(1).map(({ t }, at) => Number(t) - Number(own[at]?.['t']));
    if (gaps.length === 3 && gaps.every((gap) => gap > 700 && gap < 3500)) return;
    await wait(200);
  }
}

/** Somebody with a remote control: every action in turn, at no fixed moment of a segment. */
async function act(page: Page, name: string): Promise<void> {
  const label = async (action: string, script: string, value = 0): Promise<void> => {
    lines.push({ s: name, t: Date.now(), a: action, v: value });
    await page.evaluate(script);
  };
  const anyMoment = (): Promise<void> => wait(Math.random() * SEGMENT_SECONDS * 1000);
  const seekTo = async (seconds: number): Promise<void> => label('seek', `video.currentTime = ${seconds}`, seconds);
  for (let cycle = 0; cycle < CYCLES; cycle += 1) {
    await becomesSteady(name);
    await anyMoment();
    await label('pause', 'video.pause()');
    await wait(7_000 + Math.random() * 3_000);
    await label('play', 'video.play()');
    await becomesSteady(name);
    await anyMoment();
    await seekTo(HALF_SECONDS + cycle * 150 + Math.round(Math.random() * 50));
    await wait(SEGMENT_SECONDS * 4_000);
    await becomesSteady(name);
    await label('rate', 'video.playbackRate = 2', 2);
    await wait(9_000);
    await label('rate', 'video.playbackRate = 1', 1);
    await wait(9_000);
    await anyMoment();
    await label('pause', 'video.pause()');
    await wait(7_000 + Math.random() * 3_000);
    await label('play', 'video.play()');
    await becomesSteady(name);
    await seekTo(150 + cycle * 150 + Math.round(Math.random() * 50));
  }
  await becomesSteady(name);
}

async function record(browser: Browser, url: string, at: number): Promise<void> {
  const player = PLAYERS[at % PLAYERS.length] ?? 'hls.js';
  const name = `${player}-${at}`;
  // Players that begin together would pause together.
  await wait(at * 1_700);
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${url}${name}/`);
  const [script, start] = START[player];
  await page.addScriptTag({ url: `${url}modules/${script}` });
  await page.evaluate(`globalThis.video = document.querySelector('video'); { ${start} }`);
  await act(page, name);
  await page.close();
}

const dir = await mkdtemp(join(tmpdir(), 'nearcast-actions-'));
await makeTitle(dir);
const { server, url } = await serve(dir);
const browser = await openBrowser(['--disable-background-timer-throttling', '--disable-renderer-backgrounding']);
await Promise.all(Array.from({ length: PAGES }, (_, at) => record(browser, url, at)));
await browser.close();
server.close();
server.closeAllConnections();
await rm(dir, { recursive: true, force: true });
const begin = Math.min(...lines.map(({ t }) => Number(t)));
const text = [...lines]
  .sort((one, other) => Number(one['t']) - Number(other['t']))
  .map((line) => JSON.stringify({ ...line, t: Number(line['t']) - begin }))
  .join('\n');
await writeFile(process.argv[2] ?? FIXTURE, gzipSync(`${text}\n`, { level: 9 }));
console.log(JSON.stringify({ actions: lines.filter(({ a }) => a !== undefined).length, requests: lines.length }));
