// A module of previews as somebody else would write one: an arm, a moment scorer and a ranker.
import type { PreviewModule } from '../../agent/preview/modules.ts';

/** What the configuration's `preview.modules` loads. */
export const nearcast: PreviewModule = {
  version: 1,
  arms: [{ id: 'night', score: (ranks) => -ranks.luma }],
  momentScorers: [{ id: 'no-noise', score: (features) => -0.5 * features.loudness }],
  rankers: [
    {
      id: 'surest',
      propensities: ({ deviations }) => {
        const least = deviations.indexOf(Math.min(...deviations));
        return deviations.map((_, arm) => (arm === least ? 1 : 0));
      },
    },
  ],
};
