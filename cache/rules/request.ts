// Requests that Node's parser lets through and that a cache must refuse, and the fields that it sends on to an origin.
import { endToEnd, type Fields } from './fields.ts';

/** A request as the listener sees it. `rawHeaders` is the flat list of names and values. */
export type RawRequest = {
  readonly method: string;
  readonly url: string;
  readonly httpVersion: string;
  readonly rawHeaders: readonly string[];
};

const SPOKEN: ReadonlySet<string> = new Set(['1.0', '1.1', '2']);
/** The longest target that is taken. */
const MAX_URL_BYTES = 8192;
const HOST = /^(\[[\da-f:.]+\]|[\w.~%!$&'()*+,;=-]*)(:\d{0,5})?$/i;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control bytes are what is looked for.
const FORBIDDEN_URL = /[#\\\x00-\x20\x7f]|%00|%5c/i;
const DOT_SEGMENT = /(^|\/|%2f)(\.|%2e){1,2}(\/|%2f|$)/i;

function hostFault(request: RawRequest): string | undefined {
  let host: string | undefined;
  let transferEncoding: string | undefined;
  let contentLength: string | undefined;
  for (let index = 0; index < request.rawHeaders.length; index += 2) {
    const name = request.rawHeaders[index] ?? '';
    const value = request.rawHeaders[index + 1] ?? '';
    if (name.length === 4 && name.toLowerCase() === 'host') {
      if (host !== undefined) return 'more than one Host';
      host = value;
    } else if (name.length === 14 && name.toLowerCase() === 'content-length') contentLength = value;
    else if (name.length === 17 && name.toLowerCase() === 'transfer-encoding') transferEncoding = value;
  }
  if (host === undefined ? request.httpVersion !== '1.0' : !HOST.test(host)) return 'no valid Host';
  const hasBody = transferEncoding !== undefined || (contentLength !== undefined && Number(contentLength) !== 0);
  if (request.httpVersion === '1.0' && transferEncoding !== undefined) return 'Transfer-Encoding in HTTP/1.0';
  if (hasBody && (request.method === 'GET' || request.method === 'HEAD')) return 'a body where none belongs';
  if (request.url.startsWith('/') || (request.url === '*' && request.method === 'OPTIONS')) return undefined;
  const absolute = /^https?:\/\/([^/?#]*)/i.exec(request.url);
  if (absolute === null) return 'a target that is no path';
  return absolute[1]?.toLowerCase() === (host ?? '').toLowerCase() ? undefined : 'Host and target disagree';
}

/** Why a request is refused with 400; undefined when it may go on. */
export function malformed(request: RawRequest): string | undefined {
  if (!SPOKEN.has(request.httpVersion)) return 'an HTTP version not spoken here';
  if (request.url.length > MAX_URL_BYTES) return 'a target that is too long';
  const fault = hostFault(request);
  if (fault !== undefined) return fault;
  if (FORBIDDEN_URL.test(request.url)) return 'a byte that no target may hold';
  const question = request.url.indexOf('?');
  const path = question < 0 ? request.url : request.url.slice(0, question);
  return DOT_SEGMENT.test(path) ? 'a dot segment' : undefined;
}

/** Fields that ask for more than the whole of what is stored, or ask the cache itself. */
const ASKING: ReadonlySet<string> = new Set([
  'cache-control',
  'cdn-loop',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'pragma',
  'range',
]);
const ASKING_LENGTHS: ReadonlySet<number> = new Set([...ASKING].map(({ length }) => length));

/** Whether no field of a flat list is a condition, a range, a demand on caches or CDN-Loop. */
export function asksPlainly(rawHeaders: readonly string[]): boolean {
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    if (ASKING_LENGTHS.has(name.length) && ASKING.has(name.toLowerCase())) return false;
  }
  return true;
}

/** Whether a flat list of fields has exactly this one Host and announces no body. */
export function isJustFor(rawHeaders: readonly string[], host: string): boolean {
  let hosts = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    if (name.length === 4) {
      if (name.toLowerCase() !== 'host') continue;
      if (rawHeaders[index + 1] !== host) return false;
      hosts += 1;
    } else if (name.length === 14 || name.length === 17) {
      const lower = name.toLowerCase();
      if (lower === 'content-length' || lower === 'transfer-encoding') return false;
    }
  }
  return hosts === 1;
}

/** The origin form of a target: what follows the authority of an absolute one. */
export function originForm(url: string): string {
  if (url.startsWith('/') || url === '*') return url;
  const path = url.replace(/^https?:\/\/[^/?]*/i, '');
  return path.startsWith('/') ? path : `/${path}`;
}

/** Fields of one viewer or hop that origins are known to answer differently to: unkeyed, so they go no further. */
const UNKEYED = new Set([
  'base-url',
  'cdn-loop',
  'cf-connecting-ip',
  'client-ip',
  'content-length',
  'expect',
  'fastly-client-ip',
  'forwarded',
  'front-end-https',
  'host',
  'proxy',
  'proxy-host',
  'request-uri',
  'true-client-ip',
  'via',
  'wl-proxy-client-ip',
]);
/** The same by families: what hosts, schemes, paths, methods and addresses are said to have been, and frameworks' own. */
const UNKEYED_FAMILY =
  /^x-(forwarded|original|originating|rewrite|override|http-(method|host|dest)|method-override|host|real-ip|client-ip|cluster-client|remote-|backend-host|url-scheme|scheme|arr-|accel-|invoke-|middleware-|nextjs-|now-route|sendfile|wap-profile)/;

const isUnkeyed = (name: string): boolean => UNKEYED.has(name) || UNKEYED_FAMILY.test(name);

/** Conditions and ranges of one viewer: a fill asks for the whole. */
const CONDITIONS = new Set([
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'range',
]);

/** Whether a field carries CMCD (CTA-5004 section 2.1): telemetry, not part of the request. */
export function isCmcdField(name: string): boolean {
  return name.startsWith('cmcd-');
}

/** What an origin is sent of the viewer's fields; `isWhole` leaves out the viewer's own conditions and range. */
export function forwardedFields(fields: Fields, isWhole: boolean): Fields {
  return endToEnd(fields).filter(
    ([name]) => !isUnkeyed(name) && !isCmcdField(name) && !(isWhole && CONDITIONS.has(name)),
  );
}
