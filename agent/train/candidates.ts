// The titles that one step of training scores of a large catalogue: all that it has to foretell, and others by chance. What
// their scores are corrected by makes the softmax over them about that over all (Bengio, Senecal 2008; Jean et al. 2015).
import type { GraphTensor } from './graph-session.ts';
import type { Random } from './random.ts';

/** One viewer's titles in order of time: rows of the title table (1..titles) and the weight of each. */
export type TitleHistory = { readonly rows: Int32Array; readonly weights: Float32Array };

type Int64 = Extract<GraphTensor, { type: 'int64' }>;
type Float32 = Extract<GraphTensor, { type: 'float32' }>;
/** What a step learns from, as sasrec.ts names it. */
export type Batch = {
  readonly history: Int64;
  readonly targets: Int64;
  readonly weights: Float32;
  readonly padding: Float32;
};

/** What openCandidates() needs. */
export type CandidatesOptions = {
  readonly histories: readonly TitleHistory[];
  /** Titles of the catalogue; row 0 is nothing, and always a candidate. */
  readonly titles: number;
  /** Rows of each step, fewer than titles. */
  readonly count: number;
  /** Titles that a step has to foretell at most. */
  readonly targets: number;
  readonly random: Random;
};

/** Candidates of steps. */
export type Candidates = {
  /** The step with its candidates: targets are places among them; what there is no place for weighs nothing. */
  readonly of: (batch: Batch) => Readonly<Record<string, GraphTensor>>;
};

/** Chance of each row to be a candidate: as a target, by how often it is opened, or else by lot. */
function chancesOf({ histories, titles, count, targets }: CandidatesOptions): Float64Array {
  const chances = new Float64Array(titles + 1);
  let all = 0;
  for (const { rows } of histories) {
    for (const row of rows) chances[row] = (chances[row] ?? 0) + 1;
    all += rows.length;
  }
  let expected = 1;
  for (let row = 1; row <= titles; row += 1) {
    const chance = 1 - (1 - (chances[row] ?? 0) / all) ** targets;
    chances[row] = chance;
    expected += chance;
  }
  const byLot = Math.max(0, count - expected) / Math.max(1, titles + 1 - expected);
  for (let row = 1; row <= titles; row += 1) {
    const chance = chances[row] ?? 0;
    chances[row] = Math.max(1e-6, chance + (1 - chance) * byLot);
  }
  chances[0] = 1;
  return chances;
}

/** Opens it. */
export function openCandidates(options: CandidatesOptions): Candidates {
  const { titles, count, random } = options;
  const corrections = chancesOf(options).map((chance) => -Math.log(chance));
  const placeOf = new Int32Array(titles + 1);
  return {
    of: (batch) => {
      placeOf.fill(-1);
      const rows = new BigInt64Array(count);
      const added = new Float32Array(count);
      placeOf[0] = 0;
      let next = 1;
      const put = (row: number): void => {
        placeOf[row] = next;
        rows[next] = BigInt(row);
        added[next] = corrections[row] ?? 0;
        next += 1;
      };
      const targets = new BigInt64Array(batch.targets.values.length);
      const weights = Float32Array.from(batch.weights.values);
      for (const [at, target] of batch.targets.values.entries()) {
        if (weights[at] === 0) continue;
        const row = Number(target);
        if (placeOf[row] === -1 && next < count) put(row);
        const place = placeOf[row] ?? -1;
        if (place < 0) weights[at] = 0;
        else targets[at] = BigInt(place);
      }
      while (next < count) {
        const row = 1 + Math.floor(random() * titles);
        if (placeOf[row] === -1) put(row);
      }
      return {
        ...batch,
        targets: { ...batch.targets, values: targets },
        weights: { ...batch.weights, values: weights },
        candidates: { type: 'int64', dims: [count], values: rows },
        corrections: { type: 'float32', dims: [count], values: added },
      };
    },
  };
}
