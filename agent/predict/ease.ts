// EASE^R (Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019): what goes with what was watched, in
// closed form, pruned to each title's strongest neighbours so that serving is a sparse sum.
import assert from 'node:assert/strict';
import { symmetricMatrix } from './invert.ts';
import type { TitleNeighbours } from './tables.ts';

/** How to fit. */
export type EaseOptions = {
  /** Lambda of the paper: added to the diagonal. Larger for sparse data. */
  readonly ridge: number;
  /** Neighbours kept of each title. */
  readonly width: number;
};

/** Titles that a fit takes at most: the inverse of 5,000 takes 100 MB and half a minute, in which nothing else runs. */
export const MAX_EASE_TITLES = 5_000;

/** Of a history the latest this many titles count together; their pairs grow with the square. */
const MAX_TOGETHER = 200;

/** Adds to a Gram matrix what one history says, each pair by the product of its weights. */
function addHistory(gram: ReturnType<typeof symmetricMatrix>, rows: Int32Array, weights: Float32Array): void {
  const start = Math.max(0, rows.length - MAX_TOGETHER);
  for (let one = start; one < rows.length; one += 1) {
    const row = rows[one] ?? 0;
    const weight = weights[one] ?? 0;
    for (let other = start; other <= one; other += 1) gram.add(row, rows[other] ?? 0, weight * (weights[other] ?? 0));
  }
}

/** The `width` largest by absolute value of `weights`, strongest first; `chosen` is scratch. */
function strongest(weights: Float64Array, width: number, chosen: number[]): number[] {
  chosen.length = 0;
  for (let at = 0; at < weights.length; at += 1) if (weights[at] !== 0) chosen.push(at);
  chosen.sort((one, other) => Math.abs(weights[other] ?? 0) - Math.abs(weights[one] ?? 0) || one - other);
  return chosen.slice(0, width);
}

/**
 * Fits on histories of title numbers (each title once a history). Weight of j from i: B = -P / diag(P), P the inverse of
 * Gram + ridge (equation 8). Throws RangeError beyond MAX_EASE_TITLES.
 */
export function fitEase(
  titleIds: readonly string[],
  histories: readonly { readonly rows: Int32Array; readonly weights: Float32Array }[],
  options: EaseOptions,
): TitleNeighbours {
  const count = titleIds.length;
  if (count > MAX_EASE_TITLES) throw new RangeError(`${count} titles are more than ${MAX_EASE_TITLES}`);
  assert(options.ridge > 0, 'ridge must be above 0');
  const gram = symmetricMatrix(count);
  for (const { rows, weights } of histories) addHistory(gram, rows, weights);
  for (let at = 0; at < count; at += 1) gram.add(at, at, options.ridge);
  gram.invert();

  const width = Math.min(options.width, Math.max(1, count - 1));
  const ids = new Int32Array(count * width).fill(-1);
  const weights = new Float32Array(count * width);
  const row = new Float64Array(count);
  const scratch: number[] = [];
  for (let from = 0; from < count; from += 1) {
    for (let to = 0; to < count; to += 1) row[to] = to === from ? 0 : -gram.at(from, to) / gram.at(to, to);
    strongest(row, width, scratch).forEach((to, place) => {
      ids[from * width + place] = to;
      weights[from * width + place] = row[to] ?? 0;
    });
  }
  return { titleIds, width, ids, weights };
}

/** Scores of all titles for a history of title numbers, oldest first: neighbours' weights, decayed with distance. */
export function scoreEase(neighbours: TitleNeighbours, history: ArrayLike<number>, historyDecay: number): Float32Array {
  const { titleIds, width, ids, weights } = neighbours;
  const scores = new Float32Array(titleIds.length);
  let worth = 1;
  for (let place = history.length - 1; place >= 0 && worth > 1e-4; place -= 1, worth *= historyDecay) {
    const start = (history[place] ?? 0) * width;
    for (let at = start; at < start + width; at += 1) {
      const to = ids[at] ?? -1;
      if (to >= 0) scores[to] = (scores[to] ?? 0) + worth * (weights[at] ?? 0);
    }
  }
  return scores;
}
