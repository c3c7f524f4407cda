// Misuse of HTTP/2 in raw frames: each connection is ended within bounds, counted, and other viewers notice nothing.
import type { ClientHttp2Session } from 'node:http2';
import { afterEach, describe, expect, test } from 'vitest';
import type { MisuseReason } from '../../../cache/contract.ts';
import { until } from '../until.ts';
import {
  ACK,
  END_HEADERS,
  END_STREAM,
  FRAME,
  frame,
  get,
  getBlock,
  literal,
  openRaw,
  type RawH2,
  settings,
  uint32,
} from './frames.ts';
import { openNode, type TestNode } from './node.ts';
import { ask, authority, filesOf, openSession } from './secure.ts';

const certificate = await filesOf(authority.issue(['localhost']));
const MIB = 1024 * 1024;
/** SETTINGS_INITIAL_WINDOW_SIZE 0: no stream may be sent a byte of a body. */
const NO_WINDOW = settings([4, 0]);
let node: TestNode;
let viewer: ClientHttp2Session;
const raws: RawH2[] = [];
afterEach(async () => {
  for (const { socket } of raws.splice(0)) socket.destroy();
  viewer.destroy();
  await node.close();
});

async function attack(hello?: Buffer): Promise<RawH2> {
  const raw = await openRaw(node.securePort, hello);
  raws.push(raw);
  return raw;
}
async function setUp(limits = {}): Promise<void> {
  node = await openNode({ certificate, limits: { headTimeoutMs: 600, ...limits } });
  node.origin.set('/a', { body: 'ok', headers: { 'cache-control': 'max-age=60' } });
  node.origin.set('/large', { body: Buffer.alloc(4 * MIB), headers: { 'cache-control': 'max-age=60' } });
  viewer = await openSession(node.securePort);
  await ask(viewer, '/a');
  await ask(viewer, '/large');
}

/** A flood of one connection, while a viewer on another is served; gives what the flood cost. */
async function flood(make: (round: number) => Buffer, hello?: Buffer) {
  await setUp();
  const raw = await attack(hello);
  const memory = process.memoryUsage.rss();
  let isOver = false;
  const written = raw.flood(make).finally(() => {
    isOver = true;
  });
  let served = 0;
  while (!isOver || served === 0) {
    expect((await ask(viewer, '/a')).body.toString()).toBe('ok');
    served += 1;
  }
  const grownBytes = process.memoryUsage.rss() - memory;
  // The next one comes in as ever.
  const later = await openSession(node.securePort);
  expect((await ask(later, '/a')).status).toBe(200);
  later.destroy();
  await until(() => node.cache.stats().openConnections === 1);
  return { raw, written: await written, grownBytes, misuse: node.cache.stats().misuse };
}

const counted = (misuse: Readonly<Record<MisuseReason, number>>): number =>
  Object.values(misuse).reduce((sum, count) => sum + count, 0);
const join = (count: number, make: (index: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, index) => make(index)));

describe('floods end their connection, cost little, and are counted', () => {
  test.each<[string, (round: number) => Buffer]>([
    [
      'rapid reset (CVE-2023-44487)',
      (round) =>
        join(100, (index) => {
          const stream = (round * 100 + index) * 2 + 1;
          return Buffer.concat([get(stream, '/a'), frame(FRAME.reset, 0, stream, uint32(8))]);
        }),
    ],
    [
      'streams made to be reset by us with a window of zero (CVE-2025-8671)',
      (round) =>
        join(100, (index) => {
          const stream = (round * 100 + index) * 2 + 1;
          return Buffer.concat([get(stream, '/large'), frame(FRAME.windowUpdate, 0, stream, uint32(0))]);
        }),
    ],
    [
      'streams made to be reset by us with a window that overflows',
      (round) =>
        join(100, (index) => {
          const stream = (round * 100 + index) * 2 + 1;
          return Buffer.concat([get(stream, '/large'), frame(FRAME.windowUpdate, 0, stream, uint32(2 ** 31 - 1))]);
        }),
    ],
    ['SETTINGS (CVE-2019-9515)', () => join(100, () => settings([4, 65_535]))],
    ['empty SETTINGS', () => join(100, () => settings())],
    ['PING (CVE-2019-9512)', () => join(100, () => frame(FRAME.ping, 0, 0, Buffer.alloc(8)))],
    ['answers to PINGs that nobody sent', () => join(1000, () => frame(FRAME.ping, ACK, 0, Buffer.alloc(8)))],
    ['PRIORITY (CVE-2019-9513)', () => join(1000, (index) => frame(FRAME.priority, 0, index * 2 + 1, Buffer.alloc(5)))],
    ['window updates', () => join(1000, () => frame(FRAME.windowUpdate, 0, 0, uint32(1)))],
    ['frames of an unknown type', () => join(10, () => frame(0xfa, 0, 0, Buffer.alloc(16_000)))],
    [
      'empty DATA (CVE-2019-9518)',
      (round) =>
        round === 0
          ? frame(FRAME.headers, END_HEADERS, 1, Buffer.concat([Buffer.from([0x83, 0x87]), literal(':path', '/a')]))
          : join(1000, () => frame(FRAME.data, 0, 1)),
    ],
    [
      'CONTINUATION without an end (CVE-2024-27316)',
      (round) =>
        round === 0
          ? frame(FRAME.headers, END_STREAM, 1, getBlock('/a'))
          : join(10, (index) => frame(FRAME.continuation, 0, 1, literal(`x-${round}-${index}`, 'y'.repeat(100)))),
    ],
    [
      'empty CONTINUATION without an end',
      (round) =>
        round === 0
          ? frame(FRAME.headers, END_STREAM, 1, getBlock('/a'))
          : join(1000, () => frame(FRAME.continuation, 0, 1)),
    ],
    [
      'header bombs: one byte stands for 4 KB of a table (CVE-2016-6581)',
      (round) =>
        join(20, (index) => {
          const fields = [Buffer.from([0x82, 0x87]), literal(':path', '/a')];
          const stored = Buffer.concat([
            Buffer.from([0x40, 1]),
            Buffer.from('x'),
            Buffer.from([0x7f, 0xa0, 0x1e]),
            Buffer.alloc(3999, 'y'),
          ]);
          const block = Buffer.concat([...fields, stored, Buffer.alloc(10_000, 0xbe)]);
          return frame(FRAME.headers, END_STREAM | END_HEADERS, (round * 20 + index) * 2 + 1, block);
        }),
    ],
    [
      'more streams than allowed, never read',
      (round) => join(100, (index) => get((round * 100 + index) * 2 + 1, '/large')),
    ],
    [
      'heads without a method',
      (round) => frame(FRAME.headers, END_STREAM | END_HEADERS, round * 2 + 1, Buffer.from([0x87])),
    ],
    ['a frame on a stream that is none', () => frame(FRAME.data, 0, 99, Buffer.alloc(10))],
    ['no HTTP/2 at all', () => Buffer.from('GET / HTTP/1.1\r\n\r\n'.repeat(10))],
  ])('%s', async (name, make) => {
    const { raw, written, grownBytes, misuse } = await flood(make, name.includes('never read') ? NO_WINDOW : undefined);
    // What one connection can send until it is looked at next, on any machine.
    expect(written).toBeLessThan(512 * MIB);
    expect(counted(misuse)).toBeGreaterThan(0);
    expect(raw.goaway()).not.toBe(0);
    expect(grownBytes).toBeLessThan(128 * MIB);
  });
});

describe('the slow and the silent', () => {
  test('streams whose window stays shut are reset after the time for one piece, the session goes on', async () => {
    await setUp({ pieceTimeoutMs: 300 });
    const raw = await attack(NO_WINDOW);
    raw.socket.write(join(100, (index) => get(index * 2 + 1, '/large')));
    await until(() => node.cache.stats().misuse.slow === 100);
    await until(() => raw.count(FRAME.reset) === 100);
    expect(raw.socket.destroyed).toBe(false);
    expect((await ask(viewer, '/large')).body.length).toBe(4 * MIB);
    raw.socket.write(get(201, '/gone'));
    await until(() => raw.count(FRAME.headers) === 101);
  });

  test('a viewer who reads slowly but reads is not cut', async () => {
    await setUp({ pieceTimeoutMs: 1500 });
    const stream = viewer.request({ ':path': '/large' });
    let bytes = 0;
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      stream.pause();
      setTimeout(() => stream.resume(), 1);
    });
    await new Promise((resolve) => stream.once('end', resolve));
    expect([bytes, node.cache.stats().misuse.slow]).toEqual([4 * MIB, 0]);
  });

  test('one that asks for nothing, or never ends its head, is sent away like one that sends no head over HTTP/1.1', async () => {
    await setUp({ headTimeoutMs: 300 });
    const silent = await attack();
    const half = await attack();
    half.socket.write(frame(FRAME.headers, END_STREAM, 1, getBlock('/a')));
    await Promise.all([silent.closed, half.closed]);
    expect([silent.goaway(), half.goaway()]).toEqual([0, 0]);
  });

  test('a body that does not come is not waited for', async () => {
    await setUp({ requestTimeoutMs: 300 });
    node.origin.set('/post', { body: 'taken' });
    const stream = viewer.request({ ':path': '/post', ':method': 'POST' });
    stream.on('error', () => undefined);
    stream.write('some of it');
    await new Promise((resolve) => stream.once('close', resolve));
    expect([stream.rstCode, node.cache.stats().misuse.slow]).toEqual([8, 1]);
    expect((await ask(viewer, '/a')).status).toBe(200);
  });

  test('a connection on which nothing moves while an answer waits is cut', async () => {
    await setUp({ stallTimeoutMs: 300 });
    const raw = await attack(NO_WINDOW);
    raw.socket.write(get(1, '/large'));
    await raw.closed;
    await until(() => node.cache.stats().openConnections <= 1);
  });
});
