// One title as one viewer watches it: where, how much, how fast, from what the player tells. Pure: times come in.
import { MAX_POSITION_SECONDS } from './event.ts';

/** From this share of the duration on, a title counts as watched to its end; the credits are the rest. */
export const COMPLETED_RATIO = 0.95;
/** A player that says nothing for this long is no longer believed to play on; longer than its usual buffer. */
export const QUIET_MS = 120_000;
/** Slack between what a player's clock and its position say, seconds. */
const SLACK_SECONDS = 5;

/** What is tracked of a viewing. Two estimates of what was watched stand side by side: events tell, segments show. */
export type Track = {
  readonly titleId: string;
  readonly durationSeconds: number | undefined;
  /** Last known position and when it was so; undefined until a player tells one. */
  anchor: { positionSeconds: number; at: number } | undefined;
  isPlaying: boolean;
  rate: number;
  /** Played between events. */
  toldSeconds: number;
  /** Fetched in video segments, which runs ahead of what is seen by the buffer. */
  fetchedSeconds: number;
  bitrateKbps: number | undefined;
  bufferMs: number | undefined;
  isEnded: boolean;
  /** When the player last gave a sign of life. */
  seenAt: number;
};

/** A viewing that nothing is known of yet. */
export function newTrack(titleId: string, durationSeconds: number | undefined, at: number): Track {
  return {
    titleId,
    durationSeconds,
    anchor: undefined,
    isPlaying: false,
    rate: 1,
    toldSeconds: 0,
    fetchedSeconds: 0,
    bitrateKbps: undefined,
    bufferMs: undefined,
    isEnded: false,
    seenAt: at,
  };
}

/** Media seconds that a playing player has gone on since its anchor. */
function runSeconds(track: Track, at: number): number {
  if (track.anchor === undefined || !track.isPlaying) return 0;
  const until = Math.min(at, Math.max(track.seenAt, track.anchor.at) + QUIET_MS);
  return (Math.max(0, until - track.anchor.at) / 1000) * track.rate;
}

/** Where the viewer is at a time, seconds. */
export function positionAt(track: Track, at: number): number {
  const most = track.durationSeconds ?? MAX_POSITION_SECONDS;
  const position =
    track.anchor === undefined ? seenOfFetched(track) : track.anchor.positionSeconds + runSeconds(track, at);
  return Math.min(most, position);
}

/** How much was watched by a time, seconds: the larger of both estimates. */
export function watchedAt(track: Track, at: number): number {
  return Math.max(track.toldSeconds + runSeconds(track, at), seenOfFetched(track));
}

/** Whether the viewer saw it to its end. */
export function isCompletedAt(track: Track, at: number): boolean {
  if (track.isEnded) return true;
  return track.durationSeconds !== undefined && positionAt(track, at) >= COMPLETED_RATIO * track.durationSeconds;
}

function seenOfFetched(track: Track): number {
  return Math.max(0, track.fetchedSeconds - (track.bufferMs ?? 0) / 1000);
}

/**
 * Playback went on until `at`, and was then at `positionSeconds` if the player says so. A position that time cannot
 * explain (a clock or a player that is off) is believed, but counts as watched only as far as time allows.
 */
export function goOn(track: Track, at: number, positionSeconds?: number): void {
  const time = Math.max(at, track.anchor?.at ?? at);
  const run = runSeconds(track, time);
  const position = positionSeconds ?? positionAt(track, time);
  if (track.isPlaying && track.anchor !== undefined) {
    const moved = positionSeconds === undefined ? run : Math.max(0, positionSeconds - track.anchor.positionSeconds);
    track.toldSeconds += Math.min(moved, run + SLACK_SECONDS);
  }
  track.anchor = { positionSeconds: position, at: time };
  track.seenAt = Math.max(track.seenAt, time);
}

/** The viewer jumped: what was played until now counts, what was jumped over does not. */
export function jump(track: Track, at: number, positionSeconds: number | undefined): void {
  goOn(track, at);
  if (positionSeconds !== undefined && track.anchor !== undefined) track.anchor.positionSeconds = positionSeconds;
}
