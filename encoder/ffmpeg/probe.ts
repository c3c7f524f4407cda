// Opens a file from outside: says what it is, or refuses it with a coded error, before anything is decoded.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { asEncoderError, EncoderError } from '../errors.ts';
import { firstArgs, probeArgs, type SourceView } from './args.ts';
import { SDR_8 } from './codecs/codec.ts';
import {
  type AudioStream,
  frameRateOf,
  type InputDescription,
  parseInput,
  parseLight,
  parsePhase,
  type TextStream,
  type VideoStream,
} from './describe.ts';
import { commandOf, type FfmpegTool } from './find.ts';
import { isSealed } from './sealed.ts';

const PROBE_MS = 30_000;
/** Defaults of ProbeOptions. */
const MAX_SECONDS = 21_600;
const MEMORY_MEGABYTES = 512;
/** Faster inputs are brought down to it. */
const FASTEST = 60;
/** First bytes of texts that make players fetch other files. */
const PLAYLISTS = /^\s*(?:#EXTM3U|ffconcat|\[playlist\]|<\?xml|<MPD|<smil|v=0\r?\n|file\s+['"/\w])/i;

/** An input that may be decoded. */
export type Source = {
  readonly view: SourceView;
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly format: string;
  readonly codec: string;
  /** As the container claims; undefined where it does not. */
  readonly durationSeconds: number | undefined;
  /** The one that players choose first, first. */
  readonly audio: readonly AudioStream[];
  readonly text: readonly TextStream[];
  /** Its frames came at changing distances, and were brought onto a grid. */
  readonly isVariable: boolean;
  /** What decoding it in whole is held to. */
  readonly limits: { readonly maxSeconds: number; readonly memoryMegabytes: number };
};

/** Which file, how much of everything it may ask for, and what ends the wait. */
export type ProbeOptions = {
  readonly input: string;
  /** Of a picture, as it is stored and as it is shown. */
  readonly maxPixels: number;
  /** Of the title; default 6 hours. */
  readonly maxSeconds?: number;
  /** What ffmpeg may allocate to describe or decode it; default 512. */
  readonly memoryMegabytes?: number;
  readonly signal: AbortSignal;
};

/**
 * Describes an input. Throws ENCODER_INPUT_MISSING, _REFUSED, _SEALED, _CORRUPT or ENCODER_NO_VIDEO; the file is hashed
 * in whole, since everything kept from a run is keyed by its content.
 */
export async function probe(tool: FfmpegTool, options: ProbeOptions): Promise<Source> {
  const path = resolve(options.input);
  const sizeBytes = await sizeOf(path);
  await refusePlaylist(path);
  if (await isSealed(path)) {
    throw new EncoderError(
      'ENCODER_INPUT_SEALED',
      'the input is encrypted (DRM): it can be cached and previewed by playlist, not encoded; give the clear master',
    );
  }
  const stderr = await describe(tool, path, options);
  const description = parseInput(stderr);
  if (description === undefined) throw refusalOf(stderr);
  const { video, audio, text } = description;
  if (video === undefined) {
    throw new EncoderError('ENCODER_NO_VIDEO', `the input (${description.format}) has no video that can be decoded`);
  }
  const { format, durationSeconds } = description;
  const flat = viewOf(path, { video, audio: audio[0], maxPixels: options.maxPixels });
  refuseSize(options, video);
  refuseSize(options, flat);
  const { maxSeconds = MAX_SECONDS, memoryMegabytes = MEMORY_MEGABYTES } = options;
  if (durationSeconds !== undefined && durationSeconds > maxSeconds) {
    const seconds = durationSeconds.toFixed(0);
    throw new EncoderError('ENCODER_INPUT_REFUSED', `it lasts ${seconds} s, above budget.maxSeconds ${maxSeconds}`);
  }
  // Alone in its file, a picture begins at 0.
  const isPlain = video.videoRange !== 'PQ' && audio.length === 0;
  const view = isPlain ? flat : await lookAtFirst(tool, flat, options);
  const told = { sizeBytes, format, durationSeconds, audio, text, codec: video.codec, isVariable: video.isVariable };
  return { ...told, view, limits: { maxSeconds, memoryMegabytes }, sha256: await hashFile(path, options) };
}

/** Pixels that are not square make a picture larger than it is stored. */
function refuseSize(
  { maxPixels }: ProbeOptions,
  { width, height }: { readonly width: number; readonly height: number },
) {
  if (width * height <= maxPixels) return;
  throw new EncoderError(
    'ENCODER_INPUT_REFUSED',
    `the picture is ${width}x${height}, above budget.maxPixels ${maxPixels}`,
  );
}

/** The view with what only the first frame says: the display that a PQ source was graded on, and where the grid lies. */
async function lookAtFirst(tool: FfmpegTool, view: SourceView, options: ProbeOptions): Promise<SourceView> {
  const told = await ask(tool, firstArgs(view), options);
  return { ...view, phaseSeconds: parsePhase(told, view.frameRate), picture: { ...view.picture, ...parseLight(told) } };
}

async function sizeOf(path: string): Promise<number> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new EncoderError('ENCODER_INPUT_MISSING', `cannot read the input ${path}`, { cause });
  });
  if (!found.isFile()) throw new EncoderError('ENCODER_INPUT_REFUSED', `the input ${path} is not a regular file`);
  if (found.size === 0) throw new EncoderError('ENCODER_INPUT_CORRUPT', `the input ${path} is empty`);
  return found.size;
}

async function refusePlaylist(path: string): Promise<void> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw new EncoderError('ENCODER_INPUT_MISSING', `cannot read the input ${path}`, { cause });
  });
  try {
    const head = Buffer.alloc(512);
    const { bytesRead } = await file.read(head, 0, head.length, 0);
    if (PLAYLISTS.test(head.toString('latin1', 0, bytesRead).replace(/^\u00ef\u00bb\u00bf/, ''))) {
      throw new EncoderError(
        'ENCODER_INPUT_REFUSED',
        'the input is a playlist or manifest: give the video file itself',
      );
    }
  } finally {
    await file.close();
  }
}

/** ffmpeg's standard error; it always ends with an error, since it is given no output. */
function describe(tool: FfmpegTool, path: string, options: ProbeOptions): Promise<string> {
  return ask(tool, probeArgs(path, options.maxPixels), options);
}

/** Standard error of a short run, however it ends. */
function ask(tool: FfmpegTool, args: readonly string[], options: ProbeOptions): Promise<string> {
  const { command, prefix } = commandOf(tool, options.memoryMegabytes ?? MEMORY_MEGABYTES);
  const limits = { timeout: PROBE_MS, killSignal: 'SIGKILL', maxBuffer: 4 << 20, signal: options.signal } as const;
  return new Promise((settle, reject) => {
    execFile(command, [...prefix, ...args], limits, (error, _stdout, stderr) => {
      if (options.signal.aborted) reject(new EncoderError('ENCODER_STOPPED', 'stopped before the input was known'));
      else if (error?.killed === true) {
        reject(new EncoderError('ENCODER_FFMPEG_STALLED', `ffmpeg did not describe the input in ${PROBE_MS / 1000} s`));
      } else settle(stderr);
    });
  });
}

function refusalOf(stderr: string): EncoderError {
  const last = stderr.trim().split('\n').slice(-2).join(' | ').slice(0, 400);
  if (/whitelist/i.test(stderr)) {
    return new EncoderError('ENCODER_INPUT_REFUSED', `the input is of a kind that is never opened: ${last}`);
  }
  if (/cannot allocate memory|exceeds max_streams/i.test(stderr)) {
    return new EncoderError('ENCODER_INPUT_REFUSED', `the input asks for too much memory or too many streams: ${last}`);
  }
  return new EncoderError('ENCODER_INPUT_CORRUPT', `the input is no readable video: ${last}`);
}

type Streams = {
  readonly video: VideoStream;
  readonly audio: InputDescription['audio'][number] | undefined;
  readonly maxPixels: number;
};

function viewOf(path: string, { video, audio, maxPixels }: Streams): SourceView {
  const shown = { width: video.width * video.pixelAspect, height: video.height };
  const isTurned = video.quarterTurns % 2 === 1;
  const even = (pixels: number): number => Math.max(2, Math.floor(pixels / 2 + 0.01) * 2);
  const rate = video.frameRate;
  const isFast = rate.num / rate.den > FASTEST;
  const { bitDepth, videoRange, colour } = video;
  return {
    path,
    videoIndex: video.index,
    audioIndex: audio?.index,
    phaseSeconds: 0,
    width: even(isTurned ? shown.height : shown.width),
    height: even(isTurned ? shown.width : shown.height),
    frameRate: isFast ? (frameRateOf(FASTEST) ?? rate) : rate,
    isInterlaced: video.isInterlaced,
    hasAlpha: video.hasAlpha,
    isRgb: video.isRgb,
    // HDR needs ten bits whatever the source was stored in.
    picture: { ...SDR_8, videoRange, colour, bitDepth: videoRange === 'SDR' ? bitDepth : 10 },
    maxPixels,
  };
}

async function hashFile(path: string, options: ProbeOptions): Promise<string> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20, signal: options.signal }))
      hash.update(chunk);
  } catch (cause) {
    if (options.signal.aborted) throw new EncoderError('ENCODER_STOPPED', 'stopped while reading the input');
    throw asEncoderError(cause) ?? cause;
  }
  return hash.digest('hex');
}
