// COSE_Mac0 (RFC 9052 section 6.2) with HMAC (RFC 9053 section 3.1): a payload that a shared key vouches for.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { type Denial, keysFor, type SigningKey } from './access.ts';
import { type Cbor, type CborKey, decodeCbor, encodeCbor, isList, isMap, isTag } from './access-cbor.ts';

/** Tags of a CBOR Web Token (RFC 8392 section 6) and of COSE_Mac0 (RFC 9052 table 1). */
const CWT = 61;
const MAC0 = 17;
/** Header labels (RFC 9052 table 3). */
const ALG = 1;
const CRIT = 2;
const KID = 4;
/** HMAC 256/256 (RFC 9053 table 7), the only one of Common Access Tokens. */
const HS256 = 5;
/** Bytes of a tag by algorithm: HMAC 256/64 and HMAC 256/256. */
const TAG_BYTES: Readonly<Record<number, number>> = { 4: 8, [HS256]: 32 };

type Headers = ReadonlyMap<CborKey, Cbor>;

/** What is authenticated (RFC 9052 section 6.3: MAC_structure without external data). */
const authenticated = (protectedBytes: Uint8Array, payload: Uint8Array): Buffer =>
  encodeCbor(['MAC0', protectedBytes, new Uint8Array(), payload]);

function untagged(item: Cbor | undefined): Cbor | undefined {
  const inner = isTag(item) && item.tag === CWT ? item.value : item;
  return isTag(inner) && inner.tag === MAC0 ? inner.value : inner;
}

/** The protected header: empty bytes stand for an empty map. */
function headersOf(bytes: Uint8Array): Headers | undefined {
  const headers = bytes.length === 0 ? new Map<CborKey, Cbor>() : decodeCbor(bytes);
  return isMap(headers) ? headers : undefined;
}

function keyIdOf(...headers: readonly Headers[]): string | undefined {
  const kid = headers.map((each) => each.get(KID)).find((each) => each !== undefined);
  return kid instanceof Uint8Array ? Buffer.from(kid).toString('utf8') : undefined;
}

/** The payload of a message that one of the keys signed, or why it is not taken. `algorithm`: the only one allowed. */
export function openMac0(
  bytes: Uint8Array,
  keys: readonly SigningKey[],
  algorithm: number = HS256,
): { readonly payload: Uint8Array } | Denial {
  const message = untagged(decodeCbor(bytes));
  if (!isList(message) || message.length !== 4) return 'TOKEN_MALFORMED';
  const [protectedBytes, unprotected, payload, tag] = message;
  if (!(protectedBytes instanceof Uint8Array && payload instanceof Uint8Array && tag instanceof Uint8Array))
    return 'TOKEN_MALFORMED';
  const headers = headersOf(protectedBytes);
  if (headers === undefined || !isMap(unprotected)) return 'TOKEN_MALFORMED';
  // Nothing that must be understood is understood here; and an algorithm is only what the signature covers.
  if (headers.has(CRIT) || unprotected.has(CRIT)) return 'TOKEN_CLAIM';
  if (headers.get(ALG) !== algorithm || tag.length !== TAG_BYTES[algorithm]) return 'TOKEN_SIGNATURE';
  const candidates = keysFor(keys, keyIdOf(headers, unprotected));
  if (candidates === undefined) return 'TOKEN_KEY_UNKNOWN';
  const text = authenticated(protectedBytes, payload);
  let isGood = false;
  for (const { secret } of candidates) {
    const own = createHmac('sha256', secret).update(text).digest().subarray(0, tag.length);
    if (timingSafeEqual(own, tag)) isGood = true;
  }
  return isGood ? { payload } : 'TOKEN_SIGNATURE';
}

/** A tagged CBOR Web Token with this payload, signed by HMAC 256/256. */
export function sealMac0(payload: Uint8Array, key: SigningKey): Buffer {
  const protectedBytes = encodeCbor(new Map<CborKey, Cbor>([[ALG, HS256]]));
  const tag = createHmac('sha256', key.secret).update(authenticated(protectedBytes, payload)).digest();
  const unprotected = new Map<CborKey, Cbor>([[KID, Buffer.from(key.id)]]);
  return encodeCbor({ tag: CWT, value: { tag: MAC0, value: [protectedBytes, unprotected, payload, tag] } });
}
