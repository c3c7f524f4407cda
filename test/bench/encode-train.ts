// Trains the regression of encoder/plan/coefficients.ts on the measured full grids, prints how well it predicts units of
// other titles and later units of the same ones, and how the planner does with it. encode-train.ts CACHE_FOLDER [--write]
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { allocate, uniform } from '../../encoder/plan/allocate.ts';
import { forecast, priorCurves, toPointsOf } from '../../encoder/plan/curves.ts';
import { convexHull } from '../../encoder/plan/hull.ts';
import { chooseLadder } from '../../encoder/plan/ladder.ts';
import type { Curve, Model } from '../../encoder/plan/model.ts';
import type { SearchTitle } from '../../encoder/plan/outlook.ts';
import { planTitle } from '../../encoder/plan/title.ts';
import { bdRate } from './encode-bd.ts';
import { type Sample, samplesOf, trainModel } from './encode-model.ts';
import { type GridFile, playSearch, readGrids, truthOf } from './encode-simulate.ts';
import { mean } from './figures.ts';

const rms = (values: readonly number[]): string =>
  values.length === 0 ? '-' : Math.sqrt(mean(values.map((value) => value * value))).toFixed(2);

/** Errors of predictions without any trial: points (where quality is 40 to 97) and log2 of bits. */
function errorsOf(model: Model, held: readonly Sample[]): string {
  const errors: { points: number[]; bits: number[] } = { points: [], bits: [] };
  for (const { features, points } of held) {
    const curves = priorCurves(features, model);
    for (const point of points) {
      const { quality, bitsPerPixel } = forecast(curves, point.place);
      const truth = toPointsOf(point.score);
      if (truth > 40 && truth < 97) errors.points.push(quality - truth);
      errors.bits.push(Math.log2(bitsPerPixel) - point.bits);
    }
  }
  return `points ${rms(errors.points).padStart(5)}  log2 bits ${rms(errors.bits).padStart(5)}`;
}

/** The planner on one title whose encodes are read off its grid, against all that the grid holds. */
function planOf(model: Model, grid: GridFile): string {
  const heights = [...new Set(grid.cells.map((cell) => cell.height))].sort((a, b) => b - a);
  const limits = { maxRungs: 5, qualityCap: 95, minimumStep: 6, floorDrop: 4 };
  const title: SearchTitle = {
    ...{
      units: grid.shots,
      width: grid.view.width,
      height: grid.view.height,
      heights,
      limits,
      model,
    },
    search: { mostSeeds: 3, mostTrials: 12, tolerance: 1, snap: 1.5, step: 0.5, trust: 1 },
  };
  const truth = truthOf(grid);
  const { trials, counts } = playSearch(title, truth);
  const audience = { medianBps: 5e6, spread: 1, views: 1e6 };
  const { rungs } = planTitle(trials, { title, durationSeconds: 10, audience });
  const linesOf = (crfs: readonly number[], height: number) =>
    grid.shots.map(({ frames }, unit) => ({ frames, points: crfs.map((crf) => truth({ unit, height, crf })) }));
  const measured = [...new Set(grid.cells.map((cell) => cell.crf))].sort((a, b) => a - b);
  const fine = Array.from({ length: 49 }, (_, at) => 14 + at * 0.5);
  const full = convexHull(heights.flatMap((height) => allocate(linesOf(measured, height), limits.floorDrop)));
  const best = chooseLadder(
    heights.flatMap((height) => allocate(linesOf(fine, height), limits.floorDrop)),
    limits,
  );
  const hull = convexHull(heights.flatMap((height) => uniform(linesOf(measured, height))));
  const show = (value: number): string => value.toFixed(2).padStart(6);
  return [
    `${counts.join('+')} trials of ${grid.shots.length} units`.padEnd(28),
    `BD against per-title hull ${show(bdRate(hull, rungs))}, full grid ${show(bdRate(full, rungs))}`,
    `every half CRF ${show(bdRate(best, rungs))}; rungs`,
    rungs.map((rung) => `${rung.height}:${rung.quality.toFixed(1)}`).join(' '),
  ].join(' ');
}

function sourceOf(model: Model, samples: readonly Sample[]): string {
  const round = (value: number): number => Number(value.toPrecision(4));
  const matrix = (rows: readonly (readonly number[])[]): string =>
    `[\n${rows.map((row) => `      [${row.map(round).join(', ')}],`).join('\n')}\n    ]`;
  const part = ({ weights, title, unit, misfit }: Curve): string =>
    `{\n    weights: ${matrix(weights)},\n    title: ${matrix(title)},\n    unit: ${matrix(unit)},\n    misfit: ${round(misfit)},\n  }`;
  const clips = new Set(samples.map((sample) => sample.title)).size;
  return `// Coefficients of the curves of encoder/plan/curves.ts, trained by test/bench/encode-train.ts on ${samples.length} units of ${clips} clips
// (x264 veryfast, vmaf_v0.6.1, 5 CRFs by 3 heights each). Do not edit: measure the grids and run that script.
import type { Model } from './model.ts';

/** What was trained. */
export const COEFFICIENTS: Model = {
  quality: ${part(model.quality)},
  bits: ${part(model.bits)},
  ranges: ${matrix(model.ranges)},
};
`;
}

const grids = readGrids(process.argv[2] ?? '/tmp/nearcast-bench-encode');
const samples = samplesOf(grids);
const line = (name: string, model: Model, held: readonly Sample[]): void =>
  console.log(`${name.padEnd(30)} ${errorsOf(model, held)}  (${held.length} units)`);
for (const grid of grids) {
  const others = samples.filter((sample) => sample.title !== grid.name);
  if (others.length === 0) continue;
  const model = trainModel(others);
  line(
    `without ${grid.name}`,
    model,
    samples.filter((sample) => sample.title === grid.name),
  );
  console.log(`  ${planOf(model, grid)}`);
}
const isEarly = (sample: Sample): boolean => sample.at < sample.of * 0.6;
line(
  'first 60 % of each title',
  trainModel(samples.filter(isEarly)),
  samples.filter((sample) => !isEarly(sample)),
);
const model = trainModel(samples);
line('all, on itself', model, samples);
console.log(
  `misfit of a unit's own curves: ${model.quality.misfit.toFixed(3)} logit, ${model.bits.misfit.toFixed(3)} log2`,
);
if (process.argv.includes('--write')) {
  writeFileSync(join(import.meta.dirname, '../../encoder/plan/coefficients.ts'), sourceOf(model, samples));
}
