// A real package, from ffmpeg's fragments to playlists, read back by other parsers and by ffmpeg.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import * as hlsParser from 'hls-parser';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseManifest } from '../../../cache/manifest/timeline.ts';
import { type Title, type TitleSegment, titleSchema } from '../../../encoder/contract.ts';
import { checkTitle, type Problem, type SegmentFacts } from '../../../encoder/package/check.ts';
import { writeMpd } from '../../../encoder/package/dash.ts';
import { parseFragmented } from '../../../encoder/package/fmp4.ts';
import { mediaPlaylistUrl, writeMedia, writeTextMedia } from '../../../encoder/package/hls.ts';
import { codecString, differingBoxes } from '../../../encoder/package/init.ts';
import { writeMultivariant } from '../../../encoder/package/multivariant.ts';
import { type Built, buildTitle, encodeVideo, FFMPEG, run } from './media.ts';

let dir: string;
let built: Built;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'package-'));
  built = await buildTitle(dir);
  const { title, files } = built;
  const texts = [...title.renditions, ...title.audio].map(
    (track) => [mediaPlaylistUrl(track), writeMedia(track, 2)] as const,
  );
  const all = [
    ...files,
    ...texts,
    ['master.m3u8', writeMultivariant(title, '')],
    ['manifest.mpd', writeMpd(title, '')],
  ] as const;
  for (const [path, bytes] of all) {
    await mkdir(dirname(join(dir, 'p', path)), { recursive: true });
    await writeFile(join(dir, 'p', path), bytes);
  }
}, 60_000);
afterAll(() => rm(dir, { recursive: true }));

/** Every frame's presentation time in 1/30000 s, as ffmpeg decodes it. */
async function decodedTimes(file: string, stream: string): Promise<readonly number[]> {
  const allow = ['-allowed_extensions', 'ALL'];
  const input = file.endsWith('.m3u8') ? allow : [];
  const output = ['-map', stream, '-enc_time_base', '1:30000', '-f', 'framecrc', '-'];
  const { stdout, stderr } = await run(FFMPEG, [
    '-v',
    'error',
    ...input,
    '-i',
    file,
    '-copyts',
    '-vsync',
    'passthrough',
    ...output,
  ]);
  expect(stderr).toBe('');
  return stdout
    .split('\n')
    .filter((line) => /^0,/.test(line))
    .map((line) => Number(line.split(',')[2]));
}

describe('the package', () => {
  test('is a title by the contract and passes its own check', () => {
    expect(titleSchema.safeParse(built.title).success).toBe(true);
    expect(checkTitle({ ...built, maxSegmentSeconds: 2.1 })).toEqual([]);
  });

  test('frames of both shots decode in order without gap, in every rendition', async () => {
    for (const { id, initUrl, segments } of built.title.renditions) {
      const bytes = [initUrl, ...segments.map(({ url }) => url)].map((url) => built.files.get(url) ?? Buffer.alloc(0));
      await writeFile(join(dir, `${id}.mp4`), Buffer.concat(bytes));
      const times = await decodedTimes(join(dir, `${id}.mp4`), '0:v:0');
      // ffmpeg adds the largest negative composition offset to every time, also in files of its own.
      const [shift = 0] = await decodedTimes(join(dir, `${id.slice(1)}-0.mp4`), '0:v:0');
      expect(times).toEqual(Array.from({ length: 105 }, (_, n) => shift + n * 1001));
    }
  });

  test.each(['v180/playlist.m3u8', 'master.m3u8'])('ffmpeg plays %s', async (path) => {
    expect(await decodedTimes(join(dir, 'p', path), '0:v:0')).toHaveLength(105);
  });

  test('one init serves every CRF, another height does not', async () => {
    const settings = { frames: 5, rate: '25', gop: 5, height: 90 };
    const init = async (name: string, crf: number, height: number, frames = 5) =>
      parseFragmented(await encodeVideo(join(dir, name), { ...settings, crf, height, frames })).init;
    const one = await init('crf20.mp4', 20, 90);
    expect(differingBoxes(one, await init('crf40.mp4', 40, 90, 10))).toEqual([]);
    expect(differingBoxes(one, await init('tall.mp4', 20, 180))).toEqual([
      'moov/trak/tkhd',
      'moov/trak/mdia/minf/stbl/stsd',
    ]);
    const longer = Buffer.from(one);
    longer.writeUInt32BE(99_999, longer.indexOf('mvhd') + 4 + 16);
    expect(differingBoxes(one, longer)).toEqual([]);
    longer.writeUInt32BE(99_999, longer.indexOf('mdhd') + 4 + 12);
    expect(differingBoxes(one, longer)).toEqual(['moov/trak/mdia/mdhd']);
    expect(codecString(one)).toMatch(/^avc1\.6400[0-9A-F]{2}$/);
  });
});

describe('playlists as others read them', () => {
  test('hls-parser: media playlist', () => {
    const [track] = built.title.renditions;
    const text = writeMedia(track ?? built.title.renditions[0] ?? expect.fail('no rendition'), 2);
    const playlist = hlsParser.parse(text);
    if (playlist.isMasterPlaylist) throw new Error('not a media playlist');
    expect(playlist).toMatchObject({ version: 7, playlistType: 'VOD', endlist: true, targetDuration: 2 });
    expect(playlist.segments.map(({ uri }) => uri)).toEqual(['00001.m4s', '00002.m4s', '00003.m4s', '00004.m4s']);
    expect(playlist.segments[0]?.map?.uri).toBe('init.mp4');
    expect(playlist.segments.map(({ duration }) => duration)).toEqual([1.001, 1.001, 1.001, 0.5005]);
    expect(text).toContain('\n#EXT-X-INDEPENDENT-SEGMENTS\n');
  });

  test('hls-parser: multivariant playlist', () => {
    const playlist = hlsParser.parse(writeMultivariant(built.title, 'HASH/'));
    if (!playlist.isMasterPlaylist) throw new Error('not a multivariant playlist');
    const [audio] = built.title.audio;
    expect(playlist.independentSegments).toBe(true);
    const variants = playlist.variants.filter(({ isIFrameOnly }) => !isIFrameOnly);
    expect(variants).toHaveLength(2);
    for (const [index, variant] of variants.entries()) {
      const rendition = built.title.renditions[index];
      expect(variant).toMatchObject({
        uri: `HASH/${rendition?.id}/playlist.m3u8`,
        bandwidth: Math.ceil((rendition?.peakBandwidthBps ?? 0) + (audio?.peakBandwidthBps ?? 0)),
        averageBandwidth: Math.ceil((rendition?.averageBandwidthBps ?? 0) + (audio?.averageBandwidthBps ?? 0)),
        codecs: `${rendition?.codec},mp4a.40.2`,
        resolution: { width: rendition?.width, height: rendition?.height },
        frameRate: 29.97,
        videoRange: 'SDR',
      });
      expect(variant.audio[0]).toMatchObject({ uri: 'HASH/audio/playlist.m3u8', language: 'en', channels: '2' });
    }
  });

  test('m3u8-parser and mpd-parser give the same segments and times', () => {
    const base = 'http://o.test/t/';
    const read = (text: string, path: string, type: string) => {
      const manifest = parseManifest(text, base + path, type);
      if ('problem' in manifest) throw new Error(manifest.problem);
      return manifest.renditions;
    };
    const dash = read(writeMpd(built.title, 'HASH/'), 'manifest.mpd', 'application/dash+xml');
    expect(dash.map(({ id, kind }) => [id, kind])).toEqual([
      ['v180', 'video'],
      ['v90', 'video'],
      ['audio', 'audio'],
    ]);
    for (const track of [...built.title.renditions, ...built.title.audio]) {
      const [hls] = read(writeMedia(track, 2), `HASH/${mediaPlaylistUrl(track)}`, 'application/vnd.apple.mpegurl');
      const twin = dash.find(({ id }) => id === track.id);
      expect(twin?.segments.map(({ url }) => url)).toEqual(track.segments.map(({ url }) => `${base}HASH/${url}`));
      expect(hls?.segments.map(({ url }) => url)).toEqual(twin?.segments.map(({ url }) => url));
      for (const [index, { startTicks, ticks }] of track.segments.entries()) {
        expect(twin?.segments[index]?.startSeconds).toBeCloseTo(startTicks / track.timescale, 9);
        expect(hls?.segments[index]?.startSeconds).toBeCloseTo(startTicks / track.timescale, 5);
        expect(twin?.segments[index]?.durationSeconds).toBeCloseTo(ticks / track.timescale, 9);
      }
    }
  });
});

describe('titles beyond the plain one', () => {
  const rich = (): Title => {
    const title = structuredClone(built.title);
    const [stereo] = title.audio;
    if (stereo === undefined) throw new Error('no audio');
    const copy = (id: string) => ({
      ...stereo,
      ...{ id, initUrl: `${id}/init.mp4` },
      segments: stereo.segments.map((one) => ({ ...one, url: one.url.replace(/^[^/]+/, id) })),
    });
    title.audio.push({ ...copy('surround'), codec: 'ec-3', channels: 6 }, { ...copy('und'), language: 'und' });
    const segments = [{ url: 'text-de/00001.vtt', startSeconds: 0, durationSeconds: title.durationSeconds, bytes: 99 }];
    title.text.push({ id: 'text-de', language: 'de', url: 'text-de/all.vtt', segments });
    for (const rendition of title.renditions.slice(1)) rendition.videoRange = 'HLG';
    return title;
  };

  test('hls-parser: a group per audio codec, every variant in each, and text', () => {
    const playlist = hlsParser.parse(writeMultivariant(rich(), ''));
    if (!playlist.isMasterPlaylist) throw new Error('not a multivariant playlist');
    const variants = playlist.variants.filter(({ isIFrameOnly }) => !isIFrameOnly);
    const groups = variants.map(({ codecs, audio, videoRange, subtitles }) => [
      codecs?.replace(/^[^,]*,/, ''),
      audio.map(({ name }) => name),
      videoRange,
      subtitles[0]?.uri,
    ]);
    const text = 'text-de/playlist.m3u8';
    expect(groups).toEqual([
      ['mp4a.40.2', ['English', 'Original'], 'SDR', text],
      ['mp4a.40.2', ['English', 'Original'], 'HLG', text],
      ['ec-3,mp4a.40.2', ['English', 'Original'], 'SDR', text],
      ['ec-3,mp4a.40.2', ['English', 'Original'], 'HLG', text],
    ]);
    expect(writeMultivariant(rich(), '')).not.toContain('LANGUAGE="und"');
  });

  test('hls-parser: a text track has a target duration of its own', () => {
    const segments = [
      { url: 't/00001.vtt', startSeconds: 0, durationSeconds: 60, bytes: 1 },
      { url: 't/00002.vtt', startSeconds: 60, durationSeconds: 1.25, bytes: 1 },
    ];
    const playlist = hlsParser.parse(writeTextMedia({ id: 't', language: 'de', url: 't/all.vtt', segments }));
    if (playlist.isMasterPlaylist) throw new Error('not a media playlist');
    expect(playlist.targetDuration).toBe(60);
    expect(playlist.segments.map(({ uri, duration }) => [uri, duration])).toEqual([
      ['00001.vtt', 60],
      ['00002.vtt', 1.25],
    ]);
  });

  test('mpd-parser: a set per video range, with the same segments', () => {
    const title = rich();
    const mpd = writeMpd(title, 'HASH/');
    expect(mpd).toContain('urn:mpeg:mpegB:cicp:TransferCharacteristics" value="18"');
    const manifest = parseManifest(mpd, 'http://o.test/manifest.mpd', 'application/dash+xml');
    if ('problem' in manifest) throw new Error(manifest.problem);
    expect(manifest.renditions.map(({ id, kind }) => `${kind} ${id}`)).toEqual([
      ...['video v180', 'video v90', 'audio audio', 'audio surround', 'audio und', 'text text-de'],
    ]);
    for (const { id, segments } of title.renditions) {
      const read = manifest.renditions.find((rendition) => rendition.id === id)?.segments ?? [];
      expect(read.map(({ url }) => url)).toEqual(segments.map(({ url }) => `http://o.test/HASH/${url}`));
    }
  });

  test.each(['x/1.m4s', 'v180/7.m4s', 'v180/one.m4s'])('a segment at %s cannot be in a template', (url) => {
    const title = structuredClone(built.title);
    Object.assign(title.renditions[0]?.segments[1] ?? {}, { url });
    expect(() => writeMpd(title, '')).toThrow();
  });
});

describe('the check finds', () => {
  type Change = (title: Title, facts: Built['facts']) => unknown;
  const patch = (facts: Built['facts'], url: string, changed: Partial<SegmentFacts>): void => {
    facts.set(url, { ...(facts.get(url) ?? expect.fail(`no facts of ${url}`)), ...changed });
  };
  const all = (title: Title, changed: Partial<Title['renditions'][number]>): void => {
    for (const track of [...title.renditions, ...title.audio]) Object.assign(track, changed);
  };
  const change = (title: Title, rendition: number, at: number, changed: Partial<TitleSegment>): void => {
    Object.assign(title.renditions[rendition]?.segments[at] ?? expect.fail('no such segment'), changed);
  };
  const second = 'v90/00002.m4s';
  const cases: readonly (readonly [string, Problem['kind'], string, Change])[] = [
    ['a missing segment', 'missing', second, (_, facts) => expect(facts.delete(second)).toBe(true)],
    ['another size', 'size', 'v90/00001.m4s', (title) => change(title, 1, 0, { bytes: 1 })],
    ['a gap', 'gap', 'v90/00003.m4s', (title) => change(title, 1, 2, { startTicks: 7 })],
    ['other boundaries', 'boundary', second, (title) => change(title, 1, 1, { ticks: 7 })],
    ['another shot', 'boundary', 'v90/00004.m4s', (title) => change(title, 1, 3, { shot: 0 })],
    ['one segment fewer', 'boundary', 'v90', (title) => expect(title.renditions[1]?.segments.pop()).toBeDefined()],
    ['a lost frame', 'frames', second, (_, facts) => patch(facts, second, { samples: 29 })],
    ['no keyframe', 'key', second, (_, facts) => patch(facts, second, { startsWithKey: false })],
    ['a shifted picture', 'time', second, (_, facts) => patch(facts, second, { presentationTicks: 0 })],
    ['a shifted segment', 'time', second, (_, facts) => patch(facts, second, { baseTicks: 0 })],
    ['another timescale', 'time', 'audio/00001.m4s', (title) => all(title, { timescale: 1000 })],
    ['frames unlike the shot', 'frames', 'shot 1', (title) => Object.assign(title.shots[1] ?? {}, { frames: 60 })],
    ['segments of unknown shots', 'boundary', 'v180', (title) => expect(title.shots.pop()).toBeDefined()],
    ['a skipped shot', 'boundary', 'v180/00003.m4s', (title) => change(title, 0, 2, { shot: 2 })],
    ['a wrong peak', 'rate', 'v180', (title) => all(title, { peakBandwidthBps: 1 })],
    ['a wrong average', 'rate', 'audio', (title) => all(title, { averageBandwidthBps: 1 })],
    ['a path out of the package', 'url', '../x.m4s', (title) => change(title, 1, 0, { url: '../x.m4s' })],
    ['a URL that needs quoting', 'url', 'a"b.m4s', (title) => change(title, 1, 0, { url: 'a"b.m4s' })],
    ['one URL twice', 'url', 'v90/00001.m4s', (title) => change(title, 1, 1, { url: 'v90/00001.m4s' })],
    ['one init for two tracks', 'url', 'v180/init.mp4', (title) => all(title, { initUrl: 'v180/init.mp4' })],
  ];
  test.each(cases)('%s', (_, kind, where, damage) => {
    const title = structuredClone(built.title);
    const facts = new Map(built.facts);
    damage(title, facts);
    const found = checkTitle({ title, facts, maxSegmentSeconds: 2.1 });
    expect(found.map((problem) => `${problem.kind} ${problem.where}`)).toContain(`${kind} ${where}`);
  });

  test('a segment above the limit', () => {
    const found = checkTitle({ ...built, maxSegmentSeconds: 1 });
    expect(new Set(found.map(({ kind }) => kind))).toEqual(new Set(['length']));
    expect(found.map(({ where }) => where)).toContain('v180/00001.m4s');
  });
});
