// Boxes of ISO BMFF (ISO/IEC 14496-12) read from bytes that nobody vouches for: every offset is checked before it is
// used, and whatever does not fit is a BoxError.

/** The bytes are not the boxes they claim to be; `message` names the box and what is wrong with it. */
export class BoxError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'BoxError';
  }
}

/** Where a box lies in its bytes: header at `start`, content from `bodyStart` up to and without `end`. */
export type Box = { readonly type: string; readonly start: number; readonly bodyStart: number; readonly end: number };

/** A range of bytes that holds boxes. */
export type Span = { readonly bodyStart: number; readonly end: number };

/** More boxes than this in one container are refused: a real one has a few per segment. */
const MAX_BOXES = 100_000;

function readBox(bytes: Buffer, start: number, end: number): Box {
  if (end - start < 8) throw new BoxError(`${end - start} stray bytes at ${start}, where a box should begin`);
  const type = bytes.toString('latin1', start + 4, start + 8);
  const short = bytes.readUInt32BE(start);
  if (short === 0) return { type, start, bodyStart: start + 8, end };
  let headerBytes = 8;
  let size = short;
  if (short === 1) {
    headerBytes = 16;
    if (end - start < headerBytes) throw new BoxError(`box at ${start} ends within its own size`);
    size = readSafeUInt64(bytes, start + 8, `size of the box at ${start}`);
  }
  if (size < headerBytes || size > end - start) {
    throw new BoxError(`box ${JSON.stringify(type)} at ${start} claims ${size} of ${end - start} bytes`);
  }
  return { type, start, bodyStart: start + headerBytes, end: start + size };
}

/** The boxes in `span` (by default all of `bytes`), in order, without their children. Throws BoxError. */
export function readBoxes(bytes: Buffer, span: Span = { bodyStart: 0, end: bytes.length }): Box[] {
  const boxes: Box[] = [];
  for (let at = span.bodyStart; at < span.end; ) {
    if (boxes.length === MAX_BOXES) throw new BoxError(`more than ${MAX_BOXES} boxes in one container`);
    const box = readBox(bytes, at, span.end);
    boxes.push(box);
    at = box.end;
  }
  return boxes;
}

/** The first box below `span` along `path` (type by type), or undefined. Throws BoxError on broken containers. */
export function findBox(bytes: Buffer, span: Span, path: readonly string[]): Box | undefined {
  let at: Span = span;
  let found: Box | undefined;
  for (const type of path) {
    found = readBoxes(bytes, at).find((box) => box.type === type);
    if (found === undefined) return undefined;
    at = found;
  }
  return found;
}

/** As findBox, but exactly one box of the last type must be there. Throws BoxError. */
export function onlyBox(bytes: Buffer, span: Span, path: readonly string[]): Box {
  const parent = path.length === 1 ? span : findBox(bytes, span, path.slice(0, -1));
  const last = path.at(-1);
  const found = parent === undefined ? [] : readBoxes(bytes, parent).filter((box) => box.type === last);
  const [box] = found;
  if (box === undefined || found.length > 1) {
    throw new BoxError(`${found.length} boxes ${path.join('/')} where exactly one is needed`);
  }
  return box;
}

/** Reads fields of one box in order and never outside it. */
export type BoxReader = {
  readonly u8: () => number;
  readonly u16: () => number;
  readonly u32: () => number;
  readonly i32: () => number;
  /** At most Number.MAX_SAFE_INTEGER; above that it throws. */
  readonly u64: () => number;
  readonly skip: (count: number) => void;
  /** Offset of the next field in the bytes. */
  readonly at: () => number;
  /** Bytes left in the box. */
  readonly left: () => number;
};

/** A reader at the start of the content of `box`. Its functions throw BoxError at the end of the box. */
export function boxReader(bytes: Buffer, box: Box): BoxReader {
  let at = box.bodyStart;
  const take = (count: number): number => {
    if (count > box.end - at) throw new BoxError(`box ${JSON.stringify(box.type)} at ${box.start} is cut short`);
    at += count;
    return at - count;
  };
  return {
    u8: () => bytes.readUInt8(take(1)),
    u16: () => bytes.readUInt16BE(take(2)),
    u32: () => bytes.readUInt32BE(take(4)),
    i32: () => bytes.readInt32BE(take(4)),
    u64: () => readSafeUInt64(bytes, take(8), `field of box ${JSON.stringify(box.type)}`),
    skip: (count) => void take(count),
    at: () => at,
    left: () => box.end - at,
  };
}

function readSafeUInt64(bytes: Buffer, at: number, what: string): number {
  const value = bytes.readBigUInt64BE(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new BoxError(`${what} is beyond 2^53`);
  return Number(value);
}
