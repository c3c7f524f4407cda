// More viewers than the listener takes: turned away at once with 503 and Retry-After, while those inside are served.
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { until } from '../until.ts';
import { openNode, readResponse, type TestNode } from './node.ts';

let node: TestNode;
const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await node.close();
});

const fresh = { 'cache-control': 'max-age=60' };

/** A connection that sends `bytes`; resolves with what has come once it closes. */
function open(bytes: string, localAddress = '127.0.0.1') {
  const socket = connect({ port: node.port, host: '127.0.0.1', localAddress });
  sockets.push(socket);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', () => undefined);
  const connected = new Promise<void>((resolve) => socket.once('connect', () => resolve()));
  const closed = new Promise<string>((resolve) => {
    socket.once('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
  });
  if (bytes !== '') socket.write(bytes);
  return { socket, connected, closed };
}

describe('requests in flight', () => {
  test('above the limit: 503 with Retry-After at once on a connection that lives on; below it again, served', async () => {
    node = await openNode({ limits: { maxRequests: 3 } });
    const { get, start, origin, cache } = node;
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    origin.set('/held', { body: 'late', headers: fresh, headAfter: held });
    origin.set('/stored', { body: 'stored', headers: fresh });
    await get('/stored');
    const waiting = [1, 2, 3].map(() => start('/held'));
    await until(() => cache.stats().openConnections >= 3 && cache.stats().coalesced >= 2);
    const answers = await Promise.all(Array.from({ length: 20 }, () => get('/stored')));
    for (const { status, headers, firstByteMs } of answers) {
      expect([status, headers['retry-after'], headers['cache-control']]).toEqual([503, '1', 'no-store']);
      expect(firstByteMs).toBeLessThan(2000);
    }
    expect(cache.stats().shed).toEqual({ connections: 0, requests: 20, address: 0, overload: 0, quota: 0 });
    release();
    for (const { response } of await Promise.all(waiting)) {
      expect((await readResponse(response)).body.toString()).toBe('late');
    }
    await until(() => cache.stats().openConnections === 0);
    expect([(await get('/stored')).status, origin.seen('/held').length]).toEqual([200, 1]);
  });

  test('viewers who leave while they wait give their place back, pipelined ones too', async () => {
    node = await openNode({ limits: { maxRequests: 4 } });
    const { get, origin, cache } = node;
    origin.set('/held', { body: 'late', headers: fresh, headAfter: new Promise(() => undefined) });
    origin.set('/stored', { body: 'stored', headers: fresh });
    const request = 'GET /held HTTP/1.1\r\nHost: a\r\n\r\n';
    const { socket, closed } = open(request.repeat(4));
    await origin.asked('/held', 1);
    await until(() => cache.stats().coalesced === 3);
    expect((await get('/stored')).status).toBe(503);
    socket.destroy();
    await closed;
    await until(() => cache.stats().openConnections === 0);
    expect((await get('/stored')).status).toBe(200);
  });

  test('one connection cannot pipeline all places away', async () => {
    node = await openNode({ limits: { maxRequests: 1000 } });
    const { get, origin, cache } = node;
    origin.set('/held', { body: 'late', headers: fresh, headAfter: new Promise(() => undefined) });
    origin.set('/stored', { body: 'stored', headers: fresh });
    open('GET /held HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(60));
    await until(() => cache.stats().shed.requests > 0);
    expect((await get('/stored')).status).toBe(200);
    expect(cache.stats().coalesced).toBeLessThan(32);
  });
});

describe('connections', () => {
  test('above the limit: 503 at accept, before a request; a place that is free again is given', async () => {
    node = await openNode({ limits: { maxConnections: 4 } });
    node.origin.set('/a', { body: 'ok', headers: fresh });
    const inside = [1, 2, 3, 4].map(() => open(''));
    await Promise.all(inside.map(({ connected }) => connected));
    await until(() => node.cache.stats().openConnections === 4);
    const answers = await Promise.all(
      ['', '', 'GET /a HTTP/1.1\r\nHost: a\r\n\r\n'].map((bytes) => open(bytes).closed),
    );
    for (const answer of answers) expect(answer).toMatch(/^HTTP\/1\.1 503 .*retry-after: 1\r\n.*\r\n\r\n$/s);
    const got = await node.get('/a');
    expect([got.status, got.headers['retry-after']]).toEqual([503, '1']);
    expect([node.cache.stats().shed.connections, node.origin.seen().length]).toEqual([4, 0]);
    inside[0]?.socket.destroy();
    await until(() => node.cache.stats().openConnections === 3);
    expect((await node.get('/a')).status).toBe(200);
  });

  test('of a process that falls behind: 503 at accept for those above its rate, the others are served', async () => {
    // Every turn is late.
    node = await openNode({ limits: { overloadDelayMs: 0.001 } });
    node.origin.set('/a', { body: 'ok', headers: fresh });
    const request = 'GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
    const statuses = new Set<string>();
    while (!statuses.has('503') || !statuses.has('200')) {
      const answers = await Promise.all(Array.from({ length: 30 }, () => open(request).closed));
      for (const answer of answers) statuses.add(answer.slice(9, 12));
    }
    expect([...statuses].sort()).toEqual(['200', '503']);
    expect(node.cache.stats().shed).toMatchObject({ connections: 0, address: 0 });
    expect(node.cache.stats().shed.overload).toBeGreaterThan(0);
  });

  test('of one address above its limit: closed; other addresses and exempt ones are served', async () => {
    const limits = { addressLimit: 10, exemptPrefixes: ['127.0.0.3/32'] };
    node = await openNode({ limits });
    node.origin.set('/a', { body: 'ok', headers: fresh });
    const greedy = Array.from({ length: 30 }, () => open('', '127.0.0.2'));
    const exempt = Array.from({ length: 30 }, () => open('', '127.0.0.3'));
    await until(() => node.cache.stats().shed.address === 20 && node.cache.stats().openConnections === 40);
    expect((await node.get('/a')).status).toBe(200);
    expect(exempt.every(({ socket }) => !socket.destroyed)).toBe(true);
    await until(() => greedy.filter(({ socket }) => socket.destroyed).length === 20);
  });
});

describe('300 slow clients', () => {
  test('slow heads and slow readers are cut, and every good request is served meanwhile', async () => {
    node = await openNode({ limits: { headTimeoutMs: 800, stallTimeoutMs: 800, pieceTimeoutMs: 800 } });
    const { get, origin, cache } = node;
    const large = Buffer.alloc(16 * 1024 * 1024, 'large');
    origin.set('/large', { body: large, headers: fresh });
    origin.set('/small', { body: 'small', headers: fresh });
    await cache.fill('/large', { priority: 'viewer', purpose: 'operator' });
    await get('/small');
    const heads = Array.from({ length: 150 }, () => open('GET /small HTTP/1.1\r\nHost: a\r\nX-Slow: '));
    const drip = setInterval(() => {
      for (const { socket } of heads) if (!socket.destroyed) socket.write('x');
    }, 100);
    const readers = Array.from({ length: 150 }, () => {
      const reader = open('GET /large HTTP/1.1\r\nHost: a\r\n\r\n');
      reader.socket.pause();
      return reader;
    });
    let areCut = false;
    const lane = async () => {
      const statuses: number[] = [];
      while (!areCut) statuses.push((await get('/small')).status);
      return statuses;
    };
    const lanes = [lane(), lane(), lane(), lane()];
    const answers = await Promise.all(heads.map(({ closed }) => closed));
    // On a busy machine a reader may be cut before his request has been read.
    await until(() => cache.stats().openConnections <= lanes.length);
    expect(node.served.filter(({ path }) => path === '/large').length).toBeGreaterThan(readers.length / 2);
    areCut = true;
    clearInterval(drip);
    const good = (await Promise.all(lanes)).flat();
    expect([good.length > 100, new Set(good)]).toEqual([true, new Set([200])]);
    expect(answers.filter((answer) => answer.startsWith('HTTP/1.1 408 '))).toHaveLength(150);
    expect(node.served.filter(({ path, isComplete }) => path === '/large' && isComplete)).toEqual([]);
    await until(() => cache.stats().openConnections === 0);
  });

  test('a reader who trickles is cut by the time that one piece may take', async () => {
    node = await openNode({ limits: { pieceTimeoutMs: 600 } });
    node.origin.set('/large', { body: Buffer.alloc(24 * 1024 * 1024), headers: fresh });
    await node.cache.fill('/large', { priority: 'viewer', purpose: 'operator' });
    const { socket, connected } = open('GET /large HTTP/1.1\r\nHost: a\r\n\r\n');
    socket.pause();
    await connected;
    const trickle = setInterval(() => socket.read(1024), 20);
    await until(() => node.cache.stats().openConnections === 1);
    await until(() => node.cache.stats().openConnections === 0);
    clearInterval(trickle);
    expect(node.served.map(({ isComplete }) => isComplete)).toEqual([false]);
  });
});
