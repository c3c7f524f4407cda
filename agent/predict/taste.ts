// What a consenting viewer likes, as one vector: the embeddings of what was watched, skipped and hovered, each with its
// weight. Computed from the session when it is asked for, so it is never older than the last event, needs no store of
// its own, and is gone with the session.
import type { DwellBucket } from '../telemetry/event.ts';
import { toUnit } from './embed.ts';
import { placesOf, type TitleEmbeddings } from './tables.ts';

/** What of a viewing says something about taste. */
type TasteViewing = {
  readonly titleId: string;
  /** Media seconds that were played; absent: not known, and position stands for it. */
  readonly watchedSeconds?: number | undefined;
  readonly positionSeconds: number;
  readonly at: number;
};

/** What a taste is made of; newest first. Both lists are bounded where sessions are kept. */
export type TasteSession = {
  readonly history: readonly TasteViewing[];
  readonly current?: { readonly titleId: string } | undefined;
  readonly hovers?:
    | readonly { readonly titleId: string; readonly at: number; readonly dwellBucket?: DwellBucket }[]
    | undefined;
};

/** How much a title says of a taste: above 0 for it, below 0 against it; at most 1. */
export type Evidence = { readonly titleId: string; readonly weight: number };

/** Seconds watched that count half of a whole viewing; twenty minutes then count ten elevenths. */
const HALF_WEIGHT_SECONDS = 120;
/** A title left within this time, while another was turned to, was skipped. */
const SKIP_SECONDS = 60;
const SKIP_WEIGHT = -0.25;
/** A look is worth less than a minute of watching. */
const HOVER_WEIGHT: Readonly<Record<DwellBucket, number>> = { 'under-1': 0, '1-3': 0.05, '3-10': 0.12, 'over-10': 0.2 };
const HOVER_WEIGHT_UNKNOWN = 0.05;
/** From this weight on, a minute of watching, a title is what a viewer is in the mood for now. */
const LATEST_WEIGHT = 0.3;
/**
 * Worth of age, in two halves: this evening's mood, and what has lasted. With each newer title a title also loses a
 * tenth (the decay of history that won for linear models on ML-100k, test/bench/predict.ts).
 */
const MOOD_HALF_LIFE_MS = 3 * 3_600_000;
const LASTING_HALF_LIFE_MS = 7 * 86_400_000;
const PLACE_DECAY = 0.9;

/** Worth of something so long ago, 0..1. */
function worthOfAge(ageMs: number): number {
  const age = Math.max(0, ageMs);
  return 0.5 * 2 ** (-age / MOOD_HALF_LIFE_MS) + 0.5 * 2 ** (-age / LASTING_HALF_LIFE_MS);
}

/** What a session says of its viewer's taste, each title once; what says nothing is left out. */
export function evidenceOf(session: TasteSession, now: number): readonly Evidence[] {
  const weights = new Map<string, number>();
  for (const [place, { titleId, watchedSeconds, positionSeconds, at }] of session.history.entries()) {
    const watched = Math.max(0, watchedSeconds ?? positionSeconds);
    // Of what is newest or plays now nobody can say yet that it was left.
    const isSkipped = place > 0 && watched < SKIP_SECONDS && titleId !== session.current?.titleId;
    const weight = isSkipped ? SKIP_WEIGHT : watched / (watched + HALF_WEIGHT_SECONDS);
    weights.set(titleId, weight * worthOfAge(now - at) * PLACE_DECAY ** place);
  }
  for (const { titleId, at, dwellBucket } of session.hovers ?? []) {
    if (weights.has(titleId)) continue;
    const weight = dwellBucket === undefined ? HOVER_WEIGHT_UNKNOWN : HOVER_WEIGHT[dwellBucket];
    weights.set(titleId, weight * worthOfAge(now - at));
  }
  return [...weights].filter(([, weight]) => weight !== 0).map(([titleId, weight]) => ({ titleId, weight }));
}

/** The taste, [table.width], of length 1; undefined when nothing that is known says anything. */
export function tasteOf(evidence: readonly Evidence[], table: TitleEmbeddings): Float32Array | undefined {
  const { width, values } = table;
  const places = placesOf(table.titleIds);
  const taste = new Float32Array(width);
  for (const { titleId, weight } of evidence) {
    const place = places.get(titleId);
    if (place === undefined) continue;
    for (let at = 0; at < width; at += 1) taste[at] = (taste[at] ?? 0) + weight * (values[place * width + at] ?? 0);
  }
  if (taste.every((value) => value === 0)) return undefined;
  toUnit(taste, 0, width);
  return taste;
}

/** The embedding of the first title, newest first, that speaks for its kind; undefined when that has none. */
export function latestOf(evidence: readonly Evidence[], table: TitleEmbeddings): Float32Array | undefined {
  const latest = evidence.find(({ weight }) => weight >= LATEST_WEIGHT);
  const place = latest && placesOf(table.titleIds).get(latest.titleId);
  if (place === undefined) return undefined;
  const vector = table.values.subarray(place * table.width, (place + 1) * table.width);
  return vector.every((value) => value === 0) ? undefined : vector;
}
