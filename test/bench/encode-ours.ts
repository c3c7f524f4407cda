// Our encoder for bench:encode: the search of a job, run as a job runs it, and its rungs scored like all others.
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { jobSchema } from '../../encoder/contract.ts';
import { x264 } from '../../encoder/ffmpeg/codecs/h264.ts';
import { openFfmpeg } from '../../encoder/ffmpeg/run.ts';
import { findShots } from '../../encoder/ffmpeg/shots.ts';
import { keyOf, openJournal } from '../../encoder/journal.ts';
import { allocate } from '../../encoder/plan/allocate.ts';
import { COEFFICIENTS } from '../../encoder/plan/coefficients.ts';
import { convexHull } from '../../encoder/plan/hull.ts';
import type { Model } from '../../encoder/plan/model.ts';
import { planTitle } from '../../encoder/plan/title.ts';
import { candidatesOf, searchTitle, titlePlan } from '../../encoder/search.ts';
import { secondsOf, type TitlePoint, titleOf } from './encode-baselines.ts';
import { type Bench, type Cell, type Clip, measureCells } from './encode-cells.ts';
import { mean } from './figures.ts';

/** The ladder and what it took. */
export type Ours = {
  readonly rungs: readonly TitlePoint[];
  /** CPU seconds of finding shots and of the search with its encodes, and how many encodes there were. */
  readonly cpu: number;
  readonly trials: number;
};

type Kept = { readonly rungs: { height: number; crfs: number[] }[]; readonly cpu: number; readonly trials: number };

/**
 * Runs the search with a model that has not seen the clip; the result is journalled whole, so that its cost is true. The
 * number goes up when a search costs otherwise.
 */
export async function ours(bench: Bench, clip: Clip, model: Model): Promise<Ours> {
  const { tool } = bench.ffmpeg;
  const spans = clip.shots.map(({ start, frames }) => [start, frames]);
  const key = keyOf('ours', 3, clip.source.sha256, spans, keyOf(model), keyOf(COEFFICIENTS), tool.version);
  const known = bench.journal.find<Kept>(key);
  const kept = known ?? (await runSearch(bench, clip, model));
  if (known === undefined) await bench.journal.add(key, kept);
  const rungs: TitlePoint[] = [];
  for (const { height, crfs } of kept.rungs) {
    const cells = await measureCells(
      bench,
      clip,
      crfs.map((crf, shot) => ({ shot, height, crf, preset: 'veryfast' })),
    );
    rungs.push(titleOf(clip, cells, 0));
  }
  return { rungs, cpu: kept.cpu, trials: kept.trials };
}

async function runSearch(bench: Bench, clip: Clip, model: Model): Promise<Kept> {
  const outDir = join(bench.folder, `ours-${clip.name}`);
  await rm(outDir, { recursive: true, force: true });
  await mkdir(outDir, { recursive: true });
  const { parallel, threads, stallMs, signal } = bench.ffmpeg.options;
  const ffmpeg = openFfmpeg(bench.ffmpeg.tool, { parallel, threads, stallMs, signal });
  const job = jobSchema.parse({ version: 1, id: 'bench', input: clip.source.view.path, outDir });
  const kind = { id: 'h264-SDR', codec: x264, picture: clip.source.view.picture, metric: 'vmaf' } as const;
  const before = process.cpuUsage();
  await findShots(ffmpeg, clip.source, () => undefined);
  const search = { job, ffmpeg, source: clip.source, units: clip.shots, model };
  const { trials } = await searchTitle({
    ...search,
    ...{ journal: await openJournal(outDir), kinds: [kind], endsAt: Number.POSITIVE_INFINITY },
    onTrial: (_, doneRatio) => bench.onStep(clip.name, 'our search', doneRatio),
  });
  const { title, audience } = titlePlan(search, kind);
  const plan = { title, audience, durationSeconds: secondsOf(clip) };
  const { rungs } = planTitle(candidatesOf(search, kind, trials), plan);
  const own = process.cpuUsage(before);
  await rm(outDir, { recursive: true, force: true });
  return {
    rungs: rungs.map((rung) => ({ height: rung.height, crfs: rung.trials.map(({ trial }) => trial.crf) })),
    cpu: ffmpeg.cpuSeconds() + (own.user + own.system) / 1e6,
    trials: trials.length,
  };
}

/** What the full grid gives with the same allocation: bits a second over mean quality, cheapest first. */
export function gridCurve(clip: Clip, cells: readonly Cell[], floorDrop: number) {
  const heights = [...new Set(cells.map((cell) => cell.height))];
  const candidates = heights.flatMap((height) =>
    allocate(
      clip.shots.map(({ frames }, at) => ({
        frames,
        points: cells
          .filter((cell) => cell.height === height && cell.shot === at)
          .map((cell) => ({ bits: cell.bits, quality: mean(cell.scores.vmaf) })),
      })),
      floorDrop,
    ),
  );
  return convexHull(candidates).map(({ bits, quality }) => ({ bits: bits / secondsOf(clip), quality }));
}
