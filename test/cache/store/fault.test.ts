// Disks that fill up, fail, hang, are not ours or not there: the store gives up copies, never its callers.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Disk } from '../../../cache/store/disk.ts';
import { openStore } from '../../../cache/store/store.ts';
import { bodyFiles, bodyOf, get, keepLog, MIB, optionsOf, put, temporary, withStore } from './support.ts';

let directory: ReturnType<typeof temporary>;
beforeEach(() => {
  directory = temporary();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  directory.remove();
});

/** An error as the system gives it. */
const systemError = (code: string): Error => Object.assign(new Error(`${code}: injected`), { code });

type FileCalls = Partial<Pick<FileHandle, 'write' | 'datasync' | 'sync' | 'read'>>;

/** From now on calls on body files opened for writing below `root` go through these: the edge to the system. */
function injectOnCreate(calls: (file: FileHandle) => FileCalls, root = directory.path): void {
  const create = Disk.prototype.create;
  vi.spyOn(Disk.prototype, 'create').mockImplementation(async function (this: Disk, id) {
    const file = await create.call(this, id);
    return this.root.startsWith(root) ? Object.assign(file, calls(file)) : file;
  });
}

type Write = (
  bytes: Buffer,
  offset: number,
  length: number,
  position: number,
) => Promise<{ bytesWritten: number; buffer: Buffer }>;

/** The file's write, changed. */
function changeWrite(file: FileHandle, change: (write: Write) => Write): FileCalls {
  const write = file.write.bind(file);
  const changed = change((bytes, offset, length, position) => write(bytes, offset, length, position));
  // Sound: the store calls write with these four arguments only.
  return { write: changed as FileHandle['write'] };
}

describe('a full disk', () => {
  test('while a body is written: viewers have it from RAM, the copy is given up, the limit lowered', async () => {
    const { log, lines } = keepLog();
    await withStore(optionsOf(directory.path, { log }), async (store) => {
      for (const key of ['1', '2', '3', '4']) await put(store, key, bodyOf(key, 2 * MIB));
      await expect.poll(async () => (await bodyFiles(directory.path)).length).toBe(4);
      injectOnCreate(() => ({ write: () => Promise.reject(systemError('ENOSPC')) }));
      const object = await put(store, 'late', bodyOf('late', 2 * MIB));
      expect(object?.tier).toBe('memory');
      await expect.poll(() => lines.map((line) => line.event)).toContain('store.disk.full');
      expect(store.stats()).toMatchObject({ isDegraded: true, errors: [{ disk: directory.path, op: 'write' }] });
      expect(store.stats().limitBytes.disk).toBeLessThan(8 * MIB + 10_000);
      expect(store.stats().usedBytes.disk).toBeLessThanOrEqual(store.stats().limitBytes.disk);
      expect((await get(store, 'late'))?.equals(bodyOf('late', 2 * MIB))).toBe(true);
    });
    await withStore(optionsOf(directory.path), async (store) => {
      expect(store.find('late')).toEqual([]);
      for (const key of store.keys('', 9)) expect((await get(store, key))?.equals(bodyOf(key, 2 * MIB))).toBe(true);
    });
  });

  test('an object beyond RAM is abandoned, and nothing of it stays', async () => {
    await withStore(optionsOf(directory.path), async (store) => {
      let written = 0;
      injectOnCreate((file) =>
        changeWrite(file, (write) => async (...args) => {
          written += 1;
          if (written > 2) throw systemError('ENOSPC');
          return await write(...args);
        }),
      );
      expect(await put(store, 'long', bodyOf('long', 8 * MIB))).toBeUndefined();
      expect(store.find('long')).toEqual([]);
      await expect.poll(() => bodyFiles(directory.path)).toEqual([]);
      expect(store.stats().usedBytes.disk).toBe(0);
    });
  });

  test('only noticed by fsync: the copy is dropped, not tried again', async () => {
    let syncs = 0;
    await withStore(optionsOf(directory.path), async (store) => {
      injectOnCreate(() => ({
        datasync: () => {
          syncs += 1;
          return Promise.reject(systemError('ENOSPC'));
        },
      }));
      await put(store, 'key', bodyOf('key', MIB));
      await expect.poll(() => store.stats().errors).toEqual([{ disk: directory.path, op: 'sync', count: 1 }]);
      expect((await get(store, 'key'))?.equals(bodyOf('key', MIB))).toBe(true);
    });
    expect(syncs).toBe(1);
    await withStore(optionsOf(directory.path), async (store) => expect(store.find('key')).toEqual([]));
    expect(await bodyFiles(directory.path)).toEqual([]);
  });

  test('a small file system, filled to the brim', async () => {
    const isMounted = mountSmall(directory.path, 6);
    try {
      if (!isMounted) injectQuota(6 * MIB);
      const options = optionsOf(directory.path, { ramBytes: 2 * MIB });
      await withStore(options, async (store) => {
        let stored = 0;
        for (let n = 0; n < 40; n += 1) {
          const body = bodyOf(`${n}`, 300_000 + n * 10_000);
          if ((await put(store, `${n}`, body)) !== undefined) stored += 1;
          const got = await get(store, `${n}`).catch(() => undefined);
          if (got !== undefined) expect(got.equals(body)).toBe(true);
        }
        // At least what fits; how much more depends on how often the limit was lowered, once a second at most.
        expect(stored).toBeGreaterThan(10);
        expect(store.stats().errors.map((error) => error.op)).toContain('write');
      });
      await withStore(options, async (store) => {
        for (const key of store.keys('', 100)) {
          expect((await get(store, key))?.equals(bodyOf(key, 300_000 + Number(key) * 10_000))).toBe(true);
        }
      });
    } finally {
      // Body files that were given up are closed a moment after the store.
      if (isMounted) await expect.poll(() => unmount(directory.path)).toBe(true);
    }
  });
});

/** False without the right to mount. */
function mountSmall(path: string, mib: number): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mib}m`, 'tmpfs', path], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function unmount(path: string): boolean {
  try {
    execFileSync('umount', [path], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Where nothing can be mounted: body files share this many bytes; removed ones give theirs back. */
function injectQuota(bytes: number): void {
  let used = 0;
  const sizes = new Map<number, number>();
  const create = Disk.prototype.create;
  vi.spyOn(Disk.prototype, 'create').mockImplementation(async function (this: Disk, id) {
    const file = await create.call(this, id);
    const limited = changeWrite(file, (write) => async (...args) => {
      const result = await write(...args);
      used += result.bytesWritten;
      sizes.set(id, (sizes.get(id) ?? 0) + result.bytesWritten);
      if (used > bytes) throw systemError('ENOSPC');
      return result;
    });
    return Object.assign(file, limited);
  });
  const remove = Disk.prototype.remove;
  vi.spyOn(Disk.prototype, 'remove').mockImplementation(async function (this: Disk, id) {
    await remove.call(this, id);
    used -= sizes.get(id) ?? 0;
    sizes.delete(id);
  });
}

test('a write that takes only part of a block is continued', async () => {
  injectOnCreate((file) =>
    changeWrite(
      file,
      (write) => (bytes, offset, length, position) => write(bytes, offset, Math.min(length, 70_001), position),
    ),
  );
  await withStore(optionsOf(directory.path, { ramBytes: 0 }), async (store) => {
    await put(store, 'key', bodyOf('key', 2 * MIB + 3));
    expect((await get(store, 'key'))?.equals(bodyOf('key', 2 * MIB + 3))).toBe(true);
  });
});

test('a disk that hangs is waited for by nobody, and takes only so much RAM', async () => {
  const release = Promise.withResolvers<void>();
  await withStore(
    optionsOf(directory.path, { dirs: [{ path: directory.path, maxBytes: 1024 * MIB }] }),
    async (store) => {
      injectOnCreate((file) =>
        changeWrite(file, (write) => async (...args) => {
          await release.promise;
          return await write(...args);
        }),
      );
      for (let n = 0; n < 100; n += 1) {
        const object = await put(store, `${n}`, bodyOf(`${n}`, MIB), { chunkBytes: MIB });
        expect(object?.tier).toBe('memory');
        expect((await get(store, `${n}`))?.length).toBe(MIB);
      }
      // What waits for the disk is found; beyond the bound only the RAM tier's share is.
      expect(store.stats().objects).toBeLessThanOrEqual(64 + 16);
      expect(await put(store, 'large', bodyOf('large', 40 * MIB), { chunkBytes: MIB })).toBeUndefined();
      release.resolve();
    },
  );
});

test('a disk that fails again and again is taken out, the others go on; it comes back by itself, empty', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  const bad = join(directory.path, 'bad');
  const good = join(directory.path, 'good');
  const { log, lines } = keepLog();
  const dirs = [bad, good].map((path) => ({ path, maxBytes: 64 * MIB }));
  await withStore(optionsOf(directory.path, { dirs, log, ramBytes: 0 }), async (store) => {
    const keys = Array.from({ length: 24 }, (_, n) => `key ${n}`);
    for (const key of keys) await put(store, key, bodyOf(key, 100_000));
    const onGood = (await bodyFiles(good)).length;
    expect(onGood).toBeGreaterThan(0);
    expect(onGood).toBeLessThan(24);
    injectOnCreate(() => ({ datasync: () => Promise.reject(systemError('EIO')) }), bad);
    for (let n = 0; n < 60 && !lines.some((line) => line.event === 'store.disk.out'); n += 1) {
      await put(store, `more ${n}`, bodyOf(`more ${n}`, 70_000));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await expect.poll(() => lines.map((line) => line.event)).toContain('store.disk.out');
    vi.restoreAllMocks();
    expect(store.stats().isDegraded).toBe(true);
    expect(lines.filter((line) => line.event === 'store.disk.out').map((line) => line.fields['disk'])).toEqual([bad]);
    let kept = 0;
    for (const key of keys) {
      const body = await get(store, key);
      if (body === undefined) continue;
      expect(body.equals(bodyOf(key, 100_000))).toBe(true);
      kept += 1;
    }
    expect(kept).toBe(onGood);
    await vi.advanceTimersByTimeAsync(10_000);
    await expect.poll(() => lines.map((line) => line.event)).toContain('store.disk.back');
    expect(readdirSync(bad)).toContain('index.db.damaged');
    for (const key of keys) {
      expect(await put(store, key, bodyOf(key, 100_000))).toBeDefined();
      expect((await get(store, key))?.equals(bodyOf(key, 100_000))).toBe(true);
    }
    expect(store.stats().isDegraded).toBe(false);
  });
});

test('errors of reading count against the disk, those of our own limits do not', async () => {
  const { log, lines } = keepLog();
  await withStore(optionsOf(directory.path, { log, ramBytes: 0 }), async (store) => {
    await put(store, 'key', bodyOf('key', 100_000));
    const hold = Disk.prototype.hold;
    for (const [code, isOut] of [
      ['EMFILE', false],
      ['EIO', true],
    ] as const) {
      vi.spyOn(Disk.prototype, 'hold').mockImplementation(function (this: Disk, id, bytes) {
        return { ...hold.call(this, id, bytes), read: () => Promise.reject(systemError(code)) };
      });
      for (let n = 0; n < 5; n += 1) {
        await expect(get(store, 'key')).rejects.toMatchObject({ code: 'CACHE_DISK_READ', retryable: true });
      }
      vi.restoreAllMocks();
      expect(lines.some((line) => line.event === 'store.disk.out')).toBe(isOut);
      if (!isOut) expect((await get(store, 'key'))?.equals(bodyOf('key', 100_000))).toBe(true);
    }
    expect(store.stats()).toMatchObject({ objects: 0, errors: [{ op: 'read', count: 10 }] });
    expect(await put(store, 'tiny', Buffer.from('x'))).toBeUndefined(); // No disk, no RAM: refused, not thrown.
  });
});

describe('at start', () => {
  test('a second owner is refused, also after the first has been closed and taken over', async () => {
    const options = optionsOf(directory.path);
    const first = await openStore(options);
    await expect(openStore(options)).rejects.toMatchObject({ code: 'CACHE_STORE_LOCKED' });
    await put(first, 'key', bodyOf('key', 100_000));
    await first.close(5000);
    await withStore(options, async (second) => {
      expect((await get(second, 'key'))?.length).toBe(100_000);
      await expect(openStore(options)).rejects.toMatchObject({ code: 'CACHE_STORE_LOCKED' });
    });
  });

  test('a second process is refused', async () => {
    const script = `
      import { openStore } from ${JSON.stringify(new URL('../../../cache/store/store.ts', import.meta.url).href)};
      const options = { ramBytes: 0, dirs: [{ path: ${JSON.stringify(directory.path)}, maxBytes: 1e9 }], required: true,
        now: Date.now, log: () => undefined };
      await openStore(options).then((store) => store.close(1000).then(() => console.log('opened')), (error) => console.log(error.code));`;
    const run = (): string =>
      execFileSync(process.execPath, ['--input-type=module-typescript', '-e', script], { encoding: 'utf8' }).trim();
    await withStore(optionsOf(directory.path), async () => expect(run()).toBe('CACHE_STORE_LOCKED'));
    expect(run()).toBe('opened');
  });

  test('a lock file with rubbish in it is no obstacle, and locks', async () => {
    writeFileSync(join(directory.path, 'lock'), bodyOf('rubbish', 5000));
    await withStore(optionsOf(directory.path), async () => {
      await expect(openStore(optionsOf(directory.path))).rejects.toMatchObject({ code: 'CACHE_STORE_LOCKED' });
    });
  });

  test.each(['a file in its place', 'no right to write'])(
    '%s: an error when required, else RAM alone',
    async (obstacle) => {
      const path = join(directory.path, 'disk');
      if (obstacle === 'a file in its place') writeFileSync(path, '');
      else {
        mkdirSync(path);
        // Root may write anywhere; then a directory below a file stands for it.
        if (process.getuid?.() === 0) writeFileSync(join(path, 'bodies'), '');
        else chmodSync(path, 0o500);
      }
      await expect(openStore(optionsOf(path))).rejects.toMatchObject({
        code: 'CACHE_STORE_UNUSABLE',
        message: expect.stringContaining(path),
      });
      await withStore(optionsOf(path, { required: false }), async (store) => {
        expect(store.stats()).toMatchObject({ isDegraded: true, limitBytes: { disk: 0 }, errors: [{ op: 'open' }] });
        await put(store, 'key', bodyOf('key', MIB));
        expect((await get(store, 'key'))?.equals(bodyOf('key', MIB))).toBe(true);
      });
    },
  );

  test('a directory that can be used later is taken then, with what it holds', async () => {
    const path = join(directory.path, 'disk');
    await withStore(optionsOf(path), async (store) => void (await put(store, 'key', bodyOf('key', 100_000))));
    const holder = await openStore(optionsOf(path));
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    await withStore(optionsOf(path, { required: false }), async (store) => {
      expect(store.find('key')).toEqual([]);
      await holder.close(5000);
      await vi.advanceTimersByTimeAsync(10_000);
      await expect.poll(() => store.find('key')).toHaveLength(1);
      expect(store.stats().isDegraded).toBe(false);
    });
  });
});

test('close gives up at its deadline', async () => {
  const hung = Promise.withResolvers<void>();
  injectOnCreate(() => ({ datasync: () => hung.promise }));
  const store = await openStore(optionsOf(directory.path));
  await put(store, 'key', bodyOf('key', MIB));
  const began = performance.now();
  await store.close(100);
  expect(performance.now() - began).toBeLessThan(3000);
  hung.resolve();
});
