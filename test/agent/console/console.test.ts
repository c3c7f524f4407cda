// The page's routes: right types, revalidation, compression, and nothing from another host.
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { consoleRoutes } from '../../../agent/console/console.ts';
import type { RouteReply } from '../../../cache/cache.ts';

const routes = consoleRoutes();

async function get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<RouteReply> {
  const route = routes.find((one) => one.prefix === path);
  if (route === undefined) throw new Error(`no route ${path}`);
  const { signal } = new AbortController();
  const query = new URLSearchParams();
  return route.answer({ method: 'GET', path, query, headers, body: Buffer.alloc(0), remoteHash: '', signal });
}
const textOf = async (path: string) => String((await get(path)).body);

describe('page routes', () => {
  test('every file that the page asks for is there, and every route is asked for', async () => {
    const wanted = new Set(['/']);
    for (const { prefix } of routes) {
      if (prefix === '/.nearcast/page/hls.js') continue;
      for (const [, found = ''] of (await textOf(prefix)).matchAll(
        /(?:from |href=|src=)["'](\/\.nearcast\/page\/[^"']+)/g,
      ))
        wanted.add(found);
    }
    expect([...wanted].toSorted()).toEqual(routes.map((route) => route.prefix).toSorted());
  });

  test.each(routes.map((route) => [route.prefix] as const))(
    '%s has a type, a policy and is the same compressed',
    async (path) => {
      const plain = await get(path);
      const packed = await get(path, { 'accept-encoding': 'br, gzip' });
      expect(plain.status).toBe(200);
      expect(plain.headers?.['content-type']).toMatch(/^(text\/(html|css|javascript); charset=utf-8|image\/svg\+xml)$/);
      expect(plain.headers?.['content-security-policy']).not.toMatch(/unsafe|\*|https?:/);
      expect(packed.headers?.['content-encoding']).toBe('gzip');
      expect(gunzipSync(packed.body ?? '').equals(Buffer.from(plain.body ?? ''))).toBe(true);
      expect(packed.headers?.['etag']).not.toBe(plain.headers?.['etag']);
    },
  );

  test('a known version is answered 304 without a body', async () => {
    const etag = (await get('/')).headers?.['etag'] ?? '';
    for (const known of [etag, `W/${etag}`, `"old", ${etag}`]) {
      const reply = await get('/', { 'if-none-match': known });
      expect(reply).toMatchObject({ status: 304, headers: { etag } });
      expect(reply.body).toBeUndefined();
    }
    expect((await get('/', { 'if-none-match': '"old"' })).status).toBe(200);
  });

  test.each([
    ['gzip;q=0', undefined],
    ['gzip;q=0.5', 'gzip'],
    ['identity', undefined],
    ['GZIP', 'gzip'],
  ])('accept-encoding %s: %s', async (accepted, coding) => {
    expect((await get('/', { 'accept-encoding': accepted })).headers?.['content-encoding']).toBe(coding);
  });

  test('our files load nothing from another host and carry no inline script or style', async () => {
    for (const { prefix } of routes) {
      if (prefix === '/.nearcast/page/hls.js') continue;
      const text = await textOf(prefix);
      expect(text).not.toMatch(/(src|import|url)\s*[=(]?\s*["'(]?(https?:)?\/\/(?!www\.w3\.org)/);
      expect(text).not.toMatch(/\sstyle=|\son[a-z]+="|<style|<script>|innerHTML|eval\(/);
    }
    expect(await textOf('/')).toContain('© 2008 Blender Foundation');
  });
});
