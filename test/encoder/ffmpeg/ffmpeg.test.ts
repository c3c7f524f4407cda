// ffmpeg in use: what it says is read right, runs are bounded and watched, inputs are named or refused, shots are exact.
import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { comparedFrames, qualityArgs } from '../../../encoder/ffmpeg/args.ts';
import { frameRateOf, parseInput } from '../../../encoder/ffmpeg/describe.ts';
import type { FfmpegTool } from '../../../encoder/ffmpeg/find.ts';
import { findFfmpeg } from '../../../encoder/ffmpeg/find.ts';
import { parseStats, parseVmafLog } from '../../../encoder/ffmpeg/parse.ts';
import { probe, type Source } from '../../../encoder/ffmpeg/probe.ts';
import { measureQuality } from '../../../encoder/ffmpeg/quality.ts';
import { extractShot, findShots } from '../../../encoder/ffmpeg/shots.ts';
import { CLIP_SHOTS, findTool, make, makeClip, makeFolder, makeScript, openOne } from '../clips.ts';

const { folder, remove } = makeFolder();
const at = (name: string): string => join(folder, name);
let tool: FfmpegTool;
beforeAll(async () => {
  tool = await findTool();
  makeClip(tool, at('clip.mp4'), { audio: true });
});
afterAll(remove);

const probeFile = (path: string, maxPixels = 16_000_000): Promise<Source> =>
  probe(tool, { input: path, maxPixels, signal: new AbortController().signal });

describe('parsing', () => {
  test.each([
    [24, { num: 24, den: 1 }],
    [23.98, { num: 24000, den: 1001 }],
    [29.97, { num: 30000, den: 1001 }],
    [59.94, { num: 60000, den: 1001 }],
    [12.5, { num: 25, den: 2 }],
    [14.99, { num: 15000, den: 1001 }],
    [0, undefined],
    [Number.NaN, undefined],
  ])('printed rate %d', (printed, rate) => expect(frameRateOf(printed)).toEqual(rate));

  test('a description with a cover picture, rotation, anamorphic pixels and two audio streams', () => {
    const text = `Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'file:x.mp4':
  Duration: 01:02:03.50, start: 0.000000, bitrate: 1 kb/s
  Stream #0:0: Video: mjpeg, yuvj420p, 600x600 [SAR 1:1 DAR 1:1], 90k tbr, 90k tbn (attached pic)
  Stream #0:1[0x1](und): Video: h264 (High) (avc1 / 0x31637661), yuv420p(tv, bt709, top first), 720x576 [SAR 16:15 DAR 4:3], 5860 kb/s, 29.97 fps, 30k tbn (default)
      Side data:
        displaymatrix: rotation of -90.00 degrees
  Stream #0:2[0x2](ger): Audio: aac (LC) (mp4a / 0x6134706D), 48000 Hz, 5.1, fltp, 192 kb/s (default)
  Stream #0:3[0x3](eng): Audio: aac (LC), 44100 Hz, mono, fltp`;
    const { video, ...rest } = parseInput(text) ?? {};
    expect(rest).toEqual({
      format: 'mov,mp4,m4a,3gp,3g2,mj2',
      durationSeconds: 3723.5,
      audio: [
        { index: 2, channels: 6, language: 'de', name: undefined, role: 'main' },
        { index: 3, channels: 1, language: 'en', name: undefined, role: 'main' },
      ],
      text: [],
    });
    expect(video).toMatchObject({
      index: 1,
      width: 720,
      height: 576,
      quarterTurns: 1,
      isInterlaced: true,
      videoRange: 'SDR',
      hasAlpha: false,
      colour: { primaries: 'bt709', transfer: 'bt709', matrix: 'bt709' },
    });
    expect(video?.pixelAspect).toBeCloseTo(16 / 15);
    expect(video?.frameRate).toEqual({ num: 30000, den: 1001 });
  });

  test('HDR transfers are seen', () => {
    const line =
      "Input #0, m, from 'x':\n  Stream #0:0: Video: hevc, yuv420p10le(tv, bt2020nc/bt2020/smpte2084), 64x64, 25 fps";
    expect(parseInput(line)?.video).toMatchObject({ videoRange: 'PQ', bitDepth: 10 });
  });

  test('quality logs', () => {
    expect(parseVmafLog('{"frames":[{"metrics":{"vmaf":90.5}},{"metrics":{}}]}')).toEqual([90.5, Number.NaN]);
    expect(parseStats('n:1 Y:0.98 All:0.975 (16.1)\nn:2 All:1.0 (inf)\n', 'ssim')).toEqual([0.975, 1]);
    expect(parseStats('n:1 psnr_avg:40 psnr_y:39.5\nn:2 psnr_y:inf\n', 'psnr')).toEqual([39.5, 100]);
  });

  test('nothing is nothing', () => expect(parseInput('No such file')).toBeUndefined());
});

describe('finding', () => {
  test('FFMPEG_PATH that does not run is one line that names it', async () => {
    const env = { ...process.env, FFMPEG_PATH: '/no/ffmpeg' };
    const error: unknown = await findTool(env).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'ENCODER_FFMPEG_MISSING' });
    expect(String(error)).toMatch(/^[^\n]*FFMPEG_PATH is \/no\/ffmpeg[^\n]*$/);
  });

  test('FFMPEG_PATH goes before the job, and what is no ffmpeg is refused', async () => {
    const fake = makeScript(at('fake'), ['echo hello']);
    const found = findFfmpeg({ env: { FFMPEG_PATH: fake }, ffmpegPath: tool.path });
    await expect(found).rejects.toThrow(/it is no ffmpeg/);
    const named = await findFfmpeg({ env: { PATH: process.env['PATH'] }, ffmpegPath: tool.path });
    expect(named).toMatchObject({ path: tool.path, why: 'named by ffmpegPath of the job' });
  });

  test('a build without libvmaf falls back to a metric that it has', async () => {
    const path = makeScript(at('no-vmaf'), [
      `case "$*" in *-filters*) ${tool.path} "$@" | grep -v libvmaf;; *) exec ${tool.path} "$@";; esac`,
    ]);
    const found = await findFfmpeg({ env: { ...process.env, FFMPEG_PATH: path }, ffmpegPath: undefined });
    expect(found.hasVmaf).toBe(false);
    expect(['xpsnr', 'ssim', 'psnr']).toContain(found.metric);
  });
});

describe('running', () => {
  test('a run that hangs is killed, tried once more, and named', async () => {
    const count = at('hangs');
    const path = makeScript(at('hang'), [`echo x >> ${count}`, 'trap "" TERM', 'while :; do sleep 0.1; done']);
    const { ffmpeg } = openOne({ ...tool, path }, 300);
    await expect(ffmpeg.run({ args: [], cwd: folder })).rejects.toMatchObject({
      code: 'ENCODER_FFMPEG_STALLED',
      retryable: true,
    });
    expect(readFileSync(count, 'utf8')).toBe('x\nx\n');
  });

  test('a run that is killed from outside is tried once more and may then succeed', async () => {
    const mark = at('killed-once');
    const path = makeScript(at('die'), [
      `if [ ! -e ${mark} ]; then touch ${mark}; kill -9 $$; fi`,
      `exec ${tool.path} "$@"`,
    ]);
    const { ffmpeg } = openOne({ ...tool, path });
    const source = ['-f', 'lavfi', '-i', 'testsrc2=s=64x64:r=25:d=0.4', '-f', 'null', '-'];
    const result = await ffmpeg.run({ args: source, cwd: folder });
    expect(result.frames).toBe(10);
    expect(existsSync(mark)).toBe(true);
  });

  test('an error that ffmpeg reports is given with its last words, not tried again', async () => {
    const { ffmpeg } = openOne(tool);
    const error: unknown = await ffmpeg
      .run({ args: ['-i', '/no/file', '-f', 'null', '-'], cwd: folder })
      .catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'ENCODER_FFMPEG_FAILED', retryable: false });
    expect(String(error)).toContain('No such file');
  });

  test('stopping ends running and queued runs at once', async () => {
    const { ffmpeg, stop } = openOne(tool);
    const endless = ['-re', '-f', 'lavfi', '-i', 'testsrc2=s=64x64', '-f', 'null', '-'];
    const started = new Promise<void>((resolve) => {
      // That it is stopped is the point; the queued one below shows with what.
      void ffmpeg.run({ args: endless, cwd: folder, onStart: resolve }).catch(() => undefined);
    });
    const queued = ffmpeg.run({ args: endless, cwd: folder });
    await started;
    const before = performance.now();
    stop();
    await expect(queued).rejects.toMatchObject({ code: 'ENCODER_STOPPED' });
    expect(performance.now() - before).toBeLessThan(2000);
  });
});

describe('probing', () => {
  test('a clip is described without ffprobe', async () => {
    const source = await probeFile(at('clip.mp4'));
    expect(source.view).toMatchObject({ width: 320, height: 180, frameRate: { num: 25, den: 1 } });
    expect(source.audio).toMatchObject([{ channels: 1 }]);
    expect(source.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(source.durationSeconds).toBeCloseTo(2.4, 1);
  });

  test.each([
    ['turned', ['-display_rotation:v:0', '90'], ['-c', 'copy'], { width: 180, height: 320 }],
    ['anamorphic', [], ['-c', 'copy', '-bsf:v', 'h264_metadata=sample_aspect_ratio=4/3'], { width: 426, height: 180 }],
  ])('a %s clip is seen as it is shown', async (name, before, after, size) => {
    make(tool, [...before, '-i', at('clip.mp4'), ...after, at(`${name}.mp4`)]);
    expect((await probeFile(at(`${name}.mp4`))).view).toMatchObject(size);
  });

  const refused: readonly (readonly [string, string, () => string])[] = [
    ['ENCODER_INPUT_MISSING', 'a missing file', () => at('none.mp4')],
    ['ENCODER_INPUT_REFUSED', 'a folder', () => folder],
    ['ENCODER_INPUT_CORRUPT', 'an empty file', () => written('empty.mp4', '')],
    ['ENCODER_INPUT_CORRUPT', 'garbage', () => written('garbage.mp4', 'x'.repeat(5000))],
    ['ENCODER_INPUT_REFUSED', 'an HLS playlist', () => written('a.mp4', '#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n')],
    ['ENCODER_INPUT_REFUSED', 'a concat list', () => written('b.mp4', "ffconcat version 1.0\nfile '/etc/passwd'\n")],
    ['ENCODER_INPUT_REFUSED', 'a DASH manifest', () => written('c.mpd', '<?xml version="1.0"?><MPD></MPD>')],
    ['ENCODER_NO_VIDEO', 'sound alone', () => sound()],
    ['ENCODER_INPUT_SEALED', 'an encrypted file', () => sealed()],
    ['ENCODER_INPUT_CORRUPT', 'a file cut before its index', () => cut()],
  ];
  const written = (name: string, text: string): string => {
    writeFileSync(at(name), text);
    return at(name);
  };
  const sound = (): string => {
    make(tool, ['-f', 'lavfi', '-i', 'sine=d=1', at('sound.m4a')]);
    return at('sound.m4a');
  };
  const sealed = (): string => {
    const key = [
      '-encryption_scheme',
      'cenc-aes-ctr',
      '-encryption_key',
      '0'.repeat(32),
      '-encryption_kid',
      '1'.repeat(32),
    ];
    make(tool, ['-i', at('clip.mp4'), '-c', 'copy', ...key, at('sealed.mp4')]);
    return at('sealed.mp4');
  };
  const cut = (): string => {
    writeFileSync(at('cut.mp4'), readFileSync(at('clip.mp4')));
    truncateSync(at('cut.mp4'), 20_000);
    return at('cut.mp4');
  };
  test.each(refused)('%s: %s', async (code, _name, path) => {
    await expect(probeFile(path())).rejects.toMatchObject({ code, retryable: false });
  });

  test('too many pixels are refused', async () => {
    await expect(probeFile(at('clip.mp4'), 1000)).rejects.toMatchObject({ code: 'ENCODER_INPUT_REFUSED' });
  });

  test('a playlist hidden behind a comment fetches nothing', async () => {
    let asked = 0;
    const server = createServer((_request, response) => {
      asked += 1;
      response.end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    // A server that listens on TCP has such an address.
    const { port } = server.address() as AddressInfo;
    writeFileSync(at('hidden.m3u8'), `\n\n#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:${port}/x.ts\n#EXT-X-ENDLIST\n`);
    await expect(probeFile(at('hidden.m3u8'))).rejects.toMatchObject({ code: 'ENCODER_INPUT_REFUSED' });
    expect(asked).toBe(0);
    server.close();
  });
});

describe('shots', () => {
  test('begin at the cuts, carry features, and extract to the same frames', async () => {
    const { ffmpeg } = openOne(tool);
    const source = await probeFile(at('clip.mp4'));
    const shots = await findShots(ffmpeg, source, () => undefined);
    expect(shots.map((shot) => shot.frames)).toEqual(CLIP_SHOTS);
    expect(shots[0]?.features.loudness).toBeGreaterThan(0.5);
    expect(shots[2]?.features.loudness).toBe(0);
    expect(shots[2]?.features.saturation).toBeGreaterThan(shots[1]?.features.saturation ?? 1);
    for (const [index, shot] of shots.entries()) {
      await extractShot(ffmpeg, source.view, {
        ...shot,
        cwd: folder,
        copies: [{ range: 'SDR', file: `shot-${index}.nut` }],
      });
    }
  });

  test('other frames than planned are refused', async () => {
    const { ffmpeg } = openOne(tool);
    const source = await probeFile(at('clip.mp4'));
    const [shot] = await findShots(ffmpeg, source, () => undefined);
    if (shot === undefined) throw new Error('the clip has shots');
    const copies = [{ range: 'SDR', file: 'forged.nut' }] as const;
    const forged = { ...shot, start: shot.start + 1, cwd: folder, copies };
    await expect(extractShot(ffmpeg, source.view, forged)).rejects.toMatchObject({ code: 'ENCODER_FRAMES_DIFFER' });
  });

  test('variable frame rate and odd size are brought onto one even grid', async () => {
    const filter = "select='not(eq(mod(n\\,7)\\,3))',scale=321:181:flags=neighbor,format=yuv444p";
    make(tool, ['-i', at('clip.mp4'), '-vf', filter, '-fps_mode', 'vfr', '-c:v', 'libx264', '-qp', '4', at('vfr.mkv')]);
    const { ffmpeg } = openOne(tool);
    const source = await probeFile(at('vfr.mkv'));
    expect(source.view).toMatchObject({ width: 320, height: 180 });
    const shots = await findShots(ffmpeg, source, () => undefined);
    const frames = shots.reduce((sum, shot) => sum + shot.frames, 0);
    const { num, den } = source.view.frameRate;
    expect((frames * den) / num).toBeCloseTo(2.4, 0);
    for (const [index, shot] of shots.entries()) {
      await extractShot(ffmpeg, source.view, {
        ...shot,
        cwd: folder,
        copies: [{ range: 'SDR', file: `vfr-${index}.nut` }],
      });
    }
  });

  test('a stream that ends early or breaks off is corrupt', async () => {
    make(tool, ['-i', at('clip.mp4'), '-c', 'copy', '-movflags', '+faststart', at('front.mp4')]);
    truncateSync(at('front.mp4'), Math.floor(readFileSync(at('front.mp4')).length / 2));
    const { ffmpeg } = openOne(tool);
    const found = probeFile(at('front.mp4')).then((source) => findShots(ffmpeg, source, () => undefined));
    await expect(found).rejects.toMatchObject({ code: 'ENCODER_INPUT_CORRUPT' });
  });
});

describe('quality', () => {
  const run = {
    width: 320,
    height: 180,
    threads: 1,
    distorted: ['low.mp4'],
    reference: 'clip.mp4',
  } as const;
  beforeAll(() => make(tool, ['-i', at('clip.mp4'), '-an', '-vf', 'scale=160:90', '-crf', '34', at('low.mp4')]));

  test.runIf(process.platform === 'linux').each([1, 4, 5, 7])(
    'dropping frames changes no score, every %d',
    async (subsample) => {
      const { ffmpeg } = openOne(tool);
      expect(tool.metric).toBe('vmaf');
      const [thin] = await measureQuality(ffmpeg, { ...run, metric: 'vmaf', subsample, cwd: folder, frames: 60 });
      const plain = qualityArgs({ ...run, metric: 'vmaf', subsample }).map((argument) =>
        argument.replace(/select='[^']*',/g, '').replace(/n_subsample=\d+/, `n_subsample=${subsample}`),
      );
      await ffmpeg.run({ args: plain, cwd: folder });
      const scores = parseVmafLog(readFileSync(at('low.mp4.log'), 'utf8'));
      expect(thin?.mean).toBeCloseTo(scores.reduce((sum, score) => sum + score, 0) / scores.length, 6);
      expect(thin?.mean).toBeLessThan(95);
    },
  );

  test.each(['ssim', 'psnr'] as const)('%s scores the frames that it should', async (metric) => {
    const { ffmpeg } = openOne(tool);
    const files = ['low.mp4', 'clip.mp4'];
    const [far, same] = await measureQuality(ffmpeg, {
      ...run,
      distorted: files,
      metric,
      subsample: 5,
      cwd: folder,
      frames: 60,
    });
    expect(far?.mean).toBeLessThan(same?.mean ?? Number.NaN);
  });

  test('the same pictures in files of other timebases are equal, frame for frame', async () => {
    // 23.976 frames a second: Matroska holds whole milliseconds only.
    const copy = ['-itsscale', `${25.025 / 24}`, '-i', at('clip.mp4'), '-an', '-c', 'copy'];
    make(tool, [...copy, '-video_track_timescale', '24000', at('fine.mp4')]);
    make(tool, [...copy, at('coarse.mkv')]);
    const { ffmpeg } = openOne(tool);
    const files = { distorted: ['fine.mp4'], reference: 'coarse.mkv', cwd: folder, frames: 60 };
    // Equal pictures are infinitely many decibels apart, which is read as 100.
    expect(await measureQuality(ffmpeg, { ...run, ...files, metric: 'psnr', subsample: 1 })).toMatchObject([
      { mean: 100 },
    ]);
  });

  test('the same samples under other colour labels are equal: neither side is converted', async () => {
    // Utvideo tells BT.601 of what is not labelled BT.709.
    make(tool, ['-i', at('clip.mp4'), '-an', '-frames:v', '10', '-c:v', 'utvideo', at('plain.nut')]);
    const label = 'setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709';
    make(tool, ['-i', at('plain.nut'), '-vf', label, '-c:v', 'libx264', '-qp', '0', at('label.mp4')]);
    const { ffmpeg } = openOne(tool);
    const files = { distorted: ['label.mp4'], reference: 'plain.nut', cwd: folder, frames: 10 };
    expect(await measureQuality(ffmpeg, { ...run, ...files, metric: 'psnr', subsample: 1 })).toMatchObject([
      { mean: 100 },
    ]);
  });

  test('a comparison of other frames than planned is refused', async () => {
    const { ffmpeg } = openOne(tool);
    const measured = measureQuality(ffmpeg, { ...run, metric: 'vmaf', subsample: 5, cwd: folder, frames: 59 });
    await expect(measured).rejects.toMatchObject({ code: 'ENCODER_FRAMES_DIFFER' });
  });

  test.each([
    [60, 1, { compared: 60, scored: 60 }],
    [60, 5, { compared: 36, scored: 12 }],
    [1, 5, { compared: 1, scored: 1 }],
    [7, 5, { compared: 5, scored: 2 }],
    [60, 3, { compared: 60, scored: 20 }],
  ])('of %d frames, every %d', (frames, subsample, expected) => {
    expect(comparedFrames(frames, { metric: 'vmaf', subsample })).toEqual(expected);
  });
});
