// Quotas of disk by host: who is above its own pushes out its own objects, over restarts, disks and other quotas.
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { databasePath } from '../../../cache/store/database.ts';
import type { DiskShare, Store, StoreOptions } from '../../../cache/store/object.ts';
import { HostShares, hostCode } from '../../../cache/store/shares.ts';
import { openStore } from '../../../cache/store/store.ts';
import { until } from '../until.ts';
import { bodyOf, MIB, optionsOf, put, temporary, withStore } from './support.ts';

let directory: ReturnType<typeof temporary>;
beforeEach(() => {
  directory = temporary();
});
afterEach(() => directory.remove());

const KIB = 1024;
/** With its row: 100 KiB of the disk. */
const BODY = bodyOf('body', 99 * KIB);
const quotaOf = (name: string, objects: number, more: readonly string[] = []): DiskShare => ({
  names: [name, ...more],
  maxBytes: objects * 100 * KIB,
});
const options = (hostQuotas: readonly DiskShare[], changes: Partial<StoreOptions> = {}): StoreOptions =>
  optionsOf(directory.path, { ramBytes: 0, hostQuotas, ...changes });

async function putFor(store: Store, host: string, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n += 1) await put(store, `${host} ${n}`, BODY, { host });
}
const held = (store: Store, host: string): number[] =>
  store
    .keys(`${host} `, 1000)
    .map((key) => Number(key.slice(host.length + 1)))
    .sort((a, b) => a - b);
const used = (store: Store): number[] => store.stats().hosts.map(({ usedBytes }) => usedBytes / (100 * KIB));

test('above its quota a host pushes out its own oldest objects and nobody else, prefetched ones counted', async () => {
  await withStore(options([quotaOf('a.example', 10)]), async (store) => {
    await putFor(store, 'b.example', 0, 20);
    await putFor(store, 'a.example', 0, 8);
    for (let n = 8; n < 14; n += 1)
      await put(store, `a.example ${n}`, BODY, { host: 'a.example', purpose: 'off-peak' });
    expect(held(store, 'b.example')).toHaveLength(20);
    expect(held(store, 'a.example')).toHaveLength(10);
    expect(held(store, 'a.example')).toContain(13);
    expect(store.stats().hosts).toEqual([{ name: 'a.example', usedBytes: 1000 * KIB, limitBytes: 1000 * KIB }]);
    expect(store.stats().evictions.disk).toBe(4);
    await putFor(store, '', 0, 3);
    expect(used(store)).toEqual([10]);
  });
});

test('what is used stays while the host goes on beyond its quota', async () => {
  await withStore(options([quotaOf('a.example', 10)]), async (store) => {
    await putFor(store, 'a.example', 0, 10);
    for (let round = 0; round < 3; round += 1) for (const object of store.find('a.example 0')) store.touch(object);
    await putFor(store, 'a.example', 10, 40);
    expect(held(store, 'a.example')).toContain(0);
    expect(held(store, 'a.example')).toHaveLength(10);
  });
});

test('what cannot fit is not stored, and pins are never pushed out', async () => {
  await withStore(options([quotaOf('a.example', 2), quotaOf('none.example', 0)]), async (store) => {
    expect(store.write({ ...(await template(store)), lengthBytes: 300 * KIB }, hint('a.example'))).toBeUndefined();
    await putFor(store, 'a.example', 0, 1);
    expect(await put(store, 'long', bodyOf('long', 300 * KIB), { host: 'a.example', isSized: false })).toBeUndefined();
    await put(store, 'pin 1', BODY, { host: 'a.example', isPinned: true });
    await put(store, 'pin 2', BODY, { host: 'a.example', isPinned: true });
    expect(await put(store, 'a.example 1', BODY, { host: 'a.example' })).toBeUndefined();
    expect([held(store, 'a.example'), store.keys('pin', 9)]).toEqual([[], ['pin 1', 'pin 2']]);
    expect(await put(store, 'none', BODY, { host: 'none.example' })).toBeUndefined();
    expect(used(store)).toEqual([2, 0]);
    for (const object of store.find('pin 1')) store.remove(object);
    expect(used(store)).toEqual([1, 0]);
  });
});

const hint = (host: string) => ({ isPinned: false, worth: undefined, host });
async function template(store: Store) {
  const object = await put(store, 'template', BODY);
  if (object === undefined) throw new Error('not stored');
  return object;
}

test('whose an object is survives a restart; a host is known by any of its names', async () => {
  await withStore(options([quotaOf('a.example', 10)]), async (store) => {
    await putFor(store, 'a.example', 0, 10);
    await putFor(store, 'b.example', 0, 5);
  });
  await withStore(options([quotaOf('new.example', 10, ['a.example'])]), async (store) => {
    expect(used(store)).toEqual([10]);
    for (const object of store.find('a.example 3')) store.update(object, { headers: [['x', 'y']] });
    await putFor(store, 'new.example', 0, 2);
    expect([held(store, 'a.example').length, held(store, 'new.example').length]).toEqual([8, 2]);
    expect(held(store, 'b.example')).toHaveLength(5);
  });
  // A quota that has become smaller meanwhile is kept without a new object.
  await withStore(options([quotaOf('a.example', 3)]), async (store) => {
    await until(() => used(store)[0] === 3);
    expect([held(store, 'new.example').length, held(store, 'b.example').length]).toEqual([2, 5]);
  });
});

test('another quota counts at once, for what is there already too; none lifts it', async () => {
  await withStore(options([]), async (store) => {
    await putFor(store, 'a.example', 0, 10);
    await putFor(store, 'b.example', 0, 10);
    expect(store.stats().hosts).toEqual([]);
    store.limitHosts([quotaOf('a.example', 7), quotaOf('b.example', 50)]);
    store.limitHosts([quotaOf('a.example', 4), quotaOf('b.example', 50)]);
    await until(() => used(store)[0] === 4);
    expect(used(store)).toEqual([4, 10]);
    await putFor(store, 'a.example', 10, 12);
    expect(held(store, 'a.example')).toHaveLength(4);
    store.limitHosts([]);
    await putFor(store, 'a.example', 12, 20);
    expect(held(store, 'a.example')).toHaveLength(12);
  });
});

test('a quota is of all disks, and what it pushes out may lie on another', async () => {
  const more = temporary();
  const dirs = [directory, more].map(({ path }) => ({ path, maxBytes: 64 * MIB }));
  await withStore(options([quotaOf('a.example', 6)], { dirs }), async (store) => {
    await putFor(store, 'a.example', 0, 30);
    expect(held(store, 'a.example')).toHaveLength(6);
    expect(used(store)).toEqual([6]);
    // All of it in one object: whichever disk it goes to, both make room.
    await put(store, 'large', bodyOf('large', 580 * KIB), { host: 'a.example' });
    expect([held(store, 'a.example'), store.keys('large', 9)]).toEqual([[], ['large']]);
  });
  more.remove();
});

test('a body that is given up gives its room back', async () => {
  await withStore(options([quotaOf('a.example', 4)]), async (store) => {
    const response = { ...(await template(store)), key: 'cut', lengthBytes: 300 * KIB };
    const writer = store.write(response, hint('a.example'));
    writer?.write(BODY);
    expect(used(store)[0]).toBeGreaterThan(0);
    writer?.abort();
    expect(used(store)).toEqual([0]);
  });
});

test('a directory of before there were quotas is taken over, its objects nobody’s', async () => {
  await withStore(options([]), (store) => putFor(store, 'a.example', 0, 5));
  const database = new DatabaseSync(databasePath(directory.path));
  database.exec('ALTER TABLE objects DROP COLUMN host');
  database.close();
  await withStore(options([quotaOf('a.example', 3)]), async (store) => {
    expect([held(store, 'a.example').length, used(store)]).toEqual([5, [0]]);
    await putFor(store, 'a.example', 5, 10);
    expect([held(store, 'a.example').length, used(store)]).toEqual([8, [3]]);
  });
});

test('codes that nobody gave are nobody’s, and there is an end to hosts that are told apart', () => {
  const shares = new HostShares();
  shares.limit([{ names: ['*', 'a'], maxBytes: 10 }]);
  expect([hostCode(''), shares.laneOf(0), shares.laneOf(-1), shares.laneOf(0.5), shares.laneOf(2 ** 48)]).toEqual([
    0, 0, 0, 0, 0,
  ]);
  const lane = shares.laneOf(hostCode('a'));
  expect([shares.codeOf(lane), shares.limitOf(lane), shares.limitOf(0)]).toEqual([
    hostCode('a'),
    10,
    Number.POSITIVE_INFINITY,
  ]);
  for (let code = 1; code < 70_000; code += 1) shares.laneOf(code);
  expect([shares.laneOf(65_534), shares.laneOf(65_535), shares.laneOf(hostCode('a'))]).toEqual([65_535, 0, lane]);
});

test('a directory that is taken out takes its bytes along', async () => {
  const shares = new HostShares();
  shares.limit([{ names: ['a'], maxBytes: 10 }]);
  const use = shares.join({ evictOf: () => false });
  const lane = shares.laneOf(hostCode('a'));
  use.add(lane, 7);
  expect(shares.stats()).toEqual([{ name: 'a', usedBytes: 7, limitBytes: 10 }]);
  use.clear();
  use.add(lane, -3);
  expect(shares.stats()).toEqual([{ name: 'a', usedBytes: 0, limitBytes: 10 }]);
});

test('opening refuses nothing for a quota above the disk', async () => {
  const store = await openStore(options([quotaOf('a.example', 1e6)]));
  await putFor(store, 'a.example', 0, 2);
  expect(used(store)).toEqual([2]);
  await store.close(1000);
});
