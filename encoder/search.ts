// Finds the trials that a title's ladder is made of: rounds of wishes from plan/search.ts, encoded and measured unit by
// unit, the costliest first.
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { EncodeJob } from './contract.ts';
import type { LadderKind } from './ffmpeg/codecs/choose.ts';
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

/** How far the curves are believed: they were trained on x264 and VMAF, and each step away says less. */
const TRUST = { full: 1, otherCodec: 0.5, otherMetric: 0.4 } as const;
/** Least step of CRFs that are asked for. */
const CRF_STEP = 0.5;
/** Seeds end where no rung is more uncertain than this, in points. */
const TOLERANCE = 1;

/** What a search works on. */
export type Search = {
  readonly job: EncodeJob;
  readonly ffmpeg: Ffmpeg;
  readonly journal: Journal;
  readonly source: Source;
  readonly kinds: readonly LadderKind[];
  readonly units: readonly Unit<Shot>[];
  /** Hears of every trial, and how much of the search is done. */
  readonly onTrial: (trial: Trial, doneRatio: number) => void;
};

/** A trial with its quality in points and its CRF on x264's scale, for planning. */
export type Candidate = Measured & { readonly trial: Trial };

/** The plan of one ladder of a title: what limits it, and what it is made of. */
export function titlePlan(
  { job, source, units }: Pick<Search, 'job' | 'source' | 'units'>,
  { codec, metric }: LadderKind,
): Omit<TitlePlan, 'durationSeconds'> {
  const { maxRungs, vmafCap, minimumStep, floorDrop, audience } = job.ladder;
  const { mostSeeds, mostTrials, snap } = job.search;
  const trust = codec.encoder === 'libx264' ? TRUST.full : TRUST.otherCodec;
  const title: SearchTitle = {
    units,
    width: source.view.width,
    height: source.view.height,
    heights: chooseHeights(source.view.height, job.ladder.heights),
    limits: { maxRungs, qualityCap: vmafCap, minimumStep, floorDrop },
    search: {
      ...{ mostSeeds, mostTrials, snap, tolerance: TOLERANCE },
      step: Math.max(CRF_STEP, codec.quality.step),
      trust: metric === 'vmaf' ? trust : Math.min(trust, TRUST.otherMetric),
    },
    model: COEFFICIENTS,
  };
  return { title, audience };
}

/** The trials of one ladder as the planner sees them. */
export function candidatesOf({ job }: Pick<Search, 'job'>, kind: LadderKind, trials: readonly Trial[]): Candidate[] {
  const points = toPoints[kind.metric];
  return trials
    .filter((trial) => trial.kind.id === kind.id)
    .map((trial) => {
      const { unit, height, x264Crf, mediaBytes, quality, preset } = trial;
      const ships = preset === job.preset;
      return { unit, height, crf: x264Crf, bits: mediaBytes * 8, quality: points(quality.mean), ships, trial };
    });
}

/** A wish of one ladder. */
type KindWish = Wish & { readonly kind: LadderKind };

/** All trials that the title's rungs need, or the full grid where that is asked for; in order of units. */
export async function searchTitle(search: Search): Promise<Trial[]> {
  const { job, kinds } = search;
  await sweepTrials(job.outDir);
  const isFull = job.search.grid === 'full';
  const searched = isFull ? [] : kinds;
  const ask = (of: readonly LadderKind[], wishesOf: (kind: LadderKind) => readonly Wish[]): KindWish[] =>
    of.flatMap((kind) => wishesOf(kind).map((wish) => ({ ...wish, kind })));
  const proposing = job.search.preset ?? job.preset;
  const trials: Trial[] = [];
  const full = ask(isFull ? kinds : [], (kind) => gridWishes(search, kind));
  const expected = full.length + searched.length * search.units.length * (job.search.mostSeeds + 3);
  const run = async (wishes: readonly KindWish[], preset: string): Promise<void> => {
    trials.push(...(await runWishes(search, { wishes, preset, before: trials.length, expected })));
  };
  await run(full, job.preset);
  await run(
    ask(searched, (kind) => seedWishes(titlePlan(search, kind).title)),
    proposing,
  );
  // A final preset of its own takes one round more: the first shows what it does to the curves.
  const rounds = job.search.rounds + (proposing === job.preset ? 0 : 1);
  for (let round = 0; round < rounds; round++) {
    const wishes = ask(searched, (kind) => {
      return rungWishes(titlePlan(search, kind).title, candidatesOf(search, kind, trials), round > 0);
    });
    await run(wishes, job.preset);
  }
  return trials.sort((a, b) => a.unit - b.unit);
}

function gridWishes({ job, units, source }: Search, kind: LadderKind): Wish[] {
  const heights = chooseHeights(source.view.height, job.ladder.heights);
  const crfs = [...new Map(job.trials.crfs.map((crf) => [kind.codec.qualityAt(crf), crf])).values()];
  return units.flatMap((_, unit) => heights.flatMap((height) => crfs.map((crf) => ({ unit, height, crf }))));
}

type Round = {
  readonly wishes: readonly KindWish[];
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
      const places = next.wishes.map(({ kind, height, crf }) => ({ kind, height, x264Crf: crf, preset }));
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
