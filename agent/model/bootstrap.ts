// Whether one ranking is better than another, by viewers: each viewer's questions hang together, so viewers are drawn
// anew, never questions (Efron and Tibshirani 1993, chapter 8; clusters as units).
import { seededRandom } from '../train/random.ts';

/** One viewer's sums over the same questions, by both rankings. */
export type ViewerPair = { readonly questions: number; readonly ours: number; readonly theirs: number };

/** Mean difference a question (ours less theirs), and the one-sided bounds of its confidence interval. */
export type Difference = {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
  readonly viewers: number;
  readonly questions: number;
};

/** How the interval is drawn; `alpha` is what may lie beyond each bound. */
export type BootstrapOptions = { readonly seed: number; readonly rounds: number; readonly alpha: number };

/** More viewers than this are put together by chance: the sums of a group vary as those of its viewers do. */
const MAX_GROUPS = 200;

function grouped(pairs: readonly ViewerPair[], random: () => number): readonly ViewerPair[] {
  if (pairs.length <= MAX_GROUPS) return pairs;
  const groups = Array.from({ length: MAX_GROUPS }, () => ({ questions: 0, ours: 0, theirs: 0 }));
  for (const { questions, ours, theirs } of pairs) {
    const group = groups[Math.floor(random() * MAX_GROUPS)];
    if (group === undefined) continue;
    group.questions += questions;
    group.ours += ours;
    group.theirs += theirs;
  }
  return groups;
}

/** The difference over all questions with its percentile interval; the same pairs and seed give the same answer. */
export function pairedDifference(pairs: readonly ViewerPair[], options: BootstrapOptions): Difference {
  const random = seededRandom(options.seed);
  const groups = grouped(pairs, random);
  const gains = Float64Array.from(groups, ({ ours, theirs }) => ours - theirs);
  const counts = Float64Array.from(groups, ({ questions }) => questions);
  const questions = counts.reduce((sum, count) => sum + count, 0);
  const mean = questions === 0 ? 0 : gains.reduce((sum, gain) => sum + gain, 0) / questions;
  if (groups.length === 0) return { mean, low: -Infinity, high: Infinity, viewers: 0, questions };
  const means = new Float64Array(options.rounds);
  for (let round = 0; round < options.rounds; round += 1) {
    let gain = 0;
    let count = 0;
    for (let draw = 0; draw < groups.length; draw += 1) {
      const viewer = Math.floor(random() * groups.length);
      gain += gains[viewer] ?? 0;
      count += counts[viewer] ?? 0;
    }
    means[round] = count === 0 ? 0 : gain / count;
  }
  means.sort();
  const at = (part: number): number => means[Math.min(means.length - 1, Math.floor(part * means.length))] ?? 0;
  return { mean, low: at(options.alpha), high: at(1 - options.alpha), viewers: pairs.length, questions };
}
