// Vary (RFC 9111 section 4.1): which request fields a response depends on, and their values in one normal form.
import { type Fields, fieldValue, splitList } from './fields.ts';

/** More fields than this in Vary, and the response is taken as varying on everything. */
const MAX_VARY_FIELDS = 16;

/** Fields whose elements carry weights, so that their order by weight is all that counts (RFC 9110 section 12.4.2). */
const WEIGHTED = new Set(['accept', 'accept-charset', 'accept-encoding', 'accept-language']);

/** Lower-case names in Vary, sorted, without repeats; undefined for `*` or too many. */
export function varyOn(headers: Fields): readonly string[] | undefined {
  const value = fieldValue(headers, 'vary');
  if (value === undefined) return [];
  const names = [...new Set(splitList(value.toLowerCase()))].sort();
  return names.includes('*') || names.length > MAX_VARY_FIELDS ? undefined : names;
}

function weightOf(element: string): number {
  const weight = /;\s*q=([\d.]+)/.exec(element)?.[1];
  return weight === undefined ? 1 : Number(weight);
}

/** One value for all that mean the same: spaces, case, order by weight, and for Accept-Encoding order and refusals. */
export function normaliseField(name: string, value: string): string {
  const elements = splitList(value).map((element) => element.replace(/\s*([;=])\s*/g, '$1').replace(/\s+/g, ' '));
  if (!WEIGHTED.has(name)) return elements.join(',');
  const lower = elements.map((element) => element.toLowerCase());
  if (name === 'accept-encoding') {
    const accepted = lower.filter((element) => weightOf(element) > 0);
    const isPlain = accepted.every((element) => !element.includes(';'));
    return (isPlain ? [...new Set(accepted)].sort() : accepted).join(',');
  }
  return lower
    .map((element) => element.replace(/;q=1(\.0*)?$/, ''))
    .sort((one, other) => weightOf(other) - weightOf(one))
    .join(',');
}

/** The secondary key of a request for the fields of a response's Vary; '' without any. Absent differs from empty. */
export function variantOf(names: readonly string[], request: Fields): string {
  if (names.length === 0) return '';
  return names
    .map((name) => {
      const value = fieldValue(request, name);
      return `${name}${value === undefined ? '' : `:${normaliseField(name, value)}`}`;
    })
    .join('\n');
}

/** The stored response that answers this request; of several the one received last (RFC 9111 section 4.1). */
export function chooseVariant<T extends { varyOn: readonly string[]; variant: string; receivedAt: number }>(
  stored: readonly T[],
  request: () => Fields,
): T | undefined {
  if (stored.length === 1 && stored[0]?.varyOn.length === 0) return stored[0];
  let chosen: T | undefined;
  for (const each of stored) {
    if (chosen !== undefined && chosen.receivedAt >= each.receivedAt) continue;
    if (each.varyOn.length === 0 || variantOf(each.varyOn, request()) === each.variant) chosen = each;
  }
  return chosen;
}
