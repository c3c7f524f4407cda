// A browser over TLS with a certificate of an own authority: HTTP/2, many objects at once, from miss to hit.
import { createHash, X509Certificate } from 'node:crypto';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openNode, type TestNode } from '../cache/http/node.ts';
import { authority, filesOf } from '../cache/http/secure.ts';
import { openBrowser } from './browser.ts';

const SEGMENTS = 30;
let browser: Browser;
let node: TestNode;
beforeAll(async () => {
  const issued = authority.issue(['localhost']);
  const key = new X509Certificate(issued.cert).publicKey.export({ type: 'spki', format: 'der' });
  const pin = createHash('sha256').update(key).digest('base64');
  node = await openNode({ certificate: await filesOf(issued) });
  // The browser has no trust in the authority, but in this very key.
  browser = await openBrowser([`--ignore-certificate-errors-spki-list=${pin}`]);
});
afterAll(async () => {
  await browser?.close();
  await node?.close();
});

test('every object comes whole over HTTP/2, the second time from the cache', async () => {
  const fresh = { 'cache-control': 'max-age=60' };
  node.origin.set('/', { body: '<!doctype html><title>x</title>', headers: { ...fresh, 'content-type': 'text/html' } });
  for (let index = 0; index < SEGMENTS; index += 1) {
    node.origin.set(`/${index}.ts`, { body: Buffer.alloc(300_000, `${index} `), headers: fresh });
  }
  for (const _round of ['a new viewer', 'another one']) {
    // Each with a cache of its own, and empty.
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`https://localhost:${node.securePort}/`);
    const { sizes, protocols } = await page.evaluate(async (count) => {
      const fetched = Array.from({ length: count }, async (_, index) => {
        const answer = await fetch(`/${index}.ts`);
        return (await answer.arrayBuffer()).byteLength;
      });
      const all = await Promise.all(fetched);
      const entries = performance.getEntriesByType('resource');
      return { sizes: all, protocols: entries.map((entry) => String(Reflect.get(entry, 'nextHopProtocol'))) };
    }, SEGMENTS);
    expect([new Set(sizes), sizes.length, new Set(protocols)]).toEqual([new Set([300_000]), SEGMENTS, new Set(['h2'])]);
    await context.close();
  }
  const asked = Array.from({ length: SEGMENTS }, (_, index) => node.origin.seen(`/${index}.ts`).length);
  expect(new Set(asked)).toEqual(new Set([1]));
  expect(node.cache.stats().misuse).toEqual({ resets: 0, 'control-frames': 0, bytes: 0, slow: 0, protocol: 0 });
});
