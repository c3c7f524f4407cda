// What becomes durable when, and what is let go of: the order of a batch, and open files.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { BodyFile } from '../../../cache/store/body-file.ts';
import { Disk } from '../../../cache/store/disk.ts';
import { bodyOf, drain, get, MIB, optionsOf, put, temporary, withStore } from './support.ts';

let directory: ReturnType<typeof temporary>;
beforeEach(() => {
  directory = temporary();
});
afterEach(() => {
  vi.restoreAllMocks();
  directory.remove();
});

/** True when the write-ahead log holds the text, that is, when a row with it was committed. */
const isLogged = (text: string): boolean => readFileSync(join(directory.path, 'index.db-wal')).includes(text);

test('no row before its body is synced, whatever else is committed meanwhile', async () => {
  const called = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  await withStore(optionsOf(directory.path), async (store) => {
    const other = await put(store, 'other', bodyOf('other', 100));
    await expect.poll(() => isLogged('other')).toBe(true);
    const create = Disk.prototype.create;
    vi.spyOn(Disk.prototype, 'create').mockImplementation(async function (this: Disk, id): Promise<FileHandle> {
      const file = await create.call(this, id);
      const datasync = file.datasync.bind(file);
      const held = async (): Promise<void> => {
        called.resolve();
        await release.promise;
        await datasync();
      };
      return Object.assign(file, { datasync: held });
    });
    const object = await put(store, 'the key', bodyOf('the key', MIB));
    if (object === undefined || other === undefined) throw new Error('refused');
    await called.promise;
    store.update(object, { isInvalidated: true });
    store.touch(object);
    store.update(other, { headers: [['x-mark', 'while it waits']] });
    await expect.poll(() => isLogged('while it waits')).toBe(true);
    expect(isLogged('the key')).toBe(false);
    release.resolve();
    await expect.poll(() => isLogged('the key')).toBe(true);
  });
  await withStore(optionsOf(directory.path), async (store) => {
    expect(store.find('the key')[0]).toMatchObject({ isInvalidated: true, hits: 1 });
  });
});

test('an object that is removed while its body is synced leaves neither row nor file', async () => {
  const release = Promise.withResolvers<void>();
  await withStore(optionsOf(directory.path), async (store) => {
    const called = Promise.withResolvers<void>();
    const create = Disk.prototype.create;
    vi.spyOn(Disk.prototype, 'create').mockImplementation(async function (this: Disk, id): Promise<FileHandle> {
      const held = async (): Promise<void> => {
        called.resolve();
        await release.promise;
      };
      return Object.assign(await create.call(this, id), { datasync: held });
    });
    const object = await put(store, 'the key', bodyOf('the key', MIB));
    if (object === undefined) throw new Error('refused');
    await called.promise;
    store.remove(object);
    release.resolve();
    await put(store, 'later', bodyOf('later', 100));
    await expect.poll(() => isLogged('later')).toBe(true);
    expect(isLogged('the key')).toBe(false);
    expect(store.stats()).toMatchObject({ objects: 1, usedBytes: { disk: 100 + 1024 } });
  });
  const files = readdirSync(join(directory.path, 'bodies'), { recursive: true, withFileTypes: true });
  expect(files.filter((file) => file.isFile())).toEqual([]);
});

test('a body that is given up while it is written gives its share of the backlog back once', async () => {
  const disk = new Disk(directory.path);
  const backlog = { bytes: 0 };
  const body = new BodyFile(disk, 1, backlog);
  for (let n = 0; n < 5; n += 1) body.push(bodyOf(`${n}`, MIB));
  expect(backlog.bytes).toBe(5 * MIB);
  while (backlog.bytes === 5 * MIB) await new Promise((resolve) => setImmediate(resolve)); // Now the second is written.
  await body.discard();
  expect(backlog.bytes).toBe(0);
  body.push(bodyOf('late', MIB));
  expect(backlog.bytes).toBe(0);
  expect(existsSync(disk.path(1))).toBe(false);
});

const openFiles = (): number => readdirSync('/proc/self/fd').length;

test.runIf(process.platform === 'linux')('open files are bounded, and none is left behind', async () => {
  await withStore(optionsOf(directory.path), async () => undefined); // Whatever opens once, opens here.
  const before = openFiles();
  await withStore(
    optionsOf(directory.path, { ramBytes: 0, dirs: [{ path: directory.path, maxBytes: 256 * MIB }] }),
    async (store) => {
      for (let n = 0; n < 200; n += 1) {
        const object = await put(store, `${n}`, bodyOf(`${n}`, 70_000 + n));
        if (object === undefined) throw new Error('refused');
        const reader = store.read(object, { start: 5, end: 60_000 });
        if (n % 3 === 0) await drain(reader);
        if (reader.tier === 'disk') reader.close();
        if (n % 5 === 0) store.remove(object);
      }
      await expect.poll(openFiles).toBeLessThan(before + 128 + 32);
      expect((await get(store, '1'))?.length).toBe(70_001);
    },
  );
  await expect.poll(openFiles).toBeLessThanOrEqual(before);
});
