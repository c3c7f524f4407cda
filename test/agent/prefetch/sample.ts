// A title to prefetch from: two renditions and audio, parts of 4 s.
import type { Timeline, TimelineTrack } from '../../../agent/prefetch/timeline.ts';

/** Bytes of each video segment of the better rendition; half of it in the other, a tenth in audio. */
export const SEGMENT_BYTES = 1_000_000;

/** A timeline of `segments` parts of 4 s each. */
export function sampleTimeline(titleId: string, segments = 10): Timeline {
  const base = `/titles/${titleId}/abc/`;
  const track = (id: string, kind: 'video' | 'audio', bytes: number): TimelineTrack => ({
    id,
    kind,
    bandwidthBps: bytes * 2,
    playlistUrl: `${base}${id}/playlist.m3u8`,
    initUrl: `${base}${id}/init.mp4`,
    initBytes: 1000,
    parts: Array.from({ length: segments }, (_, index) => ({
      url: `${base}${id}/${index}.m4s`,
      startSeconds: index * 4,
      durationSeconds: 4,
      bytes,
    })),
  });
  return {
    titleId,
    durationSeconds: segments * 4,
    masterUrl: `/titles/${titleId}/master.m3u8`,
    tracks: [
      track('high', 'video', SEGMENT_BYTES),
      track('low', 'video', SEGMENT_BYTES / 2),
      track('sound', 'audio', SEGMENT_BYTES / 10),
    ],
  };
}
