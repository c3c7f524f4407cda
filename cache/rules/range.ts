// Range and Content-Range (RFC 9110 section 14), single ranges served, several ones answered by the whole.

/** Half-open bytes to send. `whole`: ignore the field and send a 200. `none`: 416. */
export type RangeChoice =
  | { readonly choice: 'whole' }
  | { readonly choice: 'part'; readonly start: number; readonly end: number }
  | { readonly choice: 'none' };

const WHOLE: RangeChoice = { choice: 'whole' };
const NONE: RangeChoice = { choice: 'none' };
/** A set with more ranges than this is ignored unread (the abuse of RFC 9110 section 17.15). */
const MAX_RANGES = 16;

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

function resolve(spec: RangeSpec, lengthBytes: number): RangeChoice {
  if ('suffix' in spec) {
    if (spec.suffix === 0 || lengthBytes === 0) return NONE;
    return { choice: 'part', start: Math.max(0, lengthBytes - spec.suffix), end: lengthBytes };
  }
  if (spec.first >= lengthBytes) return NONE;
  const end = spec.last === undefined ? lengthBytes : Math.min(spec.last + 1, lengthBytes);
  return { choice: 'part', start: spec.first, end };
}

/** What to send of `lengthBytes`: one part lies within it and is not empty; several satisfiable ones mean the whole. */
export function chooseRange(value: string | undefined, lengthBytes: number): RangeChoice {
  if (value === undefined) return WHOLE;
  const specs = parseRange(value);
  if (specs === undefined) return WHOLE;
  const parts = specs.map((spec) => resolve(spec, lengthBytes)).filter(({ choice }) => choice === 'part');
  if (parts.length === 0) return NONE;
  return parts.length === 1 ? (parts[0] ?? NONE) : WHOLE;
}

/** Content-Range of a part, or of a 416 when `part` is absent. */
export function contentRange(lengthBytes: number, part?: { readonly start: number; readonly end: number }): string {
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
