// The first order of titles on a node that has counted nothing yet: what regions like it watch, from a file that the
// operator gives. It fades as live popularity does, and counts little beside the first evening's views.
import { readFile, stat } from 'node:fs/promises';
import type { Log } from '../cache/cache.ts';
import { foretellCold } from './predict/lists.ts';
import type { Popularity } from './predict/popularity.ts';

/** A region of the file: how much it is like this one, 0..1, its latest list and the one before, best first. */
type SimilarRegion = {
  readonly similarity: number;
  readonly latest: readonly string[];
  readonly before: readonly string[];
};

/** What the list of a hundred titles counts for, together: so many views. */
const VIEWS = 50;
const TITLES = 100;
/** The file is small; a larger one is a mistake. */
const MAX_BYTES = 4 * 1024 * 1024;

const isList = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((titleId) => typeof titleId === 'string');

/** Reads `[{similarity, latest, before?}, ...]`; throws TypeError on anything else. */
function regionsOf(text: string): readonly SimilarRegion[] {
  const read: unknown = JSON.parse(text);
  if (!Array.isArray(read)) throw new TypeError('expected a list of regions');
  return read.map((region: Partial<SimilarRegion> | null, at) => {
    const { similarity, latest, before = [] } = region ?? {};
    if (typeof similarity !== 'number' || !(similarity >= 0 && similarity <= 1) || !isList(latest) || !isList(before)) {
      throw new TypeError(`region ${at} has no similarity from 0 to 1, or no list of titles`);
    }
    return { similarity, latest, before };
  });
}

/**
 * Counts the foretold list of similar regions as views of now, if `region` has none of its own. Never rejects: a file
 * that cannot be read is logged, and the node begins without an order.
 */
export async function startFromSimilar(
  popularity: Popularity,
  options: { readonly file: string; readonly region: string; readonly now: number; readonly log: Log },
): Promise<void> {
  const { file, region, now, log } = options;
  if (popularity.expectedViews(region, 1, now) > 0) return;
  try {
    if ((await stat(file)).size > MAX_BYTES) throw new RangeError(`larger than ${MAX_BYTES} bytes`);
    const regions = regionsOf(await readFile(file, 'utf8'));
    const lists = regions.map(({ similarity, latest, before }) => ({ similarity, lists: { latest, before } }));
    const titles = foretellCold(lists, TITLES);
    // Shares of places fall as Zipf's law has them.
    const whole = titles.reduce((sum, _, place) => sum + 1 / (place + 1), 0);
    titles.forEach((titleId, place) => {
      let left = VIEWS / (place + 1) / whole;
      // A view weighs at most 1.
      for (; left > 0; left -= 1) popularity.add({ titleId, region, at: now, weight: Math.min(1, left) }, now);
    });
    log('info', 'popularity.from-similar', { regions: regions.length, titles: titles.length });
  } catch (error) {
    log('warn', 'popularity.similar-unreadable', { file, message: String(error) });
  }
}
