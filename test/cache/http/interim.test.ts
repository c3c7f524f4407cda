// What comes before and after an answer (RFC 9110 sections 15.2 and 6.5): 102 and 103 go on to every viewer who waits,
// trailers to nobody; neither is stored.
import { request as httpRequest, type InformationEvent } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http2';
import { afterEach, describe, expect, test } from 'vitest';
import { openNode, readResponse, type TestNode } from './node.ts';
import { authority, filesOf, openSession } from './secure.ts';

let node: TestNode;
afterEach(() => node.close());

const link = '</styles.css>; rel=preload; as=style';

type Told = { readonly interim: readonly InformationEvent[]; readonly status: number; readonly body: string };

function ask(path: string, method = 'GET'): Promise<Told> {
  return new Promise((resolve, reject) => {
    const interim: InformationEvent[] = [];
    const request = httpRequest({ host: '127.0.0.1', port: node.port, path, method, agent: false });
    request.on('information', (event) => interim.push(event));
    request.once('error', reject);
    request.once('response', (response) => {
      void readResponse(response).then(({ body }) =>
        resolve({ interim, status: response.statusCode ?? 0, body: body.toString() }),
      );
    });
    request.end();
  });
}

test.each([
  ['a miss', '/a', 'GET'],
  ['a pass', '/a', 'DELETE'],
  ['a HEAD', '/a', 'HEAD'],
])('%s: 102 and 103 with its fields come before the answer', async (_name, path, method) => {
  node = await openNode();
  const headers = { link, 'x-my-header': 'test', connection: 'x-hop', 'x-hop': '1' };
  node.origin.set(path, {
    body: 'final',
    headers: { 'cache-control': 'max-age=60' },
    interim: [{ status: 102 }, { status: 103, headers }],
  });
  const { interim, status } = await ask(path, method);
  expect(interim.map(({ statusCode }) => statusCode)).toEqual([102, 103]);
  expect(interim[1]?.headers).toEqual({ link, 'x-my-header': 'test' });
  expect(status).toBe(200);
});

test('every viewer who waits hears of them; a hit has none', async () => {
  node = await openNode();
  const head = Promise.withResolvers<void>();
  const hints = Promise.withResolvers<void>();
  node.origin.set('/a', {
    body: 'final',
    headers: { 'cache-control': 'max-age=60' },
    interimAfter: hints.promise,
    interim: [{ status: 103, headers: { link } }],
    headAfter: head.promise,
  });
  const all = [ask('/a'), ask('/a'), ask('/a')];
  while (node.cache.stats().coalesced < 2) await new Promise(setImmediate);
  hints.resolve();
  head.resolve();
  for (const { interim, body } of await Promise.all(all)) {
    expect([interim.map(({ headers }) => headers['link']), body]).toEqual([[link], 'final']);
  }
  expect((await ask('/a')).interim).toEqual([]);
  expect(node.origin.seen('/a')).toHaveLength(1);
});

test.each([
  ['one that Node cannot write', 'HTTP/1.1 199 Odd\r\nx: 1\r\n\r\n'],
  ['early hints without Link', 'HTTP/1.1 103 Early Hints\r\nx: 1\r\n\r\n'],
  ['early hints with a Link that is none', 'HTTP/1.1 103 Early Hints\r\nlink: nonsense\r\n\r\n'],
])('%s is left out, and the answer comes', async (_name, before) => {
  node = await openNode();
  node.origin.set('/a', { raw: `${before}HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfinal` });
  const { interim, status, body } = await ask('/a');
  expect([interim, status, body]).toEqual([[], 200, 'final']);
});

test('a viewer of HTTP/1.0 gets none', async () => {
  node = await openNode();
  node.origin.set('/a', { body: 'final', interim: [{ status: 102 }, { status: 103, headers: { link } }] });
  const text = await node.raw('GET /a HTTP/1.0\r\n\r\n');
  expect(text).toMatch(/^HTTP\/1\.[01] 200 /);
});

test('a Link line that lists several links goes on as one line each', async () => {
  node = await openNode();
  const two = '</a>; rel=preload, </c>; rel=preload';
  node.origin.set('/a', {
    raw: `HTTP/1.1 103 Early Hints\r\nlink: ${two}\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfinal`,
  });
  const { interim, body } = await ask('/a');
  expect([interim.map(({ headers }) => headers['link']), body]).toEqual([[two], 'final']);
});

const final = 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncache-control: max-age=60\r\n\r\nfinal';

describe('over HTTP/2', () => {
  const certificate = filesOf(authority.issue(['localhost']));

  /** Asks on sessions of their own, so often at once; what came before each answer, and the answer. */
  async function askH2(path: string, method = 'GET') {
    const session = await openSession(node.securePort);
    const stream = session.request({ ':path': path, ':method': method });
    const interim: IncomingHttpHeaders[] = [];
    let status: unknown;
    stream.on('headers', (fields: IncomingHttpHeaders) => interim.push(Object.fromEntries(Object.entries(fields))));
    stream.on('response', (fields) => {
      status = fields[':status'];
    });
    const body: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => body.push(chunk));
    await new Promise<void>((resolve) => stream.once('close', () => resolve()));
    session.destroy();
    return { interim, status, body: Buffer.concat(body).toString() };
  }

  test.each(['GET', 'DELETE', 'HEAD'])(
    '%s: 102, 103 with its fields and unknown ones come first; a hit has none',
    async (method) => {
      node = await openNode({ certificate: await certificate });
      const hints = `link: ${link}\r\nx-my-header: test\r\nconnection: x-hop\r\nx-hop: 1`;
      node.origin.set('/a', {
        raw: `HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n${hints}\r\n\r\nHTTP/1.1 199 Odd\r\nx: 1\r\n\r\n${final}`,
      });
      const told = await askH2('/a', method);
      expect(told.interim).toEqual([
        { ':status': 102 },
        { ':status': 103, link, 'x-my-header': 'test' },
        { ':status': 199, x: '1' },
      ]);
      expect([told.status, told.body]).toEqual([200, method === 'HEAD' ? '' : 'final']);
      if (method !== 'GET') return;
      while (node.cache.stats().activeFills > 0) await new Promise(setImmediate);
      expect(await askH2('/a')).toEqual({ interim: [], status: 200, body: 'final' });
      expect(node.origin.seen('/a')).toHaveLength(1);
    },
  );

  test('one with huge fields is left out, and there is an end to many', async () => {
    node = await openNode({ certificate: await certificate });
    const huge = `HTTP/1.1 103 Early Hints\r\nx: ${'h'.repeat(9000)}\r\n\r\n`;
    const many = 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(200);
    node.origin.set('/a', { raw: `${huge}${many}${final}` });
    const { interim, status, body } = await askH2('/a');
    expect([new Set(interim.map((each) => each[':status'])), interim.length < 64]).toEqual([new Set([102]), true]);
    expect([status, body]).toEqual([200, 'final']);
  });

  test('a viewer who has left in between hurts nobody who waits for the same', async () => {
    node = await openNode({ certificate: await certificate });
    const hints = Promise.withResolvers<void>();
    node.origin.set('/a', {
      body: 'final',
      headers: { 'cache-control': 'max-age=60' },
      interimAfter: hints.promise,
      interim: [{ status: 103, headers: { link } }],
    });
    const leaving = await openSession(node.securePort);
    leaving.on('error', () => undefined);
    const gone = leaving.request({ ':path': '/a' });
    gone.on('error', () => undefined);
    await node.origin.asked('/a', 1);
    const staying = askH2('/a');
    while (node.cache.stats().coalesced < 1) await new Promise(setImmediate);
    leaving.destroy();
    await node.recorded(1);
    hints.resolve();
    expect(await staying).toEqual({ interim: [{ ':status': 103, link }], status: 200, body: 'final' });
  });
});

test('trailers are dropped, the body is whole and stored', async () => {
  node = await openNode();
  const head = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\ncache-control: max-age=60\r\n\r\n';
  node.origin.set('/a', { raw: `${head}5\r\nfinal\r\n0\r\nx-sum: 1\r\n\r\n` });
  for (const hit of ['stored', 'hit']) {
    const got = await node.get('/a');
    expect([got.body.toString(), got.isCut, got.headers['trailer'], got.headers['x-sum']]).toEqual([
      'final',
      false,
      undefined,
      undefined,
    ]);
    expect(got.headers['cache-status']).toContain(hit);
    while (node.cache.stats().activeFills > 0) await new Promise(setImmediate);
  }
});
