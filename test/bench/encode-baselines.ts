// What others do, for bench:encode: the fixed two-pass ladder, the per-title hull, and the searches of ab-av1 and Av1an,
// written from their published descriptions. Same encoder and preset as ours.
import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { keyOf } from '../../encoder/journal.ts';
import { uniform } from '../../encoder/plan/allocate.ts';
import { convexHull } from '../../encoder/plan/hull.ts';
import { FIXED_LADDER } from '../../encoder/plan/savings.ts';
import { widthAt } from '../../encoder/plan/trials.ts';
import { type Bench, type Cell, type Clip, measureCells, type Scores, scoreFile } from './encode-cells.ts';
import { mean } from './figures.ts';

/** Six rungs of Apple's HLS authoring specification, kbit/s and lines; lines above the source's are its own. */
const FIXED = FIXED_LADDER.filter(({ height }) => height <= 720);
/** Qualities that the searches aim at: a rung each. */
const TARGETS = [95, 89, 83, 77, 71] as const;
/** CRFs that the searches may use, how near they must come, and how often they may try: Av1an's and ab-av1's defaults. */
const SEARCH = { best: 14, worst: 44, near: 0.5, probes: 4, titleProbes: 6 } as const;

/** A whole title at one rate; `cpu` is what it took to find and to make. */
export type TitlePoint = {
  /** Bits a second. */
  readonly bits: number;
  readonly vmaf: number;
  readonly p5: number;
  readonly neg: number;
  readonly psnr: number;
  readonly cpu: number;
};

/** Seconds of a clip. */
export function secondsOf({ source, shots }: Clip): number {
  const { num, den } = source.view.frameRate;
  return (shots.reduce((sum, shot) => sum + shot.frames, 0) * den) / num;
}

/** Scores of several encodes together, every frame alike. */
function pool(
  parts: readonly { readonly scores: Scores; readonly frames: number }[],
): Omit<TitlePoint, 'bits' | 'cpu'> {
  const frames = parts.reduce((sum, part) => sum + part.frames, 0);
  const of = (name: keyof Scores): number =>
    parts.reduce((sum, part) => sum + mean(part.scores[name]) * part.frames, 0) / frames;
  const all = parts.flatMap((part) => part.scores.vmaf).sort((a, b) => a - b);
  return { vmaf: of('vmaf'), neg: of('neg'), psnr: of('psnr'), p5: all[Math.floor((all.length - 1) * 0.05)] ?? 0 };
}

/** A title made of one encode of each unit. */
export function titleOf(clip: Clip, cells: readonly Cell[], cpu: number): TitlePoint {
  const bits = cells.reduce((sum, cell) => sum + cell.bits, 0) / secondsOf(clip);
  return { bits, ...pool(cells), cpu };
}

/**
 * The fixed ladder: two-pass VBR of the whole clip, peaks held to 1.5 times over 2 s, keyframes at least every 4 s and
 * at cuts. `cpu` is of both passes.
 */
export async function fixedLadder(bench: Bench, clip: Clip): Promise<TitlePoint[]> {
  const points: TitlePoint[] = [];
  for (const [at, { bitrateBps, height }] of FIXED.entries()) {
    const kbps = bitrateBps / 1000;
    const lines = Math.min(height, clip.source.view.height);
    const key = keyOf('two-pass', 2, clip.source.sha256, kbps, lines, bench.ffmpeg.tool.version);
    const known = bench.journal.find<TitlePoint>(key);
    const point = known ?? (await twoPass(bench, clip, { kbps, lines }));
    if (known === undefined) await bench.journal.add(key, point);
    bench.onStep(clip.name, `fixed ladder ${kbps}k`, (at + 1) / FIXED.length);
    points.push(point);
  }
  return points;
}

async function twoPass(
  { ffmpeg, folder }: Bench,
  clip: Clip,
  { kbps, lines }: { readonly kbps: number; readonly lines: number },
): Promise<TitlePoint> {
  const { view } = clip.source;
  const cwd = join(folder, 'two-pass');
  await mkdir(cwd, { recursive: true });
  const { num, den } = view.frameRate;
  const rate = `fps=${num}/${den}:start_time=0,setsar=1,format=yuv420p`;
  const frames = clip.shots.reduce((sum, shot) => sum + shot.frames, 0);
  const common = [
    ...['-i', view.path, '-an', '-vf', `${rate},scale=${widthAt(view, lines)}:${lines}:flags=bicubic+accurate_rnd`],
    ...['-frames:v', `${frames}`, '-c:v', 'libx264', '-preset', 'veryfast', '-profile:v', 'high'],
    ...['-b:v', `${kbps}k`, '-maxrate', `${kbps * 1.5}k`, '-bufsize', `${kbps * 2}k`],
    ...['-force_key_frames', 'expr:gte(t,n_forced*4)', '-threads', `${ffmpeg.threads}`, '-passlogfile', 'pass'],
  ];
  const first = await ffmpeg.run({ args: [...common, '-pass', '1', '-f', 'null', '-'], cwd });
  const second = await ffmpeg.run({ args: [...common, '-pass', '2', '-f', 'h264', 'out.h264'], cwd });
  const { size } = await stat(join(cwd, 'out.h264'));
  const { scores } = await scoreFile(ffmpeg, {
    ...{ cwd, distorted: ['-i', 'out.h264'], reference: ['-i', view.path], normalise: rate },
    ...{ width: view.width, height: view.height, frames },
  });
  await rm(cwd, { recursive: true, force: true });
  const cpu = first.cpuSeconds + second.cpuSeconds;
  return { bits: (size * 8) / secondsOf(clip), ...pool([{ scores, frames }]), cpu };
}

/** The convex hull of one CRF and one height for the whole title, cheapest first; `cells` are the full grid. */
export function titleHull(clip: Clip, cells: readonly Cell[]): TitlePoint[] {
  const heights = [...new Set(cells.map((cell) => cell.height))];
  const points = heights.flatMap((height) => {
    const shots = clip.shots.map(({ frames }, at) => ({
      frames,
      points: cells
        .filter((cell) => cell.height === height && cell.shot === at)
        .sort((a, b) => a.crf - b.crf)
        .map((cell) => ({ bits: cell.bits, quality: mean(cell.scores.vmaf), cell })),
    }));
    return uniform(shots).map(({ points: chosen }) => {
      const title = titleOf(
        clip,
        chosen.map(({ cell }) => cell),
        0,
      );
      return { ...title, quality: title.vmaf };
    });
  });
  return convexHull(points).map(({ quality: _, ...title }) => title);
}

/** What one search asks and is told: the score at a CRF. */
type Probe = (crf: number) => Promise<number>;

/**
 * Av1an's target quality: begins in the middle, goes to the bound on the side where the target lies, then interpolates
 * between the nearest scores on both sides, until it is near, repeats itself, or has used up its probes. ab-av1's
 * crf-search goes the same way over the whole title, with more probes. Gives the CRF to encode with.
 */
async function searchCrf(target: number, probes: number, probe: Probe): Promise<number> {
  const known: { crf: number; score: number }[] = [];
  let crf = Math.round((SEARCH.best + SEARCH.worst) / 2);
  for (let at = 0; at < probes; at++) {
    const score = await probe(crf);
    known.push({ crf, score });
    if (Math.abs(score - target) <= SEARCH.near) return crf;
    const better = known.filter((one) => one.score >= target).sort((a, b) => b.crf - a.crf)[0];
    const worse = known.filter((one) => one.score < target).sort((a, b) => a.crf - b.crf)[0];
    let next: number = SEARCH.best;
    if (worse === undefined) next = SEARCH.worst;
    else if (better !== undefined) {
      const share = (better.score - target) / (better.score - worse.score);
      next = Math.round(better.crf + share * (worse.crf - better.crf));
    }
    if (known.some((one) => one.crf === next)) return next;
    crf = next;
  }
  return crf;
}

/** CPU seconds of scoring every frame with one model, per frame of the clip: what the searches do; measured once. */
async function scoreCpu(bench: Bench, clip: Clip): Promise<number> {
  const key = keyOf('score-cpu', 2, clip.source.sha256, bench.ffmpeg.tool.version);
  const known = bench.journal.find<number>(key);
  if (known !== undefined) return known;
  const { view } = clip.source;
  const frames = Math.min(120, clip.shots[0]?.frames ?? 0);
  const same = ['-frames:v', `${frames}`];
  const { num, den } = view.frameRate;
  const chain = `fps=${num}/${den}:start_time=0,setsar=1,format=yuv420p,trim=end_frame=${frames},settb=1/1000,setpts=N`;
  const graph = `[0:v]${chain}[a];[1:v]${chain}[b];[a][b]libvmaf=model=version=vmaf_v0.6.1:n_threads=${bench.ffmpeg.threads}`;
  const { cpuSeconds } = await bench.ffmpeg.run({
    args: ['-i', view.path, '-i', view.path, '-filter_complex', graph, ...same, '-f', 'null', '-'],
    cwd: bench.folder,
  });
  await bench.journal.add(key, cpuSeconds / frames);
  return cpuSeconds / frames;
}

/** A search per unit for each target, at the source's resolution: Av1an style. */
export async function perShotTarget(bench: Bench, clip: Clip): Promise<TitlePoint[]> {
  const perFrame = await scoreCpu(bench, clip);
  const points: TitlePoint[] = [];
  for (const target of TARGETS) {
    const cells: Cell[] = [];
    let cpu = 0;
    for (const [shot, { frames }] of clip.shots.entries()) {
      const measure = (crf: number): Promise<Cell> => oneCell(bench, clip, { shot, crf });
      const crf = await searchCrf(target, SEARCH.probes, async (wanted) => {
        const cell = await measure(wanted);
        cpu += cell.encodeCpu + frames * perFrame;
        return mean(cell.scores.vmaf);
      });
      const cell = await measure(crf);
      cpu += cell.encodeCpu;
      cells.push(cell);
    }
    points.push(titleOf(clip, cells, cpu));
  }
  return points;
}

/** One CRF for the whole title for each target, at the source's resolution: ab-av1 style. */
export async function perTitleTarget(bench: Bench, clip: Clip): Promise<TitlePoint[]> {
  const perFrame = await scoreCpu(bench, clip);
  const points: TitlePoint[] = [];
  for (const target of TARGETS) {
    let cpu = 0;
    const measure = (crf: number): Promise<Cell[]> =>
      measureCells(
        bench,
        clip,
        clip.shots.map((_, shot) => ({ shot, crf, height: clip.source.view.height, preset: 'veryfast' })),
      );
    const encodeCpu = (cells: readonly Cell[]): number => cells.reduce((sum, cell) => sum + cell.encodeCpu, 0);
    const crf = await searchCrf(target, SEARCH.titleProbes, async (wanted) => {
      const cells = await measure(wanted);
      cpu += encodeCpu(cells) + cells.reduce((sum, cell) => sum + cell.frames * perFrame, 0);
      return titleOf(clip, cells, 0).vmaf;
    });
    const cells = await measure(crf);
    points.push(titleOf(clip, cells, cpu + encodeCpu(cells)));
  }
  return points;
}

async function oneCell(bench: Bench, clip: Clip, wish: { shot: number; crf: number }): Promise<Cell> {
  const [cell] = await measureCells(bench, clip, [{ ...wish, height: clip.source.view.height, preset: 'veryfast' }]);
  if (cell === undefined) throw new Error('no cell');
  return cell;
}
