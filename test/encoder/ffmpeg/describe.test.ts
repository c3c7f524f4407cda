// How inputs are described: rates, colours, sounds and texts as ffmpeg prints them.
import { describe, expect, test } from 'vitest';
import { gridOf, parseInput, parseLight, parsePhase } from '../../../encoder/ffmpeg/describe.ts';

const input = (...lines: readonly string[]) => parseInput(`Input #0, m, from 'x':\n${lines.join('\n')}`);
const video = (pixels: string, rest = '64x64, 25 fps, 25 tbr, 1k tbn') =>
  input(`  Stream #0:0: Video: h264 (High), ${pixels}, ${rest}`)?.video;

describe('frame rates', () => {
  test.each([
    ['NTSC film', 23.98, 23.98, { num: 24000, den: 1001 }, false],
    ['PAL', 25, 25, { num: 25, den: 1 }, false],
    ['NTSC', 29.97, 29.97, { num: 30000, den: 1001 }, false],
    ['50p', 50, 50, { num: 50, den: 1 }, false],
    ['NTSC 60p', 59.94, 59.94, { num: 60000, den: 1001 }, false],
    ['interlaced, its fields counted', 25, 50, { num: 25, den: 1 }, false],
    ['slow and constant', 12.5, 12.5, { num: 25, den: 2 }, false],
    ['a phone that dropped frames of 30', 25.93, 30, { num: 30, den: 1 }, true],
    ['a screen recording on a millisecond raster', 21.4, 1000, { num: 24000, den: 1001 }, true],
    ['mean only', 14.99, Number.NaN, { num: 15000, den: 1001 }, false],
    ['raster only', Number.NaN, 30, { num: 30, den: 1 }, false],
  ])('%s', (_name, mean, base, frameRate, isVariable) => {
    expect(gridOf(mean, base)).toEqual({ frameRate, isVariable });
  });

  test.each([
    ['0.021', 0.021],
    ['0.04', 0],
    ['0.07', 0.03],
    ['0.079', -0.001],
    ['NOPTS', 0],
  ])('a first frame at %s lies %d s off the grid of 25', (printed, seconds) => {
    const stderr = `[Parsed_showinfo_0 @ 0x1] n:   0 pts:      0 pts_time:${printed}   duration: 1`;
    expect(parsePhase(stderr, { num: 25, den: 1 })).toBeCloseTo(seconds, 6);
  });

  test('no rate is none', () => expect(gridOf(Number.NaN, Number.NaN)).toBeUndefined());
});

describe('colour', () => {
  const bt709 = { primaries: 'bt709', transfer: 'bt709', matrix: 'bt709' };
  const bt601 = { primaries: 'smpte170m', transfer: 'smpte170m', matrix: 'smpte170m' };
  test.each([
    ['stated once', 'yuv420p(tv, bt709, progressive)', { colour: bt709 }],
    [
      'stated in three',
      'yuv420p(tv, bt470bg/bt470bg/smpte170m)',
      {
        colour: { primaries: 'bt470bg', transfer: 'smpte170m', matrix: 'bt470bg' },
      },
    ],
    ['not stated, small', 'yuv420p', { colour: bt601, bitDepth: 8, videoRange: 'SDR' }],
    ['partly unknown', 'yuv420p(tv, smpte170m/unknown/unknown)', { colour: bt601 }],
    ['RGB', 'gbrp(pc, gbr/unknown/unknown)', { isRgb: true, colour: bt709 }],
    ['HDR10', 'yuv420p10le(tv, bt2020nc/bt2020/smpte2084)', { videoRange: 'PQ', bitDepth: 10 }],
    ['HLG', 'yuv420p10le(tv, bt2020nc/bt2020/arib-std-b67, progressive)', { videoRange: 'HLG', bitDepth: 10 }],
    ['ten bits in SDR', 'yuv422p10le(tv, bt709, progressive)', { videoRange: 'SDR', bitDepth: 10 }],
    ['alpha', 'yuva444p12le(bt709)', { hasAlpha: true, bitDepth: 10 }],
    ['alpha in RGB', 'bgra', { hasAlpha: true, isRgb: true, bitDepth: 8 }],
    ['interlaced, nested parentheses', 'yuv420p(top coded first (swapped))', { isInterlaced: true }],
  ])('%s', (_name, pixels, expected) => expect(video(pixels)).toMatchObject(expected));

  test('not stated and large is BT.709', () => {
    expect(video('yuv420p', '1280x720, 25 fps, 25 tbr')?.colour).toEqual(bt709);
  });

  test('a graded display and its light', () => {
    const display = 'has_primaries:1 has_luminance:1 r(0.6800,0.3200) g(0.2650,0.6900) b(0.1500 0.0600)';
    const text = `${display} wp(0.3127, 0.3290) min_luminance=0.005000, max_luminance=1000.000000
      Content light level metadata: MaxCLL=1000, MaxFALL=400`;
    expect(parseLight(text)).toEqual({
      mastering: {
        ...{ red: [0.68, 0.32], green: [0.265, 0.69], blue: [0.15, 0.06], white: [0.3127, 0.329] },
        ...{ minLuminance: 0.005, maxLuminance: 1000 },
      },
      light: { max: 1000, average: 400 },
    });
    expect(parseLight('nothing')).toEqual({ mastering: undefined, light: undefined });
  });
});

describe('tracks', () => {
  test('sound has its channels, language, name and role, the default first', () => {
    const found = input(
      '  Stream #0:1(ger): Audio: aac (LC), 44100 Hz, 5.1(side), fltp (comment)',
      '      Metadata:',
      '        title           : Regie\u0007  ',
      '  Stream #0:2[0x3](en-GB): Audio: ac3, 48000 Hz, 7.1, fltp (default)',
      '  Stream #0:3(xx-not-a-tag-1): Audio: pcm_s16le, 48000 Hz, 3 channels, s16 (visual impaired)',
    );
    expect(found?.audio).toEqual([
      { index: 2, channels: 8, language: 'en-GB', name: undefined, role: 'main' },
      { index: 1, channels: 6, language: 'de', name: 'Regie', role: 'commentary' },
      { index: 3, channels: 3, language: 'und', name: undefined, role: 'description' },
    ]);
  });

  test('subtitles are text or pictures', () => {
    const found = input(
      '  Stream #0:4(fre): Subtitle: subrip (srt) (forced) (hearing impaired)',
      '  Stream #0:5(eng): Subtitle: hdmv_pgs_subtitle, 1920x1080',
      '  Stream #0:6: Subtitle: mov_text (tx3g / 0x67337874) (captions)',
    );
    expect(found?.text).toMatchObject([
      { index: 4, isImage: false, language: 'fr', role: 'forced' },
      { index: 5, isImage: true, language: 'en', role: 'subtitles' },
      { index: 6, isImage: false, language: 'und', role: 'captions' },
    ]);
  });
});
