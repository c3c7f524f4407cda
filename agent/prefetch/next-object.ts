// Where a player's "next object" hint (CMCD `nor`) leads, if it may be followed at all. Pure. The hint is written by
// whoever sends requests, so it must not make the node ask for anything outside the title that is being watched.

/** Longest URL that is followed. */
const MAX_URL_LENGTH = 2048;
/** Anything that URL parsers read in different ways: controls, space, backslash, fragment, encoded separators. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
const AMBIGUOUS = /[\u0000-\u0020\u007f\\#]|%(?:2f|5c|00|25)/i;
/** An absolute URL, with whatever scheme: the hint is a path or nothing. */
const ABSOLUTE = /^(?:[a-z][a-z0-9+.-]*:|\/\/)/i;
const HERE = 'http://node.invalid';

/**
 * Absolute path (with query) of `hint`, percent-decoded already, relative to the request `path`; undefined when it
 * leaves `root`, the path under which the title lies (it ends with a slash), or the node, or is not one plain URL.
 * CTA-5004 section 3 (`nor`): a path relative to the current request, percent-encoded.
 */
export function resolveNextObject(path: string, hint: string, root: string): string | undefined {
  if (hint === '' || hint.length > MAX_URL_LENGTH || AMBIGUOUS.test(hint) || ABSOLUTE.test(hint)) return undefined;
  if (!root.endsWith('/') || !URL.canParse(hint, HERE + path)) return undefined;
  const url = new URL(hint, HERE + path);
  if (url.origin !== HERE) return undefined;
  if (!url.pathname.startsWith(root) || url.pathname === path || url.pathname.endsWith('/')) return undefined;
  return url.pathname + url.search;
}
