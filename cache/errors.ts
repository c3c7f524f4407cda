// Errors of the cache: one class, its codes a closed union, each documented in ARCHITECTURE.md.

/** Every code of the cache. */
export const CACHE_CODES = [
  'CACHE_OPTIONS_INVALID',
  'CACHE_LISTEN_FAILED',
  'CACHE_CERTIFICATE_UNUSABLE',
  'CACHE_ORIGIN_UNREACHABLE',
  'CACHE_ORIGIN_TIMEOUT',
  'CACHE_ORIGIN_CUT',
  'CACHE_ORIGIN_INVALID',
  'CACHE_ORIGIN_CHANGED',
  'CACHE_ORIGIN_STATUS',
  'CACHE_ORIGIN_OPEN',
  'CACHE_HOST_QUOTA',
  'CACHE_CANCELLED',
  'CACHE_STORE_UNUSABLE',
  'CACHE_STORE_LOCKED',
  'CACHE_DISK_READ',
  'CACHE_CORRUPT',
  'CACHE_FORMAT_NEWER',
] as const;
export type CacheCode = (typeof CACHE_CODES)[number];

/** An operating error of the cache; `message` says what to do, `retryable` whether trying again may help. */
export class CacheError extends Error {
  readonly code: CacheCode;
  readonly retryable: boolean;

  constructor(
    code: CacheCode,
    message: string,
    options: { readonly cause?: unknown; readonly retryable?: boolean } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = 'CacheError';
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}
