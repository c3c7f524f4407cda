// One node at a time, for files whose tests open one each: opened by a test, closed after it.
import { afterEach } from 'vitest';
import { type NodeSetup, openNode, type TestNode } from './node.ts';

/** The one that the test has opened. */
export let node: TestNode;
afterEach(() => node.close());

/** Opens the test's node. */
export async function setUp(setup?: NodeSetup): Promise<TestNode> {
  node = await openNode(setup);
  return node;
}

/** The ranges that its origin was asked for, in order. */
export const rangesOf = (path = '/a') => node.origin.seen(path).map(({ headers }) => headers.range);

/** Resolves when nothing is fetched any more. */
export async function settled(): Promise<void> {
  while (node.cache.stats().activeFills > 0) await new Promise(setImmediate);
}
