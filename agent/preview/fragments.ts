// What a preview needs of fragmented MP4 with one track, as the packages of this site are: the init segment's track, and
// the samples of a segment's movie fragments. Whatever is not that is an Mp4Error. Pure.
import { type Box, boxAt, boxesIn, fieldsOf, Mp4Error } from './boxes.ts';

/** A track as its init segment describes it. */
export type Track = {
  readonly id: number;
  /** Ticks a second. */
  readonly timescale: number;
  readonly isVideo: boolean;
  /** Bytes of a length in front of each NAL unit of AVC and HEVC samples; undefined: a codec without. */
  readonly lengthBytes: number | undefined;
  readonly defaults: SampleDefaults;
  /** The trak box, and the tail of trex behind its track id. */
  readonly trak: Buffer;
  readonly trexTail: Buffer;
};

type SampleDefaults = { readonly duration: number; readonly size: number; readonly flags: number };

/** One sample: where it lies in its segment, and its time in ticks from the first of its fragment. */
export type Sample = {
  readonly at: number;
  readonly size: number;
  readonly startTicks: number;
  readonly ticks: number;
  /** Composition offset in ticks. */
  readonly offset: number;
  readonly flags: number;
};

/** A movie fragment: moof in [start, dataStart) of the segment, mdat in [dataStart, end); `edits` are offsets in moof. */
export type Fragment = {
  readonly start: number;
  readonly dataStart: number;
  readonly end: number;
  /** Decode time of its first sample, in ticks. */
  readonly baseTicks: number;
  readonly ticks: number;
  readonly samples: readonly Sample[];
  /** Earliest presentation time of a sample from baseTicks, in ticks; 0 in CMAF. */
  readonly earliestTicks: number;
  readonly edits: {
    readonly sequence: number;
    readonly trackId: number;
    readonly base: number;
    readonly isLong: boolean;
  };
};

const VIDEO_HANDLER = 0x76696465;
/** Sample entries of ISO/IEC 14496-15 whose samples are NAL units, and where their configuration has the length's size. */
const NAL_ENTRIES: Readonly<Record<string, { readonly box: string; readonly at: number }>> = {
  avc1: { box: 'avcC', at: 4 },
  avc3: { box: 'avcC', at: 4 },
  hvc1: { box: 'hvcC', at: 21 },
  hev1: { box: 'hvcC', at: 21 },
};
/** Fields of a visual sample entry in front of its boxes, ISO/IEC 14496-12 section 12.1.3. */
const VISUAL_ENTRY_BYTES = 78;
/** sample_is_non_sync_sample, ISO/IEC 14496-12 section 8.8.3.1. */
const NON_SYNC = 0x10000;
const TFHD = { baseOffset: 0x1, entry: 0x2, duration: 0x8, size: 0x10, flags: 0x20 } as const;
const TRUN = { dataOffset: 0x1, firstFlags: 0x4, duration: 0x100, size: 0x200, flags: 0x400, offset: 0x800 } as const;
/** A segment lasts seconds: more samples are not a segment's. */
const MOST_SAMPLES = 20_000;

/** Reads an init segment. Throws Mp4Error unless it is one clear (unencrypted) track, fragmented. */
export function readTrack(init: Buffer): Track {
  const moov = boxAt(init, { body: 0, end: init.length }, ['moov']);
  const trak = boxAt(init, moov, ['trak']);
  const mdhd = fieldsOf(init, boxAt(init, trak, ['mdia', 'mdhd']));
  mdhd.skip(mdhd.u32() >>> 24 === 1 ? 16 : 8);
  const timescale = mdhd.u32();
  if (timescale === 0) throw new Mp4Error('a timescale of 0');
  const hdlr = fieldsOf(init, boxAt(init, trak, ['mdia', 'hdlr']));
  hdlr.skip(8);
  const isVideo = hdlr.u32() === VIDEO_HANDLER;
  const trexBox = boxAt(init, moov, ['mvex', 'trex']);
  const trex = fieldsOf(init, trexBox);
  trex.skip(4);
  const id = trex.u32();
  trex.skip(4);
  const defaults = { duration: trex.u32(), size: trex.u32(), flags: trex.u32() };
  const entry = sampleEntry(init, trak);
  if (entry.type === 'encv' || entry.type === 'enca') throw new Mp4Error('the track is encrypted');
  return {
    ...{ id, timescale, isVideo, defaults },
    lengthBytes: nalLengthBytes(init, entry),
    trak: init.subarray(trak.start, trak.end),
    trexTail: init.subarray(trexBox.body + 8, trexBox.end),
  };
}

function sampleEntry(init: Buffer, trak: Box): Box {
  const stsd = boxAt(init, trak, ['mdia', 'minf', 'stbl', 'stsd']);
  const [entry, other] = boxesIn(init, { body: Math.min(stsd.body + 8, stsd.end), end: stsd.end });
  if (entry === undefined || other !== undefined) throw new Mp4Error('not exactly one sample entry');
  return entry;
}

function nalLengthBytes(init: Buffer, entry: Box): number | undefined {
  const place = NAL_ENTRIES[entry.type];
  if (place === undefined) return undefined;
  const config = boxAt(init, { body: Math.min(entry.body + VISUAL_ENTRY_BYTES, entry.end), end: entry.end }, [
    place.box,
  ]);
  const at = config.body + place.at;
  if (at >= config.end) throw new Mp4Error(`${place.box} is cut short`);
  return (init.readUInt8(at) & 3) + 1;
}

/**
 * The fragments of a segment, in order. Throws Mp4Error where a fragment is not of the track, overruns its bytes, does
 * not go on where the one before ended, or a video segment does not begin with a keyframe, or its samples are not whole
 * NAL units: then the segment must be left out.
 */
export function readFragments(segment: Buffer, track: Track): readonly Fragment[] {
  const boxes = boxesIn(segment);
  const fragments: Fragment[] = [];
  let samples = 0;
  for (const [index, moof] of boxes.entries()) {
    if (moof.type !== 'moof') continue;
    const mdat = boxes[index + 1];
    if (mdat?.type !== 'mdat') throw new Mp4Error(`no mdat behind moof at ${moof.start}`);
    const fragment = readFragment(segment, { moof, mdat }, track);
    const previous = fragments.at(-1);
    if (previous !== undefined && previous.baseTicks + previous.ticks !== fragment.baseTicks)
      throw new Mp4Error(`a gap in decode times at ${moof.start}`);
    samples += fragment.samples.length;
    if (samples > MOST_SAMPLES) throw new Mp4Error(`more than ${MOST_SAMPLES} samples`);
    fragments.push(fragment);
  }
  const first = fragments[0]?.samples[0];
  if (first === undefined) throw new Mp4Error('a segment without samples');
  if (track.isVideo && (first.flags & NON_SYNC) !== 0) throw new Mp4Error('a segment that begins with no keyframe');
  return fragments;
}

function readFragment(bytes: Buffer, at: { readonly moof: Box; readonly mdat: Box }, track: Track): Fragment {
  const { moof, mdat } = at;
  const traf = boxAt(bytes, moof, ['traf']);
  const mfhd = boxAt(bytes, moof, ['mfhd']);
  const tfhd = boxAt(bytes, traf, ['tfhd']);
  const defaults = readHeader(bytes, tfhd, track);
  const tfdt = boxAt(bytes, traf, ['tfdt']);
  const time = fieldsOf(bytes, tfdt);
  const isLong = time.u32() >>> 24 === 1;
  const baseTicks = isLong ? time.u64() : time.u32();
  const samples: Sample[] = [];
  let dataAt = mdat.body;
  let ticks = 0;
  for (const box of boxesIn(bytes, traf)) {
    if (box.type !== 'trun') continue;
    const run = readRun(bytes, box, {
      defaults,
      moofStart: moof.start,
      dataAt,
      ticks,
      room: MOST_SAMPLES - samples.length,
    });
    for (const sample of run.samples) samples.push(sample);
    dataAt = run.dataAt;
    ticks = run.ticks;
  }
  if (mfhd.end - mfhd.body < 8) throw new Mp4Error('mfhd is cut short');
  for (const { at: from, size } of samples) {
    if (from < mdat.body || from + size > mdat.end) throw new Mp4Error(`a sample at ${from} lies outside its mdat`);
    if (track.lengthBytes !== undefined) checkUnits(bytes, { from, size }, track.lengthBytes);
  }
  return {
    ...{ start: moof.start, dataStart: mdat.start, end: mdat.end, baseTicks, ticks, samples },
    earliestTicks: samples.reduce(
      (least, one) => Math.min(least, one.startTicks + one.offset),
      Number.POSITIVE_INFINITY,
    ),
    edits: {
      sequence: mfhd.body + 4 - moof.start,
      trackId: tfhd.body + 4 - moof.start,
      base: tfdt.body + 4 - moof.start,
      isLong,
    },
  };
}

function readHeader(bytes: Buffer, box: Box, track: Track): SampleDefaults {
  const tfhd = fieldsOf(bytes, box);
  const flags = tfhd.u32() & 0xffffff;
  if (tfhd.u32() !== track.id) throw new Mp4Error('a fragment of another track');
  if (flags & TFHD.baseOffset) throw new Mp4Error('a fragment with a base data offset cannot be moved');
  if (flags & TFHD.entry) tfhd.skip(4);
  const duration = flags & TFHD.duration ? tfhd.u32() : track.defaults.duration;
  const size = flags & TFHD.size ? tfhd.u32() : track.defaults.size;
  return { duration, size, flags: flags & TFHD.flags ? tfhd.u32() : track.defaults.flags };
}

type RunFrom = {
  readonly defaults: SampleDefaults;
  readonly moofStart: number;
  readonly dataAt: number;
  readonly ticks: number;
  /** Samples that it may have. */
  readonly room: number;
};

function readRun(bytes: Buffer, box: Box, from: RunFrom): Pick<RunFrom, 'dataAt' | 'ticks'> & { samples: Sample[] } {
  const trun = fieldsOf(bytes, box);
  const head = trun.u32();
  const isSigned = head >>> 24 > 0;
  const flags = head & 0xffffff;
  const count = trun.u32();
  if (count > from.room) throw new Mp4Error(`more than ${MOST_SAMPLES} samples`);
  let dataAt = flags & TRUN.dataOffset ? from.moofStart + trun.i32() : from.dataAt;
  const firstFlags = flags & TRUN.firstFlags ? trun.u32() : undefined;
  let { ticks } = from;
  const samples: Sample[] = [];
  for (let index = 0; index < count; index += 1) {
    const duration = flags & TRUN.duration ? trun.u32() : from.defaults.duration;
    const size = flags & TRUN.size ? trun.u32() : from.defaults.size;
    const own = flags & TRUN.flags ? trun.u32() : from.defaults.flags;
    const offset = flags & TRUN.offset ? (isSigned ? trun.i32() : trun.u32()) : 0;
    const sampleFlags = index === 0 ? (firstFlags ?? own) : own;
    samples.push({ at: dataAt, size, startTicks: ticks, ticks: duration, offset, flags: sampleFlags });
    dataAt += size;
    ticks += duration;
  }
  return { samples, dataAt, ticks };
}

/** NAL units fill a sample exactly, each with the forbidden zero bit clear (ISO/IEC 14496-10 section 7.4.1). */
function checkUnits(
  bytes: Buffer,
  { from, size }: { readonly from: number; readonly size: number },
  length: number,
): void {
  let at = from;
  const end = from + size;
  while (at < end) {
    if (end - at <= length) throw new Mp4Error(`a sample at ${from} ends within a length`);
    const unit = bytes.readUIntBE(at, length);
    at += length;
    if (unit === 0 || unit > end - at) throw new Mp4Error(`a NAL unit at ${at} overruns its sample`);
    if (bytes.readUInt8(at) & 0x80) throw new Mp4Error(`no NAL unit begins at ${at}`);
    at += unit;
  }
}
