// Several ranges of stored objects over HTTP: multipart answers from memory and disk, and what a damaged disk does to them.
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { readMultipart } from '../multipart.ts';
import { openNode, type TestNode } from './node.ts';

let node: TestNode;
afterEach(() => node.close());

const MIB = 1024 * 1024;
const fresh = { 'cache-control': 'max-age=60', 'content-type': 'video/mp4', etag: '"v1"' };
const body = Buffer.from(Uint32Array.from({ length: (3 * MIB) / 4 }, (_, i) => (i * 2_654_435_761) >>> 0).buffer);

async function stored(ramBytes: number): Promise<TestNode> {
  node = await openNode({ ramBytes });
  node.origin.set('/a', { body, headers: fresh });
  await node.cache.fill('/a', { priority: 'viewer', purpose: 'operator' });
  return node;
}

describe.each([
  ['memory', 256 * MIB],
  ['disk', 0],
] as const)('from %s', (tier, ramBytes) => {
  test('each part is the bytes asked for, across blocks, and the length is true', async () => {
    const { get, cache, origin } = await stored(ramBytes);
    expect(cache.has('/a')?.tier).toBe(tier);
    const range = `bytes=${2 * MIB - 5}-${2 * MIB + 5},0-${MIB},-7`;
    const got = await get('/a', { range });
    expect([got.status, got.isCut, got.headers['content-length']]).toEqual([206, false, String(got.body.length)]);
    expect(got.headers['content-range']).toBeUndefined();
    const parts = readMultipart(got.headers['content-type'] ?? '', got.body);
    expect(parts.map(({ start, end, total }) => [start, end, total])).toEqual([
      [2 * MIB - 5, 2 * MIB + 6, 3 * MIB],
      [0, MIB + 1, 3 * MIB],
      [3 * MIB - 7, 3 * MIB, 3 * MIB],
    ]);
    for (const { start, end, bytes, fields } of parts) {
      expect(bytes.equals(body.subarray(start, end))).toBe(true);
      expect(fields.get('content-type')).toBe('video/mp4');
    }
    expect(origin.seen('/a')).toHaveLength(1);
  });

  test('overlaps, too many, an If-Range of another tag and HEAD get the whole', async () => {
    const { get } = await stored(ramBytes);
    const many = Array.from({ length: 1000 }, () => '0-').join(',');
    for (const headers of [
      { range: 'bytes=0-9,5-15' },
      { range: `bytes=${many}` },
      { range: 'bytes=0-1,5-6', 'if-range': '"v0"' },
    ]) {
      const got = await get('/a', headers);
      expect([got.status, got.body.equals(body)]).toEqual([200, true]);
    }
    const head = await get('/a', { range: 'bytes=0-1,5-6' }, 'HEAD');
    expect([head.status, head.headers['content-length']]).toEqual([200, String(body.length)]);
  });
});

describe('a block that rotted on disk', () => {
  async function flip(offset: number): Promise<void> {
    for (const name of await readdir(node.directory, { recursive: true })) {
      const path = join(node.directory, name);
      const bytes = await readFile(path).catch(() => undefined);
      const at = bytes?.indexOf(body.subarray(0, 4096)) ?? -1;
      if (bytes === undefined || at < 0) continue;
      bytes[at + offset] = (bytes[at + offset] ?? 0) ^ 1;
      await writeFile(path, bytes);
      return;
    }
    throw new Error('no body file');
  }

  test('in the first part: the answer begins anew and is right', async () => {
    const { get, origin } = await stored(0);
    await flip(100);
    const got = await get('/a', { range: 'bytes=0-9,20-29' });
    expect([got.status, got.body.equals(body)]).toEqual([200, true]);
    expect(origin.seen('/a')).toHaveLength(2);
  });

  test('in a later part: the connection is cut, no wrong byte, and the next request is right', async () => {
    const { get } = await stored(0);
    await flip(2 * MIB + 100);
    const got = await get('/a', { range: `bytes=0-9,${2 * MIB}-` });
    expect([got.isCut, got.body.indexOf(body.subarray(2 * MIB, 2 * MIB + 100))]).toEqual([true, -1]);
    expect((await get('/a')).body.equals(body)).toBe(true);
  });
});
