import { findFfmpeg } from '../../encoder/ffmpeg/find.ts';
import { openFfmpeg } from '../../encoder/ffmpeg/run.ts';
import { openJournal } from '../../encoder/journal.ts';
import { fixedLadder, perShotTarget, perTitleTarget } from './encode-baselines.ts';
import { CLIPS, clipsFolder, openClip } from './encode-clips.ts';

const tool = await findFfmpeg({ env: process.env, ffmpegPath: undefined });
const ffmpeg = openFfmpeg(tool, { parallel: 1, threads: 2, stallMs: 600_000, signal: new AbortController().signal });
const folder = '/tmp/nearcast-bench-encode';
const bench = {
  ffmpeg,
  folder,
  journal: await openJournal(folder),
  onStep: (c: string, t: string, d: number) => console.log(new Date().toISOString().slice(11, 19), c, t, d.toFixed(2)),
};
for (const name of CLIPS) {
  const clip = await openClip(bench, clipsFolder() ?? '', name);
  await fixedLadder(bench, clip);
  await perShotTarget(bench, clip);
  await perTitleTarget(bench, clip);
  console.log('DONE', name.name);
}
