// What was watched, made ready for training: in order, bounded, numbered; and cut in two by time for an honest figure.

/** A title opened by a viewer. */
export type Interaction = {
  /** Any name that is the same for the events of one viewer. */
  readonly viewer: string;
  readonly titleId: string;
  /** Milliseconds since the epoch; events of one time count in the order in which they are given. */
  readonly at: number;
  /** How much of a view it was, above 0 to 1. */
  readonly weight: number;
};

/** Bounds of a training run: newest interactions, most watched titles, newest interactions of one viewer. */
export const LIMITS = { interactions: 1_000_000, titles: 20_000, perViewer: 2_000 } as const;

/** An interaction with the title's row, from 0. */
export type NumberedInteraction = {
  readonly viewer: string;
  readonly row: number;
  readonly at: number;
  readonly weight: number;
};

/** Interactions in order of time, titles most watched first. */
export type TrainingData = { readonly titleIds: readonly string[]; readonly events: readonly NumberedInteraction[] };

/** One viewer's titles in order of time: rows and weights, side by side. */
export type ViewerHistory = { readonly rows: number[]; readonly weights: number[] };

const compare = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);

/** Drops what is unsound (no finite time, no weight), bounds the rest and numbers its titles. */
export function prepareInteractions(interactions: readonly Interaction[]): TrainingData {
  // Stable: events of one time stay as they were given. An order by title would teach the model that order.
  const sorted = interactions
    .filter(({ at, weight }) => Number.isFinite(at) && weight > 0)
    .sort((one, other) => one.at - other.at)
    .reverse();
  const counts = new Map<string, number>();
  const kept: Interaction[] = [];
  for (const event of sorted) {
    const count = (counts.get(event.viewer) ?? 0) + 1;
    counts.set(event.viewer, count);
    if (count <= LIMITS.perViewer) kept.push(event);
    if (kept.length >= LIMITS.interactions) break;
  }
  const views = new Map<string, number>();
  for (const { titleId } of kept) views.set(titleId, (views.get(titleId) ?? 0) + 1);
  const titleIds = [...views]
    .sort(([one, few], [other, many]) => many - few || compare(one, other))
    .slice(0, LIMITS.titles)
    .map(([titleId]) => titleId);
  const rowOf = new Map(titleIds.map((titleId, row) => [titleId, row]));
  const events = kept.reverse().flatMap(({ viewer, titleId, at, weight }) => {
    const row = rowOf.get(titleId);
    return row === undefined ? [] : [{ viewer, row, at, weight: Math.min(1, weight) }];
  });
  return { titleIds, events };
}

/** Histories by viewer, in order of first sight. A title opened again at once counts once, with the larger weight. */
export function historiesOf(events: readonly NumberedInteraction[]): Map<string, ViewerHistory> {
  const histories = new Map<string, ViewerHistory>();
  for (const event of events) addToHistory(histories, event);
  return histories;
}

/** Adds one interaction to its viewer's history. */
export function addToHistory(histories: Map<string, ViewerHistory>, event: NumberedInteraction): void {
  const { viewer, row, weight } = event;
  const history = histories.get(viewer) ?? { rows: [], weights: [] };
  histories.set(viewer, history);
  const last = history.rows.length - 1;
  if (history.rows[last] === row) history.weights[last] = Math.max(history.weights[last] ?? 0, weight);
  else {
    history.rows.push(row);
    history.weights.push(weight);
  }
}

/** A history with each title once, at its latest place: what EASE is fitted on. */
export function eachOnce({ rows, weights }: ViewerHistory): {
  readonly rows: Int32Array;
  readonly weights: Float32Array;
} {
  const latest = new Map<number, number>();
  rows.forEach((row, place) => {
    latest.delete(row);
    latest.set(row, weights[place] ?? 0);
  });
  return { rows: Int32Array.from(latest.keys()), weights: Float32Array.from(latest.values()) };
}
