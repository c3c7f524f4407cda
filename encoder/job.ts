// The conductor of one encode: probe, shots, trials, plan, package, check, publish. Everything that it decides is in
// plan/, everything that it runs in ffmpeg/; running it again goes on where an earlier run ended.
import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { buildPackage, planLadders, type Tell } from './build.ts';
import { CONTRACT_VERSION, type EncodeEvent, type EncodeJob } from './contract.ts';
import type { Control } from './control.ts';
import { EncoderError } from './errors.ts';
import { VMAF_MODEL } from './ffmpeg/args.ts';
import type { Note } from './ffmpeg/codecs/choose.ts';
import type { FfmpegTool } from './ffmpeg/find.ts';
import { createPacer } from './ffmpeg/pacer.ts';
import { probe, type Source } from './ffmpeg/probe.ts';
import { type Ffmpeg, openFfmpeg } from './ffmpeg/run.ts';
import { findShots, type Shot } from './ffmpeg/shots.ts';
import { type Journal, keyOf, lockFolder, openJournal } from './journal.ts';
import { chooseLadders } from './ladders.ts';
import { COEFFICIENTS } from './plan/coefficients.ts';
import { longestUnit, type Unit, unitsOf } from './plan/units.ts';
import { point, readTitle, restoreFolder } from './publish.ts';
import { negOf, type Search, searchTitle, sweepTrials } from './search.ts';

/** Shares of the whole work, measured on 15 s of 720p: decoding for shots, then trials; the rest is package and check. */
const SHARE = { shots: 0.05, trials: 0.87 } as const;

/** What a job is run with. */
export type JobContext = {
  readonly tool: FfmpegTool;
  readonly emit: (event: EncodeEvent) => void;
  /** Ends the job with ENCODER_STOPPED. */
  readonly signal: AbortSignal;
  /** Says how fast to go; absent: as fast as the job's budget allows. */
  readonly control?: Pick<Control, 'drive' | 'joules'>;
};

type Run = {
  readonly job: EncodeJob;
  readonly ffmpeg: Ffmpeg;
  readonly journal: Journal;
  readonly tell: Tell;
  readonly joules: (() => number | undefined) | undefined;
  /** On the clock of performance.now(). */
  readonly startedAt: number;
};

/**
 * Encodes and publishes one title; the last event emitted is `done`. Throws EncoderError, and then nothing changed. A
 * metric that fails on the way is replaced by the next best of the same ffmpeg: scores of two never meet in one title.
 */
export async function runJob(job: EncodeJob, context: JobContext): Promise<void> {
  const startedAt = performance.now();
  let reached = 0;
  const emit = (event: EncodeEvent): void => {
    reached = Math.max(reached, event.progressRatio);
    context.emit({ ...event, progressRatio: reached });
  };
  try {
    await runWith(job, { ...context, emit }, startedAt);
  } catch (error) {
    const { tool } = context;
    const isMetric = error instanceof EncoderError && error.code === 'ENCODER_METRIC_FAILED';
    if (!isMetric || tool.fallback === undefined) throw error;
    const next = { ...tool, hasVmaf: false, metric: tool.fallback, fallback: undefined };
    await runWith(job, { ...context, emit, tool: next }, startedAt);
  }
}

async function runWith(job: EncodeJob, context: JobContext, startedAt: number): Promise<void> {
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
    const pacer = createPacer(parallel);
    const ffmpeg = openFfmpeg(context.tool, {
      pacer,
      parallel,
      threads,
      stallMs: job.budget.stallSeconds * 1000,
      signal: context.signal,
    });
    const tell: Tell = (facts, progressRatio = 0) =>
      context.emit({ version: CONTRACT_VERSION, id: job.id, progressRatio: Math.min(1, progressRatio), ...facts });
    context.control?.drive(pacer, (pace) => tell({ event: 'pace', pace }));
    try {
      const joules = context.control?.joules;
      await encodeTitle({
        job: { ...job, outDir },
        ffmpeg,
        journal: await openJournal(outDir),
        ...{ tell, joules, startedAt },
      });
    } finally {
      pacer.close();
    }
  } catch (error) {
    // Finished trials stay; what is half done is only in the way, on a full disk most of all.
    await sweepTrials(outDir).catch(() => undefined);
    throw error;
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
  const units = unitsOf(shots, longestUnit(job.segmentSeconds, view.frameRate));
  const shotsCpu = ffmpeg.cpuSeconds();
  const endsAt = run.startedAt + (job.deadlineSeconds ?? Number.POSITIVE_INFINITY) * 1000;
  const search = { job, ffmpeg, journal, source, kinds, units, endsAt };
  const { trials, hastyUnits } = await searchTitle({ ...search, onTrial: trialTeller(run, source, units) });
  const ladders = planLadders({ job, source, shots, units, kinds, trials });
  const neg = await negOf(
    search,
    ladders.rungs.flatMap((rung) => rung.trials.map(({ trial }) => trial)),
  );
  await sweepTrials(job.outDir);
  const { hash, dir } = await buildPackage({
    ...{ job, ffmpeg, source, shots, units, kinds, trials, ladders, neg, tell },
    ...{ notes: [...notes, ...hasteNotes(hastyUnits, units.length)], joules: run.joules },
    cost: { shots: shotsCpu, trials: ffmpeg.cpuSeconds() - shotsCpu },
  });
  await journal.add(jobKey, { hash });
  tell({ event: 'done', hash, dir, cpuSeconds: ffmpeg.cpuSeconds(), published: job.publishTo !== undefined }, 1);
}

function hasteNotes(hasty: number, units: number): Note[] {
  if (hasty === 0) return [];
  const message = `the deadline left ${hasty} of ${units} units fewer trials than they ask for; savings are a rough estimate`;
  return [{ code: 'deadline', message }];
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

/** The programs, models and trained coefficients that decide a package. */
function toolOf(tool: FfmpegTool): readonly string[] {
  return [tool.version, tool.metric, VMAF_MODEL, keyOf(COEFFICIENTS)];
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

/** Tells of trials as they come. */
function trialTeller({ tell }: Run, source: Source, units: readonly Unit<Shot>[]): Search['onTrial'] {
  const { num, den } = source.view.frameRate;
  return (trial, doneRatio) => {
    const bitrateBps = (trial.mediaBytes * 8 * num) / ((units[trial.unit]?.frames ?? 1) * den);
    const { shot, unit, kind, height, crf, resumed } = trial;
    const facts = { shot, unit, codec: kind.codec.name, height, crf, bitrateBps, quality: trial.quality.mean, resumed };
    tell({ event: 'trial', ...facts }, SHARE.shots + SHARE.trials * doneRatio);
  };
}
