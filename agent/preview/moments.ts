// Which moments of a title may stand for it: cuts of 3 to 8 moments of 2 to 6 s each, made of whole segments that
// exist, so that a preview costs no new media byte. Pure.
import type { Title, TitleShot } from '../../encoder/contract.ts';

/** The cuts a preview may take, in order; the first is the default. */
export const ARMS = ['opening', 'action', 'scenery', 'quiet'] as const;
export type Arm = (typeof ARMS)[number];

/** What a shot looks and sounds like, each 0..1. */
export type Features = Pick<TitleShot['features'], 'spatial' | 'temporal' | 'luma' | 'saturation' | 'loudness'>;

/** A run of whole segments: media time in seconds and its features, weighted by duration. */
export type Moment = { readonly startSeconds: number; readonly durationSeconds: number; readonly features: Features };

/** One cut: its moments in the order of the story, and their mean features. */
export type Cut = { readonly arm: Arm; readonly moments: readonly Moment[]; readonly features: Features };

/** A moment lasts this long in seconds. */
export const MOMENT_SECONDS = { shortest: 2, longest: 6 } as const;
/** So many moments make a cut, where a title has them. */
export const MOMENT_COUNT = { fewest: 3, most: 8 } as const;
/** No moment ends in this last share of a title. */
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
const FEATURE_NAMES = ['spatial', 'temporal', 'luma', 'saturation', 'loudness'] as const;

/**
 * The cuts of a title, `opening` first and always there; another arm is there only if its moments differ. A title too
 * short for three moments gives fewer; one whose segments are all longer than a moment gives its first segment.
 */
export function chooseMoments(title: Title): readonly [Cut, ...Cut[]] {
  const candidates = listCandidates(title);
  const rank = rankFeatures(candidates);
  const gapSeconds = Math.min(20, (title.durationSeconds * (1 - SPOILER_RATIO)) / (2 * MOMENT_COUNT.most));
  const pick = (arm: Arm) => makeCut(arm, pickDiverse(order(candidates, arm, rank), gapSeconds));
  const opening = pick('opening');
  const cuts: [Cut, ...Cut[]] = [opening.moments.length > 0 ? opening : makeCut('opening', [firstSegment(title)])];
  for (const arm of ARMS.slice(1)) {
    const cut = pick(arm);
    if (cut.moments.length > 0 && cuts.every((other) => sharedRatio(cut, other) <= MOST_SHARED_RATIO)) cuts.push(cut);
  }
  return cuts;
}

/** Mean of features weighted by `weight`; undefined without any weight. */
export function meanFeatures(
  items: readonly { readonly features: Features; readonly weight: number }[],
): Features | undefined {
  const sum = { spatial: 0, temporal: 0, luma: 0, saturation: 0, loudness: 0 };
  let weight = 0;
  for (const item of items) {
    weight += item.weight;
    for (const name of FEATURE_NAMES) sum[name] += item.features[name] * item.weight;
  }
  if (!(weight > 0)) return undefined;
  for (const name of FEATURE_NAMES) sum[name] = Math.min(1, sum[name] / weight);
  return sum;
}

/** Largest difference of two pictures in any one feature, 0..1. */
export function featureDistance(a: Features, b: Features): number {
  let most = 0;
  for (const name of FEATURE_NAMES) most = Math.max(most, Math.abs(a[name] - b[name]));
  return most;
}

/** At most one moment per first segment: the shortest run that is long enough, drawn out to the end of its shot. */
function listCandidates(title: Title): Moment[] {
  const [grid] = title.renditions;
  if (grid === undefined) return [];
  const endTicks = title.durationSeconds * (1 - SPOILER_RATIO) * grid.timescale;
  const moments: Moment[] = [];
  for (const [first, start] of grid.segments.entries()) {
    const run: { features: Features; weight: number }[] = [];
    let ticks = 0;
    let lastShot = start.shot;
    for (const segment of grid.segments.slice(first, first + MOST_SEGMENTS)) {
      const isLong = ticks >= MOMENT_SECONDS.shortest * grid.timescale;
      if (isLong && segment.shot !== lastShot) break;
      const grown = ticks + segment.ticks;
      if (grown > MOMENT_SECONDS.longest * grid.timescale || start.startTicks + grown > endTicks) break;
      const shot = title.shots[segment.shot];
      if (shot === undefined) break;
      run.push({ features: shot.features, weight: segment.ticks });
      ticks = grown;
      lastShot = segment.shot;
    }
    const features = meanFeatures(run);
    if (features === undefined || ticks < MOMENT_SECONDS.shortest * grid.timescale) continue;
    moments.push({
      startSeconds: start.startTicks / grid.timescale,
      durationSeconds: ticks / grid.timescale,
      features,
    });
  }
  return moments;
}

function firstSegment(title: Title): Moment {
  const grid = title.renditions[0];
  const segment = grid?.segments[0];
  const features = title.shots[0]?.features ?? { spatial: 0, temporal: 0, luma: 0, saturation: 0, loudness: 0 };
  const seconds = segment === undefined || grid === undefined ? title.durationSeconds : segment.ticks / grid.timescale;
  return { startSeconds: 0, durationSeconds: seconds, features };
}

/** Rank of each moment among the title's own, 0..1, ties at their middle: what is calm in one title is wild in another. */
function rankFeatures(moments: readonly Moment[]): ReadonlyMap<Moment, Features> {
  const ranks = new Map<Moment, Record<keyof Features, number>>(
    moments.map((moment) => [moment, { spatial: 0, temporal: 0, luma: 0, saturation: 0, loudness: 0 }]),
  );
  for (const name of FEATURE_NAMES) {
    const sorted = Float64Array.from(moments, (moment) => moment.features[name]).sort();
    const middles = new Map<number, number>();
    for (let first = 0, end = 0; first < sorted.length; first = end) {
      const value = sorted[first] ?? 0;
      end = first + 1;
      while (sorted[end] === value) end += 1;
      middles.set(value, (first + end - 1) / 2 / Math.max(1, sorted.length - 1));
    }
    for (const [moment, rank] of ranks) rank[name] = middles.get(moment.features[name]) ?? 0;
  }
  return ranks;
}

/** What each arm looks for, by ranks; ties go to the earlier moment. */
const SCORES: Record<Arm, (rank: Features) => number> = {
  opening: () => 0,
  action: (rank) => rank.temporal + 0.25 * rank.loudness,
  scenery: (rank) => rank.spatial + 0.25 * rank.saturation - rank.temporal,
  quiet: (rank) => -rank.temporal - rank.loudness,
};

function order(moments: readonly Moment[], arm: Arm, ranks: ReadonlyMap<Moment, Features>): Moment[] {
  const scored = moments.flatMap((moment) => {
    const rank = ranks.get(moment);
    return rank === undefined ? [] : [{ moment, score: SCORES[arm](rank) }];
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

function makeCut(arm: Arm, moments: readonly Moment[]): Cut {
  const features = meanFeatures(
    moments.map(({ features, durationSeconds }) => ({ features, weight: durationSeconds })),
  );
  return { arm, moments, features: features ?? { spatial: 0, temporal: 0, luma: 0, saturation: 0, loudness: 0 } };
}

function sharedRatio(cut: Cut, other: Cut): number {
  const starts = new Set(other.moments.map((moment) => moment.startSeconds));
  return cut.moments.filter((moment) => starts.has(moment.startSeconds)).length / Math.max(1, cut.moments.length);
}
