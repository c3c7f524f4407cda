// Arguments of every ffmpeg run, as data. Pure: a whole command can be read and tested without running one.

import type { FrameSpan } from '../plan/cuts.ts';
import { SMALL } from '../plan/features.ts';
import type { MetricName } from '../plan/metric.ts';
import type { LadderKind } from './codecs/choose.ts';
import type { BitDepth, PictureFormat, VideoRange } from './codecs/codec.ts';
import { SDR_8 } from './codecs/codec.ts';
import type { FrameRate } from './describe.ts';
import { labelled, losslessCodec, normalise, type PictureView, pixelFormat, rangeFilter } from './picture.ts';

/** Containers that are opened. Playlists, concat lists, image sequences and devices are none of them. */
const FORMATS = [
  ...['mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm', 'mpegts', 'mpeg', 'avi', 'flv', 'mxf', 'ogg', 'yuv4mpegpipe'],
  ...['nut', 'ivf', 'h264', 'hevc', 'asf', 'dv', 'gxf'],
].join(',');

/** The input as it is decoded everywhere: these frames, in this size, at this rate. */
export type SourceView = PictureView & {
  readonly path: string;
  readonly videoIndex: number;
  /** The audio stream that is analysed with the picture. */
  readonly audioIndex: number | undefined;
  /** What its first frame is late by, less than a frame: everything is moved by it, so that frames lie on the grid. */
  readonly phaseSeconds: number;
  readonly maxPixels: number;
};

/** A film has a picture, a few dozen sounds and texts, and fonts; each costs a demuxer's buffers. */
const MOST_STREAMS = 256;

/** Options that must stand before a file from outside: local file, known container, bounded picture; ends with -i and it. */
function guarded(path: string, maxPixels: number): string[] {
  return [
    '-protocol_whitelist',
    'file',
    '-format_whitelist',
    FORMATS,
    '-max_streams',
    `${MOST_STREAMS}`,
    '-max_pixels',
    `${maxPixels}`,
    '-i',
    `file:${path}`,
  ];
}

/** A source, guarded, its frames on the grid; ends with -i and it. */
export function opened({
  path,
  maxPixels,
  phaseSeconds,
}: Pick<SourceView, 'path' | 'maxPixels' | 'phaseSeconds'>): string[] {
  const moved = Math.abs(phaseSeconds) < 1e-6 ? [] : ['-itsoffset', (-phaseSeconds).toFixed(6)];
  return [...moved, ...guarded(path, maxPixels)];
}

/** Decodes one frame, and prints its time and the side data that only frames carry. */
export function firstArgs(view: Pick<SourceView, 'path' | 'videoIndex' | 'maxPixels'>): string[] {
  return [
    ...[
      '-hide_banner',
      '-nostdin',
      '-threads',
      '1',
      ...guarded(view.path, view.maxPixels),
      '-map',
      `0:${view.videoIndex}`,
    ],
    ...['-vf', 'showinfo', '-frames:v', '1', '-f', 'null', '-'],
  ];
}

/** Describes a file: ffmpeg prints its streams and ends with an error for want of an output. */
export function probeArgs(path: string, maxPixels: number): string[] {
  return ['-hide_banner', '-nostdin', ...guarded(path, maxPixels)];
}

const small = `scale=${SMALL.width}:${SMALL.height}:flags=area,format=yuv420p`;

/** Bounds of a decode that nobody has tried before. */
export type DecodeBounds = {
  /** Each thread of a decoder holds frames. */
  readonly threads: number;
  /** Output ends here: a gap in the timestamps must not be filled without end. */
  readonly seconds: number;
};

/** One decode of everything: small frames on `pipe:1`, mono 8 kHz samples on `pipe:4`. */
export function analyseArgs(view: SourceView, { threads, seconds }: DecodeBounds): string[] {
  const end = ['-t', `${seconds}`];
  const sound = ['-af', 'aresample=8000:async=1:first_pts=0', '-ac', '1', ...end, '-f', 's16le', 'pipe:4'];
  return [
    // A thread per core for filters and for writing would be beyond any bound by their stacks alone on a large host.
    ...['-filter_threads', `${threads}`, '-threads', `${threads}`, ...opened(view)],
    ...['-map', `0:${view.videoIndex}`, '-vf', `${normalise(view)},${small}`, '-fps_mode', 'passthrough'],
    ...['-threads', '1', ...end, '-f', 'rawvideo', 'pipe:1'],
    ...(view.audioIndex === undefined ? [] : ['-map', `0:${view.audioIndex}`, ...sound]),
  ];
}

/** How to reach a shot: by seeking, or by decoding from the first frame where seeking lands elsewhere. */
export type Reach = 'seek' | 'decode';

/** Lossless copies of one shot, one per light range. */
export type ShotCopies = readonly { readonly range: VideoRange; readonly file: string }[];

/** One shot as lossless files, its small frames on `pipe:1` to prove that they are the frames that were analysed. */
export function extractArgs(
  view: SourceView,
  shot: FrameSpan,
  options: { reach: Reach; copies: ShotCopies },
): string[] {
  const { num, den } = view.frameRate;
  const seconds = ((shot.start - 0.25) * den) / num;
  const seek = options.reach === 'seek' && shot.start > 0 ? ['-ss', seconds.toFixed(6)] : [];
  const cut = `trim=start_frame=${shot.start}:end_frame=${shot.start + shot.frames},setpts=PTS-STARTPTS`;
  const chain = options.reach === 'seek' ? normalise(view) : `${normalise(view)},${cut}`;
  const frames = ['-frames:v', `${shot.frames}`, '-fps_mode', 'passthrough'];
  const { copies } = options;
  const full = copies.map(({ range }, at) => `[c${at}]${rangeFilter(view, range)}[full${at}]`);
  const split = `${chain},split=${copies.length + 1}[half]${copies.map((_, at) => `[c${at}]`).join('')}`;
  const depthOf = (range: VideoRange): Pick<PictureFormat, 'bitDepth'> =>
    range === view.picture.videoRange ? view.picture : { bitDepth: 8 };
  return [
    ...seek,
    ...opened(view),
    ...['-filter_complex', [`[0:${view.videoIndex}]${split}`, ...full, `[half]${small}[small]`].join(';')],
    ...copies.flatMap(({ range, file }, at) => [
      ...['-map', `[full${at}]`, '-c:v', losslessCodec(depthOf(range)), ...frames, '-f', 'nut', file],
    ]),
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
  readonly kind: LadderKind;
  /** One of the encoder's own. */
  readonly preset: string;
  readonly threads: number;
  /** Quality values on the encoder's own scale. */
  readonly outputs: readonly { readonly crf: number; readonly file: string }[];
};

/** Ticks a second, and per frame, of video tracks: every frame whole, finer than a millisecond. */
export function videoTimescale(rate: FrameRate): { timescale: number; frameTicks: number } {
  const factor = rate.num < 10_000 ? 1000 : 1;
  return { timescale: rate.num * factor, frameTicks: rate.den * factor };
}

/** Trial encodes as CMAF, one fragment per segment. */
export function trialArgs(group: TrialGroup): string[] {
  const { frameRate, preset, threads } = group;
  const { codec, picture } = group.kind;
  // ffmpeg takes the first frame that is not before the time, which some builds round to whole frames first: a quarter of
  // a frame early it is the frame that is meant in either.
  const times = group.keyframes.map((frame) => (((frame - 0.25) * frameRate.den) / frameRate.num).toFixed(6));
  const forced = times.length === 0 ? [] : ['-force_key_frames', times.join(',')];
  const { timescale } = videoTimescale(frameRate);
  const labels = group.outputs.map((_, at) => `[o${at}]`);
  const scale = `scale=${group.width}:${group.height}:flags=bicubic+accurate_rnd,setsar=1`;
  const samples = `format=${pixelFormat(picture)},${labelled(picture.colour)}`;
  return [
    ...['-threads', '1', '-i', group.input],
    ...['-filter_complex', `[0:v]${scale},${samples},split=${labels.length}${labels.join('')}`],
    ...group.outputs.flatMap(({ crf, file }, at) => [
      ...['-map', labels[at] ?? '', '-fps_mode', 'passthrough'],
      ...codec.args({ quality: crf, preset, picture, threads }),
      ...[...forced, ...colourArgs(picture), '-video_track_timescale', `${timescale}`],
      ...['-movflags', '+cmaf+frag_keyframe', '-fflags', '+bitexact', '-map_metadata', '-1', '-f', 'mp4', file],
    ]),
  ];
}

/** Older builds take colour from options and not from frames. */
function colourArgs({ colour }: PictureFormat): string[] {
  const { primaries, transfer, matrix } = colour;
  const names = ['-color_primaries', primaries, '-color_trc', transfer, '-colorspace', matrix];
  return [...names, '-color_range', 'tv'];
}

/** What to measure against what. File names must need no escaping: they stand inside a filter graph. */
export type QualityRun = {
  /** Each is compared with the one reference; its scores are in a log of its name, see scoresOf(). */
  readonly distorted: readonly string[];
  readonly reference: string;
  readonly width: number;
  readonly height: number;
  readonly metric: MetricName;
  /** VMAF's, VMAF_MODEL when absent. */
  readonly model?: typeof VMAF_MODEL | typeof NEG_MODEL;
  /** Of the reference, in which both are compared; 8 when absent. */
  readonly bitDepth?: BitDepth;
  readonly subsample: number;
  readonly threads: number;
};

/** Where the scores of a compared file are written. */
export const scoresOf = (distorted: string): string => `${distorted}.log`;

/** The model that VMAF scores are given for. */
export const VMAF_MODEL = 'vmaf_v0.6.1';
/** The same with no reward for sharpening ("no enhancement gain"; Netflix, "Toward a Better Quality Metric", 2020). */
export const NEG_MODEL = 'vmaf_v0.6.1neg';

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
 * Scores every n-th frame at the source's size; the reference is decoded once for all. Both sides get frame numbers as timestamps: mismatched timebases would
 * pair wrong frames.
 */
export function qualityArgs(run: QualityRun): string[] {
  const { keep, period, kept } = thinningOf(run.metric, run.subsample);
  // Both sides get the same label, whatever it is: ffmpeg 7 converts one to the other's matrix where they differ.
  const align = `${keep}settb=1/1000,setpts=N,${labelled(SDR_8.colour)}`;
  const samples = pixelFormat({ bitDepth: run.bitDepth ?? 8 });
  const scale = `scale=${run.width}:${run.height}:flags=bicubic+accurate_rnd,format=${samples}`;
  const every = period === 1 ? run.subsample : kept.length;
  const model = `model=version=${run.model ?? VMAF_MODEL}:n_subsample=${every}:n_threads=${run.threads}`;
  const filterOf = (file: string): string =>
    run.metric === 'vmaf'
      ? `libvmaf=log_fmt=json:log_path=${scoresOf(file)}:${model}`
      : `${run.metric}=stats_file=${scoresOf(file)}`;
  const references = run.distorted.map((_, at) => `[r${at}]`).join('');
  const graph = [
    `[0:v]${align},format=${samples},split=${run.distorted.length}${references}`,
    ...run.distorted.map(
      (file, at) => `[${at + 1}:v]${align},${scale}[d${at}];[d${at}][r${at}]${filterOf(file)}[o${at}]`,
    ),
  ];
  return [
    ...[run.reference, ...run.distorted].flatMap((file) => ['-threads', '1', '-i', file]),
    ...['-filter_complex', graph.join(';')],
    ...run.distorted.flatMap((_, at) => ['-map', `[o${at}]`]),
    ...['-fps_mode', 'passthrough', '-f', 'null', '-'],
  ];
}

/** Decodes an MP4 from `pipe:0` and throws the pictures away. */
export function decodeArgs(threads: number): string[] {
  return [
    ...['-threads', `${threads}`, '-f', 'mp4', '-i', 'pipe:0'],
    ...['-fps_mode', 'passthrough', '-f', 'null', '-'],
  ];
}
