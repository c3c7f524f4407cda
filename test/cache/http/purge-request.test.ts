// Purges over the viewer listener: who may, what of whose host, and what everybody else gets.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openNode, type TestNode } from './node.ts';

const TOKEN = 'a-token-of-one-host';
const fresh = { 'cache-control': 'max-age=600' };
const one = { host: 'one.test' };
const asOne = { ...one, authorization: `Bearer ${TOKEN}` };

let node: TestNode;
beforeEach(async () => {
  node = await openNode({
    hosts: [
      {
        names: ['one.test'],
        hostHeader: 'forward',
        purgeTokens: [Buffer.from('an-older-token-of-it'), Buffer.from(TOKEN)],
      },
      { names: ['two.test'], hostHeader: 'forward', purgeTokens: [Buffer.from('a-token-of-another')] },
      { names: ['none.test'], hostHeader: 'forward' },
    ],
  });
  for (const path of ['/a/1', '/a/2', '/b/1']) {
    node.origin.set(path, { body: 'x', headers: { ...fresh, 'cache-tag': 'news', 'cache-groups': '"g"' } });
    for (const host of ['one.test', 'two.test', 'none.test']) await node.get(path, { host });
  }
});
afterEach(() => node.close());

const held = (host: string) =>
  ['/a/1', '/a/2', '/b/1'].filter((path) => node.cache.has(`https://${host}${path}`) !== undefined);
const call = (body: unknown, headers: Record<string, string> = asOne) =>
  node.get('/.nearcast/purge', headers, 'POST', typeof body === 'string' ? body : JSON.stringify(body));

test('PURGE removes the address that it is sent to, of its host', async () => {
  const got = await node.get('/a/1', asOne, 'PURGE');
  expect([got.status, JSON.parse(got.body.toString())]).toEqual([200, { isDone: true, objects: 1, fills: 0 }]);
  expect([held('one.test'), held('two.test')]).toEqual([
    ['/a/2', '/b/1'],
    ['/a/1', '/a/2', '/b/1'],
  ]);
  const older = { ...one, authorization: 'Bearer an-older-token-of-it' };
  expect((await node.get('/a/2', older, 'PURGE')).status).toBe(200);
});

test('PURGE of a prefix, softly', async () => {
  const got = await node.get('/a/', { ...asOne, 'nearcast-purge': 'soft, prefix' }, 'PURGE');
  expect(JSON.parse(got.body.toString())).toMatchObject({ objects: 2 });
  expect(held('one.test')).toHaveLength(3);
  expect((await node.get('/a/1', one)).headers['cache-status']).toMatch(/fwd=stale/);
});

test.each<[body: object, objects: number]>([
  [{ url: '/a/1' }, 1],
  [{ url: 'https://one.test/a/1' }, 1],
  [{ prefix: '/a/' }, 2],
  [{ tag: 'news' }, 3],
  [{ group: 'g' }, 3],
  [{ tag: 'news', soft: true }, 3],
])('POST %j reaches its own host only', async (body, objects) => {
  const got = await call(body);
  expect([got.status, JSON.parse(got.body.toString())]).toEqual([200, { isDone: true, objects, fills: 0 }]);
  expect([held('two.test'), held('none.test')].flat()).toHaveLength(6);
  expect(held('one.test')).toHaveLength('soft' in body ? 3 : 3 - objects);
});

describe('what is refused leaves everything as it was', () => {
  afterEach(() => expect(['one.test', 'two.test', 'none.test'].flatMap(held)).toHaveLength(9));

  test.each<[name: string, headers: Record<string, string>]>([
    ['no token', one],
    ['a wrong one', { ...one, authorization: 'Bearer a-token-of-none-host' }],
    ['an empty one', { ...one, authorization: 'Bearer ' }],
    ['the token of another host', { ...one, authorization: 'Bearer a-token-of-another' }],
    ['another scheme', { ...one, authorization: `Basic ${TOKEN}` }],
  ])('%s: 401', async (_name, headers) => {
    for (const got of [await node.get('/a/1', headers, 'PURGE'), await call({ tag: 'news' }, headers)]) {
      expect([got.status, got.headers['www-authenticate']]).toEqual([401, 'Bearer realm="purge"']);
    }
    expect(node.origin.seen('/a/1').every(({ method }) => method === 'GET')).toBe(true);
  });

  test.each<[name: string, body: unknown]>([
    ['nothing', {}],
    ['no JSON', '{'],
    ['two selectors', { url: '/a/1', tag: 'news' }],
    ['another host', { url: 'https://two.test/a/1' }],
    ['a host that begins alike', { prefix: 'https://one.test.evil/a' }],
    ['an address that is none', { prefix: 'a' }],
    ['a tag that is none', { tag: 'a b' }],
    ['a list', ['/a/1']],
    ['too much', { url: `/${'x'.repeat(9000)}` }],
  ])('%s: 400', async (_name, body) => {
    expect((await call(body)).status).toBe(400);
  });

  test('a host without tokens answers as it always has: the method goes to its origin, the path is none', async () => {
    const none = { host: 'none.test', authorization: `Bearer ${TOKEN}` };
    await node.get('/c', none, 'PURGE');
    expect(node.origin.seen('/c')[0]?.method).toBe('PURGE');
  });
});

test('more than a hundred at once have to wait', async () => {
  const got = await Promise.all(Array.from({ length: 130 }, (_, n) => node.get(`/none/${n}`, asOne, 'PURGE')));
  const statuses = new Set(got.map(({ status }) => status));
  expect(statuses).toEqual(new Set([200, 429]));
  expect(got.find(({ status }) => status === 429)?.headers['retry-after']).toBe('1');
});
