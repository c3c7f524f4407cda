// Plays the planner against measured full grids instead of ffmpeg: what it asks for is read off the grid, interpolated
// between its CRFs. For tuning without encoding.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { toPointsOf, toScore } from '../../encoder/plan/curves.ts';
import type { ShotFeatures } from '../../encoder/plan/features.ts';
import type { Measured, SearchTitle, Wish } from '../../encoder/plan/outlook.ts';
import { ROUNDS, wishesOf } from '../../encoder/plan/search.ts';
import { interpolate } from './encode-bd.ts';
import type { Cell, Clip } from './encode-cells.ts';
import { mean } from './figures.ts';

/** What encode-grid.ts writes. */
export type GridFile = {
  readonly name: string;
  readonly view: { readonly width: number; readonly height: number; readonly frameRate: { num: number; den: number } };
  readonly shots: readonly { readonly start: number; readonly frames: number; readonly features: ShotFeatures }[];
  readonly cells: readonly Cell[];
};

/** A grid as a file. */
export function gridFileOf({ name, source, shots }: Clip, cells: readonly Cell[]): GridFile {
  return {
    name,
    view: source.view,
    shots: shots.map(({ start, frames, features }) => ({ start, frames, features })),
    cells,
  };
}

/** All grids in a folder. */
export function readGrids(folder: string): GridFile[] {
  return ['toys', 'bbb', 'sintel', 'intel_car', 'highway'].flatMap((name) => {
    const path = join(folder, `grid-${name}.json`);
    // Written by encode-grid.ts of the same version.
    return existsSync(path) ? [JSON.parse(readFileSync(path, 'utf8')) as GridFile] : [];
  });
}

/** Bits and quality of a shot at any CRF of a measured height, read off the grid. */
export function truthOf(grid: GridFile): (wish: Wish) => { bits: number; quality: number } {
  const lines = new Map<string, Cell[]>();
  for (const cell of grid.cells) {
    const key = `${cell.shot} ${cell.height}`;
    lines.set(
      key,
      [...(lines.get(key) ?? []), cell].sort((a, b) => a.crf - b.crf),
    );
  }
  return ({ unit, height, crf }) => {
    const cells = lines.get(`${unit} ${height}`) ?? [];
    const read = (value: (cell: Cell) => number): number =>
      interpolate(
        cells.map((cell) => ({ x: cell.crf, y: value(cell) })),
        crf,
      );
    return {
      bits: 2 ** read((cell) => Math.log2(cell.bits)),
      quality: toPointsOf(read((cell) => toScore(mean(cell.scores.vmaf)))),
    };
  };
}

/** The search of a title, played to its end: all trials in the order in which they were asked for, and how many a round. */
export function playSearch(title: SearchTitle, truth: (wish: Wish) => { bits: number; quality: number }) {
  const trials: Measured[] = [];
  const counts = ROUNDS.map((round) => {
    const wishes = wishesOf(title, trials, round);
    trials.push(...wishes.map((wish) => ({ ...wish, ...truth(wish), ships: true })));
    return wishes.length;
  });
  return { trials, counts };
}
