// Writes tracks into a package folder: video and audio from fragmented MP4, text from WebVTT.
import assert from 'node:assert';
import { readFile } from 'node:fs/promises';
import type { Title, TitleSegment } from './contract.ts';
import { EncoderError } from './errors.ts';
import { type Fragment, parseFragmented, rebaseFragment } from './package/fmp4.ts';
import { codecString, differingBoxes } from './package/init.ts';
import { averageBandwidthBps, peakBandwidthBps } from './package/rate.ts';
import { readCaptions, splitCaptions, writeCaptions } from './package/text.ts';
import type { PackageFolder } from './publish.ts';

/** One part of a track: a fragmented MP4 whose fragments become segments, and the shot that they belong to. */
export type TrackPart = { readonly file: string; readonly shotOf: (startTicks: number) => number };

/** What every track has. */
export type BuiltTrack = Pick<
  Title['audio'][number],
  'id' | 'codec' | 'peakBandwidthBps' | 'averageBandwidthBps' | 'initUrl' | 'initBytes' | 'timescale' | 'segments'
>;

/**
 * Writes a track's init segment and segments: the parts one after the other, fragments moved in time, nothing encoded
 * again. Throws ENCODER_INIT_DIFFERS when the parts cannot share one init segment.
 */
export async function writeTrack(folder: PackageFolder, id: string, parts: readonly TrackPart[]): Promise<BuiltTrack> {
  let init: Buffer | undefined;
  let timescale = 0;
  let baseTicks = 0;
  const segments: TitleSegment[] = [];
  for (const part of parts) {
    const parsed = parseFragmented(await readFile(part.file));
    if (init !== undefined) requireSameInit(id, init, parsed.init);
    init ??= parsed.init;
    timescale = parsed.timescale;
    for (const fragment of parsed.fragments) {
      const number = segments.length + 1;
      const url = `${id}/${String(number).padStart(5, '0')}.m4s`;
      const segment = describe(fragment, { url, startTicks: baseTicks, shot: part.shotOf(baseTicks) }, parsed.isVideo);
      await folder.write(url, rebaseFragment(fragment.bytes, { sequence: number, baseTicks }));
      segments.push(segment);
      baseTicks += fragment.ticks;
    }
  }
  assert(init !== undefined, 'a track has at least one part');
  const initUrl = `${id}/init.mp4`;
  await folder.write(initUrl, init);
  const timed = { timescale, segments };
  return {
    id,
    codec: codecString(init),
    peakBandwidthBps: peakBandwidthBps(timed),
    averageBandwidthBps: averageBandwidthBps(timed),
    initUrl,
    initBytes: init.length,
    timescale,
    segments,
  };
}

function describe(
  { ticks, bytes, keyframeBytes }: Fragment,
  at: Pick<TitleSegment, 'url' | 'startTicks' | 'shot'>,
  isVideo: boolean,
): TitleSegment {
  return { ...at, ticks, bytes: bytes.length, ...(isVideo ? { keyframeBytes } : {}) };
}

/** A text track to write; `vtt` is a WebVTT file. */
export type TextPart = Pick<Title['text'][number], 'id' | 'language' | 'name' | 'role'> & { readonly vtt: string };

/** Seconds of a WebVTT segment: few requests, yet little to wait for in the middle of a film. */
const TEXT_SEGMENT_SECONDS = 30;

/**
 * Writes a text track whole and in segments; cues that begin after the end are left out. Throws ENCODER_CHECK_FAILED
 * when it is no WebVTT file.
 */
export async function writeText(
  folder: PackageFolder,
  { vtt, ...track }: TextPart,
  durationSeconds: number,
): Promise<Title['text'][number]> {
  const captions = readCaptions(vtt);
  if (captions === undefined) throw new EncoderError('ENCODER_CHECK_FAILED', `text ${track.id} is no WebVTT file`);
  const shown = { ...captions, cues: captions.cues.filter(({ startMs }) => startMs < durationSeconds * 1000) };
  const url = `${track.id}/all.vtt`;
  await folder.write(url, writeCaptions(shown));
  const segments: Title['text'][number]['segments'] = [];
  for (const { text, ...times } of splitCaptions(shown, TEXT_SEGMENT_SECONDS, durationSeconds)) {
    const segmentUrl = `${track.id}/${String(segments.length + 1).padStart(5, '0')}.vtt`;
    await folder.write(segmentUrl, text);
    segments.push({ url: segmentUrl, ...times, bytes: Buffer.byteLength(text) });
  }
  return { ...track, url, segments };
}

function requireSameInit(id: string, init: Buffer, other: Buffer): void {
  const differing = differingBoxes(init, other);
  if (differing.length === 0) return;
  throw new EncoderError(
    'ENCODER_INIT_DIFFERS',
    `shots of ${id} need different init segments: ${differing.join(', ')}; take that codec or preset from the job`,
  );
}
