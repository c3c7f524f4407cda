// Purges from outside: by URL, prefix, tag and group, hard and soft, with fills under way and objects that come meanwhile.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openInvalidation, purge } from '../../../cache/purge.ts';
import { bodyOf, optionsOf, put, temporary, withStore } from '../store/support.ts';
import { openNode, type TestNode } from './node.ts';

const body = 'x'.repeat(1000);
const fresh = { 'cache-control': 'max-age=600' };

let node: TestNode;
beforeEach(async () => {
  node = await openNode();
});
afterEach(() => node.close());

async function store(path: string, headers: Readonly<Record<string, string>>): Promise<void> {
  node.origin.set(path, { body, headers: { ...fresh, ...headers }, etag: '"e"' });
  await node.get(path);
}

describe('by tag and group', () => {
  test('a tag takes the objects that have it, whichever field named it, and no other', async () => {
    await store('/1', { 'cache-tag': 'news,title-1' });
    await store('/2', { 'surrogate-key': 'title-2 news' });
    await store('/3', { 'cache-tag': 'newsroom' });
    await store('/4', { 'cache-groups': '"news"' });
    expect(await node.cache.purge({ tag: 'news' })).toEqual({ objects: 2, fills: 0 });
    expect(['/1', '/2', '/3', '/4'].map((path) => node.cache.has(path) !== undefined)).toEqual([
      ...[false, false, true, true],
    ]);
    expect(await node.cache.purge({ group: 'news' })).toEqual({ objects: 1, fills: 0 });
    expect(node.cache.has('/4')).toBeUndefined();
  });

  test('softly: each is kept, and used again once the origin has confirmed it', async () => {
    await store('/1', { 'cache-tag': 'news' });
    await store('/2', { 'cache-tag': 'news' });
    expect(await node.cache.purge({ tag: 'news', soft: true })).toEqual({ objects: 2, fills: 0 });
    expect(await node.cache.purge({ tag: 'news', soft: true })).toEqual({ objects: 0, fills: 0 });
    expect((await node.get('/1')).headers['cache-status']).toMatch(/fwd=stale; fwd-status=304/);
    expect((await node.get('/1')).headers['cache-status']).toMatch(/; hit/);
  });

  test('viewers see groups, which any cache may use, but no tags, hit or miss', async () => {
    const names = { 'cache-tag': 'a', 'surrogate-key': 'b', 'cache-groups': '"c"' };
    node.origin.set('/a', { body, headers: { ...fresh, ...names } });
    for (const { headers } of [await node.get('/a'), await node.get('/a'), await node.get('/a', {}, 'POST', 'x')])
      expect([headers['cache-tag'], headers['surrogate-key'], headers['cache-groups']]).toEqual([
        ...[undefined, undefined, '"c"'],
      ]);
  });

  test('a 304 changes the tags', async () => {
    let tag = 'old';
    node.origin.set('/a', () => ({ body, etag: '"e"', headers: { 'cache-control': 'max-age=1', 'cache-tag': tag } }));
    await node.get('/a');
    tag = 'new';
    node.passSeconds(100);
    expect((await node.get('/a')).headers['cache-status']).toMatch(/fwd-status=304/);
    expect(await node.cache.purge({ tag: 'old' })).toEqual({ objects: 0, fills: 0 });
    expect(await node.cache.purge({ tag: 'new' })).toEqual({ objects: 1, fills: 0 });
  });
});

describe('RFC 9875 section 3: Cache-Group-Invalidation', () => {
  const isStale = async (path: string) => (await node.get(path)).headers['cache-status']?.includes('fwd=stale');

  test('on the answer to an unsafe method its groups are asked for anew', async () => {
    await store('/1', { 'cache-groups': '"a", "b"' });
    await store('/2', { 'cache-groups': '"b"' });
    await store('/3', { 'cache-groups': '"c"' });
    node.origin.set('/do', { headers: { 'cache-group-invalidation': '"b", "x"' } });
    await node.get('/do', {}, 'POST', 'x');
    await expect.poll(() => node.cache.has('/2')?.freshForSeconds).toBe(0);
    expect([await isStale('/1'), await isStale('/2'), await isStale('/3')]).toEqual([true, true, false]);
  });

  test('on the answer to a safe one it is ignored', async () => {
    await store('/1', { 'cache-groups': '"a"' });
    for (const method of ['GET', 'HEAD', 'OPTIONS']) {
      node.origin.set('/do', { headers: { 'cache-group-invalidation': '"a"' } });
      await node.get('/do', {}, method);
    }
    expect(await isStale('/1')).toBe(false);
  });

  test('it does not cascade, and it reaches one origin only', async () => {
    const marked: string[] = [];
    const invalidate = openInvalidation({
      now: Date.now,
      log: () => undefined,
      fills: { forget: () => 0 },
      store: {
        keys: () => [],
        keysByTag: (_name, _limit, after = '') => ['one /1', 'one@b /1', 'two /1'].filter((key) => key > after),
        find: (key) => {
          marked.push(key);
          return [];
        },
        remove: () => undefined,
        settled: () => Promise.resolve(),
        update: () => undefined,
      },
    });
    invalidate('g:a', { key: 'one /9' });
    await expect.poll(() => marked).toEqual(['one /1']);
    await store('/1', { 'cache-groups': '"a", "b"' });
    await store('/2', { 'cache-groups': '"b"' });
    node.origin.set('/do', { headers: { 'cache-group-invalidation': '"a"' } });
    await node.get('/do', {}, 'POST', 'x');
    await expect.poll(() => node.cache.has('/1')?.freshForSeconds).toBe(0);
    expect(await isStale('/2')).toBe(false);
  });
});

describe('fills under way', () => {
  test.each([
    ['url', { url: '/a' }],
    ['prefix', { prefix: '/' }],
    ['tag', { tag: 'news' }],
    ['soft tag', { tag: 'news', soft: true }],
    ['soft url', { url: '/a', soft: true }],
  ])('are not stored when purged by %s; who waits gets the body', async (_name, selector) => {
    const release = Promise.withResolvers<void>();
    node.origin.set('/a', {
      body,
      headers: { ...fresh, 'cache-tag': 'news' },
      gates: [{ offset: 10, until: release.promise }],
    });
    const waiting = node.get('/a');
    await expect.poll(() => node.cache.activeFills()).toBe(1);
    await node.origin.asked('/a', 1);
    expect(await node.cache.purge(selector)).toEqual({ objects: 0, fills: 1 });
    release.resolve();
    expect((await waiting).body.toString()).toBe(body);
    await expect.poll(() => node.cache.activeFills()).toBe(0);
    expect(node.cache.has('/a')).toBeUndefined();
  });

  test('a confirmation that may be older than a soft purge confirms nothing', async () => {
    await store('/a', {});
    await node.cache.purge({ url: '/a', soft: true });
    const release = Promise.withResolvers<void>();
    node.origin.set('/a', ({ headers }) =>
      headers['if-none-match'] === undefined
        ? { body: 'y'.repeat(1000), headers: fresh }
        : { status: 304, headers: { etag: '"e"' }, headAfter: release.promise },
    );
    const waiting = node.get('/a');
    await node.origin.asked('/a', 2);
    expect(await node.cache.purge({ url: '/a', soft: true })).toEqual({ objects: 0, fills: 1 });
    release.resolve();
    expect((await waiting).body.toString()).toBe('y'.repeat(1000));
    expect(node.cache.has('/a')?.freshForSeconds).toBe(0);
  });
});

test('a purge of thousands gives way, tells how far it is, and leaves what came meanwhile', async () => {
  const COUNT = 3_000;
  const directory = temporary();
  await withStore(optionsOf(directory.path, { dirs: [] }), async (held) => {
    const at = { requestedAt: 1_000, receivedAt: 1_001 };
    for (let n = 0; n < COUNT; n += 1) await put(held, `main /t/${n}`, bodyOf('b', 10), at);
    const heard: number[] = [];
    let isLate = false;
    const done = purge(
      { store: held, fills: { forget: () => 7 }, now: () => 2_000 },
      { by: 'prefix', prefix: 'main /t/' },
      {
        isSoft: false,
        onProgress: (objects) => {
          heard.push(objects);
          if (isLate) return;
          isLate = true;
          void put(held, 'main /t/zz', bodyOf('b', 10), { requestedAt: 2_001, receivedAt: 2_002 });
        },
      },
    );
    expect(await done).toEqual({ objects: COUNT, fills: 7 });
    expect(heard.at(-1)).toBe(COUNT);
    expect(heard).toEqual([...heard].sort((one, other) => one - other));
    expect(held.keys('main /t/', 10)).toEqual(['main /t/zz']);
  });
  directory.remove();
});

test('explain tells of an object that is stored in part how much of it is there', async () => {
  const large = Buffer.alloc(3 * 1024 * 1024, 'x');
  node.origin.set('/large', { body: large, headers: { ...fresh, 'cache-tag': 'big' }, etag: '"e"', hasRanges: true });
  await node.get('/large', { range: `bytes=${2 * 1024 * 1024 + 5}-${2 * 1024 * 1024 + 9}` });
  await expect
    .poll(() => node.cache.explain('/large')?.variants)
    .toMatchObject([
      { sizeBytes: 3 * 1024 * 1024, storedBytes: 1024 * 1024, tags: ['big'], because: 'max-age=600 in Cache-Control' },
    ]);
  expect(JSON.stringify(node.cache.explain('/large'))).not.toContain(':slices');
  expect(await node.cache.purge({ tag: 'big' })).toMatchObject({ objects: 1 });
});
