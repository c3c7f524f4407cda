// Bodies from disk to many viewers at once: block buffers are used again, and nobody gets another's bytes.
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openNode, readResponse, type TestNode } from './node.ts';

const MIB = 1024 * 1024;
const OBJECTS = 6;

/** A body that differs from block to block and from object to object. */
function bodyOf(seed: number): Buffer {
  const bytes = Buffer.alloc(3 * MIB + 12_345);
  const chunk = 32;
  for (let at = 0; at < bytes.length; at += chunk) {
    bytes.fill(`${seed} ${at} `, at, Math.min(at + chunk, bytes.length));
  }
  return bytes;
}

const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const bodies = Array.from({ length: OBJECTS }, (_, seed) => bodyOf(seed));
let node: TestNode;

beforeEach(async () => {
  node = await openNode({ ramBytes: 0 });
  for (const [index, body] of bodies.entries()) {
    node.origin.set(`/${index}`, { body, headers: { 'cache-control': 'max-age=600' } });
    await node.get(`/${index}`);
  }
});

afterEach(async () => {
  await node.close();
});

test('whole objects and ranges come right while others leave in the middle', async () => {
  const leavers = Array.from({ length: 12 }, async (_, each) => {
    const { request, response } = await node.start(`/${each % OBJECTS}`);
    await new Promise((resolve) => response.once('data', resolve));
    const closed = readResponse(response);
    request.destroy();
    await closed;
  });
  const wholes = Array.from({ length: 18 }, async (_, each) => {
    const got = await node.get(`/${each % OBJECTS}`);
    return [got.status, got.isCut, digest(got.body) === digest(bodies[each % OBJECTS] ?? Buffer.alloc(0))].join();
  });
  const parts = Array.from({ length: 18 }, async (_, each) => {
    const [start, end] = [each * 100_000, each * 100_000 + MIB + each];
    const got = await node.get(`/${each % OBJECTS}`, { range: `bytes=${start}-${end - 1}` });
    return [
      got.status,
      got.isCut,
      digest(got.body) === digest(bodies[each % OBJECTS]?.subarray(start, end) ?? Buffer.alloc(0)),
    ].join();
  });
  await Promise.all(leavers);
  expect(await Promise.all([...wholes, ...parts])).toEqual([
    ...new Array(18).fill('200,false,true'),
    ...new Array(18).fill('206,false,true'),
  ]);
  expect(node.cache.stats().requests.hit.other).toBeGreaterThanOrEqual(36);
});

test('viewers that pause hold their bytes while buffers go round', async () => {
  const paused = await Promise.all(
    bodies.map(async (_, index) => {
      const { response } = await node.start(`/${index}`);
      response.pause();
      return response;
    }),
  );
  for (let round = 0; round < 3; round += 1) {
    const got = await Promise.all(bodies.map((_, index) => node.get(`/${index}`)));
    expect(got.map(({ body }) => digest(body))).toEqual(bodies.map(digest));
  }
  const reading = paused.map((response) => readResponse(response));
  for (const response of paused) response.resume();
  const read = await Promise.all(reading);
  expect(read.map(({ body }) => digest(body))).toEqual(bodies.map(digest));
});
