// Cache-Control and its targeted forms (RFC 9111 section 5.2, RFC 9213) as directives with their arguments.
import { type Fields, fieldLines, splitList, unquote } from './fields.ts';

/** Directive names in lower case, each with its arguments in order of appearance; undefined for one without. */
export type Directives = ReadonlyMap<string, readonly (string | undefined)[]>;

/** The greatest age a cache has to keep apart from infinity (RFC 9111 section 1.2.2). */
const MAX_SECONDS = 2 ** 31;
const NONE: Directives = new Map();

/** Reads Cache-Control leniently: unknown and malformed elements stay without effect on the others. */
export function parseDirectives(values: readonly string[]): Directives {
  if (values.length === 0) return NONE;
  const directives = new Map<string, (string | undefined)[]>();
  for (const value of values) {
    for (const element of splitList(value)) {
      const equals = element.indexOf('=');
      const name = (equals < 0 ? element : element.slice(0, equals)).toLowerCase();
      const argument = equals < 0 ? undefined : element.slice(equals + 1);
      const known = directives.get(name);
      if (known === undefined) directives.set(name, [argument]);
      else known.push(argument);
    }
  }
  return directives;
}

/**
 * Seconds of a directive; undefined when it is absent. The first of several counts (RFC 9111 section 4.2.1). What is
 * no number of seconds is 0, so that it makes a response stale and never fresh; the quoted form is accepted.
 */
export function secondsOf(directives: Directives, name: string): number | undefined {
  const found = directives.get(name);
  if (found === undefined) {
    // "max-age =1" has no meaning by the grammar; it shows a wish for freshness that cannot be read.
    return directives.has(`${name} `) ? 0 : undefined;
  }
  const text = unquote(found[0] ?? '');
  return /^\d+$/.test(text) ? Math.min(Number(text), MAX_SECONDS) : 0;
}

/** Whether a directive stands without field names; `no-cache="set-cookie"` does not. */
export function isBare(directives: Directives, name: string): boolean {
  return directives.get(name)?.some((argument) => argument === undefined || unquote(argument).trim() === '') === true;
}

/** Lower-case field names that `private="..."` or `no-cache="..."` list (RFC 9111 sections 5.2.2.4 and 5.2.2.7). */
export function fieldsNamedBy(directives: Directives, name: string): readonly string[] {
  return (directives.get(name) ?? []).flatMap((argument) =>
    argument === undefined ? [] : splitList(unquote(argument).toLowerCase()),
  );
}

const SF_MEMBER =
  /^([a-z*][a-z0-9_\-.*]*)(?:=("(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"|\?[01]|-?\d{1,15}(?:\.\d{1,3})?|[A-Za-z*][!#$%&'*+\-.^_`|~\w:/]*))?((?:;.*)?)$/;

/** Directives whose value is an integer, and those that still count in a field whose integers are none. */
const INTEGER = new Set(['max-age', 's-maxage', 'stale-if-error', 'stale-while-revalidate']);
const PROHIBITIONS = ['no-store', 'private', 'no-cache'];

/**
 * A structured dictionary (RFC 8941) of directives; undefined when it does not parse or holds a value of the wrong
 * type, unless it forbids reuse: then doubt does not lift that. Of repeated keys the last counts.
 */
function parseTargeted(values: readonly string[]): Directives | undefined {
  const directives = new Map<string, (string | undefined)[]>();
  let isTyped = true;
  for (const element of splitListStrict(values.join(','))) {
    const member = SF_MEMBER.exec(element);
    if (member === null) return undefined;
    const argument = member[2];
    if (INTEGER.has(member[1] ?? '') && !/^-?\d+$/.test(argument ?? '')) isTyped = false;
    if (argument === '?0') directives.delete(member[1] ?? '');
    else directives.set(member[1] ?? '', [argument === '?1' ? undefined : argument]);
  }
  if (directives.size === 0) return undefined;
  return isTyped || PROHIBITIONS.some((name) => directives.has(name)) ? directives : undefined;
}

/** Like splitList, but a trailing comma is kept as an empty element, which a structured dictionary forbids. */
function splitListStrict(value: string): readonly string[] {
  return /,\s*$/.test(value) ? [...splitList(value), ''] : splitList(value);
}

/** Which field governs this cache, and its directives: the first target that is there and parses (RFC 9213 section 2.2). */
export function governingDirectives(
  fields: Fields,
  targets: readonly string[],
): { readonly isTargeted: boolean; readonly directives: Directives } {
  for (const target of targets) {
    const values = fieldLines(fields, target);
    if (values.length === 0) continue;
    const directives = parseTargeted(values);
    if (directives !== undefined) return { isTargeted: true, directives };
  }
  return { isTargeted: false, directives: parseDirectives(fieldLines(fields, 'cache-control')) };
}
