// Conditional requests (RFC 9110 section 13, RFC 9111 section 4.3): asking the origin, answering the viewer, updating.
import { parseHttpDate } from './date.ts';
import { endToEnd, type Fields, fieldValue, splitList } from './fields.ts';

function opaqueTag(tag: string): string {
  return tag.startsWith('W/') ? tag.slice(2) : tag;
}

/** An entity-tag that proves byte equality; undefined for a weak or missing one. */
export function strongTag(headers: Fields): string | undefined {
  const tag = fieldValue(headers, 'etag');
  return tag?.startsWith('"') ? tag : undefined;
}

/** The viewer's conditions that a cache may evaluate. */
export type Conditions = {
  readonly ifNoneMatch: string | undefined;
  readonly ifModifiedSince: string | undefined;
};

/** Whether the viewer's copy is the stored one, so that a 304 answers (RFC 9110 sections 13.1.2, 13.1.3, 13.2.2). */
export function isNotModified(
  conditions: Conditions,
  stored: { readonly status: number; readonly headers: Fields; readonly receivedAt: number },
): boolean {
  if (stored.status !== 200) return false;
  if (conditions.ifNoneMatch !== undefined) {
    const tag = fieldValue(stored.headers, 'etag');
    const tags = splitList(conditions.ifNoneMatch);
    if (tags.includes('*')) return true;
    return tag !== undefined && tags.some((each) => opaqueTag(each) === opaqueTag(tag));
  }
  if (conditions.ifModifiedSince === undefined) return false;
  const since = parseHttpDate(conditions.ifModifiedSince, stored.receivedAt);
  const modified = parseHttpDate(
    fieldValue(stored.headers, 'last-modified') ?? fieldValue(stored.headers, 'date') ?? '',
    stored.receivedAt,
  );
  return since !== undefined && modified !== undefined && modified <= since;
}

/** Whether If-Range lets the stored bytes be combined with the viewer's (RFC 9110 section 13.1.5: strong comparison). */
export function allowsRange(ifRange: string | undefined, headers: Fields, receivedAt: number): boolean {
  if (ifRange === undefined) return true;
  const value = ifRange.trim();
  if (value.startsWith('"') || value.startsWith('W/')) return strongTag(headers) === value;
  const modified = fieldValue(headers, 'last-modified');
  const at = parseHttpDate(modified ?? '', receivedAt);
  const date = parseHttpDate(fieldValue(headers, 'date') ?? '', receivedAt);
  // A date is a strong validator only when the response is a second younger than its change (section 8.8.2.2).
  return at !== undefined && date !== undefined && date - at >= 1000 && at === parseHttpDate(value, receivedAt);
}

/** Fields that ask the origin whether the stored response still holds; none when it has no validator. */
export function validatorsOf(headers: Fields): Fields {
  const fields: [string, string][] = [];
  const tag = fieldValue(headers, 'etag');
  const modified = fieldValue(headers, 'last-modified');
  if (tag !== undefined) fields.push(['if-none-match', tag]);
  if (modified !== undefined) fields.push(['if-modified-since', modified]);
  return fields;
}

/** Whether a 304 speaks of this stored response (RFC 9111 section 4.3.4): its validators, where given, must agree. */
export function confirms(notModified: Fields, stored: Fields): boolean {
  const tag = fieldValue(notModified, 'etag');
  if (tag !== undefined) {
    const known = fieldValue(stored, 'etag');
    return known !== undefined && opaqueTag(known) === opaqueTag(tag);
  }
  const modified = fieldValue(notModified, 'last-modified');
  return modified === undefined || modified === fieldValue(stored, 'last-modified');
}

/** Fields that the stored bytes depend upon: a 304 cannot change them (RFC 9111 section 3.2). */
const KEPT = new Set([
  'content-digest',
  'content-encoding',
  'content-length',
  'content-md5',
  'content-range',
  'digest',
  'etag',
  'repr-digest',
]);

/** The stored fields after a 304: each field that it brings replaces all lines of that name. */
export function updatedBy(stored: Fields, notModified: Fields): Fields {
  const fresh = endToEnd(notModified).filter(([name]) => !KEPT.has(name));
  const names = new Set(fresh.map(([name]) => name));
  // An Age that the 304 does not repeat belonged to the older answer.
  return [...stored.filter(([name]) => !names.has(name) && name !== 'age'), ...fresh];
}

/** Whether the head of a HEAD's answer describes the stored representation (RFC 9111 section 4.3.5). */
export function describes(head: Fields, stored: { readonly headers: Fields; readonly lengthBytes: number }): boolean {
  const length = fieldValue(head, 'content-length');
  if (length !== undefined && Number(length) !== stored.lengthBytes) return false;
  return ['etag', 'last-modified'].every((name) => {
    const value = fieldValue(head, name);
    return value === undefined || value === fieldValue(stored.headers, name);
  });
}
