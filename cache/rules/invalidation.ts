// What an answer to an unsafe method makes outdated (RFC 9111 section 4.4).
import { type Fields, fieldValue } from './fields.ts';

/** Methods that by RFC 9110 section 9.2.1 change nothing at the origin. */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/**
 * Paths with query whose stored responses an answer invalidates: its own target, and what Location and
 * Content-Location name on the same host; none for a safe method or an error.
 */
export function invalidatedBy(
  asked: { readonly method: string; readonly resource: string; readonly host: string },
  status: number,
  headers: Fields,
): readonly string[] {
  if (SAFE.has(asked.method) || status < 200 || status >= 400) return [];
  const base = URL.parse(asked.resource, `http://${asked.host}`);
  const named = ['location', 'content-location'].flatMap((name) => {
    const value = fieldValue(headers, name);
    const url = value === undefined || base === null ? null : URL.parse(value, base.href);
    return url !== null && url.host === base?.host ? [url.pathname + url.search] : [];
  });
  return [asked.resource, ...named];
}
