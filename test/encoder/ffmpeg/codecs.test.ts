// Every encoder on real frames: planned keyframes, exact frames, one init segment for a rung, colour and light as told.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decodeArgs, type TrialGroup, trialArgs } from '../../../encoder/ffmpeg/args.ts';
import { chooseKinds, type KindOptions, type LadderKind, wantedCodecs } from '../../../encoder/ffmpeg/codecs/choose.ts';
import { type CodecName, type PictureFormat, SDR_8, withinRange } from '../../../encoder/ffmpeg/codecs/codec.ts';
import { SOFTWARE } from '../../../encoder/ffmpeg/codecs/software.ts';
import { parseInput, parseLight } from '../../../encoder/ffmpeg/describe.ts';
import type { FfmpegTool } from '../../../encoder/ffmpeg/find.ts';
import type { Ffmpeg } from '../../../encoder/ffmpeg/run.ts';
import { parseFragmented } from '../../../encoder/package/fmp4.ts';
import { codecString, differingBoxes } from '../../../encoder/package/init.ts';
import { findTool, make, makeFolder, openOne, stderrOf } from '../clips.ts';

const { folder, remove } = makeFolder();
let tool: FfmpegTool;
let ffmpeg: Ffmpeg;
beforeAll(async () => {
  tool = await findTool();
  ({ ffmpeg } = openOne(tool));
  const lossless = ['-c:v', 'ffvhuff', '-frames:v', '24'];
  make(tool, [
    '-f',
    'lavfi',
    '-i',
    'testsrc2=s=96x64:r=24000/1001',
    '-vf',
    'format=yuv420p10le',
    ...lossless,
    join(folder, 'a.nut'),
  ]);
  make(tool, [
    '-f',
    'lavfi',
    '-i',
    'mandelbrot=s=96x64:r=24000/1001',
    '-vf',
    'format=yuv420p',
    ...lossless,
    join(folder, 'b.nut'),
  ]);
});
afterAll(remove);

const PQ: PictureFormat = {
  bitDepth: 10,
  videoRange: 'PQ',
  colour: { primaries: 'bt2020', transfer: 'smpte2084', matrix: 'bt2020nc' },
  mastering: {
    ...{ red: [0.68, 0.32], green: [0.265, 0.69], blue: [0.15, 0.06], white: [0.3127, 0.329] },
    ...{ minLuminance: 0.005, maxLuminance: 1000 },
  },
  light: { max: 1000, average: 400 },
};
const HLG: PictureFormat = {
  ...{ ...PQ, videoRange: 'HLG', mastering: undefined, light: undefined },
  colour: { ...PQ.colour, transfer: 'arib-std-b67' },
};

const groupOf = (codec: CodecName, picture: PictureFormat, input: string, files: readonly string[]): TrialGroup => ({
  ...{ input, width: 96, height: 64, frameRate: { num: 24000, den: 1001 }, keyframes: [8, 15], threads: 1 },
  kind: { id: codec, codec: SOFTWARE[codec], picture, metric: 'psnr' },
  preset: SOFTWARE[codec].presetAt('ultrafast'),
  outputs: files.map((file, at) => ({ crf: SOFTWARE[codec].qualityAt(20 + at * 12), file })),
});
const parse = (file: string) => parseFragmented(readFileSync(join(folder, file)));

describe.each([
  ['h264', SDR_8, 'avc1.42C00'],
  ['hevc', SDR_8, 'hvc1.1.6.L'],
  ['hevc', PQ, 'hvc1.2.4.L'],
  ['av1', SDR_8, /^av01\.0\.\d\dM\.08$/],
  ['av1', PQ, /^av01\.0\.\d\dM\.10\.0\.110\.09\.16\.09\.0$/],
  ['av1', HLG, /^av01\.0\.\d\dM\.10\.0\.110\.09\.18\.09\.0$/],
] as const)('%s', (codec, picture, codecs) => {
  const id = `${codec}-${picture.videoRange}`;
  const files = [`${id}-a0.mp4`, `${id}-a1.mp4`, `${id}-b0.mp4`];
  const [first = '', second = '', other = ''] = files;
  beforeAll(async () => {
    await ffmpeg.run({ args: trialArgs(groupOf(codec, picture, 'a.nut', [first, second])), cwd: folder });
    await ffmpeg.run({ args: trialArgs(groupOf(codec, picture, 'b.nut', [other])), cwd: folder });
  });

  test(`${picture.videoRange}: keyframes where they were planned, every frame once, in order`, () => {
    for (const file of files) {
      const { fragments, timescale } = parse(file);
      expect(timescale).toBe(24_000);
      expect(fragments.map(({ samples }) => samples)).toEqual([8, 7, 9]);
      expect(fragments.map(({ baseTicks }) => baseTicks)).toEqual([0, 8008, 15_015]);
      expect(fragments.every(({ startsWithKey }) => startsWithKey)).toBe(true);
      for (const { presentationTicks, baseTicks } of fragments) expect(presentationTicks).toBe(baseTicks);
    }
    expect(parse(second).fragments[0]?.payloadBytes).toBeLessThan(parse(first).fragments[0]?.payloadBytes ?? 0);
  });

  test(`${picture.videoRange}: one init segment for every quality and every content, and its codecs string`, () => {
    const { init } = parse(first);
    for (const file of [second, other]) expect(differingBoxes(init, parse(file).init)).toEqual([]);
    expect(codecString(init)).toMatch(codecs);
  });

  test(`${picture.videoRange}: closed: any fragment decodes by itself, with the init segment of another encode`, async () => {
    const init = parse(other).init;
    for (const { bytes, samples } of parse(second).fragments) {
      const input = async function* (): AsyncGenerator<Buffer> {
        yield Buffer.concat([init, bytes]);
      };
      const { frames, errors } = await ffmpeg.run({ args: decodeArgs(1), cwd: folder, input });
      expect({ frames, errors }).toEqual({ frames: samples, errors: [] });
    }
  });

  test(`${picture.videoRange}: colour, depth and light are signalled, in later fragments too`, () => {
    const { init, fragments } = parse(first);
    const late = Buffer.concat([init, fragments[2]?.bytes ?? Buffer.alloc(0)]);
    const stderr = stderrOf(tool, ['-i', 'pipe:0', '-vf', 'showinfo', '-frames:v', '1', '-f', 'null', '-'], late);
    const { videoRange, bitDepth, colour, mastering, light } = picture;
    expect(parseInput(stderr)?.video).toMatchObject({ videoRange, bitDepth, colour });
    // AV1 holds luminances in steps of 2^-14 and 2^-8 (metadata_hdr_mdcv).
    const told = parseLight(stderr);
    const rounded = told.mastering && {
      ...told.mastering,
      minLuminance: Number(told.mastering.minLuminance.toFixed(4)),
    };
    expect({ mastering: rounded, light: told.light }).toEqual({ mastering, light });
  });
});

test.each([
  [24000, 1001],
  [25, 1],
  [30000, 1001],
  [50, 1],
  [60000, 1001],
  [12, 1],
])('planned keyframes are kept at %d/%d frames a second', async (num, den) => {
  const keyframes = [1, 7, 13, 14];
  const outputs = [{ crf: 30, file: 'rate.mp4' }];
  make(tool, [
    '-i',
    join(folder, 'b.nut'),
    '-vf',
    `setpts=N*${den}/${num}/TB`,
    '-r',
    `${num}/${den}`,
    '-c:v',
    'utvideo',
    join(folder, 'rate.nut'),
  ]);
  const group = { ...groupOf('h264', SDR_8, 'rate.nut', []), frameRate: { num, den }, keyframes, outputs };
  await ffmpeg.run({ args: trialArgs(group), cwd: folder });
  expect(parse('rate.mp4').fragments.map(({ samples }) => samples)).toEqual([1, 6, 6, 1, 10]);
});

test('a quality beyond the range of an encoder is its last', () => {
  for (const codec of Object.values(SOFTWARE)) {
    const values = Array.from({ length: 52 }, (_, crf) => codec.qualityAt(crf));
    expect(values).toEqual(values.toSorted((a, b) => a - b));
    for (const value of values) expect(withinRange(value, codec.quality)).toBe(value);
    for (const preset of SOFTWARE.h264.presets) expect(codec.presets).toContain(codec.presetAt(preset));
  }
  expect(SOFTWARE.hevc.qualityAt(34)).toBe(38.8);
});

describe('which ladders', () => {
  const options: KindOptions = {
    codecs: ['hevc', 'h264'],
    encoders: SOFTWARE,
    source: SDR_8,
    ...{ width: 320, height: 180, hdr: { pass: true, toneMap: true }, canToneMap: true, metric: 'vmaf' },
  };
  const chosen = (more: Partial<KindOptions>) => {
    const { kinds, notes } = chooseKinds({ ...options, ...more });
    return {
      kinds: kinds.map(({ id, picture, metric }: LadderKind) => `${id} ${picture.bitDepth} ${metric}`),
      notes: notes.map(({ code }) => code),
    };
  };
  const tenBits: PictureFormat = { ...SDR_8, bitDepth: 10 };
  const { h264 } = SOFTWARE;
  test.each<[string, Partial<KindOptions>, string[], string[]]>([
    ['eight bits stay eight', {}, ['hevc-SDR 8 vmaf', 'h264-SDR 8 vmaf'], []],
    ['ten bits stay where they can', { source: tenBits }, ['hevc-SDR 10 vmaf', 'h264-SDR 8 vmaf'], ['depth-reduced']],
    [
      'HDR is passed, and tone mapped beside it',
      { source: PQ },
      ['hevc-PQ 10 psnr', 'hevc-SDR 8 vmaf', 'h264-SDR 8 vmaf'],
      ['tone-mapped', 'hdr-dropped', 'hdr-proxy-metric'],
    ],
    [
      'HLG too, and its proxy is the best there is',
      { source: HLG, codecs: ['av1'], metric: 'xpsnr' },
      ['av1-HLG 10 xpsnr', 'av1-SDR 8 xpsnr'],
      ['tone-mapped', 'hdr-proxy-metric'],
    ],
    [
      'no zscale: HDR alone',
      { source: PQ, canToneMap: false },
      ['hevc-PQ 10 psnr'],
      ['sdr-not-made', 'hdr-dropped', 'hdr-proxy-metric'],
    ],
    [
      'no zscale, no codec of ten bits: nothing',
      { source: PQ, canToneMap: false, codecs: ['h264'] },
      [],
      ['hdr-dropped', 'sdr-not-made'],
    ],
    [
      'no HDR wanted',
      { source: PQ, hdr: { pass: false, toneMap: true }, codecs: ['hevc'] },
      ['hevc-SDR 8 vmaf'],
      ['hdr-dropped', 'tone-mapped'],
    ],
    ['an encoder that is not built in', { encoders: { h264 } }, ['h264-SDR 8 vmaf'], ['codec-left']],
    ['a picture too small for AV1', { codecs: ['av1', 'h264'], height: 48 }, ['h264-SDR 8 vmaf'], ['codec-left']],
  ])('%s', (_name, more, kinds, notes) => expect(chosen(more)).toEqual({ kinds, notes }));

  test.each<[CodecName[], Parameters<typeof wantedCodecs>[0]['devices'], CodecName[]]>([
    [['h264'], [], ['h264']],
    [['av1'], [], ['av1']],
    [['h264'], ['tv', 'browser'], ['h264', 'av1', 'hevc']],
    [['av1'], ['android'], ['av1', 'h264']],
    [['hevc'], ['modern'], ['hevc', 'av1', 'h264']],
  ])('codecs %j for devices %j are %j', (codecs, devices, wanted) => {
    expect(wantedCodecs({ codecs, devices })).toEqual(wanted);
  });
});
