// The manifest timeline: real-looking playlists and MPDs, and the limits.
import { describe, expect, test, vi } from 'vitest';
import type { Manifest } from '../../../cache/manifest/manifest.ts';
import { nextSegments, parseManifest, segmentsBetween } from '../../../cache/manifest/timeline.ts';

const HLS = 'application/vnd.apple.mpegurl';
const DASH = 'application/dash+xml';
const BASE = 'http://origin.test/titles/a/v720/playlist.m3u8?x=1';

function parsed(text: string, url = BASE, contentType = HLS, nowMs = 0): Manifest {
  const manifest = parseManifest(text, url, contentType, nowMs);
  if ('problem' in manifest) throw new Error(manifest.problem);
  return manifest;
}

function problem(text: string, contentType = HLS, nowMs = 0): string {
  const manifest = parseManifest(text, BASE, contentType, nowMs);
  return 'problem' in manifest ? manifest.problem : 'none';
}

const VOD = `#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:4
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-MAP:URI="init.mp4"
#EXTINF:4.004,
00001.m4s
#EXTINF:2.5,
/abs/00002.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="other.mp4",BYTERANGE="100@20"
#EXTINF:1,
https://cdn.test/00003.m4s#f
#EXT-X-ENDLIST
`;

describe('HLS media playlists', () => {
  test('segments in order with absolute URLs, times and the init segment in force', () => {
    const manifest = parsed(VOD);
    expect(manifest).toMatchObject({ protocol: 'hls', isLive: false, isSealed: false });
    expect(manifest.renditions).toHaveLength(1);
    const init = { url: 'http://origin.test/titles/a/v720/init.mp4' };
    const other = { url: 'http://origin.test/titles/a/v720/other.mp4', byteRange: { offset: 20, length: 100 } };
    const rendition = BASE;
    expect(manifest.renditions[0]?.segments).toEqual([
      { rendition, url: 'http://origin.test/titles/a/v720/00001.m4s', startSeconds: 0, durationSeconds: 4.004, init },
      { rendition, url: 'http://origin.test/abs/00002.m4s', startSeconds: 4.004, durationSeconds: 2.5, init },
      { rendition, url: 'https://cdn.test/00003.m4s', startSeconds: 6.504, durationSeconds: 1, init: other },
    ]);
  });

  test('live: no ENDLIST', () => {
    const live = parsed('#EXTM3U\r\n#EXT-X-TARGETDURATION:2\r\n#EXT-X-MEDIA-SEQUENCE:77\r\n#EXTINF:2,\r\n77.ts\r\n');
    expect(live.isLive).toBe(true);
    expect(live.renditions[0]?.segments.map(({ url }) => url)).toEqual(['http://origin.test/titles/a/v720/77.ts']);
    expect(live.renditions[0]?.segments[0]).not.toHaveProperty('init');
  });

  test('byte ranges: explicit, and following on the one before', () => {
    const text = `#EXTM3U
#EXT-X-MAP:URI="all.mp4",BYTERANGE="700@0"
#EXTINF:4,
#EXT-X-BYTERANGE:1000@700
all.mp4
#EXTINF:4,
#EXT-X-BYTERANGE:500
all.mp4
#EXT-X-ENDLIST`;
    const manifest = parsed(text);
    const ranges = manifest.renditions[0]?.segments.map(({ byteRange }) => byteRange);
    expect(ranges).toEqual([
      { offset: 700, length: 1000 },
      { offset: 1700, length: 500 },
    ]);
    const url = 'http://origin.test/titles/a/v720/all.mp4';
    expect(nextSegments(manifest, url, 5, 700).map(({ byteRange }) => byteRange?.offset)).toEqual([1700]);
    expect(nextSegments(manifest, url, 5, 1800)).toEqual([]);
  });

  test.each([
    ['#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI="data:text/plain;base64,AAAA",KEYFORMAT="urn:uuid:x"', true],
    ['#EXT-X-KEY:METHOD=AES-128,URI="key"', true],
    ['#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI="skd://x"', true],
    ['#EXT-X-KEY:METHOD=NONE', false],
    ['#EXT-X-KEYS:METHOD=AES-128', false],
  ])('%s: sealed is %s', (line, isSealed) => {
    expect(parsed(`#EXTM3U\n${line}\n#EXTINF:4,\na.m4s\n`).isSealed).toBe(isSealed);
  });
});

describe('HLS multivariant playlists', () => {
  test('variants with rates, and the tracks of their groups', () => {
    const text = `#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="en",LANGUAGE="en",DEFAULT=YES,URI="a/playlist.m3u8"
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="text",NAME="de",LANGUAGE="de",URI="t/playlist.m3u8"
#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID="cc",NAME="en",INSTREAM-ID="CC1"
#EXT-X-STREAM-INF:BANDWIDTH=2000000,AVERAGE-BANDWIDTH=1500000,CODECS="avc1.64001F,mp4a.40.2",RESOLUTION=1280x720,AUDIO="audio"
v720/playlist.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=500000,RESOLUTION=640x360,AUDIO="audio"
v360/playlist.m3u8
`;
    const base = 'http://origin.test/titles/a/';
    expect(parsed(text, `${base}master.m3u8`)).toEqual({
      protocol: 'hls',
      isLive: false,
      isSealed: false,
      renditions: [
        {
          id: `${base}v720/playlist.m3u8`,
          url: `${base}v720/playlist.m3u8`,
          kind: 'video',
          bandwidthBps: 2_000_000,
          averageBandwidthBps: 1_500_000,
          codecs: 'avc1.64001F,mp4a.40.2',
          width: 1280,
          height: 720,
          segments: [],
        },
        {
          id: `${base}v360/playlist.m3u8`,
          url: `${base}v360/playlist.m3u8`,
          kind: 'video',
          bandwidthBps: 500_000,
          width: 640,
          height: 360,
          segments: [],
        },
        { id: `${base}a/playlist.m3u8`, url: `${base}a/playlist.m3u8`, kind: 'audio', language: 'en', segments: [] },
        { id: `${base}t/playlist.m3u8`, url: `${base}t/playlist.m3u8`, kind: 'text', language: 'de', segments: [] },
      ],
    });
  });
});

function mpd(body: string, attributes = 'type="static" mediaPresentationDuration="PT10S"', base = ''): string {
  return `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" ${attributes}>${base}
    <Period start="PT0S"><AdaptationSet contentType="video" mimeType="video/mp4">${body}</AdaptationSet></Period></MPD>`;
}

const TIMELINE = `<Representation id="v720" bandwidth="1000000" codecs="avc1.64001F" width="1280" height="720">
  <SegmentTemplate timescale="1000" initialization="$RepresentationID$/init.mp4" media="$RepresentationID$/$Number%05d$.m4s" startNumber="1">
  <SegmentTimeline><S t="0" d="4000" r="1"/><S d="2000"/></SegmentTimeline></SegmentTemplate></Representation>`;

describe('DASH', () => {
  test('a template with a timeline', () => {
    const manifest = parsed(mpd(TIMELINE, undefined, '<BaseURL>HASH/</BaseURL>'), 'http://o.test/t/manifest.mpd', DASH);
    expect(manifest).toMatchObject({ protocol: 'dash', isLive: false, isSealed: false });
    const [rendition] = manifest.renditions;
    expect(rendition).toMatchObject({ id: 'v720', kind: 'video', bandwidthBps: 1_000_000, width: 1280, height: 720 });
    const init = { url: 'http://o.test/t/HASH/v720/init.mp4' };
    const url = (n: number) => `http://o.test/t/HASH/v720/0000${n}.m4s`;
    expect(rendition?.segments).toEqual([
      { rendition: 'v720', url: url(1), startSeconds: 0, durationSeconds: 4, init },
      { rendition: 'v720', url: url(2), startSeconds: 4, durationSeconds: 4, init },
      { rendition: 'v720', url: url(3), startSeconds: 8, durationSeconds: 2, init },
    ]);
  });

  test('a list with byte ranges', () => {
    const body = `<Representation id="v" bandwidth="1"><BaseURL>all.mp4</BaseURL><SegmentList timescale="1" duration="5">
      <Initialization range="0-99"/><SegmentURL mediaRange="100-199"/><SegmentURL mediaRange="200-499"/></SegmentList></Representation>`;
    const [rendition] = parsed(mpd(body), 'http://o.test/t/manifest.mpd', DASH).renditions;
    expect(rendition?.segments.map(({ url, byteRange }) => ({ url, byteRange }))).toEqual([
      { url: 'http://o.test/t/all.mp4', byteRange: { offset: 100, length: 100 } },
      { url: 'http://o.test/t/all.mp4', byteRange: { offset: 200, length: 300 } },
    ]);
    expect(rendition?.segments[0]?.init).toEqual({
      url: 'http://o.test/t/all.mp4',
      byteRange: { offset: 0, length: 100 },
    });
  });

  test('a representation goes on in the next period', () => {
    const set = (media: string) => `<AdaptationSet mimeType="video/mp4"><Representation id="v" bandwidth="1">
      <SegmentTemplate timescale="1" duration="5" media="${media}$Number$.m4s"/></Representation></AdaptationSet>`;
    const text = `<MPD type="static" mediaPresentationDuration="PT20S"><Period start="PT0S" duration="PT10S">${set('a')}</Period>
      <Period duration="PT10S">${set('b')}</Period></MPD>`;
    const [rendition] = parsed(text, 'http://o.test/', DASH).renditions;
    expect(rendition?.segments.map(({ url, startSeconds }) => [url, startSeconds])).toEqual([
      ['http://o.test/a1.m4s', 0],
      ['http://o.test/a2.m4s', 5],
      ['http://o.test/b1.m4s', 10],
      ['http://o.test/b2.m4s', 15],
    ]);
  });

  test('live by the clock: what is available now, within the time shift buffer', () => {
    const live = 'type="dynamic" availabilityStartTime="1970-01-01T00:00:00Z" timeShiftBufferDepth="PT10S"';
    const body = `<Representation id="v" bandwidth="1"><SegmentTemplate timescale="1" duration="2" startNumber="0" media="$Number$.m4s"/></Representation>`;
    const manifest = parsed(mpd(body, live), 'http://o.test/', DASH, 1_000_000);
    expect(manifest.isLive).toBe(true);
    expect(manifest.renditions[0]?.segments.map(({ url }) => url)).toEqual(
      [495, 496, 497, 498, 499].map((n) => `http://o.test/${n}.m4s`),
    );
  });

  test('of alternative base URLs the first', () => {
    const base = '<BaseURL>http://one.test/</BaseURL><BaseURL>http://two.test/</BaseURL>';
    const manifest = parsed(mpd(TIMELINE, undefined, base), 'http://o.test/', DASH);
    expect(manifest.renditions).toHaveLength(1);
    expect(manifest.renditions[0]?.segments.map(({ url }) => new URL(url).host)).toEqual(Array(3).fill('one.test'));
  });

  test('content protection seals', () => {
    const sealed = mpd(`<ContentProtection schemeIdUri="urn:mpeg:dash:mp4protection:2011" value="cenc"/>${TIMELINE}`);
    expect(parsed(sealed, BASE, DASH).isSealed).toBe(true);
  });
});

describe('what comes next', () => {
  const manifest = parsed(VOD);
  const urls = manifest.renditions[0]?.segments.map(({ url }) => url) ?? [];
  test.each([
    ['the first segment', urls[0], 5, urls.slice(1)],
    ['the first segment, one', urls[0], 1, urls.slice(1, 2)],
    ['the last segment', urls[2], 5, []],
    ['the init segment', 'http://origin.test/titles/a/v720/init.mp4', 2, urls.slice(0, 2)],
    ['the playlist', BASE, 2, urls.slice(0, 2)],
    ['an unknown URL', 'http://origin.test/x', 2, []],
    ['nothing asked', urls[0], 0, []],
  ])('after %s', (_, current, count, expected) => {
    expect(nextSegments(manifest, current ?? '', count).map(({ url }) => url)).toEqual(expected);
  });

  test.each([
    [0, 0.1, [0]],
    [4.004, 6.504, [1]],
    [4, 7, [0, 1, 2]],
    [7.504, 100, []],
    [5, 5, [1]],
    [5, 4, []],
  ])('between %d and %d s', (from, to, expected) => {
    expect(segmentsBetween(manifest, from, to).map(({ url }) => urls.indexOf(url))).toEqual(expected);
  });
});

describe('refused, with the reason', () => {
  const timeline = (s: string) =>
    mpd(
      `<Representation id="v"><SegmentTemplate media="$Time$"><SegmentTimeline>${s}</SegmentTimeline></SegmentTemplate></Representation>`,
    );
  const numbered = (attributes: string) =>
    mpd(`<Representation id="v"><SegmentTemplate media="$Number$" ${attributes}/></Representation>`);
  test.each([
    ['empty', '', HLS, /#EXTM3U/],
    ['HTML', '<html></html>', 'text/html', /neither/],
    ['a playlist above the size limit', `#EXTM3U\n${'#\n'.repeat(2_200_000)}`, HLS, /too long/],
    ['an MPD above the size limit', ' '.repeat(1_100_000), DASH, /too long/],
    ['variables', '#EXTM3U\n#EXT-X-DEFINE:NAME="a",VALUE="b"\n', HLS, /EXT-X-DEFINE/],
    ['a file URL', '#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n', HLS, /http/],
    ['a URL too long', `#EXTM3U\n#EXTINF:1,\n${'a'.repeat(9000)}\n`, HLS, /too long/],
    ['a billion repeats', timeline('<S t="0" d="1" r="1000000000"/>'), DASH, /too many segments/],
    [
      'repeats until the end, in tiny steps',
      `${timeline('<S t="0" d="1" r="-1"/>')}`.replace('PT10S', 'PT99999999S'),
      DASH,
      /too many/,
    ],
    ['repeats of nothing', timeline('<S t="0" d="0" r="-1"/>'), DASH, /too many/],
    [
      'times that run backwards',
      timeline('<S t="0" d="1000000000"/><S d="-1" r="-1"/><S t="5" d="1"/>'),
      DASH,
      /too many/,
    ],
    ['numbers up to a billion', numbered('duration="1" endNumber="1000000000"'), DASH, /too many/],
    ['tiny segments', numbered('timescale="1000000000" duration="1"'), DASH, /too many/],
    [
      'long padding',
      mpd('<Representation id="v"><SegmentTemplate media="$Number%0999999999d$" duration="1"/></Representation>'),
      DASH,
      /digits/,
    ],
    [
      'no representation id',
      mpd('<Representation><SegmentTemplate media="$Number$" duration="1"/></Representation>'),
      DASH,
      /without id/,
    ],
    ['broken XML', '<MPD><Period>', DASH, /not closed/],
    ['deep nesting', `<MPD>${'<a>'.repeat(100_000)}`, DASH, /too deep/],
    ['a doctype', '<!DOCTYPE MPD [<!ENTITY a "b">]><MPD/>', DASH, /well-formed/],
    ['unclosed comments', `<MPD>${'<!--'.repeat(100_000)}`, DASH, /well-formed/],
    ['attributes without end', `<MPD ${'a="b" '.repeat(100_000)}`, DASH, /well-formed/],
    ['end tags only', '</MPD>'.repeat(50_000), DASH, /closed/],
    ['unknown entities', `<MPD>${'&x;'.repeat(50_000)}</MPD>`, DASH, /entities/],
    ['a list of commas', `#EXTM3U\n#EXT-X-STREAM-INF:${','.repeat(8_000)}\na\n`, HLS, /attribute list/],
    ['a list without values', `#EXTM3U\n#EXT-X-MAP:${'A'.repeat(8_000)}\na\n`, HLS, /attribute list/],
    ['an endless line', `#EXTM3U\n#EXT-X-STREAM-INF:A="${'a'.repeat(90_000)}"\na\n`, HLS, /line is too long/],
    ['no period', '<MPD/>', DASH, /refused/],
  ])('%s', (_, text, contentType, reason) => {
    vi.spyOn(console, 'error').mockReturnValue();
    vi.spyOn(console, 'warn').mockReturnValue();
    const began = performance.now();
    expect(problem(text, contentType)).toMatch(reason);
    expect(performance.now() - began).toBeLessThan(2000);
    expect(console.error).not.toHaveBeenCalled();
  });
});

test('a large flat MPD is read in bounded time', () => {
  const body = `<SegmentTemplate media="$Time$"><SegmentTimeline>${'<S d="4"/>'.repeat(40_000)}</SegmentTimeline></SegmentTemplate>`;
  const began = performance.now();
  expect(
    parsed(mpd(`<Representation id="v">${body}</Representation>`), BASE, DASH).renditions[0]?.segments,
  ).toHaveLength(40_000);
  expect(performance.now() - began).toBeLessThan(5000);
});
