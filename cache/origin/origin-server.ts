// One server of an origin: its connections behind a gate, what the checks of its health say, and what it was asked.
import type { HealthOptions, OriginOptions, OriginServerStats } from '../contract.ts';
import { CacheError } from '../errors.ts';
import { afterCheck, type Health, UNCHECKED, untilNextCheckMs } from '../rules/health.ts';
import type { ServerState } from '../rules/retry.ts';
import { Connections, Conversation, type Line, lineOver } from './conversation.ts';
import type { Exchange, OriginRequest, OriginSink, OriginTools } from './exchange.ts';
import { Gate } from './gate.ts';
import type { Resolver } from './resolver.ts';

/** What the servers of an origin share. */
export type ServerParts = {
  readonly options: OriginOptions;
  readonly resolver: Resolver;
  readonly tools: OriginTools;
  /** Takes a retry from the origin's budget; false: there is none left. */
  readonly mayRepeat: () => boolean;
};

/** The URL of a server. Throws CACHE_OPTIONS_INVALID for one that cannot be used. */
export function originBase(name: string, text: string): URL {
  const base = URL.parse(text);
  if (base === null || !/^https?:$/.test(base.protocol) || base.username !== '' || base.search !== '') {
    throw new CacheError('CACHE_OPTIONS_INVALID', `Origin ${name}: "${text}" is no http(s) URL.`);
  }
  return base;
}

/** A server of an origin; nothing is sent before the first fetch or check. */
export class OriginServer {
  /** Host and port, with the path where there is one: its name in metrics. */
  readonly name: string;
  readonly #origin: string;
  readonly #connections: Connections;
  readonly #gate: Gate;
  readonly #line: Line;
  readonly #tools: OriginTools;
  readonly #options: HealthOptions | null;
  #health: Health = UNCHECKED;
  #timer: NodeJS.Timeout | undefined;
  #check: Exchange | undefined;
  #failures = 0;

  constructor(url: string, parts: ServerParts) {
    const { options, tools, resolver, mayRepeat } = parts;
    const base = originBase(options.name, url);
    const prefix = base.pathname.replace(/\/$/, '');
    this.name = base.host + prefix;
    this.#origin = options.name;
    this.#tools = tools;
    this.#connections = new Connections(options, base, resolver);
    const isAlone = (options.backups ?? []).length === 0;
    const text = isAlone ? options.name : `${options.name} at ${this.name}`;
    this.#line = lineOver(options, this.#connections, { name: text, prefix, tools, mayRepeat });
    const { now, random, log } = tools;
    const onFailure = () => {
      this.#failures += 1;
      tools.onFailure();
    };
    this.#gate = new Gate({ text, log: { origin: options.name, server: this.name } }, { now, random, log, onFailure });
    this.#options = options.health ?? null;
    // Not all at once at a start.
    if (this.#options !== null) this.#checkIn(this.#options, this.#options.intervalSeconds * 1000 * random());
  }

  /** Asks it; `firstByteMs`: until the head, once more as long where it has to wait for room. */
  fetch(request: OriginRequest, sink: OriginSink, firstByteMs: number): Exchange {
    return this.#gate.enter(sink, (gated) => new Conversation(request, gated, this.#line, { firstByteMs }));
  }

  /** Asks it only to see whether it answers: at the head it is enough. */
  probe(request: OriginRequest, firstByteMs: number): void {
    const ignore = () => undefined;
    const onHead = () => exchange.abort();
    const exchange = this.fetch(request, { onHead, onBytes: ignore, onEnd: ignore, onError: ignore }, firstByteMs);
  }

  /** What is known of it before it is asked. */
  state(): ServerState {
    const { breaker, hasRoom, failures } = this.#gate.state();
    return { breaker, hasRoom, failures, isUp: this.#health.isUp };
  }

  stats(): OriginServerStats {
    const { breaker, isRecovering, sent } = this.#gate.state();
    return {
      server: this.name,
      isUp: this.#health.isUp && breaker !== 'open',
      breaker: breaker === 'closed' ? (isRecovering ? 'recovering' : 'closed') : 'open',
      requests: sent,
      failures: this.#failures,
    };
  }

  #checkIn(options: HealthOptions, ms: number): void {
    this.#timer = setTimeout(() => this.#runCheck(options), ms);
    this.#timer.unref();
  }

  #runCheck(options: HealthOptions): void {
    const end = (isGood: boolean): void => {
      this.#check = undefined;
      this.#judge(options, isGood);
      if (this.#timer !== undefined) {
        this.#checkIn(options, untilNextCheckMs(options.intervalSeconds * 1000, this.#tools.random()));
      }
    };
    const sink = {
      onHead: ({ status }: { readonly status: number }) => {
        // Its status is all that counts; a body would only be read away.
        check.abort();
        end(status === options.expect);
      },
      ...{ onBytes: () => undefined, onEnd: () => undefined, onAbort: () => undefined },
      onError: () => end(false),
    };
    const request = { method: 'GET', resource: options.path, headers: [['user-agent', 'nearcast-check'] as const] };
    const check = new Conversation(
      request,
      sink,
      { ...this.#line, mayRepeat: () => false },
      {
        firstByteMs: options.timeoutMs,
        // Beside the connections for viewers, which may all be taken.
        isFresh: true,
      },
    );
    this.#check = check;
    check.begin();
  }

  #judge(options: HealthOptions, isGood: boolean): void {
    const { isUp } = this.#health;
    this.#health = afterCheck(this.#health, isGood, options);
    if (this.#health.isUp === isUp) return;
    if (!isUp) this.#gate.pace();
    const event = isUp ? 'origin.server-down' : 'origin.server-up';
    this.#tools.log('warn', event, { origin: this.#origin, server: this.name });
  }

  #endChecks(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#check?.abort();
  }

  /** Checks no more, and closes each connection with its request. Resolves when those that were open are closed. */
  async retire(): Promise<void> {
    this.#endChecks();
    await this.#connections.retire();
  }

  /** Cuts everything. */
  async close(): Promise<void> {
    this.#endChecks();
    await this.#connections.destroy();
  }
}
