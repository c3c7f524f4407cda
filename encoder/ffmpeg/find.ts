// Finds the ffmpeg to use and what it can do. Order: FFMPEG_PATH, the job's own, a system one with libvmaf, the
// bundled one, any system one.
import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { EncoderError } from '../errors.ts';
import type { MetricName } from '../plan/metric.ts';
import { parseEncoders, parseVersion } from './parse.ts';

/** A candidate that does not answer within this is no ffmpeg. */
const ANSWER_MS = 15_000;

/** A usable ffmpeg. */
export type FfmpegTool = {
  readonly path: string;
  readonly version: string;
  /** libvmaf and its default model work: two frames were scored. */
  readonly hasVmaf: boolean;
  /** The best quality metric that this build has. */
  readonly metric: MetricName;
  /** What to measure with when that one fails on the way. */
  readonly fallback: MetricName | undefined;
  /** Every video and audio encoder that is built in, by ffmpeg's name of it. */
  readonly encoders: readonly string[];
  /** zscale and tonemap are there: HDR can become SDR. */
  readonly canToneMap: boolean;
  /** Why this one, for people. */
  readonly why: string;
  /** What to start it with, so that it dies with its parent; empty where setpriv is missing or cannot do that. */
  readonly launcher: readonly string[];
  /** util-linux' prlimit, which bounds what it allocates; undefined where it is missing. */
  readonly limiter: string | undefined;
};

/** Where to look: the environment is passed in, since no module reads it by itself. */
export type FindOptions = {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly ffmpegPath: string | undefined;
};

const execute = promisify(execFile);

/** Finds ffmpeg. Throws ENCODER_FFMPEG_MISSING with one line that names FFMPEG_PATH. */
export async function findFfmpeg(options: FindOptions): Promise<FfmpegTool> {
  const starters = await findStarters(options.env);
  const told = [
    { path: options.env['FFMPEG_PATH'], why: 'FFMPEG_PATH' },
    { path: options.ffmpegPath, why: 'ffmpegPath of the job' },
  ].find(({ path }) => path !== undefined && path !== '');
  if (told?.path !== undefined) {
    const found = await inspect(told.path, `named by ${told.why}`, starters);
    if (typeof found !== 'string') return found;
    throw missing(`${told.why} is ${told.path}, but ${found}`);
  }
  const system = await onPath('ffmpeg', options.env);
  const installed = system === undefined ? 'none' : await inspect(system, 'the system ffmpeg', starters);
  if (typeof installed !== 'string' && installed.hasVmaf)
    return { ...installed, why: 'the system ffmpeg, with libvmaf' };
  const bundled = bundledPath();
  const packaged = bundled === undefined ? 'none' : await inspect(bundled, 'bundled with the package', starters);
  if (typeof packaged !== 'string') return packaged;
  if (typeof installed !== 'string') return { ...installed, why: 'the system ffmpeg, without libvmaf' };
  throw missing(`no usable ffmpeg (system: ${installed}; bundled: ${packaged})`);
}

function missing(reason: string): EncoderError {
  return new EncoderError(
    'ENCODER_FFMPEG_MISSING',
    `${reason}: set FFMPEG_PATH to an ffmpeg with libx264 and, for VMAF, libvmaf`,
  );
}

/** What this binary can do, or in words why it cannot be used. */
async function inspect(path: string, why: string, starters: Starters): Promise<FfmpegTool | string> {
  try {
    const version = parseVersion(await ask(path, ['-version']));
    if (version === undefined) return 'it is no ffmpeg';
    const encoders = parseEncoders(await ask(path, ['-hide_banner', '-encoders']));
    const lacking = ['libx264', 'utvideo'].find((name) => !encoders.includes(name));
    if (lacking !== undefined) return `it lacks the ${lacking} encoder`;
    const filters = await ask(path, ['-hide_banner', '-filters']);
    const hasVmaf = /\blibvmaf\b/.test(filters) && (await canScore(path));
    const fallback = (['xpsnr', 'ssim', 'psnr'] as const).find((name) => new RegExp(`\\b${name}\\b`).test(filters));
    if (!hasVmaf && fallback === undefined) return 'it has no quality metric';
    const canToneMap = ['zscale', 'tonemap'].every((name) => new RegExp(`\\b${name}\\b`).test(filters));
    const metric = hasVmaf ? 'vmaf' : (fallback ?? 'psnr');
    return {
      path,
      version,
      hasVmaf,
      metric,
      fallback: hasVmaf ? fallback : undefined,
      encoders,
      canToneMap,
      why,
      ...starters,
    };
  } catch (error) {
    return `it does not run (${error instanceof Error ? error.message.split('\n')[0] : 'unknown error'})`;
  }
}

async function ask(path: string, args: readonly string[]): Promise<string> {
  const { stdout } = await execute(path, args, { timeout: ANSWER_MS, killSignal: 'SIGKILL', maxBuffer: 4 << 20 });
  return stdout;
}

/** A build may list the filter and still have no model, so it is tried. */
async function canScore(path: string): Promise<boolean> {
  const picture = ['-f', 'lavfi', '-i', 'color=s=64x64:d=0.08:r=25'];
  return ask(path, ['-v', 'error', ...picture, ...picture, '-lavfi', 'libvmaf', '-f', 'null', '-']).then(
    () => true,
    () => false,
  );
}

function bundledPath(): string | undefined {
  try {
    const name = `@ffmpeg-binary/${process.platform}-${process.arch}/package.json`;
    return join(dirname(createRequire(import.meta.url).resolve(name)), 'ffmpeg');
  } catch {
    // Optional dependency: not there for this platform, and the resolver goes on to the next candidate.
    return undefined;
  }
}

async function onPath(program: string, env: FindOptions['env']): Promise<string | undefined> {
  for (const folder of (env['PATH'] ?? '').split(delimiter).filter((entry) => entry.startsWith('/'))) {
    const path = join(folder, program);
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return path;
  }
  return undefined;
}

type Starters = Pick<FfmpegTool, 'launcher' | 'limiter'>;

/**
 * util-linux' setpriv asks the kernel to kill the child when this process dies, even by SIGKILL; its prlimit bounds what
 * the child allocates. Other programs of these names lack the options, so both are tried.
 */
async function findStarters(env: FindOptions['env']): Promise<Starters> {
  const setpriv = await onPath('setpriv', env);
  const launcher = setpriv === undefined ? [] : [setpriv, '--pdeathsig', 'KILL', '--'];
  const prlimit = await onPath('prlimit', env);
  const works = (command: readonly string[]): Promise<boolean> =>
    ask(command[0] ?? '', [...command.slice(1), 'true']).then(
      () => true,
      () => false,
    );
  return {
    launcher: launcher.length > 0 && (await works(launcher)) ? launcher : [],
    limiter: prlimit !== undefined && (await works([prlimit, '--data=4294967296'])) ? prlimit : undefined,
  };
}

/** The program to start and what stands before ffmpeg's own arguments. `memoryMegabytes` bounds what it allocates. */
export function commandOf(tool: FfmpegTool, memoryMegabytes?: number): { command: string; prefix: readonly string[] } {
  const { launcher, limiter, path } = tool;
  const bound =
    limiter === undefined || memoryMegabytes === undefined ? [] : [limiter, `--data=${memoryMegabytes * 2 ** 20}`];
  const [command = path, ...prefix] = [...launcher, ...bound, path];
  return { command, prefix };
}
