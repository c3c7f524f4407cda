// What went wrong at an origin, read from undici's errors and from heads that cannot be answers.
import { CacheError } from '../errors.ts';
import { fieldValue } from '../rules/fields.ts';
import type { OriginRequest } from './exchange.ts';

/** undici's codes for answers that are no HTTP, beside those of its parser. */
const INVALID = new Set(['UND_ERR_HEADERS_OVERFLOW', 'UND_ERR_HTTP_PARSER', 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH']);

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/** Broken before the head: the connection was reused and gone, or the origin restarted. A new one may work. */
export function isConnectionLoss(error: unknown): boolean {
  return ['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET', 'UND_ERR_CLOSED'].includes(codeOf(error));
}

/** The error of the cache for one of undici or the system. `name`: the origin's. */
export function errorOf(error: unknown, hasHead: boolean, name: string): CacheError {
  if (error instanceof CacheError) return error;
  const code = codeOf(error);
  const options = { cause: error, retryable: true };
  if (code.includes('TIMEOUT')) {
    return new CacheError('CACHE_ORIGIN_TIMEOUT', `Origin ${name} did not answer in time (${code}).`, options);
  }
  if (code.startsWith('HPE_') || INVALID.has(code)) {
    return new CacheError('CACHE_ORIGIN_INVALID', `Origin ${name} sent no valid HTTP (${code}).`, { cause: error });
  }
  return hasHead
    ? new CacheError('CACHE_ORIGIN_CUT', `Origin ${name} ended a body early (${code}).`, options)
    : new CacheError('CACHE_ORIGIN_UNREACHABLE', `Origin ${name} cannot be reached (${code}); is it up?`, options);
}

/** Why a head cannot be an answer to what was asked; undefined when it can. */
export function headFault(request: OriginRequest, status: number): string | undefined {
  const asked = (name: string) => fieldValue(request.headers, name) !== undefined;
  if (status === 206 && !asked('range')) return '206 without Range';
  if (status === 304 && !asked('if-none-match') && !asked('if-modified-since')) return '304 without a condition';
  return undefined;
}
