// Trial encodes: one shot at every height and CRF, each measured, each kept for the package.
import { mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { EncoderError } from './errors.ts';
import { type ShotCopies, type TrialGroup, trialArgs, VMAF_MODEL, videoTimescale } from './ffmpeg/args.ts';
import type { LadderKind } from './ffmpeg/codecs/choose.ts';
import type { VideoRange } from './ffmpeg/codecs/codec.ts';
import type { Source } from './ffmpeg/probe.ts';
import { measureQuality, type Quality } from './ffmpeg/quality.ts';
import type { Ffmpeg } from './ffmpeg/run.ts';
import { extractShot, type Shot } from './ffmpeg/shots.ts';
import { type Journal, keyOf } from './journal.ts';
import { parseFragmented } from './package/fmp4.ts';
import { differingBoxes } from './package/init.ts';
import { splitEvenly } from './plan/cuts.ts';
import { widthAt } from './plan/trials.ts';

/** What the journal keeps of a trial. */
type TrialResult = { readonly bytes: number; readonly mediaBytes: number; readonly quality: Quality };

/** One encoded and measured trial; `file` is a fragmented MP4 with one fragment per segment. */
export type Trial = TrialResult & {
  readonly kind: LadderKind;
  readonly shot: number;
  readonly height: number;
  /** On the encoder's own scale. */
  readonly crf: number;
  readonly file: string;
  /** Found in the journal. */
  readonly resumed: boolean;
};

/** What all trials of a job share. */
export type TrialPlan = {
  readonly source: Source;
  readonly kinds: readonly LadderKind[];
  readonly heights: readonly number[];
  /** On x264's scale, as is the preset among x264's names; each encoder has its own of both. */
  readonly crfs: readonly number[];
  readonly preset: string;
  readonly subsample: number;
  readonly segmentSeconds: number;
  /** Folder of the kept encodes and of the shot while it is worked on. */
  readonly folder: string;
  readonly ffmpeg: Ffmpeg;
  readonly journal: Journal;
  readonly onTrial: (trial: Trial) => void;
};

/** One height of one shot in one ladder. */
type Group = {
  readonly plan: TrialPlan;
  readonly kind: LadderKind;
  readonly at: number;
  readonly shot: Shot;
  readonly height: number;
};

/** Quality values of a kind, on its encoder's scale, best first. */
export function ownCrfs({ codec }: LadderKind, crfs: readonly number[]): number[] {
  return [...new Set(crfs.map(codec.qualityAt))].sort((a, b) => a - b);
}

/** First frames of the segments of a shot, within the shot; none is longer than segmentSeconds. */
function segmentStarts(plan: Pick<TrialPlan, 'source' | 'segmentSeconds'>, frames: number): number[] {
  const { num, den } = plan.source.view.frameRate;
  const longest = Math.max(1, Math.floor((plan.segmentSeconds * num) / den + 1e-6));
  return splitEvenly(frames, longest).map((part) => part.start);
}

/** All trials of one shot. The lossless copy that they read lives only as long as one of them is missing. */
export async function runShotTrials(plan: TrialPlan, shot: Shot, at: number): Promise<Trial[]> {
  const groups = plan.kinds.flatMap((kind) => plan.heights.map((height): Group => ({ plan, kind, at, shot, height })));
  const kept = await Promise.all(
    groups.map(async (group) => {
      const wanted = ownCrfs(group.kind, plan.crfs);
      const trials = await Promise.all(wanted.map((crf) => findTrial(group, crf)));
      return { group, trials, missing: wanted.filter((_, index) => trials[index] === undefined) };
    }),
  );
  const found = kept.flatMap(({ trials }) => trials).filter((trial) => trial !== undefined);
  for (const trial of found) plan.onTrial(trial);
  const open = kept.filter(({ missing }) => missing.length > 0);
  if (open.length === 0) return found;
  await mkdir(plan.folder, { recursive: true });
  const ranges = new Set(open.map(({ group }) => group.kind.picture.videoRange));
  const copies: ShotCopies = [...ranges].map((range) => ({ range, file: shotFile(at, range) }));
  try {
    await extractShot(plan.ffmpeg, plan.source.view, { ...shot, cwd: plan.folder, copies });
    const runs = await plan.ffmpeg.all(open.map(({ group, missing }) => runGroup(group, missing)));
    return found.concat(runs.flat());
  } finally {
    for (const { file } of copies) await rm(join(plan.folder, file), { force: true });
  }
}

function shotFile(at: number, range: VideoRange): string {
  return `shot-${at}-${range}.nut`;
}

function trialGroup({ plan, kind, at, shot, height }: Group, outputs: TrialGroup['outputs']): TrialGroup {
  const { view } = plan.source;
  return {
    kind,
    input: shotFile(at, kind.picture.videoRange),
    width: widthAt(view, height),
    height,
    frameRate: view.frameRate,
    keyframes: segmentStarts(plan, shot.frames).slice(1),
    preset: kind.codec.presetAt(plan.preset),
    threads: plan.ffmpeg.threads,
    outputs,
  };
}

/** Everything that determines a trial and its score, but not names, nor how many threads it took. */
function trialKey(group: Group, crf: number): string {
  const { plan, shot } = group;
  const { tool } = plan.ffmpeg;
  const { path: _, ...view } = plan.source.view;
  const args = trialArgs({ ...trialGroup(group, [{ crf, file: '' }]), input: '', threads: 0 });
  const measure = [group.kind.metric, VMAF_MODEL, plan.subsample];
  return keyOf('trial', plan.source.sha256, view, shot.start, shot.frames, args, tool.version, measure);
}

function trialFile(group: Group, crf: number): string {
  return `${trialKey(group, crf)}.mp4`;
}

async function findTrial(group: Group, crf: number): Promise<Trial | undefined> {
  const result = group.plan.journal.find<TrialResult>(trialKey(group, crf));
  if (result === undefined) return undefined;
  const file = join(group.plan.folder, trialFile(group, crf));
  const size = await stat(file).then(
    (found) => found.size,
    () => undefined,
  );
  return size === result.bytes
    ? { ...result, kind: group.kind, shot: group.at, height: group.height, crf, file, resumed: true }
    : undefined;
}

/** Encodes the missing CRFs in one run, then scores each in its own. */
async function runGroup(group: Group, crfs: readonly number[]): Promise<Trial[]> {
  const { plan } = group;
  const outputs = crfs.map((crf) => ({ crf, file: `tmp-${trialFile(group, crf)}` }));
  const encoded = await plan.ffmpeg.run({ args: trialArgs(trialGroup(group, outputs)), cwd: plan.folder });
  if (encoded.frames !== group.shot.frames) {
    throw new EncoderError(
      'ENCODER_FRAMES_DIFFER',
      `shot ${group.at} at ${group.height} lines has ${encoded.frames} frames instead of ${group.shot.frames}`,
    );
  }
  await requireSharedInit(group, outputs);
  return plan.ffmpeg.all(outputs.map((output) => scoreTrial(group, output)));
}

/** Shots of one rung play from one init segment: an encoder that writes its quality into it cannot be used so. */
async function requireSharedInit({ plan, kind, height }: Group, outputs: TrialGroup['outputs']): Promise<void> {
  const inits = await Promise.all(
    outputs.map(async ({ file }) => parseFragmented(await readFile(join(plan.folder, file))).init),
  );
  const [first] = inits;
  const differing = first === undefined ? [] : inits.flatMap((init) => differingBoxes(first, init));
  if (differing.length === 0) return;
  const { codec } = kind;
  throw new EncoderError(
    'ENCODER_INIT_DIFFERS',
    `${codec.encoder} writes another ${differing[0]} for each quality value at ${height} lines: give one value in ` +
      `trials.crfs, or take ${codec.name} from codecs`,
  );
}

async function scoreTrial(group: Group, output: { readonly crf: number; readonly file: string }): Promise<Trial> {
  const { plan, kind, shot, at } = group;
  const { view } = plan.source;
  const mediaBytes = await checkFragments(group, join(plan.folder, output.file));
  const quality = await measureQuality(plan.ffmpeg, {
    distorted: output.file,
    reference: shotFile(at, kind.picture.videoRange),
    width: view.width,
    height: view.height,
    metric: kind.metric,
    // What the reference holds: a source of ten bits is no less for an encode of eight.
    bitDepth: kind.picture.videoRange === view.picture.videoRange ? view.picture.bitDepth : kind.picture.bitDepth,
    subsample: plan.subsample,
    threads: plan.ffmpeg.threads,
    log: `${output.file}.log`,
    cwd: plan.folder,
    frames: shot.frames,
  });
  const file = join(plan.folder, trialFile(group, output.crf));
  await rename(join(plan.folder, output.file), file);
  const { size } = await stat(file);
  const result: TrialResult = { bytes: size, mediaBytes, quality };
  await plan.journal.add(trialKey(group, output.crf), result);
  const trial: Trial = { ...result, kind, shot: at, height: group.height, crf: output.crf, file, resumed: false };
  plan.onTrial(trial);
  return trial;
}

/** Bytes of the fragments; they must be the planned segments, each from a keyframe, frame for frame. */
async function checkFragments(group: Group, path: string): Promise<number> {
  const { fragments, timescale } = parseFragmented(await readFile(path));
  const starts = segmentStarts(group.plan, group.shot.frames);
  const { frameTicks, timescale: wanted } = videoTimescale(group.plan.source.view.frameRate);
  const isPlanned =
    timescale === wanted &&
    fragments.length === starts.length &&
    fragments.every((fragment, at) => {
      const frames = (starts[at + 1] ?? group.shot.frames) - (starts[at] ?? 0);
      const base = (starts[at] ?? 0) * frameTicks;
      return (
        fragment.startsWithKey &&
        fragment.samples === frames &&
        fragment.ticks === frames * frameTicks &&
        fragment.baseTicks === base
      );
    });
  if (!isPlanned) {
    const got = fragments.map((fragment) => `${fragment.baseTicks}+${fragment.ticks}`).join(' ');
    throw new EncoderError('ENCODER_FRAMES_DIFFER', `shot ${group.at} was cut at other frames than planned (${got})`);
  }
  return fragments.reduce((sum, fragment) => sum + fragment.bytes.length, 0);
}
