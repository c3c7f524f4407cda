// Addresses as bytes, and whether one lies within a prefix.

/** The 4 bytes of an IPv4 address; undefined when it is none. */
function bytesOfV4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256))
    return undefined;
  return Uint8Array.from(parts, Number);
}

/** Groups of a part of an IPv6 address, an IPv4 address at its end counting as two; undefined when one is none. */
function groupsOf(text: string): readonly number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    const quad = part.includes('.') && index === parts.length - 1 ? bytesOfV4(part) : undefined;
    if (quad !== undefined) groups.push(((quad[0] ?? 0) << 8) | (quad[1] ?? 0), ((quad[2] ?? 0) << 8) | (quad[3] ?? 0));
    else if (/^[0-9a-f]{1,4}$/i.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups;
}

/** The 4 or 16 bytes of an address (RFC 4291 section 2.2); an IPv4 address in IPv6 clothes is what it is. */
export function addressBytes(text: string): Uint8Array | undefined {
  const plain = text.split('%', 1)[0] ?? '';
  if (!plain.includes(':')) return bytesOfV4(plain);
  const [head = '', tail, ...more] = plain.split('::');
  const before = groupsOf(head);
  const after = groupsOf(tail ?? '');
  if (before === undefined || after === undefined || more.length > 0) return undefined;
  const missing = 8 - before.length - after.length;
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined;
  const groups = [...before, ...new Array<number>(missing).fill(0), ...after];
  const bytes = Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
  const isV4 = bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  return isV4 ? bytes.subarray(12) : bytes;
}

/** Whether the first `bits` of two addresses of one kind agree. `prefix` may be shorter than the address (RFC 9164). */
export function isWithin(address: Uint8Array, prefix: Uint8Array, bits: number): boolean {
  if (bits < 0 || bits > address.length * 8 || prefix.length > address.length) return false;
  for (let bit = 0; bit < bits; bit += 8) {
    const mask = bits - bit >= 8 ? 0xff : (0xff << (8 - (bits - bit))) & 0xff;
    if ((((address[bit >> 3] ?? 0) ^ (prefix[bit >> 3] ?? 0)) & mask) !== 0) return false;
  }
  return true;
}

/** An address or CIDR prefix; undefined when it is none. */
export function prefixOf(text: string): { readonly bytes: Uint8Array; readonly bits: number } | undefined {
  const [address = '', length, ...more] = text.split('/');
  const bytes = addressBytes(address);
  if (bytes === undefined || more.length > 0) return undefined;
  const most = bytes.length * 8;
  if (length === undefined) return { bytes, bits: most };
  if (!/^\d{1,3}$/.test(length) || Number(length) > most) return undefined;
  return { bytes, bits: Number(length) };
}
