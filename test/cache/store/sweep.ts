// Damages a store's database at many places and judges what is served afterwards.
import { cpSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { CacheError } from '../../../cache/errors.ts';
import type { Store } from '../../../cache/store/object.ts';
import { openStore } from '../../../cache/store/store.ts';
import { bodyOf, get, MIB, optionsOf, put, withStore } from './support.ts';

/** Bodies by name: in the database, at its limit, in a file, in several blocks. */
export const SIZES = { tiny: 10, inline: 65_536, file: 100_000, blocks: 3 * MIB + 5 };

type Names = Readonly<Record<string, number>>;

/** Stores an object per name. */
export async function fill(path: string, names: Names = SIZES): Promise<void> {
  await withStore(optionsOf(path), async (store) => {
    for (const [name, size] of Object.entries(names)) await put(store, name, bodyOf(name, size));
  });
}

/** How many objects are right; the others are absent or refused. Throws on a wrong byte. */
export async function count(store: Store, names: Names = SIZES): Promise<number> {
  let right = 0;
  for (const [name, size] of Object.entries(names)) {
    try {
      const body = await get(store, name);
      if (body === undefined) continue;
      if (!body.equals(bodyOf(name, size))) throw new Error(`wrong bytes of ${name}`);
      // The rows are still being counted: one that cannot be read there empties the store.
      const [found] = store.find(name);
      if (found === undefined) continue;
      expect(found).toMatchObject({ status: 200, lengthBytes: size });
      right += 1;
    } catch (error) {
      if (!(error instanceof CacheError)) throw error;
      expect(['CACHE_CORRUPT', 'CACHE_DISK_READ']).toContain(error.code);
    }
  }
  return right;
}

/**
 * The store must take and give new objects, whatever happened to the old ones; what it is just taking when it finds a row
 * that cannot be read may be lost with the others.
 */
export async function expectUsable(store: Store): Promise<void> {
  for (const size of [100, MIB + 1]) {
    const isKept = async () => {
      await put(store, `new ${size}`, bodyOf('new', size));
      return (await get(store, `new ${size}`))?.equals(bodyOf('new', size));
    };
    await expect.poll(isKept, { timeout: 5_000 }).toBe(true);
  }
}

/** Inverts one bit of a file. */
export function flip(path: string, offset: number): void {
  const bytes = readFileSync(path);
  bytes[offset] = (bytes[offset] ?? 0) ^ 0x10;
  writeFileSync(path, bytes);
}

const NAMES: Names = Object.fromEntries(
  Array.from({ length: 24 }, (_, n) => [`object ${String(n).padStart(2, '0')}`, n % 3 === 0 ? 70_000 + n : 500 + n]),
);

/** Damages the database at `steps` places in each of four ways; `root` is an empty directory. */
export async function sweepDatabase(root: string, steps: number): Promise<void> {
  const image = join(root, 'image');
  const torn = join(root, 'torn');
  const open = join(root, 'open');
  const all = Object.keys(NAMES).length;
  await fill(image, NAMES);
  const judge = (from: string, damage: (database: string) => void): Promise<number> => judgeCopy(root, from, damage);
  const size = statSync(join(image, 'index.db')).size;
  const places = (length: number): number[] =>
    Array.from({ length: steps }, (_, n) => Math.floor((length * n) / steps) + n);

  expect(await judge(image, () => undefined)).toBe(all);
  for (const at of places(size)) await judge(image, (database) => truncateSync(database, at));
  for (const at of places(size)) await judge(image, (database) => flip(database, at));
  expect(await judge(image, (database) => rmSync(database))).toBe(0);
  expect(await judge(image, (database) => writeFileSync(database, ''))).toBe(0);
  expect(await judge(image, (database) => writeFileSync(database, bodyOf('garbage', 50_000)))).toBe(0);

  const store = await openStore(optionsOf(open));
  for (const [name, bytes] of Object.entries(NAMES)) await put(store, name, bodyOf(name, bytes));
  const log = join(open, 'index.db-wal');
  await expect.poll(() => Object.keys(NAMES).every((name) => readFileSync(log).includes(name))).toBe(true);
  cpSync(open, torn, { recursive: true }); // As a process leaves it that is killed here.
  await store.close(5000);
  const length = statSync(join(torn, 'index.db-wal')).size;
  expect(await judge(torn, () => undefined)).toBe(all);
  const kept: number[] = [];
  for (const at of places(length)) kept.push(await judge(torn, (database) => truncateSync(`${database}-wal`, at)));
  expect(kept).toEqual(kept.toSorted((a, b) => a - b));
  for (const at of places(length)) await judge(torn, (database) => flip(`${database}-wal`, at));
}

/** How many objects of a damaged copy are right; throws when one is wrong, or when the store takes no new ones. */
async function judgeCopy(root: string, image: string, damage: (database: string) => void): Promise<number> {
  const copy = join(root, 'copy');
  rmSync(copy, { recursive: true, force: true });
  cpSync(image, copy, { recursive: true });
  damage(join(copy, 'index.db'));
  return await withStore(optionsOf(copy, { ramBytes: MIB }), async (store) => {
    const right = await count(store, NAMES);
    await expectUsable(store);
    return right;
  });
}
