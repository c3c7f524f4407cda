// Fragmented MP4 with one track: split into the init segment and its fragments, and moved in time. What ffmpeg writes
// with `-movflags +frag_keyframe+empty_moov+default_base_moof+cmaf` is what this takes; anything else is a BoxError.
import { type Box, BoxError, boxReader, findBox, onlyBox, readBoxes } from './boxes.ts';

/** One movie fragment: moof and its mdat. Ticks are in the track's timescale. */
export type Fragment = {
  /** moof and mdat, sharing memory with the bytes that were parsed. */
  readonly bytes: Buffer;
  /** Decode time of its first sample. */
  readonly baseTicks: number;
  /** Sum of its samples' durations. */
  readonly ticks: number;
  readonly samples: number;
  /** Its first sample is a sync sample, that is a keyframe; always so for audio. */
  readonly startsWithKey: boolean;
  /** Sum of its samples' sizes. */
  readonly payloadBytes: number;
  /** From the start of moof to the end of its first sample: all that a player needs to show that one picture. */
  readonly keyframeBytes: number;
  /** Earliest presentation time among its samples, before any edit list; equals baseTicks in CMAF video. */
  readonly presentationTicks: number;
  /** mfhd sequence number. */
  readonly sequence: number;
};

/** A fragmented MP4 taken apart. */
export type Fragmented = {
  /** ftyp and moov. */
  readonly init: Buffer;
  /** Ticks a second. */
  readonly timescale: number;
  /**
   * What the edit list takes off every presentation time, in ticks: positive when it skips the first samples (audio
   * priming, the delay of B-frames), negative when it starts late, 0 without one.
   */
  readonly editTicks: number;
  /** By its handler, hdlr. */
  readonly isVideo: boolean;
  readonly fragments: readonly Fragment[];
};

type Defaults = { readonly duration: number; readonly size: number; readonly flags: number };

/** Handler type of video, `vide`: ISO/IEC 14496-12 section 12.1.1. */
const VIDE = 0x76696465;
/** sample_is_non_sync_sample among the sample flags, ISO/IEC 14496-12 section 8.8.3.1. */
const NON_SYNC = 0x10000;
const TFHD = { baseDataOffset: 0x1, descriptionIndex: 0x2, duration: 0x8, size: 0x10, flags: 0x20 } as const;
const TRUN = {
  dataOffset: 0x1,
  firstFlags: 0x4,
  duration: 0x100,
  size: 0x200,
  flags: 0x400,
  composition: 0x800,
} as const;

/**
 * Splits a fragmented MP4. Boxes beside ftyp, moov, moof and mdat (styp, sidx, mfra, free ...) are left out: they hold
 * nothing that a segment needs, and indexes would be wrong once the fragments are moved.
 * Throws BoxError when it is no fragmented MP4 of exactly one track, or cut short, or its samples overrun their bytes.
 */
export function parseFragmented(bytes: Buffer): Fragmented {
  const boxes = readBoxes(bytes);
  const moovs = boxes.filter((box) => box.type === 'moov');
  const [moov] = moovs;
  if (moov === undefined || moovs.length > 1) throw new BoxError(`${moovs.length} moov boxes where one is needed`);
  const ftyp = boxes.find((box) => box.type === 'ftyp');
  if (ftyp === undefined || ftyp.start > moov.start) throw new BoxError('no ftyp box before moov');
  const { timescale, editTicks, isVideo, defaults, trackId } = readTrack(bytes, moov);
  const fragments: Fragment[] = [];
  for (const [index, moof] of boxes.entries()) {
    if (moof.type !== 'moof') continue;
    if (moof.start < moov.start) throw new BoxError('a moof box before moov');
    const mdat = boxes[index + 1];
    if (mdat?.type !== 'mdat') throw new BoxError(`moof at ${moof.start} is not followed by its mdat`);
    fragments.push(readFragment(bytes.subarray(moof.start, mdat.end), defaults, trackId));
  }
  const init =
    ftyp.end === moov.start
      ? bytes.subarray(ftyp.start, moov.end)
      : Buffer.concat([bytes.subarray(ftyp.start, ftyp.end), bytes.subarray(moov.start, moov.end)]);
  return { init, timescale, editTicks, isVideo, fragments };
}

/**
 * A copy of one fragment (moof and mdat, as parseFragmented gives them) with another sequence number (1..2^32-1) and
 * decode time (ticks). Nothing else changes. Throws BoxError when it is no fragment or the time does not fit its tfdt.
 */
export function rebaseFragment(bytes: Buffer, to: { readonly sequence: number; readonly baseTicks: number }): Buffer {
  if (!Number.isInteger(to.sequence) || to.sequence < 1 || to.sequence > 0xffffffff) {
    throw new BoxError(`sequence number ${to.sequence} is not in 1..2^32-1`);
  }
  if (!Number.isSafeInteger(to.baseTicks) || to.baseTicks < 0) {
    throw new BoxError(`decode time ${to.baseTicks} is not in 0..2^53-1`);
  }
  const moved = Buffer.from(bytes);
  const moof = onlyBox(moved, { bodyStart: 0, end: moved.length }, ['moof']);
  const mfhd = boxReader(moved, onlyBox(moved, moof, ['mfhd']));
  mfhd.skip(4);
  const sequenceAt = mfhd.at();
  mfhd.u32();
  const tfdt = boxReader(moved, onlyBox(moved, moof, ['traf', 'tfdt']));
  const version = tfdt.u32() >>> 24;
  const baseAt = tfdt.at();
  if (version === 0) {
    tfdt.u32();
    if (to.baseTicks > 0xffffffff) throw new BoxError(`decode time ${to.baseTicks} does not fit a tfdt of version 0`);
    moved.writeUInt32BE(to.baseTicks, baseAt);
  } else {
    tfdt.u64();
    moved.writeBigUInt64BE(BigInt(to.baseTicks), baseAt);
  }
  moved.writeUInt32BE(to.sequence, sequenceAt);
  return moved;
}

type Track = {
  readonly timescale: number;
  readonly editTicks: number;
  readonly isVideo: boolean;
  readonly trackId: number;
  readonly defaults: Defaults;
};

function readTrack(bytes: Buffer, moov: Box): Track {
  const trak = onlyBox(bytes, moov, ['trak']);
  const timescale = readTimescale(bytes, onlyBox(bytes, trak, ['mdia', 'mdhd']));
  if (findBox(bytes, moov, ['mvex']) === undefined) throw new BoxError('not fragmented: moov has no mvex box');
  const trex = boxReader(bytes, onlyBox(bytes, moov, ['mvex', 'trex']));
  trex.skip(4);
  const trackId = trex.u32();
  trex.skip(4);
  const editTicks = readEdits(bytes, moov, timescale);
  const hdlr = boxReader(bytes, onlyBox(bytes, trak, ['mdia', 'hdlr']));
  hdlr.skip(8);
  const isVideo = hdlr.u32() === VIDE;
  const defaults = { duration: trex.u32(), size: trex.u32(), flags: trex.u32() };
  return { timescale, editTicks, isVideo, trackId, defaults };
}

/** Timescale of an mvhd or mdhd box. */
function readTimescale(bytes: Buffer, box: Box): number {
  const header = boxReader(bytes, box);
  header.skip(header.u32() >>> 24 === 1 ? 16 : 8);
  const timescale = header.u32();
  if (timescale === 0) throw new BoxError(`the timescale in ${box.type} is 0`);
  return timescale;
}

/** Empty edits first (media time -1, lengths in the movie's timescale), then the one that says where media begins. */
function readEdits(bytes: Buffer, moov: Box, timescale: number): number {
  const box = findBox(bytes, moov, ['trak', 'edts', 'elst']);
  if (box === undefined) return 0;
  const movieTimescale = readTimescale(bytes, onlyBox(bytes, moov, ['mvhd']));
  const elst = boxReader(bytes, box);
  const isLong = elst.u32() >>> 24 === 1;
  let emptyTicks = 0;
  for (let left = elst.u32(); left > 0; left -= 1) {
    const length = isLong ? elst.u64() : elst.u32();
    const high = isLong ? elst.i32() : 0;
    const low = isLong ? elst.u32() : elst.i32();
    elst.skip(4);
    const mediaTime = isLong ? high * 2 ** 32 + low : low;
    if (mediaTime >= 0) return mediaTime - emptyTicks;
    emptyTicks += Math.round((length * timescale) / movieTimescale);
  }
  return -emptyTicks;
}

function readFragment(bytes: Buffer, fromTrex: Defaults, trackId: number): Fragment {
  const [moof, mdat] = readBoxes(bytes);
  if (moof === undefined || mdat === undefined) throw new BoxError('a fragment needs moof and mdat');
  const mfhd = boxReader(bytes, onlyBox(bytes, moof, ['mfhd']));
  mfhd.skip(4);
  const sequence = mfhd.u32();
  const traf = onlyBox(bytes, moof, ['traf']);
  const defaults = readTfhd(bytes, onlyBox(bytes, traf, ['tfhd']), fromTrex, trackId);
  const tfdt = boxReader(bytes, onlyBox(bytes, traf, ['tfdt']));
  const baseTicks = tfdt.u32() >>> 24 === 0 ? tfdt.u32() : tfdt.u64();
  const runs = readBoxes(bytes, traf).filter((box) => box.type === 'trun');
  let ticks = 0;
  let samples = 0;
  let payloadBytes = 0;
  let startsWithKey = false;
  let keyframeBytes = 0;
  let earliest = Number.POSITIVE_INFINITY;
  for (const box of runs) {
    const run = readTrun(bytes, box, defaults);
    const begin = run.dataOffset ?? mdat.bodyStart + payloadBytes;
    if (begin < mdat.bodyStart || begin + run.sizeBytes > mdat.end) {
      throw new BoxError(`samples of a trun lie at ${begin}..${begin + run.sizeBytes}, outside their mdat`);
    }
    if (samples === 0) {
      startsWithKey = run.samples > 0 && (run.firstFlags & NON_SYNC) === 0;
      keyframeBytes = begin + run.firstBytes;
    }
    earliest = Math.min(earliest, ticks + run.earliest);
    ticks += run.ticks;
    samples += run.samples;
    payloadBytes += run.sizeBytes;
  }
  if (samples === 0) throw new BoxError('a fragment without samples');
  if (!Number.isSafeInteger(baseTicks + ticks)) throw new BoxError('decode times beyond 2^53');
  const presentationTicks = baseTicks + earliest;
  const sums = { ticks, samples, payloadBytes, keyframeBytes };
  return { bytes, baseTicks, ...sums, startsWithKey, presentationTicks, sequence };
}

function readTfhd(bytes: Buffer, box: Box, fromTrex: Defaults, trackId: number): Defaults {
  const tfhd = boxReader(bytes, box);
  const flags = tfhd.u32() & 0xffffff;
  const id = tfhd.u32();
  if (id !== trackId) throw new BoxError(`a fragment of track ${id}, but the file has only track ${trackId}`);
  if (flags & TFHD.baseDataOffset) throw new BoxError('tfhd has a base data offset, so its fragment cannot be moved');
  if (flags & TFHD.descriptionIndex) tfhd.skip(4);
  const duration = flags & TFHD.duration ? tfhd.u32() : fromTrex.duration;
  const size = flags & TFHD.size ? tfhd.u32() : fromTrex.size;
  return { duration, size, flags: flags & TFHD.flags ? tfhd.u32() : fromTrex.flags };
}

type Run = {
  readonly samples: number;
  readonly ticks: number;
  readonly sizeBytes: number;
  /** Size of the first sample. */
  readonly firstBytes: number;
  readonly firstFlags: number;
  readonly dataOffset: number | undefined;
  /** Earliest presentation time of a sample, from the run's first decode time. */
  readonly earliest: number;
};

function readTrun(bytes: Buffer, box: Box, defaults: Defaults): Run {
  const trun = boxReader(bytes, box);
  const head = trun.u32();
  const isSigned = head >>> 24 > 0;
  const flags = head & 0xffffff;
  const samples = trun.u32();
  const dataOffset = flags & TRUN.dataOffset ? trun.i32() : undefined;
  let firstFlags = flags & TRUN.firstFlags ? trun.u32() : undefined;
  const fields = [TRUN.duration, TRUN.size, TRUN.flags, TRUN.composition].filter((flag) => flags & flag).length;
  if (samples * fields * 4 > trun.left()) throw new BoxError(`a trun of ${samples} samples is cut short`);
  if (fields === 0) {
    // Nothing is said per sample, so a hostile count costs nothing: the sums are products.
    const sums = { samples, ticks: samples * defaults.duration, sizeBytes: samples * defaults.size };
    const first = { firstFlags: firstFlags ?? defaults.flags, firstBytes: defaults.size };
    return { ...sums, ...first, dataOffset, earliest: 0 };
  }
  let ticks = 0;
  let sizeBytes = 0;
  let firstBytes = 0;
  let earliest = Number.POSITIVE_INFINITY;
  for (let index = 0; index < samples; index += 1) {
    const duration = flags & TRUN.duration ? trun.u32() : defaults.duration;
    sizeBytes += flags & TRUN.size ? trun.u32() : defaults.size;
    const sampleFlags = flags & TRUN.flags ? trun.u32() : defaults.flags;
    if (index === 0) {
      firstFlags ??= sampleFlags;
      firstBytes = sizeBytes;
    }
    const offset = flags & TRUN.composition ? (isSigned ? trun.i32() : trun.u32()) : 0;
    earliest = Math.min(earliest, ticks + offset);
    ticks += duration;
  }
  return { samples, ticks, sizeBytes, firstBytes, firstFlags: firstFlags ?? defaults.flags, dataOffset, earliest };
}
