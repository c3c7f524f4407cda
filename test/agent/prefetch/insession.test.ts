// In-session prefetch: what is asked for after a segment, a playlist, a hover or a hint, and what a hostile hint gets.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { FetchItem } from '../../../agent/prefetch/fetcher.ts';
import { type InSessionOptions, openInSession } from '../../../agent/prefetch/insession.ts';
import { resolveNextObject } from '../../../agent/prefetch/next-object.ts';
import { sampleTimeline } from './sample.ts';

const timelines = new Map(['e1', 'e2'].map((id) => [id, sampleTimeline(id)]));
function start(over: Partial<InSessionOptions> = {}) {
  const items: FetchItem[] = [];
  let now = 1_000_000;
  const session = openInSession({
    timelineOf: async (titleId) => timelines.get(titleId),
    titleRootOf: (path) => /^\/titles\/[^/]+\//.exec(path)?.[0],
    nextOf: (titleId) => (titleId === 'e1' ? 'e2' : undefined),
    fetcher: {
      push: (item) => {
        items.push(item);
        return 'queued';
      },
    },
    now: () => now,
    ...over,
  });
  /** Serves a path of a title and gives what was asked for because of it. */
  const served = async (path: string, hints: readonly string[] = [], over: object = {}) => {
    const before = items.length;
    const title = /^\/titles\/([^/]+)\//.exec(path)?.[1] ?? 'none';
    session.onServed({ path, status: 200, kind: 'segment', title, ...over }, hints);
    await session.idle();
    return items.slice(before);
  };
  const urlsOf = async (...asked: Parameters<typeof served>) => (await served(...asked)).map(({ url }) => url);
  const pass = (ms: number) => {
    now += ms;
  };
  return { session, items, served, urlsOf, pass };
}
const at = (title: string, track: string, file: string | number) =>
  `/titles/${title}/abc/${track}/${typeof file === 'number' ? `${file}.m4s` : file}`;

describe('a served request', () => {
  test('brings the next three segments of the same rendition, for a while, with its reason', async () => {
    const items = await start().served(at('e1', 'low', 2));
    expect(items.map(({ url }) => url)).toEqual([3, 4, 5].map((index) => at('e1', 'low', index)));
    expect(items[0]).toMatchObject({
      titleId: 'e1',
      reason: 'next-segments',
      priority: 'in-session',
      bytes: 500_000,
      expiresAt: 1_015_000,
      why: 'follows segment 2 of low',
    });
  });

  test('asks for each URL once in 20 s, whoever watches', async () => {
    const { urlsOf, pass } = start();
    await urlsOf(at('e1', 'low', 2));
    expect(await urlsOf(at('e1', 'low', 2))).toEqual([]);
    expect(await urlsOf(at('e1', 'low', 3))).toEqual([at('e1', 'low', 6)]);
    pass(20_000);
    expect(await urlsOf(at('e1', 'low', 2))).toHaveLength(3);
  });

  test('a media playlist brings init and first segments; the master what a player starts with', async () => {
    const { urlsOf } = start();
    expect(await urlsOf(at('e1', 'high', 'playlist.m3u8'), [], { kind: 'manifest' })).toEqual(
      ['init.mp4', 0, 1, 2].map((file) => at('e1', 'high', file)),
    );
    expect(await urlsOf('/titles/e2/master.m3u8', [], { kind: 'manifest' })).toEqual(
      ['low', 'sound'].flatMap((track) => ['playlist.m3u8', 'init.mp4', 0].map((file) => at('e2', track, file))),
    );
  });

  test('the last segment brings nothing more of its title', async () => {
    expect(await start({ nextOf: () => undefined }).urlsOf(at('e1', 'low', 9))).toEqual([]);
  });

  test('from 70 % of a title on: the start of what follows it, on the same rendition, once', async () => {
    const { served } = start();
    expect((await served(at('e1', 'high', 5))).map(({ reason }) => reason)).not.toContain('next-episode');
    const items = (await served(at('e1', 'high', 6))).filter(({ reason }) => reason === 'next-episode');
    expect(items.map(({ url }) => url)).toEqual([
      '/titles/e2/master.m3u8',
      ...['playlist.m3u8', 'init.mp4', 0, 1].map((file) => at('e2', 'high', file)),
    ]);
    expect(items[0]).toMatchObject({ titleId: 'e2', why: expect.stringContaining('e1 is past 0.7') });
    expect((await served(at('e1', 'high', 7))).filter(({ reason }) => reason === 'next-episode')).toEqual([]);
  });

  test.each([
    ['no title', { title: undefined }],
    ['an error', { status: 404 }],
    ['something else', { kind: 'other' }],
    ['an unknown title', { title: 'unknown' }],
  ])('%s brings nothing', async (_, over) => {
    expect(await start().urlsOf(at('e1', 'low', 2), [], over)).toEqual([]);
  });

  test("an old package, of which the catalogue knows nothing any more, is followed by the player's hint", async () => {
    const items = await start().served('/titles/e1/old/low/3.m4s', ['4.m4s', '../../../e2/x.m4s']);
    expect(items.map(({ url, reason }) => [url, reason])).toEqual([['/titles/e1/old/low/4.m4s', 'next-object']]);
  });

  test('hints that lead away are counted and not followed', async () => {
    const { session, served } = start();
    expect(
      await served('/titles/x/3.m4s', ['http://169.254.169.254/', '//evil/', '/.nearcast/titles', '3.m4s']),
    ).toEqual([]);
    expect(session.stats()).toMatchObject({ served: 1, refusedHints: 4 });
  });
});

describe('a hover', () => {
  test('brings what a player needs for its first picture, once in a while', async () => {
    const { session, items } = start();
    session.onHover('e1');
    session.onHover('e1');
    await session.idle();
    expect(items.map(({ url }) => url)).toEqual([
      '/titles/e1/master.m3u8',
      ...['low', 'sound'].flatMap((track) => ['playlist.m3u8', 'init.mp4', 0].map((file) => at('e1', track, file))),
    ]);
    expect(items.every(({ reason }) => reason === 'hover')).toBe(true);
    session.onHover('unknown');
    await session.idle();
    expect(session.stats().pushed.hover).toBe(7);
  });
});

describe('trouble', () => {
  test('timelines that fail or hang cost only their prefetch, and only so many wait at once', async () => {
    const failing = start({ timelineOf: () => Promise.reject(new Error('no disk')) });
    expect(await failing.urlsOf(at('e1', 'low', 2))).toEqual([]);
    expect(failing.session.stats().timelineErrors).toBe(1);
    const hanging = start({ timelineOf: () => new Promise(() => undefined) });
    for (let index = 0; index < 300; index += 1) {
      hanging.session.onServed({ path: at('e1', 'low', 1), status: 200, kind: 'segment', title: 'e1' });
    }
    expect(hanging.session.stats().overloaded).toBe(300 - 256);
  });
});

describe('where a hint leads', () => {
  const PATH = '/titles/t/h/v1/seg-3.m4s';
  const ROOT = '/titles/t/';
  test.each([
    ['seg-4.m4s', '/titles/t/h/v1/seg-4.m4s'],
    ['../v2/seg-4.m4s', '/titles/t/h/v2/seg-4.m4s'],
    ['/titles/t/h/v1/seg-4.m4s?part=2', '/titles/t/h/v1/seg-4.m4s?part=2'],
    ['./seg-4.m4s', '/titles/t/h/v1/seg-4.m4s'],
    ['../../../other/seg.m4s', undefined],
    ['../../../t2/seg.m4s', undefined],
    ['%2e%2e/%2e%2e/%2E%2E/other/seg.m4s', undefined],
    ['..%2f..%2f..%2fother/seg.m4s', undefined],
    ['..%5c..%5cother', undefined],
    ['..\\..\\..\\other', undefined],
    ['%252e%252e/seg', undefined],
    ['//169.254.169.254/latest', undefined],
    ['\\\\169.254.169.254\\latest', undefined],
    ['http://127.0.0.1:9464/metrics', undefined],
    ['https://node.invalid/titles/t/x', undefined],
    ['http:seg-4.m4s', undefined],
    ['http://node.invalid/titles/t/x', undefined],
    ['file:///etc/passwd', undefined],
    ['data:,x', undefined],
    ['http://user:pass@node.invalid/titles/t/x', undefined],
    ['/metrics', undefined],
    ['/.nearcast/events', undefined],
    ['seg-4.m4s\r\nHost: evil', undefined],
    ['seg 4.m4s', undefined],
    ['seg-4.m4s#x', undefined],
    ['seg\u0000', undefined],
    ['', undefined],
    ['seg-3.m4s', undefined],
    ['./', undefined],
    ['a'.repeat(3000), undefined],
  ])('%j', (hint, url) => {
    expect(resolveNextObject(PATH, hint, ROOT)).toBe(url);
  });

  test('whatever it is: below the title, or nowhere', () => {
    const piece = fc.constantFrom(
      '..',
      '.',
      '/',
      '//',
      '\\',
      '%2e',
      '%2f',
      'a',
      'titles',
      't',
      ':',
      '@',
      '?',
      '#',
      'http:',
      '\t',
      '%00',
      'é',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.webUrl(),
          fc.array(piece).map((pieces) => pieces.join('')),
        ),
        (hint) => {
          const url = resolveNextObject(PATH, hint, ROOT);
          if (url === undefined) return;
          expect(url.startsWith(ROOT)).toBe(true);
          expect(new URL(url, 'http://other').pathname).toBe(url.split('?')[0]);
          expect(url.split('?')[0]?.split('/')).not.toContain('..');
        },
      ),
      { numRuns: 2000 },
    );
  });
});
