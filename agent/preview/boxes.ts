// Boxes of ISO BMFF (ISO/IEC 14496-12): read from bytes that nobody vouches for, and written. Pure.

/** The bytes are not the boxes that they should be; `message` names what is wrong. */
export class Mp4Error extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'Mp4Error';
  }
}

/** Where a box lies: header at `start`, content from `body` up to and without `end`. */
export type Box = { readonly type: string; readonly start: number; readonly body: number; readonly end: number };

/** A range of bytes that holds boxes. */
export type Span = Pick<Box, 'body' | 'end'>;

/** More boxes than this in one container are refused: a segment has a few. */
const MOST_BOXES = 10_000;

/** The boxes of `span`, by default of all the bytes, without their children. Throws Mp4Error where one overruns it. */
export function boxesIn(bytes: Buffer, span: Span = { body: 0, end: bytes.length }): Box[] {
  const found: Box[] = [];
  for (let start = span.body; start < span.end; ) {
    const left = span.end - start;
    if (left < 8 || found.length === MOST_BOXES) throw new Mp4Error(`no box can begin at ${start}`);
    const type = bytes.toString('latin1', start + 4, start + 8);
    const short = bytes.readUInt32BE(start);
    const isLong = short === 1;
    if (isLong && left < 16) throw new Mp4Error(`${type} at ${start} ends within its own size`);
    const size = isLong ? Number(bytes.readBigUInt64BE(start + 8)) : short === 0 ? left : short;
    const headBytes = isLong ? 16 : 8;
    if (size < headBytes || size > left) throw new Mp4Error(`${type} at ${start} claims ${size} of ${left} bytes`);
    found.push({ type, start, body: start + headBytes, end: start + size });
    start += size;
  }
  return found;
}

/** The one box below `span` along `path`. Throws Mp4Error when there is none, or another of its type beside it. */
export function boxAt(bytes: Buffer, span: Span, path: readonly string[]): Box {
  let at: Span = span;
  let last: Box | undefined;
  for (const type of path) {
    const [box, other] = boxesIn(bytes, at).filter((one) => one.type === type);
    if (box === undefined || other !== undefined) throw new Mp4Error(`not exactly one box ${path.join('/')}`);
    last = box;
    at = box;
  }
  if (last === undefined) throw new Mp4Error('a path needs a type');
  return last;
}

/** Reads the fields of one box in order. Each throws Mp4Error at the end of the box. */
export type Fields = {
  readonly u32: () => number;
  readonly i32: () => number;
  /** Throws above 2^53 - 1. */
  readonly u64: () => number;
  readonly skip: (count: number) => void;
  readonly left: () => number;
};

/** A reader at the first byte of the content of `box`. */
export function fieldsOf(bytes: Buffer, box: Box): Fields {
  let at = box.body;
  const take = (count: number): number => {
    if (count > box.end - at) throw new Mp4Error(`${box.type} at ${box.start} is cut short`);
    at += count;
    return at - count;
  };
  return {
    u32: () => bytes.readUInt32BE(take(4)),
    i32: () => bytes.readInt32BE(take(4)),
    u64: () => {
      const value = Number(bytes.readBigUInt64BE(take(8)));
      if (!Number.isSafeInteger(value)) throw new Mp4Error(`a field of ${box.type} is beyond 2^53`);
      return value;
    },
    skip: (count) => void take(count),
    left: () => box.end - at,
  };
}

/** Numbers as consecutive 32-bit fields, big endian; negative ones in two's complement. */
export function u32s(...values: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, index * 4);
  return bytes;
}

/** A 64-bit field of a whole number up to 2^53 - 1. */
export function u64(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** A box of these parts. */
export function makeBox(type: string, ...parts: readonly Buffer[]): Buffer {
  const size = parts.reduce((sum, part) => sum + part.length, 8);
  return Buffer.concat([u32s(size), Buffer.from(type, 'latin1'), ...parts], size);
}
