// One origin over HTTP: a pool of connections, deadlines, one retry, and a breaker. The only file that knows undici.
import type { Readable } from 'node:stream';
import { type Dispatcher, Pool } from 'undici';
import type { Log, OriginOptions } from './contract.ts';
import { CacheError } from './errors.ts';
import {
  afterFailure,
  afterNothing,
  afterSending,
  afterSuccess,
  type Breaker,
  CLOSED,
  mayPass,
} from './rules/breaker.ts';
import { type Fields, fieldsOf, fieldValue } from './rules/fields.ts';

const DEFAULT_TIMEOUT_MS = 10_000;
const DEFAULT_CONNECTIONS = 128;
/** A response whose head is larger is refused. */
const MAX_HEAD_BYTES = 32 * 1024;
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);

/** What an origin is asked for. `resource`: path and query. */
export type OriginRequest = {
  readonly method: string;
  readonly resource: string;
  readonly headers: Fields;
  readonly body?: Readable;
};

/** The head of an origin's answer. */
export type OriginHead = {
  readonly status: number;
  readonly headers: Fields;
  readonly requestedAt: number;
  readonly receivedAt: number;
  /** Content-Length; undefined for a body of unknown length. */
  readonly lengthBytes: number | undefined;
  /** False when only the end of the connection ends the body, so that a cut one cannot be told from a whole one. */
  readonly isDelimited: boolean;
};

/** Hears an answer: onHead, then onBytes any number of times, then onEnd; or onError at any point, which is then last. */
export type OriginSink = {
  readonly onHead: (head: OriginHead) => void;
  readonly onBytes: (bytes: Buffer) => void;
  readonly onEnd: () => void;
  readonly onError: (error: CacheError) => void;
};

/** A running exchange. After abort() its sink hears nothing more. */
export type Exchange = {
  readonly pause: () => void;
  readonly resume: () => void;
  readonly abort: () => void;
};

/** An origin that can be asked. */
export type Origin = {
  readonly name: string;
  readonly match: string;
  readonly fetch: (request: OriginRequest, sink: OriginSink) => Exchange;
  readonly close: () => Promise<void>;
};

/** Clock, chance and log of an origin. */
export type OriginTools = {
  readonly now: () => number;
  readonly random: () => number;
  readonly log: Log;
  /** Hears of each request that failed. */
  readonly onFailure: () => void;
};

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/** Broken before the head: the connection was reused and gone, or the origin restarted. A new one may work. */
function isConnectionLoss(error: unknown): boolean {
  return ['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET', 'UND_ERR_CLOSED'].includes(codeOf(error));
}

function errorOf(error: unknown, hasHead: boolean, name: string): CacheError {
  if (error instanceof CacheError) return error;
  const code = codeOf(error);
  const options = { cause: error, retryable: true };
  if (code.includes('TIMEOUT')) {
    return new CacheError('CACHE_ORIGIN_TIMEOUT', `Origin ${name} did not answer in time (${code}).`, options);
  }
  if (code.startsWith('HPE_') || code === 'UND_ERR_HEADERS_OVERFLOW' || code === 'UND_ERR_HTTP_PARSER') {
    return new CacheError('CACHE_ORIGIN_INVALID', `Origin ${name} sent no valid HTTP (${code}).`, { cause: error });
  }
  return hasHead
    ? new CacheError('CACHE_ORIGIN_CUT', `Origin ${name} ended a body early (${code}).`, options)
    : new CacheError('CACHE_ORIGIN_UNREACHABLE', `Origin ${name} cannot be reached (${code}); is it up?`, options);
}

function rawFields(raw: unknown): Fields {
  if (!Array.isArray(raw)) return [];
  return fieldsOf(raw.map((each: unknown) => (Buffer.isBuffer(each) ? each.toString('latin1') : String(each))));
}

/** Why a head cannot be an answer to what was asked; undefined when it can. */
function headFault(request: OriginRequest, status: number): string | undefined {
  const asked = (name: string) => fieldValue(request.headers, name) !== undefined;
  if (status === 206 && !asked('range')) return '206 without Range';
  if (status === 304 && !asked('if-none-match') && !asked('if-modified-since')) return '304 without a condition';
  return undefined;
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
  const prefix = base.pathname.replace(/\/$/, '');
  const firstByteMs = options.firstByteTimeoutMs ?? DEFAULT_TIMEOUT_MS;
  const pools = poolsOf(options, base.origin);
  let breaker: Breaker = CLOSED;
  const settle = (next: Breaker): void => {
    const wasOpen = breaker.probeAt !== undefined;
    breaker = next;
    if (wasOpen === (next.probeAt !== undefined)) return;
    tools.log('warn', next.probeAt === undefined ? 'origin.recovered' : 'origin.open', { origin: options.name });
  };

  const fetch = (request: OriginRequest, sink: OriginSink): Exchange => {
    if (!mayPass(breaker, tools.now())) {
      const error = new CacheError('CACHE_ORIGIN_OPEN', `Origin ${options.name} failed and is left alone for now.`, {
        retryable: true,
      });
      let isAborted = false;
      queueMicrotask(() => isAborted || sink.onError(error));
      return {
        pause: () => undefined,
        resume: () => undefined,
        abort: () => {
          isAborted = true;
        },
      };
    }
    breaker = afterSending(breaker);
    const dispatch: Dispatch = {
      ...{ pool: pools.kept, fresh: pools.fresh, name: options.name, firstByteMs, tools },
      resource: prefix + request.resource,
    };
    return new Conversation(request, dispatch, {
      ...sink,
      onHead: (head) => {
        settle(head.status >= 500 ? afterFailure(breaker, tools.now(), tools.random()) : afterSuccess());
        sink.onHead(head);
      },
      onError: (error) => {
        tools.onFailure();
        settle(afterFailure(breaker, tools.now(), tools.random()));
        sink.onError(error);
      },
      onAbort: () => settle(afterNothing(breaker)),
    });
  };
  return {
    name: options.name,
    match: options.match,
    fetch,
    close: async () => {
      await Promise.all([pools.kept.destroy(), pools.fresh.destroy()]);
    },
  };
}

type Dispatch = {
  readonly pool: Pool;
  readonly fresh: Pool;
  readonly name: string;
  readonly resource: string;
  readonly firstByteMs: number;
  readonly tools: OriginTools;
};
type ExchangeSink = OriginSink & { readonly onAbort: () => void };

/** One request and, where it is safe, its one repetition. */
class Conversation implements Exchange {
  readonly #request: OriginRequest;
  readonly #dispatch: Dispatch;
  readonly #sink: ExchangeSink;
  readonly #requestedAt: number;
  readonly #deadline: NodeJS.Timeout;
  #controller: Dispatcher.DispatchController | undefined;
  #hasHead = false;
  #isOver = false;
  #isPaused = false;
  #canRetry: boolean;

  constructor(request: OriginRequest, dispatch: Dispatch, sink: ExchangeSink) {
    this.#request = request;
    this.#dispatch = dispatch;
    this.#sink = sink;
    this.#requestedAt = dispatch.tools.now();
    this.#canRetry = SAFE.has(request.method) && request.body === undefined;
    this.#deadline = setTimeout(() => this.#stop(this.#lateError()), dispatch.firstByteMs);
    this.#send(dispatch.pool);
  }

  pause(): void {
    this.#isPaused = true;
    if (this.#hasHead) this.#controller?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#controller?.resume();
  }

  abort(): void {
    if (this.#isOver) return;
    this.#end();
    this.#sink.onAbort();
    this.#controller?.abort(new CacheError('CACHE_CANCELLED', 'No longer wanted.'));
  }

  #lateError(): CacheError {
    const { name, firstByteMs } = this.#dispatch;
    const text = `Origin ${name} sent no head in ${firstByteMs} ms.`;
    return new CacheError('CACHE_ORIGIN_TIMEOUT', text, { retryable: true });
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

  #stop(error: CacheError): void {
    this.#fail(error);
    this.#controller?.abort(error);
  }

  #send(pool: Pool): void {
    const { method, headers, body = null } = this.#request;
    try {
      pool.dispatch({ path: this.#dispatch.resource, method, headers: headers.flat(), body }, this.#handler());
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
        if (!this.#isOver) this.#sink.onBytes(bytes);
      },
      onResponseEnd: () => {
        if (this.#isOver) return;
        this.#end();
        this.#sink.onEnd();
      },
      onResponseError: (_controller, error) => {
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
    const isDelimited =
      isBodiless || lengthBytes !== undefined || fieldValue(headers, 'transfer-encoding') !== undefined;
    const receivedAt = this.#dispatch.tools.now();
    this.#sink.onHead({ status, headers, requestedAt: this.#requestedAt, receivedAt, lengthBytes, isDelimited });
  }
}
