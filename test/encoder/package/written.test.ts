// A package with everything in it (two codecs' worth of sets, audio in two languages, text, I-frames, thumbnails), read
// back from its files: by our own check, rule by rule, and by other people's parsers and ffmpeg.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
// @ts-expect-error: the package has no types; `Parsed` below says what is looked at.
import { Parser } from 'm3u8-parser';
// @ts-expect-error: as above, with `ParsedMpd`.
import { parse as parseMpd } from 'mpd-parser';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Title } from '../../../encoder/contract.ts';
import { checkDash } from '../../../encoder/package/check-dash.ts';
import { checkHls } from '../../../encoder/package/check-hls.ts';
import type { Written } from '../../../encoder/package/written.ts';
import type { PackageFolder } from '../../../encoder/publish.ts';
import { checkPromises, readWritten } from '../../../encoder/verify.ts';
import { buildRich, FFMPEG, run } from './media.ts';

type Groups = Record<string, Record<string, object>>;
type Parsed = {
  readonly playlists: readonly { readonly attributes: Record<string, unknown> }[];
  readonly mediaGroups: { readonly AUDIO: Groups; readonly SUBTITLES: Groups };
  readonly iFramePlaylists: readonly { readonly uri: string }[];
  readonly iFramesOnly: boolean;
  readonly segments: readonly { uri: string; byterange: { offset: number; length: number } }[];
};
type ParsedMpd = Pick<Parsed, 'playlists' | 'mediaGroups'> & { readonly duration: number };

let dir: string;
let folder: PackageFolder;
let title: Title;
let written: Written;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'written-'));
  ({ folder, title } = await buildRich(dir));
  written = await readWritten(folder, title);
}, 60_000);
afterAll(() => rm(dir, { recursive: true }));

test('keeps every promise', async () => {
  expect([...checkHls(written), ...checkDash(written)]).toEqual([]);
  await checkPromises(folder, title, 2.1);
});

test('a package that breaks one is refused with its words', async () => {
  const playlist = join(folder.path, 'v90/playlist.m3u8');
  const text = await readFile(playlist, 'utf8');
  await writeFile(playlist, text.replace('#EXT-X-ENDLIST\n', ''));
  await expect(checkPromises(folder, title, 2.1)).rejects.toMatchObject({
    code: 'ENCODER_CHECK_FAILED',
    message: expect.stringContaining('v90/playlist.m3u8: does not end with EXT-X-ENDLIST'),
  });
  await writeFile(playlist, text);
});

describe('others read the same', () => {
  const parse = (url: string): Parsed => {
    const parser = new Parser();
    parser.push(written.texts.get(url) ?? expect.fail(`no ${url}`));
    parser.end();
    // What its documentation says of these members.
    return parser.manifest as Parsed;
  };

  test('m3u8-parser: variants, groups, I-frame streams', () => {
    const manifest = parse('master.m3u8');
    expect(manifest.playlists.map(({ attributes }) => attributes['AUDIO'])).toEqual([
      ...['audio1', 'audio1', 'audio2', 'audio2'],
    ]);
    expect(Object.keys(manifest.mediaGroups.AUDIO['audio1'] ?? {})).toEqual([
      'English',
      'Deutsch',
      'English (commentary)',
      'Deutsch 2',
    ]);
    expect(Object.keys(manifest.mediaGroups.AUDIO['audio2'] ?? {})).toEqual([
      'English',
      'Deutsch',
      'English (commentary)',
      'Deutsch 2',
    ]);
    expect(Object.keys(manifest.mediaGroups.SUBTITLES['text'] ?? {})).toEqual(['English', 'English (captions)']);
    expect(manifest.iFramePlaylists.map(({ uri }) => uri)).toEqual([...['v180/iframes.m3u8', 'v90/iframes.m3u8']]);
  });

  test('m3u8-parser and ffmpeg: each I-frame range is one picture', async () => {
    for (const { id } of title.renditions) {
      const { segments, iFramesOnly } = parse(`${id}/iframes.m3u8`);
      expect(iFramesOnly).toBe(true);
      expect(segments).toHaveLength(4);
      for (const { uri, byterange } of segments) {
        const segment = await readFile(join(folder.path, id, uri));
        const init = await readFile(join(folder.path, id, 'init.mp4'));
        const range = segment.subarray(byterange.offset, byterange.offset + byterange.length);
        await writeFile(join(dir, 'one.mp4'), Buffer.concat([init, range]));
        const decode = ['-v', 'error', '-i', join(dir, 'one.mp4'), '-map', '0:v', '-f', 'framemd5', '-'];
        const { stdout } = await run(FFMPEG, decode);
        expect(stdout.split('\n').filter((line) => line.startsWith('0,'))).toHaveLength(1);
      }
    }
  });

  test('mpd-parser: text, audio by language, thumbnails left alone', () => {
    const text = written.texts.get('manifest.mpd') ?? '';
    // As above.
    const manifest = parseMpd(text, { manifestUri: 'http://o.test/t/manifest.mpd' }) as ParsedMpd;
    expect(manifest.playlists).toHaveLength(2);
    expect(Object.keys(manifest.mediaGroups.SUBTITLES['subs'] ?? {})).toHaveLength(1);
    expect(Object.keys(manifest.mediaGroups.AUDIO['audio'] ?? {}).length).toBeGreaterThanOrEqual(3);
    expect(manifest.duration).toBeCloseTo(title.durationSeconds, 5);
  });

  test('ffmpeg: sheets are as large as their tiles', async () => {
    const { trickplay } = title.images;
    expect(trickplay).toMatchObject({ pictures: 7, width: 72, height: 36 });
    expect(trickplay?.sheets).toHaveLength(2);
    for (const { url } of trickplay?.sheets ?? []) {
      const { stderr } = await run(FFMPEG, ['-i', join(folder.path, url), '-f', 'null', '-']);
      expect(stderr).toContain('144x72');
    }
  });
});

describe('the check of what was written finds', () => {
  type Edit = readonly [url: string, from: string | RegExp, to: string];
  const hls: readonly (readonly [rule: string, edit: Edit, words: string])[] = [
    ['no signature', ['master.m3u8', '#EXTM3U', '#EXTM3'], 'line 1'],
    ['a carriage return', ['master.m3u8', /\n/, '\r\n'], '#EXTM3U'],
    ['a tag twice', ['master.m3u8', '#EXT-X-VERSION:7', '#EXT-X-VERSION:7\n#EXT-X-VERSION:7'], 'EXT-X-VERSION twice'],
    ['an attribute twice', ['master.m3u8', 'DEFAULT=YES', 'DEFAULT=YES,DEFAULT=YES'], 'DEFAULT twice'],
    ['an attribute without its quote', ['master.m3u8', 'CODECS="', 'CODECS='], 'attribute list'],
    ['a peak below the true one', ['master.m3u8', /BANDWIDTH=\d/, 'BANDWIDTH='], 'peak bandwidth'],
    ['a peak far above', ['master.m3u8', 'BANDWIDTH=', 'BANDWIDTH=9'], 'peak bandwidth'],
    ['a wrong average', ['master.m3u8', /AVERAGE-BANDWIDTH=\d/, 'AVERAGE-BANDWIDTH='], 'average bandwidth'],
    ['no average', ['master.m3u8', /AVERAGE-BANDWIDTH=\d+,/, ''], 'average bandwidth'],
    ['a codec too few', ['master.m3u8', ',mp4a.40.2"', '"'], 'CODECS'],
    ['another size', ['master.m3u8', 'RESOLUTION=360x180', 'RESOLUTION=360x182'], 'RESOLUTION'],
    ['another range', ['master.m3u8', 'VIDEO-RANGE=SDR', 'VIDEO-RANGE=PQ'], 'VIDEO-RANGE'],
    ['another frame rate', ['master.m3u8', 'FRAME-RATE=29.970', 'FRAME-RATE=30.000'], 'FRAME-RATE'],
    ['two defaults', ['master.m3u8', 'DEFAULT=NO,AUTOSELECT=YES', 'DEFAULT=YES,AUTOSELECT=YES'], 'two defaults'],
    [
      'a default nobody selects',
      ['master.m3u8', 'DEFAULT=YES,AUTOSELECT=YES', 'DEFAULT=YES,AUTOSELECT=NO'],
      'without AUTOSELECT',
    ],
    ['one name twice', ['master.m3u8', 'NAME="Deutsch"', 'NAME="English"'], 'not unique'],
    ['a choice that another group lacks', ['master.m3u8', 'LANGUAGE="de"', 'LANGUAGE="fr"'], 'not the choices'],
    [
      'what AUTOSELECT cannot tell apart',
      ['master.m3u8', 'DEFAULT=NO,AUTOSELECT=NO', 'DEFAULT=NO,AUTOSELECT=YES'],
      'tell two',
    ],
    ['a track in no group', ['master.m3u8', /#EXT-X-MEDIA[^\n]*a5\/[^\n]*\n/g, ''], 'a5 is in no group'],
    ['no channels', ['master.m3u8', 'CHANNELS="2"', 'CHANNELS="x"'], 'CHANNELS'],
    ['a group that is not there', ['master.m3u8', 'SUBTITLES="text"', 'SUBTITLES="none"'], 'no group none'],
    ['a variant twice', ['master.m3u8', 'v90/playlist.m3u8', 'v180/playlist.m3u8'], 'not one variant'],
    ['a URL out of the package', ['master.m3u8', 'v90/playlist.m3u8', '../v90/playlist.m3u8'], 'not one variant'],
    ['no I-frame stream', ['master.m3u8', 'v90/iframes.m3u8', 'v180/iframes.m3u8'], '0 I-frame playlists'],
    ['no end', ['v180/playlist.m3u8', '#EXT-X-ENDLIST\n', ''], 'EXT-X-ENDLIST'],
    ['no VOD', ['v180/playlist.m3u8', 'TYPE:VOD', 'TYPE:EVENT'], 'VOD'],
    ['a target duration of its own', ['v180/playlist.m3u8', 'TARGETDURATION:2', 'TARGETDURATION:3'], "the title's 2"],
    ['a segment above the target', ['v180/playlist.m3u8', 'TARGETDURATION:2', 'TARGETDURATION:1'], "the title's 2"],
    ['a wrong EXTINF', ['v180/playlist.m3u8', '#EXTINF:1.001,', '#EXTINF:1.1,'], 'ends at'],
    ['no EXTINF', ['v180/playlist.m3u8', /#EXTINF.*\n/, ''], 'no EXTINF'],
    ['no init segment', ['v180/playlist.m3u8', /#EXT-X-MAP.*\n/, ''], 'EXT-X-MAP'],
    ['a segment left out', ['v180/playlist.m3u8', /#EXTINF.*\n00002.*\n/, ''], "title.json's segments"],
    ['a segment that is not there', ['v180/playlist.m3u8', '00002.m4s', '00009.m4s'], 'not in the package'],
    ['a range too short', ['v180/iframes.m3u8', /BYTERANGE:\d/, 'BYTERANGE:'], 'first picture'],
    ['a range elsewhere', ['v180/iframes.m3u8', '@0', '@1'], 'first picture'],
    ['no I-FRAMES-ONLY', ['v180/iframes.m3u8', '#EXT-X-I-FRAMES-ONLY\n', ''], 'I-FRAMES-ONLY'],
    ['text without its clock', ['t1/00001.vtt', /X-TIMESTAMP.*\n/, ''], 'X-TIMESTAMP-MAP'],
    ['a cue lost', ['t1/00001.vtt', 'welcome', 'farewell'], 'cues'],
    ['text that ends early', ['t1/playlist.m3u8', '#EXTINF:3.5', '#EXTINF:2.5'], 'lasts'],
    ['a thumbnail elsewhere', ['thumbnails/thumbnails.vtt', 'xywh=72,0', 'xywh=0,0'], 'cue 1'],
    ['a thumbnail lost', ['thumbnails/thumbnails.vtt', /\n\n[^\n]*\n[^\n]*\n$/, '\n'], '6 cues'],
    ['a sheet lost', ['thumbnails/images.m3u8', '00002.jpg', '00003.jpg'], 'name the sheets'],
  ];
  const dash: readonly (readonly [rule: string, edit: Edit, words: string])[] = [
    ['broken XML', ['manifest.mpd', '</Period>', ''], 'closes'],
    ['an entity', ['manifest.mpd', 'static', '&xxe;'], 'entity'],
    ['text outside of the root', ['manifest.mpd', /$/, 'x'], 'root element'],
    ['a live manifest', ['manifest.mpd', 'static', 'dynamic'], 'not static'],
    ['another length', ['manifest.mpd', 'mediaPresentationDuration="PT3', 'mediaPresentationDuration="PT4'], 'lasts'],
    ['too small a buffer', ['manifest.mpd', /minBufferTime="[^"]*"/, 'minBufferTime="PT0.1S"'], 'minBufferTime'],
    ['a gap', ['manifest.mpd', 't="0"', 't="1"'], 'is said to be at'],
    ['another duration', ['manifest.mpd', 'd="30030"', 'd="30031"'], 'is said to be at'],
    ['one segment more', ['manifest.mpd', 'r="2"', 'r="3"'], "title.json's segments"],
    ['another codec', ['manifest.mpd', 'codecs="avc1', 'codecs="avc3'], 'codecs'],
    ['a bandwidth below the peak', ['manifest.mpd', /bandwidth="\d/, 'bandwidth="'], 'bandwidth'],
    ['another size', ['manifest.mpd', 'height="180"', 'height="182"'], 'width and height'],
    ['another rate', ['manifest.mpd', '30000/1001', '30'], 'frameRate'],
    ['another timescale', ['manifest.mpd', 'timescale="30000"', 'timescale="1"'], 'timescale'],
    ['another init segment', ['manifest.mpd', '$/init.mp4', '$/x.mp4'], 'initialization'],
    ['sets that are not aligned', ['manifest.mpd', 'segmentAlignment="true"', 'segmentAlignment="false"'], 'aligned'],
    ['a set id twice', ['manifest.mpd', 'id="audio1"', 'id="audio2"'], 'not unique'],
    ['a track left out', ['manifest.mpd', 'id="t1"', 'id="t9"'], 'Representations'],
    ['text that is not there', ['manifest.mpd', 't1/all.vtt', 't1/none.vtt'], 'text that is not there'],
    ['another layout', ['manifest.mpd', 'value="2x2"', 'value="1x4"'], 'laid out'],
    ['sheets elsewhere', ['manifest.mpd', 'thumbnails/$', 'none/$'], 'is not there'],
  ];

  /** The package with one file changed; the edit must change something. */
  function edited([url, from, to]: Edit): Written {
    const text = written.texts.get(url) ?? expect.fail(`no ${url}`);
    const changed = text.replace(from, to);
    expect(changed).not.toBe(text);
    return { ...written, texts: new Map(written.texts).set(url, changed) };
  }

  test.each(hls)('HLS: %s', (_, edit, words) => {
    const found = checkHls(edited(edit)).map(({ message }) => message);
    expect(found.join('\n')).toContain(words);
  });

  test.each(dash)('DASH: %s', (_, edit, words) => {
    const found = checkDash(edited(edit)).map(({ message }) => message);
    expect(found.join('\n')).toContain(words);
  });

  test('a manifest or playlist that is not there', () => {
    const texts = new Map<string, string>();
    const found = [...checkHls({ ...written, texts }), ...checkDash({ ...written, texts })];
    expect(found.map(({ message }) => message)).toEqual(['not in the package', 'not in the package']);
  });
});
