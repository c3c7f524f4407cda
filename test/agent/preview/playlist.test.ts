// Playlists: read back by another parser, whole segments only, discontinuities exactly where time jumps.
import * as hlsParser from 'hls-parser';
import { describe, expect, test } from 'vitest';
import { chooseMoments } from '../../../agent/preview/moments.ts';
import { chooseRendition, previewPlaylist, timelinePlaylist } from '../../../agent/preview/playlist.ts';
import { makeTitle, makeVariedTitle, published } from '../../fake/title.ts';

function read(text: string | undefined) {
  if (text === undefined) throw new Error('no playlist');
  const playlist = hlsParser.parse(text);
  if (playlist.isMasterPlaylist) throw new Error('not a media playlist');
  // Sound: isMasterPlaylist was just ruled out, and the library's union has only these two members.
  return playlist as hlsParser.types.MediaPlaylist;
}

describe('preview playlist', () => {
  test.each([1, 2, 3])('of a varied title is valid and jumps only where marked (seed %i)', (seed) => {
    const title = makeVariedTitle('varied', seed);
    const rendition = title.renditions[1];
    for (const { moments } of chooseMoments(title)) {
      const playlist = read(previewPlaylist(published(title), moments));
      expect(playlist.endlist).toBe(true);
      expect(playlist.playlistType).toBe('VOD');
      expect(playlist.version).toBe(7);
      let previous: number | undefined;
      for (const segment of playlist.segments) {
        expect(segment.duration).toBeLessThanOrEqual(playlist.targetDuration);
        expect(segment.map?.uri).toBe('/titles/varied/0123456789abcdef/v540/init.mp4');
        const index = rendition?.segments.findIndex(
          (one) => `/titles/varied/0123456789abcdef/${one.url}` === segment.uri,
        );
        if (index === undefined || index < 0) throw new Error(`not a segment of the title: ${segment.uri}`);
        if (previous !== undefined) expect(segment.discontinuity === true).toBe(index !== previous + 1);
        expect(segment.duration).toBeCloseTo((rendition?.segments[index]?.ticks ?? 0) / (rendition?.timescale ?? 1), 4);
        previous = index;
      }
      const wanted = moments.reduce((sum, moment) => sum + moment.durationSeconds, 0);
      const got = playlist.segments.reduce((sum, segment) => sum + segment.duration, 0);
      expect(got).toBeCloseTo(wanted, 2);
    }
  });

  test('adjacent moments flow on without a discontinuity', () => {
    const title = makeTitle('flow', [{ seconds: 4 }, { seconds: 4 }, { seconds: 4 }]);
    const text = previewPlaylist(published(title), [
      { startSeconds: 0, durationSeconds: 4 },
      { startSeconds: 4, durationSeconds: 4 },
    ]);
    expect(text).not.toContain('DISCONTINUITY');
    expect(read(text).segments).toHaveLength(2);
  });

  test('moments beside every segment give no playlist', () => {
    const title = makeTitle('none', [{ seconds: 4 }]);
    expect(previewPlaylist(published(title), [])).toBeUndefined();
  });

  test.each([
    ['nothing known: the middle', {}, 'v540'],
    ['a small card', { heightPixels: 300 }, 'v360'],
    ['a card between two', { heightPixels: 400 }, 'v540'],
    ['a card taller than all', { heightPixels: 2000 }, 'v720'],
    ['a slow line', { throughputBps: 800_000 }, 'v360'],
    ['a line below all', { throughputBps: 1000 }, 'v360'],
    ['a fast line', { throughputBps: 1e9 }, 'v720'],
    ['a fast line and a small card', { throughputBps: 1e9, heightPixels: 300 }, 'v360'],
    ['a slow line and a tall card', { throughputBps: 1_700_000, heightPixels: 720 }, 'v540'],
  ])('rendition: %s', (_name, hint, id) => {
    expect(chooseRendition(makeTitle('rungs', [{ seconds: 4 }]).renditions, hint)?.id).toBe(id);
  });

  test('rendition: of several codecs and ranges the one that any player decodes', () => {
    const [best, ...others] = makeTitle('rungs', [{ seconds: 4 }]).renditions;
    if (best === undefined) throw new Error('the title has renditions');
    const hdr = { ...best, id: 'hdr', codec: 'hvc1.2.4.L93.90', videoRange: 'PQ' as const, peakBandwidthBps: 1000 };
    const av1 = { ...best, id: 'av1', codec: 'av01.0.04M.08', peakBandwidthBps: 2000 };
    expect(chooseRendition([hdr, av1, best, ...others], { throughputBps: 1500 })?.id).toBe(others.at(-1)?.id);
    expect(chooseRendition([hdr, av1], { throughputBps: 1500 })?.id).toBe('hdr');
  });
});

describe('timeline playlist', () => {
  const segments = Array.from({ length: 60 }, (_, index) => ({
    url: `/drm/film/${index}.m4s`,
    startSeconds: index * 4,
    durationSeconds: 4,
    initUrl: '/drm/film/init.mp4',
    keys: ['METHOD=SAMPLE-AES,URI="skd://key",KEYFORMAT="com.apple.streamingkeydelivery",KEYFORMATVERSIONS="1"'],
  }));

  test('of a sealed title keeps its keys, spreads and stops before the end', () => {
    const text = timelinePlaylist({ segments });
    const playlist = read(text);
    expect(playlist.segments.map((segment) => segment.uri)).toEqual([
      '/drm/film/0.m4s',
      '/drm/film/13.m4s',
      '/drm/film/26.m4s',
      '/drm/film/39.m4s',
    ]);
    expect(playlist.segments.every((segment) => segment.key?.method === 'SAMPLE-AES')).toBe(true);
    expect(text?.match(/EXT-X-KEY/g)).toHaveLength(1);
    expect(text?.match(/EXT-X-MAP/g)).toHaveLength(1);
  });

  test('says when keys end', () => {
    const [sealed] = segments;
    if (sealed === undefined) throw new Error('there are segments');
    const clear = { url: '/clear.m4s', startSeconds: 4, durationSeconds: 4, initUrl: sealed.initUrl };
    const text = timelinePlaylist({
      segments: [{ ...sealed, durationSeconds: 2 }, clear, { ...clear, startSeconds: 8 }],
    });
    expect(text).toContain('#EXT-X-KEY:METHOD=NONE');
  });

  test('an empty timeline gives none; a single segment gives itself', () => {
    expect(timelinePlaylist({ segments: [] })).toBeUndefined();
    expect(read(timelinePlaylist({ segments: segments.slice(0, 1) })).segments).toHaveLength(1);
  });

  test.each([
    { url: '/a\n#EXT-X-ENDLIST', startSeconds: 0, durationSeconds: 4 },
    { url: '/a', startSeconds: 0, durationSeconds: 4, initUrl: '/i",BYTERANGE="1@1' },
    { url: '/a', startSeconds: 0, durationSeconds: 4, keys: ['METHOD=NONE\n/evil'] },
  ])('a segment that would write tags is left out: $url', (segment) => {
    expect(timelinePlaylist({ segments: [segment] })).toBeUndefined();
  });
});
