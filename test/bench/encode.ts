// bench:encode: our ladders against a fixed one, a per-title hull, per-shot and per-title quality targets, on real clips.
// `--clips toys,bbb` takes some, `--cache DIR` keeps what was measured there, `--save` writes test/bench/results.
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { findFfmpeg } from '../../encoder/ffmpeg/find.ts';
import { openFfmpeg } from '../../encoder/ffmpeg/run.ts';
import { keyOf, lockFolder, openJournal } from '../../encoder/journal.ts';
import { fixedLadder, perShotTarget, perTitleTarget, secondsOf, titleHull } from './encode-baselines.ts';
import { type Bench, type Cell, type Clip, measureCells } from './encode-cells.ts';
import { CLIPS, clipsFolder, gridOf, openClip } from './encode-clips.ts';
import {
  coverageOf,
  FIGURE_NAMES,
  type Figures,
  figuresOf,
  GOALS,
  type Measured,
  meanFigures,
} from './encode-figures.ts';
import { samplesOf, trainModel } from './encode-model.ts';
import { gridCurve, ours } from './encode-ours.ts';
import { plotPage } from './encode-plot.ts';
import { type GridFile, gridFileOf } from './encode-simulate.ts';
import { rounded } from './figures.ts';
import { measureShots, type ShotScores } from './shots.ts';

const { values } = parseArgs({
  options: {
    clips: { type: 'string' },
    cache: { type: 'string', default: '/tmp/nearcast-bench-encode' },
    save: { type: 'boolean', default: false },
  },
});
const folder = clipsFolder();
if (folder === undefined) {
  console.log('bench:encode needs the clips of ../shared/clips (or NEARCAST_CLIPS): skipped');
  process.exit(0);
}
mkdirSync(values.cache, { recursive: true });
const release = await lockFolder(values.cache);

/** Steps of a clip, for the line that says where the benchmark stands; shares of its time by experience. */
const STEPS = ['grid', 'search', 'rungs', 'fixed', 'targets'] as const;
const SHARES = { grid: 0.5, search: 0.2, rungs: 0.05, fixed: 0.1, targets: 0.15 } as const;
const startedAt = performance.now();
const wanted = values.clips?.split(',');
const chosen = CLIPS.filter(({ name }) => wanted === undefined || wanted.includes(name));
const stand: { clip: number; step: (typeof STEPS)[number]; told: number } = { clip: 0, step: 'grid', told: 0 };

function tell(clip: string, text: string, doneRatio: number): void {
  const steps = STEPS.slice(0, STEPS.indexOf(stand.step)).reduce((sum, step) => sum + SHARES[step], 0);
  const done = (stand.clip + steps + SHARES[stand.step] * doneRatio) / chosen.length;
  const seconds = (performance.now() - startedAt) / 1000;
  if (seconds - stand.told < 10) return;
  stand.told = seconds;
  const left = done > 0 ? (seconds * (1 - done)) / done : 0;
  console.error(
    `${(done * 100).toFixed(0).padStart(3)} %  ${clip}: ${stand.step}, ${text}; about ${Math.ceil(left / 60)} min left`,
  );
}

const tool = await findFfmpeg({ env: process.env, ffmpegPath: undefined });
const { signal } = new AbortController();
const ffmpeg = openFfmpeg(tool, { parallel: 1, threads: 2, stallMs: 600_000, signal });
const bench: Bench = { ffmpeg, folder: values.cache, journal: await openJournal(values.cache), onStep: tell };

/** The grid of every clip: a model for one is trained on the others. */
const opened: { clip: Clip; cells: Cell[]; file: GridFile; isSingle: boolean }[] = [];
for (const name of CLIPS) {
  const clip = await openClip(bench, folder, name);
  stand.clip = Math.max(0, chosen.indexOf(name));
  stand.step = 'grid';
  const cells = await measureCells(bench, clip, gridOf(clip, 'veryfast'));
  opened.push({ clip, cells, file: gridFileOf(clip, cells), isSingle: name.isSingle });
}

async function measure({ clip, cells, isSingle }: (typeof opened)[number]): Promise<Measured> {
  const others = opened.filter((other) => other.clip.name !== clip.name).map(({ file }) => file);
  stand.step = 'search';
  const made = await ours(bench, clip, trainModel(samplesOf(others)));
  stand.step = 'fixed';
  const fixed = await fixedLadder(bench, clip);
  stand.step = 'targets';
  return {
    ...{ clip: clip.name, isSingle, seconds: secondsOf(clip), ours: made, fixed },
    hull: titleHull(clip, cells),
    grid: gridCurve(clip, cells, 4),
    perShotTarget: await perShotTarget(bench, clip),
    perTitleTarget: await perTitleTarget(bench, clip),
  };
}

const measured: Measured[] = [];
for (const [at, one] of opened.filter(({ clip }) => chosen.some(({ name }) => name === clip.name)).entries()) {
  stand.clip = at;
  measured.push(await measure(one));
}
const shotsKey = keyOf('shot-scores', 1, tool.version);
const shots = bench.journal.find<ShotScores>(shotsKey) ?? (await measureShots(folder));
if (bench.journal.find(shotsKey) === undefined) await bench.journal.add(shotsKey, shots);

const perClip = measured.map((clip) => ({ clip, figures: figuresOf(clip) }));
const multi = perClip.filter(({ clip }) => !clip.isSingle).map(({ figures }) => figures);
const mean = multi.length === 0 ? undefined : meanFigures(multi);
const names = FIGURE_NAMES;

for (const { clip } of perClip) {
  const line = (name: string, points: Measured['fixed'], cpu: number): void => {
    const rungs = points.map(
      (point) => `${(point.bits / 1e6).toFixed(2)}:${point.vmaf.toFixed(1)}/${point.p5.toFixed(0)}`,
    );
    console.log(`  ${name.padEnd(10)} ${cpu.toFixed(0).padStart(5)} CPU-s  ${rungs.join('  ')}`);
  };
  const cpu = (points: Measured['fixed']): number => points.reduce((sum, point) => sum + point.cpu, 0);
  const covered = (coverageOf(clip) * 100).toFixed(0);
  console.log(
    `${clip.clip}: ${clip.seconds.toFixed(1)} s, ${clip.ours.trials} trials; Mbit/s:VMAF/p5; ${covered} % of the fixed range compared`,
  );
  line('ours', clip.ours.rungs, clip.ours.cpu);
  line('fixed', clip.fixed, cpu(clip.fixed));
  line('per shot', clip.perShotTarget, cpu(clip.perShotTarget));
  line('one CRF', clip.perTitleTarget, cpu(clip.perTitleTarget));
}
console.log(
  `\n${''.padEnd(20)}${[...perClip.map(({ clip }) => clip.clip), 'multi-shot', 'goal'].map((name) => name.padStart(11)).join('')}`,
);
for (const name of names) {
  const cells = [...perClip.map(({ figures }) => figures[name]), mean?.[name] ?? Number.NaN].map((value) =>
    value.toFixed(2).padStart(11),
  );
  console.log(`${name.padEnd(20)}${cells.join('')}${(GOALS[name]?.toFixed(2) ?? '').padStart(11)}`);
}
for (const { clip, figures } of perClip.filter(({ clip }) => clip.isSingle)) {
  console.log(
    `${clip.clip} is one shot: ${figures.bd_vs_hull_mean.toFixed(2)} % against the per-title hull, goal within 1`,
  );
}
const saved = measured.map((clip) => {
  const reference = clip.fixed.reduce((sum, point) => sum + point.bits, 0) / clip.fixed.length;
  const { delivered_saving: saving } = figuresOf(clip);
  return ((reference * clip.seconds * saving) / 100 / 8 / 1e9 / (clip.ours.cpu / 3600)) * 1000;
});
console.log(
  `GB saved per CPU-hour for 1000 views spread evenly over the fixed rungs: ${saved.map((value) => value.toFixed(0)).join(', ')}`,
);
const page = join(values.cache, 'pareto.html');
writeFileSync(page, plotPage(measured));
console.log(`plot: ${page}`);
const allRounded = (figures: Figures): object =>
  Object.fromEntries(Object.entries(figures).map(([key, value]) => [key, rounded(value, 2)]));
const result = {
  ...(mean === undefined ? {} : allRounded(mean)),
  ...{ shot_recall: rounded(shots.recall, 2), shot_precision: rounded(shots.precision, 2) },
  clips: Object.fromEntries(perClip.map(({ clip, figures }) => [clip.clip, allRounded(figures)])),
};
if (values.save) {
  const machine = `${availableParallelism()} x ${cpus()[0]?.model ?? 'unknown'}`;
  const text = JSON.stringify(
    { date: new Date().toISOString().slice(0, 10), machine, ffmpeg: tool.version, ...result },
    null,
    2,
  );
  writeFileSync(join(import.meta.dirname, 'results/encode.json'), `${text}\n`);
}
await release();
console.log(JSON.stringify(result));
