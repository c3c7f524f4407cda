// What the predictor derives once of a session for all its candidates: what was watched and how far, in which series and
// genres, the taste, and what usually follows. Serving and training both come through here.
import type { CatalogueIndex, PredictTitle } from './catalogue-index.ts';
import type { NearestIndex } from './nearest.ts';
import { placesOf, type TitleNeighbours } from './tables.ts';
import { type Evidence, evidenceOf, latestOf, type TasteSession, tasteOf } from './taste.ts';
import { type Transitions, turnedFrom } from './transitions.ts';

/** A title that a session has opened. A viewing of agent/telemetry/session.ts is one. */
export type WatchedTitle = {
  readonly titleId: string;
  /** Where the viewer is, or left. */
  readonly positionSeconds: number;
  /** Media seconds that were played; absent: as far as the position. */
  readonly watchedSeconds?: number | undefined;
  /** Counts where the catalogue says nothing. */
  readonly durationSeconds?: number | undefined;
  /** When it was last seen, milliseconds since the epoch. */
  readonly at: number;
  readonly isCompleted: boolean;
};

/** What the predictor reads of a viewer who consented; nobody else has a session. Lists are newest first. */
export type PredictSession = Omit<TasteSession, 'history'> & {
  /** Each title once. */
  readonly history: readonly WatchedTitle[];
  readonly hovered?: { readonly titleId: string } | undefined;
  /** Another title that the player says it asks for next. */
  readonly announced?: { readonly titleId: string } | undefined;
};

/** What is known besides the catalogue and live popularity; each part may be missing. */
export type Knowledge = {
  /** Nearest titles by embedding. */
  readonly nearest?: NearestIndex | undefined;
  /** Item-to-item weights (EASE, trained at night). */
  readonly neighbours?: TitleNeighbours | undefined;
  readonly transitions?: Transitions | undefined;
};

/** A watched title as candidates see it: how much of it, 0..1 (undefined: not known), and hours since. */
export type Watched = { readonly titleId: string; readonly ratio: number | undefined; readonly hoursAgo: number };

/** What was derived. Ratios count titles of the session. */
export type Profile = {
  readonly watched: readonly Watched[];
  readonly watchedById: ReadonlyMap<string, Watched>;
  /** What follows a title that was watched far enough, and which one that was. */
  readonly follows: ReadonlyMap<string, Watched>;
  readonly genreRatios: ReadonlyMap<string, number>;
  readonly seriesRatios: ReadonlyMap<string, number>;
  readonly evidence: readonly Evidence[];
  readonly taste: Float32Array | undefined;
  /** The embedding of the latest title that was not left at once. */
  readonly latest: Float32Array | undefined;
  /** 0..1, by title. */
  readonly similarity: ReadonlyMap<string, number>;
  /** 0..1, by title. */
  readonly transition: ReadonlyMap<string, number>;
};

/** A title is ended from this much of it on, 0..1. */
export const ENDED_RATIO = 0.95;
/** What follows is considered from this much of a title on. */
const FOLLOWS_RATIO = 0.5;
/** Of a session only its latest titles count. */
const MAX_WATCHED = 50;
/** What is similar follows from the latest of them: the 21st would count an eighth. */
const MAX_SIMILAR_FROM = 20;
/** With each newer title, an older one says a tenth less of what is similar (ML-100k, test/bench/predict.ts). */
const HISTORY_DECAY = 0.9;
const HOUR_MS = 3_600_000;

function watchedOf(session: PredictSession, index: CatalogueIndex, now: number): readonly Watched[] {
  return session.history.slice(0, MAX_WATCHED).map((viewing) => {
    const { titleId, positionSeconds, at, isCompleted } = viewing;
    const durationSeconds = index.titles.get(titleId)?.durationSeconds ?? viewing.durationSeconds ?? 0;
    const reached = durationSeconds > 0 ? Math.min(1, Math.max(0, positionSeconds / durationSeconds)) : undefined;
    const ratio = isCompleted ? Math.max(ENDED_RATIO, reached ?? 1) : reached;
    return { titleId, ratio, hoursAgo: Math.max(0, now - at) / HOUR_MS };
  });
}

function followsOf(watched: readonly Watched[], index: CatalogueIndex): ReadonlyMap<string, Watched> {
  const follows = new Map<string, Watched>();
  for (const entry of watched) {
    if (entry.ratio === undefined || entry.ratio < FOLLOWS_RATIO) continue;
    const next = index.nextOf(entry.titleId);
    if (next !== undefined && !follows.has(next)) follows.set(next, entry);
  }
  return follows;
}

/** Share of the watched titles under each word that a title has. */
function ratiosOf(
  watched: readonly Watched[],
  index: CatalogueIndex,
  wordsOf: (title: PredictTitle) => readonly string[],
): ReadonlyMap<string, number> {
  const ratios = new Map<string, number>();
  for (const { titleId } of watched) {
    const title = index.titles.get(titleId);
    for (const word of title === undefined ? [] : new Set(wordsOf(title))) {
      ratios.set(word, (ratios.get(word) ?? 0) + 1 / watched.length);
    }
  }
  return ratios;
}

/** Similarity of every neighbour of what was watched: the weights of EASE over a decayed history, within 0..1. */
function similarityOf(watched: readonly Watched[], neighbours: TitleNeighbours | undefined): Map<string, number> {
  const sums = new Map<string, number>();
  if (neighbours === undefined) return sums;
  const { titleIds, width, ids, weights } = neighbours;
  const places = placesOf(titleIds);
  for (const [step, { titleId }] of watched.slice(0, MAX_SIMILAR_FROM).entries()) {
    const place = places.get(titleId);
    if (place === undefined) continue;
    const worth = HISTORY_DECAY ** step;
    for (let at = place * width; at < (place + 1) * width; at += 1) {
      const other = titleIds[ids[at] ?? -1];
      if (other !== undefined) sums.set(other, (sums.get(other) ?? 0) + worth * (weights[at] ?? 0));
    }
  }
  for (const [titleId, sum] of sums) sums.set(titleId, Math.min(1, Math.max(0, sum)));
  return sums;
}

/** Nobody: what is derived without a session. */
const NOBODY: Profile = {
  watched: [],
  watchedById: new Map(),
  follows: new Map(),
  genreRatios: new Map(),
  seriesRatios: new Map(),
  evidence: [],
  taste: undefined,
  latest: undefined,
  similarity: new Map(),
  transition: new Map(),
};

/** Derives a profile; its work is bounded by what a session keeps, whatever the viewer did. */
export function profileOf(
  session: PredictSession | undefined,
  { index, knowledge, now }: { readonly index: CatalogueIndex; readonly knowledge: Knowledge; readonly now: number },
): Profile {
  if (session === undefined) return NOBODY;
  const watched = watchedOf(session, index, now);
  const evidence = evidenceOf(session, now);
  return {
    watched,
    watchedById: new Map(watched.map((entry) => [entry.titleId, entry])),
    follows: followsOf(watched, index),
    genreRatios: ratiosOf(watched, index, ({ genres = [] }) => genres),
    seriesRatios: ratiosOf(watched, index, ({ series }) => (series === undefined ? [] : [series])),
    evidence,
    taste: knowledge.nearest && tasteOf(evidence, knowledge.nearest.table),
    latest: knowledge.nearest && latestOf(evidence, knowledge.nearest.table),
    similarity: similarityOf(watched, knowledge.neighbours),
    transition: knowledge.transitions?.after(turnedFrom(session), now) ?? NOBODY.transition,
  };
}
