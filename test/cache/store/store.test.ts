// What the store does when nothing goes wrong: it gives back what it took, from RAM, from disk, and after a restart.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Store, StoreOptions } from '../../../cache/store/object.ts';
import type { openStore } from '../../../cache/store/store.ts';
import { bodyFiles, bodyOf, drain, get, MIB, optionsOf, put, responseOf, temporary, withStore } from './support.ts';

let directory: ReturnType<typeof temporary>;
beforeEach(() => {
  directory = temporary();
});
afterEach(() => directory.remove());

const SIZES = [0, 1, 65_535, 65_536, 65_537, MIB - 1, MIB, MIB + 1, 3 * MIB + 5];
const RAMS = { 'a large RAM tier': 64 * MIB, 'a RAM tier of small objects': MIB, 'no RAM tier': 0 };

describe.each(Object.entries(RAMS))('with %s', (_name, ramBytes) => {
  test.each([true, false])('bodies of every size come back, length known first: %s', async (isSized) => {
    const options = optionsOf(directory.path, { ramBytes });
    const check = async (store: Awaited<ReturnType<typeof openStore>>): Promise<void> => {
      for (const size of SIZES) {
        const body = await get(store, `size ${size}`);
        expect(body?.equals(bodyOf(`size ${size}`, size)), `${size}`).toBe(true);
      }
    };
    await withStore(options, async (store) => {
      for (const size of SIZES) {
        const object = await put(store, `size ${size}`, bodyOf(`size ${size}`, size), { isSized });
        expect(object).toMatchObject({ lengthBytes: size, hits: 0, ranges: [[0, size]] });
      }
      await check(store);
    });
    await withStore(options, async (store) => {
      expect(store.stats().objects).toBe(SIZES.length);
      await check(store);
      await check(store);
    });
  });

  test('ranges within, at and over block bounds', async () => {
    const body = bodyOf('ranged', 3 * MIB + 5);
    const ranges = [
      ...[
        [0, 1],
        [0, MIB],
        [1, MIB + 1],
        [MIB - 1, MIB + 1],
        [MIB, 2 * MIB],
        [5, 3 * MIB + 5],
      ],
      ...[
        [3 * MIB, 3 * MIB + 5],
        [3 * MIB + 4, 3 * MIB + 5],
        [MIB, MIB],
        [100_000, 900_000],
      ],
    ] as const;
    for (const isReopened of [false, true]) {
      await withStore(optionsOf(directory.path, { ramBytes }), async (store) => {
        if (!isReopened) await put(store, 'ranged', body);
        for (const [start, end] of ranges) {
          const got = await get(store, 'ranged', { start, end });
          expect(got?.equals(body.subarray(start, end)), `${start}-${end}`).toBe(true);
        }
      });
    }
  });
});

test('the head survives a restart whole', async () => {
  const options = optionsOf(directory.path);
  const head = {
    variant: 'accept-encoding: br',
    varyOn: ['accept-encoding'],
    status: 203,
    headers: [
      ['cache-control', 'max-age=60'],
      ['x-text', 'ünïcödé "quoted" \u0000'],
      ['cache-control', 'public'],
    ],
    requestedAt: 1_700_000_000_001,
    receivedAt: 1_700_000_000_123,
    purpose: 'off-peak',
  } as const;
  const before = await withStore(options, async (store) => await put(store, 'key', bodyOf('x', 100), head));
  await withStore(options, async (store) => {
    expect(store.find('key')).toHaveLength(1);
    expect(store.find('key')[0]).toMatchObject({ ...before, tier: 'disk' });
    expect(store.find('key')[0]).toMatchObject(head);
  });
});

test('variants of one key live side by side; the same variant replaces', async () => {
  const options = optionsOf(directory.path);
  await withStore(options, async (store) => {
    for (const variant of ['br', 'gzip']) await put(store, 'key', bodyOf(variant, 100_000), { variant });
    await put(store, 'key', bodyOf('newer', 100_001), { variant: 'gzip' });
  });
  await withStore(options, async (store) => {
    const found = store.find('key');
    expect(found.map((object) => [object.variant, object.lengthBytes])).toEqual(
      expect.arrayContaining([
        ['br', 100_000],
        ['gzip', 100_001],
      ]),
    );
    expect(found).toHaveLength(2);
    expect(await bodyFiles(directory.path)).toHaveLength(2);
  });
});

test('uses, pins, invalidation and new headers survive a restart', async () => {
  const options = optionsOf(directory.path);
  await withStore(options, async (store) => {
    for (const [key, size] of [
      ['small', 10],
      ['large', MIB],
    ] as const) {
      const object = await put(store, key, bodyOf(key, size));
      if (object === undefined) throw new Error('refused');
      expect(store.touch(object)).toEqual({ isFirst: true });
      expect(store.touch(object)).toEqual({ isFirst: false });
      store.update(object, { isPinned: true, headers: [['etag', '"2"']], receivedAt: 5, requestedAt: 4 });
      expect(store.find(key)[0]).toMatchObject({ isPinned: true, isInvalidated: false, hits: 2 });
    }
  });
  const marks = { isPinned: true, hits: 2, headers: [['etag', '"2"']], receivedAt: 5, requestedAt: 4 };
  await withStore(options, async (store) => {
    for (const key of ['small', 'large']) {
      const [object] = store.find(key);
      if (object === undefined) throw new Error('lost');
      expect(object).toMatchObject({ ...marks, isInvalidated: false });
      store.update(object, { isInvalidated: true });
    }
  });
  await withStore(options, async (store) => {
    for (const key of ['small', 'large']) expect(store.find(key)[0]).toMatchObject({ ...marks, isInvalidated: true });
    const [object] = store.find('large');
    if (object === undefined) throw new Error('lost');
    expect(store.touch(object)).toEqual({ isFirst: false });
  });
});

test('removed objects are gone at once and stay gone', async () => {
  const options = optionsOf(directory.path);
  await withStore(options, async (store) => {
    for (const key of ['a', 'b']) await put(store, key, bodyOf(key, 200_000));
    const [object] = store.find('a');
    if (object === undefined) throw new Error('lost');
    store.remove(object);
    expect(store.find('a')).toEqual([]);
    await expect(drain(store.read(object, { start: 0, end: 1 }))).rejects.toMatchObject({ code: 'CACHE_DISK_READ' });
  });
  await withStore(options, async (store) => {
    expect(store.find('a')).toEqual([]);
    expect(store.find('b')).toHaveLength(1);
    expect(await bodyFiles(directory.path)).toHaveLength(1);
  });
});

test('an object that is evicted while it is read is read to its end', async () => {
  await withStore(optionsOf(directory.path, { ramBytes: 0 }), async (store) => {
    const body = bodyOf('long', 4 * MIB);
    const object = await put(store, 'long', body);
    if (object === undefined) throw new Error('refused');
    const reader = store.read(object, { start: 0, end: body.length });
    if (reader.tier !== 'disk') throw new Error('in RAM');
    const first = await reader.next();
    store.remove(object);
    await expect.poll(() => bodyFiles(directory.path)).toEqual([]);
    expect(Buffer.concat([first ?? Buffer.alloc(0), await drain(reader)]).equals(body)).toBe(true);
    reader.close();
    expect(await reader.next()).toBeUndefined();
  });
});

test('keys by prefix, no more than asked for', async () => {
  await withStore(optionsOf(directory.path), async (store) => {
    for (const key of ['o/a/1', 'o/a/2', 'o/b/1']) await put(store, key, Buffer.from(key));
    expect([...store.keys('o/a/', 10)].sort()).toEqual(['o/a/1', 'o/a/2']);
    expect(store.keys('o/', 2)).toHaveLength(2);
    expect(store.keys('x', 2)).toEqual([]);
  });
});

test('a body that is shorter or longer than announced is not stored', async () => {
  await withStore(optionsOf(directory.path), async (store) => {
    for (const [announced, sent] of [
      [100, 99],
      [100, 101],
      [3 * MIB, 2 * MIB],
      [MIB, 3 * MIB],
      [0, 1],
    ] as const) {
      const writer = store.write(responseOf('liar', announced), { isPinned: false, worth: undefined });
      writer?.write(bodyOf('liar', sent));
      expect(await writer?.finish()).toBeUndefined();
      expect(writer?.isAbandoned()).toBe(true);
    }
    expect(store.find('liar')).toEqual([]);
    expect(store.stats()).toMatchObject({ objects: 0, usedBytes: { disk: 0, memory: 0 } });
  });
  await expect.poll(() => bodyFiles(directory.path)).toEqual([]);
});

test('an aborted writer leaves nothing', async () => {
  await withStore(optionsOf(directory.path), async (store) => {
    const writer = store.write(responseOf('cut', 5 * MIB), { isPinned: false, worth: undefined });
    writer?.write(bodyOf('cut', 3 * MIB));
    await new Promise((resolve) => setImmediate(resolve));
    writer?.abort();
    writer?.write(Buffer.alloc(10));
    expect(await writer?.finish()).toBeUndefined();
    expect(store.stats()).toMatchObject({ objects: 0, usedBytes: { disk: 0, memory: 0 } });
  });
  await withStore(optionsOf(directory.path), async () => undefined);
  expect(await bodyFiles(directory.path)).toEqual([]);
});

describe('room', () => {
  const small: Partial<StoreOptions> = { ramBytes: 0 };
  test('the oldest that was not used again leaves; pinned ones stay', async () => {
    const left: number[] = [];
    const options = optionsOf(directory.path, {
      ...small,
      dirs: [{ path: directory.path, maxBytes: 5 * MIB }],
      onEvict: ({ bytes }) => left.push(bytes),
    });
    await withStore(options, async (store) => {
      await put(store, 'pinned', bodyOf('pinned', MIB + 1), { isPinned: true });
      for (const key of ['1', '2', '3']) await put(store, key, bodyOf(key, MIB + Number(key) + 1));
      const [one] = store.find('1');
      if (one !== undefined) for (let use = 0; use < 2; use += 1) store.touch(one); // Twice earns the main queue.
      await put(store, '4', bodyOf('4', MIB));
      expect(left).toEqual([MIB + 3]);
      expect(store.keys('', 10)).toEqual(['1', '3', '4', 'pinned']);
      expect(store.stats().evictions).toMatchObject({ disk: 1 });
      expect(store.stats().usedBytes.disk).toBeLessThanOrEqual(5 * MIB);
    });
  });

  test('the order of arrival survives a restart, and so do uses', async () => {
    const options = optionsOf(directory.path, {
      ...small,
      dirs: [{ path: directory.path, maxBytes: 5 * MIB }],
    });
    await withStore(options, async (store) => {
      for (const key of ['1', '2', '3', '4']) await put(store, key, bodyOf(key, MIB));
      const [one] = store.find('1');
      if (one !== undefined) for (let use = 0; use < 2; use += 1) store.touch(one);
    });
    await withStore(options, async (store) => {
      for (const key of ['5', '6']) await put(store, key, bodyOf(key, MIB));
      expect(store.keys('', 10)).toEqual(['1', '4', '5', '6']);
    });
  });

  test('who was used twice outlives a scan, and a restart in the midst of it', async () => {
    const options = optionsOf(directory.path, { ...small, dirs: [{ path: directory.path, maxBytes: 21 * MIB }] });
    const scan = async (store: Store, name: string) => {
      for (let at = 0; at < 30; at += 1) await put(store, `${name} ${at}`, bodyOf(`${name} ${at}`, MIB));
    };
    const proven = ['1', '2', '3', '4'];
    await withStore(options, async (store) => {
      for (const key of proven) {
        const object = await put(store, key, bodyOf(key, MIB));
        if (object !== undefined) for (let use = 0; use < 2; use += 1) store.touch(object);
      }
      await scan(store, 'before');
      expect(store.keys('', 100)).toEqual(expect.arrayContaining(proven));
    });
    await withStore(options, async (store) => {
      await scan(store, 'after');
      expect(store.keys('', 100)).toEqual(expect.arrayContaining(proven));
      expect(store.keys('before', 100)).toEqual([]);
      expect(store.stats().usedBytes.disk).toBeLessThanOrEqual(21 * MIB);
    });
  });

  test('unused off-peak fills keep their share through a scan, and never push out what was used', async () => {
    const options = optionsOf(directory.path, { ...small, dirs: [{ path: directory.path, maxBytes: 21 * MIB }] });
    const fill = async (store: Store, name: string, purpose: 'viewer' | 'off-peak') => {
      for (let at = 0; at < 14; at += 1) await put(store, `${name} ${at}`, bodyOf(`${name} ${at}`, MIB), { purpose });
    };
    const touch = (store: Store, key: string) => {
      const [object] = store.find(key);
      if (object !== undefined) store.touch(object);
    };
    await withStore(options, async (store) => {
      await fill(store, 'proven', 'viewer');
      for (const key of store.keys('proven', 100)) for (let use = 0; use < 2; use += 1) touch(store, key);
      await fill(store, 'night', 'off-peak');
      expect(store.keys('proven', 100)).toHaveLength(14);
      expect(store.keys('night', 100)).toEqual(['night 10', 'night 11', 'night 12', 'night 13', 'night 8', 'night 9']);
      touch(store, 'night 9');
    });
    await withStore(options, async (store) => {
      await fill(store, 'day', 'viewer');
      expect(store.keys('night', 100)).toEqual(['night 10', 'night 11', 'night 12', 'night 13', 'night 9']);
      await fill(store, 'next night', 'off-peak');
      expect(store.keys('night', 100)).toEqual(['night 9']);
      expect(store.keys('next night', 100).length).toBeGreaterThanOrEqual(4);
      expect(store.stats().usedBytes.disk).toBeLessThanOrEqual(21 * MIB);
    });
  });

  test('what comes back soon after it left is kept, and unpinned it can leave', async () => {
    const options = optionsOf(directory.path, { ...small, dirs: [{ path: directory.path, maxBytes: 5 * MIB }] });
    await withStore(options, async (store) => {
      for (const key of ['1', '2', '3', '4', '5']) await put(store, key, bodyOf(key, MIB));
      expect(store.keys('', 10)).not.toContain('1');
      const back = await put(store, '1', bodyOf('1', MIB));
      for (const key of ['6', '7', '8', '9']) await put(store, key, bodyOf(key, MIB));
      expect(store.keys('', 10)).toContain('1');
      if (back === undefined) throw new Error('refused');
      for (const isPinned of [true, false]) store.update(back, { isPinned });
      for (const key of ['a', 'b', 'c', 'd', 'e']) await put(store, key, bodyOf(key, MIB));
      expect(store.keys('', 10)).not.toContain('1');
    });
  });

  test('what can never fit is refused at once, what turns out not to fit is abandoned', async () => {
    const options = optionsOf(directory.path, { ...small, dirs: [{ path: directory.path, maxBytes: 2 * MIB }] });
    await withStore(options, async (store) => {
      expect(store.write(responseOf('huge', 3 * MIB), { isPinned: false, worth: undefined })).toBeUndefined();
      expect(await put(store, 'endless', bodyOf('endless', 3 * MIB), { isSized: false })).toBeUndefined();
      expect(await put(store, 'pin', bodyOf('pin', MIB), { isPinned: true })).toBeDefined();
      expect(await put(store, 'other', bodyOf('other', MIB))).toBeUndefined();
      expect(store.keys('', 10)).toEqual(['pin']);
      expect(store.stats().usedBytes.disk).toBeLessThan(MIB + 2048);
    });
  });

  test('a store without directories works from RAM and forgets what RAM has no room for', async () => {
    const left: boolean[] = [];
    const options = optionsOf(directory.path, {
      ramBytes: 4 * MIB,
      dirs: [],
      onEvict: (object) => left.push(object.wasUsed),
    });
    await withStore(options, async (store) => {
      for (let n = 0; n < 20; n += 1) {
        const object = await put(store, `${n}`, bodyOf(`${n}`, 400_000));
        if (object !== undefined && n === 0) store.touch(object);
      }
      const kept = store.keys('', 100);
      expect(kept.length + left.length).toBe(20);
      expect(left.filter((wasUsed) => wasUsed)).toHaveLength(1);
      for (const key of kept) expect((await get(store, key))?.equals(bodyOf(key, 400_000))).toBe(true);
      expect(await put(store, 'large', bodyOf('large', MIB))).toBeUndefined();
      expect(store.stats()).toMatchObject({ isDegraded: false, objects: kept.length });
    });
  });
});

test('hits from disk of objects that fit move into RAM', async () => {
  const options = optionsOf(directory.path);
  await withStore(options, async (store) => {
    await put(store, 'fits', bodyOf('fits', 1_500_000));
    await put(store, 'large', bodyOf('large', 3 * MIB));
    await put(store, 'tiny', bodyOf('tiny', 10));
  });
  await withStore(options, async (store) => {
    for (const key of ['fits', 'large', 'tiny']) {
      expect(store.find(key)[0]?.tier).toBe('disk');
      await get(store, key);
    }
    expect(['fits', 'large', 'tiny'].map((key) => store.find(key)[0]?.tier)).toEqual(['memory', 'disk', 'memory']);
    expect((await get(store, 'fits'))?.equals(bodyOf('fits', 1_500_000))).toBe(true);
  });
});

test('several directories share the keys, and each key stays where it is', async () => {
  const dirs = ['a', 'b', 'c'].map((name) => ({ path: `${directory.path}/${name}`, maxBytes: 64 * MIB }));
  const options = optionsOf(directory.path, { dirs });
  await withStore(options, async (store) => {
    for (let n = 0; n < 30; n += 1) await put(store, `key ${n}`, bodyOf(`key ${n}`, 70_000));
  });
  const counts = await Promise.all(dirs.map(async ({ path }) => (await bodyFiles(path)).length));
  expect(counts.reduce((sum, count) => sum + count)).toBe(30);
  for (const count of counts) expect(count).toBeGreaterThan(2);
  await withStore(options, async (store) => {
    for (let n = 0; n < 30; n += 1) {
      expect((await get(store, `key ${n}`))?.equals(bodyOf(`key ${n}`, 70_000))).toBe(true);
    }
  });
  const two = { ...options, dirs: dirs.slice(0, 2) };
  await withStore(two, async (store) => expect(store.stats().objects).toBe(30 - (counts[2] ?? 0)));
});
