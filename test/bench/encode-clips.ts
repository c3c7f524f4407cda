// The clips of bench:encode, as the encoder itself probes and cuts them.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { probe } from '../../encoder/ffmpeg/probe.ts';
import { findShots, type Shot } from '../../encoder/ffmpeg/shots.ts';
import { keyOf } from '../../encoder/journal.ts';
import { chooseHeights } from '../../encoder/plan/trials.ts';
import { longestUnit, unitsOf } from '../../encoder/plan/units.ts';
import { type Bench, type Clip, SEGMENT_SECONDS } from './encode-cells.ts';

/** CRFs of the full grid. */
const GRID_CRFS = [18, 23, 28, 33, 38] as const;

/** A clip and whether it has several shots: a per-shot ladder can only win where there are some. */
type ClipName = {
  readonly name: string;
  readonly file: string;
  readonly isSingle: boolean;
  readonly cut?: string[];
};

/**
 * Cheapest first. Some are taken in part, lossless, so that the whole benchmark stays affordable: the first 24 s of
 * Sintel's trailer, the first 25 s of Big Buck Bunny at 720p, the first 15 s of the motorway.
 */
export const CLIPS: readonly ClipName[] = [
  { name: 'toys', file: 'toys_a_480p.mp4', isSingle: false },
  {
    ...{ name: 'bbb', file: 'bbb_1080p_30s.mp4', isSingle: false },
    cut: ['-t', '25', '-vf', 'scale=1280:720:flags=bicubic+accurate_rnd'],
  },
  { name: 'intel_car', file: 'intel_car_432p.mp4', isSingle: true },
  { name: 'sintel', file: 'sintel_trailer_720p.mp4', isSingle: false, cut: ['-t', '24'] },
  { name: 'highway', file: 'highway_540p60.mp4', isSingle: true, cut: ['-t', '15'] },
];

/** Where the clips lie; undefined where they are not there. */
export function clipsFolder(): string | undefined {
  const folder = process.env['NEARCAST_CLIPS'] ?? join(import.meta.dirname, '../../../shared/clips');
  return existsSync(join(folder, 'README.md')) ? folder : undefined;
}

/** Probes a clip and finds its shots, from the journal where it knows them. */
export async function openClip(bench: Bench, folder: string, { name, file, cut }: ClipName): Promise<Clip> {
  const { ffmpeg, journal } = bench;
  let input = join(folder, file);
  if (cut !== undefined) {
    const made = join(bench.folder, `${name}.mkv`);
    if (!existsSync(made)) {
      mkdirSync(bench.folder, { recursive: true });
      const half = join(bench.folder, 'half.mkv');
      const codec = ['-an', '-c:v', 'ffv1', '-g', '12', '-level', '3', '-fflags', '+bitexact'];
      execFileSync(ffmpeg.tool.path, ['-y', '-v', 'error', '-i', input, ...cut, ...codec, half]);
      renameSync(half, made);
    }
    input = made;
  }
  const source = await probe(ffmpeg.tool, { input, maxPixels: 16_000_000, signal: ffmpeg.options.signal });
  const key = keyOf('shots', 3, source.sha256, ffmpeg.tool.version);
  const shots = journal.find<Shot[]>(key) ?? (await findShots(ffmpeg, source, () => undefined));
  if (journal.find(key) === undefined) await journal.add(key, shots);
  const longest = longestUnit(SEGMENT_SECONDS, source.view.frameRate);
  return { name, source, shots: unitsOf(shots, longest) };
}

/** Wishes of the full grid. */
export function gridOf(clip: Clip, preset: string): { shot: number; height: number; crf: number; preset: string }[] {
  const heights = chooseHeights(clip.source.view.height, undefined);
  return clip.shots.flatMap((_, shot) =>
    heights.flatMap((height) => GRID_CRFS.map((crf) => ({ shot, height, crf, preset }))),
  );
}
