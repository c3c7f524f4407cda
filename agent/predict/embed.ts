// A place for each title from what the catalogue says of it, so that a new title and a new node have one on day one.
import type { PredictTitle } from './catalogue-index.ts';
import type { TitleEmbeddings } from './tables.ts';

/** Numbers of a vector. Unrelated words then have a cosine of 0.18 in standard deviation (1 / sqrt(width)). */
const METADATA_WIDTH = 32;
/** Titles between two rests of embedMetadata(). */
const STEP_TITLES = 500;
/** How much each kind of word counts: a series is more alike than a genre, and cast and crew say least. */
const WORD_WEIGHT = { series: 1, genre: 1, people: 0.35, kind: 0.3 } as const;
/** People beyond these say little. */
const MAX_PEOPLE = 8;

/** FNV-1a over UTF-16 units, 32 bits (Fowler, Noll, Vo; draft-eastlake-fnv). */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

/** Adds a word's own vector of signs: a projection by hashing (Weinberger et al. 2009, section 2). */
function addWord(values: Float32Array, start: number, word: string, weight: number): void {
  let bits = hashOf(word);
  for (let at = 0; at < METADATA_WIDTH; at += 1) {
    // xorshift32 (Marsaglia 2003), so that words of one prefix share nothing.
    bits ^= bits << 13;
    bits ^= bits >>> 17;
    bits ^= bits << 5;
    values[start + at] = (values[start + at] ?? 0) + ((bits & 0x10000) === 0 ? weight : -weight);
  }
}

/** Scales a row to length 1; one of nothing stays 0. */
export function toUnit(values: Float32Array, start: number, width: number): void {
  let squares = 0;
  for (let at = start; at < start + width; at += 1) squares += (values[at] ?? 0) ** 2;
  if (squares <= 0) return;
  const scale = 1 / Math.sqrt(squares);
  for (let at = start; at < start + width; at += 1) values[at] = (values[at] ?? 0) * scale;
}

function addTitle(values: Float32Array, start: number, title: PredictTitle): void {
  const { series, genres = [], people = [] } = title;
  if (series !== undefined) addWord(values, start, `series ${series}`, WORD_WEIGHT.series);
  for (const genre of genres) addWord(values, start, `genre ${genre.toLowerCase()}`, WORD_WEIGHT.genre);
  for (const person of people.slice(0, MAX_PEOPLE)) addWord(values, start, `person ${person}`, WORD_WEIGHT.people);
  const isKnown = series !== undefined || genres.length > 0 || people.length > 0;
  if (isKnown) addWord(values, start, series === undefined ? 'kind film' : 'kind episode', WORD_WEIGHT.kind);
  toUnit(values, start, METADATA_WIDTH);
}

/** Embeddings from metadata, in rests of STEP_TITLES, so that a large catalogue does not hold up its thread. */
export function* embedMetadata(titles: Iterable<PredictTitle>): Generator<void, TitleEmbeddings, void> {
  const list = [...titles];
  const values = new Float32Array(list.length * METADATA_WIDTH);
  for (const [row, title] of list.entries()) {
    addTitle(values, row * METADATA_WIDTH, title);
    if (row % STEP_TITLES === STEP_TITLES - 1) yield;
  }
  return { titleIds: list.map(({ id }) => id), width: METADATA_WIDTH, values };
}
