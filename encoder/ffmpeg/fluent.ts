// Audio and poster through fluent-ffmpeg, the one file that knows it. It brings no watchdog and no bound of its own, so
// both come from the set of processes that it runs in.
import Fluent from 'fluent-ffmpeg';
import { EncoderError } from '../errors.ts';
import { guarded, type SourceView } from './args.ts';
import { parseCpuSeconds } from './parse.ts';
import { type Ffmpeg, KILL_AFTER_MS, stopped } from './run.ts';

/** Bits a second of AAC per channel. */
const AUDIO_BPS_PER_CHANNEL = 64_000;
/** Samples a second of the AAC track, which is also its timescale. */
export const AUDIO_RATE = 48_000;
/** Samples in an AAC frame. */
const AAC_FRAME = 1024;
/** Samples that ffmpeg's AAC encoder puts before the first; CMAF has no edit list to hide them, so as many are cut. */
const PRIMING = 1024;
/** A poster is at most this high. */
const POSTER_HEIGHT = 720;

/**
 * Encodes the first audio track as AAC-LC, mono or stereo, into fragmented MP4 exactly as long as the video, with
 * fragments of at most `segmentSeconds`.
 */
export async function encodeAudio(
  ffmpeg: Ffmpeg,
  view: SourceView,
  target: { readonly output: string; readonly seconds: number; readonly segmentSeconds: number },
): Promise<void> {
  const command = open(ffmpeg, guarded(view.path, view.maxPixels))
    .noVideo()
    .audioCodec('aac')
    .audioChannels(view.audioChannels)
    .audioBitrate((AUDIO_BPS_PER_CHANNEL * view.audioChannels) / 1000)
    .audioFilters([`aresample=${AUDIO_RATE}:async=1:first_pts=0`, `atrim=start_sample=${PRIMING}`])
    .audioFilters(['asetpts=PTS-STARTPTS', 'apad'])
    .outputOptions(['-map', `0:${view.audioIndex ?? 'a'}`, '-map_metadata', '-1', '-fflags', '+bitexact'])
    .outputOptions(['-movflags', '+cmaf', '-frag_duration', `${fragmentMicroseconds(target.segmentSeconds)}`])
    .outputOptions(['-t', target.seconds.toFixed(6)])
    .format('mp4')
    .output(target.output);
  await finish(ffmpeg, command);
}

/** Just below the most whole AAC frames that fit: ffmpeg ends a fragment with the frame that reaches this. */
function fragmentMicroseconds(seconds: number): number {
  const frames = Math.max(1, Math.floor((seconds * AUDIO_RATE) / AAC_FRAME));
  return Math.floor(((frames - 0.5) * AAC_FRAME * 1e6) / AUDIO_RATE);
}

/** Writes one frame at `seconds` as JPEG. */
export async function writePoster(
  ffmpeg: Ffmpeg,
  view: SourceView,
  target: { readonly output: string; readonly seconds: number },
): Promise<void> {
  const height = Math.min(POSTER_HEIGHT, view.height);
  const width = Math.round((view.width * height) / view.height / 2) * 2;
  const command = open(ffmpeg, ['-ss', target.seconds.toFixed(6), ...guarded(view.path, view.maxPixels)])
    .noAudio()
    .videoFilters([`scale=${width}:${height}:flags=bicubic`, 'setsar=1'])
    .outputOptions(['-map', `0:${view.videoIndex}`, '-frames:v', '1', '-q:v', '4', '-fflags', '+bitexact'])
    .outputOptions(['-update', '1', '-map_metadata', '-1'])
    .format('image2')
    .output(target.output);
  await finish(ffmpeg, command);
}

/** A command over one guarded input. `before` ends with `-i` and the input, which fluent-ffmpeg adds by itself. */
function open(ffmpeg: Ffmpeg, before: readonly string[]): Fluent.FfmpegCommand {
  const [program = ffmpeg.tool.path, ...prefix] = [...ffmpeg.tool.launcher, ffmpeg.tool.path];
  // What stands before the input comes first on its command line, so the launcher's own arguments go there too.
  const command = Fluent({ stdoutLines: 200 })
    .input(before.at(-1) ?? '')
    .inputOptions([...prefix, '-hide_banner', '-nostdin', '-benchmark', ...before.slice(0, -2)])
    .setFfmpegPath(program);
  // Its capability checks misread the tables of ffmpeg 7 and refuse formats that are there. One is not in its types.
  return Object.assign(command, {
    _checkCapabilities: (done: () => void) => done(),
    availableEncoders: (done: (error: undefined, encoders: object) => void) => done(undefined, {}),
  });
}

/** Runs to its end in a slot of the set, watched for progress. Rejects as Ffmpeg.run does. */
function finish(ffmpeg: Ffmpeg, command: Fluent.FfmpegCommand): Promise<void> {
  const { stallMs, signal } = ffmpeg.options;
  return ffmpeg.hold(
    () =>
      new Promise((resolve, reject) => {
        let isStalled = false;
        let killing: NodeJS.Timeout | undefined;
        const stop = (): void => {
          command.kill('SIGTERM');
          killing = setTimeout(() => command.kill('SIGKILL'), KILL_AFTER_MS);
        };
        const timer = setTimeout(() => {
          isStalled = true;
          stop();
        }, stallMs);
        const settle = (error: Error | undefined): void => {
          clearTimeout(timer);
          clearTimeout(killing);
          signal.removeEventListener('abort', stop);
          if (signal.aborted) reject(stopped());
          else if (isStalled)
            reject(new EncoderError('ENCODER_FFMPEG_STALLED', 'ffmpeg made no progress on the audio'));
          else if (error === undefined) resolve();
          else reject(new EncoderError('ENCODER_FFMPEG_FAILED', error.message.slice(0, 600), { cause: error }));
        };
        let place = '';
        command
          .on('stderr', (line: string) => {
            const now = /time=\S+/.exec(line)?.[0] ?? line;
            if (now !== place) timer.refresh();
            place = now;
            ffmpeg.spend(parseCpuSeconds(line));
          })
          .on('end', () => settle(undefined))
          .on('error', settle)
          .run();
        signal.addEventListener('abort', stop, { once: true });
      }),
  );
}
