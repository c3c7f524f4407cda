// The last look at a package before it is published: what title.json promises against what the segments hold. Problems
// are values; a package with any is thrown away.
import type { Title, TitleRendition } from '../contract.ts';
import { BoxError } from './boxes.ts';
import { parseFragmented } from './fmp4.ts';
import { averageBandwidthBps, peakBandwidthBps, titleTargetSeconds } from './rate.ts';

/** What a segment was found to hold; ticks are in its track's timescale. */
export type SegmentFacts = {
  readonly bytes: number;
  readonly baseTicks: number;
  readonly ticks: number;
  readonly samples: number;
  readonly startsWithKey: boolean;
  /** Earliest presentation time of a sample, edit list applied; audio priming makes it negative. */
  readonly presentationTicks: number;
  /** Where its first sample ends. */
  readonly keyframeBytes: number;
  readonly timescale: number;
};

/**
 * Measures one media segment with the init segment that players will use for it. Throws BoxError when the two do not
 * parse as one fragmented MP4 with exactly one fragment.
 */
export function inspectSegment(init: Buffer, segment: Buffer): SegmentFacts {
  const { timescale, editTicks, fragments } = parseFragmented(Buffer.concat([init, segment]));
  const [fragment] = fragments;
  if (fragment === undefined || fragments.length > 1) throw new BoxError(`${fragments.length} fragments in a segment`);
  const { baseTicks, ticks, samples, startsWithKey, keyframeBytes } = fragment;
  const presentationTicks = fragment.presentationTicks - editTicks;
  const times = { baseTicks, ticks, presentationTicks, timescale };
  return { bytes: segment.length, samples, startsWithKey, keyframeBytes, ...times };
}

/** Kinds of problems: of segments, then of playlists, manifest, thumbnails and text. */
export const PROBLEMS = [
  ...(['url', 'missing', 'size', 'time', 'gap', 'key', 'length', 'boundary', 'frames', 'rate'] as const),
  ...(['playlist', 'manifest', 'image', 'text'] as const),
] as const;

/** One thing that is wrong, where (a track id or segment URL), and in words. */
export type Problem = {
  readonly kind: (typeof PROBLEMS)[number];
  readonly where: string;
  readonly message: string;
};

/** What checkTitle looks at. */
export type Checked = {
  readonly title: Title;
  /** Of every segment of every track, by URL as in title.json. */
  readonly facts: ReadonlyMap<string, SegmentFacts>;
  /** No segment may be longer. */
  readonly maxSegmentSeconds: number;
};

type Track = Title['renditions'][number] | Title['audio'][number];

function isAudio(track: Track): track is Title['audio'][number] {
  return 'channels' in track;
}

/** URLs that need no escaping in a playlist, an MPD or a path, and never leave the package folder. */
const PLAIN_URL = /^(?!\.|.*\/\.)[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)*$/;

/**
 * Every problem of a package, none when it may be published: URLs plain and unique; each segment there, of the size,
 * time and duration promised, beginning with a keyframe, not too long; timestamps without gap from 0; boundaries and
 * frames equal in all renditions and equal to the shots; rates as the segments give them.
 */
export function checkTitle({ title, facts, maxSegmentSeconds }: Checked): readonly Problem[] {
  const [best, ...others] = title.renditions;
  if (best === undefined) return [{ kind: 'missing', where: title.id, message: 'no rendition' }];
  const tracks = [...title.renditions, ...title.audio];
  const target = titleTargetSeconds(tracks);
  return [
    ...checkUrls(title),
    ...tracks.flatMap((track) => [...checkTrack(track, facts), ...checkRates(track, target)]),
    ...tracks.flatMap((track) => checkLengths(track, facts, maxSegmentSeconds)),
    ...others.flatMap((other) => checkAligned(best, other, facts)),
    ...checkShots(title, best, facts),
  ];
}

function checkUrls({ renditions, audio, text, images }: Title): readonly Problem[] {
  const problems: Problem[] = [];
  const seen = new Set<string>();
  const urls = [
    ...[...renditions, ...audio].flatMap((track) => [track.id, track.initUrl, ...track.segments.map(({ url }) => url)]),
    ...text.flatMap((track) => [track.id, track.url, ...track.segments.map(({ url }) => url)]),
    ...[images.poster, ...(images.trickplay === undefined ? [] : [images.trickplay.vttUrl])],
    ...(images.trickplay?.sheets.map(({ url }) => url) ?? []),
    ...(images.artwork ?? []).flatMap(({ files }) => files.map(({ url }) => url)),
  ];
  for (const url of urls) {
    if (!PLAIN_URL.test(url)) problems.push({ kind: 'url', where: url, message: 'not a plain relative URL' });
    if (seen.has(url)) problems.push({ kind: 'url', where: url, message: 'used twice' });
    seen.add(url);
  }
  return problems;
}

/** One track by itself: its segments as promised, one after the other. */
function checkTrack(track: Track, facts: Checked['facts']): readonly Problem[] {
  const problems: Problem[] = [];
  let next = 0;
  for (const { url, startTicks, ticks, bytes, keyframeBytes } of track.segments) {
    const report = (kind: Problem['kind'], message: string): void => void problems.push({ kind, where: url, message });
    if (startTicks !== next) report('gap', `starts at ${startTicks}, the one before ends at ${next}`);
    next = startTicks + ticks;
    const found = facts.get(url);
    if (found === undefined) {
      report('missing', 'not in the package');
      continue;
    }
    if (found.bytes !== bytes) report('size', `${found.bytes} bytes, title.json says ${bytes}`);
    if (found.timescale !== track.timescale) report('time', `timescale ${found.timescale}, not ${track.timescale}`);
    if (found.baseTicks !== startTicks) report('time', `decode time ${found.baseTicks}, not ${startTicks}`);
    if (found.presentationTicks !== startTicks)
      report('time', `first shown at ${found.presentationTicks}, not ${startTicks}`);
    if (found.ticks !== ticks) report('time', `lasts ${found.ticks} ticks, title.json says ${ticks}`);
    if (!found.startsWithKey) report('key', 'does not begin with a keyframe');
    if (keyframeBytes !== undefined && found.keyframeBytes !== keyframeBytes)
      report('key', `its first picture ends at ${found.keyframeBytes}, title.json says ${keyframeBytes}`);
  }
  return problems;
}

function checkRates(track: Track, targetSeconds: number): readonly Problem[] {
  const problems: Problem[] = [];
  const rates = [
    ['peakBandwidthBps', peakBandwidthBps(track, targetSeconds)],
    ['averageBandwidthBps', averageBandwidthBps(track)],
  ] as const;
  for (const [name, bps] of rates) {
    // Title.json may hold a rounded figure.
    if (Math.abs(track[name] - bps) <= 1) continue;
    problems.push({ kind: 'rate', where: track.id, message: `${name} is ${track[name]}, its segments give ${bps}` });
  }
  return problems;
}

/** No segment above the limit. Audio can only be cut between its frames, so one of those is allowed beyond it. */
function checkLengths(track: Track, facts: Checked['facts'], maxSegmentSeconds: number): readonly Problem[] {
  return track.segments.flatMap(({ url, ticks }): Problem[] => {
    const slack = isAudio(track) ? ticks / (facts.get(url)?.samples ?? 1) : 0;
    if (ticks <= maxSegmentSeconds * track.timescale + slack) return [];
    return [{ kind: 'length', where: url, message: `${ticks / track.timescale} s, above ${maxSegmentSeconds} s` }];
  });
}

/** Segment by segment: the same start and end in time (as exact fractions), the same frames, the same shot. */
function checkAligned(best: TitleRendition, other: TitleRendition, facts: Checked['facts']): readonly Problem[] {
  if (best.segments.length !== other.segments.length) {
    const message = `${other.segments.length} segments, ${best.id} has ${best.segments.length}`;
    return [{ kind: 'boundary', where: other.id, message }];
  }
  const isSameTime = (a: number, b: number): boolean =>
    BigInt(a) * BigInt(other.timescale) === BigInt(b) * BigInt(best.timescale);
  return best.segments.flatMap((segment, index): Problem[] => {
    const twin = other.segments[index] ?? segment;
    const problems: Problem[] = [];
    if (!isSameTime(segment.startTicks, twin.startTicks) || !isSameTime(segment.ticks, twin.ticks)) {
      problems.push({ kind: 'boundary', where: twin.url, message: `not the time range of ${segment.url}` });
    }
    if (segment.shot !== twin.shot) {
      problems.push({
        kind: 'boundary',
        where: twin.url,
        message: `shot ${twin.shot}, ${segment.url} has ${segment.shot}`,
      });
    }
    const frames = [segment, twin].map(({ url }) => facts.get(url)?.samples);
    if (frames[0] !== frames[1]) {
      problems.push({
        kind: 'frames',
        where: twin.url,
        message: `${frames[1]} frames, ${segment.url} has ${frames[0]}`,
      });
    }
    return problems;
  });
}

/** The shots against the best rendition: as many frames in each as its segments hold, and in order. */
function checkShots(title: Title, best: TitleRendition, facts: Checked['facts']): readonly Problem[] {
  const problems: Problem[] = [];
  const frames = title.shots.map(() => 0);
  let last = 0;
  for (const { url, shot } of best.segments) {
    if (shot !== last && shot !== last + 1) {
      problems.push({ kind: 'boundary', where: url, message: `shot ${shot} follows shot ${last}` });
    }
    last = shot;
    frames[shot] = (frames[shot] ?? 0) + (facts.get(url)?.samples ?? 0);
  }
  for (const [index, shot] of title.shots.entries()) {
    if (frames[index] === shot.frames) continue;
    const message = `${frames[index]} frames in its segments, title.json says ${shot.frames}`;
    problems.push({ kind: 'frames', where: `shot ${index}`, message });
  }
  if (frames.length > title.shots.length) {
    problems.push({ kind: 'boundary', where: best.id, message: `segments of more shots than ${title.shots.length}` });
  }
  return problems;
}
