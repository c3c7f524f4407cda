// The catalogue as the predictor needs it: titles by id, which episode follows which, and what is new.
import { LAUNCH_WINDOW_MS } from './launch.ts';

/** What is known of a title. Only the id must be. */
export type PredictTitle = {
  readonly id: string;
  readonly durationSeconds?: number | undefined;
  readonly series?: string | undefined;
  readonly season?: number | undefined;
  readonly episode?: number | undefined;
  readonly nextId?: string | undefined;
  /** Milliseconds since the epoch. */
  readonly releaseAt?: number | undefined;
  readonly genres?: readonly string[] | undefined;
  /** Cast and crew. */
  readonly people?: readonly string[] | undefined;
};

/** A catalogue made ready for look-ups. */
export type CatalogueIndex = {
  readonly titles: ReadonlyMap<string, PredictTitle>;
  /** The title that follows, if the catalogue says so: by nextId, else by series, season and episode. */
  readonly nextOf: (titleId: string) => string | undefined;
  /** Titles released within LAUNCH_WINDOW_MS before a time, in order of their release. */
  readonly launchesAt: (now: number) => readonly PredictTitle[];
};

const place = (title: PredictTitle): number => (title.season ?? 0) * 1e6 + (title.episode ?? 0);

/** Where the titles that were released after a time begin, in a list in order of release. */
function firstAfter(released: readonly PredictTitle[], time: number): number {
  let [low, high] = [0, released.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((released[middle]?.releaseAt ?? 0) <= time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Indexes a catalogue; of two lines with one id the later counts. */
export function indexCatalogue(titles: Iterable<PredictTitle>): CatalogueIndex {
  const byId = new Map<string, PredictTitle>();
  for (const title of titles) byId.set(title.id, title);
  const series = new Map<string, PredictTitle[]>();
  for (const title of byId.values()) {
    if (title.series === undefined || title.episode === undefined) continue;
    const members = series.get(title.series);
    if (members === undefined) series.set(title.series, [title]);
    else members.push(title);
  }
  const next = new Map<string, string>();
  for (const members of series.values()) {
    members.sort((one, other) => place(one) - place(other));
    members.forEach((title, index) => {
      const following = members[index + 1];
      if (following !== undefined) next.set(title.id, following.id);
    });
  }
  const released = [...byId.values()]
    .filter(({ releaseAt }) => releaseAt !== undefined)
    .sort((one, other) => (one.releaseAt ?? 0) - (other.releaseAt ?? 0));
  return {
    titles: byId,
    launchesAt: (now) => released.slice(firstAfter(released, now - LAUNCH_WINDOW_MS), firstAfter(released, now)),
    nextOf: (titleId) => {
      const named = byId.get(titleId)?.nextId;
      return named !== undefined && named !== titleId && byId.has(named) ? named : next.get(titleId);
    },
  };
}
