// Finds the trials that a title's ladder is made of: rounds of wishes from plan/search.ts, encoded and measured unit by
// unit, the costliest first.
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { EncodeJob } from './contract.ts';
import { openHaste } from './deadline.ts';
import { EncoderError } from './errors.ts';
import type { LadderKind } from './ffmpeg/codecs/choose.ts';
import type { Source } from './ffmpeg/probe.ts';
import type { Ffmpeg } from './ffmpeg/run.ts';
import type { Shot } from './ffmpeg/shots.ts';
import type { Journal } from './journal.ts';
import { COEFFICIENTS } from './plan/coefficients.ts';
import { tailCost } from './plan/deadline.ts';
import { toPoints } from './plan/metric.ts';
import type { Model } from './plan/model.ts';
import type { Measured, SearchTitle, Wish } from './plan/outlook.ts';
import { ROUNDS, wishesOf } from './plan/search.ts';
import type { TitlePlan } from './plan/title.ts';
import { chooseHeights, trialCost, widthAt } from './plan/trials.ts';
import type { Unit } from './plan/units.ts';
import { runUnitTrials, scoreNeg, type Trial, type TrialPlan } from './trial.ts';

/** How far the curves are believed: they were trained on x264 and VMAF, and each step away says less. */
const TRUST = { full: 1, otherCodec: 0.5, otherMetric: 0.4 } as const;
/** Least step of CRFs that are asked for. */
const CRF_STEP = 0.5;
/** Seeds end where no rung is more uncertain than this, in points. */
const TOLERANCE = 1;

/** Lossless copies of all units stay through the rounds while they take less disk than this; 4:2:0, half compressed. */
const MOST_COPY_BYTES = 1 << 30;
const COPY_BYTES_PER_PIXEL = 0.75;

/** Trials of a unit, as a rule. */
const EXPECTED_TRIALS = 7;

/** What a search works on. */
export type Search = {
  readonly job: EncodeJob;
  readonly ffmpeg: Ffmpeg;
  readonly journal: Journal;
  readonly source: Source;
  readonly kinds: readonly LadderKind[];
  readonly units: readonly Unit<Shot>[];
  /** Absent: the trained one. The benchmark gives one that has not seen its clip. */
  readonly model?: Model;
  /** The deadline on the clock of performance.now(); Infinity: there is none. */
  readonly endsAt: number;
  /** Hears of every trial, and how much of the search is done. */
  readonly onTrial: (trial: Trial, doneRatio: number) => void;
};

/** A trial with its quality in points and its CRF on x264's scale, for planning. */
export type Candidate = Measured & { readonly trial: Trial };

/** The plan of one ladder of a title: what limits it, and what it is made of. */
export function titlePlan(
  { job, source, units, model = COEFFICIENTS }: Pick<Search, 'job' | 'source' | 'units' | 'model'>,
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
    model,
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

/** A wish of one ladder, with its preset. */
type KindWish = Wish & { readonly kind: LadderKind; readonly preset: string };

/**
 * All trials that the title's rungs need, or the full grid where that is asked for, in order of units; and how many units
 * got fewer than they ask for, since the deadline is near. Every unit always gets what a whole rung takes. Copies of units
 * may be left, for negOf(); sweepTrials() removes them.
 */
export async function searchTitle(search: Search): Promise<{ trials: Trial[]; hastyUnits: number }> {
  const { job, kinds } = search;
  await sweepTrials(job.outDir);
  const isFull = job.search.grid === 'full';
  const proposing = isFull ? job.preset : (job.search.preset ?? job.preset);
  const ask = (of: (kind: LadderKind) => readonly Wish[], preset: string): KindWish[] =>
    kinds.flatMap((kind) => of(kind).map((wish) => ({ ...wish, kind, preset })));
  const expected = search.units.length * kinds.length * EXPECTED_TRIALS;
  const state: State = { trials: [], hasty: new Set(), expected };
  if (isFull) {
    const wishes = ask((kind) => gridWishes(search, kind), proposing);
    await runWishes(search, wishes, { ...state, expected: wishes.length });
  } else {
    const plans = new Map(kinds.map((kind) => [kind.id, titlePlan(search, kind).title]));
    for (const round of ROUNDS) {
      const wishesIn = (kind: LadderKind): Wish[] => {
        const title = plans.get(kind.id);
        return title === undefined ? [] : wishesOf(title, candidatesOf(search, kind, state.trials), round);
      };
      await runWishes(search, ask(wishesIn, round === 'seeds' ? proposing : job.preset), state);
    }
  }
  return { trials: state.trials.sort((a, b) => a.unit - b.unit), hastyUnits: state.hasty.size };
}

function gridWishes({ job, units, source }: Search, kind: LadderKind): Wish[] {
  const heights = chooseHeights(source.view.height, job.ladder.heights);
  const crfs = [...new Map(job.trials.crfs.map((crf) => [kind.codec.qualityAt(crf), crf])).values()];
  return units.flatMap((_, unit) => heights.flatMap((height) => crfs.map((crf) => ({ unit, height, crf }))));
}

/** What the rounds leave: trials, units that the deadline cut short, and about how many trials there will be. */
type State = { readonly trials: Trial[]; readonly hasty: Set<number>; readonly expected: number };

/** What a unit must have before all else, so that a ladder can be made: one shipping encode at every height. */
function leastWishes({ job, kinds, source }: Search, unit: number, trials: readonly Trial[]): KindWish[] {
  const crfs = job.trials.crfs.toSorted((a, b) => a - b);
  const crf = crfs[(crfs.length - 1) >> 1] ?? 28;
  const heights = chooseHeights(source.view.height, job.ladder.heights);
  return kinds
    .filter((kind) => !trials.some((one) => one.unit === unit && one.kind.id === kind.id && one.preset === job.preset))
    .flatMap((kind) => heights.map((height) => ({ unit, height, crf, kind, preset: job.preset })));
}

/** One round, as many units at a time as there are processes. */
async function runWishes(search: Search, wishes: readonly KindWish[], state: State): Promise<void> {
  const { ffmpeg, source, units } = search;
  const pixels = source.view.width * source.view.height;
  const cost = (of: readonly Wish[]): number =>
    of.reduce((sum, { unit, height }) => {
      return sum + trialCost(units[unit]?.frames ?? 0, height * widthAt(source.view, height), pixels);
    }, 0);
  const works = units.map((unit, at) => {
    const wanted = wishes.filter((wish) => wish.unit === at);
    const least = leastWishes(search, at, state.trials);
    return { unit, at, wanted, least, cost: cost(wanted) };
  });
  const haste = openHaste({
    endsAt: search.endsAt,
    processes: ffmpeg.options.parallel * ffmpeg.threads,
    shots: works.map((work) => ({ full: work.cost, least: Math.min(work.cost, cost(work.least)) })),
    tailCost: tailCost(framesOf(units), pixels),
    now: () => performance.now(),
  });
  let done = state.trials.length;
  const plan = trialPlan(search, (trial) => {
    done += 1;
    const { unit, height, x264Crf: crf } = trial;
    if (!trial.resumed) haste.spent(cost([{ unit, height, crf }]));
    search.onTrial(trial, Math.min(1, done / state.expected));
  });
  const queue = works.filter(({ wanted }) => wanted.length > 0).sort((a, b) => b.cost - a.cost);
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const { unit, at, wanted, least } = next;
      const isHasty = haste.gridOf(at) === 'least';
      if (isHasty) state.hasty.add(at);
      const places = (isHasty ? least : wanted).map(({ crf, ...wish }) => ({ ...wish, x264Crf: crf }));
      state.trials.push(...(await runUnitTrials({ plan, unit, at }, places)));
    }
  };
  await ffmpeg.all(Array.from({ length: ffmpeg.options.parallel }, worker));
}

const framesOf = (units: Search['units']): number => units.reduce((sum, unit) => sum + unit.frames, 0);

function trialPlan(
  { job, ffmpeg, journal, source, units }: Pick<Search, 'job' | 'ffmpeg' | 'journal' | 'source' | 'units'>,
  onTrial: TrialPlan['onTrial'],
): TrialPlan {
  const { width, height } = source.view;
  return {
    ...{ source, ffmpeg, journal, onTrial, subsample: job.trials.subsample },
    folder: join(job.outDir, 'trials'),
    keepsCopies: framesOf(units) * width * height * COPY_BYTES_PER_PIXEL <= MOST_COPY_BYTES,
  };
}

/**
 * Mean scores of VMAF's NEG model for those trials of the ladder that VMAF scored. None when the deadline is past, and
 * fewer where this libvmaf has no such model: they are told, nothing is decided by them.
 */
export async function negOf(
  search: Omit<Search, 'onTrial' | 'kinds' | 'model'>,
  ladder: Iterable<Trial>,
): Promise<ReadonlyMap<Trial, number>> {
  const { ffmpeg, units, endsAt } = search;
  const plan = trialPlan(search, () => undefined);
  const scored = [...new Set(ladder)].filter(({ kind }) => kind.metric === 'vmaf');
  const queue = units.map((unit, at) => ({ unit, at, mine: scored.filter((trial) => trial.unit === at) }));
  const found = new Map<Trial, number>();
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined && performance.now() < endsAt; next = queue.shift()) {
      const { unit, at, mine } = next;
      for (const [trial, mean] of await scoreNeg({ plan, unit, at }, mine)) found.set(trial, mean);
    }
  };
  try {
    await ffmpeg.all(Array.from({ length: ffmpeg.options.parallel }, worker));
  } catch (error) {
    if (!(error instanceof EncoderError && error.code === 'ENCODER_METRIC_FAILED')) throw error;
  }
  return found;
}

/** Removes what a killed run left half done; finished trials stay. */
export async function sweepTrials(outDir: string): Promise<void> {
  const folder = join(outDir, 'trials');
  await mkdir(folder, { recursive: true });
  for (const name of await readdir(folder)) {
    if (/^(?:tmp|unit)-/.test(name)) await rm(join(folder, name), { force: true });
  }
}
