// Requests that front ends and origins read differently (RFC 9112 sections 2.2, 3.2, 5, 6.1, 6.3, 7.1 and 11): sent as raw
// bytes, each on a connection shared with a good one, before an origin on a bare socket that counts every byte it sees.
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Cache, open } from '../../../cache/cache.ts';

let cache: Cache;
let port: number;
let directory: string;
let origin: Server;
const originSockets = new Set<Socket>();
/** Everything the origin was sent, in the order it came. */
let seen: string[] = [];
const waiting = new Set<() => void>();
const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: no-store\r\n\r\nok';

beforeAll(async () => {
  origin = createServer((socket) => {
    originSockets.add(socket);
    socket.once('close', () => originSockets.delete(socket));
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      const text = bytes.toString('latin1');
      seen.push(text);
      for (const hear of [...waiting]) hear();
      for (const line of requestsIn([text])) if (!line.includes('/silent')) socket.write(ANSWER);
    });
  });
  await new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve));
  // A TCP server's address is an AddressInfo.
  const { port: originPort } = origin.address() as { port: number };
  directory = await mkdtemp(join(tmpdir(), 'nearcast-malformed-'));
  cache = await open({
    origins: [{ name: 'main', url: `http://127.0.0.1:${originPort}`, match: '/' }],
    store: { ramBytes: 1024 * 1024, dirs: [{ path: directory, maxBytes: 1024 * 1024 }], required: true },
    rules: { defaultTtlSeconds: 0, graceSeconds: 0, target: 'X-Target' },
    nodeId: 'edge-test',
    now: Date.now,
    log: () => undefined,
  });
  ({ port } = await cache.serve({ host: '127.0.0.1', port: 0 }));
});
afterAll(async () => {
  await cache.close(0);
  for (const socket of originSockets) socket.destroy();
  await new Promise((resolve) => origin.close(resolve));
  await rm(directory, { recursive: true, force: true });
});
beforeEach(() => {
  seen = [];
});

/** Sends bytes and reads until the connection closes. */
function exchange(bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes, 'latin1'));
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', () => undefined);
    socket.once('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
  });
}

/** Request lines, without their line end. */
const requestsIn = (bytes: readonly string[]) => bytes.join('\n').match(/^[A-Z]+ \S+ HTTP\/1\.1(?=\r$)/gm) ?? [];
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const GOOD = 'GET /good HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const post = (fields: string, body = '') => `POST /a HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n${body}`;

describe('refused with 400 and a closed connection; the origin sees nothing, nor what follows', () => {
  test.each([
    ['two Content-Lengths that differ', post('Content-Length: 3\r\nContent-Length: 6', 'abc')],
    ['one Content-Length as a list', post('Content-Length: 3, 3', 'abc')],
    ['a Content-Length with a sign', post('Content-Length: +3', 'abc')],
    ['Content-Length and Transfer-Encoding', post('Content-Length: 3\r\nTransfer-Encoding: chunked', '0\r\n\r\n')],
    ['Transfer-Encoding before Content-Length', post('Transfer-Encoding: chunked\r\nContent-Length: 3', '0\r\n\r\n')],
    ['an obfuscated chunked', post('Transfer-Encoding: xchunked', '0\r\n\r\n')],
    ['chunked that is not last', post('Transfer-Encoding: chunked, identity', '0\r\n\r\n')],
    ['a space before the colon', post('Transfer-Encoding : chunked', '0\r\n\r\n')],
    ['a folded field', post('X: 1\r\n Transfer-Encoding: chunked\r\nContent-Length: 0')],
    ['a NUL in a field', post('X: a\x00b\r\nContent-Length: 0')],
    ['a control byte in a field name', post('X\x01: a\r\nContent-Length: 0')],
    ['a bare CR in a field', post('X: a\rY: b\r\nContent-Length: 0')],
    ['a bare LF between fields', 'GET /a HTTP/1.1\nHost: a\n\n'],
    ['a chunk size that is no number', post('Transfer-Encoding: chunked', 'zz\r\nabc\r\n0\r\n\r\n')],
    ['a chunk size beyond 64 bits', post('Transfer-Encoding: chunked', 'fffffffffffffffff\r\nabc\r\n0\r\n\r\n')],
    ['two Hosts', 'GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
    ['a target that disagrees with Host', 'GET http://x.example/a HTTP/1.1\r\nHost: y.example\r\n\r\n'],
    ['a GET with a body', 'GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc'],
    ['HTTP/1.0 with Transfer-Encoding', 'POST /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['HTTP/0.9', 'GET /a HTTP/0.9\r\n\r\n'],
    ['a path in Host', 'GET /a HTTP/1.1\r\nHost: a/x\r\n\r\n'],
    ['a fragment in the target', 'GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a dot segment', 'GET /x/../a HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['an encoded dot segment', 'GET /x/%2e%2e/a HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['no Host', 'GET /a HTTP/1.1\r\n\r\n'],
  ])('%s', async (_name, bytes) => {
    const before = cache.stats().malformed;
    const answer = await exchange(bytes + SMUGGLED);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer.match(/HTTP\/1\.1 \d/g)).toHaveLength(1);
    expect(cache.stats().malformed).toBe(before + 1);
    // Had anything of it gone on, it would have come before this one.
    expect(await exchange(GOOD)).toMatch(/^HTTP\/1\.1 200 /);
    expect(requestsIn(seen)).toEqual(['GET /good HTTP/1.1']);
  });

  test('a chunk that turns out malformed after the head has gone on: one request, without an end', async () => {
    const socket = connect(port, '127.0.0.1');
    const chunks: string[] = [];
    socket.on('data', (bytes) => chunks.push(bytes.toString('latin1')));
    socket.on('error', () => undefined);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write('POST /silent HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n');
    await new Promise<void>((resolve) => {
      const hear = () => {
        if (!seen.join('').includes('abc')) return;
        waiting.delete(hear);
        resolve();
      };
      waiting.add(hear);
    });
    socket.write(`zz\r\nabc\r\n0\r\n\r\n${SMUGGLED}`);
    await closed;
    expect(chunks.join('')).toMatch(/^HTTP\/1\.1 400 /);
    expect(await exchange(GOOD)).toMatch(/^HTTP\/1\.1 200 /);
    expect(requestsIn(seen)).toEqual(['POST /silent HTTP/1.1', 'GET /good HTTP/1.1']);
    expect(seen.join('')).not.toMatch(/smuggled|\r\n0\r\n\r\n/);
  });
});

describe('taken in one meaning: exactly one request reaches the origin, written anew', () => {
  test.each([
    [
      'a chunk extension',
      post('Connection: close\r\nTransfer-Encoding: chunked', '3;ext=1\r\nabc\r\n0\r\n\r\n'),
      'POST /a HTTP/1.1',
      /ext=1/,
    ],
    [
      'trailers',
      post('Connection: close\r\nTransfer-Encoding: chunked', '0\r\nX-T: 1\r\n\r\n'),
      'POST /a HTTP/1.1',
      /X-T/i,
    ],
    ['an empty line first', '\r\nGET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', 'GET /a HTTP/1.1', /^\r\n/],
    [
      'an absolute target that agrees with Host',
      'GET http://A.example/a HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n',
      'GET /a HTTP/1.1',
      /example/i,
    ],
    ['HTTP/1.0 without Host', 'GET /a HTTP/1.0\r\n\r\n', 'GET /a HTTP/1.1', /HTTP\/1\.0/],
    [
      'fields named by Connection',
      'GET /a HTTP/1.1\r\nHost: a\r\nConnection: close, x-hop\r\nX-Hop: 1\r\n\r\n',
      'GET /a HTTP/1.1',
      /x-hop/i,
    ],
  ])('%s', async (_name, bytes, line, dropped) => {
    const answer = await exchange(bytes);
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(requestsIn(seen)).toEqual([line]);
    expect(seen.join('')).not.toMatch(dropped);
  });
});
