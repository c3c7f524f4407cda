// What an init segment says: the codecs string for playlists, and whether one init segment can serve two encodes.
import { type Box, BoxError, boxReader, onlyBox, readBoxes } from './boxes.ts';

const CONTAINERS: ReadonlySet<string> = new Set(['moov', 'trak', 'mdia', 'minf', 'stbl', 'mvex', 'edts', 'dinf']);
/** Bytes of a sample entry before its child boxes, ISO/IEC 14496-12 sections 12.1.3 and 12.2.3 (QuickTime version 0). */
const ENTRY_BYTES = { visual: 78, audio: 28 } as const;

/**
 * The RFC 6381 codecs string of the one track in an init segment (ftyp and moov): `avc1.PPCCLL` from avcC,
 * `mp4a.40.N` from esds. Throws BoxError for any other sample entry, encrypted ones included.
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
  if (entry.type === 'mp4a') return audioCodec(init, need('esds'));
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
  const bodyStart = entry.bodyStart + (entry.type === 'mp4a' ? ENTRY_BYTES.audio : ENTRY_BYTES.visual);
  if (bodyStart > entry.end) throw new BoxError(`sample entry ${JSON.stringify(entry.type)} is cut short`);
  return { entry, children: readBoxes(init, { bodyStart, end: entry.end }) };
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
