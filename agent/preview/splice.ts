// One fragmented MP4 out of segments of several moments: one init, timestamps without gap, picture and, where it is
// wanted, sound. No media byte is made: video fragments are copied and moved in time, sound is cut between its frames.
// ISO/IEC 14496-12. Pure.
import { boxesIn, Mp4Error, makeBox, u32s, u64 } from './boxes.ts';
import { type Fragment, readFragments, readTrack, type Sample, type Track } from './fragments.ts';

/** Segments of one track in order of time; undefined: one that could not be read. */
export type SpliceTrack = { readonly init: Buffer; readonly segments: readonly (Buffer | undefined)[] };

/** A stretch of the title and where it went, in seconds. */
export type Placed = { readonly sourceSeconds: number; readonly atSeconds: number; readonly seconds: number };

/** The file; `skipped` counts segments of either track that were left out because they are not what they should be. */
export type Spliced = {
  readonly bytes: Buffer;
  readonly seconds: number;
  readonly skipped: number;
  /** One for each video segment that is in the file. */
  readonly placed: readonly Placed[];
};

/** Ticks a second of the movie as a whole. */
const MOVIE_TIMESCALE = 1000;
const VIDEO_ID = 1;
const AUDIO_ID = 2;
/** Sample flags of a frame of sound: depends on none (ISO/IEC 14496-12 section 8.8.3.1). */
const AUDIO_FLAGS = 0x2000000;
/** tfhd: default-base-is-moof and default sample flags; trun: data offset, durations and sizes. */
const TFHD_FLAGS = 0x20020;
const TRUN_FLAGS = 0x301;

/** A video segment at its place; ticks of the video's timescale. */
type Part = {
  readonly bytes: Buffer;
  readonly fragments: readonly Fragment[];
  readonly sourceTicks: number;
  readonly atTicks: number;
  readonly ticks: number;
};

/**
 * Splices segments; undefined when no video segment can be used. Throws Mp4Error when the init of the video is none.
 * Sound whose init cannot be used is left out and counts as one skipped.
 */
export function splice(video: SpliceTrack, audio?: SpliceTrack): Spliced | undefined {
  const track = readTrack(video.init);
  if (!track.isVideo) throw new Mp4Error('the first track is no video');
  const { parts, skipped: skippedVideo } = placeVideo(track, video.segments);
  const last = parts.at(-1);
  if (last === undefined) return undefined;
  const sound = audio === undefined ? undefined : readSound(audio);
  const totalTicks = last.atTicks + last.ticks;
  const shiftTicks = Math.max(...parts.flatMap(({ fragments }) => fragments.map((one) => one.earliestTicks)));
  const body: Buffer[] = [];
  const references: Reference[] = [];
  let sequence = 0;
  let soundEnd = 0;
  for (const part of parts) {
    const before = body.length;
    for (const fragment of part.fragments) {
      sequence += 1;
      body.push(moved(part, fragment, { sequence, shiftTicks }), part.bytes.subarray(fragment.dataStart, fragment.end));
    }
    const heard = sound === undefined ? undefined : soundOf(sound, part, track.timescale, soundEnd);
    if (heard !== undefined) {
      sequence += 1;
      body.push(...writeSound(heard, sequence));
      soundEnd = heard.endTicks;
    }
    references.push({ bytes: body.slice(before).reduce((sum, one) => sum + one.length, 0), ticks: part.ticks });
  }
  const tracks = sound?.track === undefined ? [track] : [track, sound.track];
  const seconds = totalTicks / track.timescale;
  const head = writeHead(tracks, seconds, shiftTicks);
  const index = writeIndex(track.timescale, shiftTicks, references);
  return {
    bytes: Buffer.concat([...head, index, ...body]),
    seconds,
    skipped: skippedVideo + (sound?.skipped ?? 0),
    placed: parts.map(({ sourceTicks, atTicks, ticks }) => ({
      sourceSeconds: sourceTicks / track.timescale,
      atSeconds: atTicks / track.timescale,
      seconds: ticks / track.timescale,
    })),
  };
}

function fragmentsOf(segment: Buffer | undefined, track: Track): readonly Fragment[] | undefined {
  if (segment === undefined) return undefined;
  try {
    return readFragments(segment, track);
  } catch (error) {
    if (error instanceof Mp4Error) return undefined; // Counted as skipped by the caller.
    throw error;
  }
}

function placeVideo(track: Track, segments: SpliceTrack['segments']): { parts: readonly Part[]; skipped: number } {
  const parts: Part[] = [];
  let atTicks = 0;
  for (const bytes of segments) {
    const fragments = fragmentsOf(bytes, track);
    const [first] = fragments ?? [];
    if (bytes === undefined || fragments === undefined || first === undefined) continue;
    const ticks = fragments.reduce((sum, one) => sum + one.ticks, 0);
    parts.push({ bytes, fragments, sourceTicks: first.baseTicks, atTicks, ticks });
    atTicks += ticks;
  }
  return { parts, skipped: segments.length - parts.length };
}

/** A copy of a fragment's moof at its new time. Pictures that are shown later than decoded are so by `shiftTicks`. */
function moved(part: Part, fragment: Fragment, to: { readonly sequence: number; readonly shiftTicks: number }): Buffer {
  const moof = Buffer.from(part.bytes.subarray(fragment.start, fragment.dataStart));
  const { edits } = fragment;
  const base = part.atTicks + fragment.baseTicks - part.sourceTicks + to.shiftTicks - fragment.earliestTicks;
  moof.writeUInt32BE(to.sequence, edits.sequence);
  moof.writeUInt32BE(VIDEO_ID, edits.trackId);
  if (edits.isLong) moof.writeBigUInt64BE(BigInt(base), edits.base);
  else moof.writeUInt32BE(base, edits.base);
  return moof;
}

type Frame = Pick<Sample, 'at' | 'size' | 'ticks'> & { readonly bytes: Buffer; readonly startTicks: number };
/** `track` is undefined when its init cannot be used. */
type Sound = { readonly track: Track | undefined; readonly frames: readonly Frame[]; readonly skipped: number };

/** Frames of sound in order of time, as the segments have them: their times without the edit that skips priming. */
function readSound(audio: SpliceTrack): Sound {
  let track: Track;
  try {
    track = readTrack(audio.init);
  } catch (error) {
    if (error instanceof Mp4Error) return { track: undefined, frames: [], skipped: 1 };
    throw error;
  }
  const frames: Frame[] = [];
  let skipped = 0;
  for (const bytes of audio.segments) {
    const fragments = fragmentsOf(bytes, track);
    if (bytes === undefined || fragments === undefined) {
      skipped += 1;
      continue;
    }
    for (const { baseTicks, samples } of fragments)
      for (const { at, size, startTicks, ticks } of samples)
        frames.push({ bytes, at, size, ticks, startTicks: baseTicks + startTicks });
  }
  return { track, frames, skipped };
}

type Heard = { readonly frames: readonly Frame[]; readonly baseTicks: number; readonly endTicks: number };

/** The frames that begin within a video segment; a frame's length at most they begin late, since none overlap. */
function soundOf({ track, frames }: Sound, part: Part, videoScale: number, notBefore: number): Heard | undefined {
  if (track === undefined) return undefined;
  const scale = track.timescale / videoScale;
  const from = part.sourceTicks * scale;
  const until = (part.sourceTicks + part.ticks) * scale;
  const own = frames.filter(({ startTicks }) => startTicks >= from && startTicks < until);
  const [first] = own;
  if (first === undefined) return undefined;
  const baseTicks = Math.max(notBefore, Math.round(part.atTicks * scale + first.startTicks - from));
  return { frames: own, baseTicks, endTicks: own.reduce((end, { ticks }) => end + ticks, baseTicks) };
}

function writeSound({ frames, baseTicks }: Heard, sequence: number): readonly Buffer[] {
  const write = (dataOffset: number): Buffer =>
    makeBox(
      'moof',
      makeBox('mfhd', u32s(0, sequence)),
      makeBox(
        'traf',
        makeBox('tfhd', u32s(TFHD_FLAGS, AUDIO_ID, AUDIO_FLAGS)),
        makeBox('tfdt', u32s(0x1000000), u64(baseTicks)),
        makeBox(
          'trun',
          u32s(TRUN_FLAGS, frames.length, dataOffset, ...frames.flatMap(({ ticks, size }) => [ticks, size])),
        ),
      ),
    );
  const moof = write(write(0).length + 8);
  return [moof, makeBox('mdat', ...frames.map(({ bytes, at, size }) => bytes.subarray(at, at + size)))];
}

/** ftyp and moov. Durations are said, so that a player shows the length before it has read the file. */
function writeHead(tracks: readonly Track[], seconds: number, shiftTicks: number): readonly Buffer[] {
  const movieTicks = Math.round(seconds * MOVIE_TIMESCALE);
  const matrix = u32s(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000);
  const rate = u32s(0x10000, 0x1000000, 0, 0);
  const mvhd = makeBox(
    'mvhd',
    ...[u32s(0, 0, 0, MOVIE_TIMESCALE, 0), rate, matrix, Buffer.alloc(24), u32s(tracks.length + 1)],
  );
  const mvex = makeBox(
    'mvex',
    makeBox('mehd', u32s(0, movieTicks)),
    ...tracks.map(({ trexTail }, index) => makeBox('trex', u32s(0, index + 1), trexTail)),
  );
  const traks = tracks.map((track, index) => writeTrack(track, index + 1, track.isVideo ? shiftTicks : 0));
  return [makeBox('ftyp', Buffer.from('iso6\0\0\0\0iso6mp41', 'latin1')), makeBox('moov', mvhd, ...traks, mvex)];
}

/** A trak with this id. Its edit list is replaced: nothing is skipped at a splice but what pictures are shown late by. */
function writeTrack({ trak }: Track, id: number, shiftTicks: number): Buffer {
  const parts: Buffer[] = [];
  for (const box of boxesIn(trak, { body: 8, end: trak.length })) {
    if (box.type === 'edts') continue;
    const copy = Buffer.from(trak.subarray(box.start, box.end));
    if (box.type === 'tkhd') {
      const idAt = copy.readUInt8(8) === 1 ? 28 : 20;
      if (copy.length < idAt + 4) throw new Mp4Error('tkhd is cut short');
      copy.writeUInt32BE(id, idAt);
    }
    parts.push(copy);
    if (box.type === 'tkhd' && shiftTicks > 0)
      parts.push(makeBox('edts', makeBox('elst', u32s(0, 1, 0, shiftTicks, 0x10000))));
  }
  return makeBox('trak', ...parts);
}

type Reference = { readonly bytes: number; readonly ticks: number };

/** Segment index: each video segment with the sound behind it, a keyframe first (SAP type 1; section 8.16.3). */
function writeIndex(timescale: number, firstTicks: number, references: readonly Reference[]): Buffer {
  return makeBox(
    'sidx',
    u32s(0, VIDEO_ID, timescale, firstTicks, 0, references.length),
    ...references.map(({ bytes, ticks }) => u32s(bytes, ticks, 0x90000000)),
  );
}
