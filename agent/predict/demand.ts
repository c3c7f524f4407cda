// What a whole region is expected to watch, for the nightly fill: live popularity and launches, of nobody in particular.
import type { CatalogueIndex } from './catalogue-index.ts';
import { launchStrength } from './launch.ts';
import type { TitleShare } from './popularity.ts';

/** Why a title is in demand; `catalogue`: only that it exists, so that its first seconds may be worth their room. */
export type DemandReason = 'popular' | 'launch' | 'catalogue';

/** Expected share of the next views, 0..1; not normalised. */
export type TitleDemand = {
  readonly titleId: string;
  readonly score: number;
  readonly reasons: readonly DemandReason[];
};

/** A launch in its best week is expected to do as well as the mean of this many most popular titles. */
const LAUNCH_PEERS = 10;
/** All titles that nobody has watched are expected to take this share of views together. */
const UNSEEN_RATIO = 0.05;

/**
 * Demand, highest first, at most `limit` titles: the larger of a title's share and, while it is new, its launch
 * strength times the share of a hit. A title without views gets an even part of UNSEEN_RATIO, so that a node without
 * history still has an order. `shares` largest first.
 */
export function expectDemand(
  index: CatalogueIndex,
  shares: readonly TitleShare[],
  now: number,
  limit: number,
): readonly TitleDemand[] {
  const peers = shares.slice(0, LAUNCH_PEERS);
  const unseen = UNSEEN_RATIO / Math.max(1, index.titles.size);
  const hit = Math.max(unseen, peers.reduce((sum, { share }) => sum + share, 0) / Math.max(1, peers.length));
  const shareOf = new Map(shares.map(({ titleId, share }) => [titleId, share]));
  const ids = new Set([...shareOf.keys(), ...index.titles.keys()]);
  return [...ids]
    .map((titleId): TitleDemand => {
      const releaseAt = index.titles.get(titleId)?.releaseAt;
      if (releaseAt !== undefined && releaseAt > now) return { titleId, score: 0, reasons: [] };
      const share = shareOf.get(titleId) ?? 0;
      const launch = releaseAt === undefined ? 0 : launchStrength(releaseAt, now) * hit;
      const reasons: DemandReason[] = [
        ...(share > 0 ? (['popular'] as const) : []),
        ...(launch > 0 ? (['launch'] as const) : []),
      ];
      return { titleId, score: Math.max(share, launch, unseen), reasons: reasons.length > 0 ? reasons : ['catalogue'] };
    })
    .filter(({ score }) => score > 0)
    .sort((one, other) => other.score - one.score || (one.titleId < other.titleId ? -1 : 1))
    .slice(0, limit);
}
