// A sequence model as the model process runs it: what a viewer opened before, in; a score for each candidate, out. EASE
// is mixed in beside it; an adapter and a bias per title change its answers from one question to the next.
import { besideScores, type RankerTitles, readNeighbours, readTitles } from '../predict/ranker-files.ts';
import { placesOf, type TitleNeighbours } from '../predict/tables.ts';
import { type GraphSession, type GraphTensor, openGraph } from '../train/graph-session.ts';
import { sequenceFeeds } from '../train/measure-ranker.ts';

/** What a question is about: candidates in the order of their rows, and what the viewer opened, newest first. */
export type About = { readonly titleIds: readonly string[]; readonly history: readonly string[] };

/** What is added to a model while it runs. Titles that are not named have no bias. */
export type Adaptation = {
  readonly bias: Readonly<Record<string, number>>;
  /** A low-rank adapter of the last hidden state, [width, rank] and [rank, width]; absent: none. */
  readonly adapter?: { readonly down: readonly number[]; readonly up: readonly number[] };
};

/** Scores of one question's candidates: in standard deviations over all titles, 0 for titles that it does not know. */
export type SequenceScores = {
  readonly blend: Float32Array;
  /** EASE's alone, of the same candidates. */
  readonly ease: Float32Array;
};

/** A loaded sequence model. */
export type Sequence = {
  readonly score: (questions: readonly About[]) => Promise<readonly SequenceScores[]>;
  /** Holds from the next question on. Throws RangeError for an adapter of other sizes. */
  readonly adapt: (adaptation: Adaptation) => void;
  readonly close: () => Promise<void>;
};

/** Its bytes. */
export type SequenceFiles = Readonly<Record<'titles' | 'ease' | 'graph', Uint8Array>>;

type Loaded = {
  readonly session: GraphSession;
  readonly titles: RankerTitles;
  readonly neighbours: TitleNeighbours;
  readonly inputs: { bias: Float32Array; down: Float32Array; up: Float32Array };
};

const rowsOf = ({ titles }: RankerTitles, ids: readonly string[]): readonly number[] => {
  const places = placesOf(titles);
  return ids.map((id) => places.get(id) ?? -1);
};

const gathered = (values: Float32Array, rows: readonly number[]): Float32Array =>
  Float32Array.from(rows, (row) => (row < 0 ? 0 : (values[row] ?? 0)));

/** The graph's inputs for a batch of histories, oldest first, with what is beside each. */
function feedsOf(
  { titles: sizes, inputs }: Loaded,
  histories: readonly (readonly number[])[],
  beside: readonly Float32Array[],
): Readonly<Record<string, GraphTensor>> {
  const { titles, width, rank } = sizes;
  const all = new Float32Array(histories.length * titles.length);
  beside.forEach((scores, at) => {
    all.set(scores, at * titles.length);
  });
  return {
    ...sequenceFeeds(sizes, titles.length, histories),
    beside: { type: 'float32', dims: [histories.length, titles.length], values: all },
    head_bias: { type: 'float32', dims: [titles.length], values: inputs.bias },
    adapter_down: { type: 'float32', dims: [width, rank], values: inputs.down },
    adapter_up: { type: 'float32', dims: [rank, width], values: inputs.up },
  };
}

async function scoreBatch(loaded: Loaded, questions: readonly About[]): Promise<readonly SequenceScores[]> {
  const { session, titles, neighbours } = loaded;
  const size = titles.titles.length;
  const histories = questions.map(({ history }) =>
    rowsOf(titles, history)
      .filter((row) => row >= 0)
      .reverse(),
  );
  const beside = histories.map((rows) => besideScores(neighbours, rows, titles.blend));
  const { scores } = await session.run(feedsOf(loaded, histories, beside), ['scores']);
  if (scores?.type !== 'float32' || scores.values.length !== questions.length * size) {
    throw new RangeError(`scores are [${scores?.dims.join() ?? ''}], not [${questions.length}, ${size}]`);
  }
  return questions.map(({ titleIds }, at) => {
    const rows = rowsOf(titles, titleIds);
    const own = scores.values.subarray(at * size, (at + 1) * size);
    return { blend: gathered(own, rows), ease: gathered(beside[at] ?? new Float32Array(0), rows) };
  });
}

/** Loads a model from its bytes and tries it once. Rejects with RangeError, or the runtime's error, for what cannot serve. */
export async function openSequence(files: SequenceFiles): Promise<Sequence> {
  const titles = readTitles(files.titles);
  const { width, rank } = titles;
  const inputs = {
    bias: new Float32Array(titles.titles.length),
    down: new Float32Array(width * rank),
    up: new Float32Array(width * rank),
  };
  const neighbours = readNeighbours(files.ease, titles.titles);
  // One thread: an answer is less than a millisecond of arithmetic, and the cores belong to viewers.
  const session = await openGraph(files.graph, 1);
  const loaded: Loaded = { session, titles, neighbours, inputs };
  const last = titles.titles.slice(0, titles.length);
  const [trial] = await scoreBatch(loaded, [{ titleIds: titles.titles, history: last }]);
  if (trial === undefined || !trial.blend.every(Number.isFinite)) throw new RangeError('its scores are not finite');
  return {
    score: (questions) => scoreBatch(loaded, questions),
    adapt: ({ bias, adapter }) => {
      if (adapter !== undefined && (adapter.down.length !== width * rank || adapter.up.length !== width * rank)) {
        throw new RangeError(`an adapter of this model has ${width} by ${rank} numbers, twice`);
      }
      inputs.bias = Float32Array.from(titles.titles, (id) => bias[id] ?? 0);
      inputs.down = Float32Array.from(adapter?.down ?? new Float32Array(width * rank));
      inputs.up = Float32Array.from(adapter?.up ?? new Float32Array(width * rank));
    },
    close: () => session.close(),
  };
}

/** Scores are probabilities: kept so far from 0 and 1, their log-odds are finite. */
const LEAST_ODDS = 1e-6;

/** The scorer's log-odds with the sequence model's scores added, times `weight`. */
export function mixed(scorer: Float32Array, sequence: Float32Array, weight: number): Float32Array {
  return scorer.map((score, row) => {
    const sure = Math.min(1 - LEAST_ODDS, Math.max(LEAST_ODDS, score));
    return Math.log(sure / (1 - sure)) + weight * (sequence[row] ?? 0);
  });
}
