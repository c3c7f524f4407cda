// Any sequence of ranges, evictions, purges, damage and changes at the origin: no answer mixes versions, none is wrong.
import { open as openFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Got } from './node.ts';
import { node, settled, setUp } from './one-node.ts';

const MiB = 1024 * 1024;
const LENGTH = 3 * MiB + 1000;

/** Every four bytes name their place and the version. */
function bytesOf(version: number): Buffer {
  return Buffer.from(Uint32Array.from({ length: LENGTH / 4 }, (_, index) => index * 64 + version).buffer);
}
const versions = Array.from({ length: 8 }, (_, version) => bytesOf(version));

/** Overwrites one byte of every block file; gives of how many. */
async function damage(): Promise<number> {
  let count = 0;
  for (const entry of await readdir(node.directory, { recursive: true, withFileTypes: true })) {
    const file = entry.isFile()
      ? await openFile(join(entry.parentPath, entry.name), 'r+').catch(() => undefined)
      : undefined;
    if ((await file?.stat())?.size === MiB) {
      await file?.write(Buffer.from([0xff]), 0, 1, MiB - 1);
      count += 1;
    }
    await file?.close();
  }
  return count;
}

/** Whether an answer is the bytes of one version, as far as it goes; complete unless it is cut. */
function isOfOneVersion(got: Got, asked: { readonly start: number; readonly end: number } | undefined): boolean {
  if (got.status !== 206 && got.status !== 200) return false;
  const { start, end } = got.status === 206 && asked !== undefined ? asked : { start: 0, end: LENGTH };
  const version = Number(/"v(\d+)"/.exec(String(got.headers['etag']))?.[1]);
  const expected = (versions[version] ?? Buffer.alloc(0)).subarray(start, Math.min(end, LENGTH));
  return got.isCut ? expected.subarray(0, got.body.length).equals(got.body) : expected.equals(got.body);
}

type Step =
  | { readonly do: 'ask'; readonly ranges: readonly { readonly start: number; readonly length: number }[] }
  | { readonly do: 'whole' | 'purge' | 'soften' | 'damage' | 'expire' | 'settle' };

type Story = { readonly steps: readonly Step[]; readonly changes: readonly number[]; readonly hasRanges: boolean };

const range = fc.record({
  start: fc.nat(LENGTH - 1),
  length: fc.oneof(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 2 * MiB })),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({ do: fc.constant('ask' as const), ranges: fc.array(range, { minLength: 1, maxLength: 3 }) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constantFrom('whole', 'purge', 'soften', 'damage', 'expire', 'settle') }),
  },
);
const story: fc.Arbitrary<Story> = fc.record({
  steps: fc.array(step, { minLength: 3, maxLength: 7 }),
  /** At which of the origin's answers the object changes. */
  changes: fc.uniqueArray(fc.integer({ min: 2, max: 12 }), { maxLength: 3 }),
  hasRanges: fc.oneof({ weight: 5, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
});

/** Runs one story on a path of its own; gives what was asked and got. */
async function run(
  path: string,
  { steps, changes, hasRanges }: { steps: readonly Step[]; changes: readonly number[]; hasRanges: boolean },
) {
  let answers = 0;
  let version = 0;
  node.origin.set(path, () => {
    answers += 1;
    if (changes.includes(answers)) version += 1;
    return {
      body: versions[version] ?? '',
      etag: `"v${version}"`,
      hasRanges,
      headers: { 'cache-control': 'max-age=60' },
    };
  });
  const wrong: string[] = [];
  const check = (what: string, got: Got, asked?: { readonly start: number; readonly end: number }) => {
    // Only a change or damage may cut an answer.
    const isNeedless = got.isCut && changes.length === 0 && hasRanges;
    if (isNeedless || !isOfOneVersion(got, asked))
      wrong.push(`${what}: ${got.status} ${got.headers['etag']} ${got.body.length}`);
  };
  for (const one of steps) {
    if (one.do === 'ask') {
      const asked = one.ranges.map(({ start, length }) => ({ start, end: Math.min(LENGTH, start + length) }));
      const all = await Promise.all(
        asked.map(({ start, end }) => node.get(path, { range: `bytes=${start}-${end - 1}` })),
      );
      for (const [index, got] of all.entries()) check(JSON.stringify(asked[index]), got, asked[index]);
    } else if (one.do === 'whole') check('whole', await node.get(path));
    else if (one.do === 'purge' || one.do === 'soften')
      await node.cache.purge({ url: path, soft: one.do === 'soften' });
    else if (one.do === 'damage') await damage();
    else if (one.do === 'expire') node.passSeconds(61);
    else await settled();
  }
  await settled();
  return wrong;
}

describe('stories', () => {
  test.each([
    ['of a disk that holds them', 64 * MiB, 16],
    ['of a disk that evicts', 5 * MiB, 12],
    ['of a disk too small for a block', MiB / 2, 6],
  ])('%s', { timeout: 60_000 }, async (_name, diskBytes, numRuns) => {
    await setUp({ ramBytes: 0, diskBytes });
    let count = 0;
    await fc.assert(
      fc.asyncProperty(story, async (one) => {
        count += 1;
        expect(await run(`/story-${count}`, one)).toEqual([]);
      }),
      { numRuns, endOnFailure: true },
    );
  });
});

test('a block that rotted is fetched again, and only it', async () => {
  await setUp({ ramBytes: 0 });
  node.origin.set('/a', {
    body: versions[0] ?? '',
    etag: '"v0"',
    hasRanges: true,
    headers: { 'cache-control': 'max-age=60' },
  });
  const ask = () => node.get('/a', { range: `bytes=${MiB + 10}-${3 * MiB + 9}` });
  await ask();
  await settled();
  const asked = node.origin.seen('/a').length;
  // From the disk, once the blocks have got there.
  while ((await damage()) < 2) await new Promise(setImmediate);
  const got = await ask();
  expect(isOfOneVersion(got, { start: MiB + 10, end: 3 * MiB + 10 })).toBe(true);
  expect(got.isCut).toBe(false);
  expect(node.cache.stats().store.corruptBlocks).toBeGreaterThan(0);
  expect(
    node.origin
      .seen('/a')
      .slice(asked)
      .every(({ headers }) => headers.range !== undefined),
  ).toBe(true);
});
