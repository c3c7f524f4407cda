// The part of `npm run bench:predict` that ranks MovieLens 100k: the last fifth by time, the model frozen, histories and
// popularity live, every title in the running, three seeds. The weights stay in memory: the data's licence allows no more.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RANKER_FILES, readEmbeddings, readNeighbours, readTitles } from '../../agent/predict/ranker-files.ts';
import { openGraph } from '../../agent/train/graph-session.ts';
import type { Interaction, NumberedInteraction } from '../../agent/train/interactions.ts';
import { type MeasuredRanker, measureRanker, type RankerQuality } from '../../agent/train/measure-ranker.ts';
import { type TrainedRanker, trainRanker } from '../../agent/train/ranker.ts';
import { mean } from './figures.ts';

/** A rating as a view: its place, too. */
export type Rating = Interaction & { readonly region: string };

const SEEDS = [1, 2, 3];
/** The period that figures are of begins after this share of all events; settings were chosen on 64 to 80 %. */
const TEST_FROM = 0.8;
const HALF_LIFE_MS = 7 * 86_400_000;

/** The ratings of u.data as views in order of time, a viewer's region being the first digit of the ZIP code. */
export function readMovielens(dir: string): readonly Rating[] {
  const lines = (name: string, separator: string): string[][] =>
    readFileSync(join(dir, name), 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split(separator));
  const regionOf = new Map(lines('u.user', '|').map(([viewer = '', , , , zip = '']) => [viewer, zip.slice(0, 1)]));
  return lines('u.data', '\t')
    .map(([viewer = '', titleId = '', , seconds = '']) => {
      const region = regionOf.get(viewer) ?? '';
      return { viewer, titleId, at: Number(seconds) * 1000, weight: 1, region };
    })
    .sort((one, other) => one.at - other.at);
}

/** Before and from the moment after which `share` of the events lie; events of one moment stay together. */
export function splitByTime<T extends { readonly at: number }>(events: readonly T[], share: number): [T[], T[]] {
  const cut = events[Math.floor(events.length * share)]?.at ?? Number.POSITIVE_INFINITY;
  return [events.filter(({ at }) => at < cut), events.filter(({ at }) => at >= cut)];
}

function fileOf({ files }: TrainedRanker, name: string): Uint8Array {
  const found = files.get(name);
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
}

/** A trained ranker, read from its files as a node reads them. */
export async function openTrained(trained: TrainedRanker, isInt8: boolean): Promise<MeasuredRanker> {
  const { titles, blend, length, width, rank } = readTitles(fileOf(trained, RANKER_FILES.titles));
  return {
    session: await openGraph(fileOf(trained, isInt8 ? RANKER_FILES.sequenceInt8 : RANKER_FILES.sequence), 1),
    neighbours: readNeighbours(fileOf(trained, RANKER_FILES.ease), titles),
    embeddings: readEmbeddings(fileOf(trained, RANKER_FILES.embeddings)),
    blend,
    length,
    width,
    rank,
    popularityHalfLifeMs: HALF_LIFE_MS,
  };
}

/** Views with the ranker's rows; -1 for a title that it does not know. */
export function numbered(events: readonly Interaction[], titleIds: readonly string[]): readonly NumberedInteraction[] {
  const rowOf = new Map(titleIds.map((titleId, row) => [titleId, row]));
  return events.map(({ viewer, titleId, at, weight }) => ({ viewer, row: rowOf.get(titleId) ?? -1, at, weight }));
}

async function measureSeed(train: readonly Rating[], test: readonly Rating[], seed: number) {
  const trained = await trainRanker(train, { seed, holdOutRatio: 0, threads: 2 });
  const measure = async (isInt8: boolean): Promise<RankerQuality> => {
    const ranker = await openTrained(trained, isInt8);
    try {
      const { titleIds } = ranker.neighbours;
      return await measureRanker(ranker, numbered(train, titleIds), numbered(test, titleIds));
    } finally {
      await ranker.session.close();
    }
  };
  return { full: await measure(false), small: await measure(true) };
}

/** A row of figures. */
const described = ({ hr10, ndcg10, hr50, reachRatio, intraListDistance }: RankerQuality['blend']): string =>
  `HR@10 ${hr10.toFixed(4)}  NDCG@10 ${ndcg10.toFixed(4)}  HR@50 ${hr50.toFixed(4)}  reach ${reachRatio.toFixed(3)}  distance ${intraListDistance.toFixed(3)}`;

/** Trains and measures with each seed; figures are means over the seeds. Gives NaN-free figures or throws. */
export async function runMovielens(dir: string, print: (text: string) => void): Promise<Record<string, number>> {
  const [train, test] = splitByTime(readMovielens(dir), TEST_FROM);
  const runs: { full: RankerQuality; small: RankerQuality }[] = [];
  for (const seed of SEEDS) {
    const run = await measureSeed(train, test, seed);
    runs.push(run);
    const { full, small } = run;
    print(`MovieLens 100k, seed ${seed}: ${full.questions} questions, ${full.starts} sessions begun`);
    for (const name of ['popularity', 'ease', 'sequence', 'blend'] as const)
      print(`  ${name.padEnd(12)} ${described(full[name])}`);
    print(`  ${'8-bit blend'.padEnd(12)} ${described(small.blend)}`);
    print(`  session start by popularity HR@10 ${full.start.hr10.toFixed(4)}`);
  }
  const of = (pick: (run: (typeof runs)[number]) => number): number => mean(runs.map(pick));
  const hr10 = of(({ full }) => full.blend.hr10);
  return {
    hr10,
    ndcg10: of(({ full }) => full.blend.ndcg10),
    hr50: of(({ full }) => full.blend.hr50),
    hr10_vs_ease: hr10 / of(({ full }) => full.ease.hr10) - 1,
    ease_hr10: of(({ full }) => full.ease.hr10),
    sequence_hr10: of(({ full }) => full.sequence.hr10),
    start_hr10: of(({ full }) => full.start.hr10),
    int8_loss: 1 - of(({ small }) => small.blend.hr10) / hr10,
    diversity: of(({ full }) => full.blend.reachRatio),
    intra_list_distance: of(({ full }) => full.blend.intraListDistance),
  };
}
