// SIGTERM to a node as a process while viewers are being answered.
import { mkdirSync, writeFileSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { processesNaming, type Running, start } from '../../e2e/process.ts';
import { configText, leavePlace, makePlace, nearcast, type Place, type Settings } from './world.ts';

let place: Place;
const running: Running[] = [];
beforeAll(async () => {
  place = await makePlace();
});
afterAll(async () => {
  for (const { child, ended } of running) {
    child.kill('SIGKILL');
    await ended;
  }
  await leavePlace(place);
});

type Started = Running & { readonly url: string; readonly metricsUrl: string; readonly folder: string };

async function run(name: string, settings: Settings = {}): Promise<Started> {
  const folder = join(place.dir, name);
  mkdirSync(folder);
  writeFileSync(join(folder, 'nearcast.yaml'), configText(place.origin.url, settings));
  const node = start(['run', '--config', join(folder, 'nearcast.yaml')]);
  running.push(node);
  const ready = await node.line(({ event }) => event === 'node.ready');
  const at = (port: unknown) => `http://127.0.0.1:${port}`;
  return { ...node, folder, url: at(ready['port']), metricsUrl: at(ready['metricsPort']) };
}

/** Begins a GET and resolves with its answer, of which nothing is read yet. */
const begin = (url: string) =>
  new Promise<IncomingMessage>((resolve, reject) => {
    get(url, { agent: false }, resolve).on('error', reject);
  });

async function readAll(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  // Without setEncoding an IncomingMessage gives Buffers.
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const BODY = Buffer.alloc(6_000_000, 'a slow viewer reads this ');

test('readyz tells first, answers in flight end whole, then the node ends with 0 and leaves nothing', async () => {
  const gate = Promise.withResolvers<void>();
  place.origin.set('/slow-origin.m4s', {
    headers: { 'cache-control': 'max-age=60' },
    body: BODY,
    gates: [{ offset: 3_000_000, until: gate.promise }],
  });
  place.origin.set('/stored.m4s', { headers: { 'cache-control': 'max-age=60' }, body: BODY });
  const node = await run('draining', { predict: { enabled: true } });
  await readAll(await begin(`${node.url}/stored.m4s`));
  const filling = await begin(`${node.url}/slow-origin.m4s`);
  const stored = await begin(`${node.url}/stored.m4s`);

  expect((await fetch(`${node.metricsUrl}/readyz`)).status).toBe(200);
  const began = performance.now();
  node.child.kill('SIGTERM');
  await node.line(({ event }) => event === 'node.draining');
  const readiness = async () => (await fetch(`${node.metricsUrl}/readyz`)).status;
  await expect.poll(readiness, { interval: 5, timeout: 2_000 }).toBe(503);
  expect((await fetch(`${node.metricsUrl}/livez`)).status).toBe(200);
  await expect(begin(`${node.url}/stored.m4s`)).rejects.toThrow(/ECONNREFUSED|ECONNRESET|hang up/);
  gate.resolve();
  const [one, other] = await Promise.all([readAll(filling), readAll(stored)]);
  expect(one.equals(BODY)).toBe(true);
  expect(other.equals(BODY)).toBe(true);
  expect(await node.ended).toEqual({ code: 0, signal: null });
  expect(performance.now() - began).toBeLessThan(5_000);
  expect(processesNaming(node.folder)).toEqual([]);
}, 30_000);

test('a viewer that never reads, and an origin that never answers, hold nobody up for longer than the drain', async () => {
  const node = await run('held', { drainSeconds: 0.5 });
  place.origin.set('/hole', { isBlackHole: true });
  const asked = begin(`${node.url}/hole`).catch(() => undefined);
  await place.origin.asked('/hole', 1);
  const stuck = await begin(`${node.url}/stored.m4s`);
  stuck.on('error', () => undefined);
  const began = performance.now();
  node.child.kill('SIGTERM');
  expect(await node.ended).toEqual({ code: 0, signal: null });
  expect(performance.now() - began).toBeLessThan(4_000);
  await asked;
  stuck.destroy();
}, 30_000);

test('a node that was killed outright leaves a socket that the next one takes over', async () => {
  const node = await run('killed');
  node.child.kill('SIGKILL');
  await node.ended;
  const config = join(node.folder, 'nearcast.yaml');
  expect(await nearcast(['status', '--config', config])).toMatchObject({ code: 1 });
  const next = start(['run', '--config', config]);
  running.push(next);
  await next.line(({ event }) => event === 'node.ready');
  expect(await nearcast(['status', '--config', config])).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('edge-test'),
  });
  next.child.kill('SIGINT');
  expect(await next.ended).toEqual({ code: 0, signal: null });
}, 30_000);
