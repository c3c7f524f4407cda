// How varied rankings are: a model that shows everybody the same few titles may hit well and still starve the catalogue.
import type { TitleEmbeddings } from './tables.ts';

/** Variety of many rankings' first places. */
export type Diversity = {
  /** Share of the catalogue that is in at least one ranking, 0..1. */
  readonly reachRatio: number;
  /** Mean over rankings of the mean of 1 - cosine between two of its titles, 0..2 (Ziegler et al., WWW 2005, section 3). */
  readonly intraListDistance: number;
};

/** Rows of the best `limit` scores that are not `seen`, best first; of equal ones the earlier first. */
export function firstRows(scores: ArrayLike<number>, limit: number, seen: ReadonlySet<number> = new Set()): number[] {
  const best: number[] = [];
  for (let row = 0; row < scores.length; row += 1) {
    const score = scores[row] ?? 0;
    if (seen.has(row) || (best.length === limit && score <= (scores[best[limit - 1] ?? 0] ?? 0))) continue;
    let place = best.length;
    while (place > 0 && (scores[best[place - 1] ?? 0] ?? 0) < score) place -= 1;
    best.splice(place, 0, row);
    if (best.length > limit) best.pop();
  }
  return best;
}

/** Gathers rankings one by one; each is a list of rows of `embeddings`. */
export type DiversityMeter = { readonly add: (rows: readonly number[]) => void; readonly result: () => Diversity };

/** Starts to measure over a catalogue of `catalogueSize` titles. */
export function measureDiversity(embeddings: TitleEmbeddings, catalogueSize: number): DiversityMeter {
  const { width, values } = embeddings;
  const reached = new Set<number>();
  let distances = 0;
  let rankings = 0;
  const cosine = (one: number, other: number): number => {
    let sum = 0;
    for (let at = 0; at < width; at += 1) sum += (values[one * width + at] ?? 0) * (values[other * width + at] ?? 0);
    return sum;
  };
  return {
    add: (rows) => {
      for (const row of rows) reached.add(row);
      if (rows.length < 2) return;
      let sum = 0;
      rows.forEach((one, at) => {
        for (const other of rows.slice(at + 1)) sum += 1 - cosine(one, other);
      });
      distances += (2 * sum) / (rows.length * (rows.length - 1));
      rankings += 1;
    },
    result: () => ({
      reachRatio: reached.size / Math.max(1, catalogueSize),
      intraListDistance: distances / Math.max(1, rankings),
    }),
  };
}
