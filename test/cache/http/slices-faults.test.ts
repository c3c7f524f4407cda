// Ranges of objects that change at the origin, and of origins that lie about them: cut, refused or passed, never mixed.
import { describe, expect, test } from 'vitest';
import { blocks, body, bytesOf, expectPart, fresh, large, MiB, other, part } from './blocks.ts';
import { rangesOf, settled, setUp } from './one-node.ts';

describe('an object that changes, and an origin that lies', () => {
  test('changed between two visits: the new version, nothing of the old one', async () => {
    const { origin, get } = await setUp();
    origin.set('/a', large);
    await get('/a', part(0, 9));
    await settled();
    origin.set('/a', { ...large, body: other, etag: '"v2"' });
    expectPart(await get('/a', part(MiB, MiB + 9)), MiB, MiB + 9, other);
    await settled();
    expectPart(await get('/a', part(0, 9)), 0, 9, other);
  });

  test('changed between two blocks of one answer whose head is out: cut, and no byte of the new version', async () => {
    const { origin, get } = await setUp();
    origin.set('/a', large);
    await get('/a', part(0, 9));
    await settled();
    origin.set('/a', { ...large, body: other, etag: '"v2"' });
    const got = await get('/a', part(0, 2 * MiB));
    expect([got.status, got.isCut, got.body.equals(body.subarray(0, got.body.length))]).toEqual([206, true, true]);
    expectPart(await get('/a', part(0, 2 * MiB)), 0, 2 * MiB, other);
  });

  test('changed before the head is out: the visit begins anew', async () => {
    const { origin, get } = await setUp();
    let count = 0;
    origin.set('/a', () => {
      count += 1;
      return count === 1 ? large : { ...large, body: other, etag: '"v2"' };
    });
    // A suffix: the first block tells the length, the last one comes of another version.
    const got = await get('/a', { range: 'bytes=-100' });
    expectPart(got, other.length - 100, other.length, other);
  });

  test('servers that disagree on the tag: after a few changes it is passed', async () => {
    const { origin, get } = await setUp();
    let count = 0;
    origin.set('/a', () => {
      count += 1;
      return { ...large, etag: `"server-${count}"` };
    });
    for (let block = 0; block < 6; block += 1) {
      expectPart(await get('/a', part(block * MiB, block * MiB + 9)), block * MiB, block * MiB + 9);
      await settled();
    }
    // Such an object is small enough here to be kept whole.
    expect((await get('/a', part(7 * MiB, 7 * MiB + 9))).headers['cache-status']).toMatch(/hit/);
  });

  test.each([
    ['too far on', `bytes 1-${MiB}/${body.length}`],
    ['longer than it is', `bytes 0-${MiB}/${body.length}`],
    ['no range', 'bytes all'],
    ['beyond its own total', `bytes 0-${MiB - 1}/5`],
  ])('a Content-Range that is %s: 502, nothing stored', async (_name, contentRange) => {
    const { origin, get, cache } = await setUp();
    origin.set('/a', { ...large, contentRange });
    expect((await get('/a', part(5, 9))).status).toBe(502);
    expect(cache.has('/a')).toBeUndefined();
  });

  test('a body that breaks is gone on with under its tag; one that never comes is an error, and not stored', async () => {
    const { origin, get, cache } = await setUp();
    origin.set('/a', { ...large, cutAfterBytes: 0 });
    expect((await get('/a', part(0, 5000))).status).toBe(502);
    await settled();
    expect(cache.has('/a')?.sizeBytes ?? 0).toBe(0);
    origin.set('/a', { ...large, cutAfterBytes: 1000 });
    const got = await get('/a', part(0, 5000));
    expect([got.status, got.body.equals(body.subarray(0, got.body.length))]).toEqual([206, true]);
  });

  test.each([
    ['a small object without a strong tag is fetched whole', 3 * MiB, true],
    ['a large one is passed, range by range', 17 * MiB, false],
  ])('%s', async (_name, size, isStored) => {
    const { origin, get, cache } = await setUp();
    const all = bytesOf(size, 0);
    origin.set('/a', { body: all, headers: fresh, etag: 'W/"v"', hasRanges: true });
    for (let round = 0; round < 2; round += 1) expectPart(await get('/a', part(MiB, MiB + 9)), MiB, MiB + 9, all);
    await settled();
    expect(cache.has('/a') !== undefined).toBe(isStored);
    const own = `bytes=${MiB}-${MiB + 8}`;
    expect(rangesOf()).toEqual(isStored ? [blocks(1, 2), undefined] : [blocks(1, 2), own, own]);
  });

  test('a part of unknown total, as of a live part that grows, is passed', async () => {
    const { origin, get, cache } = await setUp();
    origin.set('/a', { ...large, contentRange: `bytes 0-${MiB - 1}/*` });
    expect((await get('/a', part(0, MiB))).body.equals(body.subarray(0, MiB))).toBe(true);
    expect(cache.has('/a')).toBeUndefined();
    expect(rangesOf()).toEqual([blocks(0, 1), blocks(0, 1)]);
  });

  test('a 416 gives the length; one that tells another length than is known drops what is known', async () => {
    const { origin, get, cache } = await setUp();
    origin.set('/a', large);
    const beyond = await get('/a', { range: `bytes=${50 * MiB}-` });
    expect([beyond.status, beyond.headers['content-range']]).toEqual([416, `bytes */${body.length}`]);
    await get('/a', part(0, 9));
    await settled();
    origin.set('/a', { ...large, body: body.subarray(0, 2 * MiB), etag: '"v2"' });
    const got = await get('/a', part(5 * MiB, 5 * MiB + 9));
    expect([got.status, got.headers['content-range']]).toEqual([416, `bytes */${2 * MiB}`]);
    expect(cache.has('/a')).toBeUndefined();
  });
});
