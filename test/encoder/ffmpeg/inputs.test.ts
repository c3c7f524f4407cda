// Every kind of input becomes one kind of picture and sound: rates, drift, fields, alpha, HDR, loudness, subtitles.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { extractArgs, opened } from '../../../encoder/ffmpeg/args.ts';
import { AUDIO_CODECS, type AudioCodecName, planAudio } from '../../../encoder/ffmpeg/audio.ts';
import type { VideoRange } from '../../../encoder/ffmpeg/codecs/codec.ts';
import type { AudioStream } from '../../../encoder/ffmpeg/describe.ts';
import type { FfmpegTool } from '../../../encoder/ffmpeg/find.ts';
import { encodeAudio, extractText } from '../../../encoder/ffmpeg/fluent.ts';
import { parseLoudness } from '../../../encoder/ffmpeg/parse.ts';
import { normalise } from '../../../encoder/ffmpeg/picture.ts';
import { probe, type Source } from '../../../encoder/ffmpeg/probe.ts';
import { parseFragmented } from '../../../encoder/package/fmp4.ts';
import { codecString } from '../../../encoder/package/init.ts';
import { findTool, make, makeFolder, openOne, stdoutOf } from '../clips.ts';

const { folder, remove } = makeFolder();
const at = (name: string): string => join(folder, name);
let tool: FfmpegTool;
beforeAll(async () => {
  tool = await findTool();
});
afterAll(remove);

const probeFile = (name: string): Promise<Source> =>
  probe(tool, { input: at(name), maxPixels: 1e6, signal: new AbortController().signal });

/** Luma planes of the normalised picture, 8 bit. */
function lumas({ view }: Source, filter = 'null'): Buffer[] {
  const chain = `${normalise(view)},${filter},extractplanes=y,format=gray`;
  const output = ['-map', `0:${view.videoIndex}`, '-vf', chain, '-fps_mode', 'passthrough', '-f', 'rawvideo', '-'];
  const bytes = stdoutOf(tool, [...opened(view), ...output]);
  const size = view.width * view.height;
  return Array.from({ length: bytes.length / size }, (_, index) => bytes.subarray(index * size, (index + 1) * size));
}

/** Seconds at which the decoded sound becomes loud, each onset once. */
function onsets(file: string): number[] {
  const bytes = stdoutOf(tool, ['-i', file, '-ac', '1', '-ar', '48000', '-f', 's16le', '-']);
  const samples = new Int16Array(bytes.buffer, bytes.byteOffset, bytes.length >> 1);
  const found: number[] = [];
  let last = Number.NEGATIVE_INFINITY;
  for (const [index, sample] of samples.entries()) {
    if (Math.abs(sample) < 3000) continue;
    if (index - last > 24_000) found.push(index / 48_000);
    last = index;
  }
  return found;
}

/** Flashes and beeps of 0.1 s, together, at these seconds. */
const MARKS = [0.5, 4];
const isMarked = MARKS.map((mark) => `between(t\\,${mark}\\,${mark + 0.0999})`).join('+');

describe('picture and sound stay together', () => {
  const make10 = (name: string, rate: string, options: { drop?: string; soundAt?: number } = {}): void => {
    const flash = `color=black:s=64x64:r=${rate}:d=4.5,drawbox=c=white:t=fill:enable=${isMarked}${options.drop ?? ''}`;
    const { soundAt = 0 } = options;
    const marked = MARKS.map((mark) => `between(t\\,${mark - soundAt}\\,${mark + 0.0999 - soundAt})`).join('+');
    const beep = `aevalsrc=0.5*sin(6283*t)*(${marked}):s=44100:d=${4.5 - soundAt}`;
    make(tool, [
      ...['-f', 'lavfi', '-i', flash, '-itsoffset', `${soundAt}`, '-f', 'lavfi', '-i', beep, '-fps_mode', 'vfr'],
      ...['-c:v', 'libx264', '-preset', 'ultrafast', '-c:a', 'aac', at(name)],
    ]);
  };
  test.each<[string, string, { drop?: string; soundAt?: number }, string, AudioCodecName]>([
    ['23.976', '24000/1001', {}, '24000/1001', 'aac'],
    ['25', '25', {}, '25/1', 'aac'],
    ['29.97', '30000/1001', {}, '30000/1001', 'opus'],
    ['50', '50', {}, '50/1', 'opus'],
    ['59.94', '60000/1001', {}, '60000/1001', 'aac'],
    ['variable', '30', { drop: ",select='not(eq(mod(n\\,7)\\,3))*not(between(n\\,60\\,80))'" }, '30/1', 'aac'],
    ['25, its sound beginning late', '25', { soundAt: 0.4 }, '25/1', 'opus'],
  ])('%s frames a second', async (name, rate, options, grid, codec) => {
    make10(`${name}.mp4`, rate, options);
    const source = await probeFile(`${name}.mp4`);
    const { num, den } = source.view.frameRate;
    expect(`${num}/${den}`).toBe(grid);
    expect(source.isVariable).toBe(name === 'variable');
    const flashes = lumas(source)
      .map((luma) => (luma[0] ?? 0) > 128)
      .flatMap((isBright, index, all) => (isBright && all[index - 1] === false ? [(index * den) / num] : []));
    expect(flashes).toHaveLength(MARKS.length);
    const [plan] = planAudio(source.audio, { codecs: [codec], surround: 'stereo' });
    if (plan === undefined) throw new Error('the clip has sound');
    const target = { plan, output: at('sound.mp4'), seconds: 4.5, segmentSeconds: 2 };
    await encodeAudio(openOne(tool).ffmpeg, source.view, target);
    const beeps = onsets(at('sound.mp4'));
    expect(beeps).toHaveLength(MARKS.length);
    // The grid moves a flash by at most a frame, an encoder's look-ahead a beep by a few milliseconds.
    const drift = flashes.map((flash, index) => (beeps[index] ?? Number.NaN) - flash);
    for (const seconds of drift) expect(Math.abs(seconds)).toBeLessThan(den / num + 0.012);
    // From the first mark to the last nothing is gained or lost but the grid's one frame.
    expect(Math.abs((drift[1] ?? 0) - (drift[0] ?? 0))).toBeLessThan(den / num + 0.002);
  });
});

describe('a picture that begins after its sound', () => {
  // AAC's priming begins 23 ms before the picture in Matroska; a transport stream begins anywhere.
  test.each(['priming.mkv', 'stream.ts'])('%s: no frame is doubled, the same come by seeking', async (name) => {
    const picture = ['-f', 'lavfi', '-i', 'testsrc2=s=64x64:r=24000/1001:d=2'];
    const sound = ['-f', 'lavfi', '-i', 'sine=d=2:r=44100', '-c:a', 'aac'];
    make(tool, [...picture, ...sound, '-c:v', 'libx264', '-preset', 'ultrafast', '-g', '12', at(name)]);
    const source = await probeFile(name);
    const frames = lumas(source);
    expect(frames).toHaveLength(48);
    const copies = [{ range: 'SDR', file: at('late.nut') }] as const;
    stdoutOf(tool, ['-y', ...extractArgs(source.view, { start: 30, frames: 3 }, { reach: 'seek', copies })]);
    const bytes = stdoutOf(tool, ['-i', at('late.nut'), '-vf', 'extractplanes=y', '-f', 'rawvideo', '-']);
    // A transport stream has no index to seek by: there shots are decoded from the first frame.
    if (name.endsWith('.mkv')) expect(bytes.equals(Buffer.concat(frames.slice(30, 33)))).toBe(true);
  });
});

describe('pictures', () => {
  test('fields are joined: no combs are left, every frame is there', async () => {
    const motion = 'testsrc2=s=96x64:r=50:d=0.6,crop=64:64:mod(n*7\\,32):0,interlace';
    const fields = ['-c:v', 'mpeg2video', '-qscale:v', '2', '-flags', '+ilme+ildct'];
    make(tool, ['-f', 'lavfi', '-i', motion, ...fields, at('fields.mkv')]);
    const source = await probeFile('fields.mkv');
    expect(source.view.isInterlaced).toBe(true);
    const combs = (frames: readonly Buffer[]): number => {
      const [width, height] = [source.view.width, source.view.height];
      let sum = 0;
      for (const frame of frames)
        for (let i = 0; i < width * (height - 2); i += 1) {
          sum += Math.abs((frame[i] ?? 0) - 2 * (frame[i + width] ?? 0) + (frame[i + 2 * width] ?? 0));
        }
      return sum / frames.length;
    };
    const woven = lumas({ ...source, view: { ...source.view, isInterlaced: false } });
    const joined = lumas(source);
    expect(joined).toHaveLength(15);
    expect(combs(joined)).toBeLessThan(combs(woven) * 0.7);
  });

  test('what is transparent is black, what is not stays as it is', async () => {
    const half = 'color=white:s=64x64:r=25:d=0.08,format=rgba,geq=r=255:g=255:b=255:a=255*gte(X\\,32)';
    make(tool, ['-f', 'lavfi', '-i', half, '-c:v', 'utvideo', at('alpha.mkv')]);
    const source = await probeFile('alpha.mkv');
    expect(source.view).toMatchObject({ hasAlpha: true, isRgb: true });
    const [luma] = lumas(source);
    expect([luma?.[8], luma?.[56]]).toEqual([16, 235]);
  });

  test('ten bits stay ten, from the source into the lossless copy', async () => {
    const ramp = 'gradients=s=64x64:r=25:d=0.2:c0=black:c1=white:x0=0:y0=0:x1=63:y1=0:nb_colors=2,format=yuv420p10le';
    make(tool, ['-f', 'lavfi', '-i', ramp, '-c:v', 'ffvhuff', at('deep.mkv')]);
    const { view } = await probeFile('deep.mkv');
    expect(view.picture).toMatchObject({ bitDepth: 10, videoRange: 'SDR' });
    const copies = [{ range: 'SDR', file: at('deep.nut') }] as const;
    const args = extractArgs(view, { start: 1, frames: 2 }, { reach: 'seek', copies });
    stdoutOf(tool, ['-y', ...args]);
    const bytes = stdoutOf(tool, ['-i', at('deep.nut'), '-f', 'rawvideo', '-']);
    expect(bytes.length).toBe(2 * 64 * 64 * 1.5 * 2);
    const levels = new Set(Array.from({ length: 64 }, (_, x) => bytes.readUInt16LE(x * 2)));
    // A ramp of 64 steps in eight bits would have multiples of four only.
    expect([...levels].some((level) => level % 4 !== 0)).toBe(true);
  });

  test.runIf(process.platform === 'linux').each<[VideoRange, string, number]>([
    // Code values of 0, 10, 100, 203 and 1000 cd/m2 in PQ (ST 2084, ten bits, limited range); of HLG 0, 25, 50, 75, 100 %.
    ['PQ', '64,329,509,573,723', 0.58 * 219 + 16],
    ['HLG', '64,283,502,721,940', 0.75 * 219 + 16],
  ])('%s becomes SDR in order, white below the top, black black', async (range, codes) => {
    const values = codes.split(',').map(Number);
    const levels = values.map((value, bar) => `${value}*eq(trunc(X/16)\\,${bar})`).join('+');
    const bars = `color=s=80x64:r=25:d=0.08,format=yuv420p10le,geq=lum=${levels}:cb=512:cr=512`;
    const transfer = range === 'PQ' ? 'smpte2084' : 'arib-std-b67';
    const colour = ['-color_primaries', 'bt2020', '-color_trc', transfer, '-colorspace', 'bt2020nc'];
    const labels = `setparams=color_primaries=bt2020:color_trc=${transfer}:colorspace=bt2020nc:range=tv`;
    const lossless = ['-c:v', 'libx265', '-x265-params', 'lossless=1:log-level=error'];
    make(tool, ['-f', 'lavfi', '-i', `${bars},${labels}`, ...lossless, ...colour, at(`${range}.mp4`)]);
    const { view } = await probeFile(`${range}.mp4`);
    expect(view.picture).toMatchObject({ bitDepth: 10, videoRange: range });
    const copies = (['SDR', range] as const).map((each) => ({ range: each, file: at(`${range}-${each}.nut`) }));
    stdoutOf(tool, ['-y', ...extractArgs(view, { start: 0, frames: 2 }, { reach: 'seek', copies })]);
    const sdr = stdoutOf(tool, ['-i', at(`${range}-SDR.nut`), '-frames:v', '1', '-f', 'rawvideo', '-']);
    expect(sdr.length).toBe(80 * 64 * 1.5);
    const shown = values.map((_, bar) => sdr[32 * 80 + bar * 16 + 8] ?? 0);
    expect(shown).toEqual(shown.toSorted((a, b) => a - b));
    expect(new Set(shown).size).toBe(5);
    expect(shown[0]).toBeLessThanOrEqual(17);
    expect(shown[3]).toBeGreaterThan(100);
    expect(shown[3]).toBeLessThan(230);
    expect(shown[4]).toBeLessThanOrEqual(235);
    const kept = stdoutOf(tool, ['-i', at(`${range}-${range}.nut`), '-frames:v', '1', '-f', 'rawvideo', '-']);
    expect(values.map((_, bar) => kept.readUInt16LE((32 * 80 + bar * 16 + 8) * 2))).toEqual(values);
  });
});

describe('sound', () => {
  const stream = (index: number, channels: number): AudioStream => {
    return { index, channels, language: 'und', name: undefined, role: 'main' };
  };
  test.each<[string, number[], AudioCodecName[], 'stereo' | 'keep' | 'both', string[]]>([
    ['nothing', [], ['aac'], 'both', []],
    ['mono stays', [1], ['aac'], 'stereo', ['aac 0 1']],
    ['three channels are two', [3], ['aac'], 'both', ['aac 0 2']],
    ['5.1 is folded', [6], ['aac'], 'stereo', ['aac 0 2']],
    ['5.1 is kept, 7.1 as 5.1', [6, 8], ['aac'], 'keep', ['aac 0 6', 'aac 1 6']],
    ['5.1 is both, stereo first', [6, 2], ['aac'], 'both', ['aac 0 2', 'aac 1 2', 'aac 0 6']],
    ['each codec once', [2, 1], ['opus', 'aac'], 'stereo', ['opus 0 2', 'opus 1 1', 'aac 0 2', 'aac 1 1']],
  ])('%s', (_name, channels, codecs, surround, expected) => {
    const plans = planAudio(
      channels.map((count, index) => stream(index, count)),
      { codecs, surround },
    );
    expect(plans.map((plan) => `${plan.codec} ${plan.stream.index} ${plan.channels}`)).toEqual(expected);
  });

  test.each<[AudioCodecName, 2 | 6, string]>([
    ['aac', 2, 'mp4a.40.2'],
    ['aac', 6, 'mp4a.40.2'],
    ['opus', 2, 'opus'],
    ['opus', 6, 'opus'],
  ])('%s of %d channels: exact length, whole frames, loudness', async (codec, channels, string) => {
    // EBU Tech 3341 case 1, but at -20 dBFS: a stereo sine of 1 kHz is as many LUFS; in 5.1 only left and right sound.
    const sine = 'aevalsrc=0.1*sin(6283.2*t)|0.1*sin(6283.2*t)|0|0|0|0:c=5.1(side):s=48000:d=2.5';
    make(tool, ['-f', 'lavfi', '-i', sine, '-f', 'lavfi', '-i', 'color=s=64x64:d=2.5', '-c:a', 'flac', at('51.mkv')]);
    const source = await probeFile('51.mkv');
    const plans = planAudio(source.audio, { codecs: [codec], surround: 'both' });
    const plan = plans.find((each) => each.channels === channels);
    if (plan === undefined) throw new Error('the clip has sound');
    const target = { plan, output: at('level.mp4'), seconds: 2.5, segmentSeconds: 1 };
    const loudness = await encodeAudio(openOne(tool).ffmpeg, source.view, target);
    // Folding to two keeps left and right as they are.
    expect(Math.abs((loudness?.integratedLufs ?? 0) + 20)).toBeLessThan(0.3);
    expect(Math.abs((loudness?.truePeakDbtp ?? 0) + 20)).toBeLessThan(0.3);
    const { init, fragments, timescale } = parseFragmented(readFileSync(at('level.mp4')));
    expect(codecString(init)).toBe(string);
    expect(timescale).toBe(48_000);
    const ticks = fragments.reduce((sum, fragment) => sum + fragment.ticks, 0);
    expect(Math.abs(ticks - 2.5 * 48_000)).toBeLessThanOrEqual(AUDIO_CODECS[codec].frameSamples);
    for (const fragment of fragments) expect(fragment.ticks).toBeLessThanOrEqual(48_000);
  });

  test('six loud channels are folded without clipping', async () => {
    const loud = '0.8*sin(2764*t)';
    const six = `aevalsrc=${Array.from({ length: 6 }, () => loud).join('|')}:c=5.1:s=48000:d=1`;
    make(tool, ['-f', 'lavfi', '-i', six, '-f', 'lavfi', '-i', 'color=s=64x64:d=1', '-c:a', 'flac', at('loud.mkv')]);
    const source = await probeFile('loud.mkv');
    const [plan] = planAudio(source.audio, { codecs: ['aac'], surround: 'stereo' });
    if (plan === undefined) throw new Error('the clip has sound');
    const target = { plan, output: at('loud.mp4'), seconds: 1, segmentSeconds: 1 };
    const loudness = await encodeAudio(openOne(tool).ffmpeg, source.view, target);
    // Without a limiter it would be 0.8 * (1 + 0.71 + 0.71), 5.7 dB above full scale.
    expect(loudness?.truePeakDbtp).toBeLessThan(0);
    expect(loudness?.truePeakDbtp).toBeGreaterThan(-3);
  });

  test('silence has no peak, and no summary is no loudness', () => {
    const text =
      'Integrated loudness:\n    I:         -70.0 LUFS\n  Loudness range:\n    LRA:  0.0 LU\n  True peak:\n    Peak:  -inf dBFS';
    expect(parseLoudness(text)).toEqual({ integratedLufs: -70, rangeLu: 0 });
    expect(parseLoudness('frame= 1')).toBeUndefined();
  });
});

describe('subtitles', () => {
  test('that are text become WebVTT, in time', async () => {
    writeFileSync(at('s.srt'), '1\n00:00:00,100 --> 00:00:00,300\nHello <i>you</i> & me\n');
    make(tool, [
      ...['-f', 'lavfi', '-i', 'color=s=64x64:d=0.4', '-i', at('s.srt'), '-map', '0', '-map', '1', '-c:s', 'srt'],
      ...['-metadata:s:s:0', 'language=fre', '-disposition:s:0', 'forced', at('sub.mkv')],
    ]);
    const { view, text } = await probeFile('sub.mkv');
    expect(text).toMatchObject([{ isImage: false, language: 'fr', role: 'forced' }]);
    const [stream] = text;
    if (stream === undefined) throw new Error('the clip has subtitles');
    await extractText(openOne(tool).ffmpeg, view, { stream, output: at('s.vtt') });
    const vtt = readFileSync(at('s.vtt'), 'utf8');
    expect(vtt).toMatch(/^WEBVTT\n/);
    expect(vtt).toMatch(/00:00\.100 --> 00:00\.300\nHello <i>you<\/i> (?:&|&amp;) me/);
  });
});
