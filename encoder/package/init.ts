// What an init segment says: the codecs string for playlists, and whether one init segment can serve two encodes.
import { type Box, BoxError, boxReader, onlyBox, readBoxes } from './boxes.ts';

const CONTAINERS: ReadonlySet<string> = new Set(['moov', 'trak', 'mdia', 'minf', 'stbl', 'mvex', 'edts', 'dinf']);
/** Bytes of a sample entry before its child boxes, ISO/IEC 14496-12 sections 12.1.3 and 12.2.3 (QuickTime version 0). */
const ENTRY_BYTES = { visual: 78, audio: 28 } as const;
const AUDIO_ENTRIES: ReadonlySet<string> = new Set(['mp4a', 'Opus']);

/**
 * The RFC 6381 codecs string of the one track in an init segment (ftyp and moov): `avc1.PPCCLL` from avcC,
 * `hvc1.P.C.TL.F` from hvcC (ISO/IEC 14496-15 annex E.3), `av01.P.LLT.DD` from av1C (AV1 in ISOBMFF section 5),
 * `mp4a.40.N` from esds, `opus`. Throws BoxError for any other sample entry, encrypted ones included.
 */
export function codecString(init: Buffer): string {
  const { entry, children } = sampleEntry(init);
  const need = (type: string): Box => {
    const box = children.find((child) => child.type === type);
    if (box === undefined) throw new BoxError(`sample entry ${entry.type} without ${type}`);
    return box;
  };
  if (entry.type === 'avc1' || entry.type === 'avc3') {
    const avcC = boxReader(init, need('avcC'));
    avcC.skip(1);
    const hex = [avcC.u8(), avcC.u8(), avcC.u8()].map((byte) => byte.toString(16).padStart(2, '0'));
    return `${entry.type}.${hex.join('').toUpperCase()}`;
  }
  if (entry.type === 'hvc1' || entry.type === 'hev1') return `${entry.type}.${hevcCodec(init, need('hvcC'))}`;
  if (entry.type === 'av01') {
    const colr = children.find((child) => child.type === 'colr');
    return `av01.${av1Codec(init, need('av1C'), colr)}`;
  }
  if (entry.type === 'mp4a') return audioCodec(init, need('esds'));
  if (entry.type === 'Opus') {
    need('dOps');
    // The entry is called Opus, and browsers' media sources call it opus.
    return 'opus';
  }
  throw new BoxError(`no codecs string is known for sample entry ${JSON.stringify(entry.type)}`);
}

/**
 * Where two init segments differ in what a decoder needs: box paths such as `moov/trak/mdia/minf/stbl/stsd`, empty when
 * one can stand for both. Durations, creation and modification times, bit rates (btrt) and user data (the
 * encoder's name) are not compared. Throws BoxError on broken boxes.
 */
export function differingBoxes(a: Buffer, b: Buffer): readonly string[] {
  const left = comparable(a);
  const right = comparable(b);
  const paths = new Set([...left.keys(), ...right.keys()]);
  return [...paths].filter((path) => {
    const [one, other] = [left.get(path), right.get(path)];
    return one === undefined || other === undefined || !one.equals(other);
  });
}

function sampleEntry(init: Buffer): { readonly entry: Box; readonly children: readonly Box[] } {
  const stsd = onlyBox(init, { bodyStart: 0, end: init.length }, ['moov', 'trak', 'mdia', 'minf', 'stbl', 'stsd']);
  if (stsd.end - stsd.bodyStart < 8) throw new BoxError('stsd is cut short');
  const entries = readBoxes(init, { bodyStart: stsd.bodyStart + 8, end: stsd.end });
  const [entry] = entries;
  if (entry === undefined || entries.length > 1) throw new BoxError(`${entries.length} sample entries, one is needed`);
  const bodyStart = entry.bodyStart + (AUDIO_ENTRIES.has(entry.type) ? ENTRY_BYTES.audio : ENTRY_BYTES.visual);
  if (bodyStart > entry.end) throw new BoxError(`sample entry ${JSON.stringify(entry.type)} is cut short`);
  return { entry, children: readBoxes(init, { bodyStart, end: entry.end }) };
}

/** HEVCDecoderConfigurationRecord, ISO/IEC 14496-15 section 8.3.3.1. */
function hevcCodec(init: Buffer, hvcC: Box): string {
  const reader = boxReader(init, hvcC);
  reader.skip(1);
  const first = reader.u8();
  const space = ['', 'A', 'B', 'C'][first >> 6] ?? '';
  const tier = first & 0x20 ? 'H' : 'L';
  // Flag 0 is the highest bit of the field and the lowest of the number in the string.
  const stored = reader.u32();
  let compatibility = 0;
  for (let bit = 0; bit < 32; bit += 1) compatibility += ((stored >>> bit) & 1) * 2 ** (31 - bit);
  const constraints = Array.from({ length: 6 }, () => reader.u8());
  const kept = constraints.slice(0, constraints.findLastIndex((byte) => byte !== 0) + 1);
  const level = reader.u8();
  const hex = (value: number): string => value.toString(16).toUpperCase();
  return [`${space}${first & 0x1f}`, hex(compatibility), `${tier}${level}`, ...kept.map(hex)].join('.');
}

/** Colour that the short form of AV1's string means: BT.709, limited range. */
const PLAIN_COLOUR = '.01.01.01.0';

/** AV1CodecConfigurationRecord; the long form, with the colour of the colr box, where it is not BT.709. */
function av1Codec(init: Buffer, av1C: Box, colr: Box | undefined): string {
  const reader = boxReader(init, av1C);
  reader.skip(1);
  const [profileAndLevel, flags] = [reader.u8(), reader.u8()];
  const two = (value: number): string => String(value).padStart(2, '0');
  const isDeep = (flags & 0x40) !== 0;
  const depth = isDeep ? (flags & 0x20 ? 12 : 10) : 8;
  const level = `${two(profileAndLevel & 0x1f)}${flags & 0x80 ? 'H' : 'M'}`;
  const short = [profileAndLevel >> 5, level, two(depth)].join('.');
  const colour = colr === undefined ? PLAIN_COLOUR : nclx(init, colr);
  if (colour === PLAIN_COLOUR) return short;
  const subsampling = [(flags >> 3) & 1, (flags >> 2) & 1, flags & 3].join('');
  return `${short}.${(flags >> 4) & 1}.${subsampling}${colour}`;
}

/** Primaries, transfer, matrix and range of a colr box of type nclx, as AV1's string has them. */
function nclx(init: Buffer, colr: Box): string {
  const reader = boxReader(init, colr);
  if (reader.u32() !== 0x6e636c78) return PLAIN_COLOUR;
  const codes = [reader.u16(), reader.u16(), reader.u16()].map((code) => String(code).padStart(2, '0'));
  return `.${codes.join('.')}.${reader.u8() >> 7}`;
}

/** Tags of the descriptors in esds, ISO/IEC 14496-1 section 7.2.2.1. */
const TAG = { elementaryStream: 3, decoderConfig: 4, decoderSpecific: 5 } as const;

/** Walks ES_Descriptor > DecoderConfigDescriptor > DecoderSpecificInfo, each with a length of one to four bytes. */
function audioCodec(init: Buffer, esds: Box): string {
  const reader = boxReader(init, esds);
  const enter = (tag: number): void => {
    const found = reader.u8();
    if (found !== tag) throw new BoxError(`descriptor ${found} in esds where ${tag} is needed`);
    for (let count = 0; reader.u8() & 0x80; count += 1)
      if (count === 3) throw new BoxError('descriptor length in esds');
  };
  reader.skip(4);
  enter(TAG.elementaryStream);
  reader.skip(2);
  const flags = reader.u8();
  if (flags & 0x80) reader.skip(2);
  if (flags & 0x40) reader.skip(reader.u8());
  if (flags & 0x20) reader.skip(2);
  enter(TAG.decoderConfig);
  const objectType = reader.u8();
  reader.skip(12);
  const prefix = `mp4a.${objectType.toString(16).toUpperCase()}`;
  if (objectType !== 0x40) return prefix;
  enter(TAG.decoderSpecific);
  const first = reader.u8();
  // AudioSpecificConfig: five bits of object type, and 31 says that six more follow (ISO/IEC 14496-3 section 1.6.2.1).
  const audioType = first >> 3 === 31 ? 32 + (((first & 7) << 3) | (reader.u8() >> 5)) : first >> 3;
  return `${prefix}.${audioType}`;
}

/** Leaf boxes by path, what may differ set to zero. */
function comparable(init: Buffer): Map<string, Buffer> {
  const leaves = new Map<string, Buffer>();
  const walk = (span: { readonly bodyStart: number; readonly end: number }, prefix: string): void => {
    for (const box of readBoxes(init, span)) {
      const path = `${prefix}${box.type}`;
      if (box.type === 'udta' || box.type === 'free') continue;
      if (CONTAINERS.has(box.type)) walk(box, `${path}/`);
      else leaves.set(leaves.has(path) ? `${path}@${box.start}` : path, withoutTimes(init, box));
    }
  };
  walk({ bodyStart: 0, end: init.length }, '');
  return leaves;
}

function withoutTimes(init: Buffer, box: Box): Buffer {
  if (box.type === 'stsd') return withoutRates(init);
  const body = Buffer.from(init.subarray(box.bodyStart, box.end));
  const isLong = body.length > 0 && body.readUInt8(0) === 1;
  const zero = (start: number, end: number): void =>
    void body.fill(0, Math.min(start, body.length), Math.min(end, body.length));
  if (box.type === 'mvhd' || box.type === 'mdhd') {
    // Creation and modification time; the timescale stays; the duration.
    zero(4, isLong ? 20 : 12);
    zero(isLong ? 24 : 16, isLong ? 32 : 20);
  } else if (box.type === 'tkhd') {
    // As above, with the track's number and a reserved field in the middle.
    zero(4, isLong ? 20 : 12);
    zero(isLong ? 28 : 20, isLong ? 36 : 24);
  } else if (box.type === 'mehd') {
    zero(4, body.length);
  } else if (box.type === 'elst') {
    // Only the length of each edit: where it starts in the media decides what is shown when.
    const entryBytes = isLong ? 20 : 12;
    for (let at = 8; at < body.length; at += entryBytes) zero(at, at + (isLong ? 8 : 4));
  }
  return body;
}

/** The sample entry and its children but btrt; the entry's own size is left out, since it counts btrt. */
function withoutRates(init: Buffer): Buffer {
  const { entry, children } = sampleEntry(init);
  const fixed = init.subarray(entry.bodyStart, children[0]?.start ?? entry.end);
  const kept = children.filter((child) => child.type !== 'btrt').map((child) => init.subarray(child.start, child.end));
  return Buffer.concat([Buffer.from(entry.type, 'latin1'), fixed, ...kept]);
}
