// Viewers who mean harm or leave: the daemon serves the others all the while, holds nothing of them afterwards, and never
// sends more than it was asked for.
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { bodyOf, MIB } from '../cache/store/support.ts';
import { chances } from '../fake/chance.ts';
import { type Daemon, openDaemon, untilBack } from './daemon.ts';
import { report, scaled, seed } from './scale.ts';

let daemon: Daemon | undefined;
const sockets = new Set<Socket>();
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await daemon?.stop();
  daemon = undefined;
});

const fresh = { 'cache-control': 'max-age=3600' };

/** A connection; `closed` resolves with the milliseconds that it lived. */
function open(port: number, bytes: string): { readonly socket: Socket; readonly closed: Promise<number> } {
  const socket = connect(port, '127.0.0.1');
  sockets.add(socket);
  const beganMs = performance.now();
  socket.on('error', () => undefined);
  socket.write(bytes);
  const closed = new Promise<number>((resolve) => {
    socket.once('close', () => {
      sockets.delete(socket);
      resolve(performance.now() - beganMs);
    });
  });
  return { socket, closed };
}

/** A connection that gives a byte every now and then and takes whatever comes. */
function drip(port: number, bytes: string): Promise<number> {
  const { socket, closed } = open(port, bytes);
  socket.resume();
  const timer = setInterval(() => socket.write('x'), 500);
  void closed.then(() => clearInterval(timer));
  return closed;
}

test('row 31: 300 slow clients, by head, body and reading, are cut in their time; every good request is served', async () => {
  daemon = await openDaemon();
  const node = daemon;
  const { origin, get, port } = node;
  const large = bodyOf('large', 8 * MIB);
  origin.set('/large', { body: large, headers: fresh });
  origin.set('/small', { body: 'small', headers: fresh });
  expect((await get('/large')).body.equals(large)).toBe(true);
  await get('/small');
  const filesBefore = node.openFiles();
  const many = (make: () => Promise<number>) => Promise.all(Array.from({ length: 100 }, make));
  const heads = many(() => drip(port, 'GET /small HTTP/1.1\r\nHost: a\r\nX-Slow: '));
  const bodies = many(() => drip(port, 'POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n'));
  const readers = many(() => {
    const { socket, closed } = open(port, 'GET /large HTTP/1.1\r\nHost: a\r\n\r\n');
    socket.pause();
    // A paused socket hears of its end only when it reads on.
    setTimeout(() => socket.resume(), 75_000).unref();
    return closed;
  });
  let isOver = false;
  const statuses = new Map<number, number>();
  const lane = async (): Promise<void> => {
    while (!isOver) {
      const { status } = await get('/small');
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      await delay(20);
    }
  };
  const lanes = Promise.all([lane(), lane(), lane(), lane()]);
  const headsMs = Math.max(...(await heads));
  const bodiesMs = Math.max(...(await bodies));
  await untilBack(async () => (await node.metric('nearcast_cache_open_connections')) <= 4, 80_000);
  isOver = true;
  await Promise.all([lanes, readers]);
  report('row 31', { headsMs, bodiesMs, good: Object.fromEntries(statuses) });
  expect([...statuses.keys()]).toEqual([200]);
  expect(statuses.get(200)).toBeGreaterThan(1000);
  expect([headsMs < 20_000, bodiesMs < 75_000]).toEqual([true, true]);
  expect(node.openFiles()).toBeLessThan(filesBefore + 10);
  expect(await node.metric('nearcast_cache_malformed_requests_total')).toBeGreaterThanOrEqual(100);
});

const ABORTS = scaled(20_000, 100_000);
/** Before memory is measured: until then it only grows to what such a load takes. */
const WARM = 20_000;

/** Requests of every way through the cache, whole and begun. */
const REQUESTS = [
  'GET /small HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /large HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /large HTTP/1.1\r\nHost: a\r\nRange: bytes=1000000-3000000\r\n\r\n',
  'GET /large HTTP/1.1\r\nHost: a\r\nRange: bytes=0-9,2000000-2000009\r\n\r\n',
  'GET /cold/# HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /slow/# HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /pass HTTP/1.1\r\nHost: a\r\n\r\n',
  'HEAD /large HTTP/1.1\r\nHost: a\r\n\r\n',
  'POST /pass HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf of it',
  'GET /small HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(8),
  'GET /sma',
  '',
] as const;

/** One viewer who leaves at a random moment, with a FIN or a reset. */
function leave(port: number, request: string, random: () => number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const how = random();
    const limit = random() * 400_000;
    let taken = 0;
    const end = () => (random() < 0.5 ? socket.destroy() : socket.resetAndDestroy());
    socket.on('error', () => undefined);
    socket.once('close', () => resolve());
    socket.once('connect', () => {
      if (request !== '') socket.write(request);
      if (how < 0.3) end();
      else setTimeout(end, random() * 15);
    });
    socket.on('data', (bytes) => {
      taken += bytes.length;
      if (taken > limit) end();
    });
  });
}

test(`row 32: viewers who leave (${ABORTS}, seed ${seed}): alive, nothing held, the next ones are served`, async () => {
  daemon = await openDaemon();
  const node = daemon;
  const { origin, get, port } = node;
  const large = bodyOf('large', 4 * MIB);
  const cold = bodyOf('cold', 100_000);
  origin.set('/large', { body: large, headers: fresh, etag: '"1"' });
  origin.set('/small', { body: 'small', headers: fresh });
  origin.set('/pass', { body: cold, headers: { 'cache-control': 'no-store' } });
  for (let n = 0; n < 200; n += 1) {
    origin.set(`/cold/${n}`, { body: cold, headers: { 'cache-control': 'max-age=1' } });
    origin.set(`/slow/${n}`, {
      body: cold,
      headers: { 'cache-control': 'max-age=1' },
      pace: { pieces: 5, overMs: 50 },
    });
  }
  const random = chances(seed);
  const run = async (count: number): Promise<void> => {
    let left = count;
    const lane = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        const request = REQUESTS[Math.floor(random() * REQUESTS.length)] ?? '';
        await leave(port, request.replace('#', String(Math.floor(random() * 200))), random);
      }
    };
    await Promise.all(Array.from({ length: 48 }, lane));
    const isQuiet = async () =>
      (await node.metric('nearcast_cache_open_connections')) === 0 &&
      (await node.metric('nearcast_cache_active_fills')) === 0;
    await untilBack(isQuiet, 30_000);
  };
  await run(WARM);
  const before = { files: node.openFiles(), memory: await node.metric('process_resident_memory_bytes') };
  await run(ABORTS);
  const after = { files: node.openFiles(), memory: await node.metric('process_resident_memory_bytes') };
  report('row 32', { aborts: ABORTS, before, after });
  expect(node.isAlive()).toBe(true);
  expect(after.files).toBeLessThan(before.files + 20);
  expect(after.memory).toBeLessThan(before.memory + 100 * MIB);
  expect((await get('/large')).body.equals(large)).toBe(true);
  expect((await get('/cold/1')).body.equals(cold)).toBe(true);
});

/** Bytes of the whole answer on the wire, head and all, and its status. */
function wire(port: number, range: string): Promise<{ readonly bytes: number; readonly status: number }> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    let bytes = 0;
    let head = '';
    socket.on('data', (chunk) => {
      bytes += chunk.length;
      if (head.length < 64) head += chunk.toString('latin1', 0, 64);
    });
    socket.on('error', () => undefined);
    socket.once('close', () => resolve({ bytes, status: Number(head.slice(9, 12)) }));
    socket.write(`GET /object HTTP/1.1\r\nHost: a\r\nConnection: close\r\nRange: ${range}\r\n\r\n`);
  });
}

const list = (count: number, one: (index: number) => string) =>
  `bytes=${Array.from({ length: count }, (_, n) => one(n)).join(',')}`;

/** What is asked, and which answers are right. */
const RANGES: readonly (readonly [string, string, readonly number[]])[] = [
  ['1000 that overlap', list(1000, (n) => `${n}-`), [200, 416]],
  ['1000 of one byte', list(1000, (n) => `${n * 2}-${n * 2}`), [200, 416]],
  ['17 apart', list(17, (n) => `${n * 1000}-${n * 1000 + 9}`), [200, 416]],
  ['the whole, 16 times', list(16, () => '0-'), [200, 416]],
  ['two that overlap by a byte', 'bytes=0-1000,1000-2000', [200, 206, 416]],
  ['the last zero bytes', 'bytes=-0', [416]],
  ['reversed', 'bytes=9-5', [200, 416]],
  ['beyond the end', 'bytes=99999999-', [416]],
  ['a number beyond 64 bits', `bytes=0-${'9'.repeat(40)}`, [200, 206, 416]],
  ['another unit', 'lines=0-9', [200]],
  ['nothing', 'bytes=', [200, 400, 416]],
  ['commas', `bytes=${','.repeat(2000)}`, [200, 400, 416]],
  ['not a number', 'bytes=a-b', [200, 416]],
];

test('row 33: abuse of ranges costs no more than the object, cold and stored', async () => {
  daemon = await openDaemon();
  const { origin, port, get } = daemon;
  const object = bodyOf('object', MIB);
  const found: Record<string, unknown> = {};
  for (const kind of ['cold', 'stored']) {
    for (const [name, range, statuses] of RANGES) {
      if (kind === 'cold') origin.set('/object', { body: object, headers: { 'cache-control': 'no-store' } });
      else {
        origin.set('/object', { body: object, headers: fresh, etag: '"1"', hasRanges: true });
        expect((await get('/object')).body.equals(object)).toBe(true);
      }
      const { bytes, status } = await wire(port, range);
      if (!statuses.includes(status) || bytes > object.length * 1.1) found[`${kind}: ${name}`] = { status, bytes };
    }
  }
  expect(found).toEqual({});
});
