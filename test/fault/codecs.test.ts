// One HDR master through the whole program: three codecs, both ranges, folded and whole sound, subtitles; nothing is
// lost, all of it says what it is, and every rendition plays to its last frame.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EncodeJobInput, type Title, titleSchema } from '../../encoder/contract.ts';
import { parseInput, parseLight } from '../../encoder/ffmpeg/describe.ts';
import type { FfmpegTool } from '../../encoder/ffmpeg/find.ts';
import { findTool, make, makeFolder, stderrOf } from '../encoder/clips.ts';

const main = fileURLToPath(new URL('../../encoder/main.ts', import.meta.url));

describe('an HDR10 master', () => {
  const { folder, remove } = makeFolder();
  const at = (name: string): string => join(folder, name);
  let tool: FfmpegTool;
  let title: Title;
  beforeAll(async () => {
    tool = await findTool();
    const graph = '[0:v][1:v]concat=n=2,format=yuv420p10le,setparams=range=tv:color_primaries=bt2020';
    const display = 'G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)';
    writeFileSync(at('s.srt'), '1\n00:00:00,100 --> 00:00:01,300\nHello\n');
    make(tool, [
      ...['-f', 'lavfi', '-i', 'testsrc2=s=320x180:r=24000/1001:d=1'],
      ...['-f', 'lavfi', '-i', 'mandelbrot=s=320x180:r=24000/1001,trim=end_frame=20'],
      ...['-f', 'lavfi', '-i', 'sine=d=1.8,pan=5.1|FL=c0|FR=c0|FC=c0|LFE=c0|BL=c0|BR=c0', '-i', at('s.srt')],
      ...['-f', 'lavfi', '-i', 'sine=f=200:d=1.8'],
      ...['-filter_complex', `${graph}:color_trc=smpte2084:colorspace=bt2020nc[v]`],
      ...['-map', '[v]', '-map', '2:a', '-map', '4:a', '-map', '3:s', '-c:a', 'aac', '-c:s', 'srt'],
      ...['-metadata:s:a:0', 'language=ger', '-metadata:s:a:1', 'language=eng', '-metadata:s:s:0', 'language=fre'],
      ...['-c:v', 'libx265', '-preset', 'ultrafast', '-crf', '8'],
      ...['-x265-params', `log-level=error:master-display=${display}:max-cll=1000,400`],
      ...['-color_primaries', 'bt2020', '-color_trc', 'smpte2084', '-colorspace', 'bt2020nc', at('hdr.mkv')],
    ]);
    const job: EncodeJobInput = {
      ...{ version: 1, id: 'hdr', input: at('hdr.mkv'), outDir: at('out'), preset: 'ultrafast', segmentSeconds: 1 },
      codecs: ['hevc'],
      devices: ['browser'],
      ladder: { heights: [180, 144], minimumStep: 1 },
      trials: { crfs: [24, 34] },
      audio: { codecs: ['aac', 'opus'], surround: 'both' },
    };
    execFileSync(process.execPath, [main], { input: JSON.stringify(job), stdio: ['pipe', 'ignore', 'inherit'] });
    title = titleSchema.parse(JSON.parse(readFileSync(at('out/package/title.json'), 'utf8')));
  });
  afterAll(remove);

  test('has a ladder for every codec in every range that it can keep', () => {
    const ladders = [
      ...new Set(
        title.renditions.map(({ codec, videoRange, bitDepth, metric }) => {
          return `${codec.slice(0, 4)} ${videoRange} ${bitDepth} ${metric ?? title.metric.name}`;
        }),
      ),
    ];
    const sdr = title.metric.name;
    const proxy = sdr === 'xpsnr' ? 'xpsnr' : 'psnr';
    const both = (codec: string) => [`${codec} PQ 10 ${proxy}`, `${codec} SDR 8 ${sdr}`];
    expect(ladders).toEqual([...both('hvc1'), ...both('av01'), `avc1 SDR 8 ${sdr}`]);
    const notes = title.notes?.map(({ code }) => code);
    expect(notes).toEqual(expect.arrayContaining(['tone-mapped', 'hdr-dropped', 'hdr-proxy-metric']));
  });

  test('plays every rendition to its last frame, at the same boundaries, as what it says it is', () => {
    const starts = title.renditions[0]?.segments.map(({ startTicks }) => startTicks);
    for (const { id, initUrl, segments, videoRange, bitDepth } of title.renditions) {
      expect(segments.map(({ startTicks }) => startTicks)).toEqual(starts);
      const names = [initUrl, ...segments.map(({ url }) => url)];
      const bytes = Buffer.concat(names.map((name) => readFileSync(at(`out/package/${name}`))));
      const stderr = stderrOf(tool, ['-i', 'pipe:0', '-vf', 'showinfo', '-f', 'null', '-'], bytes);
      expect(`${id} ${stderr.match(/ pts_time:/g)?.length}`).toBe(`${id} 44`);
      expect(parseInput(stderr)?.video).toMatchObject({ videoRange, bitDepth });
      expect(parseLight(stderr).light).toEqual(videoRange === 'PQ' ? { max: 1000, average: 400 } : undefined);
    }
  });

  test('keeps both languages, folded and whole, each with its loudness, and its subtitles', () => {
    expect(title.audio.map(({ codec, channels, language }) => `${codec} ${channels} ${language}`)).toEqual(
      ['mp4a.40.2', 'opus'].flatMap((codec) => [`${codec} 2 de`, `${codec} 1 en`, `${codec} 6 de`]),
    );
    for (const { loudness } of title.audio) expect(loudness?.integratedLufs).toBeLessThan(0);
    expect(title.text).toMatchObject([{ language: 'fr', role: 'subtitles' }]);
  });
});
