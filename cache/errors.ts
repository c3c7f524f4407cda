// Errors of the cache: one class, its codes a closed union, each documented in ARCHITECTURE.md.

/** Every code of the cache. */
export const CACHE_CODES = [
  'CACHE_CORRUPT',
  'CACHE_DISK_READ',
  'CACHE_STORE_LOCKED',
  'CACHE_STORE_UNUSABLE',
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
