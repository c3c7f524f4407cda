// Scores a trial encode against its shot.
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { EncoderError } from '../errors.ts';
import { poolScores } from '../plan/metric.ts';
import { comparedFrames, type QualityRun, qualityArgs } from './args.ts';
import { parseStats, parseVmafLog } from './parse.ts';
import type { Ffmpeg } from './run.ts';

/** Scores on the metric's own scale: pooled, and of each scored frame to two decimals. */
export type Quality = ReturnType<typeof poolScores> & { readonly scores: readonly number[] };

/** A comparison in a folder; `frames` is what the unit has. */
export type QualityTarget = QualityRun & { readonly cwd: string; readonly frames: number };

/**
 * Measures; both the comparison and the scores must cover exactly the
 * unit's frames. Throws
 * ENCODER_FRAMES_DIFFER when they do not or when a score is no number.
 */
export async function measureQuality(ffmpeg: Ffmpeg, run: QualityTarget): Promise<Quality> {
  const log = join(run.cwd, run.log);
  try {
    const { frames } = await ffmpeg.run({ args: qualityArgs(run), cwd: run.cwd });
    const text = await readFile(log, 'utf8');
    const scores = run.metric === 'vmaf' ? parseVmafLog(text) : parseStats(text, run.metric);
    const { compared, scored } = comparedFrames(run.frames, run);
    if (frames !== compared || scores.length !== scored || scores.some((score) => !Number.isFinite(score))) {
      throw new EncoderError(
        'ENCODER_FRAMES_DIFFER',
        `${run.metric} compared ${frames} of ${compared} frames and scored ${scores.length} of ${scored}`,
      );
    }
    return { ...poolScores(scores), scores: scores.map((score) => Math.round(score * 100) / 100) };
  } finally {
    await rm(log, { force: true });
  }
}
