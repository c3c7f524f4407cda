// Origins by name: their connections follow the name to new addresses, use every address, and outlive a resolver that fails.
import { createServer } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import type { LookupName } from '../../../cache/contract.ts';
import { lookupNames } from '../../../cache/origin/names.ts';
import { openFakeDns } from '../../fake/dns.ts';
import { type FakeOrigin, openFakeOrigin } from '../../fake/origin.ts';
import { type NodeSetup, openNode, readResponse, type TestNode } from './node.ts';

const fresh = { 'cache-control': 'max-age=600' };
const open: { readonly close: () => Promise<void> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

/** A port that is free on both addresses, with an origin on the first and, if asked, on the second. */
async function openPair(): Promise<readonly [FakeOrigin, FakeOrigin]> {
  for (;;) {
    const first = await openFakeOrigin(Date.now, { host: '127.0.0.1', port: 0 });
    try {
      const second = await openFakeOrigin(Date.now, { host: '127.0.0.2', port: first.port });
      open.push(first, second);
      return [first, second];
    } catch {
      // Taken on the other address: another port.
      await first.close();
    }
  }
}

/** A resolver for tests: what it answers, and how often it was asked. */
function openNames(...addresses: string[]) {
  const names = {
    addresses,
    asked: 0,
    isBroken: false,
  };
  const lookup: LookupName = async () => {
    names.asked += 1;
    if (names.isBroken) throw Object.assign(new Error('no name server'), { code: 'EAI_AGAIN' });
    return names.addresses.map((address) => ({ address, family: 4 }));
  };
  return { names, lookup };
}

async function setUp(port: number, lookup: LookupName, setup: NodeSetup = {}): Promise<TestNode> {
  const node = await openNode({
    lookup,
    isClockStill: true,
    ...setup,
    origin: { url: `http://origin.test:${port}`, ...setup.origin },
  });
  open.push(node);
  return node;
}

function setAll(origins: readonly FakeOrigin[], path: string): void {
  for (const origin of origins) origin.set(path, { body: origin.url, headers: fresh });
}

test('connections follow a name that moves; what runs ends where it began', async () => {
  const [first, second] = await openPair();
  const { names, lookup } = openNames('127.0.0.1');
  const node = await setUp(first.port, lookup);
  const body = Buffer.alloc(400_000, 'a body under way ');
  const more = Promise.withResolvers<void>();
  first.set('/long', { body, headers: fresh, gates: [{ offset: 100_000, until: more.promise }] });
  const long = await node.start('/long');
  setAll([first, second], '/a');
  expect((await node.get('/a')).body.toString()).toBe(first.url);

  names.addresses = ['127.0.0.2'];
  setAll([first, second], '/b');
  // Not yet due, so on the connection that is there.
  expect((await node.get('/b')).body.toString()).toBe(first.url);
  node.passSeconds(31);
  for (let turn = 0; ; turn += 1) {
    setAll([first, second], `/c-${turn}`);
    if ((await node.get(`/c-${turn}`)).body.toString() === second.url) break;
    // The answer comes behind a request; the next one follows it.
    expect(turn).toBeLessThan(5);
  }
  setAll([first, second], '/d');
  expect((await node.get('/d')).body.toString()).toBe(second.url);
  more.resolve();
  const read = await readResponse(long.response);
  expect([read.isCut, read.body.equals(body)]).toEqual([false, true]);
  expect(names.asked).toBe(2);
});

describe('a name server that tells how long its answer counts', () => {
  async function openZone(port: number, ttlSeconds: number) {
    const dns = await openFakeDns();
    open.push(dns);
    const { names, lookup: system } = openNames('127.0.0.1');
    const move = (to: string) => {
      names.addresses = [to];
      dns.set('origin.test', { addresses: [to], ttlSeconds });
    };
    move('127.0.0.1');
    const node = await setUp(port, lookupNames({ servers: [dns.server], system }));
    return { names, node, move };
  }

  /** Asks for a new object on a new connection until a server other than `from` answers; after how many requests. */
  async function untilMoved(node: TestNode, pair: readonly FakeOrigin[], from: FakeOrigin): Promise<number> {
    for (let turn = 0; turn < 10; turn += 1) {
      setAll(pair, `/moved-${turn}`);
      if ((await node.get(`/moved-${turn}`)).body.toString() !== from.url) return turn;
    }
    return 10;
  }

  test.each([
    ['a short one', 4, 3, 5],
    ['none at all counts a second', 0, 0, 2],
    ['a day counts five minutes', 86_400, 299, 301],
  ])('%s', async (_name, ttlSeconds, before, after) => {
    const pair = await openPair();
    const [first, second] = pair;
    const { names, node, move } = await openZone(first.port, ttlSeconds);
    setAll(pair, '/a');
    expect((await node.get('/a')).body.toString()).toBe(first.url);
    move('127.0.0.2');
    node.passSeconds(before);
    setAll(pair, '/b');
    expect([(await node.get('/b')).body.toString(), names.asked]).toEqual([first.url, 1]);
    node.passSeconds(after - before);
    expect(await untilMoved(node, pair, first)).toBeLessThan(10);
    setAll(pair, '/c');
    expect([(await node.get('/c')).body.toString(), names.asked]).toEqual([second.url, 2]);
  });

  test('a server that is gone is not waited for until its answer is old', async () => {
    const pair = await openPair();
    const [first] = pair;
    const { node, move } = await openZone(first.port, 86_400);
    setAll(pair, '/a');
    expect((await node.get('/a')).status).toBe(200);
    await first.close();
    open.splice(open.indexOf(first), 1);
    move('127.0.0.2');
    expect((await node.get('/b')).status).toBe(502);
    node.passSeconds(6);
    setAll(pair, '/c');
    expect((await node.get('/c')).status).toBe(200);
  });
});

test('new connections take the addresses of a name in turn', async () => {
  const pair = await openPair();
  const node = await setUp(pair[0].port, openNames('127.0.0.1', '127.0.0.2').lookup);
  const got = new Set<string>();
  for (let turn = 0; turn < 4; turn += 1) {
    setAll(pair, `/${turn}`);
    got.add((await node.get(`/${turn}`)).body.toString());
    for (const origin of pair) origin.dropConnections();
  }
  expect(got).toEqual(new Set(pair.map(({ url }) => url)));
});

test('a crowd at a start asks once for the name; afterwards nobody does until the answer is old', async () => {
  const [first] = await openPair();
  const { names, lookup } = openNames('127.0.0.1');
  const node = await setUp(first.port, lookup);
  const paths = Array.from({ length: 30 }, (_, index) => `/${index}`);
  for (const path of paths) setAll([first], path);
  const got = await Promise.all(paths.map((path) => node.get(path)));
  expect(got.map(({ status }) => status)).toEqual(got.map(() => 200));
  expect(names.asked).toBe(1);
});

test('of several addresses one that refuses is passed over', async () => {
  const [first] = await openPair();
  const node = await setUp(first.port, openNames('127.0.0.3', '127.0.0.1').lookup);
  setAll([first], '/a');
  expect((await node.get('/a')).status).toBe(200);
  expect(node.cache.stats().originErrors).toBe(0);
});

test('row 20: while the resolver fails the last good addresses serve, one log line; after an hour 502, then back', async () => {
  const [first] = await openPair();
  const { names, lookup } = openNames('127.0.0.1');
  const lines: unknown[] = [];
  const node = await setUp(first.port, lookup, {
    log: (_level, event, fields) => {
      if (event === 'origin.name-failed') lines.push(fields);
    },
  });
  const ask = async (path: string) => {
    setAll([first], path);
    // Else a kept connection would do.
    first.dropConnections();
    return (await node.get(path)).status;
  };
  expect(await ask('/a')).toBe(200);
  names.isBroken = true;
  for (let round = 0; round < 5; round += 1) {
    node.passSeconds(31);
    expect(await ask(`/kept-${round}`)).toBe(200);
  }
  expect(names.asked).toBeGreaterThanOrEqual(5);
  expect(lines).toEqual([{ name: 'origin.test', code: 'EAI_AGAIN', isKept: true }]);
  node.passSeconds(3600);
  expect(await ask('/b')).toBe(502);
  expect(node.cache.stats().originErrors).toBe(1);
  names.isBroken = false;
  node.passSeconds(6);
  expect(await ask('/c')).toBe(200);
});

test('row 20: a name that does not exist: 502, and the resolver is not asked for every viewer', async () => {
  const { names, lookup } = openNames();
  const node = await setUp(80, lookup);
  const got = await Promise.all(Array.from({ length: 20 }, (_, index) => node.get(`/${index}`)));
  expect(got.map(({ status }) => status)).toEqual(got.map(() => 502));
  await node.get('/again');
  expect(names.asked).toBe(1);
});

test('a resolver that never answers: 504 within the deadline, other origins are served', async () => {
  const [first] = await openPair();
  const never = new Promise<never>(() => undefined);
  const lookup: LookupName = async (name) => (name === 'dark.test' ? never : [{ address: '127.0.0.1', family: 4 }]);
  const node = await setUp(first.port, lookup, {
    hosts: [{ names: ['dark'], origins: ['dark'] }, { names: ['*'] }],
    moreOrigins: [{ name: 'dark', url: 'http://dark.test', match: '/', firstByteTimeoutMs: 300 }],
  });
  setAll([first], '/a');
  const [dark, good] = await Promise.all([node.get('/a', { host: 'dark' }), node.get('/a')]);
  expect([dark.status, good.status]).toEqual([504, 200]);
});

test('a resolver that falls silent slows nobody while there is a last good answer', async () => {
  const [first] = await openPair();
  const { names, lookup } = openNames('127.0.0.1');
  const silent = new Promise<never>(() => undefined);
  let isSilent = false;
  const node = await setUp(first.port, (name) => (isSilent ? silent : lookup(name)));
  const ask = async (path: string) => {
    setAll([first], path);
    first.dropConnections();
    return (await node.get(path)).status;
  };
  expect(await ask('/a')).toBe(200);
  isSilent = true;
  node.passSeconds(120);
  const startedMs = performance.now();
  for (let round = 0; round < 20; round += 1) expect(await ask(`/kept-${round}`)).toBe(200);
  // The first connection waits a little for a newer answer; if each did, it would be 6 s.
  expect(performance.now() - startedMs).toBeLessThan(5500);
  expect(names.asked).toBe(1);
});

test('a second server by address serves while the name of the first is unknown', async () => {
  const [first] = await openPair();
  const { lookup } = openNames();
  const node = await setUp(80, lookup, { origin: { backups: [first.url] } });
  setAll([first], '/a');
  expect((await node.get('/a')).body.toString()).toBe(first.url);
});

test('an https origin is asked for under the name of its URL, whatever Host it gets', async () => {
  const asked: string[] = [];
  // Who connects names the certificate that it wants before it sees one; here it gets none.
  const server = createServer({
    SNICallback: (name, done) => {
      asked.push(name);
      done(new Error('no certificate'));
    },
  });
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  open.push({ close: () => new Promise((resolve) => server.close(() => resolve())) });
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  const { lookup } = openNames('127.0.0.1');
  const node = await setUp(0, lookup, {
    origin: { url: `https://origin.test:${port}` },
    hosts: [{ names: ['*.tenant.example'], hostHeader: 'forward' }, { names: ['*'] }],
  });
  for (const host of ['one.tenant.example', 'two.tenant.example', 'other']) {
    expect((await node.get('/a', { host })).status).toBe(502);
  }
  expect(new Set(asked)).toEqual(new Set(['origin.test']));
});

test('addresses are never looked up', async () => {
  const [first] = await openPair();
  const { names, lookup } = openNames();
  const node = await setUp(first.port, lookup, { origin: { url: first.url } });
  setAll([first], '/a');
  expect([(await node.get('/a')).status, names.asked]).toEqual([200, 0]);
});

test('without a resolver of its own a cache asks the system', async () => {
  const origin = await openFakeOrigin(Date.now, { host: 'localhost', port: 0 });
  open.push(origin);
  const node = await openNode({ origin: { url: origin.url } });
  open.push(node);
  setAll([origin], '/a');
  expect((await node.get('/a')).body.toString()).toBe(origin.url);
});
