// Bit rates and durations of a track, computed from its segments as RFC 8216 defines them.

/** What rates are computed from; ticks are in `timescale` a second. */
export type Timed = {
  readonly timescale: number;
  readonly segments: readonly { readonly ticks: number; readonly bytes: number }[];
};

/** The longest segment rounded to whole seconds, at least 1: EXT-X-TARGETDURATION (RFC 8216 section 4.3.3.1). */
export function targetDurationSeconds(track: Timed): number {
  const longest = track.segments.reduce((most, { ticks }) => Math.max(most, ticks), 0);
  return Math.max(1, Math.round(longest / track.timescale));
}

/** The one target duration of a title: media playlists of a variant must all have the same (RFC 8216 section 6.2.4). */
export function titleTargetSeconds(tracks: readonly Timed[]): number {
  return tracks.reduce((longest, track) => Math.max(longest, targetDurationSeconds(track)), 1);
}

function durationTicks(track: Timed): number {
  return track.segments.reduce((sum, { ticks }) => sum + ticks, 0);
}

/** Length of a track in seconds. */
export function trackSeconds(track: Timed): number {
  return durationTicks(track) / track.timescale;
}

/** All segments' bits over all their time, bits a second: AVERAGE-BANDWIDTH (RFC 8216 section 4.1). */
export function averageBandwidthBps(track: Timed): number {
  const bytes = track.segments.reduce((sum, segment) => sum + segment.bytes, 0);
  return (bytes * 8 * track.timescale) / durationTicks(track);
}

/**
 * Peak segment bit rate, bits a second: the largest of any contiguous set of segments that lasts 0.5 to 1.5 target
 * durations (RFC 8216 section 4.1), so that a very short shot alone does not count. A track shorter than that has its
 * average. Never below the average. The target duration is the title's, since all its playlists share one.
 */
export function peakBandwidthBps(track: Timed, targetSeconds = targetDurationSeconds(track)): number {
  const targetTicks = targetSeconds * track.timescale;
  let peak = averageBandwidthBps(track);
  for (let first = 0; first < track.segments.length; first += 1) {
    let ticks = 0;
    let bytes = 0;
    for (let last = first; ticks <= 1.5 * targetTicks; last += 1) {
      if (ticks >= 0.5 * targetTicks) peak = Math.max(peak, (bytes * 8 * track.timescale) / ticks);
      const segment = track.segments[last];
      if (segment === undefined) break;
      ticks += segment.ticks;
      bytes += segment.bytes;
    }
  }
  return peak;
}

/**
 * The least MPD@minBufferTime, in seconds, for which a track is true to its bandwidth (ISO/IEC 23009-1 section 5.3.5.2):
 * over a channel of exactly `bandwidthBps`, whoever waits that long may begin at any segment and never runs dry. Found
 * in one pass: a segment's lateness is its own transfer and what those before it, back to some start, were late.
 */
export function minimumBufferSeconds(track: Timed, bandwidthBps: number): number {
  let late = 0;
  let most = 0;
  for (const { ticks, bytes } of track.segments) {
    late += (bytes * 8) / bandwidthBps;
    most = Math.max(most, late);
    late = Math.max(0, late - ticks / track.timescale);
  }
  return most;
}
