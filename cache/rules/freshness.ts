// How long a response is fresh, how old it is, and how long it may be served stale (RFC 9111 section 4.2, RFC 5861).
import { parseHttpDate } from './date.ts';
import { type Directives, fieldsNamedBy, governingDirectives, isBare, secondsOf } from './directives.ts';
import { type Fields, fieldLines, fieldValue, splitList } from './fields.ts';

/** What the operator decides where the origin is silent. */
export type FreshnessRules = {
  readonly defaultTtlSeconds: number;
  readonly graceSeconds: number;
  readonly target: string;
};

/** The parts of a response that freshness is read from. */
export type Received = {
  readonly status: number;
  readonly headers: Fields;
  /** When the request was sent and the head came, milliseconds since the epoch. */
  readonly requestedAt: number;
  readonly receivedAt: number;
};

/** Everything that a response's head says of its reuse. Times in milliseconds. */
export type Policy = {
  readonly directives: Directives;
  readonly isTargeted: boolean;
  /** Freshness by the origin's own word rather than by heuristic or default. */
  readonly isExplicit: boolean;
  readonly lifetimeMs: number;
  /** Age on arrival, network time included. */
  readonly initialAgeMs: number;
  readonly staleWhileRevalidateMs: number;
  readonly staleIfErrorMs: number;
  /** Usable only after the origin has confirmed it. */
  readonly mustValidate: boolean;
};

/** Status codes that may be kept without explicit freshness (RFC 9110 section 15.1); 206 is not stored here. */
export const HEURISTIC_STATUS: ReadonlySet<number> = new Set([200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501]);

/** A tenth of the time since the last change (RFC 9111 section 4.2.2), at most a day. */
const HEURISTIC_RATIO = 0.1;
const HEURISTIC_MAX_MS = 24 * 3_600_000;
/** An Age whose text is no number, or beyond this, is the greatest age. */
const MAX_AGE_SECONDS = 2 ** 31;

/** The fields that govern a cache of this kind, first of all the operator's own. */
function targetsOf(rules: FreshnessRules): readonly string[] {
  return [rules.target.toLowerCase(), 'cdn-cache-control'];
}

/**
 * Age in seconds; 0 when absent or without a number (RFC 9111 section 5.1: invalid is ignored). Of a list the first
 * member counts. Doubt goes to the older side, which can cost a request but never make stale bytes look fresh: of
 * several lines the greatest counts, and of a number with something behind it ("7200.0") the number.
 */
export function ageSecondsOf(headers: Fields): number {
  const seconds = fieldLines(headers, 'age').map((line) => Number(/^\d+/.exec(splitList(line)[0] ?? '')?.[0] ?? 0));
  return Math.min(Math.max(0, ...seconds), MAX_AGE_SECONDS);
}

/** Age at arrival (RFC 9111 section 4.2.3: corrected_initial_age). */
function initialAgeMs(received: Received): number {
  const { headers, requestedAt, receivedAt } = received;
  const date = parseHttpDate(fieldValue(headers, 'date') ?? '', receivedAt);
  const apparentMs = date === undefined ? 0 : Math.max(0, receivedAt - date);
  // Date has whole seconds: up to one of them is rounding, not age.
  const roundedMs = apparentMs < 1000 ? 0 : apparentMs;
  const delayMs = Math.max(0, receivedAt - requestedAt);
  return Math.max(roundedMs, ageSecondsOf(headers) * 1000 + delayMs);
}

function explicitLifetimeMs(received: Received, directives: Directives, isTargeted: boolean): number | undefined {
  const shared = secondsOf(directives, 's-maxage');
  if (shared !== undefined) return shared * 1000;
  const maxAge = secondsOf(directives, 'max-age');
  if (maxAge !== undefined) return maxAge * 1000;
  const expires = fieldLines(received.headers, 'expires')[0];
  if (expires === undefined || isTargeted) return undefined;
  const at = parseHttpDate(expires, received.receivedAt);
  const date = parseHttpDate(fieldValue(received.headers, 'date') ?? '', received.receivedAt) ?? received.receivedAt;
  // An unreadable Expires, above all "0", means already expired (RFC 9111 section 5.3).
  return at === undefined ? 0 : Math.max(0, at - date);
}

function impliedLifetimeMs(received: Received, directives: Directives, rules: FreshnessRules): number {
  if (!HEURISTIC_STATUS.has(received.status) && !directives.has('public')) return 0;
  const modified = parseHttpDate(fieldValue(received.headers, 'last-modified') ?? '', received.receivedAt);
  const date = parseHttpDate(fieldValue(received.headers, 'date') ?? '', received.receivedAt) ?? received.receivedAt;
  if (modified !== undefined && modified < date) {
    return Math.min((date - modified) * HEURISTIC_RATIO, HEURISTIC_MAX_MS);
  }
  return received.status === 200 ? rules.defaultTtlSeconds * 1000 : 0;
}

/** Reads a response's head once. */
export function policyOf(received: Received, rules: FreshnessRules): Policy {
  const { directives, isTargeted } = governingDirectives(received.headers, targetsOf(rules));
  const explicitMs = explicitLifetimeMs(received, directives, isTargeted);
  const pragma = fieldValue(received.headers, 'pragma');
  // Pragma has no meaning in responses by RFC 9111 section 5.4; origins that send it alone mean "do not reuse".
  const isPragma = !isTargeted && directives.size === 0 && pragma !== undefined && /(^|,)\s*no-cache/i.test(pragma);
  const mustValidate = isBare(directives, 'no-cache') || (isPragma && explicitMs === undefined);
  const forbidsStale =
    mustValidate ||
    directives.has('must-revalidate') ||
    directives.has('proxy-revalidate') ||
    directives.has('s-maxage');
  const graceMs = forbidsStale ? 0 : rules.graceSeconds * 1000;
  const strict = directives.has('must-revalidate') || directives.has('proxy-revalidate') || mustValidate;
  const swr = secondsOf(directives, 'stale-while-revalidate');
  const sie = secondsOf(directives, 'stale-if-error');
  return {
    directives,
    isTargeted,
    isExplicit: explicitMs !== undefined,
    lifetimeMs: mustValidate ? 0 : (explicitMs ?? impliedLifetimeMs(received, directives, rules)),
    initialAgeMs: initialAgeMs(received),
    staleWhileRevalidateMs: strict ? 0 : swr === undefined ? graceMs : swr * 1000,
    staleIfErrorMs: strict ? 0 : sie === undefined ? Math.max(graceMs, (swr ?? 0) * 1000) : sie * 1000,
    mustValidate,
  };
}

/** Age now in milliseconds (RFC 9111 section 4.2.3); a clock that went back makes nothing younger than it came. */
export function ageMs(policy: Policy, receivedAt: number, nowMs: number): number {
  return policy.initialAgeMs + Math.max(0, nowMs - receivedAt);
}

/** What the request demands of a stored response (RFC 9111 section 5.2.1). */
export type Demands = {
  readonly noCache: boolean;
  readonly noStore: boolean;
  readonly onlyIfCached: boolean;
  readonly maxAgeMs: number | undefined;
  readonly minFreshMs: number | undefined;
  /** Infinity for max-stale without an argument. */
  readonly maxStaleMs: number | undefined;
  readonly staleIfErrorMs: number | undefined;
};

/** A request that demands nothing. */
export const NO_DEMANDS: Demands = {
  noCache: false,
  noStore: false,
  onlyIfCached: false,
  maxAgeMs: undefined,
  minFreshMs: undefined,
  maxStaleMs: undefined,
  staleIfErrorMs: undefined,
};

/** Demands from the parsed Cache-Control of a request; `pragma` counts only without Cache-Control (section 5.4). */
export function demandsOf(directives: Directives, pragma: string | undefined): Demands {
  if (directives.size === 0) {
    return pragma !== undefined && /(^|,)\s*no-cache/i.test(pragma) ? { ...NO_DEMANDS, noCache: true } : NO_DEMANDS;
  }
  const milliseconds = (name: string): number | undefined => {
    const seconds = secondsOf(directives, name);
    return seconds === undefined ? undefined : seconds * 1000;
  };
  return {
    noCache: directives.has('no-cache'),
    noStore: directives.has('no-store'),
    onlyIfCached: directives.has('only-if-cached'),
    maxAgeMs: milliseconds('max-age'),
    minFreshMs: milliseconds('min-fresh'),
    maxStaleMs: isBare(directives, 'max-stale') ? Number.POSITIVE_INFINITY : milliseconds('max-stale'),
    staleIfErrorMs: milliseconds('stale-if-error'),
  };
}

/** What a stored response may be used for now. */
export type Reuse = {
  /** fresh: serve. stale: serve and revalidate behind. validate: ask the origin first. */
  readonly use: 'fresh' | 'stale' | 'validate';
  /** Whether it may be served when the origin fails. */
  readonly onError: boolean;
  readonly ageMs: number;
  /** Negative when stale. */
  readonly freshForMs: number;
};

/** Decides on reuse (RFC 9111 section 4.2.4 and 5.2.1). `isInvalidated`: soft-purged, only the origin can bring it back. */
export function reuseOf(
  policy: Policy,
  stored: { readonly receivedAt: number; readonly isInvalidated: boolean },
  demands: Demands,
  nowMs: number,
): Reuse {
  const age = ageMs(policy, stored.receivedAt, nowMs);
  const freshForMs = policy.lifetimeMs - age;
  const staleForMs = Math.max(0, -freshForMs);
  const errorWindowMs = Math.max(policy.staleIfErrorMs, policy.mustValidate ? 0 : (demands.staleIfErrorMs ?? 0));
  const strict = policy.directives.has('must-revalidate') || policy.directives.has('proxy-revalidate');
  const onError = !policy.mustValidate && !(strict && freshForMs <= 0) && staleForMs <= errorWindowMs;
  const common = { onError, ageMs: age, freshForMs };
  if (stored.isInvalidated || policy.mustValidate || demands.noCache) return { use: 'validate', ...common };
  if (demands.maxAgeMs !== undefined && age >= demands.maxAgeMs && (demands.maxAgeMs === 0 || age > demands.maxAgeMs)) {
    return { use: 'validate', ...common };
  }
  if (freshForMs > 0 && freshForMs >= (demands.minFreshMs ?? 0)) return { use: 'fresh', ...common };
  if (demands.minFreshMs !== undefined) return { use: 'validate', ...common };
  const forbids = strict || policy.directives.has('s-maxage');
  if (demands.maxStaleMs !== undefined && !forbids && staleForMs <= demands.maxStaleMs) {
    return { use: 'fresh', ...common };
  }
  const allowed = staleForMs <= policy.staleWhileRevalidateMs && policy.staleWhileRevalidateMs > 0;
  return { use: allowed ? 'stale' : 'validate', ...common };
}

/** Lower-case names of fields that must not be kept with the response. */
export function strippedFields(policy: Policy): ReadonlySet<string> {
  return new Set([...fieldsNamedBy(policy.directives, 'private'), ...fieldsNamedBy(policy.directives, 'no-cache')]);
}
