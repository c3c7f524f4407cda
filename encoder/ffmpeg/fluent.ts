// Audio, subtitles and poster through fluent-ffmpeg, the one file that knows it. It brings no watchdog and no bound of its own, so
// both come from the set of processes that it runs in.
import Fluent from 'fluent-ffmpeg';
import { EncoderError } from '../errors.ts';
import { opened, type SourceView } from './args.ts';
import { AUDIO_CODECS, type AudioPlan, audioFilters, fragmentMicroseconds } from './audio.ts';
import type { TextStream } from './describe.ts';
import { type Loudness, parseCpuSeconds, parseLoudness } from './parse.ts';
import { stillFilters } from './picture.ts';
import { type Ffmpeg, KILL_AFTER_MS, stopped } from './run.ts';

/** A poster is at most this high. */
const POSTER_HEIGHT = 720;

/** An audio track to make, and where it goes. */
export type AudioTarget = {
  readonly plan: AudioPlan;
  readonly output: string;
  /** As long as the picture. */
  readonly seconds: number;
  readonly segmentSeconds: number;
};

/**
 * Encodes one audio track into fragmented MP4 exactly as long as the video, with fragments of at most `segmentSeconds`.
 * Gives its loudness; undefined when this ffmpeg did not say.
 */
export async function encodeAudio(
  ffmpeg: Ffmpeg,
  view: SourceView,
  { plan, output, seconds, segmentSeconds }: AudioTarget,
): Promise<Loudness | undefined> {
  const { encoder, bitsPerChannel } = AUDIO_CODECS[plan.codec];
  const command = open(ffmpeg, opened(view))
    .noVideo()
    .audioCodec(encoder)
    .audioBitrate((bitsPerChannel * plan.channels) / 1000)
    .audioFilters(audioFilters(plan))
    .outputOptions(['-map', `0:${plan.stream.index}`, '-map_metadata', '-1', '-fflags', '+bitexact'])
    .outputOptions(['-movflags', '+cmaf', '-frag_duration', `${fragmentMicroseconds(plan.codec, segmentSeconds)}`])
    .outputOptions(['-t', seconds.toFixed(6)])
    .format('mp4')
    .output(output);
  return parseLoudness(await finish(ffmpeg, command));
}

/** Gives a text stream as WebVTT. */
export async function extractText(
  ffmpeg: Ffmpeg,
  view: SourceView,
  target: { readonly stream: TextStream; readonly output: string },
): Promise<void> {
  const command = open(ffmpeg, opened(view))
    .noVideo()
    .noAudio()
    .outputOptions([
      '-map',
      `0:${target.stream.index}`,
      '-c:s',
      'webvtt',
      '-map_metadata',
      '-1',
      '-fflags',
      '+bitexact',
    ])
    .format('webvtt')
    .output(target.output);
  await finish(ffmpeg, command);
}

/** Writes one frame at `seconds` as JPEG. */
export async function writePoster(
  ffmpeg: Ffmpeg,
  view: SourceView,
  target: { readonly output: string; readonly seconds: number },
): Promise<void> {
  const height = Math.min(POSTER_HEIGHT, view.height);
  const width = Math.round((view.width * height) / view.height / 2) * 2;
  const command = open(ffmpeg, ['-ss', target.seconds.toFixed(6), ...opened(view)])
    .noAudio()
    .videoFilters(stillFilters(view, { width, height }, ffmpeg.tool.canToneMap))
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

/** Lines of standard error kept of a run. */
const TAIL_LINES = 40;

/** Runs to its end in a slot of the set, watched for progress; gives its last lines. Rejects as Ffmpeg.run does. */
function finish(ffmpeg: Ffmpeg, command: Fluent.FfmpegCommand): Promise<string> {
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
          else if (error === undefined) resolve(tail.join('\n'));
          else reject(new EncoderError('ENCODER_FFMPEG_FAILED', error.message.slice(0, 600), { cause: error }));
        };
        let place = '';
        const tail: string[] = [];
        command
          .on('stderr', (line: string) => {
            const now = /time=\S+/.exec(line)?.[0] ?? line;
            if (now !== place) timer.refresh();
            place = now;
            tail.push(line);
            tail.splice(0, tail.length - TAIL_LINES);
            ffmpeg.spend(parseCpuSeconds(line));
          })
          .on('end', () => settle(undefined))
          .on('error', settle)
          .run();
        signal.addEventListener('abort', stop, { once: true });
      }),
  );
}
