// Tags of stored objects: what is found by them, across restarts and changes.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { bodyOf, optionsOf, put, temporary, withStore } from './support.ts';

let directory: ReturnType<typeof temporary>;
beforeEach(() => {
  directory = temporary();
});
afterEach(() => directory.remove());

test('keys by tag: all variants, across a restart, changed by an update, gone with the object', async () => {
  const options = optionsOf(directory.path);
  const tags = ['title 7', 'ünï "x"'];
  await withStore(options, async (store) => {
    await put(store, 'a', bodyOf('a', 10), { tags });
    await put(store, 'a', bodyOf('a', 11), { tags: ['title 7'], variant: 'br' });
    await put(store, 'b', bodyOf('b', 100_000), { tags: ['title 7'] });
    await put(store, 'c', bodyOf('c', 10));
    expect([...store.keysByTag('title 7', 10)].sort()).toEqual(['a', 'b']);
    expect(store.keysByTag('title 7', 1)).toHaveLength(1);
    await store.settled();
    expect([...store.keysByTag('title 7', 10)].sort()).toEqual(['a', 'b']);
  });
  await withStore(options, async (store) => {
    expect([...store.keysByTag('title 7', 10)].sort()).toEqual(['a', 'b']);
    expect(store.keysByTag('ünï "x"', 10)).toEqual(['a']);
    expect(store.keysByTag('title', 10)).toEqual([]);
    const [b] = store.find('b');
    if (b === undefined) throw new Error('lost');
    expect(b.tags).toEqual(['title 7']);
    store.update(b, { tags: ['other'] });
    for (const object of store.find('a')) store.remove(object);
    expect(store.keysByTag('title 7', 10)).toEqual([]);
    await store.settled();
    expect(store.keysByTag('other', 10)).toEqual(['b']);
  });
  await withStore(options, async (store) => {
    expect(store.keysByTag('title 7', 10)).toEqual([]);
    expect(store.keysByTag('other', 10)).toEqual(['b']);
  });
});

test('tags beyond the bounds are left out', async () => {
  await withStore(optionsOf(directory.path), async (store) => {
    const many = Array.from({ length: 70 }, (_, n) => `tag ${n}`);
    const object = await put(store, 'a', bodyOf('a', 10), { tags: ['x'.repeat(129), 'x'.repeat(128), ...many] });
    expect(object?.tags).toEqual(['x'.repeat(128), ...many.slice(0, 63)]);
  });
});
