// Arguments of every ffmpeg run, as data. Pure: a whole command can be read and tested without running one.

import type { FrameSpan } from '../plan/cuts.ts';
import { SMALL } from '../plan/features.ts';
import type { MetricName } from '../plan/metric.ts';
import type { FrameRate } from './parse.ts';

/** Containers that are opened. Playlists, concat lists, image sequences and devices are none of them. */
const FORMATS = [
  ...['mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm', 'mpegts', 'mpeg', 'avi', 'flv', 'mxf', 'ogg', 'yuv4mpegpipe'],
  ...['nut', 'ivf', 'h264', 'hevc', 'asf', 'dv', 'gxf'],
].join(',');

/** The input as it is decoded everywhere: these frames, in this size, at this rate. */
export type SourceView = {
  readonly path: string;
  readonly videoIndex: number;
  readonly audioIndex: number | undefined;
  readonly audioChannels: number;
  readonly width: number;
  readonly height: number;
  readonly frameRate: FrameRate;
  readonly isInterlaced: boolean;
  readonly maxPixels: number;
};

/** Options that must stand before a file from outside: local file, known container, bounded picture; ends with -i and it. */
export function guarded(path: string, maxPixels: number): string[] {
  return [
    '-protocol_whitelist',
    'file',
    '-format_whitelist',
    FORMATS,
    '-max_pixels',
    `${maxPixels}`,
    '-i',
    `file:${path}`,
  ];
}

/** Describes a file: ffmpeg prints its streams and ends with an error for want of an output. */
export function probeArgs(path: string, maxPixels: number): string[] {
  return ['-hide_banner', '-nostdin', ...guarded(path, maxPixels)];
}

/** Frames on one grid, upright (ffmpeg turns them), progressive, square pixels, even sizes, 8-bit 4:2:0, TV range. */
function normalise(view: SourceView): string {
  const { num, den } = view.frameRate;
  const chain = [
    ...(view.isInterlaced ? ['yadif'] : []),
    `fps=${num}/${den}:start_time=0`,
    `scale=${view.width}:${view.height}:flags=bicubic+accurate_rnd:out_range=tv`,
    'setsar=1',
    'format=yuv420p',
  ];
  return chain.join(',');
}

const small = `scale=${SMALL.width}:${SMALL.height}:flags=area,format=yuv420p`;

/** One decode of everything: small frames on `pipe:1`, mono 8 kHz samples on `pipe:4`. */
export function analyseArgs(view: SourceView): string[] {
  const audio =
    view.audioIndex === undefined
      ? []
      : [
          '-map',
          `0:${view.audioIndex}`,
          '-af',
          'aresample=8000:async=1:first_pts=0',
          '-ac',
          '1',
          '-f',
          's16le',
          'pipe:4',
        ];
  return [
    ...guarded(view.path, view.maxPixels),
    ...['-map', `0:${view.videoIndex}`, '-vf', `${normalise(view)},${small}`, '-fps_mode', 'passthrough'],
    ...['-f', 'rawvideo', 'pipe:1', ...audio],
  ];
}

/** How to reach a shot: by seeking, or by decoding from the first frame where seeking lands elsewhere. */
export type Reach = 'seek' | 'decode';

/** One shot as a lossless file, its small frames on `pipe:1` to prove that they are the frames that were analysed. */
export function extractArgs(view: SourceView, shot: FrameSpan, options: { reach: Reach; output: string }): string[] {
  const { num, den } = view.frameRate;
  const seconds = ((shot.start - 0.25) * den) / num;
  const seek = options.reach === 'seek' && shot.start > 0 ? ['-ss', seconds.toFixed(6)] : [];
  const cut = `trim=start_frame=${shot.start}:end_frame=${shot.start + shot.frames},setpts=PTS-STARTPTS`;
  const chain = options.reach === 'seek' ? normalise(view) : `${normalise(view)},${cut}`;
  const frames = ['-frames:v', `${shot.frames}`, '-fps_mode', 'passthrough'];
  return [
    ...seek,
    ...guarded(view.path, view.maxPixels),
    ...['-filter_complex', `[0:${view.videoIndex}]${chain},split[full][half];[half]${small}[small]`],
    ...['-map', '[full]', '-c:v', 'utvideo', ...frames, '-f', 'nut', options.output],
    ...['-map', '[small]', ...frames, '-f', 'rawvideo', 'pipe:1'],
  ];
}

/** All CRFs of one shot at one height, from one decode and one scaling. */
export type TrialGroup = {
  readonly input: string;
  readonly width: number;
  readonly height: number;
  readonly frameRate: FrameRate;
  /** First frames of all segments but the first. */
  readonly keyframes: readonly number[];
  readonly preset: string;
  readonly threads: number;
  readonly outputs: readonly { readonly crf: number; readonly file: string }[];
};

/** Ticks a second, and per frame, of video tracks: every frame whole, finer than a millisecond. */
export function videoTimescale(rate: FrameRate): { timescale: number; frameTicks: number } {
  const factor = rate.num < 10_000 ? 1000 : 1;
  return { timescale: rate.num * factor, frameTicks: rate.den * factor };
}

/** x264 settings under which any two encodes of one height share their init segment, and only our keyframes exist. */
const X264 = 'stitchable=1:keyint=infinite:min-keyint=1:scenecut=0:open-gop=0';

/** Trial encodes as CMAF, one fragment per segment. */
export function trialArgs(group: TrialGroup): string[] {
  const { num, den } = group.frameRate;
  // ffmpeg rounds a forced keyframe up to the next frame: half a frame early makes it the frame that is meant.
  const times = group.keyframes.map((frame) => (((frame - 0.5) * den) / num).toFixed(6));
  const forced = times.length === 0 ? [] : ['-force_key_frames', times.join(','), '-forced-idr', '1'];
  const { timescale } = videoTimescale(group.frameRate);
  const labels = group.outputs.map((_, at) => `[o${at}]`);
  const scale = `scale=${group.width}:${group.height}:flags=bicubic+accurate_rnd,setsar=1`;
  return [
    ...['-threads', '1', '-i', group.input],
    ...['-filter_complex', `[0:v]${scale},split=${labels.length}${labels.join('')}`],
    ...group.outputs.flatMap(({ crf, file }, at) => [
      ...['-map', labels[at] ?? '', '-fps_mode', 'passthrough', '-c:v', 'libx264', '-preset', group.preset],
      ...['-crf', `${crf}`, '-profile:v', 'high', '-pix_fmt', 'yuv420p', '-threads', `${group.threads}`],
      ...['-x264-params', X264, ...forced, '-video_track_timescale', `${timescale}`],
      ...['-movflags', '+cmaf+frag_keyframe', '-fflags', '+bitexact', '-map_metadata', '-1', '-f', 'mp4', file],
    ]),
  ];
}

/** What to measure against what. File names must need no escaping: they stand inside a filter graph. */
export type QualityRun = {
  readonly distorted: string;
  readonly reference: string;
  readonly width: number;
  readonly height: number;
  readonly metric: MetricName;
  readonly subsample: number;
  readonly threads: number;
  readonly log: string;
};

/** The model that VMAF scores are given for. */
export const VMAF_MODEL = 'vmaf_v0.6.1';

/** Which frames a run compares so that every n-th can be scored, as an expression of ffmpeg's select filter. */
type Thinning = { readonly keep: string; readonly period: number; readonly kept: readonly number[] };

/**
 * libvmaf looks at single frames but for motion, which it takes from both neighbours: the other frames can be dropped
 * before they are scaled, and the scores stay the same. The other metrics need no neighbours.
 */
function thinningOf(metric: MetricName, subsample: number): Thinning {
  const kept = metric === 'vmaf' ? [0, 1, subsample - 1] : [0];
  const period = subsample > kept.length ? subsample : 1;
  if (period === 1) return { keep: '', period, kept: [0] };
  return { keep: `select='${kept.map((at) => `eq(mod(n\\,${period})\\,${at})`).join('+')}',`, period, kept };
}

/** How many frames a run compares, and how many of these it scores. */
export function comparedFrames(frames: number, run: Pick<QualityRun, 'metric' | 'subsample'>) {
  const { kept, period } = thinningOf(run.metric, run.subsample);
  const compared = kept.reduce((sum, at) => sum + Math.max(0, Math.ceil((frames - at) / period)), 0);
  const isPerFrame = run.metric !== 'vmaf' && period === 1;
  return { compared, scored: isPerFrame ? frames : Math.ceil(frames / run.subsample) };
}

/**
 * Scores every n-th frame at the source's size. Both sides get frame numbers as timestamps: mismatched timebases would
 * pair wrong frames.
 */
export function qualityArgs(run: QualityRun): string[] {
  const { keep, period, kept } = thinningOf(run.metric, run.subsample);
  const align = `${keep}settb=1/1000,setpts=N`;
  const scale = `scale=${run.width}:${run.height}:flags=bicubic+accurate_rnd,format=yuv420p`;
  const every = period === 1 ? run.subsample : kept.length;
  const model = `model=version=${VMAF_MODEL}:n_subsample=${every}:n_threads=${run.threads}`;
  const filter =
    run.metric === 'vmaf' ? `libvmaf=log_fmt=json:log_path=${run.log}:${model}` : `${run.metric}=stats_file=${run.log}`;
  const graph = `[0:v]${align},${scale}[d];[1:v]${align},format=yuv420p[r];[d][r]${filter}`;
  return [
    ...['-threads', '1', '-i', run.distorted, '-threads', '1', '-i', run.reference],
    ...['-filter_complex', graph, '-fps_mode', 'passthrough', '-f', 'null', '-'],
  ];
}

/** Decodes an MP4 from `pipe:0` and throws the pictures away. */
export function decodeArgs(threads: number): string[] {
  return [
    ...['-threads', `${threads}`, '-f', 'mp4', '-i', 'pipe:0'],
    ...['-fps_mode', 'passthrough', '-f', 'null', '-'],
  ];
}
