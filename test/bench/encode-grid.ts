// Measures the full grids of bench:encode and writes them as one table, for the regression and the planner's simulator.

import { mkdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findFfmpeg } from '../../encoder/ffmpeg/find.ts';
import { openFfmpeg } from '../../encoder/ffmpeg/run.ts';
import { openJournal } from '../../encoder/journal.ts';
import { type Bench, measureCells } from './encode-cells.ts';
import { CLIPS, clipsFolder, gridOf, openClip } from './encode-clips.ts';
import { gridFileOf } from './encode-simulate.ts';

const folder = process.argv[2] ?? '/tmp/nearcast-bench-encode';
const wanted = process.argv[3]?.split(',');
mkdirSync(folder, { recursive: true });
const tool = await findFfmpeg({ env: process.env, ffmpegPath: undefined });
const ffmpeg = openFfmpeg(tool, { parallel: 1, threads: 2, stallMs: 600_000, signal: new AbortController().signal });
const bench: Bench = {
  ffmpeg,
  folder,
  journal: await openJournal(folder),
  onStep: (clip, text, doneRatio) => console.log(`${(doneRatio * 100).toFixed(0)} % ${clip}: ${text}`),
};
const clips = clipsFolder();
if (clips === undefined) throw new Error('no clips');
for (const name of CLIPS) {
  if (wanted !== undefined && !wanted.includes(name.name)) continue;
  const clip = await openClip(bench, clips, name);
  console.log(name.name, clip.shots.map((shot) => `${shot.start}+${shot.frames}`).join(' '));
  const cells = await measureCells(bench, clip, gridOf(clip, 'veryfast'));
  await writeFile(join(folder, `grid-${name.name}.json`), JSON.stringify(gridFileOf(clip, cells)));
}
