// Trial encodes: units of a title at the heights and CRFs that the search asks for, each measured, each kept for the
// package.
import { mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { EncoderError } from './errors.ts';
import { NEG_MODEL, type ShotCopies, type TrialGroup, trialArgs, VMAF_MODEL, videoTimescale } from './ffmpeg/args.ts';
import type { LadderKind } from './ffmpeg/codecs/choose.ts';
import type { VideoRange } from './ffmpeg/codecs/codec.ts';
import type { Source } from './ffmpeg/probe.ts';
import type { Quality } from './ffmpeg/quality.ts';
import type { Ffmpeg } from './ffmpeg/run.ts';
import { extractShot, type Shot } from './ffmpeg/shots.ts';
import { type Journal, keyOf } from './journal.ts';
import { parseFragmented } from './package/fmp4.ts';
import { differingBoxes } from './package/init.ts';
import { MOST_SAMPLING_ERROR } from './plan/metric.ts';
import { widthAt } from './plan/trials.ts';
import type { Unit } from './plan/units.ts';
import { NEG_SUBSAMPLE, negOfEncodes, type Scoring, scoreEncodes } from './score.ts';

/** What the journal keeps of a trial. */
type TrialResult = { readonly bytes: number; readonly mediaBytes: number; readonly quality: Quality };

/** How a unit is to be encoded; CRF and preset as x264 has them: each encoder takes its own that are like them. */
export type TrialWish = {
  readonly kind: LadderKind;
  readonly height: number;
  readonly x264Crf: number;
  readonly preset: string;
};

/** One encoded and measured trial; `file` is a fragmented MP4 of one fragment. */
export type Trial = TrialResult &
  TrialWish & {
    /** Index of the unit, and of the shot that it is part of. */
    readonly unit: number;
    readonly shot: number;
    /** On the encoder's own scale. */
    readonly crf: number;
    readonly file: string;
    /** Found in the journal. */
    readonly resumed: boolean;
  };

/** What all trials of a job share. */
export type TrialPlan = {
  readonly source: Source;
  readonly subsample: number;
  /** Folder of the kept encodes and of the units while they are worked on. */
  readonly folder: string;
  /** Lossless copies of units stay for later rounds; whoever asks for them removes them. */
  readonly keepsCopies: boolean;
  readonly ffmpeg: Ffmpeg;
  readonly journal: Journal;
  readonly onTrial: (trial: Trial) => void;
};

/** A unit and its index. */
type At = { readonly plan: TrialPlan; readonly at: number; readonly unit: Unit<Shot> };

/**
 * The trials of one unit, in any order. The lossless copy that they read lives only as long as one of them is missing,
 * unless copies are kept; those of one height and preset are encoded by one ffmpeg, from one decode and one scaling.
 */
export async function runUnitTrials(at: At, wishes: readonly TrialWish[]): Promise<Trial[]> {
  const { plan } = at;
  const distinct = [...new Map(wishes.map((wish) => [trialKey(at, wish), wish])).values()];
  const kept = await Promise.all(distinct.map((wish) => findTrial(at, wish)));
  const found = kept.filter((trial) => trial !== undefined);
  for (const trial of found) plan.onTrial(trial);
  const missing = distinct.filter((_, index) => kept[index] === undefined);
  if (missing.length === 0) return found;
  await mkdir(plan.folder, { recursive: true });
  return withCopies(at, copiesFor(at, missing), async () => {
    const groups = new Map<string, TrialWish[]>();
    for (const wish of missing) {
      const key = `${wish.kind.id} ${wish.height} ${wish.preset}`;
      groups.set(key, [...(groups.get(key) ?? []), wish]);
    }
    const encoded = await plan.ffmpeg.all([...groups.values()].map((group) => encodeGroup(at, group)));
    const scored = await scoreEncodes(scoringOf(at), encoded.flat());
    const made = [...scored].map(([encode, quality]) => keepTrial(at, encode, quality));
    return found.concat(await Promise.all(made));
  });
}

/** Works with the lossless copies of a unit, which are made where they are missing. */
async function withCopies<Result>(
  { plan, unit }: At,
  copies: ShotCopies,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    const isMade = await Promise.all(copies.map(({ file }) => isThere(join(plan.folder, file))));
    if (!plan.keepsCopies || isMade.includes(false)) {
      await extractShot(plan.ffmpeg, plan.source.view, { ...unit, cwd: plan.folder, copies });
    }
    return await work();
  } finally {
    for (const { file } of plan.keepsCopies ? [] : copies) await rm(join(plan.folder, file), { force: true });
  }
}

/**
 * Mean of VMAF's NEG model of finished trials of one unit that VMAF scored, from the journal or measured now; costs one
 * copy of the unit where any is missing. Rejects as measureQuality does.
 */
export async function scoreNeg(at: At, trials: readonly Trial[]): Promise<ReadonlyMap<Trial, number>> {
  const { plan } = at;
  const found = new Map<Trial, number>();
  const keyed = trials.map((trial) => ({ trial, key: keyOf('neg', trialKey(at, trial), NEG_MODEL, NEG_SUBSAMPLE) }));
  for (const { trial, key } of keyed) {
    const known = plan.journal.find<number>(key);
    if (known !== undefined) found.set(trial, known);
  }
  const missing = keyed
    .filter(({ trial }) => !found.has(trial))
    .map(({ trial, key }) => ({ trial, key, kind: trial.kind, file: trialFile(at, trial) }));
  if (missing.length === 0) return found;
  return withCopies(at, copiesFor(at, missing), async () => {
    for (const [{ trial, key }, mean] of await negOfEncodes(scoringOf(at), missing)) {
      await plan.journal.add(key, mean);
      found.set(trial, mean);
    }
    return found;
  });
}

function copiesFor({ at }: At, encodes: readonly { readonly kind: LadderKind }[]): ShotCopies {
  const ranges = new Set(encodes.map(({ kind }) => kind.picture.videoRange));
  return [...ranges].map((range) => ({ range, file: unitFile(at, range) }));
}

function scoringOf({ plan, at, unit }: At): Scoring {
  const { ffmpeg, source, folder, subsample } = plan;
  return { ffmpeg, source, folder, subsample, frames: unit.frames, copyOf: (range) => unitFile(at, range) };
}

function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function unitFile(at: number, range: VideoRange): string {
  return `unit-${at}-${range}.nut`;
}

function trialGroup({ plan, at }: At, wish: TrialWish, outputs: TrialGroup['outputs']): TrialGroup {
  const { view } = plan.source;
  const { kind, height, preset } = wish;
  return {
    kind,
    input: unitFile(at, kind.picture.videoRange),
    width: widthAt(view, height),
    height,
    frameRate: view.frameRate,
    keyframes: [],
    preset: kind.codec.presetAt(preset),
    threads: plan.ffmpeg.threads,
    outputs,
  };
}

function ownCrf({ kind, x264Crf }: TrialWish): number {
  return kind.codec.qualityAt(x264Crf);
}

/** Everything that determines a trial and its score, but not names, nor how many threads it took. */
function trialKey(at: At, wish: TrialWish): string {
  const { plan, unit } = at;
  const { tool } = plan.ffmpeg;
  const { path: _, ...view } = plan.source.view;
  const args = trialArgs({ ...trialGroup(at, wish, [{ crf: ownCrf(wish), file: '' }]), input: '', threads: 0 });
  const measure = [wish.kind.metric, VMAF_MODEL, plan.subsample, MOST_SAMPLING_ERROR];
  return keyOf('trial', plan.source.sha256, view, unit.start, unit.frames, args, tool.version, measure);
}

function trialFile(at: At, wish: TrialWish): string {
  return `${trialKey(at, wish)}.mp4`;
}

async function findTrial(at: At, wish: TrialWish): Promise<Trial | undefined> {
  const result = at.plan.journal.find<TrialResult>(trialKey(at, wish));
  if (result === undefined) return undefined;
  const file = join(at.plan.folder, trialFile(at, wish));
  const size = await stat(file).then(
    (found) => found.size,
    () => undefined,
  );
  return size === result.bytes
    ? { ...result, ...wish, crf: ownCrf(wish), unit: at.at, shot: at.unit.shot, file, resumed: true }
    : undefined;
}

/** An encode that is not scored yet: `file` is a temporary name. */
type Encoded = TrialWish & { readonly crf: number; readonly file: string; readonly mediaBytes: number };

/** Encodes wishes of one kind, height and preset in one run. */
async function encodeGroup(at: At, wishes: readonly TrialWish[]): Promise<Encoded[]> {
  const { plan, unit } = at;
  const [first] = wishes;
  if (first === undefined) return [];
  const outputs = wishes.map((wish) => ({ ...wish, crf: ownCrf(wish), file: `tmp-${trialFile(at, wish)}` }));
  const encoded = await plan.ffmpeg.run({ args: trialArgs(trialGroup(at, first, outputs)), cwd: plan.folder });
  if (encoded.frames !== unit.frames) {
    throw new EncoderError(
      'ENCODER_FRAMES_DIFFER',
      `unit ${at.at} at ${first.height} lines has ${encoded.frames} frames instead of ${unit.frames}`,
    );
  }
  await requireSharedInit(at, first, outputs);
  return Promise.all(
    outputs.map(async (output) => ({ ...output, mediaBytes: await checkFragment(at, join(plan.folder, output.file)) })),
  );
}

/** Units of one rung play from one init segment: an encoder that writes its quality into it cannot be used so. */
async function requireSharedInit({ plan }: At, wish: TrialWish, outputs: TrialGroup['outputs']): Promise<void> {
  const inits = await Promise.all(
    outputs.map(async ({ file }) => parseFragmented(await readFile(join(plan.folder, file))).init),
  );
  const [first] = inits;
  const differing = first === undefined ? [] : inits.flatMap((init) => differingBoxes(first, init));
  if (differing.length === 0) return;
  const { codec } = wish.kind;
  throw new EncoderError(
    'ENCODER_INIT_DIFFERS',
    `${codec.encoder} writes another ${differing[0]} for each quality value at ${wish.height} lines: give one value ` +
      `in trials.crfs and the grid 'full', or take ${codec.name} from codecs`,
  );
}

/** A scored encode gets its name, then its line in the journal. */
async function keepTrial(at: At, encoded: Encoded, quality: Quality): Promise<Trial> {
  const { plan, unit } = at;
  const { file: written, mediaBytes, ...wish } = encoded;
  const file = join(plan.folder, trialFile(at, wish));
  await rename(join(plan.folder, written), file);
  const { size } = await stat(file);
  const result: TrialResult = { bytes: size, mediaBytes, quality };
  await plan.journal.add(trialKey(at, wish), result);
  const trial: Trial = { ...result, ...wish, unit: at.at, shot: unit.shot, file, resumed: false };
  plan.onTrial(trial);
  return trial;
}

/** Bytes of the fragment; there must be one, from a keyframe, frame for frame. */
async function checkFragment({ plan, at, unit }: At, path: string): Promise<number> {
  const { fragments, timescale } = parseFragmented(await readFile(path));
  const { frameTicks, timescale: wanted } = videoTimescale(plan.source.view.frameRate);
  const [fragment] = fragments;
  const isPlanned =
    timescale === wanted &&
    fragments.length === 1 &&
    fragment?.startsWithKey === true &&
    fragment.samples === unit.frames &&
    fragment.ticks === unit.frames * frameTicks &&
    fragment.baseTicks === 0;
  if (!isPlanned) {
    const got = fragments.map(({ baseTicks, ticks }) => `${baseTicks}+${ticks}`).join(' ');
    throw new EncoderError('ENCODER_FRAMES_DIFFER', `unit ${at} was cut at other frames than planned (${got})`);
  }
  return fragment.bytes.length;
}
