// One origin over HTTP: a pool of connections, deadlines, a minimum rate, one retry, a breaker, and a paced return after
// it. The only file that knows undici.
import { type Dispatcher, Pool } from 'undici';
import type { OriginOptions } from './contract.ts';
import { CacheError } from './errors.ts';
import type { Origin, OriginRequest, OriginTools } from './exchange.ts';
import { Gate, type Gated, type GatedSink } from './gate.ts';
import { errorOf, headFault, isConnectionLoss } from './origin-errors.ts';
import { type Fields, fieldsOf, fieldValue } from './rules/fields.ts';
import { isTooSlow, type Rate, rateAt, rateFrom, untilJudged } from './rules/rate.ts';

const DEFAULT_TIMEOUT_MS = 10_000;
const DEFAULT_CONNECTIONS = 128;
const DEFAULT_MINIMUM_BYTES_PER_SECOND = 1024;
/** A response whose head is larger is refused. */
const MAX_HEAD_BYTES = 32 * 1024;
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);

function rawFields(raw: unknown): Fields {
  if (!Array.isArray(raw)) return [];
  return fieldsOf(raw.map((each: unknown) => (Buffer.isBuffer(each) ? each.toString('latin1') : String(each))));
}

type Pools = { readonly kept: Pool; readonly fresh: Pool };

function poolsOf(options: OriginOptions, origin: string): Pools {
  const shared = {
    bodyTimeout: options.idleTimeoutMs ?? DEFAULT_TIMEOUT_MS,
    // The head's deadline is kept here to the millisecond; undici's own is coarse.
    headersTimeout: 0,
    connectTimeout: options.firstByteTimeoutMs ?? DEFAULT_TIMEOUT_MS,
    maxHeaderSize: MAX_HEAD_BYTES,
    allowH2: false,
  };
  const connections = options.maxConnections ?? DEFAULT_CONNECTIONS;
  return {
    kept: new Pool(origin, { ...shared, connections, pipelining: 1 }),
    // Without pipelining undici keeps no connection alive: each request gets a new one.
    fresh: new Pool(origin, { ...shared, connections: Math.max(1, connections >> 3), pipelining: 0 }),
  };
}

/** Opens an origin; nothing is sent before the first fetch. Throws CACHE_OPTIONS_INVALID for a URL it cannot use. */
export function openOrigin(options: OriginOptions, tools: OriginTools): Origin {
  const base = URL.parse(options.url);
  if (base === null || !/^https?:$/.test(base.protocol) || base.username !== '' || base.search !== '') {
    throw new CacheError('CACHE_OPTIONS_INVALID', `Origin ${options.name}: "${options.url}" is no http(s) URL.`);
  }
  const pools = poolsOf(options, base.origin);
  const gate = new Gate(options.name, tools);
  const dispatch = {
    ...{ pool: pools.kept, fresh: pools.fresh, name: options.name, tools },
    prefix: base.pathname.replace(/\/$/, ''),
    firstByteMs: options.firstByteTimeoutMs ?? DEFAULT_TIMEOUT_MS,
    rateSpanMs: options.idleTimeoutMs ?? DEFAULT_TIMEOUT_MS,
    minimumBytesPerSecond: options.minimumBytesPerSecond ?? DEFAULT_MINIMUM_BYTES_PER_SECOND,
  };
  return {
    name: options.name,
    match: options.match,
    fetch: (request, sink) => gate.enter(sink, (gated) => new Conversation(request, dispatch, gated)),
    close: async () => {
      await Promise.all([pools.kept.destroy(), pools.fresh.destroy()]);
    },
  };
}

type Dispatch = {
  readonly pool: Pool;
  readonly fresh: Pool;
  readonly name: string;
  /** Goes before every resource. */
  readonly prefix: string;
  readonly firstByteMs: number;
  readonly rateSpanMs: number;
  readonly minimumBytesPerSecond: number;
  readonly tools: OriginTools;
};

/** One request and, where it is safe, its one repetition. Sends nothing before begin(). */
class Conversation implements Gated {
  readonly #request: OriginRequest;
  readonly #dispatch: Dispatch;
  readonly #sink: GatedSink;
  #requestedAt = 0;
  #deadline: NodeJS.Timeout;
  #rate: Rate | undefined;
  #hasBegun = false;
  #lackingBytes: number | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #hasHead = false;
  #isOver = false;
  #isPaused = false;
  #canRetry: boolean;

  constructor(request: OriginRequest, dispatch: Dispatch, sink: GatedSink) {
    this.#request = request;
    this.#dispatch = dispatch;
    this.#sink = sink;
    this.#canRetry = SAFE.has(request.method) && request.body === undefined;
    this.#deadline = this.#untilFirstByte();
  }

  begin(): void {
    this.#hasBegun = true;
    this.#requestedAt = this.#dispatch.tools.now();
    clearTimeout(this.#deadline);
    this.#deadline = this.#untilFirstByte();
    this.#send(this.#dispatch.pool);
  }

  /** Ends it with an error if it has not begun. */
  refuse(error: CacheError): void {
    if (!this.#hasBegun) this.#fail(error);
  }

  pause(): void {
    this.#setPaused(true);
    if (this.#hasHead) this.#controller?.pause();
  }

  resume(): void {
    this.#setPaused(false);
    this.#controller?.resume();
  }

  #setPaused(isPaused: boolean): void {
    this.#isPaused = isPaused;
    if (this.#rate !== undefined) this.#rate = { ...rateAt(this.#rate, performance.now()), isPaused };
  }

  #untilFirstByte(): NodeJS.Timeout {
    return setTimeout(() => this.#stop(this.#lateError()), this.#dispatch.firstByteMs);
  }

  /** Judges the body's rate over each span in which it was let come. */
  #watchRate(rate: Rate): void {
    const { rateSpanMs, minimumBytesPerSecond, name } = this.#dispatch;
    this.#rate = rate;
    // Not at once again when it is paused with little of the span left.
    const waitMs = Math.max(untilJudged(rate, rateSpanMs), rateSpanMs / 4);
    this.#deadline = setTimeout(() => {
      const now = rateAt(this.#rate ?? rate, performance.now());
      if (untilJudged(now, rateSpanMs) > 0) this.#watchRate(now);
      else if (!isTooSlow(now, minimumBytesPerSecond)) this.#watchRate(rateFrom(now.at, this.#isPaused));
      else {
        const text = `Origin ${name} sent a body at less than ${minimumBytesPerSecond} bytes a second.`;
        this.#stop(new CacheError('CACHE_ORIGIN_TIMEOUT', text, { retryable: true }));
      }
    }, waitMs);
  }

  abort(): void {
    if (this.#isOver) return;
    this.#end();
    this.#sink.onAbort();
    this.#controller?.abort(new CacheError('CACHE_CANCELLED', 'No longer wanted.'));
  }

  #lateError(): CacheError {
    const { name, firstByteMs } = this.#dispatch;
    return this.#hasBegun
      ? new CacheError('CACHE_ORIGIN_TIMEOUT', `Origin ${name} sent no head in ${firstByteMs} ms.`, { retryable: true })
      : new CacheError('CACHE_ORIGIN_OPEN', `Origin ${name} is recovering and had no room.`, { retryable: true });
  }

  #end(): void {
    this.#isOver = true;
    clearTimeout(this.#deadline);
  }

  #fail(error: unknown): void {
    if (this.#isOver) return;
    this.#end();
    this.#sink.onError(errorOf(error, this.#hasHead, this.#dispatch.name));
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#end();
    this.#sink.onEnd();
  }

  #stop(error: CacheError): void {
    this.#fail(error);
    this.#controller?.abort(error);
  }

  #send(pool: Pool): void {
    const { method, headers, body = null } = this.#request;
    try {
      const path = this.#dispatch.prefix + this.#request.resource;
      pool.dispatch({ path, method, headers: headers.flat(), body }, this.#handler());
    } catch (error) {
      this.#fail(error);
    }
  }

  #handler(): Dispatcher.DispatchHandler {
    return {
      onRequestStart: (controller) => {
        this.#controller = controller;
        if (this.#isOver) controller.abort(this.#lateError());
      },
      onResponseStart: (controller, status) => {
        // An interim response (RFC 9110 section 15.2) says nothing that a cache needs.
        if (status < 200 || this.#isOver) return;
        this.#onHead(status, rawFields(controller.rawHeaders));
        if (this.#isPaused) controller.pause();
      },
      onResponseData: (_controller, bytes) => {
        if (this.#isOver) return;
        if (this.#lackingBytes !== undefined) this.#lackingBytes -= bytes.length;
        if (this.#rate !== undefined) this.#rate = { ...this.#rate, bytes: this.#rate.bytes + bytes.length };
        this.#sink.onBytes(bytes);
      },
      onResponseEnd: () => this.#finish(),
      onResponseError: (_controller, error) => {
        // A body whose last bytes came into a pause is whole, though undici hears of its connection's end first.
        if (this.#lackingBytes === 0 && isConnectionLoss(error)) {
          this.#finish();
          return;
        }
        if (this.#isOver || this.#hasHead || !this.#canRetry || !isConnectionLoss(error)) {
          this.#fail(error);
          return;
        }
        this.#canRetry = false;
        this.#send(this.#dispatch.fresh);
      },
    };
  }

  #onHead(status: number, headers: Fields): void {
    const fault = headFault(this.#request, status);
    if (fault !== undefined) {
      this.#stop(new CacheError('CACHE_ORIGIN_INVALID', `Origin ${this.#dispatch.name} answered wrongly: ${fault}.`));
      return;
    }
    this.#hasHead = true;
    clearTimeout(this.#deadline);
    const length = fieldValue(headers, 'content-length');
    const isBodiless = this.#request.method === 'HEAD' || status === 204 || status === 304;
    const lengthBytes = length !== undefined && /^\d{1,15}$/.test(length) ? Number(length) : undefined;
    this.#lackingBytes = isBodiless ? undefined : lengthBytes;
    const isDelimited =
      isBodiless || lengthBytes !== undefined || fieldValue(headers, 'transfer-encoding') !== undefined;
    if (!isBodiless && this.#dispatch.minimumBytesPerSecond > 0) {
      this.#watchRate(rateFrom(performance.now(), this.#isPaused));
    }
    const receivedAt = this.#dispatch.tools.now();
    this.#sink.onHead({ status, headers, requestedAt: this.#requestedAt, receivedAt, lengthBytes, isDelimited });
  }
}
