// How well a ranker foretells which title a viewer opens next that he has not opened before: the model is frozen, the
// history and popularity are live, every title of the catalogue competes.
import { addWeighted } from '../predict/blend.ts';
import { type Diversity, type DiversityMeter, firstRows, measureDiversity } from '../predict/diversity.ts';
import { scoreEase } from '../predict/ease.ts';
import { besideScores, historyInput, type RankerBlend } from '../predict/ranker-files.ts';
import type { TitleEmbeddings, TitleNeighbours } from '../predict/tables.ts';
import type { GraphSession, GraphTensor } from './graph-session.ts';
import { addToHistory, type NumberedInteraction, type ViewerHistory } from './interactions.ts';

/** Hit ratios and NDCG over all questions (Jarvelin, Kekalainen 2002, with one relevant title). */
export type Accuracy = { readonly hr10: number; readonly ndcg10: number; readonly hr50: number };

/** A ranker as it is measured. `sequence` answers alone, `blend` with EASE and popularity beside it. */
export type MeasuredRanker = {
  readonly session: GraphSession;
  readonly neighbours: TitleNeighbours;
  readonly embeddings: TitleEmbeddings;
  readonly blend: RankerBlend;
  /** Places of a history, size of an embedding, rank of an adapter. */
  readonly length: number;
  readonly width: number;
  readonly rank: number;
  readonly popularityHalfLifeMs: number;
};

/** Who is compared. */
export const MEASURED = ['blend', 'sequence', 'ease', 'popularity'] as const;
/** One of MEASURED. */
export type Measured = (typeof MEASURED)[number];

/**
 * What came out, with the variety of the first ten titles beside each figure. `start` is popularity's answer to each
 * viewer's first question of the period.
 */
export type RankerQuality = Readonly<Record<Measured, Accuracy & Diversity>> & {
  readonly start: Accuracy;
  readonly questions: number;
  readonly starts: number;
};

/** Histories asked about at once. */
const BATCH = 32;
const FIRST = 10;

type Tally = { hits10: number; gain: number; hits50: number; count: number };
const newTally = (): Tally => ({ hits10: 0, gain: 0, hits50: 0, count: 0 });

/** What one of MEASURED has answered so far. */
type Measurement = { readonly tally: Tally; readonly diversity: DiversityMeter };

/** Counts one answer; ties count as if half of them came before. An absent target is a miss. */
function count(tally: Tally, scores: Float32Array | undefined, target: number, seen: ReadonlySet<number>): void {
  tally.count += 1;
  const own = scores?.[target];
  if (scores === undefined || own === undefined) return;
  let better = 0;
  let equal = -1;
  for (let at = 0; at < scores.length; at += 1) {
    const score = scores[at] ?? 0;
    if (score >= own && !seen.has(at)) {
      if (score > own) better += 1;
      else equal += 1;
    }
  }
  const rank = better + Math.max(0, equal) / 2;
  if (rank < 10) {
    tally.hits10 += 1;
    tally.gain += 1 / Math.log2(rank + 2);
  }
  if (rank < 50) tally.hits50 += 1;
}

const accuracyOf = ({ hits10, gain, hits50, count: all }: Tally): Accuracy => ({
  hr10: hits10 / Math.max(1, all),
  ndcg10: gain / Math.max(1, all),
  hr50: hits50 / Math.max(1, all),
});

/** Decayed counts of all titles as of the latest event, as agent/predict/popularity.ts has them, in one array. */
function livePopularity(size: number, halfLifeMs: number) {
  const counts = new Float32Array(size);
  let unit = 1;
  let latest: number | undefined;
  return {
    counts,
    add: ({ row, at, weight }: NumberedInteraction): void => {
      // Later events weigh more, instead of earlier ones less: one addition an event (Cormode et al., ICDE 2009).
      if (latest !== undefined) unit *= 2 ** (Math.max(0, at - latest) / halfLifeMs);
      latest = Math.max(latest ?? at, at);
      if (unit > 1e12) {
        for (let place = 0; place < size; place += 1) counts[place] = (counts[place] ?? 0) / unit;
        unit = 1;
      }
      if (row >= 0) counts[row] = (counts[row] ?? 0) + weight * unit;
    },
  };
}

type Question = {
  readonly history: readonly number[];
  readonly target: number;
  readonly popularity: Float32Array;
};

/** Scores of one question by each of MEASURED. */
type Answer = Readonly<Record<Measured, Float32Array>>;

/** The graph's inputs for questions, with nothing beside, no adapter and no bias. */
export function sequenceFeeds(
  ranker: Pick<MeasuredRanker, 'length' | 'width' | 'rank'>,
  titles: number,
  histories: readonly (readonly number[])[],
): Readonly<Record<string, GraphTensor>> {
  const { length, width, rank } = ranker;
  const values = new BigInt64Array(histories.length * length);
  histories.forEach((history, at) => {
    values.set(historyInput(history, length), at * length);
  });
  const zeros = (dims: readonly number[]): GraphTensor => ({
    type: 'float32',
    dims,
    values: new Float32Array(dims.reduce((product, dim) => product * dim, 1)),
  });
  return {
    history: { type: 'int64', dims: [histories.length, length], values },
    beside: zeros([histories.length, titles]),
    head_bias: zeros([titles]),
    adapter_down: zeros([width, rank]),
    adapter_up: zeros([rank, width]),
  };
}

async function answer(ranker: MeasuredRanker, questions: readonly Question[]): Promise<readonly Answer[]> {
  const { neighbours, blend, session } = ranker;
  const titles = neighbours.titleIds.length;
  const feeds = sequenceFeeds(
    ranker,
    titles,
    questions.map(({ history }) => history),
  );
  const { scores } = await session.run(feeds, ['scores']);
  if (!(scores?.values instanceof Float32Array)) throw new TypeError('The graph gave no scores');
  const all = scores.values;
  return questions.map(({ history, popularity }, at) => {
    if (history.length === 0) return { blend: popularity, sequence: popularity, ease: popularity, popularity };
    const sequence = all.slice(at * titles, (at + 1) * titles);
    const mixed = addWeighted(Float32Array.from(sequence), besideScores(neighbours, history, blend, popularity), 1);
    return { blend: mixed, sequence, ease: scoreEase(neighbours, history, blend.historyDecay), popularity };
  });
}

/**
 * Asks about every `every`-th of `events` (later than all in `past`) whose title its viewer has not opened before, live
 * histories beginning with `past`. Rows below 0 are titles that the ranker does not know: misses.
 */
export async function measureRanker(
  ranker: MeasuredRanker,
  past: readonly NumberedInteraction[],
  events: readonly NumberedInteraction[],
  every = 1,
): Promise<RankerQuality> {
  const titles = ranker.neighbours.titleIds.length;
  const popularity = livePopularity(titles, ranker.popularityHalfLifeMs);
  const histories = new Map<string, ViewerHistory>();
  for (const event of past) {
    addToHistory(histories, event);
    popularity.add(event);
  }
  const newMeasurement = (): Measurement => ({
    tally: newTally(),
    diversity: measureDiversity(ranker.embeddings, titles),
  });
  const measured: Readonly<Record<Measured, Measurement>> = {
    blend: newMeasurement(),
    sequence: newMeasurement(),
    ease: newMeasurement(),
    popularity: newMeasurement(),
  };
  const start = newTally();
  const begun = new Set<string>();
  let waiting: Question[] = [];
  const settle = async (): Promise<void> => {
    const answers = waiting.length === 0 ? [] : await answer(ranker, waiting);
    answers.forEach((scores, at) => {
      const question = waiting[at];
      if (question === undefined) return;
      const seen = new Set(question.history);
      for (const name of MEASURED) {
        count(measured[name].tally, scores[name], question.target, seen);
        measured[name].diversity.add(firstRows(scores[name], FIRST, seen));
      }
    });
    waiting = [];
  };
  for (const [at, event] of events.entries()) {
    const rows = histories.get(event.viewer)?.rows ?? [];
    if (!rows.includes(event.row) || event.row < 0) {
      if (!begun.has(event.viewer)) count(start, popularity.counts, event.row, new Set(rows));
      begun.add(event.viewer);
      if (at % every === 0)
        waiting.push({ history: [...rows], target: event.row, popularity: popularity.counts.slice() });
      if (waiting.length >= BATCH) await settle();
    }
    popularity.add(event);
    if (event.row >= 0) addToHistory(histories, event);
  }
  await settle();
  const resultOf = ({ tally, diversity }: Measurement) => ({ ...accuracyOf(tally), ...diversity.result() });
  return {
    blend: resultOf(measured.blend),
    sequence: resultOf(measured.sequence),
    ease: resultOf(measured.ease),
    popularity: resultOf(measured.popularity),
    start: accuracyOf(start),
    questions: measured.blend.tally.count,
    starts: start.count,
  };
}
