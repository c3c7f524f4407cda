// From trials to rungs: which trial of each shot ships in which rendition, and what that saves. Pure.
import { allocate, type ShotTrials, uniform } from './allocate.ts';
import { chooseLadder, type LadderLimits } from './ladder.ts';
import { estimateSavings, type Savings } from './savings.ts';

/** A measured trial, as far as planning needs it; quality in points. */
export type PlannedTrial = {
  readonly shot: number;
  readonly height: number;
  readonly crf: number;
  readonly bits: number;
  readonly quality: number;
};

/** A rendition to ship: one height, one trial per shot in shot order. */
export type Rung<Trial extends PlannedTrial> = {
  readonly height: number;
  readonly trials: readonly Trial[];
  readonly bits: number;
  readonly quality: number;
};

/** What the title is, and what its ladder must keep to. */
export type TitleLimits = LadderLimits & {
  readonly floorDrop: number;
  readonly sourceHeight: number;
  readonly durationSeconds: number;
};

/** Chooses the renditions, best first, and estimates what they save. Every shot needs trials at every height. */
export function planTitle<Trial extends PlannedTrial>(
  trials: readonly Trial[],
  shotFrames: readonly number[],
  limits: TitleLimits,
): { rungs: Rung<Trial>[]; savings: Savings } {
  const heights = [...new Set(trials.map((trial) => trial.height))];
  const byHeight = heights.map((height) => {
    const shots = shotFrames.map((frames, shot): ShotTrials<Trial> => {
      const points = trials.filter((trial) => trial.height === height && trial.shot === shot);
      return { frames, points: points.sort((a, b) => a.crf - b.crf) };
    });
    return { height, shots };
  });
  const candidates = byHeight.flatMap(({ height, shots }) =>
    allocate(shots, limits.floorDrop).map(({ points, bits, quality }) => ({ height, trials: points, bits, quality })),
  );
  const perSecond = <Point extends { bits: number; quality: number }>({ bits, quality }: Point) => ({
    bits: bits / limits.durationSeconds,
    quality,
  });
  const curves = {
    uniform: byHeight.map(({ height, shots }) => ({ height, points: uniform(shots).map(perSecond) })),
    allocated: candidates.map(perSecond),
  };
  return { rungs: chooseLadder(candidates, limits), savings: estimateSavings(curves, limits.sourceHeight, limits) };
}
