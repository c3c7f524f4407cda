// The catalogue on real files: lines good and bad, changes, packages and the ways in which they can be wrong.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Catalogue, openCatalogue, parseLine } from '../../agent/catalogue.ts';
import type { Title } from '../../encoder/contract.ts';

const root = mkdtempSync(join(tmpdir(), 'nearcast-catalogue-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let count = 0;
let dir: string;
let file: string;
let logged: { readonly event: string; readonly fields: Readonly<Record<string, unknown>> }[];
let catalogue: Catalogue | undefined;
beforeEach(() => {
  count += 1;
  dir = join(root, String(count));
  mkdirSync(dir);
  file = join(dir, 'catalogue.jsonl');
  logged = [];
});
afterEach(() => catalogue?.close());

async function open(titlePattern = '^/titles/(?<title>[^/]+)/', reloadMs?: number): Promise<Catalogue> {
  const opened = await openCatalogue({
    file,
    titlePattern,
    publishDir: join(dir, 'titles'),
    publishPath: '/titles/',
    ...(reloadMs === undefined ? {} : { reloadMs }),
    log: (_level, event, fields = {}) => logged.push({ event, fields }),
  });
  catalogue = opened;
  return opened;
}

/** Replaces the file in one step, as a publisher would. */
function write(...lines: readonly unknown[]): void {
  const text = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n');
  writeFileSync(`${file}.tmp`, text);
  renameSync(`${file}.tmp`, file);
}

describe('lines', () => {
  test('are titles in the order of the file, by every key of the contract', async () => {
    const whole = {
      id: 'bbb-1',
      name: 'Big Buck Bunny, part 1',
      source: 'mezzanine',
      manifestUrl: '/titles/bbb-1/master.m3u8',
      durationSeconds: 298.5,
      series: 'bbb',
      season: 1,
      episode: 1,
      nextId: 'bbb-2',
      releaseAt: 1_795_000_000_000,
      genres: ['animation'],
      people: ['Sacha Goedegebure'],
      images: { poster: 'poster.jpg' },
    };
    write(whole, '', { id: 'b', unknown: 1, name: null }, { id: 'c', releaseAt: '2026-11-20T00:00:00Z' });
    const { title, titles } = await open();
    expect(titles()).toEqual([whole, { id: 'b' }, { id: 'c', releaseAt: Date.UTC(2026, 10, 20) }]);
    expect(title('bbb-1')).toEqual(whole);
    expect(title('x')).toBeUndefined();
  });

  test('that are bad are left out, counted, and named by their number', async () => {
    write(
      { id: 'a' },
      '{"id":"b"',
      '[]',
      { name: 'no id' },
      { id: '../x' },
      { id: 'c', durationSeconds: -1 },
      { id: 'd' },
    );
    expect((await open()).titles().map((title) => title.id)).toEqual(['a', 'd']);
    expect((await open()).stats()).toMatchObject({ titles: 2, badLines: 5 });
    expect(logged.slice(0, 5).map(({ event, fields }) => [event, fields['line']])).toEqual(
      [2, 3, 4, 5, 6].map((line) => ['catalogue.bad_line', line]),
    );
  });

  test.each([
    [{ id: 'a', name: '' }, 'name'],
    [{ id: 'a', nextId: 'a/b' }, 'nextId'],
    [{ id: 'a', releaseAt: 'soon' }, 'releaseAt'],
    [{ id: 'a', genres: 'drama' }, 'genres'],
    [{ id: 'a', images: ['x'] }, 'images'],
    [{ id: 'a', season: '1' }, 'season'],
    [{ id: 'a', source: 'drm' }, 'source'],
  ])('%j is bad by its %s', (line, key) => {
    expect(parseLine(JSON.stringify(line))).toBe(`"${key}" is not what it should be`);
  });

  test('of one id: the last one holds', async () => {
    write({ id: 'a', name: 'first' }, { id: 'b' }, { id: 'a', name: 'last' });
    expect((await open()).titles()).toEqual([{ id: 'a', name: 'last' }, { id: 'b' }]);
  });

  test('of any text are a title or a reason, never an exception', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.jsonValue().map((value) => JSON.stringify(value)),
        ),
        (line) => {
          expect(['string', 'object']).toContain(typeof parseLine(line));
        },
      ),
    );
  });
});

describe('a file', () => {
  test('that is not there, or is a folder, is an empty catalogue', async () => {
    expect((await open()).titles()).toEqual([]);
    expect(logged).toEqual([]);
    catalogue?.close();
    mkdirSync(file);
    expect((await open()).titles()).toEqual([]);
    expect(logged.map(({ event }) => event)).toEqual(['catalogue.unreadable']);
  });

  test('that changes is read again, and only then', async () => {
    write({ id: 'a' });
    const { reload, titles, stats } = await open();
    expect(await reload()).toBe(false);
    write({ id: 'a' }, { id: 'b' });
    expect(titles()).toHaveLength(1);
    expect(await reload()).toBe(true);
    expect(titles()).toHaveLength(2);
    rmSync(file);
    expect(await reload()).toBe(true);
    expect([titles(), stats().reloads]).toEqual([[], 3]);
  });

  test('is looked at by the timer where one is asked for', async () => {
    const { titles } = await open(undefined, 5);
    write({ id: 'a' });
    await expect.poll(() => titles()).toHaveLength(1);
  });
});

describe('titleOf', () => {
  test.each([
    ['/titles/bbb-1/hash/seg.m4s', 'bbb-1'],
    ['/titles/bbb-1', undefined],
    ['/other/bbb-1/', undefined],
    ['/titles/../x', undefined],
    ['/titles/%2e%2e/x', undefined],
    [`/titles/${'x'.repeat(3000)}/`, undefined],
  ])('%s', async (path, expected) => {
    expect((await open()).titleOf(path)).toBe(expected);
  });

  describe('of titles whose manifests lie elsewhere', () => {
    beforeEach(() =>
      write(
        { id: 'film', manifestUrl: '/vod/film/hls/master.m3u8?v=2' },
        { id: 'extra', manifestUrl: '/vod/film/hls/extras/master.m3u8' },
        { id: 'one', manifestUrl: '/pair/one.m3u8' },
        { id: 'two', manifestUrl: '/pair/two.m3u8' },
        { id: 'top', manifestUrl: '/master.m3u8' },
        { id: 'wide', manifestUrl: '/titles/master.m3u8' },
        { id: 'deep', manifestUrl: '/titles/movies/deep/master.m3u8' },
        { id: 'far', manifestUrl: 'https://far.test/far/master.m3u8' },
      ),
    );
    test.each([
      ['/vod/film/hls/v1/seg.ts', 'film', '/vod/film/hls/'],
      ['/vod/film/hls/master.m3u8', 'film', '/vod/film/hls/'],
      ['/vod/film/hls/extras/v1/seg.ts', 'extra', '/vod/film/hls/extras/'],
      ['/vod/film/dash/seg.ts', undefined, undefined],
      ['/vod/film/hlsx/seg.ts', undefined, undefined],
      ['/pair/one.m3u8', undefined, undefined],
      ['/seg.ts', undefined, undefined],
      ['/titles/bbb-1/hash/seg.m4s', 'bbb-1', '/titles/bbb-1/'],
      ['/titles/seg.m4s', 'wide', '/titles/'],
      ['/titles/movies/deep/seg.m4s', 'deep', '/titles/movies/deep/'],
      ['/far/seg.ts', undefined, undefined],
      [`/vod/film/hls/${'d/'.repeat(600)}seg.ts`, undefined, undefined],
      ['', undefined, undefined],
    ])('%s', async (path, id, root) => {
      const { titleOf, rootOf } = await open();
      expect([titleOf(path), rootOf(path)]).toEqual([id, root]);
    });
  });

  test('a pattern that is none throws at once', async () => {
    await expect(open('(')).rejects.toThrow(SyntaxError);
  });
});

describe('append', () => {
  test('adds a title or writes over the keys of its line, leaving every other line alone', async () => {
    write({ id: 'a', nextId: 'b', name: 'old', mine: 'kept' }, 'not json', { id: 'c' });
    const { append, title } = await open();
    await Promise.all([append({ id: 'a', name: 'new' }), append({ id: 'b' }), append({ id: 'b', durationSeconds: 5 })]);
    expect(readFileSync(file, 'utf8')).toBe(
      '{"id":"a","nextId":"b","name":"new","mine":"kept"}\nnot json\n{"id":"c"}\n{"id":"b","durationSeconds":5}\n',
    );
    expect(title('b')).toEqual({ id: 'b', durationSeconds: 5 });
    expect(readdirSync(dir)).toEqual(['catalogue.jsonl']);
  });

  test('makes the folder', async () => {
    file = join(dir, 'deep', 'catalogue.jsonl');
    await (await open()).append({ id: 'a' });
    expect(catalogue?.title('a')).toEqual({ id: 'a' });
  });

  test('that fails leaves the file, leaves nothing beside it, and the next one works', async () => {
    mkdirSync(file);
    const { append, title } = await open();
    await expect(append({ id: 'a' })).rejects.toMatchObject({ code: 'AGENT_CATALOGUE_WRITE', retryable: true });
    expect(readdirSync(dir)).toEqual(['catalogue.jsonl']);
    rmSync(file, { recursive: true });
    await append({ id: 'a' });
    expect(title('a')).toEqual({ id: 'a' });
  });
});

describe('packages', () => {
  const HASH = '0123456789abcdef';
  const titleJson = (id: string, hash: string): Title => ({
    version: 1,
    id,
    name: id,
    hash,
    durationSeconds: 10,
    source: {
      class: 'mezzanine',
      sha256: 'x',
      sizeBytes: 1,
      format: 'mp4',
      codec: 'h264',
      width: 64,
      height: 36,
      frameRate: 25,
    },
    tools: { ffmpeg: '7.0' },
    metric: { name: 'vmaf', model: 'v0.6.1', subsample: 1, notes: [] },
    renditions: [
      {
        id: 'v0',
        codec: 'avc1.64000a',
        peakBandwidthBps: 1,
        averageBandwidthBps: 1,
        initUrl: 'init.mp4',
        initBytes: 1,
        timescale: 1000,
        segments: [{ url: 's0.m4s', startTicks: 0, ticks: 10_000, bytes: 1, shot: 0 }],
        width: 64,
        height: 36,
        frameRate: 25,
        videoRange: 'SDR',
        qualityMean: 95,
      },
    ],
    audio: [],
    text: [],
    shots: [
      {
        startSeconds: 0,
        durationSeconds: 10,
        frames: 250,
        features: { spatial: 0, temporal: 0, luma: 0, saturation: 0, loudness: 0 },
        quality: {},
      },
    ],
    images: { poster: 'poster.jpg' },
    savings: { referenceBps: 0, cap: 0, pruning: 0, allocation: 0 },
    cost: { cpuSeconds: 1 },
  });

  function publish(id: string, hash: string, content: unknown = titleJson(id, hash)): void {
    const put = (path: string, value: unknown): void => {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(`${path}.tmp`, JSON.stringify(value));
      renameSync(`${path}.tmp`, path);
    };
    put(join(dir, 'titles', id, hash, 'title.json'), content);
    put(join(dir, 'titles', id, 'latest.json'), { version: 1, id, hash });
  }

  test('are read through their pointer, once, and again when it has changed', async () => {
    const opened = await open();
    expect(await opened.package('a')).toBeUndefined();
    publish('a', HASH);
    expect(await opened.reload()).toBe(true);
    const first = await opened.package('a');
    expect(first).toMatchObject({ hash: HASH, baseUrl: `/titles/a/${HASH}/`, title: { id: 'a', durationSeconds: 10 } });
    expect(await opened.reload()).toBe(false);
    expect(await opened.package('a')).toBe(first);
    publish('a', 'f'.repeat(64));
    expect(await opened.reload()).toBe(true);
    expect((await opened.package('a'))?.hash).toBe('f'.repeat(64));
  });

  test('with a report beside them name its path', async () => {
    publish('a', HASH);
    publish('b', HASH);
    writeFileSync(join(dir, 'titles', 'a', 'report.html'), '<!doctype html>');
    const opened = await open();
    await opened.reload();
    const reportOf = async (id: string) => (await opened.package(id)) && opened.published(id)?.report;
    expect([await reportOf('a'), await reportOf('b')]).toEqual(['/titles/a/report.html', undefined]);
  });

  test('are there at once after append', async () => {
    const opened = await open();
    expect(await opened.package('a')).toBeUndefined();
    publish('a', HASH);
    await opened.append({ id: 'a' });
    expect((await opened.package('a'))?.hash).toBe(HASH);
  });

  test.each<[name: string, content: unknown]>([
    ['another version', { ...titleJson('a', HASH), version: 2 }],
    ['another title', titleJson('b', HASH)],
    ['another hash', titleJson('a', 'f'.repeat(16))],
    ['no renditions', { ...titleJson('a', HASH), renditions: [] }],
    ['nothing', null],
  ])('with %s are told and as good as none', async (_name, content) => {
    publish('a', HASH, content);
    expect(await (await open()).package('a')).toBeUndefined();
    expect(logged.map(({ event, fields }) => [event, fields['title']])).toEqual([['catalogue.bad_package', 'a']]);
  });

  test('behind a pointer that climbs are refused', async () => {
    publish('a', HASH);
    writeFileSync(join(dir, 'titles', 'a', 'latest.json'), JSON.stringify({ version: 1, id: 'a', hash: '../../a' }));
    expect(await (await open()).package('a')).toBeUndefined();
    expect(logged.map(({ event }) => event)).toEqual(['catalogue.bad_package']);
  });

  test.each(['../titles/a', '..', '.', '', 'a/b', 'a\0', '/etc'])('an id %j that is a path is no title', async (id) => {
    publish('a', HASH);
    expect(await (await open()).package(id)).toBeUndefined();
    expect(logged).toEqual([]);
  });
});
