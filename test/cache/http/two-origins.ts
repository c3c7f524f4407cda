// A node at a time with two origins and the hosts in front of them, for files whose tests open one each.
import { afterEach, beforeEach } from 'vitest';
import type { HostOptions } from '../../../cache/contract.ts';
import { type FakeOrigin, openFakeOrigin } from '../../fake/origin.ts';
import { type NodeSetup, openNode, type TestNode } from './node.ts';

/** Fields of what may be kept for ten minutes. */
export const fresh = { 'cache-control': 'max-age=600' };
/** Hosts with one origin each. */
export const a: HostOptions = { names: ['a.example', '*.a.example'], origins: ['main'] };
/** See a. */
export const b: HostOptions = { names: ['b.example'], origins: ['other'] };

/** The node that the test has opened, with the origins `main`, its own, and `other`. */
export let node: TestNode;
/** See node. */
export let other: FakeOrigin;
beforeEach(async () => {
  other = await openFakeOrigin();
});
afterEach(async () => {
  await node.close();
  await other.close();
});

/** Opens the test's node. */
export async function setUp(hosts: readonly HostOptions[], setup: NodeSetup = {}): Promise<TestNode> {
  const moreOrigins = [{ name: 'other', url: other.url, match: '/' }];
  node = await openNode({ isClockStill: true, moreOrigins, ...setup, hosts });
  return node;
}

/** Both origins have something at a path, each its own. */
export function setBoth(path: string): void {
  node.origin.set(path, { body: `main ${path}`, headers: fresh });
  other.set(path, { body: `other ${path}`, headers: fresh });
}

/** What a viewer of that host gets. */
export const bodyOf = async (path: string, host: string, headers = {}) =>
  (await node.get(path, { ...headers, host })).body.toString();
