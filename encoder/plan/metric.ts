// Quality metrics: which there are, and how each maps to the points in which ladder limits are written. Pure.

/** In order of preference. */
export const METRICS = ['vmaf', 'xpsnr', 'ssim', 'psnr'] as const;
/** One of them. */
export type MetricName = (typeof METRICS)[number];

/**
 * A value on the metric's own scale as VMAF-like points, 0..100, strictly growing until it clips. VMAF is its own
 * scale. The others are straight lines through 70 points at fair and 95 at transparent quality (PSNR and XPSNR 33 and
 * 43 dB; SSIM 0.95 and 0.99, taken in decibels): good enough to space rungs, not to be reported as VMAF.
 */
export const toPoints: Readonly<Record<MetricName, (value: number) => number>> = {
  vmaf: clip,
  xpsnr: (decibels) => clip(70 + (decibels - 33) * 2.5),
  psnr: (decibels) => clip(70 + (decibels - 33) * 2.5),
  ssim: (value) => clip(70 + (-10 * Math.log10(Math.max(1e-6, 1 - value)) - 13) * 3.57),
};

function clip(points: number): number {
  return Math.min(100, Math.max(0, points));
}

/** Mean, harmonic mean and 5th percentile of scores; throws RangeError without any. */
export function poolScores(scores: readonly number[]): { mean: number; harmonicMean: number; p5: number } {
  if (scores.length === 0) throw new RangeError('no scores to pool');
  const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
  // Shifted by one, as libvmaf pools it, so that a black frame of score 0 does not divide by zero.
  const inverse = scores.reduce((sum, score) => sum + 1 / (Math.max(0, score) + 1), 0) / scores.length;
  const sorted = [...scores].sort((a, b) => a - b);
  const p5 = sorted[Math.floor((sorted.length - 1) * 0.05)] ?? mean;
  return { mean, harmonicMean: 1 / inverse - 1, p5 };
}

/** Scores of a part of a title, each standing for an equal share of its frames. */
export type ScoredPart = { readonly scores: readonly number[]; readonly frames: number };

/** Pools parts that were scored at different densities: every frame counts the same. Throws RangeError without scores. */
export function poolParts(parts: readonly ScoredPart[]): { mean: number; harmonicMean: number; p5: number } {
  const weighted = parts.flatMap(({ scores, frames }) =>
    scores.map((score) => ({ score, weight: frames / scores.length })),
  );
  const total = weighted.reduce((sum, { weight }) => sum + weight, 0);
  if (total === 0) throw new RangeError('no scores to pool');
  const mean = weighted.reduce((sum, { score, weight }) => sum + score * weight, 0) / total;
  const inverse = weighted.reduce((sum, { score, weight }) => sum + weight / (Math.max(0, score) + 1), 0) / total;
  const sorted = weighted.toSorted((a, b) => a.score - b.score);
  let below = 0;
  const p5 = sorted.find(({ weight }) => {
    below += weight;
    return below > total * 0.05;
  });
  return { mean, harmonicMean: 1 / inverse - 1, p5: p5?.score ?? mean };
}

/**
 * Where the standard error below exceeds this many points, all frames are scored. It is about twice the true error on
 * x264's alternating frame types (29 units of Big Buck Bunny: 0.28 points, root mean square, where it said 0.34 to 0.86):
 * what is left moves the mean by 0.3.
 */
export const MOST_SAMPLING_ERROR = 0.8;

/**
 * Standard error of the mean of every n-th score of `frames`, in points: the estimator of successive differences for
 * systematic samples (Wolter 1984), so that a slow drift, which every sample follows, does not count. Infinite for one
 * score of several frames.
 */
export function samplingError(scores: readonly number[], frames: number): number {
  const count = scores.length;
  if (count >= frames) return 0;
  if (count < 2) return Number.POSITIVE_INFINITY;
  const steps = scores.slice(1).map((score, at) => (score - (scores[at] ?? score)) ** 2);
  const variance = steps.reduce((sum, step) => sum + step, 0) / (2 * (count - 1));
  return Math.sqrt(((1 - count / frames) * variance) / count);
}
