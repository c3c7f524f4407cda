// Which rendition a player asks for next, from what its request says and how fast the last answer went. Pure.
import type { TimelineTrack } from './timeline.ts';

/** What a request tells of its player. Only a consented session has a `sid`; the rest is of this one request. */
export type Viewing = {
  readonly sid?: string;
  /** CMCD `tb`: the best rendition that the player may take. */
  readonly topBitrateKbps?: number;
  /** CMCD `mtp`: what the player measured before this request. */
  readonly throughputKbps?: number;
  readonly bufferMs?: number;
  /** CMCD `su`: its buffer is being filled after a start, a jump or a stall. */
  readonly isStartup?: boolean;
  /** Body bytes of the answer and how long it took: what the player measures next. */
  readonly sentBytes?: number;
  readonly sentMs?: number;
};

/** How a rendition stands to the one that was asked for last. */
export type Relation = 'same' | 'target' | 'up' | 'down';

/** A rendition with the chance that the next request is for it. */
export type LikelyTrack = { readonly track: TimelineTrack; readonly chance: number; readonly relation: Relation };

/** Smaller answers say more of round trips than of throughput. */
const MIN_SAMPLE_BYTES = 64 * 1024;
/** hls.js 1.x: abrBandWidthUpFactor and abrBandWidthFactor; dash.js lies between with 0.9. */
const UP_FACTOR = 0.7;
const STAY_FACTOR = 0.95;
/** Share of the newest sample in a player's estimate: hls.js weighs by time, 3 s and 9 s half-lives, and takes the less. */
const NEWEST_WEIGHT = 0.5;

/** Throughput that the player will decide with, kbit/s; undefined when nothing is known of it. */
function expectedKbps({ throughputKbps, sentBytes = 0, sentMs = 0 }: Viewing): number | undefined {
  const own = sentBytes >= MIN_SAMPLE_BYTES && sentMs > 0 ? (sentBytes * 8) / sentMs : undefined;
  if (own === undefined || throughputKbps === undefined) return throughputKbps ?? own;
  return throughputKbps + NEWEST_WEIGHT * (own - throughputKbps);
}

const isAllowed = ({ bandwidthBps }: TimelineTrack, { topBitrateKbps }: Viewing): boolean =>
  topBitrateKbps === undefined || bandwidthBps <= topBitrateKbps * 1000 * 1.05;

/** Renditions that a player may ask for after one of `current`, the likeliest first; chances sum to at most 1. */
export function likelyTracks(
  tracks: readonly TimelineTrack[],
  current: TimelineTrack,
  viewing: Viewing,
): readonly LikelyTrack[] {
  const ladder = tracks
    .filter((track) => track.kind === current.kind && (track === current || isAllowed(track, viewing)))
    .toSorted((one, other) => one.bandwidthBps - other.bandwidthBps);
  const at = ladder.indexOf(current);
  const kbps = expectedKbps(viewing);
  const [down, up] = [ladder[at - 1], ladder[at + 1]];
  const near = (track: TimelineTrack | undefined, chance: number, relation: Relation): readonly LikelyTrack[] =>
    track === undefined ? [] : [{ track, chance, relation }];
  if (kbps === undefined) {
    return [...near(current, 0.85, 'same'), ...near(up, 0.08, 'up'), ...near(down, 0.05, 'down')];
  }
  const fits = (track: TimelineTrack, factor: number): boolean => track.bandwidthBps <= kbps * 1000 * factor;
  const best = ladder.findLast((track) => fits(track, UP_FACTOR)) ?? ladder[0];
  const stays = fits(current, STAY_FACTOR);
  if (best !== undefined && best !== current && (!stays || best.bandwidthBps > current.bandwidthBps)) {
    const [low, high] = [ladder.indexOf(best) - 1, ladder.indexOf(best) + 1].map((index) => ladder[index]);
    return [
      { track: best, chance: 0.6, relation: 'target' },
      { track: current, chance: 0.3, relation: 'same' },
      ...near(high === current ? undefined : high, 0.15, 'up'),
      ...near(low === current ? undefined : low, 0.15, 'down'),
    ];
  }
  const isTight = !fits(current, UP_FACTOR);
  const isNearUp = up !== undefined && fits(up, STAY_FACTOR);
  return [
    ...near(current, 0.9, 'same'),
    ...near(up, isNearUp ? 0.3 : 0.05, 'up'),
    ...near(down, isTight ? 0.3 : 0.05, 'down'),
  ].toSorted((one, other) => other.chance - one.chance);
}
