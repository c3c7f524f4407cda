// Where viewers of a title land when they jump: behind its intro, at its best scenes. Counters of titles, nobody in them.
// Pure.
import { remember } from '../remember.ts';

const MAX_TITLES = 2_000;
const MAX_PLACES = 128;
/** Jumps that end within this of each other are to one place. */
const GRAIN_SECONDS = 4;
/** A place is believed in proportion to the jumps of its title over these. */
const SHRINK_JUMPS = 8;

type Title = { jumps: number; readonly places: Map<number, number> };

/** A place that viewers jump to and its share of all jumps of the title, 0..1. */
export type Landing = { readonly seconds: number; readonly share: number };

/** Counts jumps by title. Bounded: the title that was jumped in least recently is forgotten first. */
export class Landings {
  readonly #titles = new Map<string, Title>();

  /** Somebody jumped to a position. */
  note(titleId: string, seconds: number): void {
    const title: Title = this.#titles.get(titleId) ?? { jumps: 0, places: new Map() };
    const place = Math.floor(seconds / GRAIN_SECONDS);
    title.jumps += 1;
    title.places.set(place, (title.places.get(place) ?? 0) + 1);
    if (title.places.size > MAX_PLACES) this.#prune(title);
    remember(this.#titles, titleId, title, MAX_TITLES);
  }

  /** The likeliest places ahead of a position, at most `limit`, the likeliest first. */
  ahead(titleId: string, fromSeconds: number, limit: number): readonly Landing[] {
    const title = this.#titles.get(titleId);
    if (title === undefined) return [];
    return [...title.places]
      .filter(([place, jumps]) => jumps > 1 && place * GRAIN_SECONDS > fromSeconds)
      .map(([place, jumps]) => ({ seconds: place * GRAIN_SECONDS, share: jumps / (title.jumps + SHRINK_JUMPS) }))
      .sort((one, other) => other.share - one.share)
      .slice(0, limit);
  }

  /** Halves everything, and drops what is rare then. */
  #prune(title: Title): void {
    for (const [place, jumps] of title.places) {
      if (jumps < 2) title.places.delete(place);
      else title.places.set(place, jumps / 2);
    }
    title.jumps = [...title.places.values()].reduce((sum, jumps) => sum + jumps, 0);
  }
}
