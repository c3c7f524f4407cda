// What a viewer gets: hits, HEAD, conditions, ranges, variants, errors, through real HTTP, store and origin.
import { afterEach, describe, expect, test } from 'vitest';
import { type NodeSetup, openNode, type TestNode } from './node.ts';

let node: TestNode;
async function setUp(setup?: NodeSetup): Promise<TestNode> {
  node = await openNode(setup);
  return node;
}
afterEach(() => node.close());

const body = Buffer.from(Array.from({ length: 1000 }, (_, index) => index % 251));
const fresh = { 'cache-control': 'max-age=60' };

describe('hit and miss', () => {
  test('a second viewer gets the stored bytes, and the origin is asked once', async () => {
    const { origin, get, served, recorded } = await setUp();
    origin.set('/a.m4s', { body, headers: { ...fresh, 'content-type': 'video/mp4' } });
    const first = await get('/a.m4s');
    const second = await get('/a.m4s');
    expect(first.body.equals(body) && second.body.equals(body)).toBe(true);
    expect(first.headers['cache-status']).toBe('edge-test; fwd=uri-miss; fwd-status=200; stored');
    expect(second.headers['cache-status']).toMatch(/^edge-test; hit; ttl=(59|60)$/);
    expect(second.headers['content-type']).toBe('video/mp4');
    expect(second.headers['content-length']).toBe('1000');
    expect(second.headers['age']).toMatch(/^[01]$/);
    expect(second.headers['via']).toBe('1.1 edge-test');
    expect(origin.seen('/a.m4s')).toHaveLength(1);
    await recorded(2);
    expect(served.map(({ result, kind, bytes, isComplete, status }) => [result, kind, bytes, isComplete, status])).toEqual([
      ['miss', 'segment', 1000, true, 200],
      ['hit', 'segment', 1000, true, 200],
    ]);
  });
});
