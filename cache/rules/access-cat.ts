// Common Access Tokens (CTA-5007): the claims of a CBOR Web Token (RFC 8392) against a request. Strict: what restricts and
// is not known, or cannot be checked here, refuses.
import { createHash } from 'node:crypto';
import type { AccessRequest, Denial, SigningKey } from './access.ts';
import { type Cbor, type CborKey, decodeCbor, encodeCbor, isList, isMap, isTag } from './access-cbor.ts';
import { openMac0, sealMac0 } from './access-cose.ts';
import { isWithin } from './address.ts';

/** Labels of claims (IANA "CBOR Web Token Claims"). */
const LABEL = {
  iss: 1,
  sub: 2,
  aud: 3,
  exp: 4,
  nbf: 5,
  iat: 6,
  cti: 7,
  catreplay: 308,
  catv: 310,
  catnip: 311,
  catu: 312,
  catm: 313,
  catifdata: 320,
  catif: 322,
  catr: 323,
} as const;
const KNOWN: ReadonlySet<CborKey> = new Set(Object.values(LABEL));
/** Parts of a URI in catu. */
const PARTS = ['scheme', 'host', 'port', 'path', 'query', 'parentPath', 'filename', 'stem', 'extension'] as const;
/** Tags of addresses and prefixes (RFC 9164), and the bytes of such an address. */
const ADDRESS_BYTES: Readonly<Record<number, number>> = { 52: 4, 54: 16 };
/** The only version of tokens. */
const VERSION = 1;
const REPLAY_PROHIBITED = 1;

/** What a host asks of tokens beside their signature. Without an audience of its own it takes none that name any. */
export type CatRules = {
  readonly issuer: string | undefined;
  readonly audience: readonly string[];
  readonly nowMs: number;
  readonly skewMs: number;
};

/** A token that allows the request; `once`: its id and end, when it may be used a single time. */
export type CatAllowed = { readonly once: { readonly id: string; readonly expiresMs: number } | undefined };

type Claims = ReadonlyMap<CborKey, Cbor>;

/** The parts of a request's URI as catu names them; the extension with its dot. */
function partsOf({ scheme, host, port, path, query }: AccessRequest): Readonly<Record<(typeof PARTS)[number], string>> {
  const slash = path.lastIndexOf('/');
  const filename = path.slice(slash + 1);
  const dot = filename.lastIndexOf('.');
  const stem = dot <= 0 ? filename : filename.slice(0, dot);
  const extension = filename.slice(stem.length);
  return { scheme, host, port, path, query, parentPath: path.slice(0, Math.max(0, slash)), filename, stem, extension };
}

function isDigest(algorithm: string, text: string, wanted: Cbor): boolean {
  const digest = createHash(algorithm).update(text).digest();
  return wanted instanceof Uint8Array ? digest.equals(wanted) : digest.toString('hex') === wanted;
}

/** Matchers by their label. A regular expression of whoever signs tokens is not run on the thread that serves: refused. */
const MATCHERS: ReadonlyMap<CborKey, (text: string, wanted: Cbor) => boolean> = new Map([
  [0, (text: string, wanted: Cbor) => text === wanted],
  [1, (text: string, wanted: Cbor) => typeof wanted === 'string' && text.startsWith(wanted)],
  [2, (text: string, wanted: Cbor) => typeof wanted === 'string' && text.endsWith(wanted)],
  [3, (text: string, wanted: Cbor) => typeof wanted === 'string' && text.includes(wanted)],
  [-1, (text: string, wanted: Cbor) => isDigest('sha256', text, wanted)],
  [-2, (text: string, wanted: Cbor) => isDigest('sha512-256', text, wanted)],
]);

function checkUri(catu: Cbor, request: AccessRequest): Denial | null {
  if (!isMap(catu)) return 'TOKEN_MALFORMED';
  const parts = partsOf(request);
  let denial: Denial | null = null;
  for (const [label, matches] of catu) {
    const name = typeof label === 'number' ? PARTS[label] : undefined;
    if (name === undefined) return 'TOKEN_CLAIM';
    if (!isMap(matches) || matches.size === 0) return 'TOKEN_MALFORMED';
    for (const [kind, wanted] of matches) {
      const matcher = MATCHERS.get(kind);
      if (matcher === undefined) return 'TOKEN_CLAIM';
      if (!matcher(parts[name], wanted)) denial = 'TOKEN_PATH';
    }
  }
  return denial;
}

/** Whether one entry of catnip is this address or has it in its prefix. Autonomous systems are not known here. */
function isNetwork(entry: Cbor, address: Uint8Array): boolean {
  if (!isTag(entry) || ADDRESS_BYTES[entry.tag] !== address.length) return false;
  const { value } = entry;
  if (value instanceof Uint8Array) return value.length === address.length && isWithin(address, value, value.length * 8);
  if (!isList(value) || value.length !== 2) return false;
  const [bits, prefix] = value;
  return typeof bits === 'number' && prefix instanceof Uint8Array && isWithin(address, prefix, bits);
}

function checkNetwork(catnip: Cbor, { address }: AccessRequest): Denial | null {
  if (!isList(catnip)) return 'TOKEN_MALFORMED';
  return address !== undefined && catnip.some((entry) => isNetwork(entry, address)) ? null : 'TOKEN_ADDRESS';
}

function checkTimes(claims: Claims, { nowMs, skewMs }: CatRules): Denial | null {
  const exp = claims.get(LABEL.exp);
  const nbf = claims.get(LABEL.nbf) ?? 0;
  // A token that never ends cannot be taken back.
  if (exp === undefined) return 'TOKEN_CLAIM';
  if (typeof exp !== 'number' || typeof nbf !== 'number' || !Number.isFinite(exp) || !Number.isFinite(nbf))
    return 'TOKEN_MALFORMED';
  if (nowMs - skewMs >= exp * 1000) return 'TOKEN_EXPIRED';
  return nowMs + skewMs < nbf * 1000 ? 'TOKEN_NOT_YET' : null;
}

function checkParties(claims: Claims, { issuer, audience }: CatRules): Denial | null {
  if (issuer !== undefined && claims.get(LABEL.iss) !== issuer) return 'TOKEN_ISSUER';
  const aud = claims.get(LABEL.aud);
  // Without one it is for everybody (RFC 7519 section 4.1.3); with one, for those whom it names.
  if (aud === undefined) return null;
  const named = isList(aud) ? aud : [aud];
  return named.some((each) => typeof each === 'string' && audience.includes(each)) ? null : 'TOKEN_AUDIENCE';
}

function checkMethod(catm: Cbor, { method }: AccessRequest): Denial | null {
  if (!isList(catm)) return 'TOKEN_MALFORMED';
  return catm.includes(method) ? null : 'TOKEN_METHOD';
}

function onceOf(claims: Claims): CatAllowed | Denial {
  const replay = claims.get(LABEL.catreplay) ?? 0;
  // 0: permitted; 2: found out afterwards, by whoever reads the logs.
  if (replay === 0 || replay === 2) return { once: undefined };
  const id = claims.get(LABEL.cti);
  const exp = claims.get(LABEL.exp);
  if (replay !== REPLAY_PROHIBITED || !(id instanceof Uint8Array) || typeof exp !== 'number') return 'TOKEN_CLAIM';
  return { once: { id: Buffer.from(id).toString('base64url'), expiresMs: exp * 1000 } };
}

/** Checks the claims of a payload that has been authenticated. */
export function checkClaims(payload: Uint8Array, request: AccessRequest, rules: CatRules): CatAllowed | Denial {
  const claims = decodeCbor(payload);
  if (!isMap(claims)) return 'TOKEN_MALFORMED';
  for (const label of claims.keys()) if (!KNOWN.has(label)) return 'TOKEN_CLAIM';
  if ((claims.get(LABEL.catv) ?? VERSION) !== VERSION) return 'TOKEN_CLAIM';
  const denial = checkTimes(claims, rules) ?? checkParties(claims, rules);
  if (denial !== null) return denial;
  const [catu, catm, catnip] = [claims.get(LABEL.catu), claims.get(LABEL.catm), claims.get(LABEL.catnip)];
  const refused =
    (catu === undefined ? null : checkUri(catu, request)) ??
    (catm === undefined ? null : checkMethod(catm, request)) ??
    (catnip === undefined ? null : checkNetwork(catnip, request));
  return refused ?? onceOf(claims);
}

const BASE64URL = /^[A-Za-z0-9_-]+={0,2}$/;

/** Checks a token in base64url. */
export function checkCat(
  token: string,
  request: AccessRequest,
  keys: readonly SigningKey[],
  rules: CatRules,
): CatAllowed | Denial {
  if (!BASE64URL.test(token)) return 'TOKEN_MALFORMED';
  const opened = openMac0(Buffer.from(token, 'base64url'), keys);
  return typeof opened === 'string' ? opened : checkClaims(opened.payload, request, rules);
}

/** What a token of this kind allows. `path` may end in an asterisk. */
export type CatGrant = {
  readonly path: string;
  readonly expiresSeconds: number;
  readonly issuer?: string | undefined;
  readonly audience?: string | undefined;
  readonly notBeforeSeconds?: number | undefined;
  readonly network?: { readonly bytes: Uint8Array; readonly bits: number } | undefined;
  readonly methods?: readonly string[] | undefined;
};

/** A token in base64url that is signed with this key. */
export function signCat(grant: CatGrant, key: SigningKey): string {
  const { path, network, methods, notBeforeSeconds, issuer, audience } = grant;
  const match = path.endsWith('*') ? ([1, path.slice(0, -1)] as const) : ([0, path] as const);
  const claims = new Map<CborKey, Cbor>([
    [LABEL.exp, grant.expiresSeconds],
    [LABEL.catv, VERSION],
    [LABEL.catu, new Map([[PARTS.indexOf('path'), new Map([match])]])],
  ]);
  if (issuer !== undefined) claims.set(LABEL.iss, issuer);
  if (audience !== undefined) claims.set(LABEL.aud, audience);
  if (notBeforeSeconds !== undefined) claims.set(LABEL.nbf, notBeforeSeconds);
  if (methods !== undefined) claims.set(LABEL.catm, methods);
  if (network !== undefined) {
    const tag = network.bytes.length === 4 ? 52 : 54;
    claims.set(LABEL.catnip, [{ tag, value: [network.bits, network.bytes] }]);
  }
  return sealMac0(encodeCbor(claims), key).toString('base64url');
}
