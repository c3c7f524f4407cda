// Scores trial encodes against their unit.
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { EncoderError } from '../errors.ts';
import { poolScores } from '../plan/metric.ts';
import { comparedFrames, type QualityRun, qualityArgs, scoresOf } from './args.ts';
import { parseStats, parseVmafLog } from './parse.ts';
import type { Ffmpeg } from './run.ts';

/** Scores on the metric's own scale: pooled, and of each scored frame to two decimals. */
export type Quality = ReturnType<typeof poolScores> & { readonly scores: readonly number[] };

/** A comparison in a folder; `frames` is what the unit has. */
export type QualityTarget = QualityRun & { readonly cwd: string; readonly frames: number };

/**
 * Measures every distorted file, in their order; comparisons and scores must cover exactly the unit's frames. Throws
 * ENCODER_FRAMES_DIFFER when the comparison does not, ENCODER_METRIC_FAILED when scores are missing or no numbers, or when
 * the metric does not run at all.
 */
export async function measureQuality(ffmpeg: Ffmpeg, run: QualityTarget): Promise<Quality[]> {
  const logs = run.distorted.map((file) => join(run.cwd, scoresOf(file)));
  try {
    const { frames } = await ffmpeg.run({ args: qualityArgs(run), cwd: run.cwd }).catch((cause: unknown) => {
      if (!(cause instanceof EncoderError) || cause.code !== 'ENCODER_FFMPEG_FAILED' || cause.retryable) throw cause;
      throw new EncoderError('ENCODER_METRIC_FAILED', `${run.metric} does not run: ${cause.message}`, { cause });
    });
    const { compared } = comparedFrames(run.frames, run);
    if (frames !== compared) {
      const message = `${run.metric} compared ${frames} of ${compared} frames`;
      throw new EncoderError('ENCODER_FRAMES_DIFFER', message);
    }
    return await Promise.all(logs.map((log) => readQuality(log, run)));
  } finally {
    await Promise.all(logs.map((log) => rm(log, { force: true })));
  }
}

async function readQuality(log: string, run: QualityTarget): Promise<Quality> {
  const scores = readScores(run.metric, await readFile(log, 'utf8').catch(() => ''));
  const { scored } = comparedFrames(run.frames, run);
  const missing = scored - scores.filter((score) => Number.isFinite(score)).length;
  if (missing !== 0) {
    throw new EncoderError('ENCODER_METRIC_FAILED', `${run.metric} gave no number for ${missing} of ${scored} frames`);
  }
  return { ...poolScores(scores), scores: scores.map((score) => Math.round(score * 100) / 100) };
}

/** Scores per frame; none where the log is not what the metric writes. */
function readScores(metric: QualityRun['metric'], text: string): number[] {
  try {
    return metric === 'vmaf' ? parseVmafLog(text) : parseStats(text, metric);
  } catch {
    // A log that was cut or is empty has no scores, which the caller reports.
    return [];
  }
}
