// Publishing on a real publish folder, served by a real origin into a real cache: what a new package changes, and when
// the one before it goes.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Catalogue, openCatalogue } from '../../agent/catalogue.ts';
import { openOrigin } from '../../agent/commands/origin.ts';
import { openPublishing, type Publishing } from '../../agent/publishing.ts';
import { type Cache, open as openCache } from '../../cache/cache.ts';
import { CONTRACT_VERSION, type Title } from '../../encoder/contract.ts';
import { makeTitle } from '../fake/title.ts';

const HOUR_MS = 3_600_000;
const FIRST = '0123456789abcdef';
const SECOND = 'fedcba9876543210';
const root = mkdtempSync(join(tmpdir(), 'nearcast-publishing-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

type Line = { readonly event: string; readonly fields: Readonly<Record<string, unknown>> };
let count = 0;
let dir: string;
let now: number;
let logged: Line[];
let catalogue: Catalogue;
let cache: Cache;
let origin: Awaited<ReturnType<typeof openOrigin>>;
let publishing: Publishing;
beforeEach(async () => {
  count += 1;
  dir = join(root, String(count));
  now = Date.now();
  logged = [];
  const titles = join(dir, 'public', 'titles');
  mkdirSync(titles, { recursive: true });
  const log = (_level: string, event: string, fields = {}) => void logged.push({ event, fields });
  origin = await openOrigin({ dir: join(dir, 'public'), host: '127.0.0.1', port: 0, log });
  cache = await openCache({
    origins: [{ name: 'main', url: `http://127.0.0.1:${origin.port}`, match: '/' }],
    store: { ramBytes: 16 << 20, dirs: [{ path: join(dir, 'store'), maxBytes: 64 << 20 }], required: true },
    rules: { defaultTtlSeconds: 0, graceSeconds: 60, target: 'Nearcast-Cache-Control' },
    nodeId: 'test',
    now: () => now,
    log,
  });
  const where = { publishDir: titles, publishPath: '/titles/' };
  const titlePattern = '^/titles/(?<title>[^/]+)/';
  catalogue = await openCatalogue({ ...where, file: join(dir, 'catalogue.jsonl'), titlePattern, log });
  publishing = openPublishing({
    ...where,
    catalogue,
    cache,
    bytesPerSecond: 1 << 30,
    warmSeconds: 30,
    now: () => now,
    log,
  });
});
afterEach(async () => {
  catalogue.close();
  await cache.close(0);
  await origin.close();
});

const put = (path: string, text: string): void => {
  const file = join(dir, 'public', path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
};

/** Lays a package down as the encoder does, pointer last, `ageMs` ago. */
function lay(id: string, hash: string, ageMs = 0): Title {
  const title = { ...makeTitle(id, [{ seconds: 20 }, { seconds: 20 }, { seconds: 20 }]), name: `The ${id}`, hash };
  const base = `titles/${id}/${hash}`;
  for (const track of title.renditions) {
    put(`${base}/${track.id}/playlist.m3u8`, '#EXTM3U\n');
    for (const url of [track.initUrl, ...track.segments.map((segment) => segment.url)]) put(`${base}/${url}`, url);
  }
  put(`${base}/poster.jpg`, 'poster');
  put(`${base}/title.json`, JSON.stringify(title));
  put(`titles/${id}/master.m3u8`, `#EXTM3U\n# ${hash}\n`);
  put(`titles/${id}/latest.json`, JSON.stringify({ version: CONTRACT_VERSION, id, hash }));
  const at = (now - ageMs) / 1000;
  utimesSync(join(dir, 'public', 'titles', id, 'latest.json'), at, at);
  return title;
}

const never = new AbortController().signal;
const hasPackage = (id: string, hash: string): boolean => existsSync(join(dir, 'public', 'titles', id, hash));
const lines = (): readonly string[] => readFileSync(join(dir, 'catalogue.jsonl'), 'utf8').trim().split('\n');

describe('a published title', () => {
  test('has its first thirty seconds of every track in the cache, pinned, and no more', async () => {
    const title = lay('film', FIRST);
    await publishing.published('film', never);
    for (const { initUrl, segments, timescale } of title.renditions) {
      const at = (url: string) => cache.has(`/titles/film/${FIRST}/${url}`);
      expect(at(initUrl)).toMatchObject({ isPinned: true, purpose: 'publish' });
      for (const { url, startTicks } of segments) {
        if (startTicks < 30 * timescale) expect(at(url)).toMatchObject({ isPinned: true, purpose: 'publish' });
        else expect(at(url)).toBeUndefined();
      }
    }
    const published = logged.find(({ event }) => event === 'encode.published');
    expect(published?.fields).toMatchObject({ id: 'film', hash: FIRST });
    expect(published?.fields['warmBytes']).toBeGreaterThan(0);
  });

  test('is added to the catalogue once', async () => {
    lay('film', FIRST);
    await publishing.published('film', never);
    await publishing.published('film', never);
    expect(lines().map((line): unknown => JSON.parse(line))).toEqual([
      { id: 'film', name: 'The film', durationSeconds: 60, manifestUrl: '/titles/film/master.m3u8' },
    ]);
  });

  test("leaves the operator's line as it is, unknown keys and all", async () => {
    const line = '{"id":"film","name":"By hand","licence":{"until":2030}}';
    writeFileSync(join(dir, 'catalogue.jsonl'), `${line}\n`);
    lay('film', FIRST);
    await publishing.published('film', never);
    expect(lines()).toEqual([line]);
    expect(catalogue.title('film')?.name).toBe('By hand');
  });

  test('makes its pointer be asked for anew', async () => {
    lay('film', FIRST);
    const path = '/titles/film/master.m3u8';
    await cache.fill(path, { priority: 'in-session', purpose: 'in-session' });
    expect(cache.has(path)?.freshForSeconds).toBeGreaterThan(0);
    lay('film', SECOND);
    await publishing.published('film', never);
    expect(cache.has(path)?.freshForSeconds).toBeLessThanOrEqual(0);
  });

  test('without a package is told, not thrown', async () => {
    await publishing.published('nothing', never);
    expect(logged).toContainEqual({ event: 'publish.no-package', fields: { id: 'nothing' } });
  });

  test('is not warmed once the node closes', async () => {
    lay('film', FIRST);
    await publishing.published('film', AbortSignal.abort());
    expect(cache.stats().originRequests.publish).toBe(0);
  });
});

describe('a package that was replaced', () => {
  test('stays for a day, then leaves the disk and the cache', async () => {
    lay('film', FIRST, 48 * HOUR_MS);
    await publishing.published('film', never);
    lay('film', SECOND);
    await publishing.published('film', never);
    const old = `/titles/film/${FIRST}/v720/init.mp4`;

    now += 23 * HOUR_MS;
    await publishing.sweep();
    expect(hasPackage('film', FIRST)).toBe(true);
    expect(cache.has(old)).toBeDefined();

    now += 2 * HOUR_MS;
    await publishing.sweep();
    expect(hasPackage('film', FIRST)).toBe(false);
    expect(cache.has(old)).toBeUndefined();
    expect(hasPackage('film', SECOND)).toBe(true);
    expect(cache.has(old.replace(FIRST, SECOND))).toBeDefined();
  });

  test('goes although another title cannot be swept, and nothing but packages goes', async () => {
    lay('a-broken', FIRST, 48 * HOUR_MS);
    expect((await catalogue.package('a-broken'))?.hash).toBe(FIRST);
    rmSync(join(dir, 'public', 'titles', 'a-broken', 'latest.json'));
    put(`titles/film/${FIRST}/title.json`, '{}');
    put('titles/film/notes/keep.txt', 'by hand');
    lay('film', SECOND, 48 * HOUR_MS);
    await publishing.sweep();
    expect(logged.map(({ event }) => event).filter((event) => event.startsWith('publish.'))).toEqual([
      'publish.sweep-failed',
      'publish.removed-old',
    ]);
    expect(hasPackage('film', FIRST)).toBe(false);
    expect(hasPackage('film', 'notes')).toBe(true);
    expect(hasPackage('film', SECOND)).toBe(true);
    expect(hasPackage('a-broken', FIRST)).toBe(true);
  });
});

test('savings add up over packages, and a loss counts as none', async () => {
  const title = lay('film', FIRST);
  const savings = { referenceBps: 8_000, cap: 0.25, pruning: 0.5, allocation: -0.1 };
  put(`titles/film/${FIRST}/title.json`, JSON.stringify({ ...title, savings }));
  await publishing.published('film', never);
  await publishing.published('film', never);
  expect(publishing.savedBytes()).toEqual({ cap: 30_000, pruning: 60_000, allocation: 0 });
});
