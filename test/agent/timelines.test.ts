// Titles of other publishers, through a real cache before a real origin: their timelines, previews and limits.
import * as hlsParser from 'hls-parser';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CatalogueTitle } from '../../agent/catalogue.ts';
import { Hazard } from '../../agent/predict/anticipate.ts';
import { followPlace, reachedRatio } from '../../agent/prefetch/follow.ts';
import { runOffPeak } from '../../agent/prefetch/offpeak.ts';
import { placeOf } from '../../agent/prefetch/timeline.ts';
import { timelinePlaylist } from '../../agent/preview/playlist.ts';
import { openTimelines, type Timelines } from '../../agent/timelines.ts';
import { openNode, type TestNode } from '../cache/http/node.ts';

const START = { positionSeconds: 0, durationSeconds: undefined, last: 'start', sinceSeconds: 0 } as const;
const FOLLOWING = { viewing: {}, intent: new Hazard().intent(START), aheadSeconds: 60, landings: [], isJump: false };
const HLS = 'application/vnd.apple.mpegurl';
const DASH = 'application/dash+xml';
const MASTER = '/films/f/master.m3u8';

const NO_PACKAGES = { published: () => undefined, package: () => Promise.resolve(undefined) };

let node: TestNode;
let timelines: Timelines;
let title: CatalogueTitle;
let nowMs: number;
beforeEach(async () => {
  node = await openNode();
  nowMs = 1_000_000;
  title = { id: 'f', manifestUrl: MASTER };
  timelines = openTimelines({
    catalogue: { title: (id) => (id === title.id ? title : undefined), ...NO_PACKAGES },
    cache: node.cache,
    now: () => nowMs,
  });
});
afterEach(() => node.close());

function serve(path: string, lines: readonly string[], contentType = HLS): void {
  const headers = { 'content-type': contentType, 'cache-control': 'max-age=60' };
  node.origin.set(path, { body: lines.join('\n'), headers });
}

const variant = (bandwidth: number, url: string) => [`#EXT-X-STREAM-INF:BANDWIDTH=${bandwidth}`, url];
const SOUND = '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="en",URI="a/p.m3u8"';
/** A media playlist of `count` segments of 4 s; `before` gives the lines in front of each. */
function media(count: number, before: (index: number) => readonly string[] = () => [], end = ['#EXT-X-ENDLIST']) {
  const segments = Array.from({ length: count }, (_, index) => [...before(index), '#EXTINF:4,', `${index}.m4s`]).flat();
  return ['#EXTM3U', '#EXT-X-TARGETDURATION:4', ...segments, ...end];
}
const first = (lines: readonly string[]) => (index: number) => (index === 0 ? lines : []);
const MAP = '#EXT-X-MAP:URI="init.mp4"';
const KEY = '#EXT-X-KEY:METHOD=AES-128,URI="k/1"';
const SKD = '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://film",KEYFORMAT="com.apple.streamingkeydelivery"';

/** Of 30 segments, the four that begin a preview's moments: evenly over the first 85 % of 120 s. */
const SHOWN = [0, 7, 13, 20];

function serveLadder(playlist = media(30, first([MAP]))): void {
  serve(MASTER, [
    '#EXTM3U',
    SOUND,
    ...variant(3_000_000, 'v3/p.m3u8'),
    ...variant(1_000_000, 'v1/p.m3u8'),
    ...variant(2_000_000, '/films/f/v2/p.m3u8'),
  ]);
  for (const name of ['v1', 'v2', 'v3', 'a']) serve(`/films/f/${name}/p.m3u8`, playlist);
}

async function previewOf() {
  const timeline = await timelines.forPreview('f');
  const text = timeline && timelinePlaylist(timeline);
  if (text === undefined) return undefined;
  const playlist = hlsParser.parse(text);
  if (playlist.isMasterPlaylist) throw new Error('not a media playlist');
  // Sound: isMasterPlaylist was just ruled out, and the library's union has only these two members.
  return { text, segments: (playlist as hlsParser.types.MediaPlaylist).segments };
}

/** URLs that a night would fetch with all the room in the world. */
async function runNight(): Promise<readonly string[]> {
  const pushed: string[] = [];
  await runOffPeak({
    demand: () => [{ titleId: 'f', score: 1, reasons: [] }],
    timelineOf: timelines.of,
    isHeld: () => false,
    known: () => [],
    costOf: () => 1,
    open: () => undefined,
    expected: () => 9,
    chance: (_titleId, expected) => 1 - Math.exp(-expected),
    protect: () => undefined,
    isProtected: () => false,
    freeBytes: 1e9,
    capacityBytes: 1e9,
    fetcher: {
      push: ({ url }) => {
        pushed.push(url);
        return 'held';
      },
      cancel: () => 0,
    },
    budgetBytes: 1e9,
    now: () => nowMs,
    signal: new AbortController().signal,
  });
  return pushed;
}

describe('an HLS title', () => {
  test('is a timeline of its renditions, sound as sound, each playlist read once for all who ask', async () => {
    serveLadder();
    const [timeline] = await Promise.all([timelines.of('f'), timelines.of('f'), timelines.forPreview('f')]);
    expect(timeline).toMatchObject({ titleId: 'f', masterUrl: MASTER, durationSeconds: 120 });
    expect(timeline?.tracks.map(({ kind, bandwidthBps, playlistUrl }) => [kind, bandwidthBps, playlistUrl])).toEqual([
      ['video', 3_000_000, '/films/f/v3/p.m3u8'],
      ['video', 1_000_000, '/films/f/v1/p.m3u8'],
      ['video', 2_000_000, '/films/f/v2/p.m3u8'],
      ['audio', 128_000, '/films/f/a/p.m3u8'],
    ]);
    expect(timeline?.tracks[0]).toMatchObject({ initUrl: '/films/f/v3/init.mp4', parts: { length: 30 } });
    expect(node.origin.seen()).toHaveLength(5);
  });

  test('is previewed from its middle rendition, with the init segment', async () => {
    serveLadder();
    const preview = await previewOf();
    expect(preview?.segments.map(({ uri }) => uri)).toEqual(SHOWN.map((at) => `/films/f/v2/${at}.m4s`));
    expect(preview?.segments.every(({ map }) => map?.uri === '/films/f/v2/init.mp4')).toBe(true);
    expect(preview?.text).not.toContain('EXT-X-KEY');
  });

  test('is fetched at night: manifests, init segments and every segment of every rendition', async () => {
    serveLadder();
    const urls = await runNight();
    expect(new Set(urls).size).toBe(1 + 4 * (1 + 1 + 30));
    expect(urls.slice(0, 5)).toContain(MASTER);
    expect(urls).toEqual(expect.arrayContaining(['/films/f/v3/p.m3u8', '/films/f/a/init.mp4', '/films/f/v1/29.m4s']));
  });

  test('with a variant of sound alone is not previewed by it', async () => {
    serve(MASTER, [
      '#EXTM3U',
      '#EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS="mp4a.40.2"',
      'a/p.m3u8',
      '#EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS="avc1.64001f,mp4a.40.2"',
      'v/p.m3u8',
    ]);
    for (const name of ['a', 'v']) serve(`/films/f/${name}/p.m3u8`, media(30));
    expect((await previewOf())?.segments[0]?.uri).toBe('/films/f/v/0.m4s');
    expect((await timelines.of('f'))?.tracks.map(({ kind }) => kind)).toEqual(['audio', 'video']);
  });

  test('is read again once it may have changed', async () => {
    serveLadder();
    await timelines.of('f');
    serve('/films/f/v2/p.m3u8', media(60));
    node.passSeconds(100);
    expect((await timelines.of('f'))?.durationSeconds).toBe(120);
    nowMs += 31_000;
    expect((await timelines.of('f'))?.durationSeconds).toBe(240);
  });

  test('of byte ranges is previewed by ranges, and never prefetched as a file', async () => {
    const range = (at: number) => `#EXT-X-BYTERANGE:1000@${700 + at * 1000}`;
    const map = '#EXT-X-MAP:URI="all.mp4",BYTERANGE="700@0"';
    const lines = Array.from({ length: 30 }, (_, at) => ['#EXTINF:4,', range(at), 'all.mp4']).flat();
    serve(MASTER, ['#EXTM3U', '#EXT-X-TARGETDURATION:4', map, ...lines, '#EXT-X-ENDLIST']);
    const preview = await previewOf();
    expect(preview?.segments.map(({ uri, byterange }) => [uri, byterange])).toEqual(
      SHOWN.map((at) => ['/films/f/all.mp4', { offset: 700 + at * 1000, length: 1000 }]),
    );
    expect(preview?.segments[0]?.map).toMatchObject({ uri: '/films/f/all.mp4', byterange: { offset: 0, length: 700 } });
    expect((await timelines.of('f'))?.tracks.map(({ parts, initUrl }) => [parts, initUrl])).toEqual([[[], undefined]]);
  });

  test('with tokens in its URLs is followed by their paths', async () => {
    const lines = Array.from({ length: 3 }, (_, at) => ['#EXTINF:4,', `${at}.ts?token=${at}`]).flat();
    serve(MASTER, ['#EXTM3U', ...lines, '#EXT-X-ENDLIST']);
    const timeline = await timelines.of('f');
    const place = timeline && placeOf(timeline, '/films/f/0.ts');
    const ahead = timeline && place && followPlace(timeline, place, FOLLOWING);
    expect(ahead?.map(({ url }) => url)).toEqual(['/films/f/1.ts?token=1', '/films/f/2.ts?token=2']);
  });

  test('whose segments differ by their query alone is not followed at random', async () => {
    const lines = Array.from({ length: 3 }, (_, at) => ['#EXTINF:4,', `part?n=${at}`]).flat();
    serve(MASTER, ['#EXTM3U', ...lines, '#EXT-X-ENDLIST']);
    const timeline = await timelines.of('f');
    expect(timeline && placeOf(timeline, '/films/f/part')).toBeUndefined();
  });
});

describe('a sealed HLS title', () => {
  test('is previewed with its key on this node, and the IV that each segment has by its number', async () => {
    serveLadder(media(30, first(['#EXT-X-MEDIA-SEQUENCE:100', KEY])));
    const preview = await previewOf();
    expect(preview?.segments.map(({ key }) => [key?.method, key?.uri])).toEqual(
      Array(4).fill(['AES-128', '/films/f/v2/k/1']),
    );
    expect(preview?.text.match(/IV=0x0{24}\w{8}/g)?.map((iv) => Number.parseInt(iv.slice(-8), 16))).toEqual([
      100, 107, 113, 120,
    ]);
    expect(node.origin.seen().some(({ url }) => url.includes('/k/'))).toBe(false);
  });

  test('of several formats keeps them all, as they are', async () => {
    const wide = '#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI="data:text/plain;base64,AA==",KEYFORMAT="urn:uuid:edef8ba9"';
    const far = '#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI="https://keys.test/k",KEYFORMAT="com.microsoft.playready"';
    serveLadder(media(30, first([SKD, wide, far, MAP])));
    const lines = (await previewOf())?.text.split('\n') ?? [];
    expect(lines.filter((line) => line.startsWith('#EXT-X-KEY'))).toEqual([SKD, wide, far]);
    expect(lines.indexOf(far)).toBeLessThan(lines.findIndex((line) => line.startsWith('#EXT-X-MAP')));
  });

  test('with an init segment in the clear before the key keeps it so', async () => {
    serveLadder(media(30, first([MAP, `${KEY},IV=0x${'0'.repeat(31)}1`])));
    const lines = (await previewOf())?.text.split('\n') ?? [];
    expect(lines.findIndex((line) => line.startsWith('#EXT-X-MAP'))).toBeLessThan(
      lines.findIndex((line) => line.startsWith('#EXT-X-KEY')),
    );
  });

  test('that is clear in between says so, and ends a format that does not come back', async () => {
    const before = (at: number) =>
      at === 0 ? [SKD] : at === 7 ? ['#EXT-X-KEY:METHOD=NONE', `${KEY},IV=0x${'0'.repeat(31)}1`] : [];
    serveLadder(media(30, before));
    const keys = ((await previewOf())?.text.split('\n') ?? []).filter((line) => line.startsWith('#EXT-X-KEY'));
    expect(keys).toEqual([
      SKD,
      '#EXT-X-KEY:METHOD=NONE',
      `#EXT-X-KEY:METHOD=AES-128,URI="/films/f/v2/k/1",IV=0x${'0'.repeat(31)}1`,
    ]);
  });
});

describe('a DASH title', () => {
  const mpd = (protection: string) => [
    '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT120S"><Period>',
    `<AdaptationSet mimeType="video/mp4">${protection}<Representation id="v" bandwidth="1000000">`,
    '<SegmentTemplate timescale="1" duration="4" startNumber="1" initialization="v/i.mp4" media="v/$Number$.m4s"/>',
    '</Representation></AdaptationSet></Period></MPD>',
  ];

  test('in the clear is previewed', async () => {
    serve(MASTER, mpd(''), DASH);
    expect((await previewOf())?.segments.map(({ uri }) => uri)).toEqual(SHOWN.map((at) => `/films/f/v/${at + 1}.m4s`));
  });

  test('under DRM is prefetched but not previewed', async () => {
    serve(MASTER, mpd('<ContentProtection schemeIdUri="urn:mpeg:dash:mp4protection:2011" value="cenc"/>'), DASH);
    expect((await timelines.of('f'))?.tracks[0]?.parts).toHaveLength(30);
    expect(await timelines.forPreview('f')).toBeUndefined();
  });

  test('in one file is neither fetched ahead nor previewed whole', async () => {
    const file =
      '<Representation id="v" bandwidth="1"><BaseURL>all.mp4</BaseURL><SegmentBase indexRange="0-99"/></Representation>';
    serve(
      MASTER,
      [...mpd('').slice(0, 1), `<AdaptationSet mimeType="video/mp4">${file}</AdaptationSet></Period></MPD>`],
      DASH,
    );
    expect((await timelines.of('f'))?.tracks.flatMap(({ parts }) => parts) ?? []).toEqual([]);
    expect(await timelines.forPreview('f')).toBeUndefined();
  });
});

describe('a live title', () => {
  test('is followed in session, read again soon, and never fetched at night', async () => {
    serve(MASTER, media(5, undefined, []));
    const timeline = await timelines.of('f');
    const place = timeline && placeOf(timeline, '/films/f/3.m4s');
    const ahead = timeline && place && followPlace(timeline, place, FOLLOWING);
    expect(ahead?.map(({ url }) => url)).toEqual(['/films/f/4.m4s']);
    expect(timeline && place && reachedRatio(timeline, place)).toBe(0);
    serve(MASTER, media(6, undefined, []));
    node.passSeconds(100);
    nowMs += 3_000;
    expect((await timelines.of('f'))?.tracks[0]?.parts).toHaveLength(6);
    expect(await runNight()).toEqual([]);
  });
});

describe('what cannot be used is no timeline, and asks nobody else', () => {
  test.each<[name: string, manifestUrl: string]>([
    ['another host', 'https://elsewhere.test/f/master.m3u8'],
    ['another scheme', 'file:///etc/passwd'],
    ['no URL', 'http://'],
  ])('a manifest at %s', async (_name, manifestUrl) => {
    title = { id: 'f', manifestUrl };
    expect([await timelines.of('f'), await timelines.forPreview('f')]).toEqual([undefined, undefined]);
    expect(node.origin.seen()).toEqual([]);
  });

  test.each<[name: string, lines: readonly string[]]>([
    ['HTML', ['<html></html>']],
    ['nothing', ['']],
    ['a key that is none', media(3, first(['#EXT-X-KEY:URI="k']))],
    ['variables', ['#EXTM3U', '#EXT-X-DEFINE:NAME="a",VALUE="b"', '#EXTINF:4,', '{$a}']],
    ['segments of another host', ['#EXTM3U', '#EXTINF:4,', 'http://127.0.0.1:1/a.ts', '#EXT-X-ENDLIST']],
    [
      'more than is read of one',
      ['#EXTM3U', ...Array<string>(90_000).fill(`# ${'x'.repeat(48)}`), '#EXTINF:4,', 'a.ts'],
    ],
  ])('%s', async (_name, lines) => {
    serve(MASTER, lines);
    const timeline = await timelines.of('f');
    expect(timeline?.tracks.flatMap(({ parts }) => parts) ?? []).toEqual([]);
    expect(await timelines.forPreview('f')).toBeUndefined();
    expect(node.origin.seen().map(({ url }) => url)).toEqual([MASTER]);
  });

  test('a 404, and it is not asked again for a while', async () => {
    expect(await timelines.of('f')).toBeUndefined();
    expect(await timelines.forPreview('f')).toBeUndefined();
    expect(node.origin.seen(MASTER)).toHaveLength(1);
  });

  test('renditions of other hosts and broken ones are left out, those here are taken', async () => {
    serve(MASTER, [
      '#EXTM3U',
      ...variant(1, 'http://127.0.0.1:1/v/p.m3u8'),
      ...variant(2, '//elsewhere.test/p.m3u8'),
      ...variant(3, 'gone/p.m3u8'),
      ...variant(4, 'v/p.m3u8'),
      ...variant(5, 'v/p.m3u8'),
    ]);
    serve('/films/f/v/p.m3u8', media(5));
    expect((await timelines.of('f'))?.tracks.map(({ playlistUrl }) => playlistUrl)).toEqual(['/films/f/v/p.m3u8']);
    expect(node.origin.seen()).toHaveLength(3);
  });

  test('of a hundred renditions twelve are read', async () => {
    serve(MASTER, ['#EXTM3U', ...Array.from({ length: 100 }, (_, at) => variant(at, `${at}.m3u8`)).flat()]);
    await timelines.of('f');
    expect(node.origin.seen()).toHaveLength(13);
  });

  test('a URL that would write tags of its own does not come into a preview', async () => {
    const evil = '#EXT-X-KEY:METHOD=AES-128,URI="k%0a#EXT-X-ENDLIST"';
    serve(MASTER, media(30, first([evil, '#EXT-X-MAP:URI="i%22,BYTERANGE=%221@1"'])));
    const preview = await previewOf();
    expect(preview?.segments).toHaveLength(4);
    expect(preview?.text.match(/ENDLIST\n/g)).toHaveLength(1);
  });
});
