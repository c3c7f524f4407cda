// Objects that are not at hand: found by their rows, whatever shares their hash, before and after all rows are counted.
import { DatabaseSync } from 'node:sqlite';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { keyHash } from '../../../cache/store/checksum.ts';
import type { Store, StoredObject } from '../../../cache/store/object.ts';
import { Rows } from '../../../cache/store/rows.ts';
import { openStore } from '../../../cache/store/store.ts';
import { addRows, rowKey } from '../../bench/store-rows.ts';
import { bodyOf, get, keepLog, MIB, optionsOf, put, temporary, withStore } from './support.ts';

let directory: ReturnType<typeof temporary>;
beforeEach(() => {
  directory = temporary();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  directory.remove();
});

function query(sql: string): unknown[] {
  const database = new DatabaseSync(`${directory.path}/index.db`);
  const rows = database.prepare(sql).all();
  database.close();
  return rows;
}

/** Options of a store that has room for what addRows() claims. */
const wide = (changes = {}) =>
  optionsOf(directory.path, { ramBytes: 0, dirs: [{ path: directory.path, maxBytes: 2 ** 42 }], ...changes });

const only = (store: Store, key: string): StoredObject => {
  const [object, other] = store.find(key);
  if (object === undefined || other !== undefined) throw new Error(`not one object of ${key}`);
  return object;
};

/** Two keys that share their hash under a seed: a birthday among 2^32 takes some 80,000 tries. */
function twins(seed: string): readonly [string, string] {
  const seen = new Map<number, string>();
  for (let n = 0; ; n += 1) {
    const key = `twin ${n}`;
    const hash = keyHash(seed, key);
    const other = seen.get(hash);
    if (other !== undefined) return [other, key];
    seen.set(hash, key);
  }
}

test('keys that share a hash are told apart, and a row of the other one is not damage', async () => {
  await withStore(optionsOf(directory.path), async () => undefined);
  const [facts] = query(`SELECT value FROM facts WHERE name = 'seed'`);
  const seed = typeof facts === 'object' && facts !== null && 'value' in facts ? String(facts.value) : '';
  const [one, two] = twins(seed);
  await withStore(optionsOf(directory.path), async (store) => {
    await put(store, one, bodyOf(one, 100));
  });
  await withStore(optionsOf(directory.path), async (store) => {
    expect(store.find(two)).toEqual([]);
    expect(store.find(one)).toHaveLength(1);
    expect(store.find(two)).toEqual([]); // Now the other one is at hand.
    await put(store, two, bodyOf(two, 70_000));
    expect(store.find(one)).toHaveLength(1);
  });
  await withStore(optionsOf(directory.path), async (store) => {
    for (const [key, bytes] of [
      [two, 70_000],
      [one, 100],
    ] as const) {
      expect((await get(store, key))?.equals(bodyOf(key, bytes))).toBe(true);
    }
    store.remove(only(store, one));
    expect(store.find(one)).toEqual([]);
    expect((await get(store, two))?.length).toBe(70_000);
    expect(store.stats()).toMatchObject({ objects: 1, corruptBlocks: 0 });
  });
});

test('a row that was put under another key is no answer for either', async () => {
  await withStore(optionsOf(directory.path), async (store) => {
    for (const key of ['a', 'b']) await put(store, key, bodyOf(key, 100));
  });
  query(`UPDATE details SET key = CASE key WHEN 'a' THEN 'b' ELSE 'a' END`);
  await withStore(optionsOf(directory.path), async (store) => {
    expect([...store.find('a'), ...store.find('b')]).toEqual([]);
    expect(store.stats()).toMatchObject({ objects: 0, corruptBlocks: 2, usedBytes: { disk: 0 } });
  });
});

test('what has left those at hand is found, changed and removed by an object that was handed out before', async () => {
  const count = 17_000; // More than are kept at hand.
  addRows(directory.path, 0, count);
  const keys = Array.from({ length: count }, (_, n) => rowKey(n));
  const changed = keys.slice(0, 10);
  const removed = keys.slice(10, 20);
  await withStore(wide(), async (store) => {
    const early = new Map([...changed, ...removed].map((key) => [key, only(store, key)]));
    for (const key of keys) only(store, key);
    for (const [key, object] of early) {
      if (removed.includes(key)) store.remove(object);
      else {
        store.touch(object);
        store.update(object, { isPinned: true, tags: ['late'] });
        store.update(object, { headers: [['etag', key]] });
      }
    }
    for (const key of removed) expect(store.find(key)).toEqual([]);
    for (const key of changed) expect(only(store, key)).toMatchObject({ isPinned: true, headers: [['etag', key]] });
    expect(store.stats().objects).toBe(count - removed.length);
  });
  await withStore(wide(), async (store) => {
    expect(store.stats()).toMatchObject({ objects: count - removed.length, corruptBlocks: 0 });
    for (const key of removed) expect(store.find(key)).toEqual([]);
    for (const [n, key] of changed.entries()) {
      expect(only(store, key)).toMatchObject({ isPinned: true, headers: [['etag', key]], hits: (n % 3) + 1 });
    }
    expect(store.keysByTag('late', 100)).toEqual(changed);
  });
});

test('one object per variant stands for its row as long as nothing of it changes', async () => {
  await withStore(optionsOf(directory.path), async (store) => {
    await put(store, 'a', bodyOf('a', 100));
    const found = store.find('a');
    const object = only(store, 'a');
    store.touch(object);
    expect(store.find('a')).toBe(found);
    expect(object.hits).toBe(1);
    expect(Object.isFrozen(found) && Object.isFrozen(object)).toBe(true);
    store.update(object, { isInvalidated: true });
    expect(only(store, 'a')).not.toBe(object);
    expect([object.isInvalidated, only(store, 'a').isInvalidated]).toEqual([false, true]);
    expect(() => store.read({ ...object }, { start: 0, end: 1 })).toThrow('not a copy');
  });
});

test('before all rows are counted look-ups, changes, removals and new objects are right already', async () => {
  const count = 20_000;
  addRows(directory.path, 0, count);
  const release = Promise.withResolvers<void>();
  const scan = Rows.prototype.scan;
  let slices = 0;
  vi.spyOn(Rows.prototype, 'scan').mockImplementation(async function (this: Rows, range) {
    slices += 1;
    if (slices === 2) await release.promise; // As on a disk that is busy: the first slice is there, the others are not.
    return await scan.call(this, range);
  });
  const { log, lines } = keepLog();
  const charged = (objects: number): number => objects * (MIB + 1024);
  await withStore(wide({ log }), async (store) => {
    expect(lines.map(({ event }) => event)).not.toContain('store.counted');
    expect(store.stats()).toMatchObject({ objects: count, usedBytes: { disk: charged(count) } });
    expect(store.find('absent')).toEqual([]);
    const [early, late] = [rowKey(5), rowKey(count - 5)];
    for (const key of [early, late]) store.update(only(store, key), { isPinned: true });
    for (const key of [rowKey(6), rowKey(count - 6)]) {
      store.remove(only(store, key));
      expect(store.find(key)).toEqual([]);
    }
    await put(store, 'new', bodyOf('new', 100));
    store.touch(only(store, rowKey(count - 7)));
    expect(store.keys(rowKey(count - 8), 10)).toEqual([rowKey(count - 8)]);
    await store.settled();
    release.resolve();
    await expect.poll(() => lines.map(({ event }) => event)).toContain('store.counted');
    const used = charged(count - 2) + 100 + 1024;
    expect(store.stats()).toMatchObject({ objects: count - 1, usedBytes: { disk: used }, corruptBlocks: 0 });
    for (const key of [rowKey(6), rowKey(count - 6)]) expect(store.find(key)).toEqual([]);
    for (const key of [early, late]) expect(only(store, key).isPinned).toBe(true);
    store.remove(only(store, late));
    expect(store.stats().objects).toBe(count - 2);
  });
});

test('wrong sums in the database are mended by the count', async () => {
  await withStore(optionsOf(directory.path), async (store) => {
    for (const key of ['a', 'b']) await put(store, key, bodyOf(key, 100));
  });
  for (const [objects, bytes] of [
    [0, 0],
    [9999, 77],
    [1e9, 1e7],
  ] as const) {
    query(
      `UPDATE facts SET value = CASE name WHEN 'objects' THEN ${objects} WHEN 'bytes' THEN ${bytes} ELSE value END`,
    );
    await withStore(optionsOf(directory.path), async (store) => {
      expect(store.stats()).toMatchObject({ objects: 2, usedBytes: { disk: 2 * 1124 } });
    });
  }
});

test('under random puts, uses and evictions the sums are right, and stay so over restarts', async () => {
  const step = fc.record({
    key: fc.nat(60),
    bytes: fc.nat(3000),
    uses: fc.nat(2),
    isPinned: fc.integer({ max: 20, min: 0 }),
  });
  const property = fc.asyncProperty(fc.array(fc.array(step, { maxLength: 60 }), { maxLength: 3 }), async (lives) => {
    const place = temporary();
    const options = optionsOf(place.path, { ramBytes: 0, dirs: [{ path: place.path, maxBytes: 60_000 }] });
    const expectRight = async (store: Store): Promise<void> => {
      let used = 0;
      const keys = store.keys('', 1000);
      for (const key of keys) {
        const object = only(store, key);
        used += object.lengthBytes + 1024;
        expect((await get(store, key))?.equals(bodyOf(key, object.lengthBytes))).toBe(true);
      }
      expect(store.stats()).toMatchObject({ objects: keys.length, usedBytes: { disk: used }, corruptBlocks: 0 });
      expect(used).toBeLessThanOrEqual(60_000);
    };
    try {
      for (const life of lives) {
        await withStore(options, async (store) => {
          await expectRight(store);
          for (const { key, bytes, uses, isPinned } of life) {
            const object = await put(store, `${key}`, bodyOf(`${key}`, bytes), { isPinned: isPinned === 0 });
            if (object !== undefined) for (let use = 0; use < uses; use += 1) store.touch(object);
          }
          await expectRight(store);
        });
      }
    } finally {
      place.remove();
    }
  });
  await fc.assert(property, { numRuns: 10 });
});

test('a thread that ends by itself takes its disk out; RAM goes on, and the disk comes back empty', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  const threads = new Set<Worker>();
  const tell = Worker.prototype.postMessage;
  vi.spyOn(Worker.prototype, 'postMessage').mockImplementation(function (this: Worker, ...message) {
    threads.add(this);
    tell.apply(this, message);
  });
  const { log, lines } = keepLog();
  const store = await openStore(optionsOf(directory.path, { log }));
  await put(store, 'both', bodyOf('both', 1000));
  await put(store, 'disk only', bodyOf('disk only', 3 * MIB));
  await store.settled();
  for (const thread of threads) await thread.terminate();
  await expect.poll(() => lines.map(({ event }) => event)).toContain('store.disk.out');
  expect(store.stats()).toMatchObject({ isDegraded: true, errors: [{ op: 'index' }] });
  expect((await get(store, 'both'))?.equals(bodyOf('both', 1000))).toBe(true);
  expect(store.find('disk only')).toEqual([]);
  await put(store, 'meanwhile', bodyOf('meanwhile', 1000));
  await vi.advanceTimersByTimeAsync(10_000);
  await expect.poll(() => lines.map(({ event }) => event)).toContain('store.disk.back');
  expect((await get(store, 'meanwhile'))?.equals(bodyOf('meanwhile', 1000))).toBe(true);
  await put(store, 'disk only', bodyOf('again', 3 * MIB));
  await store.close(5000);
  await withStore(optionsOf(directory.path), async (again) => {
    expect((await get(again, 'disk only'))?.equals(bodyOf('again', 3 * MIB))).toBe(true);
    expect(again.stats().objects).toBe(1);
  });
});
