// What training leaves behind as plain typed arrays: title embeddings and item-to-item neighbours.

/** Neighbours of each title, strongest first. Row i is of titleIds[i]. */
export type TitleNeighbours = {
  readonly titleIds: readonly string[];
  readonly width: number;
  /** [titleIds.length, width]: places in titleIds; -1: none. */
  readonly ids: Int32Array;
  /** [titleIds.length, width]. */
  readonly weights: Float32Array;
};

/** A vector for each title; row i is of titleIds[i]. */
export type TitleEmbeddings = {
  readonly titleIds: readonly string[];
  readonly width: number;
  /** [titleIds.length, width]; each row of length 1, or all 0 where nothing is known of the title. */
  readonly values: Float32Array;
};

const placesByList = new WeakMap<readonly string[], ReadonlyMap<string, number>>();

/** Places of titles in a list; made once for each list, which is not changed afterwards. */
export function placesOf(titleIds: readonly string[]): ReadonlyMap<string, number> {
  const known = placesByList.get(titleIds);
  if (known !== undefined) return known;
  const made = new Map(titleIds.map((titleId, place) => [titleId, place]));
  placesByList.set(titleIds, made);
  return made;
}
