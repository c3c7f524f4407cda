// Measured encodes for bench:encode: one shot at one height, CRF and preset, scored frame by frame with VMAF, VMAF NEG
// and PSNR in one run. Every cell is journalled, so that the benchmark goes on where it was stopped.
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type TrialGroup, trialArgs } from '../../encoder/ffmpeg/args.ts';
import { SDR_8 } from '../../encoder/ffmpeg/codecs/codec.ts';
import { x264 } from '../../encoder/ffmpeg/codecs/h264.ts';
import { labelled } from '../../encoder/ffmpeg/picture.ts';
import type { Source } from '../../encoder/ffmpeg/probe.ts';
import type { Ffmpeg } from '../../encoder/ffmpeg/run.ts';
import { extractShot, type Shot } from '../../encoder/ffmpeg/shots.ts';
import { type Journal, keyOf } from '../../encoder/journal.ts';
import { parseFragmented } from '../../encoder/package/fmp4.ts';
import { widthAt } from '../../encoder/plan/trials.ts';
import type { Unit } from '../../encoder/plan/units.ts';

/** Changes when encodes or scores are made differently, so that no old cell is mixed with new ones. */
const METHOD = 2;
/** Scores every fifth frame, as jobs do by default; the two beside it are compared too, for libvmaf's motion. */
const SUBSAMPLE = 5;
const KEPT = [0, 1, SUBSAMPLE - 1];
const KEEP = `select='${KEPT.map((at) => `eq(mod(n\\,${SUBSAMPLE})\\,${at})`).join('+')}',`;
/** Longest segment: the default of a job. */
export const SEGMENT_SECONDS = 4;

/** What all cells need. */
export type Bench = {
  readonly ffmpeg: Ffmpeg;
  readonly journal: Journal;
  /** Cache folder. */
  readonly folder: string;
  /** Hears of each finished measurement: of which clip, what, and how much of the batch is done. */
  readonly onStep: (clip: string, text: string, doneRatio: number) => void;
};

/** A clip as the encoder sees it; its shots are units of encoding, none longer than a segment. */
export type Clip = { readonly name: string; readonly source: Source; readonly shots: readonly Unit<Shot>[] };

/** Which encode of a shot. */
export type Wish = { readonly shot: number; readonly height: number; readonly crf: number; readonly preset: string };

/** Scores of every SUBSAMPLE-th frame. */
export type Scores = {
  readonly vmaf: readonly number[];
  readonly neg: readonly number[];
  readonly psnr: readonly number[];
};

/** A measured encode. */
export type Cell = Wish & {
  /** Media bits, without the init segment. */
  readonly bits: number;
  readonly frames: number;
  readonly scores: Scores;
  readonly encodeCpu: number;
  readonly scoreCpu: number;
};

type Kept = Omit<Cell, keyof Wish>;

const keyOfWish = ({ ffmpeg }: Bench, { source, shots }: Clip, wish: Wish): string => {
  const { start, frames } = shots[wish.shot] ?? { start: 0, frames: 0 };
  const { tool } = ffmpeg;
  return keyOf(
    'cell',
    METHOD,
    SUBSAMPLE,
    source.sha256,
    start,
    frames,
    wish.height,
    wish.crf,
    wish.preset,
    tool.version,
  );
};

/** Measures what is not known yet, shot by shot; gives all, in the order of the wishes. */
export async function measureCells(bench: Bench, clip: Clip, wishes: readonly Wish[]): Promise<Cell[]> {
  const missing = wishes.filter((wish) => bench.journal.find(keyOfWish(bench, clip, wish)) === undefined);
  let done = 0;
  for (const [at, shot] of clip.shots.entries()) {
    const here = missing.filter((wish) => wish.shot === at);
    if (here.length === 0) continue;
    const work = join(bench.folder, 'work');
    await mkdir(work, { recursive: true });
    await extractShot(bench.ffmpeg, clip.source.view, {
      ...{ ...shot, cwd: work, copies: [{ range: 'SDR', file: 'shot.nut' }] },
    });
    for (const wish of here) {
      const kept = await measureCell(bench, { clip, shot, work }, wish);
      await bench.journal.add(keyOfWish(bench, clip, wish), kept);
      done += 1;
      bench.onStep(clip.name, `unit ${at} at ${wish.height}, crf ${wish.crf}`, done / missing.length);
    }
    await rm(work, { recursive: true, force: true });
  }
  return wishes.map((wish) => {
    const kept = bench.journal.find<Kept>(keyOfWish(bench, clip, wish));
    if (kept === undefined) throw new Error('a cell was measured and is not in the journal');
    return { ...wish, ...kept };
  });
}

async function measureCell(
  { ffmpeg }: Bench,
  at: { readonly clip: Clip; readonly shot: Shot; readonly work: string },
  wish: Wish,
): Promise<Kept> {
  const { view } = at.clip.source;
  const group: TrialGroup = {
    kind: { id: 'h264-SDR', codec: x264, picture: view.picture, metric: 'vmaf' },
    ...{ input: 'shot.nut', width: widthAt(view, wish.height), height: wish.height, frameRate: view.frameRate },
    keyframes: [],
    ...{ preset: wish.preset, threads: ffmpeg.threads, outputs: [{ crf: wish.crf, file: 'cell.mp4' }] },
  };
  const encoded = await ffmpeg.run({ args: trialArgs(group), cwd: at.work });
  const { fragments } = parseFragmented(await readFile(join(at.work, 'cell.mp4')));
  const scored = await scoreFile(ffmpeg, {
    ...{ cwd: at.work, distorted: ['-i', 'cell.mp4'], reference: ['-i', 'shot.nut'] },
    ...{ width: view.width, height: view.height, frames: at.shot.frames },
  });
  return {
    bits: fragments.reduce((sum, fragment) => sum + fragment.bytes.length * 8, 0),
    frames: at.shot.frames,
    scores: scored.scores,
    encodeCpu: encoded.cpuSeconds,
    scoreCpu: scored.cpuSeconds,
  };
}

/** Two inputs of the same frames; `normalise` is the filter chain of the reference. */
export type Comparison = {
  readonly cwd: string;
  readonly distorted: readonly string[];
  readonly reference: readonly string[];
  readonly normalise?: string;
  readonly width: number;
  readonly height: number;
  readonly frames: number;
};

/** Scores with all three metrics at the source's size; throws where the frames do not match one to one. */
export async function scoreFile(ffmpeg: Ffmpeg, run: Comparison): Promise<{ scores: Scores; cpuSeconds: number }> {
  const log = join(run.cwd, 'scores.json');
  const models = "model='version=vmaf_v0.6.1\\:name=vmaf|version=vmaf_v0.6.1neg\\:name=neg':feature='name=psnr'";
  const options = `n_subsample=${KEPT.length}:n_threads=${ffmpeg.threads}:log_fmt=json:log_path=scores.json`;
  const scale = `scale=${run.width}:${run.height}:flags=bicubic+accurate_rnd,format=yuv420p`;
  const align = `${KEEP}settb=1/1000,setpts=N,${labelled(SDR_8.colour)}`;
  const reference = run.normalise === undefined ? align : `${run.normalise},${align}`;
  const graph = `[0:v]${align},${scale}[d];[1:v]${reference},format=yuv420p[r];[d][r]libvmaf=${options}:${models}`;
  const { cpuSeconds, frames } = await ffmpeg.run({
    args: [
      ...['-threads', '1', ...run.distorted, '-threads', '1', ...run.reference],
      ...['-filter_complex', graph, '-fps_mode', 'passthrough', '-f', 'null', '-'],
    ],
    cwd: run.cwd,
  });
  // The log format of libvmaf; take() checks every value.
  const parsed = JSON.parse(await readFile(log, 'utf8')) as { frames: { metrics: Record<string, number> }[] };
  await rm(log, { force: true });
  const take = (name: string): number[] =>
    parsed.frames.map(({ metrics }) => {
      const value = metrics[name];
      if (value === undefined || !Number.isFinite(value)) throw new Error(`libvmaf gave no ${name}`);
      return Math.round(value * 100) / 100;
    });
  const scores = { vmaf: take('vmaf'), neg: take('neg'), psnr: take('psnr_y') };
  const compared = KEPT.reduce((sum, at) => sum + Math.max(0, Math.ceil((run.frames - at) / SUBSAMPLE)), 0);
  if (frames !== compared || scores.vmaf.length !== Math.ceil(run.frames / SUBSAMPLE)) {
    throw new Error(`compared ${frames} of ${compared} frames and scored ${scores.vmaf.length}`);
  }
  return { scores, cpuSeconds };
}
