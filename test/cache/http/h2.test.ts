// HTTP/2 over TLS through the same handler as HTTP/1.1: what is asked and answered, refused, limited, cut and drained.
import type { ClientHttp2Session } from 'node:http2';
import { afterEach, describe, expect, test } from 'vitest';
import type { Route } from '../../../cache/contract.ts';
import { requestFields } from '../../../cache/listen/h2-exchange.ts';
import { until } from '../until.ts';
import { type NodeSetup, openNode, type TestNode } from './node.ts';
import { ask, authority, filesOf, openSession } from './secure.ts';

let node: TestNode;
const sessions: ClientHttp2Session[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) session.destroy();
  await node.close();
});

const certificate = await filesOf(authority.issue(['localhost']));
const fresh = { 'cache-control': 'max-age=60' };

async function setUp(setup: NodeSetup = {}): Promise<ClientHttp2Session> {
  node = await openNode({ certificate, ...setup });
  return session();
}
async function session(): Promise<ClientHttp2Session> {
  const opened = await openSession(node.securePort);
  opened.on('error', () => undefined);
  sessions.push(opened);
  return opened;
}
describe('requests and answers', () => {
  test('miss, hit, range, 304, HEAD and repeated fields, with the Via of HTTP/2 at the origin', async () => {
    const h2 = await setUp();
    const body = Buffer.alloc(3_000_000, 'a body of several pieces ');
    node.origin.set('/a', { body, headers: { ...fresh, etag: '"1"', 'set-cookie': ['a=1', 'b=2'] } });
    const miss = await ask(h2, '/a');
    expect([miss.status, miss.reset, miss.body.equals(body)]).toEqual([200, 0, true]);
    expect(node.origin.seen('/a')[0]?.headers['via']).toBe('2 edge-test');
    const hit = await ask(h2, '/a');
    expect([hit.status, hit.body.equals(body), hit.headers['content-length']]).toEqual([200, true, '3000000']);
    expect(hit.headers['cache-status']).toMatch(/hit/);
    expect(hit.headers['set-cookie']).toEqual(['a=1', 'b=2']);
    const part = await ask(h2, '/a', { range: 'bytes=10-19' });
    expect([part.status, part.body.toString(), part.headers['content-range']]).toEqual([
      ...[206, body.subarray(10, 20).toString(), 'bytes 10-19/3000000'],
    ]);
    expect((await ask(h2, '/a', { 'if-none-match': '"1"' })).status).toBe(304);
    const head = await ask(h2, '/a', { ':method': 'HEAD' });
    expect([head.status, head.headers['content-length'], head.body.length, head.reset]).toEqual([200, '3000000', 0, 0]);
    await node.recorded(5);
    expect(node.served.map(({ result, status, isComplete, bytes }) => [result, status, isComplete, bytes])).toEqual([
      ...[
        ['miss', 200, true, 3_000_000],
        ['hit', 200, true, 3_000_000],
      ],
      ...[
        ['hit', 206, true, 10],
        ['hit', 304, true, 0],
      ],
      ['hit', 200, true, 0],
    ]);
  });

  test('a HEAD that must ask the origin, and a 204', async () => {
    const h2 = await setUp();
    node.origin.set('/a', { body: 'four', headers: fresh });
    node.origin.set('/none', { status: 204, headers: fresh });
    const head = await ask(h2, '/a', { ':method': 'HEAD' });
    expect([head.status, head.headers['content-length'], head.body.length]).toEqual([200, '4', 0]);
    expect((await ask(h2, '/none')).status).toBe(204);
    await node.recorded(2);
    expect(node.served.map(({ isComplete }) => isComplete)).toEqual([true, true]);
  });

  test('a body with and without a length goes to the origin whole; one to a route within its limit', async () => {
    const route: Route = {
      ...{ prefix: '/.nearcast/', methods: ['POST'], deadlineMs: 1000, maxBodyBytes: 16 },
      answer: ({ body, headers }) => ({ status: 200, body: `${headers['host']} ${body.toString()}` }),
    };
    const h2 = await setUp({ routes: [route] });
    node.origin.set('/post', { body: 'taken' });
    expect((await ask(h2, '/post', { ':method': 'POST' }, 'no length')).body.toString()).toBe('taken');
    expect((await ask(h2, '/post', { ':method': 'POST', 'content-length': '6' }, 'length')).status).toBe(200);
    expect(node.origin.seen('/post').map(({ body }) => body.toString())).toEqual(['no length', 'length']);
    const own = await ask(h2, '/.nearcast/x', { ':method': 'POST', ':authority': 'edge.example' }, 'hello');
    expect(own.body.toString()).toBe('edge.example hello');
    const large = await ask(h2, '/.nearcast/x', { ':method': 'POST' }, 'seventeen bytes..');
    expect(large.status).toBe(413);
    // The session goes on.
    expect((await ask(h2, '/.nearcast/x', { ':method': 'POST' }, 'more')).status).toBe(200);
  });

  test('who waits for a 100 before the body gets it', async () => {
    const h2 = await setUp();
    node.origin.set('/post', { body: 'taken' });
    const stream = h2.request({ ':path': '/post', ':method': 'POST', expect: '100-continue' });
    await new Promise<void>((resolve) => stream.once('continue', () => resolve()));
    stream.end('after the 100');
    const status = new Promise((resolve) => stream.once('response', (fields) => resolve(fields[':status'])));
    expect(await status).toBe(200);
    expect(node.origin.seen('/post')[0]?.body.toString()).toBe('after the 100');
    stream.close();
  });

  test('a body that breaks off resets its stream and leaves the others alone', async () => {
    const h2 = await setUp();
    node.origin.set('/cut', { body: Buffer.alloc(300_000), headers: fresh, cutAfterBytes: 100_000 });
    node.origin.set('/a', { body: 'whole', headers: fresh });
    const [cut, whole] = await Promise.all([ask(h2, '/cut'), ask(h2, '/a')]);
    expect([cut.status, cut.reset]).toEqual([200, 2]);
    expect([whole.body.toString(), whole.reset]).toEqual(['whole', 0]);
  });

  test('one session carries many large answers at once, and one whose viewer stops reading holds up no other', async () => {
    const h2 = await setUp();
    const body = Buffer.alloc(2_000_000, 'x');
    node.origin.set('/a', { body, headers: fresh });
    await ask(h2, '/a');
    const paused = h2.request({ ':path': '/a' });
    paused.pause();
    const all = await Promise.all(Array.from({ length: 10 }, () => ask(h2, '/a')));
    for (const got of all) expect([got.status, got.body.length]).toEqual([200, 2_000_000]);
    paused.close();
  });
});

describe('what is refused', () => {
  test.each([
    ['a fragment', { ':path': '/a#b' }],
    ['a dot segment', { ':path': '/x/../a' }],
    ['a NUL', { ':path': '/a%00' }],
    ['a Host that is not the authority', { ':path': '/a', ':authority': 'edge.example', host: 'other.example' }],
    ['an authority that is none', { ':path': '/a', ':authority': 'a:b:c' }],
    ['a long target', { ':path': `/${'a'.repeat(9000)}` }],
  ])('%s: 400, nothing reaches the origin, and the session goes on', async (_name, fields) => {
    const h2 = await setUp();
    node.origin.set('/a', { body: 'ok', headers: fresh });
    expect((await ask(h2, fields[':path'], fields)).status).toBe(400);
    expect([node.origin.seen().length, node.cache.stats().malformed]).toEqual([0, 1]);
    expect((await ask(h2, '/a')).status).toBe(200);
  });

  test('a GET with a body: 400', async () => {
    const h2 = await setUp();
    expect((await ask(h2, '/a', { ':method': 'GET' }, 'body')).status).toBe(400);
    expect(node.origin.seen()).toHaveLength(0);
  });

  test('a request line of HTTP/1.1 that says HTTP/2.0: 400', async () => {
    await setUp();
    expect(await node.raw('GET /a HTTP/2.0\r\nHost: a\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
  });
});

test.each([
  [[':authority', 'a', ':path', '/'], false, ['host', 'a']],
  [[':authority', 'a', 'x', 'host'], false, ['host', 'a', 'x', 'host']],
  [[':authority', 'a', 'host', 'a'], false, ['host', 'a']],
  [[':authority', 'a', 'host', 'b'], false, ['host', 'a', 'host', 'b']],
  [['host', 'a'], false, ['host', 'a']],
  [[':authority', 'a'], true, ['host', 'a', 'transfer-encoding', 'chunked']],
  [[':authority', 'a', 'content-length', '1'], true, ['host', 'a', 'content-length', '1']],
])('the fields of %j in terms of HTTP/1.1', (raw, hasBody, fields) => {
  expect(requestFields(raw, hasBody)).toEqual(fields);
});

describe('limits', () => {
  test('requests in flight are counted over streams of all sessions; above the limit 503, and places come back', async () => {
    const h2 = await setUp({ limits: { maxRequests: 3 } });
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    node.origin.set('/held', { body: 'late', headers: fresh, headAfter: held });
    const waiting = [ask(h2, '/held'), ask(await session(), '/held'), ask(h2, '/held')];
    await until(() => node.cache.stats().coalesced === 2);
    const refused = await ask(h2, '/held');
    expect([refused.status, refused.headers['retry-after']]).toEqual([503, '1']);
    expect(node.cache.stats().shed.requests).toBe(1);
    release();
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200, 200]);
    expect((await ask(h2, '/held')).status).toBe(200);
  });

  test('streams that are reset give their places back', async () => {
    const h2 = await setUp({ limits: { maxRequests: 2 } });
    node.origin.set('/held', { body: 'late', headers: fresh, headAfter: new Promise(() => undefined) });
    node.origin.set('/a', { body: 'ok', headers: fresh });
    const streams = [1, 2].map(() => h2.request({ ':path': '/held' }));
    for (const stream of streams) stream.on('error', () => undefined);
    await until(() => node.cache.stats().coalesced === 1);
    for (const stream of streams) stream.close(8);
    await until(() => node.cache.stats().activeFills === 0);
    expect((await ask(h2, '/a')).status).toBe(200);
  });

  test('connections of one address are counted before their handshake', async () => {
    await setUp({ limits: { addressLimit: 2 } });
    await session();
    await expect(openSession(node.securePort)).rejects.toThrow();
    expect(node.cache.stats().shed.address).toBe(1);
    sessions.pop()?.destroy();
    await until(() => node.cache.stats().openConnections === 1);
    await session();
  });
});

describe('drain', () => {
  test('streams in flight end whole, the viewer is told, and nothing is left open', async () => {
    const h2 = await setUp();
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    node.origin.set('/held', { body: 'late', headers: fresh, headAfter: held });
    const waiting = ask(h2, '/held');
    await node.origin.asked('/held', 1);
    const goaway = new Promise<number>((resolve) => h2.once('goaway', resolve));
    const gone = new Promise<void>((resolve) => h2.once('close', () => resolve()));
    const closing = node.cache.close(10_000);
    expect(await goaway).toBe(0);
    release();
    const got = await waiting;
    expect([got.status, got.body.toString(), got.reset]).toEqual([200, 'late', 0]);
    await gone;
    await closing;
  });

  test('an idle session does not hold it up; one that never ends is cut at the deadline', async () => {
    const h2 = await setUp();
    node.origin.set('/held', { body: 'late', headers: fresh, headAfter: new Promise(() => undefined) });
    const waiting = ask(h2, '/held');
    await node.origin.asked('/held', 1);
    const startedMs = performance.now();
    await node.cache.close(200);
    expect(performance.now() - startedMs).toBeLessThan(5000);
    expect((await waiting).status).toBe(0);
    node = await openNode({ certificate });
    const idle = await session();
    const gone = new Promise<void>((resolve) => idle.once('close', () => resolve()));
    await node.cache.close(60_000);
    await gone;
  });
});
