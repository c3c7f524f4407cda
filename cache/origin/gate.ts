// What stands before a server of an origin: its breaker lets one probe through after failures, and after that requests come back
// few at once, the others waiting for room.
import { type CacheCode, CacheError } from '../errors.ts';
import {
  afterFailure,
  afterNothing,
  afterSending,
  afterSuccess,
  type Breaker,
  CLOSED,
  mayPass,
} from '../rules/breaker.ts';
import { afterAnswer, hasRoom, RECOVERED, type Recovery, recovering } from '../rules/recovery.ts';
import type { ServerState } from '../rules/retry.ts';
import type { Exchange, OriginSink, OriginTools } from './exchange.ts';

/** Requests that wait for a recovering origin; one more is refused at once. */
const MAX_WAITING = 1024;
/** Failures of one kind are logged once in this time, so that a storm of them is one line. */
const LOG_EVERY_MS = 10_000;

/** A request that waits here for begin(), which sends it, or refuse(), which ends it with an error if it has not begun. */
export type Gated = Exchange & { readonly begin: () => void; readonly refuse: (error: CacheError) => void };

/** What a gated request tells; of onAbort nobody else hears. */
export type GatedSink = OriginSink & { readonly onAbort: () => void };

/** Clock, chance and log of a gate. */
export type GateTools = Pick<OriginTools, 'now' | 'random' | 'log'> & {
  /** Hears of each request that failed. */
  readonly onFailure: () => void;
};

/** How a gate calls its server: in messages, and as fields of a line in the log. */
export type GateNames = { readonly text: string; readonly log: { readonly origin: string; readonly server: string } };

/** What a gate keeps, in words for metrics and logs. */
export type GateState = Pick<ServerState, 'breaker' | 'hasRoom' | 'failures'> & {
  readonly isRecovering: boolean;
  /** Requests that were let through since start. */
  readonly sent: number;
};

/** Lets requests through to a server, as its breaker and its recovery allow. */
export class Gate {
  readonly #names: GateNames;
  readonly #tools: GateTools;
  #breaker: Breaker = CLOSED;
  #recovery: Recovery = RECOVERED;
  readonly #waiting = new Set<Gated>();
  /** The one request that an open breaker let through. */
  #probe: Gated | undefined;
  #running = 0;
  #sent = 0;
  readonly #loggedAt = new Map<CacheCode, number>();

  constructor(names: GateNames, tools: GateTools) {
    this.#names = names;
    this.#tools = tools;
  }

  /** What is to be known before a request is sent here. */
  state(): GateState {
    const { probeAt, failures } = this.#breaker;
    const mayProbe = mayPass(this.#breaker, this.#tools.now());
    return {
      breaker: probeAt === undefined ? 'closed' : mayProbe ? 'probe' : 'open',
      hasRoom: this.#waiting.size === 0 && hasRoom(this.#recovery, this.#running),
      failures,
      isRecovering: this.#recovery.most !== undefined,
      sent: this.#sent,
    };
  }

  /** Takes a server back that was left alone for another reason than its breaker: few requests at once, then more. */
  pace(): void {
    this.#recovery = recovering();
  }

  /** Makes a request and begins it when it may; one that may not now or soon is refused by the next microtask. */
  enter(sink: OriginSink, make: (gated: GatedSink) => Gated): Exchange {
    const conversation: Gated = make({
      ...sink,
      onHead: (head) => {
        this.#onAnswer(conversation, head.status);
        sink.onHead(head);
      },
      onEnd: () => {
        this.#leave(conversation);
        this.#admit();
        sink.onEnd();
      },
      onError: (error) => {
        this.#onError(conversation, error);
        sink.onError(error);
      },
      onAbort: () => {
        if (this.#leave(conversation) && this.#isTelling(conversation)) this.#settle(afterNothing(this.#breaker));
        this.#admit();
      },
    });
    if (!mayPass(this.#breaker, this.#tools.now()) || this.#waiting.size >= MAX_WAITING) {
      this.#waiting.add(conversation);
      queueMicrotask(() => conversation.refuse(this.#openError()));
    } else if (this.#waiting.size === 0 && hasRoom(this.#recovery, this.#running)) this.#begin(conversation);
    else this.#waiting.add(conversation);
    return conversation;
  }

  #openError(): CacheError {
    const text = `Origin ${this.#names.text} failed and is left alone for now.`;
    return new CacheError('CACHE_ORIGIN_OPEN', text, { retryable: true });
  }

  #begin(conversation: Gated): void {
    this.#breaker = afterSending(this.#breaker);
    if (this.#breaker.isProbing) this.#probe = conversation;
    this.#running += 1;
    this.#sent += 1;
    conversation.begin();
  }

  /** Whether it had been sent: what never left this node says nothing of the origin. */
  #leave(conversation: Gated): boolean {
    if (this.#waiting.delete(conversation)) return false;
    this.#running -= 1;
    return true;
  }

  /** While the probe runs, how older requests end says nothing new. */
  #isTelling(conversation: Gated): boolean {
    return !this.#breaker.isProbing || conversation === this.#probe;
  }

  #admit(): void {
    for (const conversation of this.#waiting) {
      if (!hasRoom(this.#recovery, this.#running) || !mayPass(this.#breaker, this.#tools.now())) return;
      this.#waiting.delete(conversation);
      this.#begin(conversation);
    }
  }

  #onAnswer(conversation: Gated, status: number): void {
    if (status >= 500) {
      this.#note('CACHE_ORIGIN_STATUS', { status });
      this.#fail(conversation);
      return;
    }
    this.#recovery = afterAnswer(this.#recovery);
    this.#settle(afterSuccess());
    this.#admit();
  }

  #onError(conversation: Gated, error: CacheError): void {
    if (!this.#leave(conversation)) return;
    this.#note(error.code, { error: error.message });
    this.#fail(conversation);
    this.#admit();
  }

  #note(code: CacheCode, facts: Readonly<Record<string, unknown>>): void {
    this.#tools.onFailure();
    const now = this.#tools.now();
    if (now < (this.#loggedAt.get(code) ?? 0) + LOG_EVERY_MS) return;
    this.#loggedAt.set(code, now);
    this.#tools.log('warn', 'origin.failed', { ...this.#names.log, code, ...facts });
  }

  #fail(conversation: Gated): void {
    if (!this.#isTelling(conversation)) return;
    this.#settle(afterFailure(this.#breaker, this.#tools.now(), this.#tools.random()));
  }

  #settle(next: Breaker): void {
    const wasOpen = this.#breaker.probeAt !== undefined;
    const isOpen = next.probeAt !== undefined;
    this.#breaker = next;
    if (wasOpen === isOpen) return;
    this.#tools.log('warn', isOpen ? 'origin.open' : 'origin.recovered', this.#names.log);
    this.#recovery = isOpen ? RECOVERED : recovering();
    if (!isOpen) return;
    for (const conversation of [...this.#waiting]) conversation.refuse(this.#openError());
  }
}
