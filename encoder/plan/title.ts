// From trials to rungs: which trial of each unit ships in which rendition, and what that saves. Pure.
import { uniform } from './allocate.ts';
import { type Audience, chooseLadder, earnStorage } from './ladder.ts';
import { type Measured, outlookOf, predictPoints, type SearchTitle } from './outlook.ts';
import { estimateSavings, type Savings } from './savings.ts';
import { measuredCandidates } from './search.ts';

/** A rendition to ship: one height, one trial per unit in order. */
export type Rung<Trial extends Measured> = {
  readonly height: number;
  readonly trials: readonly Trial[];
  readonly bits: number;
  readonly quality: number;
};

/** The title, how long it is, and who watches it. */
export type TitlePlan = { readonly title: SearchTitle; readonly durationSeconds: number; readonly audience: Audience };

/**
 * Chooses the renditions, best first, and estimates what they save. At least one height needs a shipping trial of every
 * unit; other heights are left out. Candidates are the planned rungs and all allocations of constant slope over what was
 * measured, so that a full grid, or a search that was cut short, gives a ladder too.
 */
export function planTitle<Trial extends Measured>(
  trials: readonly Trial[],
  { title, durationSeconds, audience }: TitlePlan,
): { rungs: Rung<Trial>[]; savings: Savings } {
  const { limits, heights } = title;
  const outlook = outlookOf(title, trials);
  const candidates = measuredCandidates(title, trials, outlook).map(
    ({ points, ...rest }): Rung<Trial> => ({ ...rest, trials: points }),
  );
  const perSecond = <Point extends { bits: number; quality: number }>({ bits, quality }: Point) => ({
    bits: bits / durationSeconds,
    quality,
  });
  const savings = estimateSavings(
    {
      uniform: heights.map((height) => ({
        height,
        points: uniform(predictPoints(title, outlook.curves, height)).map(perSecond),
      })),
      allocated: candidates.map(perSecond),
    },
    title.height,
    limits,
  );
  const rungs = earnStorage(chooseLadder(candidates, limits), durationSeconds, audience);
  return { rungs, savings };
}
