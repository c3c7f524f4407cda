// Names under which stored responses can be purged together: Cache-Tag, Surrogate-Key, and Cache Groups (RFC 9875).
import { type Fields, fieldLines } from './fields.ts';

/** What stands before a name in the store, so that a tag and a group of one name are two. */
const TAG = 't:';
const GROUP = 'g:';
/** Names kept with one object. RFC 9875 section 2 asks for 32 groups of 32 characters at least. */
const MAX_GROUPS = 32;
const MAX_NAMES = 64;
/** Longest name, characters; the store keeps 128 with its prefix. */
const MAX_LENGTH = 126;
/** A list of more characters is not read: whoever sends it is no origin that means well. */
const MAX_FIELD_LENGTH = 16_384;

/** sf-string (RFC 9651 section 3.3.3) at the beginning of a text, and the parameters behind it. */
const STRING = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"/;
const PARAMETER =
  /^;[ ]*[a-z*][a-z0-9_\-.*]*(?:=(?:"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"|\?[01]|-?\d{1,15}(?:\.\d{1,3})?|[A-Za-z*][!#$%&'*+\-.^_`|~\w:/]*|:[A-Za-z0-9+/=]*:))?/;

/** The rest of a text behind parameters, whose meaning is nobody's here (RFC 9875 section 2). */
function withoutParameters(text: string): string {
  let rest = text;
  for (let found = PARAMETER.exec(rest); found !== null; found = PARAMETER.exec(rest))
    rest = rest.slice(found[0].length);
  return rest;
}

/**
 * A structured list of strings (RFC 9651 sections 3.1 and 4.2.1), parameters left out; undefined when it is none or has
 * any other member, for then the whole field counts for nothing.
 */
export function stringsOf(lines: readonly string[]): readonly string[] | undefined {
  let rest = lines.join(',').replace(/^ +| +$/g, '');
  if (rest.length > MAX_FIELD_LENGTH) return undefined;
  const strings: string[] = [];
  while (rest !== '') {
    const found = STRING.exec(rest);
    if (found === null) return undefined;
    strings.push((found[1] ?? '').replace(/\\(.)/g, '$1'));
    rest = withoutParameters(rest.slice(found[0].length)).replace(/^[ \t]+/, '');
    if (rest === '') return strings;
    // Behind a comma there must be another member.
    if (!/^,[ \t]*[^ \t]/.test(rest)) return undefined;
    rest = rest.replace(/^,[ \t]*/, '');
  }
  return strings;
}

const TAG_NAME = /^[\x21-\x2b\x2d-\x7e]+$/;

/** Whether a text can be the name of a tag: visible ASCII without comma, 126 characters at most; case counts. */
export function isTagName(name: string): boolean {
  return name.length <= MAX_LENGTH && TAG_NAME.test(name);
}

/** Whether a text can be the name of a group: an sf-string's content, 126 characters at most; case counts. */
export function isGroupName(name: string): boolean {
  return name !== '' && name.length <= MAX_LENGTH && /^[\x20-\x7e]*$/.test(name);
}

/** The name of a tag as the store keeps it. */
export function tagKey(name: string): string {
  return TAG + name;
}

/** The name of a group as the store keeps it. */
export function groupKey(name: string): string {
  return GROUP + name;
}

/** A name as the store keeps it, for people. */
export function describeName(kept: string): { readonly kind: 'tag' | 'group'; readonly name: string } {
  return { kind: kept.startsWith(GROUP) ? 'group' : 'tag', name: kept.slice(2) };
}

function words(lines: readonly string[], separator: RegExp): readonly string[] {
  const text = lines.join(',');
  return text.length > MAX_FIELD_LENGTH ? [] : text.split(separator);
}

/**
 * The names of a response, as the store keeps them: at most 32 groups, then tags, 64 in all. What is too long or no name
 * is left out, never cut: a name that was cut would be another's.
 */
export function namesOf(headers: Fields): readonly string[] {
  const groupLines = fieldLines(headers, 'cache-groups');
  const tagLines = fieldLines(headers, 'cache-tag');
  const keyLines = fieldLines(headers, 'surrogate-key');
  if (groupLines.length + tagLines.length + keyLines.length === 0) return [];
  const groups = (stringsOf(groupLines) ?? []).filter(isGroupName).slice(0, MAX_GROUPS).map(groupKey);
  const tags = [...words(tagLines, /,/).map((word) => word.trim()), ...words(keyLines, /[\s,]+/)];
  return [...new Set([...groups, ...tags.filter(isTagName).map(tagKey)])].slice(0, MAX_NAMES);
}

/** Methods whose answers invalidate no group (RFC 9875 section 3: those that RFC 9110 section 9.2.1 calls safe). */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/** Groups, as the store keeps them, that an answer to an unsafe method invalidates (RFC 9875 section 3). */
export function groupsInvalidatedBy(method: string, headers: Fields): readonly string[] {
  if (SAFE.has(method)) return [];
  const lines = fieldLines(headers, 'cache-group-invalidation');
  if (lines.length === 0) return [];
  const named = (stringsOf(lines) ?? []).filter(isGroupName);
  return [...new Set(named)].slice(0, MAX_GROUPS).map(groupKey);
}

/** Fields by which an origin speaks to this cache alone; viewers get none of them. Cache-Groups is for every cache. */
const INTERNAL: ReadonlySet<string> = new Set(['cache-tag', 'surrogate-key']);

/** Whether a response field stays in this cache. */
export function isInternalField(name: string): boolean {
  return INTERNAL.has(name);
}
