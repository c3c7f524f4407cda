// What comes before and after an answer (RFC 9110 sections 15.2 and 6.5): 102 and 103 go on to every viewer who waits,
// trailers to nobody; neither is stored.
import { request as httpRequest, type InformationEvent } from 'node:http';
import { afterEach, expect, test } from 'vitest';
import { openNode, readResponse, type TestNode } from './node.ts';

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
  ['an unknown one', 'HTTP/1.1 199 Odd\r\nx: 1\r\n\r\n'],
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
