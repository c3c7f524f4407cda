// Which shots may stand for a title as a picture: sharp, lit, colourful, calm, unlike each other, and not of its end. Pure.
import type { Title } from '../contract.ts';

type Shot = Title['shots'][number];

/** Shots that begin in this last share of a title would give its end away. */
const SPOILER_RATIO = 0.15;
/** Pictures nearer than this in every feature look the same. */
const SAME_FEATURES = 0.08;
/** Mean luma outside of these is black, or burnt out. */
const LUMA = { least: 0.08, most: 0.92 } as const;
const SEEN = ['spatial', 'temporal', 'luma', 'saturation'] as const;

/** How good a picture a shot makes: light, colourful, detailed, not blurred by motion, and long enough to be typical. */
export function stillWorth({ features, durationSeconds }: Pick<Shot, 'features' | 'durationSeconds'>): number {
  const light = Math.min(features.luma, 1 - features.luma);
  return (features.spatial + features.saturation) * light * (1 - 0.5 * features.temporal) * Math.sqrt(durationSeconds);
}

/** Places of at most `most` shots, the best first; fewer where they would look alike. */
export function chooseStills(
  { shots, durationSeconds }: Pick<Title, 'shots' | 'durationSeconds'>,
  most: number,
): number[] {
  const endSeconds = durationSeconds * (1 - SPOILER_RATIO);
  const isFit = ({ features, startSeconds }: Shot) =>
    startSeconds < endSeconds && features.luma >= LUMA.least && features.luma <= LUMA.most;
  const ordered = shots
    .map((shot, place) => ({ shot, place }))
    .filter(({ shot }) => isFit(shot))
    .toSorted((a, b) => stillWorth(b.shot) - stillWorth(a.shot) || a.place - b.place);
  const picked: typeof ordered = [];
  for (const one of ordered) {
    if (picked.length >= most) break;
    const isNew = picked.every(({ shot }) =>
      SEEN.some((name) => Math.abs(shot.features[name] - one.shot.features[name]) > SAME_FEATURES),
    );
    if (isNew) picked.push(one);
  }
  return picked.map(({ place }) => place);
}
