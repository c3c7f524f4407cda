// What one host may take: requests and bytes by token buckets at accept, and requests to origins at once.
import type { HostQuota } from '../contract.ts';
import { CacheError } from '../errors.ts';
import type { Exchange, Origin } from '../origin/exchange.ts';
import { afterTaking, type Bucket, bucketAt, openBucket, waitSeconds } from '../rules/bucket.ts';

/** One limit on the mean; absent or null: none. */
class RateLimit {
  readonly #perSecond: number;
  #bucket: Bucket;

  constructor(perSecond: number, nowMs: number) {
    this.#perSecond = perSecond;
    this.#bucket = openBucket(perSecond, nowMs);
  }

  /** Seconds to wait until there is `least`; 0: now. */
  wait(nowMs: number, least: number): number {
    this.#bucket = bucketAt(this.#bucket, this.#perSecond, nowMs);
    return waitSeconds(this.#bucket, this.#perSecond, least);
  }

  take(amount: number): void {
    this.#bucket = afterTaking(this.#bucket, amount);
  }
}

const limitOf = (perSecond: number | null | undefined): RateLimit | undefined =>
  perSecond === null || perSecond === undefined ? undefined : new RateLimit(perSecond, performance.now());

const INERT: Exchange = { pause: () => undefined, resume: () => undefined, abort: () => undefined };

/** The quota of a host as it is being used. */
export class Quota {
  readonly #requests: RateLimit | undefined;
  readonly #bytes: RateLimit | undefined;
  readonly #most: number;
  #running = 0;

  constructor(quota: HostQuota) {
    this.#requests = limitOf(quota.requestsPerSecond);
    this.#bytes = limitOf(quota.bytesPerSecond);
    this.#most = quota.originRequests ?? Number.POSITIVE_INFINITY;
  }

  /** Takes one request in, or says in how many seconds to try again. */
  enter(): number {
    if (this.#requests === undefined && this.#bytes === undefined) return 0;
    const nowMs = performance.now();
    // A byte to give suffices: what an answer takes is only known at its end.
    const seconds = Math.max(this.#requests?.wait(nowMs, 1) ?? 0, this.#bytes?.wait(nowMs, 1) ?? 0);
    if (seconds === 0) this.#requests?.take(1);
    return seconds;
  }

  /** Notes the body bytes of an answer that has ended. */
  spend(bytes: number): void {
    this.#bytes?.take(bytes);
  }

  /** Whether over() makes a difference. */
  get boundsOrigins(): boolean {
    return this.#most !== Number.POSITIVE_INFINITY;
  }

  /** An origin as this host may ask it: one request too many fails with CACHE_HOST_QUOTA. */
  over(origin: Origin): Origin {
    return {
      ...origin,
      fetch: (request, sink) => {
        if (this.#running >= this.#most) {
          const text = `${this.#most} requests of this host are with origins already.`;
          queueMicrotask(() => sink.onError(new CacheError('CACHE_HOST_QUOTA', text, { retryable: true })));
          return INERT;
        }
        this.#running += 1;
        let isOver = false;
        const leave = (): void => {
          if (!isOver) this.#running -= 1;
          isOver = true;
        };
        const exchange = origin.fetch(request, {
          ...sink,
          onEnd: () => {
            leave();
            sink.onEnd();
          },
          onError: (error) => {
            leave();
            sink.onError(error);
          },
        });
        return {
          pause: () => exchange.pause(),
          resume: () => exchange.resume(),
          abort: () => {
            leave();
            exchange.abort();
          },
        };
      },
    };
  }
}
