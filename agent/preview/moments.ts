// Which moments of a title may stand for it: cuts of 3 to 8 moments of 2 to 6 s each, one for each theme, made of whole
// segments that exist, so that a preview costs no new media byte. Pure.
import type { Title } from '../../encoder/contract.ts';
import {
  FEATURE_NAMES,
  type Features,
  featureDistance,
  featuresOf,
  meanFeatures,
  NO_FEATURES,
  shotFeatures,
} from './descriptor.ts';
import { NO_OVERRIDES, type Overrides, type Span } from './sidecar.ts';

/** The cuts that a title may have, in order; the first is the default. An operator's own cut, `editor`, goes before all. */
export const ARMS = ['opening', 'action', 'dialogue', 'scenery', 'quiet'] as const;

/** A run of whole segments: media time in seconds and its features, weighted by duration. */
export type Moment = { readonly startSeconds: number; readonly durationSeconds: number; readonly features: Features };

/** One cut: its moments in the order of the story, and their mean features. */
export type Cut = { readonly arm: string; readonly moments: readonly Moment[]; readonly features: Features };

/** A theme of somebody else's: its score of a moment by the ranks of its features among the title's own, each 0..1. */
export type Theme = { readonly id: string; readonly score: (rank: Features) => number };

/** What is known of a title beyond title.json. */
export type MomentHints = {
  readonly overrides?: Overrides | undefined;
  /** How this region watches a stretch: above 0 where it comes back, below where it leaves; -1..1. */
  readonly interest?: ((startSeconds: number, endSeconds: number) => number) | undefined;
  /** Themes behind our own, and what is added to the score of every theme but `opening`. */
  readonly themes?: readonly Theme[] | undefined;
  readonly scorers?: readonly Theme['score'][] | undefined;
};

/** A moment lasts this long in seconds. */
export const MOMENT_SECONDS = { shortest: 2, longest: 6 } as const;
/** So many moments make a cut, where a title has them. */
export const MOMENT_COUNT = { fewest: 3, most: 8 } as const;
/** No moment ends in this last share of a title, unless its operator allows it. */
export const SPOILER_RATIO = 0.15;
/** A cut is long enough at this length. */
const CUT_SECONDS = 18;
/** Moments nearer than this in every feature look the same. */
const SAME_FEATURES = 0.02;
/** More segments make no moment: a segment is never much shorter than half a second. */
const MOST_SEGMENTS = 16;
/** Mean luma below which a picture is black: fades and the blank before a title. */
const BLACK_LUMA = 0.04;
/** A cut that shares more of its moments than this with an earlier one would teach nothing: it is no arm. */
const MOST_SHARED_RATIO = 2 / 3;
/** Differences of a feature below one part of so many are none. */
const RANK_STEPS = 4096;
/** What makes a moment good whatever its theme, beside a theme's own ranks, which lie between -1 and 1.75. */
const WEIGHTS = { spatial: 0.1, saliency: 0.2, interest: 0.6 } as const;

/**
 * The cuts of a title: the operator's own first, if there is one, else `opening`, and always one; another arm is there
 * only if its moments differ. A title too short for three moments gives fewer; one whose segments are all longer than a
 * moment gives its first segment.
 */
export function chooseMoments(title: Title, hints: MomentHints = {}): readonly [Cut, ...Cut[]] {
  const features = shotFeatures(title);
  const overrides = hints.overrides ?? NO_OVERRIDES;
  const own = ownCut(title, features, overrides);
  if (own !== undefined && overrides.isOnly) return [own];
  const candidates = listCandidates(title, features, overrides);
  const rank = rankFeatures(candidates);
  const gapSeconds = Math.min(20, (title.durationSeconds * (1 - SPOILER_RATIO)) / (2 * MOMENT_COUNT.most));
  const pick = ({ id, score }: Theme) =>
    makeCut(id, pickDiverse(order(candidates, { score, rank, hints }), gapSeconds));
  const opening = makeCut('opening', pickDiverse(candidates, gapSeconds));
  const first = opening.moments.length > 0 ? opening : makeCut('opening', [firstSegment(title, features)]);
  const cuts: [Cut, ...Cut[]] = own === undefined ? [first] : [own, first];
  for (const theme of [...THEMES, ...(hints.themes ?? [])]) {
    const cut = pick(theme);
    if (cut.moments.length > 0 && cuts.every((other) => sharedRatio(cut, other) <= MOST_SHARED_RATIO)) cuts.push(cut);
  }
  return cuts;
}

const overlaps = (spans: readonly Span[], from: number, until: number): boolean =>
  spans.some(({ startSeconds, endSeconds }) => from < endSeconds - 1e-3 && until > startSeconds + 1e-3);
const isInside = (spans: readonly Span[], from: number, until: number): boolean =>
  spans.some(({ startSeconds, endSeconds }) => from >= startSeconds - 1e-3 && until <= endSeconds + 1e-3);

/** The operator's cut, on the segments whose middles lie in its spans; undefined without one. */
function ownCut(title: Title, features: readonly Features[], overrides: Overrides): Cut | undefined {
  const [grid] = title.renditions;
  if (grid === undefined || overrides.cut === undefined) return undefined;
  const moments = overrides.cut.flatMap(({ startSeconds, endSeconds }): Moment[] => {
    const run = grid.segments.filter(({ startTicks, ticks }) => {
      const middle = (startTicks + ticks / 2) / grid.timescale;
      return middle >= startSeconds && middle < endSeconds;
    });
    const [first] = run;
    const mean = meanFeatures(
      run.map(({ shot, ticks }) => ({ features: features[shot] ?? NO_FEATURES, weight: ticks })),
    );
    if (first === undefined || mean === undefined) return [];
    const durationSeconds = run.reduce((sum, { ticks }) => sum + ticks, 0) / grid.timescale;
    return [{ startSeconds: first.startTicks / grid.timescale, durationSeconds, features: mean }];
  });
  return moments.length === 0 ? undefined : makeCut('editor', moments);
}

/** At most one moment per first segment: the shortest run that is long enough, drawn out to the end of its shot. */
function listCandidates(title: Title, features: readonly Features[], overrides: Overrides): Moment[] {
  const [grid] = title.renditions;
  if (grid === undefined) return [];
  const endSeconds = title.durationSeconds * (1 - SPOILER_RATIO);
  const isShown = (from: number, until: number) =>
    (until <= endSeconds + 1e-9 || isInside(overrides.allow, from, until)) && !overlaps(overrides.exclude, from, until);
  const moments: Moment[] = [];
  for (const [first, start] of grid.segments.entries()) {
    const run: { features: Features; weight: number }[] = [];
    const startSeconds = start.startTicks / grid.timescale;
    let ticks = 0;
    let lastShot = start.shot;
    for (const segment of grid.segments.slice(first, first + MOST_SEGMENTS)) {
      const isLong = ticks >= MOMENT_SECONDS.shortest * grid.timescale;
      if (isLong && segment.shot !== lastShot) break;
      const grown = ticks + segment.ticks;
      const until = (start.startTicks + grown) / grid.timescale;
      if (grown > MOMENT_SECONDS.longest * grid.timescale || !isShown(startSeconds, until)) break;
      const seen = features[segment.shot];
      if (seen === undefined) break;
      run.push({ features: seen, weight: segment.ticks });
      ticks = grown;
      lastShot = segment.shot;
    }
    const mean = meanFeatures(run);
    if (mean === undefined || ticks < MOMENT_SECONDS.shortest * grid.timescale) continue;
    moments.push({ startSeconds, durationSeconds: ticks / grid.timescale, features: mean });
  }
  return moments;
}

function firstSegment(title: Title, features: readonly Features[]): Moment {
  const grid = title.renditions[0];
  const segment = grid?.segments[0];
  const seconds = segment === undefined || grid === undefined ? title.durationSeconds : segment.ticks / grid.timescale;
  return { startSeconds: 0, durationSeconds: seconds, features: features[0] ?? NO_FEATURES };
}

/** Rank of each moment among the title's own, 0..1, ties at their middle: what is calm in one title is wild in another. */
function rankFeatures(moments: readonly Moment[]): ReadonlyMap<Moment, Features> {
  // Typed arrays: a title of two hours has thousands of moments, and viewers may wait for them.
  const columns = FEATURE_NAMES.map((name) => ranksOf(Float64Array.from(moments, (moment) => moment.features[name])));
  return new Map(moments.map((moment, index) => [moment, featuresOf((at) => columns[at]?.[index] ?? 0)]));
}

/** Ranks by counting, since features lie between 0 and 1; those that share a step of RANK_STEPS tie. */
function ranksOf(values: Float64Array): Float64Array {
  const stepOf = (value: number) => Math.min(RANK_STEPS - 1, Math.max(0, Math.floor(value * RANK_STEPS)));
  const counts = new Uint32Array(RANK_STEPS);
  for (const value of values) {
    const step = stepOf(value);
    counts[step] = (counts[step] ?? 0) + 1;
  }
  const middles = new Float64Array(RANK_STEPS);
  let below = 0;
  for (const [step, count] of counts.entries()) {
    middles[step] = below + (count - 1) / 2;
    below += count;
  }
  const top = Math.max(1, values.length - 1);
  return values.map((value) => (middles[stepOf(value)] ?? 0) / top);
}

/** What each theme behind `opening` looks for, by ranks. */
const THEMES: readonly Theme[] = [
  { id: 'action', score: (rank) => rank.temporal + 0.25 * rank.motion + 0.25 * rank.loudness },
  { id: 'dialogue', score: (rank) => rank.dialogue + 0.25 * rank.loudness - 0.5 * rank.temporal },
  { id: 'scenery', score: (rank) => rank.spatial + 0.25 * rank.saturation - rank.temporal - 0.25 * rank.dialogue },
  { id: 'quiet', score: (rank) => -rank.temporal - rank.loudness },
];

type Order = {
  readonly score: Theme['score'];
  readonly rank: ReadonlyMap<Moment, Features>;
  readonly hints: MomentHints;
};

/** The best first; ties go to the earlier moment. */
function order(moments: readonly Moment[], { score, rank, hints }: Order): Moment[] {
  const scored = moments.flatMap((moment) => {
    const own = rank.get(moment);
    if (own === undefined) return [];
    const { startSeconds, durationSeconds } = moment;
    const interest = hints.interest?.(startSeconds, startSeconds + durationSeconds) ?? 0;
    const common = WEIGHTS.spatial * own.spatial + WEIGHTS.saliency * own.saliency + WEIGHTS.interest * interest;
    const added = (hints.scorers ?? []).reduce((sum, scorer) => sum + scorer(own), 0);
    return [{ moment, score: score(own) + common + added }];
  });
  const sorted = scored.sort((a, b) => b.score - a.score || a.moment.startSeconds - b.moment.startSeconds);
  return sorted.map(({ moment }) => moment);
}

/** Takes the best first, never two that overlap; look-alikes, neighbours and black only where three are not found else. */
function pickDiverse(ordered: readonly Moment[], gapSeconds: number): Moment[] {
  const picked: Moment[] = [];
  const isApart = (moment: Moment, gap: number) =>
    picked.every((other) => {
      const [early, late] = moment.startSeconds < other.startSeconds ? [moment, other] : [other, moment];
      return late.startSeconds - early.startSeconds - early.durationSeconds >= gap - 1e-9;
    });
  const looksNew = (moment: Moment) =>
    picked.every((other) => featureDistance(moment.features, other.features) > SAME_FEATURES);
  const isFull = () =>
    picked.length >= MOMENT_COUNT.most ||
    (picked.length >= MOMENT_COUNT.fewest && picked.reduce((sum, one) => sum + one.durationSeconds, 0) >= CUT_SECONDS);
  for (const moment of ordered) {
    if (isFull()) break;
    if (moment.features.luma >= BLACK_LUMA && isApart(moment, gapSeconds) && looksNew(moment)) picked.push(moment);
  }
  for (const gap of [gapSeconds, 0]) {
    for (const moment of ordered) {
      if (picked.length >= MOMENT_COUNT.fewest) break;
      if (isApart(moment, gap)) picked.push(moment);
    }
  }
  return picked.toSorted((a, b) => a.startSeconds - b.startSeconds);
}

function makeCut(arm: string, moments: readonly Moment[]): Cut {
  const features = meanFeatures(
    moments.map(({ features: own, durationSeconds }) => ({ features: own, weight: durationSeconds })),
  );
  return { arm, moments, features: features ?? NO_FEATURES };
}

function sharedRatio(cut: Cut, other: Cut): number {
  const starts = new Set(other.moments.map((moment) => moment.startSeconds));
  return cut.moments.filter((moment) => starts.has(moment.startSeconds)).length / Math.max(1, cut.moments.length);
}
