// The publisher's signed viewer token: a JSON Web Token (RFC 7519) under HMAC-SHA256, checked and never issued here.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { MAX_ID_LENGTH, MAX_TOKEN_LENGTH } from './event.ts';

/** A verified token: whom it names, and whether its time is over. */
export type ViewerToken = { readonly subject: string; readonly isExpired: boolean };

/**
 * Verifies a token against the shared secret; undefined for any but HS256, a wrong signature, no `sub`, or a malformed
 * one. An expired one is told apart, since it still serves to erase. Never throws.
 */
export function verifyViewerToken(token: string, secret: Uint8Array, now: number): ViewerToken | undefined {
  if (token.length > MAX_TOKEN_LENGTH) return undefined;
  const [header, payload, signature, ...rest] = token.split('.');
  if (header === undefined || payload === undefined || signature === undefined || rest.length > 0) return undefined;
  const expected = createHmac('sha256', secret).update(`${header}.${payload}`).digest();
  const given = Buffer.from(signature, 'base64url');
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  if (claim(header, 'alg') !== 'HS256') return undefined;
  const subject = claim(payload, 'sub');
  if (typeof subject !== 'string' || subject === '' || subject.length > MAX_ID_LENGTH) return undefined;
  const expiresAtSeconds = claim(payload, 'exp');
  const notBeforeSeconds = claim(payload, 'nbf');
  if (typeof notBeforeSeconds === 'number' && now < notBeforeSeconds * 1000) return undefined;
  // A token without an end would name its viewer for ever; it is as good as one that has ended.
  return { subject, isExpired: typeof expiresAtSeconds !== 'number' || now >= expiresAtSeconds * 1000 };
}

function claim(part: string, name: string): unknown {
  try {
    const content: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    return Object.entries(Object(content)).find(([key]) => key === name)?.[1];
  } catch {
    // Signed, but not JSON: a claim that is not there.
    return undefined;
  }
}
