// Range and Content-Range (RFC 9110 section 14): what to send, and the bounded multipart/byteranges of several ranges.

/** Half-open bytes to send. `whole`: ignore the field and send a 200. `none`: 416. */
export type RangeChoice =
  | { readonly choice: 'whole' }
  | { readonly choice: 'part'; readonly start: number; readonly end: number }
  | { readonly choice: 'none' };

/** Half-open bytes of a representation, not empty. */
export type Part = { readonly start: number; readonly end: number };

const WHOLE = { choice: 'whole' } as const;
const NONE = { choice: 'none' } as const;
/** A set with more ranges than this is ignored unread (the abuse of RFC 9110 section 17.15). */
const MAX_RANGES = 16;
/** Bytes of a multipart body over those of the whole representation, at most. */
const MAX_AMPLIFICATION = 1.1;

/** The one range that nearly every viewer asks for. */
const FROM_TO = /^bytes=(\d+)-(\d+)$/;

/** One range-spec: bytes [first, last] of an object of unknown length; `suffix` counts from the end. */
type RangeSpec = { readonly first: number; readonly last: number | undefined } | { readonly suffix: number };

function parseSpec(text: string): RangeSpec | undefined {
  const match = /^(\d*)-(\d*)$/.exec(text.trim());
  if (match === null) return undefined;
  const [, first = '', last = ''] = match;
  if (first === '') return last === '' ? undefined : { suffix: Number(last) };
  if (last === '') return { first: Number(first), last: undefined };
  return Number(last) < Number(first) ? undefined : { first: Number(first), last: Number(last) };
}

/** The ranges of a Range field; undefined when it is to be ignored: other unit, malformed, or too many. */
function parseRange(value: string): readonly RangeSpec[] | undefined {
  const fromTo = FROM_TO.exec(value);
  if (fromTo !== null) {
    const [first, last] = [Number(fromTo[1]), Number(fromTo[2])];
    return last < first ? undefined : [{ first, last }];
  }
  const match = /^bytes\s*=(.*)$/i.exec(value.trim());
  if (match === null) return undefined;
  const texts = (match[1] ?? '').split(',').filter((text) => text.trim() !== '');
  if (texts.length === 0 || texts.length > MAX_RANGES) return undefined;
  const specs: RangeSpec[] = [];
  for (const text of texts) {
    const spec = parseSpec(text);
    if (spec === undefined) return undefined;
    specs.push(spec);
  }
  return specs;
}

function resolve(spec: RangeSpec, lengthBytes: number): Part | undefined {
  if ('suffix' in spec) {
    if (spec.suffix === 0 || lengthBytes === 0) return undefined;
    return { start: Math.max(0, lengthBytes - spec.suffix), end: lengthBytes };
  }
  if (spec.first >= lengthBytes) return undefined;
  const end = spec.last === undefined ? lengthBytes : Math.min(spec.last + 1, lengthBytes);
  return { start: spec.first, end };
}

/** The satisfiable parts of a Range field in the order asked; undefined when the field is to be ignored. */
function partsOf(value: string | undefined, lengthBytes: number): readonly Part[] | undefined {
  const specs = value === undefined ? undefined : parseRange(value);
  return specs?.map((spec) => resolve(spec, lengthBytes)).filter((part) => part !== undefined);
}

/**
 * Where the first range that names its beginning begins and ends, without knowing the length; Infinity: open, or a set
 * of suffixes only. Undefined when the field is to be ignored.
 */
export function firstBytes(value: string): Part | undefined {
  const specs = parseRange(value);
  if (specs === undefined) return undefined;
  for (const spec of specs) {
    if ('first' in spec)
      return { start: spec.first, end: spec.last === undefined ? Number.POSITIVE_INFINITY : spec.last + 1 };
  }
  return { start: Number.POSITIVE_INFINITY, end: Number.POSITIVE_INFINITY };
}

/** The bytes that an answer to a Range field takes of `lengthBytes`; the whole when the field is absent or ignored. */
export function neededParts(value: string | undefined, lengthBytes: number): readonly Part[] {
  const parts = partsOf(value, lengthBytes);
  return parts === undefined || overlaps(parts) ? [{ start: 0, end: lengthBytes }] : parts;
}

/** What to send of `lengthBytes`: one part lies within it and is not empty; several satisfiable ones mean the whole. */
export function chooseRange(value: string | undefined, lengthBytes: number): RangeChoice {
  return choiceOf(partsOf(value, lengthBytes));
}

function choiceOf(parts: readonly Part[] | undefined): RangeChoice {
  if (parts === undefined) return WHOLE;
  const [part] = parts;
  if (part === undefined) return NONE;
  return parts.length === 1 ? { choice: 'part', start: part.start, end: part.end } : WHOLE;
}

/** A multipart/byteranges body (RFC 9110 section 14.6): each part's bytes follow its `head`, `tail` ends it all. */
export type Multipart = {
  readonly choice: 'parts';
  readonly parts: readonly (Part & { readonly head: string })[];
  readonly tail: string;
  readonly contentType: string;
  /** Heads, bytes of the parts and tail together. */
  readonly totalBytes: number;
};

/** What a multipart answer is made of: `boundary` must not occur in the body, so let chance draw it. */
export type MultipartFrame = { readonly contentType: string | undefined; readonly boundary: string };

function overlaps(parts: readonly Part[]): boolean {
  const sorted = [...parts].sort((a, b) => a.start - b.start);
  return sorted.some((part, index) => part.start < (sorted[index - 1]?.end ?? 0));
}

function frameParts(parts: readonly Part[], lengthBytes: number, frame: MultipartFrame): Multipart {
  const type = frame.contentType === undefined ? '' : `content-type: ${frame.contentType}\r\n`;
  const framed = parts.map((part, index) => ({
    ...part,
    head: `${index === 0 ? '' : '\r\n'}--${frame.boundary}\r\n${type}content-range: ${contentRange(lengthBytes, part)}\r\n\r\n`,
  }));
  const tail = `\r\n--${frame.boundary}--\r\n`;
  return {
    choice: 'parts',
    parts: framed,
    tail,
    contentType: `multipart/byteranges; boundary=${frame.boundary}`,
    // Header fields are Latin-1: one byte a character.
    totalBytes: framed.reduce((sum, { start, end, head }) => sum + head.length + end - start, tail.length),
  };
}

/**
 * As chooseRange(), but several parts are sent as such, in the order asked. Where they overlap, or their multipart body
 * would be more than MAX_AMPLIFICATION of the whole, the whole is sent (RFC 9110 sections 14.2 and 17.15).
 */
export function chooseRanges(
  value: string | undefined,
  lengthBytes: number,
  frame: () => MultipartFrame,
): RangeChoice | Multipart {
  const parts = partsOf(value, lengthBytes);
  if (parts === undefined || parts.length < 2) return choiceOf(parts);
  if (overlaps(parts)) return WHOLE;
  const multipart = frameParts(parts, lengthBytes, frame());
  return multipart.totalBytes <= lengthBytes * MAX_AMPLIFICATION ? multipart : WHOLE;
}

/** A Range field that asks for one part. */
export function rangeField(part: Part): string {
  return `bytes=${part.start}-${part.end - 1}`;
}

/** Content-Range of a part, or of a 416 when `part` is absent. */
export function contentRange(lengthBytes: number, part?: Part): string {
  return part === undefined ? `bytes */${lengthBytes}` : `bytes ${part.start}-${part.end - 1}/${lengthBytes}`;
}

/** Start, end (half-open) and total of a 206's Content-Range; undefined when malformed or without a total. */
export function parseContentRange(
  value: string | undefined,
): { readonly start: number; readonly end: number; readonly total: number } | undefined {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/i.exec(value ?? '');
  if (match === null) return undefined;
  const [start = 0, last = 0, total = 0] = match.slice(1).map(Number);
  return start <= last && last < total ? { start, end: last + 1, total } : undefined;
}
