// Decodes the whole source once, small, and finds its shots; later extracts single shots, frame-exact and lossless.
import { crc32 } from 'node:zlib';
import { EncoderError } from '../errors.ts';
import { type FrameSpan, planShots } from '../plan/cuts.ts';
import { type FrameEvidence, openEvidence } from '../plan/evidence.ts';
import {
  audioEnergy,
  type FrameMeasure,
  measureFrame,
  type ShotFeatures,
  SMALL,
  shotFeatures,
} from '../plan/features.ts';
import { type PackedFrames, packFrames } from '../plan/frames.ts';
import { analyseArgs, extractArgs, type ShotCopies, type SourceView } from './args.ts';
import type { Source } from './probe.ts';
import type { Ffmpeg, FfmpegResult } from './run.ts';

/** A shorter shot joins a neighbour; a longer one is split, since features are means over a shot. */
const SHORTEST_SECONDS = 0.5;
const LONGEST_SECONDS = 60;
/** Decoders of the analysis: two, since a 16-megapixel picture in each of four takes more than half a gigabyte. */
const DECODE_THREADS = 2;
/** Samples a second of the audio that loudness is measured on. */
const SAMPLE_RATE = 8000;
/** Container durations are loose; a source that ends earlier than this is truncated. */
const TRUNCATED = { seconds: 2, ratio: 0.05 } as const;
/** Decoders out of memory often only say that frames are missing: this near to the bound that is taken for the cause. */
const NEAR_LIMIT = 0.7;
/** Signals of a program that went wrong by itself. */
const CRASHED = /killed by SIG(?:SEGV|ABRT|BUS|ILL|FPE)/;
/** Lines by which a decoder says that pictures are broken. */
const BROKEN =
  /error while decoding|decoding error|error submitting packet|invalid data|corrupt|concealing|no frame!|missing picture|partial file|truncat/i;

/** A shot: its frames, what they show, and their fingerprints. */
export type Shot = FrameSpan & {
  readonly features: ShotFeatures;
  /** CRC-32 of each frame made small, to prove that an extraction holds the same frames. */
  readonly checksums: readonly number[];
};

/** Cuts a byte stream into whole small frames. */
function frameReader(onFrame: (frame: Buffer) => void): { push: (chunk: Buffer) => void; reset: () => void } {
  let frame = Buffer.alloc(SMALL.bytes);
  let filled = 0;
  const push = (chunk: Buffer): void => {
    for (let at = 0; at < chunk.length; ) {
      const taken = chunk.copy(frame, filled, at, at + SMALL.bytes - filled);
      at += taken;
      filled += taken;
      if (filled < SMALL.bytes) return;
      onFrame(frame);
      frame = Buffer.alloc(SMALL.bytes);
      filled = 0;
    }
  };
  const reset = (): void => {
    filled = 0;
  };
  return { push, reset };
}

/** What one decode of the source found out. */
type Analysis = {
  readonly measures: PackedFrames<FrameMeasure>;
  readonly evidence: PackedFrames<FrameEvidence>;
  readonly checksums: number[];
  /** Loudness per hundredth of a second: sums of squares. */
  readonly energy: number[];
  readonly onFrame: (frame: Buffer) => void;
  readonly onSound: (chunk: Buffer) => void;
};

function openAnalysis(onFrames: (count: number) => void): Analysis {
  const measures = packFrames<FrameMeasure>();
  const evidence = packFrames<FrameEvidence>();
  const checksums: number[] = [];
  const energy: number[] = [];
  const bucketBytes = (SAMPLE_RATE / 100) * 2;
  const compare = openEvidence();
  let before: Buffer | undefined;
  let audioRest: Buffer = Buffer.alloc(0);
  const onFrame = (frame: Buffer): void => {
    measures.push(measureFrame(frame, before));
    evidence.push(compare(frame));
    checksums.push(crc32(frame));
    before = frame;
    onFrames(measures.length);
  };
  const onSound = (chunk: Buffer): void => {
    const bytes = Buffer.concat([audioRest, chunk]);
    const whole = bytes.length - (bytes.length % bucketBytes);
    for (let at = 0; at < whole; at += bucketBytes) energy.push(audioEnergy(bytes.subarray(at, at + bucketBytes)));
    audioRest = bytes.subarray(whole);
  };
  return { measures, evidence, checksums, energy, onFrame, onSound };
}

/**
 * All shots in order, covering every frame. `onFrames` hears how many frames are done. Throws ENCODER_INPUT_CORRUPT
 * for a source that does not decode cleanly to its end, ENCODER_NO_VIDEO for one without frames.
 */
export async function findShots(ffmpeg: Ffmpeg, source: Source, onFrames: (count: number) => void): Promise<Shot[]> {
  const { maxSeconds, memoryMegabytes } = source.limits;
  let analysis = openAnalysis(onFrames);
  const frames = frameReader((frame) => analysis.onFrame(frame));
  const result = await ffmpeg
    .run({
      args: analyseArgs(source.view, { threads: DECODE_THREADS, seconds: maxSeconds + 1 }),
      memoryMegabytes,
      cwd: '/',
      onStart: () => {
        frames.reset();
        analysis = openAnalysis(onFrames);
      },
      onStdout: frames.push,
      onSecond: (chunk) => analysis.onSound(chunk),
    })
    .catch((error: unknown) => {
      if (!(error instanceof EncoderError) || error.code !== 'ENCODER_FFMPEG_FAILED') throw error;
      refuseGreedy(source, [error.message]);
      // A decoder that crashes twice does so for what it is fed; one that was killed may try again.
      if (error.retryable && !CRASHED.test(error.message)) throw error;
      throw new EncoderError('ENCODER_INPUT_CORRUPT', `the input does not decode: ${error.message}`, { cause: error });
    });
  const { measures, evidence, checksums, energy } = analysis;
  refuseBroken(source, { ...result, frames: measures.length });
  const { num, den } = source.view.frameRate;
  const limits = {
    framesPerSecond: num / den,
    shortest: Math.ceil((SHORTEST_SECONDS * num) / den),
    longest: Math.floor((LONGEST_SECONDS * num) / den),
  };
  return planShots(evidence, limits).map((span) => {
    const [from, to] = [span.start, span.start + span.frames];
    const bucket = (frame: number): number => Math.round((frame * den * 100) / num);
    const heard = energy.slice(bucket(from), bucket(to));
    const measured = Array.from({ length: span.frames }, (_, at) => measures.at(from + at)).filter(
      (measure) => measure !== undefined,
    );
    const meanSquare = heard.reduce((sum, value) => sum + value, 0) / Math.max(1, heard.length * (SAMPLE_RATE / 100));
    return {
      ...span,
      features: shotFeatures(measured, meanSquare),
      checksums: checksums.slice(from, to),
    };
  });
}

function refuseGreedy({ limits }: Source, errors: readonly string[], peakMegabytes = 0): void {
  const isSaid = errors.some((line) => /cannot allocate memory|resource temporarily unavailable/i.test(line));
  if (!isSaid && peakMegabytes < NEAR_LIMIT * limits.memoryMegabytes) return;
  throw new EncoderError(
    'ENCODER_INPUT_REFUSED',
    `decoding the input takes more than budget.memoryMegabytes ${limits.memoryMegabytes}`,
  );
}

type Decoded = Pick<FfmpegResult, 'errors' | 'peakMegabytes'> & { readonly frames: number };

function refuseBroken(source: Source, decoded: Decoded): void {
  if (decoded.frames === 0) throw new EncoderError('ENCODER_NO_VIDEO', 'the input has a video track without frames');
  const { num, den } = source.view.frameRate;
  const seconds = (decoded.frames * den) / num;
  const claimed = source.durationSeconds;
  refuseGreedy(source, decoded.errors);
  if (seconds > source.limits.maxSeconds) {
    const most = source.limits.maxSeconds;
    throw new EncoderError('ENCODER_INPUT_REFUSED', `the input goes on beyond budget.maxSeconds ${most}`);
  }
  const broken = decoded.errors.find((line) => BROKEN.test(line));
  if (broken !== undefined) {
    refuseGreedy(source, [broken], decoded.peakMegabytes);
    throw new EncoderError('ENCODER_INPUT_CORRUPT', `the input has broken pictures: ${broken.slice(0, 300)}`);
  }
  if (claimed !== undefined && seconds < claimed - Math.max(TRUNCATED.seconds, claimed * TRUNCATED.ratio)) {
    throw new EncoderError(
      'ENCODER_INPUT_CORRUPT',
      `the input is truncated: it claims ${claimed.toFixed(2)} s and holds ${seconds.toFixed(2)} s of video`,
    );
  }
}

/** Where an extracted shot goes, once per light range. */
export type ExtractTarget = { readonly cwd: string; readonly copies: ShotCopies };

/**
 * Writes a shot as lossless files. Seeks, and where that gives other frames than were analysed, decodes from the start.
 * Throws ENCODER_FRAMES_DIFFER when even that does.
 */
export async function extractShot(ffmpeg: Ffmpeg, view: SourceView, shot: Shot & ExtractTarget): Promise<void> {
  for (const reach of ['seek', 'decode'] as const) {
    let at = 0;
    let isSame = true;
    const frames = frameReader((frame) => {
      isSame = isSame && crc32(frame) === shot.checksums[at];
      at += 1;
    });
    await ffmpeg.run({
      args: extractArgs(view, shot, { reach, copies: shot.copies }),
      cwd: shot.cwd,
      onStdout: frames.push,
      onStart: () => {
        [at, isSame] = [0, true];
        frames.reset();
      },
    });
    if (isSame && at === shot.frames) return;
  }
  throw new EncoderError(
    'ENCODER_FRAMES_DIFFER',
    `frames ${shot.start} to ${shot.start + shot.frames - 1} of the input decode differently each time`,
  );
}
