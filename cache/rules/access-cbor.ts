// The part of CBOR (RFC 8949) that tokens are made of, read strictly: definite lengths, no repeated keys, bounds on size,
// depth and items. And written, for test tokens.

/** A tagged item. */
export type CborTag = { readonly tag: number; readonly value: Cbor };
/** Keys of maps. */
export type CborKey = number | string;
/** An item. Integers beyond 2^53 are refused. */
export type Cbor =
  | number
  | string
  | boolean
  | null
  | Uint8Array
  | readonly Cbor[]
  | ReadonlyMap<CborKey, Cbor>
  | CborTag;

/** Whether an item is a tagged one. */
export function isTag(item: Cbor | undefined): item is CborTag {
  return typeof item === 'object' && item !== null && 'tag' in item;
}

/** Whether an item is a map. */
export function isMap(item: Cbor | undefined): item is ReadonlyMap<CborKey, Cbor> {
  return item instanceof Map;
}

/** Whether an item is a list. */
export function isList(item: Cbor | undefined): item is readonly Cbor[] {
  return Array.isArray(item);
}

/** Largest token, bytes. */
const MAX_BYTES = 8192;
const MAX_DEPTH = 12;
const MAX_ITEMS = 1000;
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Raised inside this file and turned into undefined at its door. */
class NotCbor extends Error {}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  #items = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  #take(count: number): number {
    const at = this.#at;
    if (count > this.#bytes.length - at) throw new NotCbor('cut off');
    this.#at += count;
    return at;
  }

  #argument(short: number): number {
    if (short < 24) return short;
    if (short === 24) return this.#view.getUint8(this.#take(1));
    if (short === 25) return this.#view.getUint16(this.#take(2));
    if (short === 26) return this.#view.getUint32(this.#take(4));
    if (short !== 27) throw new NotCbor('an indefinite or reserved length');
    const value = this.#view.getBigUint64(this.#take(8));
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new NotCbor('an integer beyond 2^53');
    return Number(value);
  }

  #simple(short: number): Cbor {
    if (short === 20 || short === 21) return short === 21;
    if (short === 22) return null;
    if (short === 26) return this.#view.getFloat32(this.#take(4));
    if (short === 27) return this.#view.getFloat64(this.#take(8));
    throw new NotCbor('a simple value that no token has');
  }

  #map(count: number, depth: number): ReadonlyMap<CborKey, Cbor> {
    const map = new Map<CborKey, Cbor>();
    for (let index = 0; index < count; index += 1) {
      const key = this.item(depth);
      if (typeof key !== 'string' && !(typeof key === 'number' && Number.isSafeInteger(key)))
        throw new NotCbor('a key that is neither integer nor text');
      if (map.has(key)) throw new NotCbor('a key twice');
      map.set(key, this.item(depth));
    }
    return map;
  }

  item(depth = 0): Cbor {
    this.#items += 1;
    if (depth > MAX_DEPTH || this.#items > MAX_ITEMS) throw new NotCbor('too much of it');
    const initial = this.#view.getUint8(this.#take(1));
    const [major, short] = [initial >> 5, initial & 31];
    if (major === 7) return this.#simple(short);
    const argument = this.#argument(short);
    if (major === 0) return argument;
    if (major === 1) return -1 - argument;
    if (major === 2 || major === 3) {
      const at = this.#take(argument);
      const bytes = this.#bytes.subarray(at, at + argument);
      return major === 2 ? bytes : UTF8.decode(bytes);
    }
    if (major === 4) {
      const list: Cbor[] = [];
      for (let index = 0; index < argument; index += 1) list.push(this.item(depth + 1));
      return list;
    }
    if (major === 5) return this.#map(argument, depth + 1);
    return { tag: argument, value: this.item(depth + 1) };
  }
}

/** The one item that these bytes are; undefined when they are none, more than one, or more than a token may be. */
export function decodeCbor(bytes: Uint8Array): Cbor | undefined {
  if (bytes.length > MAX_BYTES) return undefined;
  try {
    const reader = new Reader(bytes);
    const item = reader.item();
    return reader.isAtEnd ? item : undefined;
  } catch (error) {
    // Text that is no UTF-8 is the decoder's TypeError.
    if (error instanceof NotCbor || error instanceof TypeError) return undefined;
    throw error;
  }
}

function head(major: number, argument: number): Buffer {
  if (argument < 24) return Buffer.from([(major << 5) | argument]);
  const size = argument < 0x100 ? 1 : argument < 0x1_0000 ? 2 : argument < 0x1_0000_0000 ? 4 : 8;
  const bytes = Buffer.alloc(1 + size);
  bytes[0] = (major << 5) | (24 + Math.log2(size));
  if (size === 8) bytes.writeBigUInt64BE(BigInt(argument), 1);
  else bytes.writeUIntBE(argument, 1, size);
  return bytes;
}

/** The bytes of an item; integers, text, bytes, lists, maps and tags in their shortest form, other numbers as doubles. */
export function encodeCbor(item: Cbor): Buffer {
  if (typeof item === 'number') {
    if (Number.isSafeInteger(item)) return item < 0 ? head(1, -1 - item) : head(0, item);
    const bytes = Buffer.alloc(9, 0xfb);
    bytes.writeDoubleBE(item, 1);
    return bytes;
  }
  if (item === null) return Buffer.from([0xf6]);
  if (typeof item === 'boolean') return Buffer.from([item ? 0xf5 : 0xf4]);
  if (typeof item === 'string') return Buffer.concat([head(3, Buffer.byteLength(item)), Buffer.from(item)]);
  if (item instanceof Uint8Array) return Buffer.concat([head(2, item.length), item]);
  if (isTag(item)) return Buffer.concat([head(6, item.tag), encodeCbor(item.value)]);
  if (isList(item)) return Buffer.concat([head(4, item.length), ...item.map(encodeCbor)]);
  const pairs = [...item].flatMap(([key, value]) => [encodeCbor(key), encodeCbor(value)]);
  return Buffer.concat([head(5, item.size), ...pairs]);
}
