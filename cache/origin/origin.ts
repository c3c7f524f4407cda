// An origin of one or several servers: which is asked, which next when one fails, and how a body that broke is gone on with,
// all within one deadline and a budget of retries.
import type { OriginOptions, OriginStats, Retry } from '../contract.ts';
import type { CacheError } from '../errors.ts';
import { holdMsOf } from '../rules/blocking.ts';
import { strongTag } from '../rules/conditional.ts';
import { fieldValue } from '../rules/fields.ts';
import { parseContentRange } from '../rules/range.ts';
import {
  afterRequest,
  afterRetry,
  chooseServer,
  isWell,
  openBudget,
  probesBeside,
  retryPauseMs,
} from '../rules/retry.ts';
import { DEFAULT_TIMEOUT_MS, isRepeatable } from './conversation.ts';
import type { Exchange, Origin, OriginHead, OriginRequest, OriginSink, OriginTools } from './exchange.ts';
import { OriginServer } from './origin-server.ts';
import type { Resolver } from './resolver.ts';

/** Heads that say that this server, rather than the origin, cannot answer now (RFC 9110 sections 15.6.3 to 15.6.5). */
const AWAY: ReadonlySet<number> = new Set([502, 503, 504]);
/** How often one body may be gone on with. */
const MAX_RESUMES = 2;
/** With less of the deadline left nothing new is begun, milliseconds. */
const LEAST_LEFT_MS = 20;

/** Fields that a request for a rest has in its own way. */
const CONDITIONS: ReadonlySet<string> = new Set(['if-none-match', 'if-modified-since', 'if-range', 'range']);

/** What is open of an origin. */
export type OpenOrigin = Origin & {
  readonly stats: () => OriginStats;
  /** For an origin that is no longer in use: what runs ends, and its connections with it. */
  readonly retire: () => Promise<void>;
  readonly close: () => Promise<void>;
};

/** What the requests to an origin share. */
type Shared = {
  readonly servers: readonly OriginServer[];
  readonly firstByteMs: number;
  readonly tools: OriginTools;
  readonly budget: RetryBudget;
};

/** The budget of an origin, and what became of its retries. */
class RetryBudget {
  readonly #now: () => number;
  #left;
  readonly counts: Record<Retry, number> = { repeat: 0, failover: 0, resume: 0, denied: 0 };

  constructor(now: () => number) {
    this.#now = now;
    this.#left = openBudget(now());
  }

  request(): void {
    this.#left = afterRequest(this.#left, this.#now());
  }

  /** Whether a retry may go; `isFree`: nothing speaks against the server that it goes to. */
  allows(retry: Retry, isFree: boolean): boolean {
    const left = isFree ? this.#left : afterRetry(this.#left, this.#now());
    this.counts[left === undefined ? 'denied' : retry] += 1;
    this.#left = left ?? this.#left;
    return left !== undefined;
  }
}

/** Opens an origin; nothing is sent before the first fetch or check. Throws CACHE_OPTIONS_INVALID for an unusable URL. */
export function openOrigin(options: OriginOptions, resolver: Resolver, tools: OriginTools): OpenOrigin {
  const budget = new RetryBudget(tools.now);
  const mayRepeat = () => budget.allows('repeat', false);
  const urls = [options.url, ...(options.backups ?? [])];
  const servers: OriginServer[] = [];
  for (const url of urls) servers.push(new OriginServer(url, { options, resolver, tools, mayRepeat }));
  const shared = { servers, budget, tools, firstByteMs: options.firstByteTimeoutMs ?? DEFAULT_TIMEOUT_MS };
  return {
    name: options.name,
    match: options.match,
    fetch: (request, sink) => {
      budget.request();
      return new Inquiry(request, sink, shared);
    },
    stats: () => ({
      origin: options.name,
      retries: { ...budget.counts },
      servers: servers.map((server) => server.stats()),
    }),
    retire: async () => {
      await Promise.all(servers.map((server) => server.retire()));
    },
    close: async () => {
      await Promise.all(servers.map((server) => server.close()));
    },
  };
}

/** A body that could be gone on with: the bytes from start to end of a representation of `total` bytes with this tag. */
type Body = {
  readonly head: OriginHead;
  readonly tag: string;
  readonly start: number;
  readonly end: number;
  readonly total: number;
};

/** What of a body is needed to go on with it when it breaks; undefined when it cannot be. */
function bodyOf(request: OriginRequest, head: OriginHead): Body | undefined {
  const tag = strongTag(head.headers);
  const { lengthBytes } = head;
  if (request.method !== 'GET' || request.body !== undefined || tag === undefined || lengthBytes === undefined) {
    return undefined;
  }
  if (head.status === 200) return { head, tag, start: 0, end: lengthBytes, total: lengthBytes };
  const range = head.status === 206 ? parseContentRange(fieldValue(head.headers, 'content-range')) : undefined;
  if (range?.total === undefined || range.end - range.start !== lengthBytes) return undefined;
  return { head, tag, start: range.start, end: range.end, total: range.total };
}

/** One request to an origin, whichever of its servers answer it in the end. */
class Inquiry implements Exchange {
  readonly #request: OriginRequest;
  readonly #sink: OriginSink;
  readonly #shared: Shared;
  readonly #startedMs = performance.now();
  readonly #isRepeatable: boolean;
  readonly #untried: Set<OriginServer>;
  #exchange: Exchange | undefined;
  /** Counts the requests that were sent for this one; what comes from an earlier one is not heard. */
  #turn = 0;
  #timer: NodeJS.Timeout | undefined;
  #hasHead = false;
  #isOver = false;
  #isPaused = false;
  #receivedBytes = 0;
  #resumes = 0;
  /** Set when the body could be gone on with. */
  #body: Body | undefined;

  constructor(request: OriginRequest, sink: OriginSink, shared: Shared) {
    this.#request = request;
    this.#sink = sink;
    this.#shared = shared;
    this.#isRepeatable = isRepeatable(request);
    this.#untried = new Set(shared.servers);
    const states = shared.servers.map((server) => server.state());
    const index = chooseServer(states);
    // Probes only where the request may be sent twice; a refusal by the gate comes from the first.
    for (const probed of this.#isRepeatable && index !== undefined ? probesBeside(states, index) : []) {
      shared.servers[probed]?.probe(request, shared.firstByteMs);
    }
    const server = shared.servers[index ?? 0];
    if (server === undefined) throw new Error('an origin has at least its url');
    this.#ask(server);
  }

  pause(): void {
    this.#isPaused = true;
    this.#exchange?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#exchange?.resume();
  }

  abort(): void {
    if (this.#isOver) return;
    this.#end();
    this.#exchange?.abort();
  }

  #end(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }

  /** The next server of those that have not been tried; undefined when there is none that may be asked. */
  #choose(): OriginServer | undefined {
    const untried = [...this.#untried];
    const index = chooseServer(untried.map((server) => server.state()));
    return index === undefined ? undefined : untried[index];
  }

  #leftMs(): number {
    const limitMs = Math.max(this.#shared.firstByteMs, holdMsOf(this.#request.resource));
    return limitMs - (performance.now() - this.#startedMs);
  }

  /** What a server may take until its head: an equal share of what is left, so that each that may follow has one too. */
  #shareMs(): number {
    if (!this.#isRepeatable) return this.#leftMs();
    const after = [...this.#untried].filter((server) => server.state().breaker !== 'open').length;
    return this.#leftMs() / (1 + after);
  }

  #ask(server: OriginServer): void {
    this.#untried.delete(server);
    this.#send(server, this.#request, this.#shareMs(), {
      onHead: (head) => this.#onHead(head),
      onError: (error) => this.#onError(error, server),
    });
  }

  /** Sends a request; the bytes of every answer go the same way. */
  #send(
    server: OriginServer,
    request: OriginRequest,
    firstByteMs: number,
    heard: Pick<OriginSink, 'onHead' | 'onError'>,
  ): void {
    this.#turn += 1;
    const turn = this.#turn;
    const isHeard = () => !this.#isOver && turn === this.#turn;
    const sink: OriginSink = {
      onInterim: (interim) => {
        if (isHeard()) this.#sink.onInterim?.(interim);
      },
      onHead: (head) => {
        if (isHeard()) heard.onHead(head);
      },
      onBytes: (bytes) => {
        if (!isHeard()) return;
        this.#receivedBytes += bytes.length;
        this.#sink.onBytes(bytes);
      },
      onEnd: () => {
        if (!isHeard()) return;
        this.#end();
        this.#sink.onEnd();
      },
      onError: (error) => {
        if (!isHeard()) return;
        this.#exchange = undefined;
        heard.onError(error);
      },
    };
    const exchange = server.fetch(request, sink, firstByteMs);
    // What fails at once may already have been followed by another.
    if (!isHeard()) return;
    this.#exchange = exchange;
    if (this.#isPaused) exchange.pause();
  }

  #onHead(head: OriginHead): void {
    if (AWAY.has(head.status) && this.#isRepeatable) {
      const next = this.#choose();
      if (next !== undefined && isWell(next.state()) && this.#leftMs() > LEAST_LEFT_MS) {
        this.#shared.budget.allows('failover', true);
        this.#exchange?.abort();
        this.#ask(next);
        return;
      }
    }
    this.#hasHead = true;
    this.#body = bodyOf(this.#request, head);
    this.#sink.onHead(head);
  }

  #onError(error: CacheError, server: OriginServer): void {
    if (this.#hasHead) {
      this.#goOn(error, server);
      return;
    }
    const next = this.#isRepeatable && this.#leftMs() > LEAST_LEFT_MS ? this.#choose() : undefined;
    if (next === undefined) {
      this.#fail(error);
      return;
    }
    const isFree = isWell(next.state());
    if (!this.#shared.budget.allows('failover', isFree)) this.#fail(error);
    else if (isFree) this.#ask(next);
    else this.#later(() => this.#ask(next));
  }

  #later(run: () => void): void {
    this.#timer = setTimeout(run, retryPauseMs(this.#shared.tools.random()));
  }

  #fail(error: CacheError): void {
    if (this.#isOver) return;
    this.#end();
    this.#sink.onError(error);
  }

  /** The rest of a body that broke, from another server or again from the same, if it is of the same representation. */
  #goOn(error: CacheError, broken: OriginServer): void {
    const body = this.#body;
    const isLacking = body !== undefined && body.start + this.#receivedBytes < body.end;
    if (!isLacking || this.#resumes >= MAX_RESUMES || error.code === 'CACHE_CANCELLED') {
      this.#fail(error);
      return;
    }
    this.#resumes += 1;
    const { servers, budget } = this.#shared;
    const others = servers.filter((server) => server !== broken);
    const ordered = [...others, broken];
    const index = chooseServer(ordered.map((server) => server.state()));
    const server = index === undefined ? undefined : ordered[index];
    const isFree = server !== undefined && isWell(server.state());
    if (server === undefined || !budget.allows('resume', isFree)) this.#fail(error);
    else this.#later(() => this.#askRest(server, body, error));
  }

  /** RFC 9110 sections 14.5 and 15.3.7.3: parts are joined only under the same strong validator. */
  #askRest(server: OriginServer, body: Body, error: CacheError): void {
    const start = body.start + this.#receivedBytes;
    const rest = [
      ['range', `bytes=${start}-${body.end - 1}`],
      ['if-range', body.tag],
    ] as const;
    const headers = [...this.#request.headers.filter(([name]) => !CONDITIONS.has(name)), ...rest];
    this.#send(server, { ...this.#request, headers }, this.#shared.firstByteMs, {
      onHead: (head) => {
        const got = parseContentRange(fieldValue(head.headers, 'content-range'));
        const isSame = (name: string) => fieldValue(head.headers, name) === fieldValue(body.head.headers, name);
        const isRest = head.status === 206 && got?.start === start && got.end === body.end && got.total === body.total;
        if (isRest && strongTag(head.headers) === body.tag && isSame('content-encoding')) return;
        this.#exchange?.abort();
        this.#fail(error);
      },
      onError: (next) => this.#goOn(next, server),
    });
  }
}
