// Which URLs come next, and when: the pure front of this room, from the text of a manifest to its segments in order.
import { parseDash } from './dash.ts';
import { parseHls } from './hls.ts';
import { absoluteUrl, type Manifest, type ManifestProblem, type Segment, UnusableManifest } from './manifest.ts';

/**
 * Parses an HLS playlist (media or multivariant) or a DASH MPD. `url` is where it was fetched from, after redirects;
 * its protocol is told from `contentType`, and from the text when that says nothing. `nowMs`, the wall clock, is needed
 * by live MPDs that number their segments by it; without it those have no segments. Never throws: whatever cannot be
 * used, is too large or is hostile comes back as a problem.
 */
export function parseManifest(text: string, url: string, contentType: string, nowMs = 0): Manifest | ManifestProblem {
  try {
    const base = absoluteUrl(url, url);
    const protocol = protocolOf(text, contentType);
    if (protocol === undefined) return { problem: 'neither an HLS playlist nor a DASH MPD' };
    return protocol === 'hls' ? parseHls(text, base) : parseDash(text, base, nowMs);
  } catch (error) {
    // The parsers throw bare errors, and a stack overflow on deep nesting: all of it is the text's fault.
    return { problem: error instanceof UnusableManifest ? error.message : 'the parser refused it' };
  }
}

function protocolOf(text: string, contentType: string): 'hls' | 'dash' | undefined {
  if (/mpegurl/i.test(contentType)) return 'hls';
  if (/dash\+xml/i.test(contentType)) return 'dash';
  const start = text.slice(0, 1000).trimStart();
  if (start.startsWith('#EXTM3U')) return 'hls';
  return /<MPD[\s>]/.test(start) ? 'dash' : undefined;
}

/**
 * At most `count` segments that follow `url` in its rendition. `url` is absolute: a segment, an init segment or a media
 * playlist (after those the first segments come next). Where many segments are ranges of one file, `byteOffset` tells
 * which of them is current; without it the first is. Empty when the manifest does not know the URL or it is the last.
 */
export function nextSegments(manifest: Manifest, url: string, count: number, byteOffset = 0): readonly Segment[] {
  const isCurrent = ({ url: own, byteRange }: Segment): boolean => {
    if (own !== url) return false;
    return byteRange === undefined || byteOffset < byteRange.offset + byteRange.length;
  };
  for (const { id, segments } of manifest.renditions) {
    const at = segments.findIndex(isCurrent);
    if (at >= 0) return segments.slice(at + 1, at + 1 + count);
    if (id === url || segments[0]?.init?.url === url) return segments.slice(0, count);
  }
  return [];
}

/** Segments of every rendition that overlap [fromSeconds, toSeconds), in order of rendition and time. */
export function segmentsBetween(manifest: Manifest, fromSeconds: number, toSeconds: number): readonly Segment[] {
  return manifest.renditions.flatMap(({ segments }) =>
    segments.filter(
      ({ startSeconds, durationSeconds }) => startSeconds < toSeconds && startSeconds + durationSeconds > fromSeconds,
    ),
  );
}
