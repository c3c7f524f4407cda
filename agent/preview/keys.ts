// Keys of encrypted HLS in a playlist other than their own (RFC 8216 sections 4.3.2.4 and 5.2): what an attribute list
// takes from its place is written into it. Pure.

/** One attribute of a list with the comma behind it; groups: name, value as written. */
const ATTRIBUTE = /\s*([\w-]+)\s*=(\s*"[^"]*"\s*|[^",]*)(?:,|$)/y;
/** Methods that take the Media Sequence Number as IV where an identity key names none. */
const SEQUENCE_IV: ReadonlySet<string> = new Set(['AES-128', 'AES-256', 'SAMPLE-AES']);

function attributesOf(list: string): Map<string, string> {
  const attributes = new Map<string, string>();
  ATTRIBUTE.lastIndex = 0;
  while (ATTRIBUTE.lastIndex < list.length) {
    const found = ATTRIBUTE.exec(list);
    if (found === null) break;
    attributes.set(found[1] ?? '', (found[2] ?? '').trim());
  }
  return attributes;
}

/** KEYFORMAT of an attribute list; `identity` where it names none. */
export function keyFormatOf(list: string): string {
  return attributesOf(list).get('KEYFORMAT')?.slice(1, -1) ?? 'identity';
}

/**
 * An attribute list that means the same anywhere. `resolve` turns the URI as written into one that does not depend on
 * the playlist, undefined to leave it. `sequence` is the segment's Media Sequence Number, undefined for an init segment,
 * whose key must name its IV itself.
 */
export function movableKey(
  list: string,
  sequence: number | undefined,
  resolve: (uri: string) => string | undefined,
): string {
  const attributes = attributesOf(list);
  const uri = attributes.get('URI')?.slice(1, -1);
  const resolved = uri === undefined ? undefined : resolve(uri);
  if (resolved !== undefined) attributes.set('URI', `"${resolved}"`);
  const takesIv = SEQUENCE_IV.has(attributes.get('METHOD') ?? '') && keyFormatOf(list) === 'identity';
  if (takesIv && sequence !== undefined && !attributes.has('IV')) {
    attributes.set('IV', `0x${sequence.toString(16).padStart(32, '0')}`);
  }
  return [...attributes].map(([name, value]) => `${name}=${value}`).join(',');
}
