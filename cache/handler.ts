// The conductor of one viewer's request: receive, route, key, find, freshness, then hit | stale | revalidate | miss | pass.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { CacheOptions, Route, ServedRecord } from './contract.ts';
import { answerPlainly, Delivery, HIT, type StoredAnswer } from './deliver.ts';
import type { CacheError } from './errors.ts';
import { WINDOW_BYTES } from './fill.ts';
import type { FillRequest } from './fill-head.ts';
import type { Fills } from './fills.ts';
import { Forwarder } from './forward.ts';
import type { Hosts } from './hosts.ts';
import { fieldsFor, passRest, type Sender } from './pass.ts';
import type { FillHead, FillReader } from './reader.ts';
import { answerRoute, routeFor } from './routes.ts';
import { fieldValue } from './rules/fields.ts';
import { ageMs, type FreshnessRules, type Reuse, reuseOf } from './rules/freshness.ts';
import { targetOf } from './rules/key.ts';
import { kindOf } from './rules/kind.ts';
import { malformed, originForm } from './rules/request.ts';
import { isLoop, pseudonym, type StatusFacts } from './rules/status.ts';
import { chooseVariant } from './rules/vary.ts';
import type { Counters } from './stats.ts';
import type { Store, StoredObject } from './store/object.ts';
import { requestField, Visit } from './visit.ts';

/** What the handler conducts. */
export type HandlerParts = {
  readonly options: CacheOptions;
  readonly hosts: Hosts;
  readonly store: Store;
  readonly fills: Fills;
  readonly counters: Counters;
  readonly remoteHash: (request: IncomingMessage) => string;
  /** Marks the stored responses of a group as outdated, of those that the visit's origin gave. */
  readonly invalidateGroup: (group: string, visit: Visit) => void;
  /** Removes a path's stored responses of the visit's host and what is coming for them. */
  readonly invalidate: (visit: Visit, url: string) => void;
  readonly rules: () => FreshnessRules;
};

/** How often a visit may start anew after its stored bytes turned out unreadable. */
const MAX_RESTARTS = 2;

/** Answers the requests of a cache's viewer listener. */
export class Handler {
  readonly #parts: HandlerParts;
  readonly #options: CacheOptions;
  readonly #store: Store;
  readonly #fills: Fills;
  readonly #counters: Counters;
  readonly #sender: Sender;
  readonly #delivery: Delivery;
  readonly #forwarder: Forwarder;
  readonly #routes: readonly Route[];

  constructor(parts: HandlerParts) {
    const { options, store, fills, counters } = parts;
    this.#parts = parts;
    this.#options = options;
    this.#store = store;
    this.#fills = fills;
    this.#counters = counters;
    this.#sender = { name: pseudonym(options.nodeId), counters };
    this.#delivery = new Delivery({ rules: parts.rules, store, counters, nodeId: options.nodeId });
    this.#forwarder = new Forwarder({
      sender: this.#sender,
      delivery: this.#delivery,
      store,
      invalidate: parts.invalidate,
      invalidateGroup: parts.invalidateGroup,
    });
    this.#routes = options.routes ?? [];
  }

  /** Answers one request; never throws. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    try {
      this.#receive(request, response);
    } catch (error) {
      this.#options.log('error', 'request.failed', {
        error: error instanceof Error ? (error.stack ?? '') : String(error),
      });
      response.destroy();
    }
  }

  #receive(request: IncomingMessage, response: ServerResponse): void {
    const { method = '', url = '', httpVersion, rawHeaders } = request;
    const fault = malformed({ method, url, httpVersion, rawHeaders });
    if (fault !== undefined) {
      this.#refuseMalformed(response, fault);
      return;
    }
    const { hosts } = this.#parts;
    const named = hosts.hostOf(url, requestField(request, ':authority') ?? request.headers.host);
    if (named === undefined) {
      this.#counters.unknownHosts += 1;
      answerPlainly(response, 421, 'This node does not answer for that name.');
      return;
    }
    const resource = originForm(url);
    const target = targetOf(resource, named.host.ignored);
    const route = this.#routes.length === 0 ? undefined : routeFor(this.#routes, target.path);
    if (route !== undefined) {
      void answerRoute(
        route,
        { request, response, url: resource },
        { counters: this.#counters, log: this.#options.log, remoteHash: this.#parts.remoteHash },
      );
      return;
    }
    const seconds = named.host.quota.enter();
    if (seconds > 0) {
      this.#counters.shed.quota += 1;
      response.setHeader('retry-after', seconds);
      answerPlainly(response, 429, 'Too many requests for this host.');
      return;
    }
    const place = hosts.placeFor(named, target);
    if (place === undefined) {
      answerPlainly(response, 404, 'No origin serves this path.');
      return;
    }
    const visit = new Visit(request, response, place, this.#options.now());
    this.#answer(visit, method);
    // A small hit has left by now; then nobody need wait for its end.
    if (response.writableFinished) this.#record(visit);
    else response.once('close', () => this.#record(visit));
  }

  #answer(visit: Visit, method: string): void {
    const { request } = visit;
    if (isLoop(requestField(request, 'cdn-loop'), this.#sender.name)) {
      this.#delivery.refuse(visit, 508, 'This request has been here before.', { detail: 'loop' });
      return;
    }
    if (method !== 'GET' && method !== 'HEAD') {
      this.#forward(visit, 'method');
      return;
    }
    const { headers } = request;
    // A cache can't evaluate these for the origin (RFC 9111 section 4.3.2).
    const hasPrecondition = headers['if-match'] !== undefined || headers['if-unmodified-since'] !== undefined;
    if (hasPrecondition) this.#forward(visit, 'request');
    else this.#lookUp(visit, 0);
  }

  #refuseMalformed(response: ServerResponse, fault: string): void {
    this.#counters.malformed += 1;
    response.shouldKeepAlive = false;
    answerPlainly(response, 400, `The request has ${fault}.`);
    // What follows on this connection can't be trusted to be a request.
    response.socket?.destroySoon();
  }

  #record(visit: Visit): void {
    this.#counters.served(visit.result, visit.kind, visit.bytes, visit.firstByteMs);
    visit.host.quota.spend(visit.bytes);
    if (this.#options.onServed === undefined) return;
    try {
      const served: ServedRecord = visit.record(
        this.#parts.remoteHash(visit.request),
        this.#options.titleOf?.(visit.target.path),
      );
      this.#options.onServed(served);
    } catch (error) {
      this.#options.log('error', 'served.hook-failed', { error: String(error) });
    }
  }

  #lookUp(visit: Visit, restarts: number): void {
    const found = this.#store.find(visit.key);
    const object = chooseVariant(found, () => visit.fields);
    if (object === undefined) {
      visit.forward = found.length > 0 ? 'vary-miss' : 'uri-miss';
      this.#withoutStored(visit);
      return;
    }
    const reuse = reuseOf(this.#delivery.policyOf(object), object, visit.demands, this.#options.now());
    if (reuse.use === 'fresh') {
      this.#hit(visit, object, reuse, restarts);
      return;
    }
    if (reuse.use === 'stale') {
      this.#stale(visit, object, reuse, restarts);
      return;
    }
    visit.forward = reuse.freshForMs > 0 && !object.isInvalidated ? 'request' : 'stale';
    if (reuse.onError) visit.fallback = object;
    if (visit.demands.onlyIfCached) {
      this.#notCached(visit);
      return;
    }
    if (visit.isHead || visit.demands.noStore) {
      this.#forward(visit, visit.forward, object);
      return;
    }
    this.#fill(visit, object, false);
  }

  #notCached(visit: Visit): void {
    this.#delivery.refuse(visit, 504, 'Not in this cache, and only-if-cached was asked.', { detail: 'only-if-cached' });
  }

  #withoutStored(visit: Visit): void {
    if (visit.demands.onlyIfCached) {
      this.#notCached(visit);
      return;
    }
    if (visit.isHead || visit.demands.noStore) {
      this.#forward(visit, visit.demands.noStore ? 'request' : visit.forward);
      return;
    }
    this.#fill(visit, undefined, false);
  }

  #hit(visit: Visit, object: StoredObject, reuse: Reuse, restarts: number): void {
    visit.result = 'hit';
    this.#fromStore(visit, object, { reuse, facts: HIT, restarts });
  }

  #stale(visit: Visit, object: StoredObject, reuse: Reuse, restarts: number): void {
    visit.result = 'stale';
    if (!this.#fills.isRunning(visit.key)) {
      const keeper = this.#fills.keep(this.#fillRequest(visit, object, 'revalidate'), { priority: 'viewer' });
      void keeper.done;
    }
    this.#fromStore(visit, object, { reuse, facts: HIT, restarts });
  }

  #fromStore(
    visit: Visit,
    object: StoredObject,
    how: { readonly reuse: Reuse; readonly facts: StatusFacts; readonly restarts: number },
  ): void {
    const onLost: StoredAnswer['onLost'] = (error, rest) => {
      this.#options.log('warn', 'store.read-failed', { code: error.code });
      this.#store.remove(object);
      if (visit.isGone) return;
      if (rest !== undefined)
        return passRest(visit, this.#sender, object.headers, { ...rest, total: object.lengthBytes });
      if (how.restarts < MAX_RESTARTS) this.#lookUp(visit, how.restarts + 1);
      else this.#forward(visit, 'miss');
    };
    this.#delivery.stored(visit, object, { reuse: how.reuse, facts: how.facts, onLost });
  }

  #fillRequest(visit: Visit, object: StoredObject | undefined, purpose: FillRequest['purpose']): FillRequest {
    return {
      key: visit.key,
      resource: visit.target.resource,
      origin: visit.origin,
      fields: fieldsFor(visit, this.#sender, true),
      purpose,
      revalidates: object,
      prefersStale: purpose === 'revalidate' || visit.fallback !== undefined,
      isPinned: object?.isPinned ?? false,
    };
  }

  #fill(visit: Visit, object: StoredObject | undefined, isAlone: boolean): void {
    visit.result = 'miss';
    const { response } = visit;
    let headers: FillHead | undefined;
    let isDraining = false;
    const pump = (reader: FillReader): void => {
      if (isDraining || visit.isGone || !response.headersSent) return;
      for (let bytes = reader.pull(); bytes !== undefined; bytes = reader.pull()) {
        visit.bytes += bytes.length;
        if (response.write(bytes)) continue;
        isDraining = true;
        response.once('drain', () => {
          isDraining = false;
          pump(reader);
        });
        break;
      }
      if (reader.isAtEnd()) response.end();
      reader.settle();
    };
    const reader = this.#fills.join(
      this.#fillRequest(visit, object, object === undefined ? 'viewer' : 'revalidate'),
      {
        onHead: (head, reader) => {
          headers = head;
          if (visit.isGone) return;
          this.#fillHead(visit, head, reader);
          pump(reader);
        },
        onReady: (reader) => pump(reader),
        onUnshared: () => this.#fill(visit, object, true),
        onBehind: (reader) => {
          if (headers?.outcome !== 'response') return;
          const { headers: fields, lengthBytes: total } = headers.response;
          passRest(visit, this.#sender, fields, {
            start: reader.offset,
            end: Math.min(reader.limit, total ?? 0),
            total,
          });
        },
        onError: (error) => this.#fillFailed(visit, error),
      },
      isAlone,
    );
    response.once('close', () => reader.leave());
  }

  #fillHead(visit: Visit, head: FillHead, reader: FillReader): void {
    const facts: StatusFacts = { fwd: visit.forward, ...(reader.isCollapsed && { collapsed: true }) };
    if (head.outcome === 'confirmed') {
      visit.result = 'revalidated';
      const { object } = head;
      const reuse = reuseOf(this.#delivery.policyOf(object), object, visit.demands, this.#options.now());
      this.#fromStore(visit, object, { reuse, facts: { ...facts, fwdStatus: 304 }, restarts: 0 });
      return;
    }
    const { response, policy, refusal } = head;
    if (refusal !== null) visit.result = 'pass';
    if (visit.kind === 'other') visit.kind = kindOf(visit.target.path, fieldValue(response.headers, 'content-type'));
    const status = this.#delivery.status(
      {
        ...facts,
        fwdStatus: response.status,
        ...(head.isStored ? { stored: true } : { detail: refusal ?? 'not-admitted' }),
      },
      fieldValue(response.headers, 'cache-status') ?? '',
    );
    const flat = this.#delivery.flat(response.headers, response.receivedAt);
    const ageSeconds = Math.floor(ageMs(policy, response.receivedAt, this.#options.now()) / 1000);
    if (this.#delivery.isNotModified(visit, response)) {
      this.#delivery.notModified(visit, flat, status, ageSeconds);
      reader.select(0, 0);
      reader.leave();
      return;
    }
    const { lengthBytes } = response;
    const range =
      lengthBytes === undefined ? ({ choice: 'whole' } as const) : this.#delivery.choose(visit, response, lengthBytes);
    if (range.choice === 'none') {
      this.#delivery.unsatisfiable(visit, lengthBytes ?? 0, status);
      reader.leave();
      return;
    }
    // Far into a body that only begins to come, or not to be stored: the origin answers the range itself.
    if (range.choice === 'part' && (range.start > WINDOW_BYTES || !head.isStored)) {
      reader.leave();
      this.#forward(visit, 'partial');
      return;
    }
    if (ageSeconds > 0 || fieldValue(response.headers, 'age') !== undefined) flat.push('age', String(ageSeconds));
    flat.push('cache-status', status);
    if (range.choice === 'part') reader.select(range.start, range.end);
    this.#delivery.head(visit, { status: response.status, flat, facts, lengthBytes }, range);
    visit.response.flushHeaders();
  }

  #fillFailed(visit: Visit, error: CacheError): void {
    if (visit.response.headersSent) {
      visit.response.destroy();
      return;
    }
    const { fallback } = visit;
    const isThere =
      fallback !== undefined && this.#store.find(visit.key).some(({ variant }) => variant === fallback.variant);
    if (fallback === undefined || !isThere) {
      this.#forwarder.failed(visit, error);
      return;
    }
    visit.result = 'stale';
    visit.fallback = undefined;
    const reuse = reuseOf(this.#delivery.policyOf(fallback), fallback, visit.demands, this.#options.now());
    this.#fromStore(visit, fallback, { reuse, facts: { hit: true, detail: 'stale-if-error' }, restarts: MAX_RESTARTS });
  }

  #forward(visit: Visit, why: StatusFacts['fwd'] & string, stored?: StoredObject): void {
    this.#forwarder.forward(visit, why, {
      stored,
      onError: (error) => {
        if (visit.isHead && visit.fallback !== undefined) this.#fillFailed(visit, error);
        else this.#forwarder.failed(visit, error);
      },
    });
  }
}
