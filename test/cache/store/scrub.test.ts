// The scrub: what it finds, how slowly it goes, and that it lets go of what leaves meanwhile.
import { rmSync, statSync, truncateSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Store } from '../../../cache/store/object.ts';
import { restMs } from '../../../cache/store/scrub.ts';
import { bodyFiles, bodyOf, get, keepLog, MIB, optionsOf, put, temporary, withStore } from './support.ts';
import { count, fill, flip, SIZES } from './sweep.ts';

let directory: ReturnType<typeof temporary>;
beforeEach(() => {
  directory = temporary();
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
  directory.remove();
});

const HOUR_MS = 3600 * 1000;

/** Lets the scrub come round twice more from here, by a clock of our own. */
async function comeRound(store: Store): Promise<void> {
  const until = store.stats().scrub.passes + 2;
  while (store.stats().scrub.passes < until) {
    await vi.advanceTimersByTimeAsync(HOUR_MS);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function fileOf(bytes: number): Promise<string> {
  const path = (await bodyFiles(directory.path)).find((file) => statSync(file).size === bytes);
  if (path === undefined) throw new Error(`no body of ${bytes} bytes`);
  return path;
}

function edit(sql: string): void {
  const database = new DatabaseSync(`${directory.path}/index.db`);
  database.exec(sql);
  database.close();
}

test.each([
  ['a flipped byte of a file', async () => flip(await fileOf(SIZES.blocks), 2 * MIB + 7), ['blocks']],
  ['a short file', async () => truncateSync(await fileOf(SIZES.file), 5), ['file']],
  ['a missing file', async () => rmSync(await fileOf(SIZES.file)), ['file']],
  ['changed bodies in the database', () => edit('UPDATE bodies SET body = zeroblob(length(body))'), ['inline', 'tiny']],
  ['a changed row', () => edit(`UPDATE details SET head = replace(head, '200', '404') WHERE key = 'tiny'`), ['tiny']],
  ['a lost row', () => edit(`DELETE FROM details WHERE key = 'file'`), ['file']],
])('finds %s, before anybody asks', async (_damage, damage, lost) => {
  await fill(directory.path);
  await damage();
  const { log, lines } = keepLog();
  await withStore(optionsOf(directory.path, { ramBytes: 0, log }), async (store) => {
    await comeRound(store);
    expect(store.stats()).toMatchObject({ corruptBlocks: lost.length, scrub: { damaged: lost.length } });
    expect(lines.filter(({ event }) => event === 'store.object.corrupt')).toHaveLength(lost.length);
    expect(store.stats().objects).toBe(4 - lost.length);
    for (const key of lost) expect(store.find(key)).toEqual([]);
    expect(await count(store)).toBe(4 - lost.length);
    for (const key of lost) expect(await put(store, key, bodyOf(key, 70_000))).toBeDefined();
    for (const key of lost) expect((await get(store, key))?.equals(bodyOf(key, 70_000))).toBe(true);
  });
});

test('sound objects stay, also while they come and go', async () => {
  await withStore(optionsOf(directory.path, { ramBytes: 0 }), async (store) => {
    for (let n = 0; n < 30; n += 1) {
      const object = await put(store, `${n}`, bodyOf(`${n}`, n % 2 === 0 ? 1000 : 100_000));
      if (object !== undefined && n % 3 === 0) store.remove(object);
    }
    await store.settled();
    await comeRound(store);
    expect(store.stats()).toMatchObject({ objects: 20, corruptBlocks: 0, scrub: { damaged: 0 } });
    expect(store.stats().errors).toEqual([]);
  });
});

test('rests so long that the whole takes its days, and never takes more than 1 % of the time', () => {
  const month = 30 * 24 * 3600 * 1000;
  expect(restMs({ bytes: MIB, readMs: 0.5 }, 30e12, 30)).toBeCloseTo((month * MIB) / 30e12);
  expect(restMs({ bytes: MIB, readMs: 10 }, 30e12, 30)).toBe(990);
  expect(restMs({ bytes: MIB, readMs: 1 }, 0, 30)).toBe(HOUR_MS);
  fc.assert(
    fc.property(fc.nat(MIB), fc.nat(10_000), fc.nat(), (bytes, readMs, used) => {
      const rest = restMs({ bytes, readMs }, used, 30);
      expect(rest).toBeLessThanOrEqual(HOUR_MS);
      expect(rest >= readMs * 99 || rest === HOUR_MS).toBe(true);
    }),
  );
});

test('goes on after a restart where it was, and not at all when it is off', async () => {
  await fill(directory.path);
  await withStore(optionsOf(directory.path, { ramBytes: 0 }), async (store) => {
    while (store.stats().scrub.bytes < SIZES.tiny + SIZES.inline) {
      await vi.advanceTimersByTimeAsync(HOUR_MS);
      await new Promise((resolve) => setImmediate(resolve));
    }
  });
  await withStore(optionsOf(directory.path, { ramBytes: 0 }), async (store) => {
    while (store.stats().scrub.passes === 0) {
      await vi.advanceTimersByTimeAsync(HOUR_MS);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(store.stats().scrub.bytes).toBeLessThan(SIZES.file + SIZES.blocks + SIZES.inline);
  });
  await withStore(optionsOf(directory.path, { scrubDays: 0 }), async (store) => {
    for (let n = 0; n < 50; n += 1) await vi.advanceTimersByTimeAsync(HOUR_MS);
    expect(store.stats().scrub).toEqual({ bytes: 0, damaged: 0, passes: 0 });
  });
});
