// The conductor of one encode: probe, shots, trials, plan, package, check, publish. Everything that it decides is in
// plan/, everything that it runs in ffmpeg/; running it again goes on where an earlier run ended.
import { mkdir, readdir, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { buildPackage, type Tell } from './build.ts';
import { CONTRACT_VERSION, type EncodeEvent, type EncodeJob } from './contract.ts';
import { EncoderError } from './errors.ts';
import { VMAF_MODEL } from './ffmpeg/args.ts';
import type { LadderKind } from './ffmpeg/codecs/choose.ts';
import type { FfmpegTool } from './ffmpeg/find.ts';
import { probe, type Source } from './ffmpeg/probe.ts';
import { type Ffmpeg, openFfmpeg } from './ffmpeg/run.ts';
import { findShots, type Shot } from './ffmpeg/shots.ts';
import { type Journal, keyOf, lockFolder, openJournal } from './journal.ts';
import { chooseLadders } from './ladders.ts';
import { chooseHeights, trialCost, widthAt } from './plan/trials.ts';
import { point, readTitle, restoreFolder } from './publish.ts';
import { ownCrfs, runShotTrials, type Trial, type TrialPlan } from './trial.ts';

/** Shares of the whole work, measured on 15 s of 720p: decoding for shots, then trials; the rest is package and check. */
const SHARE = { shots: 0.05, trials: 0.87 } as const;

/** What a job is run with. */
export type JobContext = {
  readonly tool: FfmpegTool;
  readonly emit: (event: EncodeEvent) => void;
  /** Ends the job with ENCODER_STOPPED. */
  readonly signal: AbortSignal;
};

type Run = {
  readonly job: EncodeJob;
  readonly ffmpeg: Ffmpeg;
  readonly journal: Journal;
  readonly tell: Tell;
};

/**
 * Encodes and publishes one title; the last event emitted is `done`. Throws EncoderError, and then nothing changed. A
 * metric that fails on the way is replaced by the next best of the same ffmpeg: scores of two never meet in one title.
 */
export async function runJob(job: EncodeJob, context: JobContext): Promise<void> {
  let reached = 0;
  const emit = (event: EncodeEvent): void => {
    reached = Math.max(reached, event.progressRatio);
    context.emit({ ...event, progressRatio: reached });
  };
  try {
    await runWith(job, { ...context, emit });
  } catch (error) {
    const { tool } = context;
    const isMetric = error instanceof EncoderError && error.code === 'ENCODER_METRIC_FAILED';
    if (!isMetric || tool.fallback === undefined) throw error;
    const next = { ...tool, hasVmaf: false, metric: tool.fallback, fallback: undefined };
    await runWith(job, { ...context, emit, tool: next });
  }
}

async function runWith(job: EncodeJob, context: JobContext): Promise<void> {
  if (job.sourceClass === 'sealed') {
    throw new EncoderError('ENCODER_INPUT_SEALED', 'the job says sealed (DRM): such titles are cached, never decoded');
  }
  const outDir = resolve(job.outDir);
  await mkdir(outDir, { recursive: true });
  const release = await lockFolder(outDir);
  try {
    await restoreFolder(join(outDir, 'package'));
    const parallel = job.budget.parallel || availableParallelism();
    const threads = Math.max(1, Math.floor(availableParallelism() / parallel));
    const ffmpeg = openFfmpeg(context.tool, {
      parallel,
      threads,
      stallMs: job.budget.stallSeconds * 1000,
      signal: context.signal,
    });
    let reached = 0;
    const tell: Tell = (facts, progressRatio = 0) => {
      reached = Math.max(reached, Math.min(1, progressRatio));
      context.emit({ version: CONTRACT_VERSION, id: job.id, progressRatio: reached, ...facts });
    };
    await encodeTitle({ job: { ...job, outDir }, ffmpeg, journal: await openJournal(outDir), tell });
  } finally {
    await release();
  }
}

async function encodeTitle(run: Run): Promise<void> {
  const { job, ffmpeg, journal, tell } = run;
  const { signal } = ffmpeg.options;
  const source = await probe(ffmpeg.tool, { input: job.input, ...job.budget, signal });
  const { view } = source;
  const frameRate = view.frameRate.num / view.frameRate.den;
  const claimed = source.durationSeconds === undefined ? {} : { durationSeconds: source.durationSeconds };
  tell({ event: 'probe', width: view.width, height: view.height, frameRate, ...claimed });
  const jobKey = keyOf('package', resultOf(job), source.sha256, decodedAs(source), toolOf(ffmpeg.tool));
  const done = await findPackage(run, journal.find<{ hash: string }>(jobKey)?.hash);
  if (done !== undefined) {
    tell({ event: 'done', ...done, cpuSeconds: ffmpeg.cpuSeconds(), published: job.publishTo !== undefined }, 1);
    return;
  }
  const shots = await knownShots(run, source);
  for (const [index, { start, frames }] of shots.entries()) {
    const times = { startSeconds: start / frameRate, durationSeconds: frames / frameRate };
    tell({ event: 'shot', index, ...times }, SHARE.shots);
  }
  const { kinds, notes } = await chooseLadders({ job, ffmpeg, source, shots, journal });
  const trials = await runTrials(run, { source, kinds, shots });
  const { hash, dir } = await buildPackage({ job, ffmpeg, source, shots, kinds, notes, trials, tell });
  await journal.add(jobKey, { hash });
  await sweepTrials(job.outDir);
  tell({ event: 'done', hash, dir, cpuSeconds: ffmpeg.cpuSeconds(), published: job.publishTo !== undefined }, 1);
}

/** The part of a job that its package depends on. */
function resultOf(job: EncodeJob): Partial<EncodeJob> {
  const {
    outDir: _outDir,
    publishTo: _publishTo,
    input: _input,
    ffmpegPath: _path,
    budget: _budget,
    report: _report,
    ...result
  } = job;
  return result;
}

/** How the source is seen, wherever it lies. */
function decodedAs(source: Source): Partial<Source['view']> {
  const { path: _path, ...view } = source.view;
  return view;
}

function toolOf(tool: FfmpegTool): readonly string[] {
  return [tool.version, tool.metric, VMAF_MODEL];
}

/** The package of an earlier run, pointed to anew; undefined when there is none or it is gone. */
async function findPackage({ job }: Run, hash: string | undefined): Promise<{ hash: string; dir: string } | undefined> {
  if (hash === undefined) return undefined;
  const dir = job.publishTo === undefined ? join(job.outDir, 'package') : join(resolve(job.publishTo), job.id, hash);
  const title = await readTitle(dir);
  if (title?.hash !== hash) return undefined;
  if (job.publishTo !== undefined) await point(resolve(job.publishTo), title);
  return { hash, dir };
}

/** Shots from the journal, or found now. */
async function knownShots({ ffmpeg, journal, tell }: Run, source: Source): Promise<Shot[]> {
  // The number goes up when shots are found otherwise.
  const key = keyOf('shots', 2, source.sha256, decodedAs(source), ffmpeg.tool.version);
  const known = journal.find<Shot[]>(key);
  if (known !== undefined) return known;
  const { num, den } = source.view.frameRate;
  const expected = ((source.durationSeconds ?? 0) * num) / den;
  // One line for every twentieth of the title: enough for a bar, few enough for a log.
  let told = 0;
  const shots = await findShots(ffmpeg, source, (frames) => {
    const doneRatio = expected > 0 ? Math.min(1, frames / expected) : 0;
    if (doneRatio < told + 0.05) return;
    told = doneRatio;
    tell({ event: 'progress', step: 'shots' }, SHARE.shots * doneRatio);
  });
  await journal.add(key, shots);
  return shots;
}

/** All trials of all shots, the costliest shots first, as many shots at a time as there are processes. */
async function runTrials(
  { job, ffmpeg, journal, tell }: Run,
  { source, kinds, shots }: { source: Source; kinds: readonly LadderKind[]; shots: readonly Shot[] },
): Promise<Trial[]> {
  const { width, height } = source.view;
  const heights = chooseHeights(height, job.ladder.heights);
  const crfs = [...new Set(job.trials.crfs)].sort((a, b) => a - b);
  const costOf = (shot: Shot, lines: number): number =>
    trialCost(shot.frames, lines * widthAt(source.view, lines), width * height);
  const total = shots.reduce((sum, shot) => sum + heights.reduce((all, lines) => all + costOf(shot, lines), 0), 0);
  let done = 0;
  const onTrial = (trial: Trial): void => {
    const shot = shots[trial.shot];
    if (shot !== undefined) done += costOf(shot, trial.height) / ownCrfs(trial.kind, crfs).length / kinds.length;
    const bitrateBps =
      (trial.mediaBytes * 8 * source.view.frameRate.num) / ((shot?.frames ?? 1) * source.view.frameRate.den);
    const { height: lines, crf, resumed, kind } = trial;
    const facts = {
      shot: trial.shot,
      codec: kind.codec.name,
      height: lines,
      crf,
      bitrateBps,
      quality: trial.quality.mean,
      resumed,
    };
    tell({ event: 'trial', ...facts }, SHARE.shots + SHARE.trials * (done / total));
  };
  const plan: TrialPlan = {
    ...{ source, kinds, heights, crfs, ffmpeg, journal, onTrial },
    ...{ preset: job.preset, subsample: job.trials.subsample, segmentSeconds: job.segmentSeconds },
    folder: join(job.outDir, 'trials'),
  };
  await sweepTrials(job.outDir);
  const queue = shots.map((shot, at) => ({ shot, at })).sort((a, b) => b.shot.frames - a.shot.frames);
  const trials: Trial[] = [];
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      trials.push(...(await runShotTrials(plan, next.shot, next.at)));
    }
  };
  await ffmpeg.all(Array.from({ length: ffmpeg.options.parallel }, worker));
  return trials.sort((a, b) => a.shot - b.shot);
}

/** Removes what a killed run left half done; finished trials stay. */
async function sweepTrials(outDir: string): Promise<void> {
  const folder = join(outDir, 'trials');
  await mkdir(folder, { recursive: true });
  for (const name of await readdir(folder)) {
    if (/^(?:tmp|shot)-/.test(name)) await rm(join(folder, name), { force: true });
  }
}
