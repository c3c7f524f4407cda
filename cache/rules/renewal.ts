// What a 304, or the answer to a HEAD, makes of a stored response's fields (RFC 9111 sections 4.3.4 and 4.3.5).
import { refusalOf } from './cacheability.ts';
import { updatedBy } from './conditional.ts';
import type { Fields } from './fields.ts';
import { type FreshnessRules, policyOf, type Received, strippedFields } from './freshness.ts';

const ASKED = { method: 'GET', hasAuthorization: false, noStore: false };

/**
 * The stored fields brought up to date, without those that are for one viewer only (section 3.1); undefined when the
 * response may not be kept any more, since the origin has said meanwhile that it is private or not to be stored.
 */
export function renewedBy(stored: Received, by: Omit<Received, 'status'>, rules: FreshnessRules): Fields | undefined {
  const headers = updatedBy(stored.headers, by.headers);
  const policy = policyOf({ ...by, status: stored.status, headers }, rules);
  const refusal = refusalOf(ASKED, stored.status, headers, policy);
  if (refusal === 'private' || refusal === 'no-store') return undefined;
  const stripped = strippedFields(policy);
  return stripped.size === 0 ? headers : headers.filter(([name]) => !stripped.has(name));
}
