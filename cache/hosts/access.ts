// Signed URLs of a host: finds the token of a request, checks it, and takes it away, so that neither key nor origin nor log
// ever sees one.
import type { Signing } from '../contract-rights.ts';
import { CacheError } from '../errors.ts';
import type { ViewerRequest, ViewerResponse } from '../listen/viewer.ts';
import { type AccessRequest, DENIAL_TEXTS, type Denial } from '../rules/access.ts';
import { checkCat } from '../rules/access-cat.ts';
import { checkHmac } from '../rules/access-hmac.ts';
import { addressBytes } from '../rules/address.ts';
import { UsedOnce } from '../rules/once.ts';

/** Header and cookie of Common Access Tokens, and the query parameter (CTA-5007). */
const CAT_FIELD = 'cta-common-access-token';
const CAT_QUERY: ReadonlySet<string> = new Set(['CAT', 'cat']);
/** How far clocks may be apart unless the host says otherwise, seconds. */
const DEFAULT_SKEW_SECONDS = 30;
/** Ids of tokens for a single use that are remembered until they expire; above it no other is taken. */
const MAX_ONCE = 100_000;
const SHORTEST_SECRET_BYTES = 16;

/** What a host makes of a request: what is asked for without its token, or why it is refused. */
export type Checked = { readonly resource: string } | { readonly denial: Denial };

/** Checks requests of one host. `host`: the name that was asked for. */
export type Access = (request: ViewerRequest, resource: string, host: string) => Checked;

type Found = { readonly token: string | undefined; readonly resource: string };

/** Names under which a host's tokens come. */
type Names = { readonly query: ReadonlySet<string>; readonly header: string | undefined; readonly cookie: string };

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // What is no percent-encoding is no token either, and is refused as one.
  }
}

/** Takes the token out of a path that begins with `prefix`, and of the query. */
function takeFromTarget(resource: string, names: Names, prefix: string | null): Found {
  let token: string | undefined;
  let rest = resource;
  if (prefix !== null && rest.startsWith(prefix)) {
    const end = rest.indexOf('/', prefix.length);
    if (end > 0) {
      token = decoded(rest.slice(prefix.length, end));
      rest = rest.slice(end);
    }
  }
  const question = rest.indexOf('?');
  if (question < 0) return { token, resource: rest };
  const kept = rest
    .slice(question + 1)
    .split('&')
    .filter((pair) => {
      const equals = pair.indexOf('=');
      if (!names.query.has(decoded(equals < 0 ? pair : pair.slice(0, equals)))) return true;
      token ??= decoded(equals < 0 ? '' : pair.slice(equals + 1));
      return false;
    })
    .join('&');
  return { token, resource: kept === '' ? rest.slice(0, question) : `${rest.slice(0, question)}?${kept}` };
}

/** Takes a cookie out of a Cookie field. */
function takeCookie(field: string, name: string): { readonly token: string | undefined; readonly rest: string } {
  let token: string | undefined;
  const kept = field.split(';').filter((pair) => {
    const equals = pair.indexOf('=');
    if (equals < 0 || pair.slice(0, equals).trim() !== name) return true;
    token ??= decoded(pair.slice(equals + 1).trim());
    return false;
  });
  return { token, rest: kept.join(';').trim() };
}

/** Takes the token out of the request's fields, for everybody who looks at them later. */
function takeFromFields(request: ViewerRequest, names: Names): string | undefined {
  const { rawHeaders, headers } = request;
  let token: string | undefined;
  for (let index = rawHeaders.length - 2; index >= 0; index -= 2) {
    const name = (rawHeaders[index] ?? '').toLowerCase();
    const value = rawHeaders[index + 1] ?? '';
    if (name === names.header) {
      // A token in a field of its own goes before one in a cookie.
      token = value.trim();
      rawHeaders.splice(index, 2);
      delete headers[name];
    } else if (name === 'cookie') {
      const found = takeCookie(value, names.cookie);
      if (found.token === undefined) continue;
      token ??= found.token;
      if (found.rest === '') rawHeaders.splice(index, 2);
      else rawHeaders[index + 1] = found.rest;
      const whole = takeCookie(headers.cookie ?? '', names.cookie).rest;
      if (whole === '') delete headers.cookie;
      else headers.cookie = whole;
    }
  }
  return token;
}

function requestOf(request: ViewerRequest, host: string, resource: string): AccessRequest {
  const question = resource.indexOf('?');
  const { socket } = request;
  const authority = String(request.headers[':authority'] ?? request.headers.host ?? '');
  return {
    method: request.method ?? 'GET',
    scheme: 'encrypted' in socket ? 'https' : 'http',
    host,
    port: /:(\d+)$/.exec(authority)?.[1] ?? '',
    path: question < 0 ? resource : resource.slice(0, question),
    query: question < 0 ? '' : resource.slice(question + 1),
    address: addressBytes(socket.remoteAddress ?? ''),
  };
}

/** A browser asks ahead of a request with credentials whether it may send it; that carries none (Fetch, CORS-preflight). */
const isPreflight = ({ method, headers }: ViewerRequest): boolean =>
  method === 'OPTIONS' && headers['access-control-request-method'] !== undefined;

function check(signing: Signing): void {
  const { keys } = signing;
  const ids = new Set(keys.map(({ id }) => id));
  if (keys.length === 0 || ids.size !== keys.length)
    throw new CacheError('CACHE_OPTIONS_INVALID', 'Signed URLs need keys, each with an id of its own.');
  const short = keys.find(({ secret }) => secret.length < SHORTEST_SECRET_BYTES);
  if (short !== undefined)
    throw new CacheError(
      'CACHE_OPTIONS_INVALID',
      `The secret of key "${short.id}" has fewer than ${SHORTEST_SECRET_BYTES} bytes.`,
    );
}

/** Opens the check of one host. Throws CACHE_OPTIONS_INVALID for keys that cannot work. */
export function openAccess(signing: Signing, now: () => number): Access {
  check(signing);
  const { scheme, keys, name = 'token', pathPrefix = null, exempt = [], audience = [] } = signing;
  const skewMs = (signing.clockSkewSeconds ?? DEFAULT_SKEW_SECONDS) * 1000;
  const issuer = signing.issuer ?? undefined;
  const isCat = scheme === 'cat';
  const names: Names = isCat
    ? { query: CAT_QUERY, header: CAT_FIELD, cookie: CAT_FIELD }
    : { query: new Set([name]), header: undefined, cookie: name };
  const usedOnce = new UsedOnce(MAX_ONCE);

  const denialOf = (token: string, asked: AccessRequest): Denial | null => {
    const at = { nowMs: now(), skewMs };
    if (!isCat) return checkHmac(token, asked, keys, at);
    const allowed = checkCat(token, asked, keys, { issuer, audience, ...at });
    if (typeof allowed === 'string') return allowed;
    if (allowed.once === undefined) return null;
    // The token is good until its end by a clock that is late.
    const { id, expiresMs } = allowed.once;
    return usedOnce.use(id, expiresMs + skewMs, at.nowMs) ? null : 'TOKEN_REPLAYED';
  };

  return (request, target, host) => {
    const inFields = takeFromFields(request, names);
    const { token: inTarget, resource } = takeFromTarget(target, names, pathPrefix);
    if (isPreflight(request) || exempt.some((prefix) => resource.startsWith(prefix))) return { resource };
    const token = inTarget ?? inFields;
    if (token === undefined) return { denial: 'TOKEN_MISSING' };
    const denial = denialOf(token, requestOf(request, host, resource));
    return denial === null ? { resource } : { denial };
  };
}

/** What an allowed request asks for. Any other is answered here with 403; `tell` gives the Cache-Status of that. */
export function admit(
  { request, response }: { readonly request: ViewerRequest; readonly response: ViewerResponse },
  checked: Checked,
  tell: (denial: Denial) => string,
): string | undefined {
  if ('resource' in checked) return checked.resource;
  const { denial } = checked;
  const body = `${JSON.stringify({ code: denial, message: DENIAL_TEXTS[denial] })}\n`;
  // What follows the head of a refused upload is its body.
  if (request.method !== 'GET' && request.method !== 'HEAD') response.shouldKeepAlive = false;
  response.writeHead(403, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'cache-status': tell(denial),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
  return undefined;
}
