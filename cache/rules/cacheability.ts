// Whether a response may be stored by a shared cache (RFC 9111 sections 3 and 3.5), and whether it is worth it.
import { isBare } from './directives.ts';
import { type Fields, fieldValue, splitList } from './fields.ts';
import { HEURISTIC_STATUS, type Policy } from './freshness.ts';
import { isUnacceptable, leadsToPrivate } from './lies.ts';

/** Final status codes whose caching this node understands (for must-understand, RFC 9111 section 5.2.2.3). */
const UNDERSTOOD_STATUS: ReadonlySet<number> = new Set([
  ...HEURISTIC_STATUS,
  ...[201, 202, 205, 302, 303, 307, 400, 401, 402, 403, 406, 407, 408, 409, 411, 412, 413, 415, 416, 417, 421, 422],
  ...[425, 426, 428, 429, 431, 451, 500, 502, 503, 504, 505],
]);

/** Why a response is not stored; null when it may be. Closed, for Cache-Status detail and tests. */
export type Refusal =
  | 'method'
  | 'status'
  | 'no-store'
  | 'private'
  | 'authorization'
  | 'vary'
  | 'set-cookie'
  | 'no-freshness'
  | 'undelimited'
  | 'coding'
  | 'private-redirect';

/** The request's part in the decision. */
export type Asked = {
  readonly method: string;
  readonly hasAuthorization: boolean;
  readonly noStore: boolean;
  /** Accept-Encoding as the origin got it. */
  readonly acceptEncoding?: string | undefined;
};

function refusalByDirectives(asked: Asked, status: number, policy: Policy): Refusal | null {
  const { directives } = policy;
  const understands = directives.has('must-understand') && UNDERSTOOD_STATUS.has(status);
  if (directives.has('must-understand') && !UNDERSTOOD_STATUS.has(status)) return 'status';
  // must-understand lets a cache that knows the status ignore no-store (RFC 9111 section 5.2.2.3).
  if (asked.noStore || (directives.has('no-store') && !understands)) return 'no-store';
  if (isBare(directives, 'private')) return 'private';
  if (!asked.hasAuthorization) return null;
  const allowed = ['public', 's-maxage', 'must-revalidate'].some((name) => directives.has(name));
  return allowed ? null : 'authorization';
}

/** Null when the response to a GET may and should be stored, otherwise the first reason against it. */
export function refusalOf(asked: Asked, status: number, headers: Fields, policy: Policy): Refusal | null {
  if (asked.method !== 'GET') return 'method';
  if (status < 200 || status === 206 || status === 304 || status > 599) return 'status';
  const refused = refusalByDirectives(asked, status, policy);
  if (refused !== null) return refused;
  if (leadsToPrivate(status, headers)) return 'private-redirect';
  if (isUnacceptable(asked.acceptEncoding, headers)) return 'coding';
  if (splitList(fieldValue(headers, 'vary') ?? '').includes('*')) return 'vary';
  if (!policy.isExplicit && !HEURISTIC_STATUS.has(status) && !policy.directives.has('public')) return 'no-freshness';
  // Nothing forbids it (RFC 9111 section 7.3), but a cookie without explicit freshness is most often one viewer's.
  if (!policy.isExplicit && fieldValue(headers, 'set-cookie') !== undefined) return 'set-cookie';
  const canValidate = fieldValue(headers, 'etag') !== undefined || fieldValue(headers, 'last-modified') !== undefined;
  const servesStale = policy.staleWhileRevalidateMs > 0 || policy.staleIfErrorMs > 0;
  const isUseful = policy.lifetimeMs > policy.initialAgeMs || canValidate || (policy.isExplicit && servesStale);
  return isUseful ? null : 'no-freshness';
}
