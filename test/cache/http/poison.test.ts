// Cache poisoning: a viewer who asks first, in whatever way, never decides what the next one gets. The origin here is as
// careless as any: it puts what it is told into a body that may be stored.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Seen } from '../../fake/origin.ts';
import { openNode, type TestNode } from './node.ts';

let node: TestNode;
beforeEach(async () => {
  node = await openNode({ diskBytes: 0, ignoredQuery: ['utm_source'], rules: { defaultTtlSeconds: 600 } });
});
afterEach(() => node.close());

const EVIL = 'evil.example';
const fresh = { 'cache-control': 'public, max-age=600' };

/** Everything of a request in which EVIL stands, or 'clean'. */
function reflect({ method, url, headers, body }: Seen): string {
  const told = Object.entries(headers).filter(([name, value]) => `${name} ${String(value)}`.includes(EVIL));
  const parts = [
    ...told.map(([name]) => name),
    ...(url.includes(EVIL) ? ['url'] : []),
    ...(body.includes(EVIL) ? ['body'] : []),
  ];
  if (method !== 'GET') parts.push(method);
  return parts.length === 0 ? 'clean' : `poisoned by ${parts.join(', ')}`;
}

/** What a plain viewer gets for a path after somebody else has asked. */
async function nextViewer(path: string): Promise<readonly [number, string]> {
  const { status, body } = await node.get(path);
  return [status, body.toString()];
}

describe('an unkeyed field reaches no origin, whole, cold or stale', () => {
  test.each([
    ...['X-Forwarded-Host', 'X-Forwarded-Scheme', 'X-Forwarded-Proto', 'X-Forwarded-Port', 'X-Forwarded-For'],
    ...[
      'X-Forwarded-Server',
      'X-Forwarded-Prefix',
      'X-Forwarded-Path',
      'X-Forwarded-Uri',
      'X-Forwarded',
      'X-Forwarded-SSL',
    ],
    ...[
      'Forwarded',
      'X-Host',
      'X-Original-Host',
      'X-Original-URL',
      'X-Rewrite-URL',
      'X-Override-URL',
      'X-HTTP-Host-Override',
    ],
    ...['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override', 'X-HTTP-DestinationURL'],
    ...['X-Real-IP', 'X-Client-IP', 'True-Client-IP', 'CF-Connecting-IP', 'Fastly-Client-IP', 'X-Cluster-Client-IP'],
    ...[
      'X-Remote-Addr',
      'X-Originating-IP',
      'Client-IP',
      'WL-Proxy-Client-IP',
      'Front-End-Https',
      'X-Scheme',
      'X-URL-Scheme',
    ],
    ...['Proxy', 'Proxy-Host', 'Request-Uri', 'Base-Url', 'X-Backend-Host', 'X-Accel-Redirect', 'X-Sendfile-Type'],
    ...['X-Middleware-Subrequest', 'X-Invoke-Path', 'X-Now-Route-Matches', 'X-Nextjs-Data', 'X-Wap-Profile'],
    ...['Range', 'If-None-Match', 'If-Modified-Since', 'If-Range', 'Host'],
    ...['Keep-Alive', 'TE', 'Proxy-Authorization', 'CMCD-Session'],
  ])('%s', async (name) => {
    node.origin.set('/a', (seen) => ({ body: reflect(seen), headers: fresh }));
    await node.get('/a', { [name]: EVIL });
    expect(await nextViewer('/a')).toEqual([200, 'clean']);
    await node.cache.purge({ url: '/a', soft: true });
    await node.get('/a', { [name]: EVIL });
    expect(await nextViewer('/a')).toEqual([200, 'clean']);
    for (const seen of node.origin.seen('/a')) expect(reflect(seen)).toBe('clean');
  });
});

test('a field that Connection names goes no further, whatever it is', async () => {
  node.origin.set('/a', (seen) => ({
    body: seen.headers['x-token'] === undefined ? 'no token' : 'token',
    headers: fresh,
  }));
  await node.get('/a', { 'x-token': EVIL, connection: 'x-token' });
  expect(await nextViewer('/a')).toEqual([200, 'no token']);
});

test.each([
  ['User-Agent', 'user-agent'],
  ['Origin', 'origin'],
  ['Accept-Language', 'accept-language'],
  ['X-Any-Other', 'x-any-other'],
])('%s, on which an origin may vary: stored apart for whom it was told', async (name, field) => {
  node.origin.set('/a', (seen) => ({ body: reflect(seen), headers: { ...fresh, vary: field } }));
  expect((await node.get('/a', { [name]: EVIL })).body.toString()).toBe(`poisoned by ${field}`);
  expect(await nextViewer('/a')).toEqual([200, 'clean']);
});

describe('who asks in another way', () => {
  const cases: readonly (readonly [string, (path: string) => Promise<unknown>])[] = [
    ['a GET with a body', (path) => node.get(path, {}, 'GET', EVIL)],
    ['a POST', (path) => node.get(path, {}, 'POST', EVIL)],
    ['a PUT', (path) => node.get(path, {}, 'PUT', EVIL)],
    ['a HEAD', (path) => node.get(path, {}, 'HEAD')],
    ['an unknown method', (path) => node.get(path, {}, 'PURGE')],
    ['no-store', (path) => node.get(path, { 'cache-control': 'no-store', 'user-agent': EVIL })],
    ['If-Match', (path) => node.get(path, { 'if-match': `"${EVIL}"` })],
    [
      'an absolute target',
      (path) => node.raw(`GET http://${EVIL}${path} HTTP/1.1\r\nHost: ${EVIL}\r\nConnection: close\r\n\r\n`),
    ],
    ['a port in Host', (path) => node.raw(`GET ${path} HTTP/1.1\r\nHost: ${EVIL}:1\r\nConnection: close\r\n\r\n`)],
    ['two Hosts', (path) => node.raw(`GET ${path} HTTP/1.1\r\nHost: a\r\nHost: ${EVIL}\r\n\r\n`)],
    ['a fragment', (path) => node.raw(`GET ${path}#${EVIL} HTTP/1.1\r\nHost: a\r\n\r\n`)],
    ['a parameter that is not keyed', (path) => node.get(`${path}?utm_source=${EVIL}`)],
    ['the same, its name escaped', (path) => node.get(`${path}?%75tm_source=${EVIL}`)],
    ['a parameter behind a semicolon', (path) => node.get(`${path}?a=1;utm_source=${EVIL}`)],
    ['CMCD in the query', (path) => node.get(`${path}?CMCD=sid%3D%22${EVIL}%22`)],
    ['a field of 12 KiB', (path) => node.get(path, { 'x-long': EVIL.repeat(1000) })],
    ['a field name that is none', (path) => node.raw(`GET ${path} HTTP/1.1\r\nHost: a\r\nX:${EVIL}\x01\r\n\r\n`)],
    ['another case of the path', (path) => node.get(path.toUpperCase())],
    ['a path escaped', (path) => node.get(path.replace('a', '%61'))],
    ['a double slash', (path) => node.get(`/${path}`)],
  ];
  test.each(cases)('%s decides nothing for a plain one', async (_name, ask) => {
    // A long field or a strange method is what makes careless origins answer with an error.
    node.origin.set('/a', (seen) => {
      const isStrange = !['GET', 'HEAD'].includes(seen.method) || JSON.stringify(seen.headers).length > 8000;
      return isStrange ? { status: 400, body: 'no', headers: {} } : { body: reflect(seen), headers: fresh };
    });
    await ask('/a');
    expect(await nextViewer('/a')).toEqual([200, 'clean']);
  });
});

test('an error that one viewer brought about is not kept for the others', async () => {
  for (const status of [400, 403, 404, 405, 413, 414, 431, 500, 501, 503]) {
    const path = `/status-${status}`;
    node.origin.set(path, (seen) =>
      seen.headers['x-trigger'] === undefined ? { body: 'clean', headers: fresh } : { status, body: 'no' },
    );
    await node.get(path, { 'x-trigger': '1' });
    node.passSeconds(1);
    expect([path, ...(await nextViewer(path))]).toEqual([path, 200, 'clean']);
  }
});
