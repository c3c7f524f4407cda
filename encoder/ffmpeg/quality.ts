// Scores a trial encode against its shot.
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { EncoderError } from '../errors.ts';
import { poolScores } from '../plan/metric.ts';
import { comparedFrames, type QualityRun, qualityArgs } from './args.ts';
import { parseStats, parseVmafLog } from './parse.ts';
import type { Ffmpeg } from './run.ts';

/** Pooled scores on the metric's own scale. */
export type Quality = ReturnType<typeof poolScores>;

/**
 * Measures; `frames` is what the shot has, and both the comparison and the scores must cover exactly those. Throws
 * ENCODER_FRAMES_DIFFER when they do not or when a score is no number.
 */
export async function measureQuality(
  ffmpeg: Ffmpeg,
  run: QualityRun & { readonly cwd: string; readonly frames: number },
): Promise<Quality> {
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
    return poolScores(scores);
  } finally {
    await rm(log, { force: true });
  }
}
