// The static origin over real HTTP on loopback and a real directory, and its command.
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { get as httpGet, type IncomingHttpHeaders, request } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Origin, openOrigin, originCommand } from '../../agent/commands/origin.ts';

const HASH = '0123456789abcdef';
const files: Readonly<Record<string, string>> = {
  [`titles/a/${HASH}/master.m3u8`]: '#EXTM3U\n',
  [`titles/a/${HASH}/v/00001.m4s`]: '0123456789',
  [`titles/a/${HASH}/v/init.mp4`]: 'init',
  [`titles/a/${HASH}/t.vtt`]: 'WEBVTT\n',
  [`titles/a/${HASH}/poster.jpg`]: 'jpg',
  'titles/a/0123/short.m4s': 'x',
  'titles/a/master.m3u8': '#EXTM3U\n',
  'titles/a/manifest.mpd': '<MPD/>',
  'titles/a/latest.json': '{}',
  'titles/a/with space ü.json': '{}',
  '.secret': 'no',
  'titles/.hidden/a.json': 'no',
};

let base: string;
let outside: string;
let origin: Origin;
const logged: string[] = [];

beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'origin-'));
  outside = await mkdtemp(join(tmpdir(), 'outside-'));
  await writeFile(join(outside, 'secret.json'), 'secret');
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(base, path, '..'), { recursive: true });
    await writeFile(join(base, path), text);
  }
  await symlink(join(outside, 'secret.json'), join(base, 'escape.json'));
  await symlink(outside, join(base, 'out'));
  await symlink(join(base, '.secret'), join(base, 'dot.json'));
  await symlink('loop', join(base, 'loop'));
  await symlink(`${HASH}/master.m3u8`, join(base, 'titles/a/link.m3u8'));
  origin = await openOrigin({ dir: base, host: '127.0.0.1', port: 0, log: (_, event) => void logged.push(event) });
});

afterAll(async () => {
  await origin.close();
  await rm(base, { recursive: true });
  await rm(outside, { recursive: true });
  expect(logged).toEqual([]);
});

type Reply = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: string };

function ask(path: string, options: { method?: string; headers?: Record<string, string> } = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port: origin.port, path, agent: false, ...options }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    sent.on('error', reject).end();
  });
}

const IMMUTABLE = 'public, max-age=31536000, immutable';
const REPLACEABLE = 'public, max-age=2, stale-while-revalidate=30';

describe('files', () => {
  test.each([
    [`/titles/a/${HASH}/master.m3u8`, 'application/vnd.apple.mpegurl', IMMUTABLE],
    [`/titles/a/${HASH}/v/00001.m4s`, 'video/iso.segment', IMMUTABLE],
    [`/titles/a/${HASH}/v/init.mp4?token=1`, 'video/mp4', IMMUTABLE],
    [`/titles/a/${HASH}/t.vtt`, 'text/vtt; charset=utf-8', IMMUTABLE],
    [`/titles/a/${HASH}/poster.jpg`, 'image/jpeg', IMMUTABLE],
    ['/titles/a/master.m3u8', 'application/vnd.apple.mpegurl', REPLACEABLE],
    ['/titles/a/manifest.mpd', 'application/dash+xml', REPLACEABLE],
    ['/titles/a/latest.json', 'application/json; charset=utf-8', REPLACEABLE],
    ['/titles/a/with%20space%20%C3%BC.json', 'application/json; charset=utf-8', REPLACEABLE],
    ['/titles/a/0123/short.m4s', 'video/iso.segment', REPLACEABLE],
    ['/titles/a/link.m3u8', 'application/vnd.apple.mpegurl', REPLACEABLE],
  ])('%s', async (path, type, cacheControl) => {
    const { status, headers } = await ask(path);
    expect(status).toBe(200);
    expect(headers).toMatchObject({ 'content-type': type, 'cache-control': cacheControl, 'accept-ranges': 'bytes' });
    expect(headers.etag).toMatch(/^(W\/)?"/);
    expect(headers['last-modified']).toBeDefined();
  });

  const segment = `/titles/a/${HASH}/v/00001.m4s`;
  test('HEAD: the headers of GET and no body', async () => {
    const reply = await ask(segment, { method: 'HEAD' });
    expect(reply).toMatchObject({ status: 200, body: '' });
    expect(reply.headers['content-length']).toBe('10');
  });

  test.each([
    ['bytes=0-3', '0123', 'bytes 0-3/10'],
    ['bytes=7-', '789', 'bytes 7-9/10'],
    ['bytes=-2', '89', 'bytes 8-9/10'],
    ['bytes=5-99', '56789', 'bytes 5-9/10'],
  ])('range %s', async (range, body, contentRange) => {
    const reply = await ask(segment, { headers: { range } });
    expect(reply).toMatchObject({ status: 206, body });
    expect(reply.headers['content-range']).toBe(contentRange);
  });

  test('a range beyond the end: 416 with the length', async () => {
    const reply = await ask(segment, { headers: { range: 'bytes=10-' } });
    expect(reply.status).toBe(416);
    expect(reply.headers).toMatchObject({ 'content-range': 'bytes */10', 'cache-control': 'no-cache' });
    expect(reply.headers.etag).toBeUndefined();
  });

  test('conditional requests', async () => {
    const { etag = '', 'last-modified': modified = '' } = (await ask(segment)).headers;
    const unchanged = await ask(segment, { headers: { 'if-none-match': etag } });
    expect(unchanged).toMatchObject({ status: 304, body: '' });
    expect(unchanged.headers['cache-control']).toBe(IMMUTABLE);
    expect((await ask(segment, { headers: { 'if-modified-since': modified } })).status).toBe(304);
    expect((await ask(segment, { headers: { 'if-none-match': '"other"' } })).status).toBe(200);
    expect((await ask(segment, { headers: { 'if-match': '"other"' } })).status).toBe(412);
    expect((await ask(segment, { headers: { range: 'bytes=0-1', 'if-range': '"other"' } })).status).toBe(200);
  });
});

describe('refused', () => {
  test.each([
    ['nothing there', '/titles/b.json', 404],
    ['a directory', '/titles', 404],
    ['a directory with slash', '/titles/', 404],
    ['the root', '/', 404],
    ['a dotfile', '/.secret', 404],
    ['in a hidden directory', '/titles/.hidden/a.json', 404],
    ['a link to a dotfile', '/dot.json', 404],
    ['up', '/../secret.json', 404],
    ['up, encoded', '/titles/%2e%2e/%2e%2e/etc/passwd', 404],
    ['up, encoded slash', '/titles%2f..%2f..%2fetc%2fpasswd', 404],
    ['a link to a file outside', '/escape.json', 404],
    ['a file behind a link to a directory outside', '/out/secret.json', 404],
    ['a loop of links', '/loop', 404],
    ['an absolute path', '//etc/passwd', 404],
    ['a name too long', `/${'a'.repeat(5000)}`, 404],
    ['NUL', '/titles/a%00.json', 400],
    ['backslashes', '/..%5c..%5cetc', 400],
    ['broken percent encoding', '/%zz', 400],
    ['invalid UTF-8', '/%ff', 400],
    ['an absolute target', 'http://other/titles/a/latest.json', 400],
  ])('%s', async (_, path, status) => {
    const reply = await ask(path);
    expect(reply).toMatchObject({ status, body: `${status}\n` });
    expect(reply.headers['cache-control']).toBe('no-cache');
  });

  test.each(['POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE'])('%s', async (method) => {
    const reply = await ask('/titles/a/latest.json', { method });
    expect(reply.status).toBe(405);
    expect(reply.headers.allow).toBe('GET, HEAD');
  });

  test('headers above the limit', async () => {
    expect((await ask('/', { headers: { x: 'a'.repeat(20_000) } })).status).toBe(431);
  });
});

describe('life', () => {
  const options = { host: '127.0.0.1', port: 0, log: () => undefined };

  test('a viewer that leaves mid-body hurts nobody', async () => {
    await writeFile(join(base, 'big.bin'), Buffer.alloc(8 << 20));
    await new Promise<void>((resolve) => {
      const leaving = httpGet({ host: '127.0.0.1', port: origin.port, path: '/big.bin', agent: false }, (response) => {
        response.once('data', () => leaving.destroy());
        response.once('close', resolve);
        response.on('error', () => undefined);
      });
    });
    expect((await ask('/titles/a/latest.json')).status).toBe(200);
  });

  test('close ends idle connections at once and refuses new ones', async () => {
    const short = await openOrigin({ ...options, dir: base });
    const socket = connect(short.port, '127.0.0.1');
    const ended = new Promise((resolve) => socket.once('close', resolve));
    socket.resume().write('GET /titles/a/latest.json HTTP/1.1\r\nHost: a\r\n\r\n');
    await new Promise((resolve) => socket.once('data', resolve));
    await short.close();
    await ended;
    const refused = new Promise((resolve) => connect(short.port, '127.0.0.1').once('error', resolve));
    expect(await refused).toMatchObject({ code: 'ECONNREFUSED' });
  });

  test.each([
    ['a directory that is not there', 'nowhere'],
    ['a file', 'titles/a/latest.json'],
  ])('%s cannot be served', async (_, dir) => {
    const opening = openOrigin({ ...options, dir: join(base, dir) });
    await expect(opening).rejects.toMatchObject({ code: 'AGENT_DIRECTORY_UNUSABLE' });
  });
});

describe('the command', () => {
  function io(signal: AbortSignal) {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    return { stdout, stderr, env: {}, cwd: base, signal };
  }

  test('says where it listens, serves, and ends with 0 when told to', async () => {
    const stop = new AbortController();
    const world = io(stop.signal);
    const ending = originCommand.run(['titles', '--listen', '127.0.0.1:0'], world);
    const [line] = await world.stdout.take(1).toArray();
    const said: unknown = JSON.parse(String(line));
    expect(said).toEqual({ event: 'origin.listening', port: expect.any(Number) });
    const port = /\d+/.exec(String(line))?.[0];
    expect(await (await fetch(`http://127.0.0.1:${port}/a/latest.json`)).text()).toBe('{}');
    stop.abort();
    expect(await ending).toBe(0);
    expect(world.stderr.read()).toBeNull();
  });

  test('a port in use: one line and 78', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const address = taken.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const world = io(AbortSignal.timeout(5000));
    expect(await originCommand.run(['.', '--listen', `127.0.0.1:${port}`], world)).toBe(78);
    expect(String(world.stderr.read())).toBe(
      `nearcast origin: cannot listen on 127.0.0.1:${port}: the port is in use: choose another\n`,
    );
    expect(world.stdout.read()).toBeNull();
    await new Promise((resolve) => taken.close(resolve));
  });

  test.each([
    [[], 64],
    [['a', 'b'], 64],
    [['.', '--listen', '8080'], 64],
    [['.', '--listen', 'a:99999'], 64],
    [['nowhere'], 78],
  ])('%j: one line and %d', async (args, code) => {
    const world = io(AbortSignal.timeout(5000));
    expect(await originCommand.run(args, world)).toBe(code);
    expect(String(world.stderr.read())).toMatch(/^nearcast origin: [^\n]+\n$/);
  });
});
