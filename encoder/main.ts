// `nearcast encode`: a job in, NDJSON events and a package out. Runs alone; the daemon starts it as a process.
import { readFile } from 'node:fs/promises';
import { getPriority, setPriority } from 'node:os';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { CONTRACT_VERSION, type EncodeEvent, type EncodeJob, type EncoderTools, EXIT, jobSchema } from './contract.ts';
import { type Control, readControl } from './control.ts';
import { asEncoderError, EncoderError, EXIT_OF } from './errors.ts';
import { findFfmpeg } from './ffmpeg/find.ts';
import { stopped } from './ffmpeg/run.ts';
import { runJob } from './job.ts';

const HELP = `Usage: nearcast encode [JOB.json | - | - --control]
       nearcast encode tools

Encodes one title per shot and publishes it. The job is JSON (encoder/contract.ts), from the file or standard input;
standard output gets one JSON event a line, the last one "done" or "failed"; standard error gets messages for people.
Stopped or killed, it goes on where it was when the same job is run again.

  --control  the job is the first line of standard input; each later line is JSON such as
             {"version":1,"pace":0.5}: how fast to go, 0 to pause; its end stops the job
  tools      print the ffmpeg that would be used, as one JSON line
  --help     this text

Exit codes: ${EXIT.done} done, ${EXIT.failed} failed, ${EXIT.usage} invalid job, ${EXIT.badInput} bad input,
  ${EXIT.missingTool} no usable ffmpeg, ${EXIT.tempFail} stopped or worth another try
Environment: FFMPEG_PATH, the ffmpeg to use before any other
`;

/** A job of more than this is none. */
const JOB_LIMIT_BYTES = 1 << 20;

/** Where the program reads and writes; the process's own outside of tests. */
type EncoderIo = {
  readonly stdin: NodeJS.ReadableStream;
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborts when the program is told to stop. */
  readonly signal: AbortSignal;
  /** Tells it so. */
  readonly stop: () => void;
};

/** Runs the program; gives its exit code. Throws only on programmer errors. */
async function main(argv: readonly string[], io: EncoderIo): Promise<number> {
  const isControlled = argv[1] === '--control' && argv[0] === '-';
  const [first = '-', ...rest] = isControlled ? ['-'] : argv;
  if (first === '--help' || first === '-h') {
    io.stdout.write(HELP);
    return EXIT.done;
  }
  const output: Output = { id: 'unknown', progressRatio: 0 };
  const emit = (event: EncodeEvent): void => {
    output.progressRatio = event.progressRatio;
    io.stdout.write(`${JSON.stringify(event)}\n`);
  };
  try {
    if (rest.length > 0 || (first.startsWith('-') && first !== '-')) {
      throw new EncoderError('ENCODER_JOB_INVALID', `unknown arguments ${argv.join(' ')}; see --help`);
    }
    if (first === 'tools') {
      io.stdout.write(`${JSON.stringify(await describeTools(io))}\n`);
      return EXIT.done;
    }
    const control = isControlled ? openControl(io) : undefined;
    const job = await readJob(first, io, control);
    output.id = job.id;
    const tool = await findFfmpeg({ env: io.env, ffmpegPath: job.ffmpegPath });
    setPriority(Math.max(getPriority(), job.budget.niceness));
    await runJob(job, { tool, emit, signal: io.signal, ...(control && { control }) });
    return EXIT.done;
  } catch (error) {
    const known = asEncoderError(error);
    if (known === undefined) throw error;
    if (first !== 'tools') emit(failure(known, output));
    io.stderr.write(`nearcast encode: ${known.code}: ${known.message}\n`);
    return EXIT_OF[known.code];
  }
}

type Output = { id: string; progressRatio: number };

function failure({ code, message, retryable }: EncoderError, { id, progressRatio }: Output): EncodeEvent {
  return { version: CONTRACT_VERSION, id, progressRatio, event: 'failed', code, message, retryable };
}

async function describeTools(io: EncoderIo): Promise<EncoderTools> {
  const { path, version, hasVmaf, metric, why } = await findFfmpeg({ env: io.env, ffmpegPath: undefined });
  return { version: CONTRACT_VERSION, ffmpeg: { path, version, hasVmaf, metric, why } };
}

function openControl({ stdin, stderr, stop }: EncoderIo): Control {
  const complain = (line: string): void => void stderr.write(`nearcast encode: no control: ${line}\n`);
  return readControl(stdin, { gone: stop, complain });
}

async function readJob(from: string, io: EncoderIo, control?: Control): Promise<EncodeJob> {
  const source = from === '-' ? 'standard input' : from;
  const reading = control
    ? control.job.then((line = '') => line)
    : from === '-'
      ? text(io.stdin)
      : readFile(from, { encoding: 'utf8', signal: io.signal });
  const written = await Promise.race([reading, rejectedBy(io.signal)]).catch((cause: unknown) => {
    if (io.signal.aborted) throw stopped();
    throw new EncoderError('ENCODER_JOB_INVALID', `cannot read the job from ${source}`, { cause });
  });
  if (written.length > JOB_LIMIT_BYTES)
    throw new EncoderError('ENCODER_JOB_INVALID', `the job in ${source} is too long`);
  let value: unknown;
  try {
    value = JSON.parse(written);
  } catch (cause) {
    throw new EncoderError('ENCODER_JOB_INVALID', `the job in ${source} is not JSON; see --help`, { cause });
  }
  const parsed = jobSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
  throw new EncoderError('ENCODER_JOB_INVALID', `the job in ${source} is not valid: ${problems}`);
}

/** Rejects when the signal aborts. */
function rejectedBy(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const stop = (): void => reject(signal.reason);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
}

/** Runs as the process itself: signals and a vanished reader stop the job, which ends within 2 s. */
async function runAsProcess(): Promise<void> {
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => stop.abort());
  // Nobody hears the events any more: the parent died or let go of the job.
  process.stdout.on('error', () => stop.abort());
  const { stdin, stdout, stderr, env } = process;
  process.exitCode = await main(process.argv.slice(2), {
    ...{ stdin, stdout, stderr, env, signal: stop.signal },
    stop: () => stop.abort(),
  });
  // A standard input that is still open must not keep the process.
  stdin.destroy();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await runAsProcess();
