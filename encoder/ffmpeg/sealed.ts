// Looks into an MP4 for sample entries that say "encrypted", so that DRM content is named and never half decoded.
import { open } from 'node:fs/promises';

/** A moov box above this is not read: no honest film has one. */
const MOOV_LIMIT_BYTES = 64 << 20;
/** Top-level boxes looked at before giving up. */
const MOST_BOXES = 10_000;
const PARENTS = new Set(['trak', 'mdia', 'minf', 'stbl']);
/** Common Encryption sample entries (ISO/IEC 14496-12, protected sample entry). */
const SEALED_ENTRIES = new Set(['encv', 'enca', 'enct', 'encs']);

type Box = { readonly type: string; readonly body: number; readonly end: number };

/** Whether the file is an MP4 with an encrypted track. False for anything else, unreadable boxes included. */
export async function isSealed(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const header = Buffer.alloc(16);
    let at = 0;
    for (let seen = 0; at + 8 <= size && seen < MOST_BOXES; seen++) {
      const { bytesRead } = await file.read(header, 0, 16, at);
      const box = readBox(header.subarray(0, bytesRead), 0, size - at);
      if (box === undefined) return false;
      if (box.type === 'moov') {
        const moov = Buffer.alloc(Math.min(box.end - box.body, MOOV_LIMIT_BYTES));
        await file.read(moov, 0, moov.length, at + box.body);
        return hasSealedEntry(moov, { type: 'moov', body: 0, end: moov.length });
      }
      at += box.end;
    }
    return false;
  } finally {
    await file.close();
  }
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

function hasSealedEntry(bytes: Buffer, parent: Box): boolean {
  for (let at = parent.body; at + 8 <= parent.end; ) {
    const box = readBox(bytes, at, parent.end);
    if (box === undefined) return false;
    if (parent.type === 'stsd' && SEALED_ENTRIES.has(box.type)) return true;
    // A sample description begins with its version, flags and count, 8 bytes.
    if (box.type === 'stsd' && hasSealedEntry(bytes, { ...box, body: box.body + 8 })) return true;
    if (PARENTS.has(box.type) && hasSealedEntry(bytes, box)) return true;
    at = box.end;
  }
  return false;
}
