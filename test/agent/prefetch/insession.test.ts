// In-session prefetch: what is asked for after a segment, a playlist, a hover or a hint, and what a hostile hint gets.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Intent } from '../../../agent/predict/anticipate.ts';
import type { FetchItem } from '../../../agent/prefetch/fetcher.ts';
import { type InSessionOptions, openInSession, type ServedPart } from '../../../agent/prefetch/insession.ts';
import { resolveNextObject } from '../../../agent/prefetch/next-object.ts';
import { openUsefulness } from '../../../agent/prefetch/usefulness.ts';
import { sampleTimeline } from './sample.ts';

const timelines = new Map(['e1', 'e2'].map((id) => [id, sampleTimeline(id)]));
const GOES_ON: Intent = { continue: 0.98, pause: 0.005, seek: 0.005, next: 0.005, leave: 0.005 };

/** In-session prefetch over a fetcher that only takes notes. */
function start(over: Partial<InSessionOptions> = {}) {
  const items: FetchItem[] = [];
  const cancelled: string[] = [];
  let waiting: FetchItem[] = [];
  const held = new Set<string>();
  let now = 1_000_000;
  const usefulness = openUsefulness({ maxWastedRatio: 0.2 });
  const session = openInSession({
    timelineOf: async (titleId) => timelines.get(titleId),
    titleRootOf: (path) => /^\/titles\/[^/]+\//.exec(path)?.[0],
    nextOf: (titleId) => (titleId === 'e1' ? 'e2' : undefined),
    fetcher: {
      push: (item) => {
        items.push(item);
        waiting.push(item);
        return 'queued';
      },
      cancel: (matches) => {
        const gone = waiting.filter(matches);
        waiting = waiting.filter((item) => !gone.includes(item));
        cancelled.push(...gone.map(({ url }) => url));
        return gone.length;
      },
    },
    usefulness,
    isHeld: (url) => held.has(url),
    intentOf: () => GOES_ON,
    aheadSeconds: 12,
    now: () => now,
    ...over,
  });
  /** Serves a path of a title and gives what was asked for because of it. */
  const served = async (path: string, hints: readonly string[] = [], more: Partial<ServedPart> = {}) => {
    const before = items.length;
    const title = /^\/titles\/([^/]+)\//.exec(path)?.[1] ?? 'none';
    session.onServed({ path, status: 200, kind: 'segment', isHit: false, title, ...more }, hints);
    await session.idle();
    return items.slice(before);
  };
  const urlsOf = async (...asked: Parameters<typeof served>) => (await served(...asked)).map(({ url }) => url);
  const pass = (ms: number) => {
    now += ms;
  };
  return { session, items, cancelled, held, usefulness, served, urlsOf, pass };
}
const at = (title: string, track: string, file: string | number) =>
  `/titles/${title}/abc/${track}/${typeof file === 'number' ? `${file}.m4s` : file}`;
const segments = (track: string, ...indexes: readonly number[]) => indexes.map((index) => at('e1', track, index));
/** A player whose throughput is that of `kbps`. */
const by = (kbps: number, sid?: string) => ({
  viewing: { throughputKbps: kbps, ...(sid === undefined ? {} : { sid }) },
});

describe('a served request', () => {
  test('brings the next segments of the same rendition, the sooner due the sooner, with their reason', async () => {
    const items = await start().served(at('e1', 'low', 2), [], by(1700));
    expect(items.map(({ url }) => url)).toEqual(segments('low', 3, 4, 5, 6));
    expect(items[0]).toMatchObject({
      titleId: 'e1',
      reason: 'next-segments',
      priority: 'in-session',
      bytes: 500_000,
      dueAt: 1_000_000,
      expiresAt: 1_020_000,
      why: 'follows segment 2 of low',
    });
    expect(items.map(({ dueAt }) => dueAt)).toEqual([0, 4, 8, 12].map((seconds) => 1_000_000 + seconds * 1000));
  });

  test('brings the rendition that the throughput allows, and of the other only what comes next', async () => {
    expect(await start().urlsOf(at('e1', 'low', 2), [], by(20_000))).toEqual([
      ...segments('high', 3, 4, 5, 6),
      ...segments('low', 3, 4),
    ]);
    const falls = { viewing: { throughputKbps: 2500, sentBytes: 1_000_000, sentMs: 8000 } };
    const down = await start().served(at('e1', 'high', 2), [], falls);
    expect(down.filter(({ reason }) => reason === 'rendition').map(({ url }) => url)).toEqual(
      segments('low', 3, 4, 5, 6),
    );
    const bounded = { viewing: { throughputKbps: 20_000, topBitrateKbps: 1000 } };
    expect(await start().urlsOf(at('e1', 'low', 2), [], bounded)).toEqual(segments('low', 3, 4, 5, 6));
  });

  test('asks for nothing that the cache has, and for each URL once, whoever watches', async () => {
    const { urlsOf, pass, held } = start();
    held.add(at('e1', 'low', 4));
    expect(await urlsOf(at('e1', 'low', 2), [], by(1700))).toEqual(segments('low', 3, 5, 6));
    expect(await urlsOf(at('e1', 'low', 2), [], by(1700))).toEqual([]);
    expect(await urlsOf(at('e1', 'low', 3), [], by(1700))).toEqual(segments('low', 7));
    pass(20_000);
    expect(await urlsOf(at('e1', 'low', 2), [], by(1700))).toHaveLength(3);
  });

  test('a media playlist brings init and first segments; the master what a player starts with', async () => {
    const { urlsOf } = start();
    const playlist = await urlsOf(at('e1', 'high', 'playlist.m3u8'), [], { kind: 'manifest' });
    expect(playlist.slice(0, 3)).toEqual(['init.mp4', 0, 1].map((file) => at('e1', 'high', file)));
    expect(await urlsOf('/titles/e2/master.m3u8', [], { kind: 'manifest' })).toEqual(
      ['low', 'sound'].flatMap((track) => ['playlist.m3u8', 'init.mp4', 0].map((file) => at('e2', track, file))),
    );
  });

  test('the playlist of another rendition in the middle of a title goes on from there', async () => {
    const { served, urlsOf } = start();
    await served(at('e1', 'low', 3), [], by(1700, 's1'));
    const urls = await urlsOf(at('e1', 'high', 'playlist.m3u8'), [], { kind: 'manifest', ...by(20_000, 's1') });
    expect(urls).toEqual(segments('high', 4, 5, 6, 7));
  });

  test('the last segment brings nothing more of its title', async () => {
    const urls = await start({ nextOf: () => undefined }).urlsOf(at('e1', 'low', 9), [], by(1700));
    expect(urls).toEqual([]);
  });

  test('from 70 % of a title on: the start of what follows it, on the same rendition, once', async () => {
    const { served } = start();
    const reasonsOf = (items: readonly FetchItem[]) => items.filter(({ reason }) => reason === 'next-episode');
    expect(reasonsOf(await served(at('e1', 'high', 5)))).toEqual([]);
    const items = reasonsOf(await served(at('e1', 'high', 6)));
    expect(items.map(({ url }) => url)).toEqual(
      expect.arrayContaining([
        '/titles/e2/master.m3u8',
        ...['playlist.m3u8', 'init.mp4', 0, 1].map((file) => at('e2', 'high', file)),
      ]),
    );
    expect(items[0]).toMatchObject({ titleId: 'e2', why: expect.stringContaining('e1 is near its end') });
    expect(reasonsOf(await served(at('e1', 'high', 7)))).toEqual([]);
  });

  test.each<readonly [string, Partial<ServedPart>]>([
    ['an error', { status: 404 }],
    ['something else', { kind: 'other' }],
    ['an unknown title', { title: 'unknown' }],
  ])('%s brings nothing', async (_name, over) => {
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

describe('giving up', () => {
  const watching = async (sid: string | undefined) => {
    const it = start();
    await it.served(at('e1', 'low', 2), [], by(1700, sid));
    return it;
  };
  const happens = (type: string, sid?: string, titleId = 'e1') => ({
    type,
    titleId,
    ...(sid === undefined ? {} : { sid }),
  });

  test('a pause keeps what is asked for next, a seek and a stop keep nothing, another title gives up the one before', async () => {
    for (const [type, titleId, kept] of [
      ['pause', 'e1', 2],
      ['seek', 'e1', 0],
      ['stop', 'e1', 0],
      ['open', 'e2', 0],
      ['open', 'e1', 4],
      ['rate', 'e1', 4],
    ] as const) {
      const { session, cancelled } = await watching('s1');
      session.onHappened(happens(type, 's1', titleId));
      expect([type, titleId, cancelled]).toEqual([type, titleId, segments('low', 3, 4, 5, 6).slice(kept)]);
    }
  });

  test('another place, and another rendition, give up what was for the old one', async () => {
    const place = start({ nextOf: () => undefined });
    await place.served(at('e1', 'low', 2), [], by(1700, 's1'));
    const jumped = await place.urlsOf(at('e1', 'low', 9), [], by(1700, 's1'));
    // What lies just behind may be gone back to.
    expect(place.cancelled).toEqual(segments('low', 3, 4, 5));
    expect(jumped).toEqual(segments('low', 7, 8));
    const rendition = await watching('s1');
    await rendition.served(at('e1', 'high', 3), [], by(20_000, 's1'));
    expect(rendition.cancelled).toEqual(segments('low', 3, 4, 5, 6));
  });

  test('what somebody else wants too stays', async () => {
    const { session, cancelled, served } = await watching('s1');
    await served(at('e1', 'low', 4), [], by(1700, 's2'));
    session.onHappened(happens('stop', 's1'));
    expect(cancelled).toEqual(segments('low', 3, 4));
    session.onHappened(happens('stop', 's2'));
    expect(cancelled.slice(2)).toEqual(segments('low', 5, 6, 7, 8));
  });

  test('of whom nothing is kept: given up when it seems to be a single viewer, and not when there are two', async () => {
    const alone = await watching(undefined);
    await alone.served(at('e1', 'low', 3), [], by(1700));
    alone.session.onHappened(happens('stop'));
    expect(alone.cancelled).toEqual(segments('low', 3, 4, 5, 6, 7));
    const two = await watching(undefined);
    await two.served(at('e1', 'low', 2), [], by(1700));
    two.session.onHappened(happens('stop'));
    expect(two.cancelled).toEqual([]);
  });

  test('a session that is anticipated to leave keeps what it asks for next, one that is gone keeps nothing', async () => {
    const { session, cancelled } = await watching('s1');
    session.onLeaving('s1');
    expect(cancelled).toEqual(segments('low', 5, 6));
    session.forget((sid) => sid !== 's1');
    expect(cancelled.slice(2)).toEqual(segments('low', 3, 4));
  });

  test('the less likely the viewer stays, the less is fetched', async () => {
    const leaves: Intent = { continue: 0.1, pause: 0, seek: 0, next: 0.1, leave: 0.8 };
    expect(await start({ intentOf: () => leaves }).urlsOf(at('e1', 'low', 2), [], by(1700))).toEqual(
      segments('low', 3),
    );
  });
});

describe('a look at a title', () => {
  const hover = (titleId: string, sid?: string) => ({ type: 'hover', titleId, ...(sid === undefined ? {} : { sid }) });

  test('brings what a player needs for its first picture, once in a while', async () => {
    const { session, items } = start();
    session.onHappened(hover('e1'));
    session.onHappened(hover('e1'));
    await session.idle();
    expect(items.map(({ url }) => url)).toEqual([
      '/titles/e1/master.m3u8',
      ...['low', 'sound'].flatMap((track) => ['playlist.m3u8', 'init.mp4', 0].map((file) => at('e1', track, file))),
    ]);
    expect(items.every(({ reason }) => reason === 'hover')).toBe(true);
    session.onHappened(hover('unknown'));
    await session.idle();
    expect(items).toHaveLength(7);
  });

  test('that was only a look is given up, unless it is played', async () => {
    const { session, cancelled, items } = start();
    session.onHappened(hover('e1', 's1'));
    await session.idle();
    session.onHappened({ type: 'unhover', titleId: 'e1', sid: 's1' });
    expect(cancelled).toHaveLength(items.length);
    session.onHappened(hover('e1', 's1'));
    await session.idle();
    session.onHappened({ type: 'open', titleId: 'e1', sid: 's1' });
    session.onHappened({ type: 'unhover', titleId: 'e1', sid: 's1' });
    expect(cancelled).toHaveLength(7);
  });
});

describe('places that viewers jump to', () => {
  test('are fetched when jumps are frequent and known', async () => {
    const jumps: Intent = { ...GOES_ON, continue: 0.7, seek: 0.28 };
    const { session, urlsOf } = start({ intentOf: () => jumps });
    for (let jump = 0; jump < 40; jump += 1)
      session.onHappened({ type: 'seek', titleId: 'e1', positionSeconds: 33, sid: `s${jump}` });
    expect(await urlsOf(at('e1', 'low', 0), [], by(1700))).toEqual(expect.arrayContaining(segments('low', 8, 9)));
    expect(await start({ intentOf: () => jumps }).urlsOf(at('e1', 'low', 0), [], by(1700))).not.toContain(
      at('e1', 'low', 8),
    );
  });
});

describe('trouble', () => {
  test('timelines that fail or hang cost only their prefetch, and only so many wait at once', async () => {
    const failing = start({ timelineOf: () => Promise.reject(new Error('no disk')) });
    expect(await failing.urlsOf(at('e1', 'low', 2))).toEqual([]);
    expect(failing.session.stats().timelineErrors).toBe(1);
    const hanging = start({ timelineOf: () => new Promise(() => undefined) });
    for (let index = 0; index < 300; index += 1) {
      hanging.session.onServed({ path: at('e1', 'low', 1), status: 200, kind: 'segment', isHit: true, title: 'e1' });
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
      { numRuns: 500 },
    );
  });
});
