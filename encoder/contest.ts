// The contest between software and hardware: the same frames of the title through both, real encodes, real scores.
import assert from 'node:assert/strict';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { EncoderError } from './errors.ts';
import { type TrialGroup, trialArgs } from './ffmpeg/args.ts';
import type { LadderKind } from './ffmpeg/codecs/choose.ts';
import type { VideoCodec } from './ffmpeg/codecs/codec.ts';
import { judgeHardware, type Sample, type Verdict } from './ffmpeg/codecs/hardware.ts';
import type { Source } from './ffmpeg/probe.ts';
import { measureQuality } from './ffmpeg/quality.ts';
import { type Ffmpeg, openFfmpeg } from './ffmpeg/run.ts';
import { extractShot, type Shot } from './ffmpeg/shots.ts';
import { BoxError } from './package/boxes.ts';
import { parseFragmented } from './package/fmp4.ts';
import { differingBoxes } from './package/init.ts';
import { toPoints } from './plan/metric.ts';

/** Frames of the title that are encoded by both, at most. */
const MOST_FRAMES = 48;
/** On x264's scale. */
const CRFS = [22, 29, 36];

/** A contest over some frames of a title. `software` is the kind of ladder that hardware would take over. */
export type Contest = {
  readonly ffmpeg: Ffmpeg;
  readonly source: Source;
  readonly shots: readonly Shot[];
  /** x264's name. */
  readonly preset: string;
  readonly subsample: number;
  /** Working folder. */
  readonly folder: string;
  readonly software: LadderKind;
};

/** Whether this encoder starts at all on this machine: a device, a driver, a free session. Never rejects. */
export async function isThere(ffmpeg: Ffmpeg, codec: VideoCodec, picture: LadderKind['picture']): Promise<boolean> {
  const set = apart(ffmpeg);
  const [preset = ''] = codec.presets;
  const encode = codec.args({ quality: codec.qualityAt(30), preset, picture, threads: 1 });
  const input = ['-f', 'lavfi', '-i', 'color=s=256x256:r=25:d=0.2,format=yuv420p'];
  return set.run({ args: [...input, ...encode, '-f', 'null', '-'], cwd: '/' }).then(
    () => true,
    () => false,
  );
}

/** A set of its own: what fails in a contest must not stop the job's other runs. */
function apart(ffmpeg: Ffmpeg): Ffmpeg {
  return openFfmpeg(ffmpeg.tool, ffmpeg.options);
}

/**
 * Encodes the longest shot's first frames with both and judges. Hardware that fails, drops frames, or writes another
 * init segment for each quality has lost. Rejects only when software fails, or the job is stopped.
 */
export async function holdContest(contest: Contest, codec: VideoCodec): Promise<Verdict> {
  const { shots, source, folder, software } = contest;
  const longest = shots.reduce((most, shot) => (shot.frames > most.frames ? shot : most));
  const frames = Math.min(MOST_FRAMES, longest.frames);
  const ffmpeg = apart(contest.ffmpeg);
  const input = 'tmp-contest.nut';
  const copies = [{ range: software.picture.videoRange, file: input }];
  try {
    await extractShot(ffmpeg, source.view, { ...longest, frames, cwd: folder, copies });
    const field = { ...contest, ffmpeg, frames, input };
    const soft = await encodeAll(field, software);
    const hard = await encodeAll(field, { ...software, codec }).catch((error: unknown) => {
      const isLoss = (error instanceof EncoderError && error.code !== 'ENCODER_STOPPED') || error instanceof BoxError;
      if (!isLoss) throw error;
      return error.message;
    });
    return typeof hard === 'string' ? { wins: false, why: hard.slice(0, 200) } : judgeHardware(soft, hard);
  } finally {
    contest.ffmpeg.spend(ffmpeg.cpuSeconds());
    await rm(join(folder, input), { force: true });
  }
}

type Field = Contest & { readonly frames: number; readonly input: string };

async function encodeAll(field: Field, kind: LadderKind): Promise<Sample[]> {
  const samples: Sample[] = [];
  let first: Buffer | undefined;
  for (const crf of CRFS) {
    const file = 'tmp-contest.mp4';
    const path = join(field.folder, file);
    try {
      const { init, sample } = await encodeOne(field, kind, { crf: kind.codec.qualityAt(crf), file });
      const differing = first === undefined ? [] : differingBoxes(first, init);
      if (differing.length > 0) {
        throw new EncoderError('ENCODER_INIT_DIFFERS', `it writes another ${differing[0]} for each quality`);
      }
      first ??= init;
      samples.push(sample);
    } finally {
      await rm(path, { force: true });
    }
  }
  return samples;
}

async function encodeOne(
  { ffmpeg, source, frames, folder, input, preset, subsample }: Field,
  kind: LadderKind,
  output: { readonly crf: number; readonly file: string },
): Promise<{ readonly init: Buffer; readonly sample: Sample }> {
  const { width, height, frameRate, picture } = source.view;
  const middle = Math.floor(frames / 2);
  const keyframes = middle > 0 ? [middle] : [];
  const group: TrialGroup = {
    ...{ input, width, height, frameRate, kind, keyframes, threads: ffmpeg.threads, outputs: [output] },
    preset: kind.codec.presetAt(preset),
  };
  const { cpuSeconds } = await ffmpeg.run({ args: trialArgs(group), cwd: folder });
  const { init, fragments } = parseFragmented(await readFile(join(folder, output.file)));
  const isPlanned =
    fragments.length === keyframes.length + 1 &&
    fragments.every(({ startsWithKey }) => startsWithKey) &&
    fragments.reduce((sum, { samples }) => sum + samples, 0) === frames &&
    (fragments[0]?.samples ?? 0) === (keyframes[0] ?? frames);
  if (!isPlanned) throw new EncoderError('ENCODER_FRAMES_DIFFER', 'it does not keep frames or keyframes as planned');
  const [quality] = await measureQuality(ffmpeg, {
    ...{ distorted: [output.file], reference: input, width, height, metric: kind.metric, subsample, frames },
    ...{ threads: ffmpeg.threads, cwd: folder },
    bitDepth: kind.picture.videoRange === picture.videoRange ? picture.bitDepth : kind.picture.bitDepth,
  });
  assert(quality !== undefined, 'every file that is compared has its scores');
  const bits = fragments.reduce((sum, { bytes }) => sum + bytes.length * 8, 0);
  return { init, sample: { bits, quality: toPoints[kind.metric](quality.mean), cpuSeconds } };
}
