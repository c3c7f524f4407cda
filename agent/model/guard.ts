// Judges what a model answered before anybody believes it.

/** What is wrong with an output. */
export const FAULTS = ['wrong-shape', 'not-finite', 'constant'] as const;
/** One of FAULTS. */
export type Fault = (typeof FAULTS)[number];

/** Below this many different rows equal scores may be chance. */
const MINIMUM_DISTINCT_ROWS = 4;

function distinctRows(features: Float32Array, rows: number, enough: number): number {
  const width = features.length / rows;
  const seen = new Set<string>();
  for (let row = 0; row < rows && seen.size < enough; row += 1) {
    seen.add(features.subarray(row * width, (row + 1) * width).join());
  }
  return seen.size;
}

/**
 * The fault of scores for `features` [rows, width]: not one finite score a row, or the same score for at least four
 * rows that differ. `dims` is the output's shape. Undefined: nothing is wrong.
 */
export function faultOf(
  output: { readonly scores: Float32Array; readonly dims: readonly number[] },
  features: Float32Array,
  rows: number,
): Fault | undefined {
  const { scores, dims } = output;
  if (dims.length !== 1 || dims[0] !== rows || scores.length !== rows) return 'wrong-shape';
  if (!scores.every(Number.isFinite)) return 'not-finite';
  if (rows < MINIMUM_DISTINCT_ROWS || !scores.every((score) => score === scores[0])) return undefined;
  return distinctRows(features, rows, MINIMUM_DISTINCT_ROWS) < MINIMUM_DISTINCT_ROWS ? undefined : 'constant';
}
