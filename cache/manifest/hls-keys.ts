// EXT-X-KEY lines of HLS media playlists (RFC 8216 section 4.3.2.4), read in one pass over the lines: m3u8-parser keeps
// one of several and none that it does not know.
import { LIMIT, UnusableManifest } from './manifest.ts';

/** What is in force at one URI line: for the segment, and for the init segment declared before it; absent: in the clear. */
export type UriKeys = { readonly own?: readonly string[]; readonly ofInit?: readonly string[] };

/** One attribute of a list (RFC 8216 section 4.2), spaces around it forgiven, in a form that cannot backtrack far. */
const ATTRIBUTE = /\s*([\w-]+)\s*=(?:\s*"([^"]*)"\s*|([^",]*))(?:,|$)/y;

/** Attributes by name, values without their quotes; undefined for what is no attribute list. Linear in its length. */
export function attributesOf(value: string): ReadonlyMap<string, string> | undefined {
  const attributes = new Map<string, string>();
  ATTRIBUTE.lastIndex = 0;
  while (ATTRIBUTE.lastIndex < value.length) {
    const found = ATTRIBUTE.exec(value);
    if (found === null) return undefined;
    const [, name = '', quoted, bare = ''] = found;
    attributes.set(name, quoted ?? bare.trim());
  }
  return attributes;
}

/**
 * The keys at every URI line of a media playlist, in order. A key holds until the next of its KEYFORMAT or METHOD=NONE.
 * Lines that share what is in force share one array. Throws UnusableManifest for a line that is no key, and for more than
 * LIMIT.keyFormats at once.
 */
export function keysByUri(lines: readonly string[]): readonly UriKeys[] {
  const found: UriKeys[] = [];
  const inForce = new Map<string, string>();
  let own: readonly string[] | undefined;
  let current: UriKeys = {};
  for (const line of lines) {
    if (line.startsWith('#EXT-X-KEY:')) {
      takeKey(inForce, line.slice('#EXT-X-KEY:'.length));
      own = inForce.size === 0 ? undefined : [...inForce.values()];
      current = compose(own, current.ofInit);
    } else if (line.startsWith('#EXT-X-MAP:')) current = compose(own, own);
    else if (line !== '' && !line.startsWith('#')) found.push(current);
  }
  return found;
}

function compose(own: readonly string[] | undefined, ofInit: readonly string[] | undefined): UriKeys {
  return { ...(own === undefined ? {} : { own }), ...(ofInit === undefined ? {} : { ofInit }) };
}

function takeKey(inForce: Map<string, string>, list: string): void {
  const attributes = attributesOf(list);
  const method = attributes?.get('METHOD');
  if (attributes === undefined || method === undefined) throw new UnusableManifest('an EXT-X-KEY that is no key');
  if (method === 'NONE') inForce.clear();
  else inForce.set(attributes.get('KEYFORMAT') ?? 'identity', list.trim());
  if (inForce.size > LIMIT.keyFormats) throw new UnusableManifest('too many key formats at once');
}
