// Signed URLs over HTTP: where tokens may stand, what is refused and how, and that no token reaches origin, key or record.
import { afterEach, describe, expect, test } from 'vitest';
import type { Signing } from '../../../cache/contract-rights.ts';
import { signCat } from '../../../cache/rules/access-cat.ts';
import type { Cbor, CborKey } from '../../../cache/rules/access-cbor.ts';
import { encodeCbor } from '../../../cache/rules/access-cbor.ts';
import { sealMac0 } from '../../../cache/rules/access-cose.ts';
import { signHmac } from '../../../cache/rules/access-hmac.ts';
import { openNode, type TestNode } from './node.ts';

const key = { id: 'k1', secret: Buffer.from('0123456789abcdef0123456789abcdef') };
const signedHost = { host: 'signed.test' };
const openHost = { host: 'open.test' };
const path = '/titles/film/seg-1.m4s';

let node: TestNode | undefined;
afterEach(() => node?.close());

async function setUp(signing: Partial<Signing> = {}): Promise<TestNode> {
  node = await openNode({
    hosts: [{ names: ['signed.test'], signing: { scheme: 'hmac', keys: [key], ...signing } }, { names: ['open.test'] }],
  });
  node.origin.set(path, { body: 'x'.repeat(100), headers: { 'cache-control': 'max-age=600' } });
  return node;
}

const inAnHour = () => Math.floor(Date.now() / 1000) + 3600;
const token = (over: object = {}) => signHmac({ paths: ['/titles/film/*'], expiresSeconds: inAnHour(), ...over }, key);
const cat = (over: object = {}) => signCat({ path: '/titles/film/*', expiresSeconds: inAnHour(), ...over }, key);

function expectNoToken({ origin, served, cache }: TestNode): void {
  const all = JSON.stringify([origin.seen(), served, cache.explain(`https://signed.test${path}`)]);
  expect(all).not.toMatch(/hmac|2D3R|CAT=|token=|\/_t/);
}

describe('a token is taken', () => {
  test('from the query, whatever stands beside it; the key is that of the address without it', async () => {
    const { get, origin } = await setUp();
    expect((await get(`${path}?token=${token()}`, signedHost)).status).toBe(200);
    expect((await get(`${path}?token=${encodeURIComponent(token())}`, signedHost)).headers['cache-status']).toMatch(
      /hit/,
    );
    origin.set(path, ({ url }) => ({ body: url }));
    const got = await get(`${path}?a=1&token=${token()}&b=2&token=x`, signedHost);
    expect(got.body.toString()).toBe(`${path}?a=1&b=2`);
    // Of the same object, another host needs none.
    expect((await get(path, openHost)).headers['cache-status']).toMatch(/hit/);
    if (node !== undefined) expectNoToken(node);
  });

  test('from a cookie, and the origin gets the other cookies only', async () => {
    const { get, origin } = await setUp({ name: 'pass' });
    const cookie = `a=1; pass=${token()}; b=2`;
    expect((await get(path, { ...signedHost, cookie })).status).toBe(200);
    expect(origin.seen(path)[0]?.headers.cookie).toBe('a=1; b=2');
    await get('/titles/film/other', { ...signedHost, cookie: `pass=${token()}` });
    expect(origin.seen('/titles/film/other')[0]?.headers.cookie).toBeUndefined();
  });

  test('from the path, so that relative addresses in a playlist keep it', async () => {
    const { get, origin } = await setUp({ pathPrefix: '/_t/' });
    const base = `/_t/${encodeURIComponent(token())}/titles/film/`;
    expect((await get(`${base}seg-1.m4s`, signedHost)).status).toBe(200);
    expect(origin.seen().map(({ url }) => url)).toEqual([path]);
    expect((await get('/_t/x', signedHost)).status).toBe(403);
    if (node !== undefined) expectNoToken(node);
  });

  test.each<[name: string, at: (one: string) => readonly [url: string, headers: Record<string, string>]]>([
    ['its header', (one: string) => [path, { 'CTA-Common-Access-Token': one }]],
    ['CAT', (one: string) => [`${path}?CAT=${one}`, {}]],
    ['cat', (one: string) => [`${path}?cat=${one}`, {}]],
    ['its cookie', (one: string) => [path, { cookie: `x=1; cta-common-access-token=${one}` }]],
  ])('of the kind CAT from %s', async (_name, at) => {
    const { get, origin } = await setUp({ scheme: 'cat' });
    const [url, headers] = at(cat());
    expect((await get(url, { ...signedHost, ...headers })).status).toBe(200);
    expect(origin.seen()[0]?.headers).not.toHaveProperty('cta-common-access-token');
    if (node !== undefined) expectNoToken(node);
    const [again, more] = at(cat({ path: '/titles/other/*' }));
    expect((await get(again, { ...signedHost, ...more })).body.toString()).toMatch(/TOKEN_PATH/);
  });
});

describe('what is refused', () => {
  test.each<[name: string, query: () => string, method: string, code: string]>([
    ['no token', () => '', 'GET', 'TOKEN_MISSING'],
    ['an empty one', () => '?token=', 'GET', 'TOKEN_MALFORMED'],
    ['another path', () => `?token=${token({ paths: ['/else/*'] })}`, 'GET', 'TOKEN_PATH'],
    ['expired', () => `?token=${token({ expiresSeconds: 1_000_000_000 })}`, 'GET', 'TOKEN_EXPIRED'],
    ['another method', () => `?token=${token({ methods: ['GET'] })}`, 'POST', 'TOKEN_METHOD'],
    ['another network', () => `?token=${token({ network: '203.0.113.0/24' })}`, 'GET', 'TOKEN_ADDRESS'],
    ['HEAD without', () => '', 'HEAD', 'TOKEN_MISSING'],
  ])('%s: 403 with its code, in words, and not stored', async (_name, query, method, code) => {
    const { get, origin, cache } = await setUp();
    const got = await get(`${path}${query()}`, signedHost, method, method === 'POST' ? 'x' : undefined);
    expect(got).toMatchObject({
      status: 403,
      headers: { 'cache-control': 'no-store', 'content-type': 'application/json' },
    });
    expect(got.headers['cache-status']).toBe(`edge-test; detail=${code}`);
    if (method !== 'HEAD') expect(JSON.parse(got.body.toString())).toMatchObject({ code, message: expect.any(String) });
    expect(Object.entries(cache.stats().denied).filter(([, count]) => count > 0)).toEqual([[code, 1]]);
    expect(origin.seen()).toEqual([]);
  });

  test('a client in its network is let in', async () => {
    const { get } = await setUp();
    expect((await get(`${path}?token=${token({ network: '127.0.0.0/8' })}`, signedHost)).status).toBe(200);
  });

  test('nothing is refused that needs no token: exempt paths, preflights, other hosts', async () => {
    const { get, origin } = await setUp({ exempt: ['/public/'] });
    for (const each of ['/public/a', path]) origin.set(each, { body: 'x' });
    expect((await get('/public/a', signedHost)).status).toBe(200);
    expect((await get(path, openHost)).status).toBe(200);
    const preflight = { ...signedHost, origin: 'https://player.test', 'access-control-request-method': 'GET' };
    expect((await get(path, preflight, 'OPTIONS')).status).toBe(200);
    expect((await get(path, signedHost, 'OPTIONS')).status).toBe(403);
  });

  test('a token for a single use is taken once', async () => {
    const { get } = await setUp({ scheme: 'cat' });
    const claims = new Map<CborKey, Cbor>([
      [4, inAnHour()],
      [7, Buffer.from('one')],
      [308, 1],
    ]);
    const once = sealMac0(encodeCbor(claims), key).toString('base64url');
    expect((await get(`${path}?CAT=${once}`, signedHost)).status).toBe(200);
    expect((await get(`${path}?CAT=${once}`, signedHost)).body.toString()).toMatch(/TOKEN_REPLAYED/);
  });
});

test.each<[name: string, signing: Partial<Signing>]>([
  ['no keys', { keys: [] }],
  ['a short secret', { keys: [{ id: 'a', secret: Buffer.from('short') }] }],
  ['two keys of one id', { keys: [key, key] }],
])('%s is refused at once', async (_name, signing) => {
  await expect(setUp(signing)).rejects.toMatchObject({ code: 'CACHE_OPTIONS_INVALID' });
});
