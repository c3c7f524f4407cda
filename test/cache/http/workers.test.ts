// Workers: real processes in front of a real primary. What one stores all serve rightly, purges reach all before they are
// answered, and the end of one is nobody else's.
import cluster from 'node:cluster';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { open } from '../../../cache/cache.ts';
import type { Route } from '../../../cache/contract.ts';
import { signHmac } from '../../../cache/rules/access-hmac.ts';
import { type Got, openNode, readResponse, type TestNode } from './node.ts';

const MIB = 1024 * 1024;
const FRESH = { 'cache-control': 'max-age=600' };
const large = Buffer.from(Uint32Array.from({ length: MIB }, (_, i) => (i * 2_654_435_761) >>> 0).buffer);
const routes: Route[] = [
  {
    prefix: '/.nearcast/',
    methods: ['GET', 'POST'],
    deadlineMs: 5_000,
    maxBodyBytes: 1000,
    answer: ({ path, query, body, remoteHash }) => ({
      status: 200,
      headers: { 'content-type': 'text/plain', 'x-hash': remoteHash },
      body: `${path} ${query.get('q')} ${body}`,
    }),
  },
];
const key = { id: 'k1', secret: Buffer.from('0123456789abcdef0123456789abcdef') };
const purgeToken = 'a-token-of-that-host';
const hosts = [
  { names: ['*'] },
  { names: ['signed.test'], signing: { scheme: 'hmac', keys: [key] }, purgeTokens: [Buffer.from(purgeToken)] },
] as const;
let node: TestNode;

const pids = (): number[] => Object.values(cluster.workers ?? {}).flatMap((each) => each?.process.pid ?? []);

/** Asks each worker four times over new connections, the others being stopped meanwhile. */
async function askAll(path: string, headers?: Record<string, string>): Promise<Got[]> {
  const all: Got[] = [];
  for (const pid of pids()) {
    const others = pids().filter((each) => each !== pid);
    for (const other of others) process.kill(other, 'SIGSTOP');
    all.push(...(await Promise.all(Array.from({ length: 4 }, () => node.get(path, headers)))));
    for (const other of others) process.kill(other, 'SIGCONT');
  }
  return all;
}
const texts = async (path: string) => (await askAll(path)).map(({ body }) => body.toString());
const eight = (text: string): string[] => new Array<string>(8).fill(text);

beforeAll(async () => {
  node = await openNode({ workers: 2, routes, hosts, titleOf: (path) => `title of ${path}` });
});

afterAll(async () => {
  await node.close();
});

test('two workers ask the origin once for what all their viewers want, small and large, and tell the primary', async () => {
  node.origin.set('/small', { body: 'small', headers: { ...FRESH, age: '50' }, etag: '"s"' });
  node.origin.set('/large', { body: large, headers: FRESH, etag: '"l"' });
  const small = [...(await askAll('/small')), ...(await askAll('/small'))];
  expect(new Set(small.map(({ body }) => body.toString()))).toEqual(new Set(['small']));
  // The age that it came with is kept on its way through the primary, and nothing of that way is seen.
  expect(small.every(({ headers }) => Number(headers['age']) >= 50 && Number(headers['age']) < 60)).toBe(true);
  expect(new Set(small.map(({ headers }) => headers['via']))).toEqual(new Set(['1.1 edge-test']));
  expect(small.every(({ headers }) => headers['nearcast-tier'] === undefined)).toBe(true);
  const others = small
    .slice(8)
    .filter(({ headers }) => !/^edge-test; hit; ttl=5\d\d$/.test(String(headers['cache-status'])));
  expect(others.map(({ headers }) => headers['cache-status'])).toEqual([]);
  for (const got of await askAll('/large')) expect(got.body.equals(large)).toBe(true);
  const part = await askAll('/large', { range: `bytes=${MIB - 10}-${2 * MIB}` });
  for (const got of part) expect(got.body.equals(large.subarray(MIB - 10, 2 * MIB + 1))).toBe(true);
  expect((await node.get('/small', { 'if-none-match': '"s"' })).status).toBe(304);
  expect([node.origin.seen('/small').length, node.origin.seen('/large').length]).toEqual([1, 1]);
  await node.recorded(33);
  expect(new Set(node.served.map(({ path, title }) => title === `title of ${path}`))).toEqual(new Set([true]));
  expect(new Set(node.served.map(({ remoteHash }) => remoteHash)).size).toBe(1);
  expect(node.served[0]?.remoteHash).toMatch(/^[\w-]{22}$/);
  // The second worker's first answer came from the primary's store: for its viewer a hit.
  expect(node.served.filter(({ result, path }) => result === 'hit' && path === '/small').length).toBeGreaterThanOrEqual(
    15 - 7,
  );
  expect(node.cache.has('/small')?.hits).toBeGreaterThan(0);
});

test('workers have nothing left of what was purged when the purge is answered', async () => {
  const set = (text: string) => {
    for (const path of ['/a/1', '/a/2', '/b'])
      node.origin.set(path, { body: text, headers: { ...FRESH, 'cache-tag': 'news' }, etag: `"${text}"` });
  };
  set('old');
  for (const path of ['/a/1', '/a/2', '/b']) expect(await texts(path)).toEqual(eight('old'));
  set('new');
  await node.cache.purge({ url: '/b' });
  expect(await texts('/b')).toEqual(eight('new'));
  expect(await texts('/a/1')).toEqual(eight('old'));
  await node.cache.purge({ prefix: '/a/' });
  expect(await texts('/a/1')).toEqual(eight('new'));
  expect(await texts('/a/2')).toEqual(eight('new'));
  set('newer');
  await node.cache.purge({ prefix: '/', soft: true });
  for (const path of ['/a/1', '/a/2', '/b']) expect(await texts(path)).toEqual(eight('newer'));
});

test('a purge by tag or group reaches every worker, hard and soft, of one host alone where it says so', async () => {
  const set = (text: string) => {
    for (const [path, names] of [
      ['/t/1', { 'cache-tag': 'one, both' }],
      ['/t/2', { 'cache-tag': 'both' }],
      ['/g/1', { 'cache-groups': '"g-one"' }],
    ] as const)
      node.origin.set(path, { body: text, headers: { ...FRESH, ...names }, etag: `"${text}"` });
  };
  const all = async () => [await texts('/t/1'), await texts('/t/2'), await texts('/g/1')].map((each) => new Set(each));
  const are = (...wanted: string[]) => wanted.map((text) => new Set([text]));
  set('1');
  expect(await all()).toEqual(are('1', '1', '1'));
  set('2');
  expect(await node.cache.purge({ tag: 'one' })).toMatchObject({ objects: 1 });
  expect(await all()).toEqual(are('2', '1', '1'));
  set('3');
  // Soft: the origin says what it is, with a condition; nothing is served from before.
  await node.cache.purge({ tag: 'both', soft: true });
  expect(await all()).toEqual(are('3', '3', '1'));
  const last = node.origin.seen('/t/2').at(-1);
  expect(last?.headers['if-none-match']).toBe('"1"');
  await node.cache.purge({ group: 'g-one', soft: true });
  expect(await all()).toEqual(are('3', '3', '3'));
  set('4');
  await node.cache.purge({ group: 'g-one' });
  await node.cache.purge({ tag: 'both', host: 'signed.test' });
  expect(await all()).toEqual(are('4', '4', '4'));
});

test('an answer that invalidates a group reaches what workers hold of it', async () => {
  const headers = { ...FRESH, 'cache-groups': '"list"' };
  node.origin.set('/list', { body: 'before', headers });
  expect(await texts('/list')).toEqual(eight('before'));
  node.origin.set('/list', { body: 'after', headers });
  node.origin.set('/add', { body: 'added', headers: { 'cache-group-invalidation': '"list"' } });
  expect((await node.get('/add', {}, 'POST', 'x')).body.toString()).toBe('added');
  // The workers are told without waiting: a purge behind it has its answer after it.
  await node.cache.purge({ url: '/nothing' });
  expect(await texts('/list')).toEqual(eight('after'));
});

test('a purge while a worker fetches: what it began to receive is not what it serves afterwards', async () => {
  const more = Promise.withResolvers<void>();
  node.origin.set('/under-way', { body: 'old body', headers: FRESH, gates: [{ offset: 3, until: more.promise }] });
  const { response } = await node.start('/under-way');
  await node.cache.purge({ url: '/under-way' });
  node.origin.set('/under-way', { body: 'new', headers: FRESH });
  more.resolve();
  expect((await readResponse(response)).body.toString()).toBe('old body');
  expect(await texts('/under-way')).toEqual(eight('new'));
});

test('workers judge the tokens of a host, and pass on who may purge it', async () => {
  const host = { host: 'signed.test' };
  const target = `/film/1?token=${signHmac({ paths: ['/film/*'], expiresSeconds: Math.floor(Date.now() / 1000) + 60 }, key)}`;
  const set = (body: string) => node.origin.set('/film/1', { body, headers: { ...FRESH, 'cache-tag': 'film' } });
  const got = async () => (await askAll(target, host)).map(({ body }) => body.toString());
  set('old');
  expect((await askAll('/film/1', host)).map(({ status }) => status)).toEqual(new Array(8).fill(403));
  expect(await got()).toEqual(eight('old'));
  set('new');
  const bearer = { ...host, authorization: `Bearer ${purgeToken}` };
  expect((await node.get('/film/1', { ...host, authorization: 'Bearer another-token-of-none' }, 'PURGE')).status).toBe(
    401,
  );
  expect(await got()).toEqual(eight('old'));
  expect((await node.get('/film/1', bearer, 'PURGE')).status).toBe(200);
  expect(await got()).toEqual(eight('new'));
  set('newer');
  const call = await node.get('/.nearcast/purge', bearer, 'POST', JSON.stringify({ tag: 'film' }));
  expect(JSON.parse(call.body.toString())).toMatchObject({ isDone: true, objects: 1 });
  expect(await got()).toEqual(eight('newer'));
});

test('workers lose what an unsafe method through one of them invalidates', async () => {
  node.origin.set('/form', ({ method }) => ({ body: method === 'POST' ? 'done' : 'old', headers: FRESH }));
  expect(await texts('/form')).toEqual(eight('old'));
  node.origin.set('/form', ({ method }) => ({ body: method === 'POST' ? 'done' : 'new', headers: FRESH }));
  expect((await node.get('/form', {}, 'POST', 'x')).body.toString()).toBe('done');
  // The others are told without waiting: a purge behind it has its answer after it.
  await node.cache.purge({ url: '/nothing' });
  expect(await texts('/form')).toEqual(eight('new'));
});

test('workers pass the routes of the primary on, with the hash of their viewer', async () => {
  const got = await node.get('/.nearcast/x?q=1', {}, 'POST', 'body');
  expect(got.body.toString()).toBe('/.nearcast/x 1 body');
  expect(got.headers['x-hash']).toMatch(/^[\w-]{22}$/);
  const again = await node.get('/.nearcast/x?q=1', { 'nearcast-remote': '10.9.8.7' });
  expect(again.headers['x-hash']).toBe(got.headers['x-hash']);
  expect((await node.get('/.nearcast/x', {}, 'POST', 'x'.repeat(1001))).status).toBe(413);
});

describe('a reload', () => {
  const rules = { defaultTtlSeconds: 0, graceSeconds: 0, target: 'Nearcast-Cache-Control' };
  const main = () => ({ name: 'main', url: node.origin.url, match: '/' });
  const back = () => ({ origins: [main()], hosts, rules });
  const statuses = async (path: string, host: string) =>
    new Set((await askAll(path, { host })).map((got) => got.status));

  test('is answered when every worker uses it: hosts, keys and freshness', async () => {
    node.origin.set('/plain', { body: 'plain' });
    const named = [{ names: ['new.test'], ignoredQuery: ['t'] }];
    await node.cache.reload({ ...back(), hosts: named, rules: { ...rules, defaultTtlSeconds: 60 } });
    expect([await statuses('/plain', 'new.test'), await statuses('/plain', 'old.test')]).toEqual([
      new Set([200]),
      new Set([421]),
    ]);
    const asked = node.origin.seen('/plain').length;
    for (const got of await askAll('/plain?t=1', { host: 'new.test' }))
      expect(got.headers['cache-status']).toContain('hit');
    expect(node.origin.seen('/plain').length).toBe(asked);
    await node.cache.reload(back());
    expect(await statuses('/plain', 'old.test')).toEqual(new Set([200]));
    expect(node.origin.seen('/plain').length).toBeGreaterThan(asked);
  });

  test('loses no request of any worker, and one that cannot be used changes nothing', async () => {
    node.origin.set('/busy', { body: 'busy', headers: FRESH });
    let isOver = false;
    const reloading = (async () => {
      for (let turn = 0; turn < 15; turn += 1) {
        await node.cache.reload({ ...back(), rules: { ...rules, defaultTtlSeconds: turn } });
        const wrong = { ...back(), hosts: [{ names: ['x'], origins: ['none'] }] };
        await expect(node.cache.reload(wrong)).rejects.toMatchObject({ code: 'CACHE_OPTIONS_INVALID' });
      }
      isOver = true;
    })();
    const seen = new Set<string>();
    const ask = async () => {
      while (!isOver) seen.add((await node.get('/busy')).body.toString());
    };
    await Promise.all([reloading, ask(), ask(), ask()]);
    await node.cache.reload(back());
    expect(seen).toEqual(new Set(['busy']));
    expect(node.cache.stats().workers).toMatchObject({ running: 2, restarts: 0 });
  });

  test('reaches a worker that is only starting', async () => {
    const [victim = 0] = pids();
    process.kill(victim, 'SIGKILL');
    while (pids().includes(victim) || pids().length < 2) await new Promise(setImmediate);
    // It has been started with the options of before, and hears of these while it opens.
    await node.cache.reload({ ...back(), hosts: [{ names: ['late.test'] }] });
    node.origin.set('/late', { body: 'late', headers: FRESH });
    while (node.cache.stats().workers?.running !== 2) await new Promise(setImmediate);
    await expect.poll(() => statuses('/late', 'late.test'), { timeout: 8_000 }).toEqual(new Set([200]));
    expect(await statuses('/late', 'other.test')).toEqual(new Set([421]));
    await node.cache.reload(back());
  });
});

test('a worker that dies is replaced; those on others see nothing (fault 64)', async () => {
  node.origin.set('/a', { body: 'a', headers: FRESH });
  await askAll('/a');
  const [victim = 0, other] = pids();
  process.kill(victim, 'SIGKILL');
  const seen = [];
  for (let each = 0; each < 40; each += 1) seen.push((await node.get('/a').catch(() => undefined))?.body.toString());
  // Only a connection that the dead one had just been handed may have ended.
  expect(seen.filter((text) => text === 'a').length).toBeGreaterThanOrEqual(38);
  while (pids().length < 2 || pids().includes(victim)) await node.get('/a').catch(() => undefined);
  expect(pids()).toContain(other);
  expect(node.cache.stats().workers).toMatchObject({ running: 2, restarts: 2 });
  expect(await texts('/a')).toEqual(eight('a'));
  expect(node.origin.seen('/a')).toHaveLength(1);
});

test('a port that is taken is told as such', async () => {
  const second = await open({
    origins: [{ name: 'main', url: node.origin.url, match: '/' }],
    store: { ramBytes: MIB, dirs: [], required: false },
    rules: { defaultTtlSeconds: 0, graceSeconds: 0, target: 'x' },
    ...{ nodeId: 'second', workers: 2, now: Date.now, log: () => undefined },
  });
  // The primary of the first listens there; a cluster's own workers would share it.
  const taken = Number(new URL(node.origin.url).port);
  await expect(second.serve({ host: '127.0.0.1', port: taken })).rejects.toMatchObject({ code: 'CACHE_LISTEN_FAILED' });
  await second.close(0);
});

test('an answer in flight ends when the cache drains', async () => {
  const held = Promise.withResolvers<void>();
  node.origin.set('/slow', { body: 'slowly', gates: [{ offset: 3, until: held.promise }] });
  const { response } = await node.start('/slow');
  const closing = node.cache.close(5_000);
  held.resolve();
  let text = '';
  for await (const chunk of response) text += String(chunk);
  expect(text).toBe('slowly');
  await closing;
  expect(pids()).toEqual([]);
  await expect(
    new Promise((resolve, reject) => connect(node.port, '127.0.0.1').once('connect', resolve).once('error', reject)),
  ).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});
