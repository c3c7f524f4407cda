// Objects that are stored in part: which bytes to ask an origin for, what its 206 means, how blocks and heads are named.
import { strongTag } from './conditional.ts';
import { type Fields, fieldValue } from './fields.ts';
import { firstBytes, type Part, parseContentRange } from './range.ts';

/** What is fetched and stored at once of an object that is stored in part; the last block may be shorter. */
export const SLICE_BYTES = 1024 * 1024;
/** Blocks of one request to the origin, so that little is asked for in vain when viewers leave. */
const MAX_RUN_BLOCKS = 8;
/** Offsets beyond this are asked for as the first block, which tells the length. */
const MAX_OFFSET = 2 ** 50;

/** One version of a representation. `epoch`: drawn when its head was stored, so that nothing older can be mixed in. */
export type Version = { readonly tag: string; readonly total: number; readonly epoch: string };

/** Whether bytes of both may be combined (RFC 9110 section 8.8.1): a strong tag names one sequence of bytes. */
export function isSameVersion(one: Version, other: Version): boolean {
  return one.tag === other.tag && one.total === other.total;
}

/** Fields of a stored head that no origin can send, since a colon cannot begin a name. */
const TOTAL = ':total';
const EPOCH = ':slices';

/** A head as it is stored for an object of which blocks may be there: its fields name total length and epoch. */
export function withVersion(headers: Fields, version: Version): Fields {
  return [...withoutVersion(headers), [TOTAL, String(version.total)], [EPOCH, version.epoch]];
}

/** The fields as a viewer gets them. */
export function withoutVersion(headers: Fields): Fields {
  return headers.filter(([name]) => !name.startsWith(':'));
}

/** The version whose blocks this stored head stands for; undefined for an object that is stored whole. */
export function versionOf(stored: { readonly lengthBytes: number; readonly headers: Fields }): Version | undefined {
  if (stored.lengthBytes !== 0) return undefined;
  const epoch = fieldValue(stored.headers, EPOCH);
  const total = Number(fieldValue(stored.headers, TOTAL));
  const tag = strongTag(stored.headers);
  return epoch === undefined || tag === undefined || !(total > 0) ? undefined : { tag, total, epoch };
}

/** The key of a block; no resource has a line break. */
export function sliceKey(key: string, epoch: string, index: number): string {
  return `${key}\n${epoch}/${index}`;
}

/** Whether a key is that of a block. */
export function isSliceKey(key: string): boolean {
  return key.includes('\n');
}

/** Index of the block that holds an offset. */
export function sliceAt(offset: number): number {
  return Math.floor(offset / SLICE_BYTES);
}

/** How many blocks an object has. */
export function sliceCount(total: number): number {
  return Math.ceil(total / SLICE_BYTES);
}

/** Bytes of a block. */
export function sliceLength(index: number, total: number): number {
  return Math.min(SLICE_BYTES, total - index * SLICE_BYTES);
}

/** What a run of blocks is planned for. */
export type RunNeed = {
  readonly position: number;
  /** Where the need ends; Infinity: at the object's end. */
  readonly end: number;
  /** Undefined: not known yet. */
  readonly total: number | undefined;
};

/** The bytes of one request: whole blocks from the one at `position` up to one that is there, or the need's end. */
export function planRun(need: RunNeed, isThere: (index: number) => boolean): Part {
  const first = sliceAt(need.position);
  let count = 1;
  while (count < MAX_RUN_BLOCKS && (first + count) * SLICE_BYTES < need.end && !isThere(first + count)) count += 1;
  const end = (first + count) * SLICE_BYTES;
  return { start: first * SLICE_BYTES, end: Math.min(end, need.total ?? end) };
}

/** The first run for a Range field when nothing is known of the object; undefined when the field is to be ignored. */
export function planFirstRun(range: string): Part | undefined {
  const first = firstBytes(range);
  if (first === undefined) return undefined;
  const isPlain = first.start < MAX_OFFSET;
  // Of a suffix, or beyond every length, nothing can be aligned: the first block tells the length.
  const need = isPlain ? { position: first.start, end: first.end } : { position: 0, end: 1 };
  return planRun({ ...need, total: undefined }, () => false);
}

/** What an origin's 206 to a run is. */
export type Verdict =
  /** Blocks of a version that can be combined. */
  | { readonly verdict: 'slices'; readonly end: number; readonly total: number; readonly tag: string }
  /** All of the object at once. */
  | { readonly verdict: 'whole'; readonly total: number }
  /** Right, but not to be combined: no strong validator, less than asked, several parts, or a length not known yet. */
  | { readonly verdict: 'unsliceable'; readonly total: number | undefined }
  /** Not what was asked for, or in contradiction with itself. */
  | { readonly verdict: 'invalid' };

/** Judges a 206 (RFC 9110 sections 14.4 and 15.3.7, RFC 9111 section 3.4). `lengthBytes`: its Content-Length. */
export function judgePartial(asked: Part, headers: Fields, lengthBytes: number | undefined): Verdict {
  const field = fieldValue(headers, 'content-range');
  const isMultipart = /^multipart\/byteranges\b/i.test(fieldValue(headers, 'content-type') ?? '');
  if (field === undefined && isMultipart) return { verdict: 'unsliceable', total: undefined };
  if (field !== undefined && /^bytes \d{1,15}-\d{1,15}\/\*$/i.test(field)) {
    return { verdict: 'unsliceable', total: undefined };
  }
  const got = parseContentRange(field);
  if (got === undefined || got.start !== asked.start || got.end > asked.end) return { verdict: 'invalid' };
  const { end, total } = got;
  if (lengthBytes !== undefined && lengthBytes !== end - got.start) return { verdict: 'invalid' };
  if (got.start === 0 && end === total) return { verdict: 'whole', total };
  const tag = strongTag(headers);
  if (tag === undefined || end < Math.min(asked.end, total)) return { verdict: 'unsliceable', total };
  return { verdict: 'slices', end, total, tag };
}

/** The whole length that a 416's Content-Range tells. */
export function unsatisfiedTotal(headers: Fields): number | undefined {
  const match = /^bytes \*\/(\d{1,15})$/i.exec(fieldValue(headers, 'content-range') ?? '');
  return match === null ? undefined : Number(match[1]);
}
