// How well each cut of a title fits what a viewer has watched: the taste prior of the bandit. Pure.
import type { Cut, Features } from './moments.ts';

/** A long history counts as so many views of the title's own. */
const MOST_STRENGTH = 6;
/** Watched titles at which half of that is reached. */
const HALF_STRENGTH_TITLES = 3;

/** What a taste says of each cut: `affinityRatio` 0..1 (0.5 is neutral), `strength` in views. */
export type Affinity = { readonly affinityRatio: number; readonly strength: number };

/**
 * Affinity per cut, in their order: nearness of the cut's features to the taste, compared among the cuts of the title
 * only, through the logistic curve. `watchedTitles` is a sum of watched ratios and sets the strength.
 */
export function cutAffinities(cuts: readonly Cut[], taste: Features, watchedTitles: number): readonly Affinity[] {
  const strength = (MOST_STRENGTH * watchedTitles) / (watchedTitles + HALF_STRENGTH_TITLES);
  const nearness = cuts.map((cut) => -squaredDistance(cut.features, taste));
  const mean = nearness.reduce((sum, value) => sum + value, 0) / nearness.length;
  const variance = nearness.reduce((sum, value) => sum + (value - mean) ** 2, 0) / nearness.length;
  const deviation = Math.sqrt(variance);
  return nearness.map((value) => ({
    affinityRatio: deviation > 1e-9 ? 1 / (1 + Math.exp(-(value - mean) / deviation)) : 0.5,
    strength,
  }));
}

function squaredDistance(a: Features, b: Features): number {
  return (
    (a.spatial - b.spatial) ** 2 +
    (a.temporal - b.temporal) ** 2 +
    (a.luma - b.luma) ** 2 +
    (a.saturation - b.saturation) ** 2 +
    (a.loudness - b.loudness) ** 2
  );
}
