// `nearcast encode`: one title, from a video file to a published package, with progress on the terminal.
import { mkdir } from 'node:fs/promises';
import { basename, extname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { CODECS, DEVICES, type EncodeEvent, EXIT, jobSchema, SOURCE_CLASSES } from '../../encoder/contract.ts';
import { type RunEnd, runEncoder } from '../encoder-process.ts';
import { AgentError } from '../errors.ts';
import { type Command, EXIT_FAILED, EXIT_USAGE, type Io } from './command.ts';
import { openProgress } from './progress.ts';

const KILL_AFTER_MS = 3_000;

/** A title id from a file name: lower case, everything but letters, digits, dot, dash and underscore a dash. */
export function idFrom(file: string): string {
  const stem = basename(file, extname(file)).toLowerCase();
  const id = stem.replaceAll(/[^a-z0-9._-]+/g, '-').replaceAll(/^[^a-z0-9]+|-+$/g, '');
  return id === '' ? 'title' : id.slice(0, 128);
}

function show(io: Io, name: string): { readonly onEvent: (event: EncodeEvent) => void; readonly done: () => void } {
  // Only a real terminal has isTTY.
  const isTerminal = 'isTTY' in io.stdout && io.stdout.isTTY === true;
  if (!isTerminal) {
    return { onEvent: (event) => io.stdout.write(`${JSON.stringify(event)}\n`), done: () => undefined };
  }
  const progress = openProgress(io.stdout);
  return {
    onEvent: (event) => {
      progress.show({ id: event.id, name, step: event.event, ratio: event.progressRatio });
      if (event.event === 'done')
        progress.say('encode.done', `published ${event.dir} (${event.cpuSeconds.toFixed(0)} CPU-seconds)`);
    },
    done: progress.done,
  };
}

function exitCodeOf(end: RunEnd, io: Io): number {
  if (end.last?.event === 'done') return EXIT.done;
  if (end.last?.event === 'failed') io.stderr.write(`nearcast encode: ${end.last.code}: ${end.last.message}\n`);
  else
    io.stderr.write(
      `nearcast encode: the encoder ended early; run the same command again to resume. ${end.stderrTail}\n`,
    );
  return end.exitCode === null || end.exitCode === 0 ? EXIT_FAILED : end.exitCode;
}

/** All take a value. */
const OPTIONS = {
  id: { type: 'string' },
  name: { type: 'string' },
  'source-class': { type: 'string' },
  work: { type: 'string' },
  'vmaf-cap': { type: 'string' },
  heights: { type: 'string' },
  codecs: { type: 'string' },
  devices: { type: 'string' },
  hardware: { type: 'string' },
  audio: { type: 'string' },
  surround: { type: 'string' },
  preset: { type: 'string' },
  parallel: { type: 'string' },
  deadline: { type: 'string' },
} as const;

type Values = { readonly [Name in keyof typeof OPTIONS]?: string | undefined };
type Place = { readonly id: string; readonly input: string; readonly out: string; readonly cwd: string };

/** The job as the command line says it, for the schema to judge. */
function jobOf(values: Values, { id, input, out, cwd }: Place): unknown {
  const publishTo = resolve(cwd, out);
  return {
    version: 1,
    id,
    name: values.name,
    input: resolve(cwd, input),
    sourceClass: values['source-class'],
    outDir: values.work === undefined ? resolve(publishTo, '.work', id) : resolve(cwd, values.work),
    publishTo,
    codecs: values.codecs?.split(','),
    devices: values.devices?.split(','),
    hardware: values.hardware,
    audio: { codecs: values.audio?.split(','), surround: values.surround },
    preset: values.preset,
    ladder: {
      ...(values['vmaf-cap'] === undefined ? {} : { vmafCap: Number(values['vmaf-cap']) }),
      ...(values.heights === undefined ? {} : { heights: values.heights.split(',').map(Number) }),
    },
    budget: values.parallel === undefined ? {} : { parallel: Number(values.parallel) },
    ...(values.deadline === undefined ? {} : { deadlineSeconds: Number(values.deadline) }),
  };
}

/** Encodes one file; run it again with the same arguments to resume or to pay nothing. */
export const encodeCommand: Command = {
  name: 'encode',
  summary: 'Encode a video file into a published title',
  usage: `Usage: nearcast encode INPUT OUT [options]

  INPUT  a local video file
  OUT    publish folder: the package appears as OUT/ID/HASH/

  --id ID              title id (default: from the file name)
  --name NAME          name for people
  --source-class C     ${SOURCE_CLASSES.join(' | ')} (default mezzanine)
  --work DIR           journal and trial encodes, kept for resume (default OUT/.work/ID)
  --vmaf-cap N         no rung aims above this (default 95)
  --heights A,B,C      at most three heights to try
  --codecs A,B         ${CODECS.join(', ')}: most wanted first, each a ladder of its own (default h264)
  --devices A,B        ${DEVICES.join(', ')}: the codecs that these ask for are added
  --hardware auto      a hardware encoder where it wins a test encode of this title (default off)
  --audio A,B          aac, opus (default aac)
  --surround WHAT      sources of six channels and more: stereo | keep | both (default stereo)
  --preset NAME        x264's name of it; other encoders take one of like cost (default veryfast)
  --parallel N         ffmpeg processes at a time (default one per core)
  --deadline SECONDS   after these the best ladder so far ships (default: no haste)

Prints one JSON line per step, bars on a terminal. FFMPEG_PATH names the ffmpeg to use.`,
  run: async (args, io) => {
    const { values, positionals } = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
    const [input, out] = positionals;
    if (input === undefined || out === undefined || positionals.length > 2) {
      io.stderr.write('nearcast encode: it takes INPUT and OUT; "nearcast encode --help" shows more\n');
      return EXIT_USAGE;
    }
    const id = values.id ?? idFrom(input);
    const parsed = jobSchema.safeParse(jobOf(values, { id, input, out, cwd: io.cwd }));
    if (!parsed.success) {
      for (const issue of parsed.error.issues)
        io.stderr.write(`nearcast encode: ${issue.path.join('.')}: ${issue.message}\n`);
      return EXIT_USAGE;
    }
    await mkdir(parsed.data.outDir, { recursive: true }).catch((cause: unknown) => {
      throw new AgentError('AGENT_DIRECTORY_UNUSABLE', `${parsed.data.outDir} cannot be made (${String(cause)})`, {
        cause,
      });
    });
    const shown = show(io, parsed.data.name ?? id);
    const log = (level: string, event: string, fields?: object) =>
      level === 'debug' ? undefined : io.stderr.write(`${JSON.stringify({ level, event, ...fields })}\n`);
    const { child, ended } = runEncoder(
      parsed.data,
      { env: io.env, niceness: 0, reservedCores: 0, log },
      shown.onEvent,
    );
    const stop = () => {
      child.kill('SIGTERM');
      setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS).unref();
    };
    if (io.signal.aborted) stop();
    else io.signal.addEventListener('abort', stop, { once: true });
    const end = await ended;
    shown.done();
    return exitCodeOf(end, io);
  },
};
