// Targets that were asked for before: a request for one is answered alike, and judged by all that it is beside its target.
import { afterEach, expect, test } from 'vitest';
import type { HostOptions } from '../../../cache/contract.ts';
import { type FakeOrigin, openFakeOrigin } from '../../fake/origin.ts';
import { openNode, type TestNode } from './node.ts';

const fresh = { 'cache-control': 'max-age=600' };
let node: TestNode;
let other: FakeOrigin | undefined;
afterEach(async () => {
  await node.close();
  await other?.close();
  other = undefined;
});

async function warm(path: string): Promise<void> {
  node.origin.set(path, { body: 'stored', headers: fresh, etag: '"e"' });
  for (const _round of [1, 2, 3]) expect((await node.get(path)).status).toBe(200);
}

test.each([
  ['a second Host', 'GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\n\r\n'],
  ['no Host', 'GET /x HTTP/1.1\r\n\r\n'],
  ['a Host that is none', 'GET /x HTTP/1.1\r\nHost: a@b\r\n\r\n'],
  ['a body', 'GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\nabc'],
  ['a body in chunks', 'GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
])('%s is still refused', async (_what, bytes) => {
  node = await openNode();
  await warm('/x');
  expect(await node.raw(bytes)).toMatch(/^HTTP\/1\.1 400 /);
});

test('conditions, ranges, demands and loops are heard', async () => {
  node = await openNode();
  await warm('/x');
  expect((await node.get('/x', { 'if-none-match': '"e"' })).status).toBe(304);
  expect((await node.get('/x', { range: 'bytes=1-2' })).body.toString()).toBe('to');
  expect((await node.get('/x', { 'cdn-loop': 'edge-test' })).status).toBe(508);
  await node.get('/x', { 'cache-control': 'no-cache' });
  expect(node.origin.seen('/x')).toHaveLength(2);
});

test('a name of another host gets what is of that host, in whichever order they ask', async () => {
  other = await openFakeOrigin();
  const hosts: readonly HostOptions[] = [
    { names: ['a.example'], origins: ['main'] },
    { names: ['b.example'], origins: ['other'] },
  ];
  node = await openNode({ hosts, moreOrigins: [{ name: 'other', url: other.url, match: '/' }] });
  node.origin.set('/x', { body: 'main', headers: fresh });
  other.set('/x', { body: 'other', headers: fresh });
  for (const host of ['a.example', 'a.example', 'b.example', 'a.example', 'b.example', 'b.example']) {
    expect((await node.get('/x', { host })).body.toString()).toBe(host === 'a.example' ? 'main' : 'other');
  }
  expect((await node.get('/x', { host: 'c.example' })).status).toBe(421);
});

test('a quota counts requests like earlier ones', async () => {
  const hosts: readonly HostOptions[] = [{ names: ['*'], quota: { requestsPerSecond: 0.001 } }];
  node = await openNode({ hosts });
  node.origin.set('/x', { body: 'stored', headers: fresh });
  const statuses: number[] = [];
  for (let asked = 0; asked < 5; asked += 1) statuses.push((await node.get('/x')).status);
  expect(statuses).toContain(429);
});
