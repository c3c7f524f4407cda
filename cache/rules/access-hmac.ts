// Tokens of this server's own kind: fields in plain text and an HMAC-SHA256 over them (RFC 2104). One token can cover all
// segments of a title, for its path may be a prefix.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { type AccessRequest, type Denial, keysFor, type SigningKey } from './access.ts';
import { isWithin, prefixOf } from './address.ts';

const MAX_LENGTH = 2048;
const FIELDS: ReadonlySet<string> = new Set(['kid', 'nbf', 'exp', 'acl', 'ip', 'm']);
/** Between the parts of a list. */
const SEPARATOR = '!';

/**
 * A token's fields by name: `kid=K~nbf=SECONDS~exp=SECONDS~acl=/path/*!/other~ip=CIDR~m=GET!HEAD~hmac=HEX`. `exp`, `acl` and
 * `hmac` must be there; `hmac` is last and covers all that stands before its tilde.
 */
type Fields = ReadonlyMap<string, string>;

/** The fields of a token; undefined when one is unknown, repeated or malformed: nobody can say what it would allow. */
function fieldsOf(text: string): Fields | undefined {
  const fields = new Map<string, string>();
  for (const part of text.split('~')) {
    const equals = part.indexOf('=');
    const name = part.slice(0, Math.max(0, equals));
    if (!FIELDS.has(name) || fields.has(name)) return undefined;
    fields.set(name, part.slice(equals + 1));
  }
  const areTimes = ['nbf', 'exp'].every((name) => /^\d{1,12}$/.test(fields.get(name) ?? '0'));
  return areTimes && fields.has('exp') && fields.has('acl') ? fields : undefined;
}

function isSigned(text: string, hmac: Buffer, keys: readonly SigningKey[]): boolean {
  let isGood = false;
  for (const { secret } of keys) {
    const own = createHmac('sha256', secret).update(text).digest();
    // No key ends the search early, so that time does not tell which it was.
    if (timingSafeEqual(own, hmac)) isGood = true;
  }
  return isGood;
}

/** Whether a path is one of an `acl`: the path itself, or what begins as one that ends in an asterisk. */
function isAllowed(path: string, acl: string): boolean {
  return acl.split(SEPARATOR).some((each) => (each.endsWith('*') ? path.startsWith(each.slice(0, -1)) : path === each));
}

function denialOf(
  fields: Fields,
  request: AccessRequest,
  at: { readonly nowMs: number; readonly skewMs: number },
): Denial | null {
  if (at.nowMs - at.skewMs >= Number(fields.get('exp')) * 1000) return 'TOKEN_EXPIRED';
  if (at.nowMs + at.skewMs < Number(fields.get('nbf') ?? 0) * 1000) return 'TOKEN_NOT_YET';
  if (!isAllowed(request.path, fields.get('acl') ?? '')) return 'TOKEN_PATH';
  const methods = fields.get('m');
  if (methods !== undefined && !methods.split(SEPARATOR).includes(request.method)) return 'TOKEN_METHOD';
  const network = fields.get('ip');
  if (network === undefined) return null;
  const prefix = prefixOf(network);
  if (prefix === undefined) return 'TOKEN_MALFORMED';
  const { address } = request;
  const isSame = address?.length === prefix.bytes.length && isWithin(address, prefix.bytes, prefix.bits);
  return isSame ? null : 'TOKEN_ADDRESS';
}

/** Null when the token allows the request. `skewMs`: how far clocks may be apart. */
export function checkHmac(
  token: string,
  request: AccessRequest,
  keys: readonly SigningKey[],
  at: { readonly nowMs: number; readonly skewMs: number },
): Denial | null {
  const found = token.length > MAX_LENGTH ? null : /^(.*)~hmac=([0-9a-f]{64})$/.exec(token);
  const text = found?.[1];
  const fields = text === undefined ? undefined : fieldsOf(text);
  if (text === undefined || fields === undefined) return 'TOKEN_MALFORMED';
  const candidates = keysFor(keys, fields.get('kid'));
  if (candidates === undefined) return 'TOKEN_KEY_UNKNOWN';
  if (!isSigned(text, Buffer.from(found?.[2] ?? '', 'hex'), candidates)) return 'TOKEN_SIGNATURE';
  return denialOf(fields, request, at);
}

/** What a token of this kind allows. Paths may end in an asterisk. */
export type HmacGrant = {
  readonly paths: readonly string[];
  readonly expiresSeconds: number;
  readonly notBeforeSeconds?: number;
  readonly network?: string;
  readonly methods?: readonly string[];
};

/** A token that is signed with this key. */
export function signHmac(grant: HmacGrant, key: SigningKey): string {
  const { notBeforeSeconds: nbf, network, methods } = grant;
  const fields = [
    `kid=${key.id}`,
    ...(nbf === undefined ? [] : [`nbf=${nbf}`]),
    `exp=${grant.expiresSeconds}`,
    `acl=${grant.paths.join(SEPARATOR)}`,
    ...(network === undefined ? [] : [`ip=${network}`]),
    ...(methods === undefined ? [] : [`m=${methods.join(SEPARATOR)}`]),
  ].join('~');
  return `${fields}~hmac=${createHmac('sha256', key.secret).update(fields).digest('hex')}`;
}
