// Damage of every kind to a store at rest: what is served afterwards is right or refused, and the store goes on.
import { readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { appendFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openStore } from '../../../cache/store/store.ts';
import { bodyFiles, bodyOf, get, keepLog, MIB, optionsOf, put, temporary, withStore } from './support.ts';
import { count, expectUsable, fill, flip, SIZES, sweepDatabase } from './sweep.ts';

let directory: ReturnType<typeof temporary>;
beforeEach(() => {
  directory = temporary();
});
afterEach(() => directory.remove());

async function fileOf(bytes: number): Promise<string> {
  const path = (await bodyFiles(directory.path)).find((file) => statSync(file).size === bytes);
  if (path === undefined) throw new Error(`no body of ${bytes} bytes`);
  return path;
}

const LARGE = SIZES.blocks;
const BODY_DAMAGE: readonly (readonly [string, (path: string) => unknown, string])[] = [
  ...[0, MIB - 1, MIB, 2 * MIB + 77, LARGE - 1].map(
    (offset) => [`byte ${offset} flipped`, (path: string) => flip(path, offset), 'CACHE_CORRUPT'] as const,
  ),
  ...[0, MIB, LARGE - 1].map(
    (size) => [`truncated to ${size}`, (path: string) => truncateSync(path, size), 'CACHE_CORRUPT'] as const,
  ),
  ['extended by a byte', (path) => appendFile(path, 'x'), 'CACHE_CORRUPT'],
  ['extended by a hole', (path) => truncateSync(path, LARGE + MIB), 'CACHE_CORRUPT'],
  ['zeroed', (path) => writeFileSync(path, Buffer.alloc(LARGE)), 'CACHE_CORRUPT'],
  ['shifted by a block', (path) => writeFileSync(path, shifted(path)), 'CACHE_CORRUPT'],
  ['deleted', (path) => rmSync(path), 'CACHE_DISK_READ'],
  ['its directory deleted', (path) => rmSync(join(path, '..'), { recursive: true }), 'CACHE_DISK_READ'],
];

function shifted(path: string): Buffer {
  const bytes = readFileSync(path);
  return Buffer.concat([bytes.subarray(MIB, 2 * MIB), bytes.subarray(0, MIB), bytes.subarray(2 * MIB)]);
}

describe.each([
  ['read into RAM', 64 * MIB],
  ['read by block', 0],
])('a body file, %s', (_name, ramBytes) => {
  test.each(BODY_DAMAGE)('%s', async (_damage, damage, code) => {
    await fill(directory.path);
    await damage(await fileOf(LARGE));
    const { log, lines } = keepLog();
    const options = optionsOf(directory.path, { ramBytes, log });
    await withStore(options, async (store) => {
      await expect(get(store, 'blocks')).rejects.toMatchObject({ code, retryable: true });
      expect(store.find('blocks')).toEqual([]);
      expect(store.stats().corruptBlocks).toBe(code === 'CACHE_CORRUPT' ? 1 : 0);
      const event = code === 'CACHE_CORRUPT' ? 'store.object.corrupt' : 'store.disk.error';
      expect(lines.filter((line) => line.event === event)).toHaveLength(1);
      expect(await count(store)).toBeGreaterThanOrEqual(2);
      await put(store, 'blocks', bodyOf('blocks', LARGE));
      expect((await get(store, 'blocks'))?.length).toBe(LARGE);
    });
    await withStore(options, async (store) => expect((await get(store, 'blocks'))?.length).toBe(LARGE));
  });
});

test('two body files of one length, swapped', async () => {
  const names = { one: 2 * MIB, two: 2 * MIB };
  await fill(directory.path, names);
  const [first = '', second = ''] = await bodyFiles(directory.path);
  renameSync(first, `${first}.x`);
  renameSync(second, first);
  renameSync(`${first}.x`, second);
  await withStore(optionsOf(directory.path), async (store) => {
    expect(await count(store, names)).toBe(0);
    expect(store.stats()).toMatchObject({ corruptBlocks: 2, objects: 0 });
  });
});

describe('the database', () => {
  test('truncated, overwritten, missing, its log torn: an empty or smaller store, never a wrong byte', async () => {
    await sweepDatabase(directory.path, 3);
  }, 60_000);

  test('of another program: put aside, not read', async () => {
    await fill(directory.path);
    rmSync(join(directory.path, 'index.db'));
    const other = new DatabaseSync(join(directory.path, 'index.db'));
    other.exec('CREATE TABLE objects (id INTEGER PRIMARY KEY, key TEXT)');
    other.close();
    await withStore(optionsOf(directory.path), async (store) => {
      expect(store.stats().objects).toBe(0);
      await expectUsable(store);
    });
    expect(statSync(join(directory.path, 'index.db.damaged')).size).toBeGreaterThan(0);
  });
});

/** Changes the database of a closed store as a hand or a bug might. */
function edit(path: string, sql: string): void {
  const database = new DatabaseSync(join(path, 'index.db'));
  database.exec(sql);
  database.close();
}

/** The object of the key 'file'. */
const FILE = `id = (SELECT id FROM details WHERE key = 'file')`;

test.each([
  ['key', "UPDATE details SET key = 'other' WHERE key = 'file'"],
  ['length', `UPDATE objects SET bytes = 99999 WHERE ${FILE}`],
  ['head', "UPDATE details SET head = replace(head, '200', '404') WHERE key = 'file'"],
  ['blocks', "UPDATE details SET blocks = x'00000000' WHERE key = 'file'"],
  ['checksum', "UPDATE details SET checksum = x'00' WHERE key = 'file'"],
  ['detail', "DELETE FROM details WHERE key = 'file'"],
])('a row whose %s was changed or lost is a miss', async (_field, sql) => {
  await fill(directory.path);
  edit(directory.path, sql);
  await withStore(optionsOf(directory.path), async (store) => {
    expect(store.find('file')).toEqual([]);
    expect(store.find('other')).toEqual([]);
    expect(store.stats().corruptBlocks).toBe(1);
    expect(await count(store)).toBe(3);
  });
});

test('an inline body that was changed', async () => {
  await fill(directory.path);
  edit(directory.path, 'UPDATE bodies SET body = zeroblob(length(body))');
  await withStore(optionsOf(directory.path), async (store) => {
    for (const key of ['tiny', 'inline'])
      await expect(get(store, key)).rejects.toMatchObject({ code: 'CACHE_CORRUPT' });
    expect(await count(store)).toBe(2);
  });
});

test('a row of a newer format is not found, not touched, and there again for who knows it', async () => {
  await fill(directory.path);
  edit(directory.path, `UPDATE objects SET format = 3 WHERE ${FILE}`);
  const { log, lines } = keepLog();
  await withStore(optionsOf(directory.path, { log }), async (store) => {
    expect(store.find('file')).toEqual([]);
    expect(await count(store)).toBe(3);
    await expect.poll(() => lines.map((line) => line.event)).toContain('store.swept');
  });
  edit(directory.path, `UPDATE objects SET format = 2 WHERE ${FILE}`);
  await withStore(optionsOf(directory.path), async (store) => expect(await count(store)).toBe(4));
});

test('a newer layout is refused whole and left as it is', async () => {
  await fill(directory.path);
  edit(directory.path, 'PRAGMA user_version = 3');
  await expect(openStore(optionsOf(directory.path))).rejects.toMatchObject({ code: 'CACHE_FORMAT_NEWER' });
  await withStore(optionsOf(directory.path, { required: false }), async (store) => {
    expect(store.stats()).toMatchObject({ objects: 0, isDegraded: true });
  });
  edit(directory.path, 'PRAGMA user_version = 2');
  await withStore(optionsOf(directory.path), async (store) => expect(await count(store)).toBe(4));
});

test('files that no row knows are swept behind the start', async () => {
  await fill(directory.path);
  const strays = ['bodies/abc/001', 'bodies/abc/002.tmp', 'bodies/x/y.tmp', 'bodies/abc/fff/deep'];
  for (const stray of strays) {
    await mkdir(join(directory.path, stray, '..'), { recursive: true });
    writeFileSync(join(directory.path, stray), 'stray');
  }
  const { log, lines } = keepLog();
  await withStore(optionsOf(directory.path, { log }), async (store) => {
    await expect.poll(() => lines.find((line) => line.event === 'store.swept')?.fields).toMatchObject({ count: 4 });
    expect(await count(store)).toBe(4);
  });
  expect(await bodyFiles(directory.path)).toHaveLength(2);
});
