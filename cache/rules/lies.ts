// Answers of an origin that one viewer may get and no other: what contradicts its request, or sends viewers where no
// public answer should.
import { type Fields, fieldValue, splitList } from './fields.ts';

/** IPv4 addresses that are no host's on the Internet (RFC 6890): this host, private, loopback, link-local, shared. */
const PRIVATE_V4 =
  /^(0|10|127)\.|^169\.254\.|^192\.168\.|^172\.(1[6-9]|2\d|3[01])\.|^100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./;
/** The same of IPv6: unspecified, loopback, unique local, link-local, and mapped IPv4. */
const PRIVATE_V6 = /^\[(::1?|f[cd][0-9a-f]{2}:.*|fe[89ab][0-9a-f]:.*|::ffff:.*)\]$/;
/** Names that mean the asker's own network (RFC 6761, RFC 6762, RFC 9476, and ICANN's reserved .internal). */
const PRIVATE_NAME = /(^|\.)(localhost|local|internal|home\.arpa)$/;

/** Whether a redirection leads to an address or name of a private network, which no shared copy of it should. */
export function leadsToPrivate(status: number, headers: Fields): boolean {
  if (status < 300 || status > 399) return false;
  const location = fieldValue(headers, 'location');
  // What has no authority of its own stays with the host that was asked.
  if (location === undefined || !/^([a-z][a-z0-9+.-]*:)?[\\/]{2}/i.test(location)) return false;
  // As a viewer would read it: other spellings of an address (0x7f.1, 2130706433) become the plain one.
  const { hostname } = URL.canParse(location, 'http://a/') ? new URL(location, 'http://a/') : { hostname: '' };
  const name = hostname.toLowerCase().replace(/\.$/, '');
  return PRIVATE_V4.test(name) || PRIVATE_V6.test(name) || PRIVATE_NAME.test(name);
}

/** Codings that a viewer may fail to read (RFC 9110 section 8.4.1 and its registry); what else stands there is no coding. */
const CODINGS: ReadonlySet<string> = new Set(['br', 'compress', 'dcb', 'dcz', 'deflate', 'gzip', 'zstd']);

/** Whether a body comes in a coding that the request does not take (RFC 9110 section 12.5.3). */
export function isUnacceptable(acceptEncoding: string | undefined, headers: Fields): boolean {
  const codings = splitList(fieldValue(headers, 'content-encoding') ?? '').map(plainCoding);
  if (acceptEncoding === undefined || codings.length === 0) return false;
  const weights = new Map<string, boolean>();
  for (const item of splitList(acceptEncoding)) {
    const [coding = '', ...parameters] = item.split(';');
    weights.set(plainCoding(coding), !parameters.some((one) => /^\s*q=0(\.0*)?\s*$/i.test(one)));
  }
  return codings.some((coding) => CODINGS.has(coding) && !(weights.get(coding) ?? weights.get('*') ?? false));
}

/** Lower case; x-gzip and x-compress are their old names (RFC 9110 section 8.4.1). */
function plainCoding(coding: string): string {
  return coding
    .trim()
    .toLowerCase()
    .replace(/^x-(?=gzip$|compress$)/, '');
}
