// Finds the trials that a title's ladder is made of: rounds of wishes from plan/search.ts, encoded and measured unit by
// unit, the costliest first.
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { EncodeJob } from './contract.ts';
import type { Source } from './ffmpeg/probe.ts';
import type { Ffmpeg } from './ffmpeg/run.ts';
import type { Shot } from './ffmpeg/shots.ts';
import type { Journal } from './journal.ts';
import { COEFFICIENTS } from './plan/coefficients.ts';
import { toPoints } from './plan/metric.ts';
import { type Measured, rungWishes, type SearchTitle, seedWishes, type Wish } from './plan/search.ts';
import type { TitlePlan } from './plan/title.ts';
import { chooseHeights, trialCost, widthAt } from './plan/trials.ts';
import type { Unit } from './plan/units.ts';
import { runUnitTrials, type Trial, type TrialPlan } from './trial.ts';

/** Curves that were trained on VMAF say less of another metric. */
const TRUST = { vmaf: 1, other: 0.5 } as const;
/** Step of CRFs that are asked for. */
const CRF_STEP = 0.5;
/** Seeds end where no rung's quality is more uncertain than this, in points. */
const TOLERANCE = 1;

/** What a search works on. */
export type Search = {
  readonly job: EncodeJob;
  readonly ffmpeg: Ffmpeg;
  readonly journal: Journal;
  readonly source: Source;
  readonly units: readonly Unit<Shot>[];
  /** Hears of every trial, and how much of the search is done. */
  readonly onTrial: (trial: Trial, doneRatio: number) => void;
};

/** A trial with its quality in points, for planning. */
export type Candidate = Measured & { readonly trial: Trial };

/** The plan of a title: what limits it, and what it is made of. */
export function titlePlan({ job, ffmpeg, source, units }: Omit<Search, 'journal' | 'onTrial'>): TitlePlan {
  const { num, den } = source.view.frameRate;
  const { maxRungs, vmafCap, minimumStep, floorDrop, audience } = job.ladder;
  const { mostSeeds, mostTrials, snap } = job.search;
  const title: SearchTitle = {
    units,
    width: source.view.width,
    height: source.view.height,
    heights: chooseHeights(source.view.height, job.ladder.heights),
    model: COEFFICIENTS,
    limits: { maxRungs, qualityCap: vmafCap, minimumStep, floorDrop },
    search: {
      ...{ mostSeeds, mostTrials, snap, tolerance: TOLERANCE, step: CRF_STEP },
      trust: ffmpeg.tool.metric === 'vmaf' ? TRUST.vmaf : TRUST.other,
    },
  };
  const frames = units.reduce((sum, unit) => sum + unit.frames, 0);
  return { title, durationSeconds: (frames * den) / num, audience };
}

/** Trials as the planner sees them. */
export function candidatesOf({ job, ffmpeg }: Pick<Search, 'job' | 'ffmpeg'>, trials: readonly Trial[]): Candidate[] {
  const points = toPoints[ffmpeg.tool.metric];
  return trials.map((trial) => {
    const { unit, height, crf, mediaBytes, quality, preset } = trial;
    const ships = preset === job.preset;
    return { unit, height, crf, bits: mediaBytes * 8, quality: points(quality.mean), ships, trial };
  });
}

/** All trials that the title's rungs need, or the full grid where the job asks for it; in order of units. */
export async function searchTitle(search: Search): Promise<Trial[]> {
  const { job, units } = search;
  const { title } = titlePlan(search);
  await sweepTrials(job.outDir);
  const crfs = [...new Set(job.trials.crfs)].sort((a, b) => a - b);
  const isFull = job.search.grid === 'full';
  const trials: Trial[] = [];
  const expected = units.length * (isFull ? title.heights.length * crfs.length : job.search.mostSeeds + 3);
  const run = async (wishes: readonly Wish[], preset: string): Promise<void> => {
    trials.push(...(await runWishes(search, { wishes, preset, before: trials.length, expected })));
  };
  if (isFull) {
    const grid = title.heights.flatMap((height) => crfs.map((crf) => ({ height, crf })));
    await run(
      units.flatMap((_, unit) => grid.map((place) => ({ unit, ...place }))),
      job.preset,
    );
  } else {
    await run(seedWishes(title), job.search.preset ?? job.preset);
    // A final preset of its own takes one round more: the first shows what it does to the curves.
    const rounds = job.search.rounds + ((job.search.preset ?? job.preset) === job.preset ? 0 : 1);
    for (let round = 0; round < rounds; round++) {
      const wishes = rungWishes(title, candidatesOf(search, trials));
      if (wishes.length === 0) break;
      await run(wishes, job.preset);
    }
  }
  return trials.sort((a, b) => a.unit - b.unit);
}

type Round = {
  readonly wishes: readonly Wish[];
  readonly preset: string;
  /** Trials of earlier rounds, and about how many there will be. */
  readonly before: number;
  readonly expected: number;
};

/** One round, as many units at a time as there are processes. */
async function runWishes(search: Search, { wishes, preset, before, expected }: Round): Promise<Trial[]> {
  const { ffmpeg, source, units, job } = search;
  let done = before;
  const plan: TrialPlan = {
    ...{ source, ffmpeg, journal: search.journal, subsample: job.trials.subsample },
    folder: join(job.outDir, 'trials'),
    onTrial: (trial) => {
      done += 1;
      search.onTrial(trial, Math.min(1, done / expected));
    },
  };
  const cost = ({ height }: Wish, frames: number): number =>
    trialCost(frames, height * widthAt(source.view, height), source.view.width * source.view.height);
  const queue = units
    .map((unit, at) => ({ unit, at, wishes: wishes.filter((wish) => wish.unit === at) }))
    .filter((work) => work.wishes.length > 0)
    .map((work) => ({ ...work, cost: work.wishes.reduce((sum, wish) => sum + cost(wish, work.unit.frames), 0) }))
    .sort((a, b) => b.cost - a.cost);
  const trials: Trial[] = [];
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const { unit, at } = next;
      const places = next.wishes.map(({ height, crf }) => ({ height, crf, preset }));
      trials.push(...(await runUnitTrials({ plan, unit, at }, places)));
    }
  };
  await ffmpeg.all(Array.from({ length: ffmpeg.options.parallel }, worker));
  return trials;
}

/** Removes what a killed run left half done; finished trials stay. */
async function sweepTrials(outDir: string): Promise<void> {
  const folder = join(outDir, 'trials');
  await mkdir(folder, { recursive: true });
  for (const name of await readdir(folder)) {
    if (/^(?:tmp|unit)-/.test(name)) await rm(join(folder, name), { force: true });
  }
}
