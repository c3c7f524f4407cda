// From trials to a finished package: rungs, audio, poster, title.json, the check, and the last rename.
import assert from 'node:assert';
import { readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { CONTRACT_VERSION, type EncodeEvent, type EncodeJob, type Title, type TitleShot } from './contract.ts';
import { EncoderError } from './errors.ts';
import { VMAF_MODEL } from './ffmpeg/args.ts';
import { AUDIO_RATE, planAudio } from './ffmpeg/audio.ts';
import type { LadderKind, Note } from './ffmpeg/codecs/choose.ts';
import { encodeAudio, extractText, writePoster } from './ffmpeg/fluent.ts';
import type { Source } from './ffmpeg/probe.ts';
import type { Ffmpeg } from './ffmpeg/run.ts';
import type { Shot } from './ffmpeg/shots.ts';
import { MOST_AUDIO, MOST_TEXT } from './ladders.ts';
import { writeThumbnails } from './pictures.ts';
import { poolParts, type ScoredPart } from './plan/metric.ts';
import { planTitle, type Rung } from './plan/title.ts';
import { widthAt } from './plan/trials.ts';
import type { Unit } from './plan/units.ts';
import {
  finishPackage,
  openPackage,
  type PackageFolder,
  publish,
  replaceFolder,
  type UnnamedTitle,
} from './publish.ts';
import type { ReportFacts } from './report/facts.ts';
import { reportFacts, writeReport } from './reporting.ts';
import { type Candidate, candidatesOf, titlePlan } from './search.ts';
import { writeStills } from './stills.ts';
import { writeText, writeTrack } from './tracks.ts';
import type { Trial } from './trial.ts';
import { checkPromises, checkTrack } from './verify.ts';

/** Every event without what all of them carry. */
type Facts = EncodeEvent extends infer Event ? (Event extends EncodeEvent ? Omit<Event, Common> : never) : never;
type Common = 'version' | 'id' | 'progressRatio';
/** Emits an event, at a progress that never goes back. */
export type Tell = (facts: Facts, progressRatio?: number) => void;

/** All that a package is made of. */
export type Build = {
  readonly job: EncodeJob;
  readonly ffmpeg: Ffmpeg;
  readonly source: Source;
  readonly shots: readonly Shot[];
  /** What was encoded of the shots, in order, and the trials of these units. */
  readonly units: readonly Unit<Shot>[];
  readonly kinds: readonly LadderKind[];
  readonly notes: readonly Note[];
  readonly trials: readonly Trial[];
  readonly ladders: Ladders;
  /** Means of VMAF's NEG model, of the trials that ship, where it was measured. */
  readonly neg: ReadonlyMap<Trial, number>;
  /** CPU seconds so far, by step. */
  readonly cost: { readonly shots: number; readonly trials: number };
  readonly tell: Tell;
  /** What the host says that the job took so far. */
  readonly joules?: (() => number | undefined) | undefined;
};

type Rendition = Title['renditions'][number];

/** Progress at which the package begins, and at which it is written; then the check. */
const AT = { start: 0.92, written: 0.95, checked: 0.99 } as const;

/** Builds, checks and publishes; gives where. Nothing is left behind, and nothing published, when it throws. */
export async function buildPackage(build: Build): Promise<{ hash: string; dir: string }> {
  const { job, tell } = build;
  const parent = resolve(job.publishTo ?? job.outDir);
  const folder = await openPackage(parent, job.id);
  try {
    tell({ event: 'progress', step: 'package' }, AT.start);
    const { title, facts } = await writePackage(build, folder);
    await checkPackage(build, folder, title);
    await writeReport(facts, resolve(job.outDir));
    if (job.publishTo !== undefined) {
      const dir = await publish(folder, parent, title);
      // A title that is published stays so: it is worth more than a report that the disk refuses.
      if (job.report === 'published') await writeReport(facts, join(parent, title.id)).catch(() => undefined);
      return { hash: title.hash, dir };
    }
    const dir = join(parent, 'package');
    await replaceFolder(folder.path, dir);
    return { hash: title.hash, dir };
  } catch (error) {
    await rm(folder.path, { recursive: true, force: true });
    throw error;
  }
}

async function writePackage(build: Build, folder: PackageFolder): Promise<{ title: Title; facts: ReportFacts }> {
  const { job, ffmpeg, source, shots, tell } = build;
  const { rungs, savings } = build.ladders;
  const durationSeconds = secondsOf(build);
  const frames = shots.reduce((sum, shot) => sum + shot.frames, 0);
  const audio = await writeAudio(build, folder, durationSeconds);
  const { text, notes } = await writeTexts(build, folder, durationSeconds);
  const poster = await makePoster(build, folder);
  const renditions: Rendition[] = [];
  for (const [index, rung] of rungs.entries()) {
    const rendition = await writeRendition(build, folder, { rung, id: `v${index + 1}` });
    renditions.push(rendition);
    const { id, height, averageBandwidthBps, qualityMean } = rendition;
    tell({ event: 'rendition', rendition: id, height, averageBandwidthBps, qualityMean }, AT.start);
  }
  const { thumbnails, outDir } = job;
  const workDir = join(outDir, 'trials');
  const trickplay = await writeThumbnails(folder, { ffmpeg, thumbnails, renditions, frames, workDir });
  const described = shots.map((shot, at) => describeShot(build, rungs, { shot, at }));
  const pictured = { shots: described, durationSeconds, renditions };
  const artwork = await writeStills(folder, { ffmpeg, artwork: job.artwork, title: pictured, workDir });
  const joules = build.joules?.();
  const unnamed: UnnamedTitle = {
    version: CONTRACT_VERSION,
    id: job.id,
    name: job.name ?? job.id,
    durationSeconds,
    source: describeSource(build),
    tools: { nearcast: `encoder-${CONTRACT_VERSION}`, ffmpeg: ffmpeg.tool.version },
    metric: describeMetric(build),
    renditions,
    audio,
    text,
    shots: described,
    notes: [...build.notes, ...notes],
    images: {
      poster,
      ...(trickplay === undefined ? {} : { trickplay }),
      ...(artwork === undefined ? {} : { artwork }),
    },
    savings,
    cost: { cpuSeconds: ffmpeg.cpuSeconds(), ...build.cost, ...(joules !== undefined && { joules }) },
  };
  tell({ event: 'progress', step: 'check' }, AT.written);
  const title = await finishPackage(folder, unnamed);
  const ladder = new Map(
    renditions.map(({ id }, at) => [id, new Set(rungs[at]?.trials.map(({ trial }) => trial))] as const),
  );
  const { trials, units, neg } = build;
  return { title, facts: reportFacts(title, { frameRate: source.view.frameRate, units, trials, ladder, neg }) };
}

/** The rungs of every kind, kind by kind, best first within one; savings are those of the first. */
export type Ladders = { readonly rungs: readonly Rung<Candidate>[]; readonly savings: Title['savings'] };

function secondsOf({ source, shots }: Pick<Build, 'source' | 'shots'>): number {
  const { num, den } = source.view.frameRate;
  return (shots.reduce((sum, shot) => sum + shot.frames, 0) * den) / num;
}

/** Plans the ladders of a title from its trials. */
export function planLadders(build: Pick<Build, 'job' | 'source' | 'shots' | 'units' | 'kinds' | 'trials'>): Ladders {
  const durationSeconds = secondsOf(build);
  const ladders = build.kinds.map((kind) => {
    const { title, audience } = titlePlan(build, kind);
    return planTitle(candidatesOf(build, kind, build.trials), { title, durationSeconds, audience });
  });
  const [first] = ladders;
  assert(first !== undefined, 'a job has at least one kind of ladder');
  return { rungs: ladders.flatMap(({ rungs }) => rungs), savings: first.savings };
}

async function writeRendition(
  build: Build,
  folder: PackageFolder,
  { rung, id }: { readonly rung: Rung<Candidate>; readonly id: string },
): Promise<Rendition> {
  const { view } = build.source;
  const kind = rung.trials[0]?.trial.kind;
  assert(kind !== undefined, 'a rung has a trial for each shot');
  const parts = rung.trials.map(({ trial }) => ({ file: trial.file, shotOf: () => trial.shot }));
  const pooled = poolParts(rung.trials.map((candidate) => scoredPart(build, candidate)));
  return {
    ...(await writeTrack(folder, id, parts)),
    width: widthAt(view, rung.height),
    height: rung.height,
    frameRate: view.frameRate.num / view.frameRate.den,
    videoRange: kind.picture.videoRange,
    bitDepth: kind.picture.bitDepth,
    ...(kind.metric === build.ffmpeg.tool.metric ? {} : { metric: kind.metric }),
    qualityMean: pooled.mean,
    qualityHarmonicMean: pooled.harmonicMean,
    qualityP5: pooled.p5,
  };
}

function scoredPart({ units }: Build, { trial }: Candidate): ScoredPart {
  return { scores: trial.quality.scores, frames: units[trial.unit]?.frames ?? 0 };
}

async function writeAudio(build: Build, folder: PackageFolder, seconds: number): Promise<Title['audio']> {
  const { ffmpeg, job, source, shots } = build;
  const plans = planAudio(source.audio.slice(0, MOST_AUDIO), job.audio);
  const { num, den } = source.view.frameRate;
  const shotOf = (startTicks: number): number => {
    const frame = Math.floor((startTicks * num) / (AUDIO_RATE * den));
    const after = shots.findIndex((shot) => shot.start > frame);
    return (after < 0 ? shots.length : after) - 1;
  };
  const { segmentSeconds } = job;
  const made = await ffmpeg.all(
    plans.map(async (plan, at) => {
      const output = join(job.outDir, 'trials', `tmp-audio-${at + 1}.mp4`);
      return {
        plan,
        output,
        loudness: await encodeAudio(ffmpeg, source.view, { plan, output, seconds, segmentSeconds }),
      };
    }),
  );
  const tracks: Title['audio'] = [];
  for (const [at, { plan, output, loudness }] of made.entries()) {
    const track = await writeTrack(folder, `a${at + 1}`, [{ file: output, shotOf }]);
    await rm(output, { force: true });
    const { language, name, role } = plan.stream;
    const facts = { language, role, channels: plan.channels, ...(name === undefined ? {} : { name }) };
    tracks.push({ ...track, ...facts, ...(loudness === undefined ? {} : { loudness }) });
  }
  return tracks;
}

/** Subtitles that are text, as WebVTT; what cannot be read is noted and left, since a picture without it still plays. */
async function writeTexts(
  build: Build,
  folder: PackageFolder,
  durationSeconds: number,
): Promise<{ text: Title['text']; notes: Note[] }> {
  const { ffmpeg, job, source } = build;
  const streams = source.text.filter(({ isImage }) => !isImage).slice(0, MOST_TEXT);
  const text: Title['text'] = [];
  const notes: Note[] = [];
  for (const stream of streams) {
    const output = join(job.outDir, 'trials', 'tmp-text.vtt');
    const failure = await extractText(ffmpeg, source.view, { stream, output }).catch((error: unknown) => error);
    if (failure !== undefined && !(failure instanceof EncoderError && failure.code === 'ENCODER_FFMPEG_FAILED')) {
      throw failure;
    }
    const vtt = failure === undefined ? await readFile(output, 'utf8') : '';
    await rm(output, { force: true });
    if (vtt.includes('-->')) {
      const { language, role, name } = stream;
      const track = { id: `t${text.length + 1}`, language, role, ...(name === undefined ? {} : { name }) };
      text.push(await writeText(folder, { ...track, vtt }, durationSeconds));
    } else {
      const message = `stream ${stream.index} (${stream.codec}) holds no subtitles that can be read`;
      notes.push({ code: 'subtitles-left', message });
    }
  }
  return { text, notes };
}

/** The middle of the shot that shows most: light, colourful, detailed, and long enough to be typical. */
async function makePoster({ ffmpeg, job, source, shots }: Build, folder: PackageFolder): Promise<string> {
  const worth = ({ features, frames }: Shot): number =>
    (features.spatial + features.saturation) * Math.min(features.luma, 1 - features.luma) * Math.sqrt(frames);
  const best = shots.reduce((most, shot) => (worth(shot) > worth(most) ? shot : most));
  const { num, den } = source.view.frameRate;
  const output = join(job.outDir, 'trials', 'tmp-poster.jpg');
  const seconds = ((best.start + Math.floor(best.frames / 2)) * den) / num;
  await writePoster(ffmpeg, source.view, { output, seconds });
  await folder.write('poster.jpg', await readFile(output));
  await rm(output, { force: true });
  return 'poster.jpg';
}

function describeSource({ job, source }: Build): Title['source'] {
  const { sha256, sizeBytes, format, codec, view } = source;
  const frameRate = view.frameRate.num / view.frameRate.den;
  return {
    class: job.sourceClass,
    sha256,
    sizeBytes,
    format,
    codec,
    width: view.width,
    height: view.height,
    frameRate,
  };
}

function describeMetric({ job, ffmpeg }: Build): Title['metric'] {
  const { metric } = ffmpeg.tool;
  const notes: string[] = [];
  if (metric !== 'vmaf') {
    notes.push(
      `this ffmpeg has no libvmaf that works: quality is ${metric}, and ladder limits are mapped to it roughly`,
    );
  }
  if (job.sourceClass === 'top-rung') {
    notes.push(
      'quality is measured against a lossy rung: it says how close to that rung a rendition is, not to the master',
    );
  }
  return { name: metric, model: metric === 'vmaf' ? VMAF_MODEL : metric, subsample: job.trials.subsample, notes };
}

function describeShot(
  build: Build,
  rungs: readonly Rung<Candidate>[],
  { shot, at }: { readonly shot: Shot; readonly at: number },
): TitleShot {
  const { num, den } = build.source.view.frameRate;
  const durationSeconds = (shot.frames * den) / num;
  const quality = rungs.map((rung, index) => {
    const mine = rung.trials.filter(({ trial }) => trial.shot === at);
    const bits = mine.reduce((sum, { trial }) => sum + trial.mediaBytes * 8, 0);
    const crfs = mine.reduce((sum, { trial }) => sum + trial.crf * (build.units[trial.unit]?.frames ?? 0), 0);
    const pooled = poolParts(mine.map((candidate) => scoredPart(build, candidate)));
    return [`v${index + 1}`, { ...pooled, crf: crfs / shot.frames, bitrateBps: bits / durationSeconds }] as const;
  });
  return {
    startSeconds: (shot.start * den) / num,
    durationSeconds,
    frames: shot.frames,
    features: shot.features,
    quality: Object.fromEntries(quality),
  };
}

async function checkPackage({ ffmpeg, job, shots, tell }: Build, folder: PackageFolder, title: Title): Promise<void> {
  await checkPromises(folder, title, job.segmentSeconds);
  const frames = shots.reduce((sum, shot) => sum + shot.frames, 0);
  await ffmpeg.all([
    ...title.renditions.map((rendition) => checkTrack(ffmpeg, folder, { ...rendition, frames })),
    ...title.audio.map((audio) => checkTrack(ffmpeg, folder, audio)),
  ]);
  const tracks = [...title.renditions, ...title.audio];
  const segments = tracks.reduce((sum, track) => sum + track.segments.length, 0);
  tell({ event: 'check', renditions: title.renditions.length, segments, frames }, AT.checked);
}
