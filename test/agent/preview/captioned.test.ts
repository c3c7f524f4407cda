// Captions as a group: read back by another parser, and with the discontinuities of the pictures.
import * as hlsParser from 'hls-parser';
import { describe, expect, test } from 'vitest';
import { captionedPlaylist, textPlaylist, textSegment } from '../../../agent/preview/captioned.ts';
import { chooseMoments } from '../../../agent/preview/moments.ts';
import { previewPlaylist } from '../../../agent/preview/playlist.ts';
import { makeVariedTitle, published } from '../../fake/title.ts';

const track = (id: string, language: string) => ({ id, language, url: `${id}.vtt`, segments: [] });
const title = {
  ...makeVariedTitle('a b', 4),
  text: [
    track('t1', 'en'),
    { ...track('t2', 'en'), role: 'forced' as const },
    { ...track('t3', 'de'), name: 'x"\n#y' },
  ],
};
const cuts = chooseMoments(title).map(({ arm, moments }) => ({ title, arm, moments }));
const [cut = { title, arm: '', moments: [] }] = cuts;

/** Seconds between discontinuities. */
function runs(text: string | undefined): number[] {
  const playlist = hlsParser.parse(text ?? '');
  if (playlist.isMasterPlaylist) throw new Error('not a media playlist');
  // Sound: isMasterPlaylist was just ruled out, and the library's union has only these two members.
  const { segments } = playlist as hlsParser.types.MediaPlaylist;
  const lengths: number[] = [];
  for (const { duration, discontinuity } of segments) {
    if (lengths.length === 0 || discontinuity === true) lengths.push(0);
    lengths.push((lengths.pop() ?? 0) + duration);
  }
  return lengths;
}

test('one rendition and every text track, each under a name of its own', () => {
  const playlist = hlsParser.parse(captionedPlaylist(cut, { heightPixels: 300 }) ?? '');
  if (!playlist.isMasterPlaylist) throw new Error('not a multivariant playlist');
  // Sound: as above.
  const { variants } = playlist as hlsParser.types.MasterPlaylist;
  expect(variants).toHaveLength(1);
  expect(variants[0]).toMatchObject({
    ...{ bandwidth: 600_000, codecs: 'avc1.64001f', resolution: { width: 640, height: 360 } },
    uri: `/.nearcast/preview/a%20b.m3u8?cut=${cut.arm}&maxHeight=300`,
  });
  const text = variants[0]?.subtitles ?? [];
  expect(text.map(({ name, language, forced }) => [name, language, forced === true])).toEqual([
    ['en', 'en', false],
    ['en t2', 'en', true],
    ['x#y', 'de', false],
  ]);
});

test.each(cuts.map((own) => [own.arm, own] as const))('of the cut %s text and pictures jump together', (_arm, own) => {
  const [pictures, text] = [runs(previewPlaylist(published(title), own.moments)), runs(textPlaylist(own, 't1'))];
  expect(text).toHaveLength(pictures.length);
  for (const [index, seconds] of pictures.entries()) expect(text[index]).toBeCloseTo(seconds, 3);
});

describe('segments', () => {
  const all = `WEBVTT\n\n00:00:00.000 --> ${'00:10:00.000'}\nalways\n`;
  test('hold what is said in their run, in the time of the title', () => {
    const [first] = cut.moments;
    const [from = '', until = ''] = /(\S+) --> (\S+)/.exec(textSegment(cut, all, 0) ?? '')?.slice(1) ?? [];
    const seconds = (time: string) => time.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
    expect(seconds(from)).toBeCloseTo(first?.startSeconds ?? Number.NaN, 2);
    expect(seconds(until) - seconds(from)).toBeCloseTo(runs(textPlaylist(cut, 't1'))[0] ?? Number.NaN, 2);
  });

  test.each([
    ['no such run', all, 99],
    ['no WebVTT', 'hello', 0],
  ])('%s: none', (_why, text, run) => expect(textSegment(cut, text, run)).toBeUndefined());
});

test.each([
  ['no such track', cut, 'nope'],
  ['a cut without segments', { ...cut, moments: [] }, 't1'],
])('%s: no playlist', (_why, own, id) => expect(textPlaylist(own, id)).toBeUndefined());

test('a cut without segments has no playlist of both', () => {
  expect(captionedPlaylist({ ...cut, moments: [] }, {})).toBeUndefined();
});
