// How well shots are found: the hard cuts, fades and dissolves listed for the clips, and 200 seeded splices, dissolves,
// fades and flashes made in memory of small frames decoded once. Alone: `node run.mjs --entry=test/bench/shots.ts`.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { analyseArgs } from '../../encoder/ffmpeg/args.ts';
import { findFfmpeg } from '../../encoder/ffmpeg/find.ts';
import { probe } from '../../encoder/ffmpeg/probe.ts';
import { type Ffmpeg, openFfmpeg } from '../../encoder/ffmpeg/run.ts';
import { type Boundary, findBoundaries } from '../../encoder/plan/cuts.ts';
import { openEvidence } from '../../encoder/plan/evidence.ts';
import { measureFrame, SMALL } from '../../encoder/plan/features.ts';
import { makeFlashes, makeMixed, makeSplices, type Reel, type Stretch } from './splices.ts';

/** Seeds of what was looked at while thresholds were set, 1 to 9, are not used here; nor are those seconds of the clips. */
const SEED = 2026;
const SPLICES = 200;
/** Splices are titles of this rate, whatever the clips' own is. */
const RATE = 24;
/** Frames by which a hard cut may be off. */
const NEAR_FRAMES = 1;
/** Seconds around a listed slow transition within which it counts as found. */
const NEAR_SECONDS = 0.5;

/** Truth of ../shared/clips/README.md, in seconds. `slow`: when it is named there, and the seconds that it takes. */
const CLIPS = [
  {
    name: 'sintel_trailer_720p',
    hard: [13.917, 16.5, 16.833, 17.042, 17.5, 23.792, 25.875, 27.417, 28],
    slow: [
      { at: 5, from: 4.9, to: 6 },
      { at: 9.1, from: 8.4, to: 9.4 },
      { at: 11.9, from: 10.9, to: 12.8 },
      { at: 16.1, from: 15.2, to: 16.5 },
      { at: 18.1, from: 17.5, to: 18.7 },
      { at: 21.6, from: 20.7, to: 22.5 },
      { at: 28.1, from: 28, to: 28.9 },
      { at: 32.05, from: 31.5, to: 32.7 },
      { at: 35.5, from: 34.2, to: 35.7 },
      { at: 42, from: 40, to: 42.3 },
      { at: 47.2, from: 45, to: 48.6 },
    ],
  },
  { name: 'bbb_1080p_30s', hard: [11.875, 15.75, 23.042], slow: [] },
  { name: 'toys_a_480p', hard: [11.967, 20.233], slow: [] },
  { name: 'highway_540p60', hard: [], slow: [] },
  { name: 'intel_car_432p', hard: [], slow: [] },
] as const;

/** Ratios 0..1 but for counts. */
export type ShotScores = {
  /** Of the spliced cuts, and of all boundaries found in splices. */
  readonly recall: number;
  readonly precision: number;
  /** The hard cuts listed for the clips, before short shots are joined; `missed` and `false` say clip and second. */
  readonly hard: {
    readonly listed: number;
    readonly found: number;
    readonly missed: readonly string[];
    readonly false: readonly string[];
  };
  /** Of the fades and dissolves listed for the clips; `extra`: slow transitions found where none is listed. */
  readonly gradualRecall: number;
  readonly gradualExtra: readonly string[];
  /** Of the made ones. */
  readonly dissolveRecall: number;
  readonly fadeRecall: number;
  readonly gradualPrecision: number;
  /** Boundaries found in 100 pieces with a flash. */
  readonly flashFalse: number;
  /** CPU seconds for 1,000 frames: decoding, then features alone, then evidence and boundaries. */
  readonly cpu: { readonly decode: number; readonly features: number; readonly shots: number };
};

type Clip = Reel & { readonly framesPerSecond: number; readonly boundaries: readonly Boundary[]; readonly cpu: Cpu };
type Cpu = { readonly decode: number; readonly features: number; readonly shots: number };

function cpuOf(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

function boundariesOf(frames: readonly Uint8Array[], framesPerSecond: number): Boundary[] {
  const compare = openEvidence();
  return findBoundaries(
    frames.map((frame) => compare(frame)),
    framesPerSecond,
  );
}

/** The stretches between transitions, in frames. */
function stretches(truth: (typeof CLIPS)[number], framesPerSecond: number, frames: number): Stretch[] {
  const frameOf = (seconds: number): number => Math.round(seconds * framesPerSecond);
  const gaps = [
    ...truth.hard.map((cut) => ({ from: frameOf(cut) - 2, to: frameOf(cut) + 2 })),
    ...truth.slow.map(({ from, to }) => ({ from: frameOf(from), to: frameOf(to) })),
  ].sort((one, other) => one.from - other.from);
  const found: Stretch[] = [];
  let from = 0;
  for (const gap of [...gaps, { from: frames, to: frames }]) {
    if (gap.from > from) found.push({ from, to: gap.from });
    from = Math.max(from, gap.to);
  }
  return found;
}

async function openClip(ffmpeg: Ffmpeg, folder: string, truth: (typeof CLIPS)[number]): Promise<Clip> {
  const { signal } = ffmpeg.options;
  const source = await probe(ffmpeg.tool, { input: join(folder, `${truth.name}.mp4`), maxPixels: 16e6, signal });
  const chunks: Buffer[] = [];
  const { view } = source;
  const args = analyseArgs({ ...view, audioIndex: undefined }, { threads: 1, seconds: 3600 });
  const { cpuSeconds } = await ffmpeg.run({ args, cwd: '/', onStdout: (chunk) => chunks.push(chunk) });
  const bytes = Buffer.concat(chunks);
  const frames = Array.from({ length: Math.floor(bytes.length / SMALL.bytes) }, (_, at) =>
    bytes.subarray(at * SMALL.bytes, (at + 1) * SMALL.bytes),
  );
  const framesPerSecond = view.frameRate.num / view.frameRate.den;
  const features = cpuOf(() => {
    for (const [at, frame] of frames.entries()) measureFrame(frame, frames[at - 1]);
  });
  let boundaries: Boundary[] = [];
  const shots = cpuOf(() => {
    boundaries = boundariesOf(frames, framesPerSecond);
  });
  const cpu = { decode: cpuSeconds, features, shots };
  return {
    name: truth.name,
    frames,
    framesPerSecond,
    boundaries,
    cpu,
    shots: stretches(truth, framesPerSecond, frames.length),
  };
}

function scoreClip(clip: Clip, truth: (typeof CLIPS)[number]) {
  const { framesPerSecond: rate, boundaries } = clip;
  const name = (seconds: number): string => `${clip.name} ${seconds.toFixed(3)}`;
  const cuts = boundaries.filter((boundary) => boundary.kind === 'cut').map((boundary) => boundary.at);
  const isNear = (cut: number, seconds: number): boolean => Math.abs(cut - seconds * rate) <= NEAR_FRAMES + 0.5;
  const missed = truth.hard.filter((seconds) => !cuts.some((cut) => isNear(cut, seconds)));
  const wrong = cuts.filter((cut) => !truth.hard.some((seconds) => isNear(cut, seconds)));
  const slow = boundaries.filter((boundary) => boundary.kind !== 'cut').map((boundary) => boundary.at / rate);
  const isOf = (seconds: number, transition: { at: number; from: number; to: number }): boolean =>
    Math.abs(seconds - transition.at) <= NEAR_SECONDS || (seconds >= transition.from && seconds <= transition.to);
  return {
    missed: missed.map(name),
    false: wrong.map((cut) => name(cut / rate)),
    slowFound: truth.slow.filter((transition) => slow.some((seconds) => isOf(seconds, transition))).length,
    extra: slow.filter((seconds) => !truth.slow.some((transition) => isOf(seconds, transition))).map(name),
  };
}

/** Every cut takes the boundary found within a frame of it; what is then left is false. */
function scoreSplices(reels: readonly Reel[]): { recall: number; precision: number } {
  let found = 0;
  let all = 0;
  for (const { frames, cuts } of makeSplices(reels, { seed: SEED, half: 'measure', cuts: SPLICES })) {
    const boundaries = boundariesOf(frames, RATE);
    all += boundaries.length;
    found += cuts.filter((cut) => boundaries.some(({ at }) => Math.abs(at - cut) <= NEAR_FRAMES)).length;
  }
  return { recall: found / SPLICES, precision: all === 0 ? 0 : found / all };
}

function scoreMixed(reels: readonly Reel[]) {
  const counts = { dissolve: { made: 0, found: 0 }, fade: { made: 0, found: 0 } };
  let [right, all] = [0, 0];
  for (const { kind, frames, mixed } of makeMixed(reels, { seed: SEED, half: 'measure', count: SPLICES })) {
    const boundaries = boundariesOf(frames, RATE);
    const inside = boundaries.filter(({ at }) => at >= mixed.from - 2 && at <= mixed.to + 2);
    counts[kind].made += 1;
    counts[kind].found += Math.min(1, inside.length);
    right += Math.min(1, inside.length);
    all += boundaries.length;
  }
  return {
    dissolveRecall: counts.dissolve.found / counts.dissolve.made,
    fadeRecall: counts.fade.found / counts.fade.made,
    gradualPrecision: all === 0 ? 0 : right / all,
  };
}

/** Decodes the clips in `folder` and scores what is found; half a minute of one core. */
export async function measureShots(folder: string): Promise<ShotScores> {
  const tool = await findFfmpeg({ env: process.env, ffmpegPath: undefined });
  const signal = new AbortController().signal;
  const ffmpeg = openFfmpeg(tool, { parallel: 1, threads: 1, stallMs: 60_000, signal });
  const clips: Clip[] = [];
  for (const truth of CLIPS) clips.push(await openClip(ffmpeg, folder, truth));
  const scored = clips.flatMap((clip) => {
    const truth = CLIPS.find(({ name }) => name === clip.name);
    return truth === undefined ? [] : [scoreClip(clip, truth)];
  });
  const listed = CLIPS.reduce((sum, { hard }) => sum + hard.length, 0);
  const missed = scored.flatMap((score) => score.missed);
  const slow = CLIPS.reduce((sum, clip) => sum + clip.slow.length, 0);
  const frames = clips.reduce((sum, clip) => sum + clip.frames.length, 0);
  const cost = (part: keyof Cpu): number => (clips.reduce((sum, { cpu }) => sum + cpu[part], 0) / frames) * 1000;
  const flashes = makeFlashes(clips, { seed: SEED, half: 'measure', count: SPLICES / 2 });
  return {
    ...scoreSplices(clips),
    hard: { listed, found: listed - missed.length, missed, false: scored.flatMap((score) => score.false) },
    gradualRecall: scored.reduce((sum, score) => sum + score.slowFound, 0) / slow,
    gradualExtra: scored.flatMap((score) => score.extra),
    ...scoreMixed(clips),
    flashFalse: flashes.reduce((sum, splice) => sum + boundariesOf(splice.frames, RATE).length, 0),
    cpu: { decode: cost('decode'), features: cost('features'), shots: cost('shots') },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const scores = await measureShots(fileURLToPath(new URL('../../../shared/clips', import.meta.url)));
  const percent = (ratio: number): string => `${(100 * ratio).toFixed(1)} %`;
  const { hard, cpu } = scores;
  const before = cpu.decode + cpu.features;
  console.log(`listed hard cuts   ${hard.found} of ${hard.listed}, missed: ${hard.missed.join(', ') || 'none'}`);
  console.log(`                   false: ${hard.false.join(', ') || 'none'}`);
  console.log(
    `listed fades       ${percent(scores.gradualRecall)}, extra: ${scores.gradualExtra.join(', ') || 'none'}`,
  );
  console.log(`${SPLICES} splices        recall ${percent(scores.recall)}, precision ${percent(scores.precision)}`);
  console.log(
    `made transitions   dissolves ${percent(scores.dissolveRecall)}, fades ${percent(scores.fadeRecall)}, ` +
      `precision ${percent(scores.gradualPrecision)}, boundaries in 100 flashes: ${scores.flashFalse}`,
  );
  console.log(
    `CPU s/1,000 frames decode ${cpu.decode.toFixed(2)}, features ${cpu.features.toFixed(2)}, ` +
      `shots ${cpu.shots.toFixed(2)}: ${((before + cpu.shots) / before).toFixed(2)} x decode and features alone`,
  );
  console.log(JSON.stringify(scores));
}
