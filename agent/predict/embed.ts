// Places for titles by what the catalogue says of them, so that a title that nobody has watched yet, or a node without
// history, has neighbours on the first day.
import { createHash } from 'node:crypto';
import type { PredictTitle } from './catalogue-index.ts';
import { symmetricMatrix } from './invert.ts';
import type { TitleEmbeddings } from './tables.ts';

/** Size of a place made of metadata alone. */
export const METADATA_WIDTH = 32;

/** How much each kind of fact counts: the same series most, then a genre, then form and age. */
const WORTH = { series: 1.5, genre: 1, kind: 0.5, year: 0.4, length: 0.3 } as const;

const YEAR_MS = 365.25 * 86_400_000;

/** Facts of a title as words with their worth. */
function factsOf(title: PredictTitle): readonly (readonly [string, number])[] {
  const { series, genres = [], episode, releaseAt, durationSeconds } = title;
  const facts: [string, number][] = genres.map((genre) => [`genre ${genre.toLowerCase()}`, WORTH.genre]);
  if (series !== undefined) facts.push([`series ${series}`, WORTH.series]);
  if (series !== undefined || episode !== undefined) facts.push(['kind episode', WORTH.kind]);
  else if (durationSeconds !== undefined) facts.push(['kind single', WORTH.kind]);
  if (releaseAt !== undefined && Number.isFinite(releaseAt)) {
    facts.push([`year ${Math.floor(releaseAt / YEAR_MS / 3)}`, WORTH.year]);
  }
  if (durationSeconds !== undefined && durationSeconds > 0) {
    facts.push([`length ${Math.round(Math.log2(durationSeconds / 60))}`, WORTH.length]);
  }
  return facts;
}

/** Direction of a word: signs from its SHA-256 (random projection, Achlioptas, JCSS 2003, theorem 1.1). */
function direction(word: string, known: Map<string, Int8Array>): Int8Array {
  const found = known.get(word);
  if (found !== undefined) return found;
  const hash = createHash('sha256').update(word).digest();
  const signs = Int8Array.from({ length: METADATA_WIDTH }, (_, at) => ((hash[at >> 3] ?? 0) >> (at & 7)) & 1 ? 1 : -1);
  known.set(word, signs);
  return signs;
}

/** Makes each row of `values` [rows, width] as long as 1; rows of zeros stay. */
function toUnitRows(values: Float32Array, width: number): void {
  for (let start = 0; start < values.length; start += width) {
    const row = values.subarray(start, start + width);
    const length = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
    if (length > 0) for (let at = 0; at < width; at += 1) row[at] = (row[at] ?? 0) / length;
  }
}

/** Places from genres, series, form, release and length; titles of which nothing is known get zeros. */
export function metadataEmbeddings(titles: Iterable<PredictTitle>): TitleEmbeddings {
  const list = [...titles];
  const known = new Map<string, Int8Array>();
  const values = new Float32Array(list.length * METADATA_WIDTH);
  list.forEach((title, index) => {
    for (const [word, worth] of factsOf(title)) {
      const signs = direction(word, known);
      for (let at = 0; at < METADATA_WIDTH; at += 1) {
        const place = index * METADATA_WIDTH + at;
        values[place] = (values[place] ?? 0) + worth * (signs[at] ?? 0);
      }
    }
  });
  toUnitRows(values, METADATA_WIDTH);
  return { titleIds: list.map(({ id }) => id), width: METADATA_WIDTH, values };
}

/** Added to the diagonal when learned places are foretold from metadata, in units of one title. */
const RIDGE = 1;

/**
 * Learned places for all titles of a catalogue: those that were trained keep theirs, others get what a ridge regression
 * foretells from their metadata (as DropoutNet and its kin map content to taste space; here in closed form).
 */
export function extendEmbeddings(learned: TitleEmbeddings, titles: Iterable<PredictTitle>): TitleEmbeddings {
  const list = [...titles];
  const metadata = metadataEmbeddings(list);
  const rowOf = new Map(learned.titleIds.map((id, row) => [id, row]));
  const map = ridgeMap(metadata, learned, rowOf);
  const added = list.flatMap(({ id }, row) => (rowOf.has(id) ? [] : [{ id, row }]));
  const { width } = learned;
  const values = new Float32Array((learned.titleIds.length + added.length) * width);
  values.set(learned.values);
  added.forEach(({ row }, place) => {
    const start = (learned.titleIds.length + place) * width;
    for (let from = 0; from < METADATA_WIDTH; from += 1) {
      const value = metadata.values[row * METADATA_WIDTH + from] ?? 0;
      for (let to = 0; to < width; to += 1) {
        values[start + to] = (values[start + to] ?? 0) + value * (map[from * width + to] ?? 0);
      }
    }
  });
  toUnitRows(values, width);
  return { titleIds: [...learned.titleIds, ...added.map(({ id }) => id)], width, values };
}

/** (XT X + ridge)^-1 XT Y, [METADATA_WIDTH, width], over titles that have both places. */
function ridgeMap(metadata: TitleEmbeddings, learned: TitleEmbeddings, rowOf: ReadonlyMap<string, number>): Float64Array {
  const { width } = learned;
  const gram = symmetricMatrix(METADATA_WIDTH);
  const mixed = new Float64Array(METADATA_WIDTH * width);
  metadata.titleIds.forEach((id, from) => {
    const to = rowOf.get(id);
    if (to === undefined) return;
    const x = metadata.values.subarray(from * METADATA_WIDTH, (from + 1) * METADATA_WIDTH);
    x.forEach((value, row) => {
      for (let column = 0; column <= row; column += 1) gram.add(row, column, value * (x[column] ?? 0));
      for (let at = 0; at < width; at += 1) {
        mixed[row * width + at] = (mixed[row * width + at] ?? 0) + value * (learned.values[to * width + at] ?? 0);
      }
    });
  });
  for (let at = 0; at < METADATA_WIDTH; at += 1) gram.add(at, at, RIDGE);
  gram.invert();
  return Float64Array.from({ length: METADATA_WIDTH * width }, (_, place) => {
    const row = Math.floor(place / width);
    let sum = 0;
    for (let at = 0; at < METADATA_WIDTH; at += 1) sum += gram.at(row, at) * (mixed[at * width + (place % width)] ?? 0);
    return sum;
  });
}
