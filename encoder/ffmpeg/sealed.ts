// Looks for encryption (DRM) in a file before anything decodes it: protected tracks of MP4, ContentEncryption of Matroska,
// scrambled packets of MPEG-TS, the encryption objects of ASF. Damaged files are nobody's secret, and are left to ffmpeg.
import { type FileHandle, open } from 'node:fs/promises';

/** Bytes at the front that every kind is told by, and in which Matroska, MPEG-TS and ASF say all that is asked here. */
const HEAD_BYTES = 2 << 20;
/** A moov box above this is not read: no honest film has one. */
const MOOV_LIMIT_BYTES = 64 << 20;
/** Top-level boxes looked at before giving up. */
const MOST_BOXES = 10_000;
/** What is nested deeper than this describes no track. */
const DEEPEST = 8;
const PARENTS = new Set(['trak', 'mdia', 'minf', 'stbl']);
/** Protected sample entries (ISO/IEC 14496-12, 8.12) and those of FairPlay. */
const SEALED_ENTRIES = new Set(['encv', 'enca', 'enct', 'encs', 'drmi', 'drms']);

/** Whether the file is encrypted. False for anything unknown, unreadable boxes included. */
export async function isSealed(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const head = Buffer.alloc(Math.min(size, HEAD_BYTES));
    await file.read(head, 0, head.length, 0);
    if (head.subarray(0, 4).equals(EBML)) {
      return isSealedMatroska(head, { from: 0, to: head.length }, DEEPEST);
    }
    if (head.subarray(0, 16).equals(ASF_HEADER)) return ASF_ENCRYPTION.some((guid) => head.includes(guid));
    const packetBytes = [188, 192, 204].find((bytes) => isTransportStream(head, bytes));
    if (packetBytes !== undefined) return isScrambled(head, packetBytes);
    return await isSealedMp4(file, size);
  } finally {
    await file.close();
  }
}

type Box = { readonly type: string; readonly body: number; readonly end: number };

async function isSealedMp4(file: FileHandle, size: number): Promise<boolean> {
  const header = Buffer.alloc(16);
  let at = 0;
  for (let seen = 0; at + 8 <= size && seen < MOST_BOXES; seen++) {
    const { bytesRead } = await file.read(header, 0, 16, at);
    const box = readBox(header.subarray(0, bytesRead), 0, size - at);
    if (box === undefined) return false;
    if (box.type === 'moov') {
      const moov = Buffer.alloc(Math.min(box.end - box.body, MOOV_LIMIT_BYTES));
      await file.read(moov, 0, moov.length, at + box.body);
      return hasSealedEntry(moov, { type: 'moov', body: 0, end: moov.length }, DEEPEST);
    }
    at += box.end;
  }
  return false;
}

/** The box at `at`; undefined when its size cannot be. `limit` is where its parent ends. */
function readBox(bytes: Buffer, at: number, limit: number): Box | undefined {
  if (at + 8 > bytes.length) return undefined;
  const short = bytes.readUInt32BE(at);
  const type = bytes.toString('latin1', at + 4, at + 8);
  if (short === 0) return { type, body: at + 8, end: limit };
  if (short !== 1) return short < 8 ? undefined : { type, body: at + 8, end: Math.min(limit, at + short) };
  if (at + 16 > bytes.length) return undefined;
  const long = Number(bytes.readBigUInt64BE(at + 8));
  return long < 16 ? undefined : { type, body: at + 16, end: Math.min(limit, at + long) };
}

function hasSealedEntry(bytes: Buffer, parent: Box, depth: number): boolean {
  for (let at = parent.body; depth > 0 && at + 8 <= parent.end; ) {
    const box = readBox(bytes, at, parent.end);
    if (box === undefined) return false;
    if (parent.type === 'stsd' && SEALED_ENTRIES.has(box.type)) return true;
    // A sample description begins with its version, flags and count, 8 bytes.
    if (box.type === 'stsd' && hasSealedEntry(bytes, { ...box, body: box.body + 8 }, depth - 1)) return true;
    if (PARENTS.has(box.type) && hasSealedEntry(bytes, box, depth - 1)) return true;
    at = box.end;
  }
  return false;
}

const EBML = Buffer.from('1a45dfa3', 'hex');
/** Segment, Tracks, TrackEntry, ContentEncodings, ContentEncoding (RFC 9559, 5.1). */
const MATROSKA_PARENTS = new Set([0x18538067, 0x1654ae6b, 0xae, 0x6d80, 0x6240]);
const CONTENT_ENCRYPTION = 0x5035;

type Stretch = { readonly from: number; readonly to: number };

function isSealedMatroska(bytes: Buffer, { from, to }: Stretch, depth: number): boolean {
  for (let at = from; depth > 0 && at < to; ) {
    const id = readVint(bytes, at, { keepsMarker: true });
    const size = id === undefined ? undefined : readVint(bytes, at + id.length, { keepsMarker: false });
    if (id === undefined || size === undefined) return false;
    if (id.value === CONTENT_ENCRYPTION) return true;
    const body = at + id.length + size.length;
    // A size of all ones is unknown: such an element ends with its parent.
    const isUnknown = size.value === 2 ** (7 * size.length) - 1;
    const end = isUnknown ? to : Math.min(to, body + size.value);
    if (MATROSKA_PARENTS.has(id.value) && isSealedMatroska(bytes, { from: body, to: end }, depth - 1)) return true;
    at = end;
  }
  return false;
}

/** A number of variable length (RFC 8794, 4); an identifier keeps the bit that says how long it is. */
function readVint(bytes: Buffer, at: number, { keepsMarker }: { readonly keepsMarker: boolean }) {
  const first = bytes[at] ?? 0;
  const length = Math.clz32(first) - 23;
  if (first === 0 || at + length > bytes.length) return undefined;
  let value = keepsMarker ? first : first & (0xff >> length);
  for (let next = 1; next < length; next++) value = value * 256 + (bytes[at + next] ?? 0);
  return { value, length };
}

/** Packets that must begin with the sync byte for a stream to be one, and share of scrambled ones that seals it. */
const SYNCED_PACKETS = 5;
const SCRAMBLED_SHARE = 0.2;

/** Packets of 192 bytes begin with a time stamp of 4. */
const syncOf = (packetBytes: number): number => (packetBytes === 192 ? 4 : 0);

function isTransportStream(bytes: Buffer, packetBytes: number): boolean {
  return Array.from({ length: SYNCED_PACKETS }, (_, at) => bytes[syncOf(packetBytes) + at * packetBytes]).every(
    (byte) => byte === 0x47,
  );
}

/** transport_scrambling_control (ISO/IEC 13818-1, 2.4.3.3) of packets with a payload that are not stuffing. */
function isScrambled(bytes: Buffer, packetBytes: number): boolean {
  let [all, scrambled] = [0, 0];
  for (let at = syncOf(packetBytes); at + 4 <= bytes.length; at += packetBytes) {
    const isStuffing = (((bytes[at + 1] ?? 0) & 0x1f) << 8) + (bytes[at + 2] ?? 0) === 0x1fff;
    const control = bytes[at + 3] ?? 0;
    if (bytes[at] !== 0x47 || isStuffing || (control & 0x10) === 0) continue;
    all += 1;
    if ((control & 0xc0) !== 0) scrambled += 1;
  }
  return scrambled > SCRAMBLED_SHARE * all;
}

const ASF_HEADER = Buffer.from('3026b2758e66cf11a6d900aa0062ce6c', 'hex');
/** Content Encryption Object and Extended Content Encryption Object (ASF specification, 3.14 and 3.15). */
const ASF_ENCRYPTION = [
  Buffer.from('fbb3112223bdd211b4b700a0c955fc6e', 'hex'),
  Buffer.from('14e68a292226174cb935dae07ee9289c', 'hex'),
];
