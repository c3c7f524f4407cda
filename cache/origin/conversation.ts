// One request to a server of an origin and the connections that it goes over: deadline, minimum rate, one repetition where
// a kept connection broke under it, and new connections where the server's name has moved. The only file that knows undici.
import { isIP } from 'node:net';
import { type Dispatcher, Pool } from 'undici';
import type { OriginOptions } from '../contract.ts';
import { CacheError } from '../errors.ts';
import { hasMoved } from '../rules/addresses.ts';
import { endToEnd, type Fields, fieldsOf, fieldValue } from '../rules/fields.ts';
import { isTooSlow, type Rate, rateAt, rateFrom, untilJudged } from '../rules/rate.ts';
import { retryPauseMs } from '../rules/retry.ts';
import type { OriginRequest, OriginTools } from './exchange.ts';
import type { Gated, GatedSink } from './gate.ts';
import { errorOf, headFault, isConnectionLoss } from './origin-errors.ts';
import { lookupOver, type Resolver } from './resolver.ts';

/** Until the head of an answer, and between two chunks of a body. */
export const DEFAULT_TIMEOUT_MS = 10_000;
const DEFAULT_CONNECTIONS = 128;
const DEFAULT_MINIMUM_BYTES_PER_SECOND = 1024;
/** A response whose head is larger is refused. */
const MAX_HEAD_BYTES = 32 * 1024;
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);
/** Interim responses that concern this hop alone (RFC 9110 section 15.2); the others go on to viewers. */
const OF_THIS_HOP: ReadonlySet<number> = new Set([100, 101]);

/** Whether a request changes nothing (RFC 9110 section 9.2.1) and can be sent again as it is. */
export function isRepeatable({ method, body }: OriginRequest): boolean {
  return SAFE.has(method) && body === undefined;
}

function rawFields(raw: unknown): Fields {
  if (!Array.isArray(raw)) return [];
  return fieldsOf(raw.map((each: unknown) => (Buffer.isBuffer(each) ? each.toString('latin1') : String(each))));
}

/** Whether the host of a URL is a name and no address. */
function isName(hostname: string): boolean {
  return isIP(hostname.replace(/^\[|\]$/g, '')) === 0;
}

type Pools = { readonly kept: Pool; readonly fresh: Pool; readonly used: ReadonlySet<string> };

/** The connections to one server; opened when the first request needs them. */
export class Connections {
  readonly #options: OriginOptions;
  readonly #url: URL;
  readonly #resolver: Resolver;
  readonly #socketPath: string | undefined;
  #pools: Pools | undefined;
  #isRetired = false;
  /** Given up: they end with the requests that they carry. */
  readonly #ending = new Map<Pools, Promise<void>>();

  /** `socketPath`: the unix socket that is connected to in place of the URL's host. */
  constructor(options: OriginOptions, url: URL, resolver: Resolver, socketPath?: string) {
    this.#options = options;
    this.#url = url;
    this.#resolver = resolver;
    this.#socketPath = socketPath;
  }

  /** Sends a request; `isFresh`: on a connection of its own. */
  dispatch(request: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler, isFresh: boolean): void {
    const pools = this.#follow();
    const { hostname, protocol } = this.#url;
    // Not the name of a forwarded Host: the certificate is that of the URL, and connections are shared.
    const options = { ...request, ...(protocol === 'https:' && isName(hostname) && { servername: hostname }) };
    (isFresh || this.#isRetired ? pools.fresh : pools.kept).dispatch(options, handler);
  }

  /** The connections, new ones if the name has moved. */
  #follow(): Pools {
    const { hostname } = this.#url;
    const isLookedUp = this.#socketPath === undefined && isName(hostname);
    const known = isLookedUp ? this.#resolver.watch(hostname) : undefined;
    if (known !== undefined && this.#pools !== undefined && hasMoved(this.#pools.used, known)) this.#giveUp();
    this.#pools ??= this.#openPools();
    return this.#pools;
  }

  #openPools(): Pools {
    const { idleTimeoutMs, firstByteTimeoutMs, maxConnections: connections = DEFAULT_CONNECTIONS } = this.#options;
    const used = new Set<string>();
    const shared = {
      bodyTimeout: idleTimeoutMs ?? DEFAULT_TIMEOUT_MS,
      // The head's deadline is kept here to the millisecond; undici's own is coarse.
      headersTimeout: 0,
      connectTimeout: firstByteTimeoutMs ?? DEFAULT_TIMEOUT_MS,
      maxHeaderSize: MAX_HEAD_BYTES,
      allowH2: false,
      connect:
        this.#socketPath === undefined
          ? { lookup: lookupOver(this.#resolver, (address) => used.add(address)) }
          : { socketPath: this.#socketPath },
    };
    const { origin, hostname } = this.#url;
    const open = (more: { readonly connections: number; readonly pipelining: number }): Pool =>
      new Pool(origin, { ...shared, ...more }).on('connectionError', () => this.#resolver.doubt(hostname));
    return {
      used,
      kept: open({ connections, pipelining: 1 }),
      // Without pipelining undici keeps no connection alive: each request gets a new one.
      fresh: open({ connections: Math.max(1, connections >> 3), pipelining: 0 }),
    };
  }

  #giveUp(): void {
    const pools = this.#pools;
    if (pools === undefined) return;
    this.#pools = undefined;
    const done = () => {
      this.#ending.delete(pools);
    };
    this.#ending.set(pools, Promise.all([pools.kept.close(), pools.fresh.close()]).then(done, done));
  }

  /** From now on connections are closed with their requests. Resolves when those that were open are. */
  async retire(): Promise<void> {
    this.#isRetired = true;
    this.#giveUp();
    await Promise.all(this.#ending.values());
  }

  /** Cuts everything. */
  async destroy(): Promise<void> {
    const all = [...this.#ending.keys(), ...(this.#pools === undefined ? [] : [this.#pools])];
    await Promise.all(all.flatMap(({ kept, fresh }) => [kept.destroy(), fresh.destroy()]));
  }
}

/** What the conversations with one server share. */
export type Line = {
  readonly connections: Connections;
  /** In messages. */
  readonly name: string;
  /** Goes before every resource. */
  readonly prefix: string;
  readonly rateSpanMs: number;
  readonly minimumBytesPerSecond: number;
  readonly tools: Pick<OriginTools, 'now' | 'random'>;
  /** Takes a repetition from the budget of retries; false: there is none left. */
  readonly mayRepeat: () => boolean;
};

/** The line to a server of an origin. */
export function lineOver(
  options: OriginOptions,
  connections: Connections,
  rest: Pick<Line, 'name' | 'prefix' | 'tools' | 'mayRepeat'>,
): Line {
  return {
    ...rest,
    connections,
    rateSpanMs: options.idleTimeoutMs ?? DEFAULT_TIMEOUT_MS,
    minimumBytesPerSecond: options.minimumBytesPerSecond ?? DEFAULT_MINIMUM_BYTES_PER_SECOND,
  };
}

/** One request and, where it is safe, its one repetition. Sends nothing before begin(). */
export class Conversation implements Gated {
  readonly #request: OriginRequest;
  readonly #line: Line;
  readonly #sink: GatedSink;
  readonly #firstByteMs: number;
  #isFresh = false;
  #repeatTimer: NodeJS.Timeout | undefined;
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

  constructor(
    request: OriginRequest,
    sink: GatedSink,
    line: Line,
    { firstByteMs, isFresh = false }: { readonly firstByteMs: number; readonly isFresh?: boolean },
  ) {
    this.#request = request;
    this.#line = line;
    this.#sink = sink;
    this.#firstByteMs = firstByteMs;
    this.#isFresh = isFresh;
    this.#canRetry = isRepeatable(request);
    this.#deadline = this.#untilFirstByte();
  }

  begin(): void {
    this.#hasBegun = true;
    this.#requestedAt = this.#line.tools.now();
    clearTimeout(this.#deadline);
    this.#deadline = this.#untilFirstByte();
    this.#send();
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
    return setTimeout(() => this.#stop(this.#lateError()), this.#firstByteMs);
  }

  /** Judges the body's rate over each span in which it was let come. */
  #watchRate(rate: Rate): void {
    const { rateSpanMs, minimumBytesPerSecond, name } = this.#line;
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
    const { name } = this.#line;
    const ms = Math.round(this.#firstByteMs);
    return this.#hasBegun
      ? new CacheError('CACHE_ORIGIN_TIMEOUT', `Origin ${name} sent no head in ${ms} ms.`, { retryable: true })
      : new CacheError('CACHE_ORIGIN_OPEN', `Origin ${name} is recovering and had no room.`, { retryable: true });
  }

  #end(): void {
    this.#isOver = true;
    clearTimeout(this.#deadline);
    clearTimeout(this.#repeatTimer);
  }

  #fail(error: unknown): void {
    if (this.#isOver) return;
    this.#end();
    this.#sink.onError(errorOf(error, this.#hasHead, this.#line.name));
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

  #send(): void {
    const { method, headers, body = null } = this.#request;
    try {
      const path = this.#line.prefix + this.#request.resource;
      const request = { path, method, headers: headers.flat(), body };
      this.#line.connections.dispatch(request, this.#handler(), this.#isFresh);
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
        if (this.#isOver) return;
        if (status < 200) {
          this.#onInterim(status, rawFields(controller.rawHeaders));
          return;
        }
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
        const mayRepeat = !this.#isOver && !this.#hasHead && this.#canRetry && isConnectionLoss(error);
        if (mayRepeat && this.#line.mayRepeat()) this.#repeat();
        else this.#fail(error);
      },
    };
  }

  #repeat(): void {
    this.#canRetry = false;
    this.#isFresh = true;
    this.#repeatTimer = setTimeout(() => this.#send(), retryPauseMs(this.#line.tools.random()));
  }

  #onInterim(status: number, headers: Fields): void {
    if (!OF_THIS_HOP.has(status)) this.#sink.onInterim?.({ status, headers: endToEnd(headers) });
  }

  #onHead(status: number, headers: Fields): void {
    const fault = headFault(this.#request, status);
    if (fault !== undefined) {
      this.#stop(new CacheError('CACHE_ORIGIN_INVALID', `Origin ${this.#line.name} answered wrongly: ${fault}.`));
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
    if (!isBodiless && this.#line.minimumBytesPerSecond > 0) {
      this.#watchRate(rateFrom(performance.now(), this.#isPaused));
    }
    const receivedAt = this.#line.tools.now();
    this.#sink.onHead({ status, headers, requestedAt: this.#requestedAt, receivedAt, lengthBytes, isDelimited });
  }
}
