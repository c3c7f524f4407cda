// Titles that this node did not encode, end to end: an origin with AES-128 HLS made by ffmpeg, a node as its own process
// with a catalogue line for each, and a viewer in Chromium who looks at previews and plays.
import { execFileSync } from 'node:child_process';
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as hlsParser from 'hls-parser';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { askControl } from '../../agent/control.ts';
import { findFfmpeg } from '../../agent/encoder-process.ts';
import { type FakeOrigin, openFakeOrigin } from '../fake/origin.ts';
import { openBrowser } from './browser.ts';
import { type Running, start } from './process.ts';

const dir = mkdtempSync(join(tmpdir(), 'nearcast-sealed-'));
const socket = join(dir, 'run', 'nearcast.sock');
const key = randomBytes(16);
const SEGMENT_SECONDS = 2;
const SEGMENTS = 20;
let origin: FakeOrigin;
let node: Running;
let browser: Browser;
let url: string;

/** 40 s at 180p, encrypted by ffmpeg's own HLS muxer into `dir`; the key's URI is relative. */
async function makeSealed(): Promise<void> {
  const found = await findFfmpeg(process.env);
  if (!found.ok) throw new Error(found.message);
  writeFileSync(join(dir, 'key.bin'), key);
  writeFileSync(join(dir, 'key.info'), `key\n${join(dir, 'key.bin')}\n${'0'.repeat(31)}7\n`);
  const source = ['-f', 'lavfi', '-i', `testsrc2=s=320x180:r=24:d=${SEGMENT_SECONDS * SEGMENTS}`];
  const video = ['-c:v', 'libx264', '-preset', 'ultrafast', '-g', String(24 * SEGMENT_SECONDS)];
  const hls = ['-f', 'hls', '-hls_time', String(SEGMENT_SECONDS), '-hls_playlist_type', 'vod'];
  const files = ['-hls_key_info_file', join(dir, 'key.info'), '-hls_segment_filename', join(dir, '%d.ts')];
  execFileSync(found.path, ['-v', 'error', ...source, ...video, ...hls, ...files, join(dir, 'media.m3u8')]);
}

/** The IV that a key without one gives the segment of this number (RFC 8216 section 5.2). */
function sequenceIv(sequence: number): Buffer {
  const iv = Buffer.alloc(16);
  iv.writeBigUInt64BE(BigInt(sequence), 8);
  return iv;
}

/** The IV that ffmpeg is told. */
const FFMPEG_IV = sequenceIv(7);

function decipher(sealed: Uint8Array, iv: Uint8Array): Buffer {
  const opened = createDecipheriv('aes-128-cbc', key, iv);
  return Buffer.concat([opened.update(sealed), opened.final()]);
}

/** The same segment under the IV of its number, as packagers do that write none. */
function reseal(sealed: Buffer, sequence: number): Buffer {
  const closed = createCipheriv('aes-128-cbc', key, sequenceIv(sequence));
  return Buffer.concat([closed.update(decipher(sealed, FFMPEG_IV)), closed.final()]);
}

const HLS = 'application/vnd.apple.mpegurl';
const FIRST_SEQUENCE = 500;

function publish(): void {
  const playlist = readFileSync(join(dir, 'media.m3u8'), 'utf8');
  expect(playlist).toContain('METHOD=AES-128,URI="key",IV=0x');
  const numbered = playlist
    .replace(/,IV=0x\w+/, '')
    .replace(/#EXT-X-MEDIA-SEQUENCE:\d+/, `#EXT-X-MEDIA-SEQUENCE:${FIRST_SEQUENCE}`);
  const put = (path: string, body: string | Buffer, type: string) =>
    origin.set(path, { body, headers: { 'content-type': type, 'cache-control': 'max-age=3600' } });
  for (const [name, text] of [
    ['whole', playlist],
    ['numbered', numbered],
    ['followed', playlist],
  ] as const) {
    put(`/films/${name}/master.m3u8`, '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=600000\nv/media.m3u8\n', HLS);
    put(`/films/${name}/v/media.m3u8`, text, HLS);
    put(`/films/${name}/v/key`, key, 'application/octet-stream');
  }
  for (const file of readdirSync(dir).filter((name) => name.endsWith('.ts'))) {
    const sealed = readFileSync(join(dir, file));
    put(`/films/whole/v/${file}`, sealed, 'video/mp2t');
    put(`/films/followed/v/${file}`, sealed, 'video/mp2t');
    put(`/films/numbered/v/${file}`, reseal(sealed, FIRST_SEQUENCE + Number.parseInt(file, 10)), 'video/mp2t');
  }
}

beforeAll(async () => {
  origin = await openFakeOrigin();
  await makeSealed();
  publish();
  const line = (id: string) =>
    JSON.stringify({
      id,
      name: id,
      source: 'sealed',
      manifestUrl: `/films/${id}/master.m3u8`,
      images: { poster: 'poster.jpg' },
    });
  writeFileSync(join(dir, 'catalogue.jsonl'), ['whole', 'numbered', 'followed', 'gone'].map(line).join('\n'));
  const config = {
    version: 1,
    node: { id: 'edge-test', region: 'test' },
    listen: { http: '127.0.0.1:0' },
    admin: { metrics: '127.0.0.1:0', socket: 'run/nearcast.sock' },
    state: { dir: 'state' },
    origins: [{ name: 'main', url: origin.url, match: '/' }],
    store: { ramBytes: '64MiB', dirs: [{ path: 'store', maxBytes: '256MiB' }] },
    catalogue: { file: 'catalogue.jsonl' },
    publish: { dir: 'titles' },
    // Wide enough for a busy machine: what is tested is what comes, not how soon.
    preview: { deadlineMs: 2000 },
  };
  writeFileSync(join(dir, 'nearcast.yaml'), JSON.stringify(config));
  node = start(['run', '--config', join(dir, 'nearcast.yaml')]);
  const [ready, opened] = await Promise.all([node.line(({ event }) => event === 'node.ready'), openBrowser()]);
  browser = opened;
  url = `http://127.0.0.1:${ready['port']}`;
}, 60_000);

afterAll(async () => {
  await browser?.close();
  node?.child.kill('SIGTERM');
  await node?.ended;
  await origin?.close();
  rmSync(dir, { recursive: true, force: true });
});

/** How often the origin was asked for each segment of a title. */
function askedSegments(title: string): ReadonlyMap<string, number> {
  const asked = new Map<string, number>();
  for (const { url: path } of origin.seen()) {
    if (path.startsWith(`/films/${title}/v/`) && path.endsWith('.ts')) asked.set(path, (asked.get(path) ?? 0) + 1);
  }
  return asked;
}

test('sealed titles are listed as ready, with the poster that their line names', async () => {
  expect(await (await fetch(`${url}/.nearcast/titles`)).json()).toMatchObject([
    { id: 'whole', ready: true, manifestUrl: '/films/whole/master.m3u8', poster: '/films/whole/poster.jpg' },
    { id: 'numbered', ready: true },
    { id: 'followed', ready: true },
    { id: 'gone', ready: true },
  ]);
});

test.each(['whole', 'numbered'])(
  'the preview of %s plays in Chromium, each segment fetched once',
  async (title) => {
    const page = await browser.newPage();
    const playlist = page.waitForResponse((response) => response.url().includes(`/.nearcast/preview/${title}.m3u8`));
    await page.goto(url);
    await page.locator(`.card[data-title=${title}][data-state=ready] button`).hover();
    const response = await playlist;
    expect(response.status()).toBe(200);
    expect(await response.text()).toContain(`URI="/films/${title}/v/key"`);
    await expect.poll(() => page.evaluate(`document.querySelector('.card video') !== null`)).toBe(true);
    await page.evaluate(`document.querySelector('.card video').playbackRate = 4`);
    // Beyond the first two moments of 2 s, so that a segment from the middle of the title was deciphered, too.
    const seconds = () => page.evaluate(`document.querySelector('.card video')?.currentTime ?? 0`);
    await expect.poll(seconds, { timeout: 20_000, interval: 50 }).toBeGreaterThan(4.5);
    const asked = askedSegments(title);
    expect(asked.size).toBeGreaterThan(1);
    expect(new Set(asked.values())).toEqual(new Set([1]));
    await page.close();
  },
  40_000,
);

/** Players cannot tell this apart: a wrong IV spoils the first 16 bytes of a segment, which they skip. */
test.each(['whole', 'numbered'])('every segment of the preview of %s is clear by its playlist', async (title) => {
  const playlistUrl = `${url}/.nearcast/preview/${title}.m3u8`;
  const playlist = hlsParser.parse(await (await fetch(playlistUrl)).text());
  if (playlist.isMasterPlaylist) throw new Error('not a media playlist');
  // Sound: isMasterPlaylist was just ruled out, and the library's union has only these two members.
  const { segments } = playlist as hlsParser.types.MediaPlaylist;
  const names = segments.map(({ uri }) => uri.slice(uri.lastIndexOf('/') + 1));
  expect(names).toHaveLength(4);
  expect(names).not.toEqual(names.map((_, index) => `${index}.ts`));
  for (const [index, { uri, key: said }] of segments.entries()) {
    const read = async (path = '') => new Uint8Array(await (await fetch(new URL(path, playlistUrl))).arrayBuffer());
    expect(Buffer.from(await read(said?.uri)).equals(key)).toBe(true);
    const clear = decipher(await read(uri), new Uint8Array(said?.iv ?? sequenceIv(index)));
    const made = decipher(readFileSync(join(dir, names[index] ?? '')), FFMPEG_IV);
    expect(clear.equals(made), `${uri} by IV ${said?.iv}`).toBe(true);
    expect(clear[0]).toBe(0x47);
  }
});

test('a viewer of a sealed title has the next segments fetched ahead, once', async () => {
  const at = (index: number) => `/films/followed/v/${index}.ts`;
  await (await fetch(`${url}${at(4)}`)).arrayBuffer();
  await Promise.all([5, 6, 7].map((index) => origin.asked(at(index), 1)));
  const explain = async () => askControl(socket, { method: 'GET', path: `/explain?url=${at(7)}` });
  await expect
    .poll(explain)
    .toMatchObject({ title: 'followed', holding: { variants: [{}] }, decisions: [{ outcome: 'stored' }] });
  const answer = await fetch(`${url}${at(5)}`);
  expect(answer.headers.get('cache-status')).toMatch(/; ?hit\b/);
  await answer.arrayBuffer();
  expect(askedSegments('followed').get(at(4))).toBe(1);
  expect(new Set(askedSegments('followed').values())).toEqual(new Set([1]));
});

test('a title whose manifest is not there has no preview', async () => {
  const answer = await fetch(`${url}/.nearcast/preview/gone.m3u8`);
  expect(answer.status).toBe(409);
});

test.each([
  ['by its catalogue line', { id: 'whole' }],
  ['whatever the job says', { id: 'whole', sourceClass: 'mezzanine' }],
  ['by the job', { id: 'other', sourceClass: 'sealed' }],
])('what is sealed %s is not encoded', async (_name, job) => {
  const asked = askControl(socket, { method: 'POST', path: '/encode', body: { input: join(dir, '0.ts'), ...job } });
  await expect(asked).rejects.toThrow(/is sealed \(DRM\)/);
  expect(await askControl(socket, { method: 'GET', path: '/status' })).toMatchObject({ encodes: [] });
});
