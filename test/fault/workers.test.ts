// A worker that hangs: it cannot serve what was purged, and viewers of others do not notice.
import cluster from 'node:cluster';
import { afterEach, expect, test } from 'vitest';
import { openNode, type TestNode } from '../cache/http/node.ts';
import { authority, filesOf, openSession, shakeHands } from '../cache/http/secure.ts';

let node: TestNode;
afterEach(() => node.close());

const pids = (): number[] => Object.values(cluster.workers ?? {}).flatMap((each) => each?.process.pid ?? []);

test('a stopped worker is killed before a purge is answered, and replaced', async () => {
  const limits: unknown[] = [];
  node = await openNode({
    workers: 2,
    // A part for the primary and for each worker, all of them too small, as each tells.
    maxResidentBytes: 3 * 2 ** 20,
    log: (_level, event, fields = {}) => {
      if (event === 'memory.tight') limits.push(fields['limitBytes']);
    },
  });
  const headers = { 'cache-control': 'max-age=600' };
  node.origin.set('/a', { body: 'old', headers });
  await Promise.all(Array.from({ length: 8 }, () => node.get('/a')));
  const [victim = 0, other = 0] = pids();
  node.origin.set('/a', { body: 'new', headers });
  process.kill(victim, 'SIGSTOP');
  // A viewer that the other takes meanwhile is served.
  expect((await node.get('/a')).body.toString()).toBe('old');
  await node.cache.purge({ url: '/a' });
  expect(pids()).not.toContain(victim);
  expect((await node.get('/a')).body.toString()).toBe('new');
  while (pids().length < 2) await node.get('/a');
  expect(pids()).toContain(other);
  expect(node.cache.stats().workers).toMatchObject({ running: 2, restarts: 1 });
  while (limits.length < 3) await node.get('/a');
  expect(limits).toEqual(new Array(limits.length).fill(2 ** 20));
});

test('over TLS: interim responses come through workers, and a reload gives all of them another certificate', async () => {
  const [first, second] = [authority.issue(['localhost']), authority.issue(['localhost'])];
  const certificate = await filesOf(first);
  node = await openNode({ workers: 2, certificate });
  const link = '</a.css>; rel=preload';
  node.origin.set('/a', { body: 'final', interim: [{ status: 103, headers: { link } }] });
  const session = await openSession(node.securePort);
  const stream = session.request({ ':path': '/a' });
  const interim: unknown[] = [];
  stream.on('headers', (fields) => interim.push([fields[':status'], fields['link']]));
  stream.resume();
  await new Promise<void>((resolve) => stream.once('close', () => resolve()));
  session.destroy();
  expect(interim).toEqual([[103, link]]);

  /** Of each worker, the other being stopped meanwhile. */
  const certificates = async () => {
    const found: string[] = [];
    for (const pid of pids()) {
      const others = pids().filter((each) => each !== pid);
      for (const other of others) process.kill(other, 'SIGSTOP');
      const socket = await shakeHands(node.securePort);
      found.push(`-----BEGIN CERTIFICATE-----\n${socket.getPeerCertificate().raw.toString('base64')}`);
      socket.destroy();
      for (const other of others) process.kill(other, 'SIGCONT');
    }
    return found.map((text) => text.replace(/\s/g, '').slice(0, 400));
  };
  const of = ({ cert }: typeof first) => cert.replace(/\s/g, '').slice(0, 400);
  expect(await certificates()).toEqual([of(first), of(first)]);
  await node.cache.reload({
    origins: [{ name: 'main', url: node.origin.url, match: '/' }],
    rules: { defaultTtlSeconds: 0, graceSeconds: 0, target: 'Nearcast-Cache-Control' },
    certificate: await filesOf(second),
  });
  expect(await certificates()).toEqual([of(second), of(second)]);
});
