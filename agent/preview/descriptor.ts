// What shots, cuts and tastes are described by, so that they can be compared: ten numbers from title.json, no picture
// decoded again and no face looked for. A taste is the mean of what was watched, in the same space. Pure.
import type { Title } from '../../encoder/contract.ts';

/**
 * The numbers, each 0..1. From the encoder's own pass: spatial detail (sharpness), temporal change, mean luma, saturation,
 * loudness, motion of edges, share of dark pixels. From the title around a shot: dialogue (text spoken a second),
 * saliency (how far it stands out from its neighbours), cutting (how short it is).
 */
export const FEATURE_NAMES = [
  'spatial',
  'temporal',
  'luma',
  'saturation',
  'loudness',
  'motion',
  'darkness',
  'dialogue',
  'saliency',
  'cutting',
] as const;

/** One value of each. */
export type Features = Readonly<Record<(typeof FEATURE_NAMES)[number], number>>;

/** Nothing of anything. */
export const NO_FEATURES: Features = {
  ...{ spatial: 0, temporal: 0, luma: 0, saturation: 0, loudness: 0, motion: 0, darkness: 0 },
  ...{ dialogue: 0, saliency: 0, cutting: 0 },
};

/** Characters of text a second at which a shot is all talk: subtitles are made for 15 to 20 (BBC subtitle guidelines). */
const TALK_CHARACTERS_PER_SECOND = 15;
/** Shots before and after one that it stands out from. */
const NEIGHBOURS = 2;
/** Mean difference of pictures at which a shot could not stand out more. */
const MOST_SALIENT = 0.5;
/** Names of what is seen, for saliency and for telling pictures apart. */
const SEEN = ['spatial', 'temporal', 'luma', 'saturation', 'loudness'] as const;

/** The features of each shot, in their order. */
export function shotFeatures(title: Title): readonly Features[] {
  const spoken = spokenOf(title);
  const { shots } = title;
  return shots.map(({ features, startSeconds, durationSeconds }, index) => {
    const near = shots.slice(Math.max(0, index - NEIGHBOURS), index + NEIGHBOURS + 1);
    const around = near.filter((other) => other !== shots[index]);
    const unlike = around.reduce((sum, other) => sum + meanDifference(features, other.features), 0);
    return {
      ...features,
      motion: features.motion ?? features.temporal,
      darkness: features.darkness ?? Math.max(0, 1 - 2 * features.luma),
      // Without text: what is heard while little moves.
      dialogue: spoken?.(startSeconds, startSeconds + durationSeconds) ?? features.loudness * (1 - features.temporal),
      saliency: around.length === 0 ? 0 : Math.min(1, unlike / around.length / MOST_SALIENT),
      cutting: Math.min(1, 1 / durationSeconds),
    };
  });
}

function meanDifference(a: Pick<Features, (typeof SEEN)[number]>, b: Pick<Features, (typeof SEEN)[number]>): number {
  return SEEN.reduce((sum, name) => sum + Math.abs(a[name] - b[name]), 0) / SEEN.length;
}

/** How much is said between two times, 0..1, by the sizes of the first text track; undefined without one. */
function spokenOf({ text }: Title): ((from: number, until: number) => number) | undefined {
  const segments = text[0]?.segments;
  if (segments === undefined) return undefined;
  // What the emptiest segment has is its head.
  const headBytes = Math.min(...segments.map(({ bytes }) => bytes));
  return (from, until) => {
    let characters = 0;
    for (const { startSeconds, durationSeconds, bytes } of segments) {
      const shared = Math.min(until, startSeconds + durationSeconds) - Math.max(from, startSeconds);
      if (shared > 0) characters += ((bytes - headBytes) * shared) / durationSeconds;
    }
    return Math.min(1, characters / (until - from) / TALK_CHARACTERS_PER_SECOND);
  };
}

/** Mean of features weighted by `weight`; undefined without any weight. */
export function meanFeatures(
  items: readonly { readonly features: Features; readonly weight: number }[],
): Features | undefined {
  let weight = 0;
  for (const item of items) weight += item.weight;
  if (!(weight > 0)) return undefined;
  return featuresOf((place) => {
    const name = FEATURE_NAMES[place] ?? 'spatial';
    let sum = 0;
    for (const item of items) sum += item.features[name] * item.weight;
    return Math.min(1, sum / weight);
  });
}

/** Largest difference of two pictures in any one feature of what is seen and heard, 0..1. */
export function featureDistance(a: Features, b: Features): number {
  return SEEN.reduce((most, name) => Math.max(most, Math.abs(a[name] - b[name])), 0);
}

/** Features from their values by place in FEATURE_NAMES. One literal: made for each moment of a title. */
export function featuresOf(value: (place: number) => number): Features {
  return {
    spatial: value(0),
    temporal: value(1),
    luma: value(2),
    saturation: value(3),
    loudness: value(4),
    motion: value(5),
    darkness: value(6),
    dialogue: value(7),
    saliency: value(8),
    cutting: value(9),
  };
}

/** As numbers in the order of FEATURE_NAMES, [10]. */
export function vectorOf(features: Features): Float64Array {
  return Float64Array.from(FEATURE_NAMES, (name) => features[name]);
}

/**
 * The features in which a cut is nearest to a taste where the title's cuts differ from each other: why it may be liked.
 * At most `most`, the strongest first.
 */
export function sharedTraits(
  cut: Features,
  { taste, others, most }: { readonly taste: Features; readonly others: readonly Features[]; readonly most: number },
): readonly (keyof Features)[] {
  const gains = FEATURE_NAMES.map((name) => {
    const mean =
      others.reduce((sum, other) => sum + Math.abs(other[name] - taste[name]), 0) / Math.max(1, others.length);
    return { name, gain: mean - Math.abs(cut[name] - taste[name]) };
  });
  return gains
    .filter(({ gain }) => gain > 0.01)
    .toSorted((a, b) => b.gain - a.gain)
    .slice(0, most)
    .map(({ name }) => name);
}
