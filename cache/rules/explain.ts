// Why a stored response is fresh or not, and what the next request for it will meet, in words for an operator.
import { validatorsOf } from './conditional.ts';
import { isBare } from './directives.ts';
import { fieldLines, fieldValue } from './fields.ts';
import { type FreshnessRules, NO_DEMANDS, type Policy, policyOf, type Received, reuseOf } from './freshness.ts';

/** What is explained of a stored response. Seconds are whole. */
export type ExplainedFreshness = {
  readonly ageSeconds: number;
  readonly lifetimeSeconds: number;
  /** Negative: stale since; 0 when only the origin can make it usable. */
  readonly freshForSeconds: number;
  /** The directive, field or setting that decides, and where it stands. */
  readonly because: string;
  /** What a plain request gets now. */
  readonly next: string;
  /** Whether it may be served while the origin fails. */
  readonly servedOnError: boolean;
};

function fieldOf(received: Received, policy: Policy, { target }: FreshnessRules): string {
  if (!policy.isTargeted) return 'Cache-Control';
  return fieldLines(received.headers, target.toLowerCase()).length > 0 ? target : 'CDN-Cache-Control';
}

function reasonOf(received: Received, policy: Policy, rules: FreshnessRules): string {
  const { directives } = policy;
  const field = fieldOf(received, policy, rules);
  if (isBare(directives, 'no-cache')) return `no-cache in ${field}: the origin is asked every time`;
  if (policy.mustValidate) return 'Pragma: no-cache without Cache-Control: the origin is asked every time';
  for (const name of ['s-maxage', 'max-age']) {
    const found = directives.get(name) ?? directives.get(`${name} `);
    if (found !== undefined) return `${name}=${found[0] ?? ''} in ${field}`;
  }
  const expires = fieldLines(received.headers, 'expires')[0];
  if (expires !== undefined && !policy.isTargeted) return `Expires: ${expires}`;
  if (policy.lifetimeMs === 0) return 'the origin says nothing of freshness, and nothing is assumed';
  return fieldValue(received.headers, 'last-modified') === undefined
    ? 'cache.defaultTtlSeconds, for the origin says nothing of freshness'
    : 'a tenth of the time since Last-Modified, for the origin says nothing of freshness (RFC 9111, 4.2.2)';
}

function nextOf(stored: Received & { readonly tier: 'memory' | 'disk' }, use: 'fresh' | 'stale' | 'validate'): string {
  if (use === 'fresh') return `a hit from ${stored.tier}, without a word to the origin`;
  if (use === 'stale') return `a stale hit from ${stored.tier} at once, and the origin asked behind it`;
  const validators = validatorsOf(stored.headers).map(([name]) => name);
  return validators.length > 0
    ? `the origin asked first, with ${validators.join(' and ')}; a 304 makes this copy fresh again`
    : 'the origin asked first, for a whole new copy: this one has no validator';
}

/** Explains a stored response as a request without demands of its own would find it. */
export function explainFreshness(
  stored: Received & { readonly isInvalidated: boolean; readonly tier: 'memory' | 'disk' },
  rules: FreshnessRules,
  nowMs: number,
): ExplainedFreshness {
  const policy = policyOf(stored, rules);
  const reuse = reuseOf(policy, stored, NO_DEMANDS, nowMs);
  const because = stored.isInvalidated
    ? 'marked as outdated, by a soft purge, a group or an unsafe method'
    : reasonOf(stored, policy, rules);
  return {
    ageSeconds: Math.floor(reuse.ageMs / 1000),
    lifetimeSeconds: Math.floor(policy.lifetimeMs / 1000),
    freshForSeconds: stored.isInvalidated || policy.mustValidate ? 0 : Math.floor(reuse.freshForMs / 1000),
    because,
    next: nextOf(stored, reuse.use),
    servedOnError: reuse.onError,
  };
}
