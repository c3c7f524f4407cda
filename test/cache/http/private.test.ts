// What is one viewer's: Authorization, cookies and fields named by private and no-cache, over HTTP.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openNode, type TestNode } from './node.ts';

let node: TestNode;
beforeEach(async () => {
  node = await openNode();
});
afterEach(() => node.close());

const status = async (path: string, headers = {}) => String((await node.get(path, headers)).headers['cache-status']);

test('RFC 9111 section 3.1: fields named by private or no-cache reach who asked, and nobody after', async () => {
  const headers = {
    'cache-control': 'max-age=60, private="Set-Cookie", no-cache="x-user"',
    'set-cookie': 'a=1',
    'x-user': 'me',
  };
  node.origin.set('/a', { body: 'x', headers });
  await node.get('/a');
  const { headers: second } = await node.get('/a');
  expect([second['cache-status'], second['set-cookie'], second['x-user']]).toEqual([
    expect.stringMatching(/hit/),
    undefined,
    undefined,
  ]);
});

test('RFC 9111 section 3.5: an answer to Authorization is stored only where its origin allows it, and is then for all', async () => {
  const asMe = { authorization: 'Basic bWU6bWU=' };
  node.origin.set('/mine', { body: 'x', headers: { 'cache-control': 'max-age=60' } });
  node.origin.set('/ours', { body: 'x', headers: { 'cache-control': 'public, max-age=60' } });
  for (const path of ['/mine', '/ours']) await node.get(path, asMe);
  expect(await status('/mine')).not.toMatch(/hit/);
  expect(await status('/ours')).toMatch(/hit/);
});

test.each(['private, max-age=60', 'no-store'])('a 304 that says %s ends what was shared', async (later) => {
  let control = 'max-age=1, stale-while-revalidate=0';
  node.origin.set('/a', () => ({ body: 'x', etag: '"e"', headers: { 'cache-control': control } }));
  await node.get('/a');
  control = later;
  node.passSeconds(100);
  expect((await node.get('/a')).body.toString()).toBe('x');
  expect(node.cache.has('/a')).toBeUndefined();
  expect(await status('/a')).not.toMatch(/hit/);
});

test('so does the answer to a HEAD', async () => {
  let control = 'max-age=60';
  node.origin.set('/a', () => ({ body: 'x', etag: '"e"', headers: { 'cache-control': control } }));
  await node.get('/a');
  control = 'private';
  node.passSeconds(100);
  await node.get('/a', {}, 'HEAD');
  expect(node.cache.has('/a')).toBeUndefined();
});
