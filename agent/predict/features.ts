// What a scorer sees of a candidate. Serving and training both come through here, so they cannot drift apart.
import assert from 'node:assert/strict';

/** What is known of a candidate before it is scored. Absent means not so, or not known. */
export type CandidateFacts = {
  /** Expected share of the region's views, 0..1. */
  readonly share: number;
  /** Launch strength, 0..1. */
  readonly launch: number;
  /**
   * It follows a title of this session: how far that one was watched (0..1), and hours since. What the player says that
   * it asks for next follows at once.
   */
  readonly follows?: { readonly progressRatio: number; readonly hoursAgo: number } | undefined;
  /** It was begun and not ended: where the viewer stopped (0..1), and hours since. */
  readonly begun?: { readonly positionRatio: number; readonly hoursAgo: number } | undefined;
  readonly isHovered: boolean;
  /** Share of the session's titles that have a genre of this one's, 0..1; of several genres the largest. */
  readonly genreRatio: number;
  /** Share of the session's titles that are of this one's series, 0..1. */
  readonly seriesRatio: number;
  /** It was watched to its end in this session. */
  readonly isFinished: boolean;
  /** Item-to-item weights from the session's titles, 0..1. */
  readonly similarity: number;
  /** Chance that it is turned to after the latest titles, 0..1. */
  readonly transition: number;
  /** Nearness to the viewer's taste, 0..1. */
  readonly taste: number;
};

type Feature = { readonly name: string; readonly unit: string; readonly of: (facts: CandidateFacts) => number };

/** Worth of something so many hours ago: halves each day. */
const recency = (hoursAgo: number): number => 2 ** (-Math.max(0, hoursAgo) / 24);
/** Shares span decades: 0 for none, 1 for everything, 1/2 for one in a thousand. */
const logShare = (share: number): number => Math.log1p(share * 1e6) / Math.log1p(1e6);

const TABLE = [
  { name: 'log_share', unit: '0..1, logarithmic in the share of views', of: (facts) => logShare(facts.share) },
  { name: 'launch', unit: '0..1, of the best week', of: (facts) => facts.launch },
  { name: 'is_next', unit: '0 or 1', of: (facts) => (facts.follows ? 1 : 0) },
  { name: 'previous_progress', unit: '0..1 of the title before it', of: (facts) => facts.follows?.progressRatio ?? 0 },
  {
    name: 'previous_recency',
    unit: '0..1, halves a day',
    of: (facts) => (facts.follows ? recency(facts.follows.hoursAgo) : 0),
  },
  { name: 'is_begun', unit: '0 or 1', of: (facts) => (facts.begun ? 1 : 0) },
  { name: 'position', unit: '0..1 of the title', of: (facts) => facts.begun?.positionRatio ?? 0 },
  {
    name: 'begun_recency',
    unit: '0..1, halves a day',
    of: (facts) => (facts.begun ? recency(facts.begun.hoursAgo) : 0),
  },
  { name: 'is_hovered', unit: '0 or 1', of: (facts) => (facts.isHovered ? 1 : 0) },
  { name: 'genre_ratio', unit: '0..1 of the titles of the session', of: (facts) => facts.genreRatio },
  { name: 'series_ratio', unit: '0..1 of the titles of the session', of: (facts) => facts.seriesRatio },
  { name: 'is_finished', unit: '0 or 1', of: (facts) => (facts.isFinished ? 1 : 0) },
  { name: 'similarity', unit: '0..1, item-to-item over the session', of: (facts) => facts.similarity },
  { name: 'transition', unit: '0..1, chance after the latest titles', of: (facts) => facts.transition },
  { name: 'taste', unit: '0..1, cosine to the taste', of: (facts) => facts.taste },
] as const satisfies readonly Feature[];

/** A feature's name. */
export type FeatureName = (typeof TABLE)[number]['name'];

/** Names alone, in order. */
export const FEATURE_NAMES: readonly FeatureName[] = TABLE.map((feature) => feature.name);

/** Rows of features, [candidates, FEATURES.length], row by row; every figure finite. */
export function featureRows(candidates: readonly CandidateFacts[]): Float32Array {
  const rows = new Float32Array(candidates.length * TABLE.length);
  candidates.forEach((facts, row) => {
    TABLE.forEach((feature, column) => {
      const value = feature.of(facts);
      assert(Number.isFinite(value), `feature ${feature.name} is not finite`);
      rows[row * TABLE.length + column] = value;
    });
  });
  return rows;
}
