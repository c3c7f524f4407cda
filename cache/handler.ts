// The conductor of one viewer's request: receive, route, key, find, freshness, then hit | stale | revalidate | miss | pass.
import { admit } from './access.ts';
import type { CacheOptions, Route } from './contract.ts';
import { answerPlainly, Delivery, HIT, type StoredAnswer } from './deliver.ts';
import type { CacheError } from './errors.ts';
import type { FillRequest } from './fill-head.ts';
import type { Fills } from './fills.ts';
import { answerFilled, follow } from './follow.ts';
import { Forwarder } from './forward.ts';
import type { Hosts, Named } from './hosts.ts';
import { fieldsFor, passRest, type Sender } from './pass.ts';
import { isPurgeRequest } from './purge-request.ts';
import type { FillHead, FillReader } from './reader.ts';
import { answerRoute, routeFor } from './routes.ts';
import { type FreshnessRules, type Reuse, reuseOf } from './rules/freshness.ts';
import { targetOf } from './rules/key.ts';
import { malformed, originForm } from './rules/request.ts';
import { isLoop, pseudonym, type StatusFacts } from './rules/status.ts';
import { chooseVariant } from './rules/vary.ts';
import { type Sliced, slicedOf } from './sliced.ts';
import { Slices } from './slices.ts';
import type { Counters } from './stats.ts';
import type { Store, StoredObject } from './store/object.ts';
import type { Role } from './tier.ts';
import type { ViewerRequest, ViewerResponse } from './viewer.ts';
import { requestField, Visit } from './visit.ts';

/** What the handler conducts. */
export type HandlerParts = {
  readonly options: CacheOptions;
  readonly hosts: Hosts;
  readonly store: Store;
  readonly fills: Fills;
  readonly counters: Counters;
  readonly remoteHash: (request: ViewerRequest) => string;
  /** Marks the stored responses of a group as outdated, of those that the visit's origin gave. */
  readonly invalidateGroup: (group: string, visit: Visit) => void;
  /** Removes a path's stored responses of the visit's host and what is coming for them. */
  readonly invalidate: (visit: Visit, url: string) => void;
  readonly rules: () => FreshnessRules;
  readonly role: Role;
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
  readonly #slices: Slices;
  readonly #routes: readonly Route[];

  constructor(parts: HandlerParts) {
    const { options, store, fills, counters } = parts;
    this.#parts = parts;
    this.#options = options;
    this.#store = store;
    this.#fills = fills;
    this.#counters = counters;
    const { role } = parts;
    this.#sender = { name: pseudonym(options.nodeId), counters, role };
    this.#delivery = new Delivery({ rules: parts.rules, store, counters, nodeId: options.nodeId, role });
    this.#forwarder = new Forwarder({
      sender: this.#sender,
      delivery: this.#delivery,
      store,
      rules: parts.rules,
      invalidate: parts.invalidate,
      invalidateGroup: parts.invalidateGroup,
    });
    this.#slices = new Slices({ ...parts, delivery: this.#delivery, sender: this.#sender, now: options.now });
    this.#routes = options.routes ?? [];
  }

  /** Answers one request; never throws. */
  handle(request: ViewerRequest, response: ViewerResponse): void {
    try {
      this.#receive(request, response);
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? '') : String(error);
      this.#options.log('error', 'request.failed', { error: text });
      response.destroy();
    }
  }

  #receive(request: ViewerRequest, response: ViewerResponse): void {
    const { method = '', url = '', httpVersion, rawHeaders } = request;
    const fault = malformed({ method, url, httpVersion, rawHeaders });
    if (fault !== undefined) {
      this.#refuseMalformed(response, fault);
      return;
    }
    const { hosts, role } = this.#parts;
    const named = hosts.hostOf(url, request.headers.host);
    if (named === undefined) {
      this.#counters.unknownHosts += 1;
      answerPlainly(response, 421, 'This node does not answer for that name.');
      return;
    }
    const asked = originForm(url);
    const { purgeDesk } = named.host;
    const isPurge = purgeDesk !== undefined && isPurgeRequest(request, asked);
    // A worker passes purges on; it has judged its viewers, so that the primary need not.
    if (isPurge && role !== 'worker') {
      purgeDesk({ request, response }, { name: named.name, resource: asked });
      return;
    }
    const isJudged = isPurge || role === 'primary';
    const resource = isJudged ? asked : this.#admit(request, response, { named, resource: asked });
    if (resource === undefined) return;
    const target = targetOf(resource, named.host.ignored);
    const route = this.#routes.length === 0 ? undefined : routeFor(this.#routes, target.path);
    if (route !== undefined) {
      const tools = { counters: this.#counters, log: this.#options.log, remoteHash: this.#parts.remoteHash };
      void answerRoute(route, { request, response, url: resource }, tools);
      return;
    }
    const seconds = role === 'primary' ? 0 : named.host.quota.enter();
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
    else this.#lookUp(visit);
  }

  /** What is asked for, its token taken away; undefined when it was refused. This node's own routes need no token. */
  #admit(
    request: ViewerRequest,
    response: ViewerResponse,
    { named, resource }: { readonly named: Named; readonly resource: string },
  ): string | undefined {
    const { access } = named.host;
    if (access === undefined || routeFor(this.#routes, resource.split('?', 1)[0] ?? '') !== undefined) return resource;
    return admit({ request, response }, access(request, resource, named.name), (denial) => {
      this.#counters.denied[denial] += 1;
      return this.#delivery.status({ detail: denial }, '');
    });
  }

  #refuseMalformed(response: ViewerResponse, fault: string): void {
    this.#counters.malformed += 1;
    response.shouldKeepAlive = false;
    answerPlainly(response, 400, `The request has ${fault}.`);
    // What follows on this connection can't be trusted to be a request.
    response.socket?.destroySoon();
  }

  #record(visit: Visit): void {
    if (this.#parts.role === 'primary') return;
    this.#counters.served(visit.result, visit.kind, visit.bytes, visit.firstByteMs);
    visit.host.quota.spend(visit.bytes);
    if (this.#options.onServed === undefined) return;
    try {
      const title = this.#options.titleOf?.(visit.target.path);
      this.#options.onServed(visit.record(this.#parts.remoteHash(visit.request), title));
    } catch (error) {
      this.#options.log('error', 'served.hook-failed', { error: String(error) });
    }
  }

  #lookUp(visit: Visit): void {
    const found = this.#store.find(visit.key);
    const chosen = chooseVariant(found, () => visit.fields);
    const sliced = chosen === undefined ? undefined : slicedOf(chosen);
    // Blocks that cannot be combined are as good as none.
    const object = sliced !== undefined && this.#slices.wayOf(visit.key) !== undefined ? undefined : chosen;
    if (object === undefined) {
      visit.forward = found.length > 0 ? 'vary-miss' : 'uri-miss';
      this.#withoutStored(visit);
      return;
    }
    const reuse = reuseOf(this.#delivery.policyOf(object), object, visit.demands, this.#options.now());
    if (reuse.use === 'fresh') {
      this.#hit(visit, object, reuse);
      return;
    }
    if (reuse.use === 'stale') {
      this.#stale(visit, object, reuse);
      return;
    }
    visit.forward = reuse.freshForMs > 0 && !object.isInvalidated ? 'request' : 'stale';
    if (reuse.onError && this.#slices.holds(visit, sliced)) visit.fallback = object;
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
    // Nothing of it can be kept by parts.
    const isPassed = visit.request.headers.range !== undefined && this.#slices.wayOf(visit.key) === 'pass';
    if (isPassed) this.#forward(visit, visit.forward);
    else this.#fill(visit, undefined, false);
  }

  #hit(visit: Visit, object: StoredObject, reuse: Reuse): void {
    visit.result = 'hit';
    this.#fromStore(visit, object, { reuse, facts: HIT });
  }

  #stale(visit: Visit, object: StoredObject, reuse: Reuse): void {
    visit.result = 'stale';
    if (!this.#fills.isRunning(visit.key)) {
      const keeper = this.#fills.keep(this.#fillRequest(visit, object, 'revalidate'), { priority: 'viewer' });
      void keeper.done;
    }
    this.#fromStore(visit, object, { reuse, facts: HIT });
  }

  #fromStore(visit: Visit, object: StoredObject, how: { readonly reuse: Reuse; readonly facts: StatusFacts }): void {
    const sliced = slicedOf(object);
    if (sliced !== undefined) {
      this.#fromSlices(visit, sliced, how);
      return;
    }
    const onLost: StoredAnswer['onLost'] = (error, rest) => {
      this.#options.log('warn', 'store.read-failed', { code: error.code });
      this.#store.remove(object);
      if (visit.isGone) return;
      if (rest !== undefined)
        return passRest(visit, this.#sender, object.headers, { ...rest, total: object.lengthBytes });
      if (!this.#restart(visit)) this.#forward(visit, 'miss');
    };
    this.#delivery.stored(visit, object, { reuse: how.reuse, facts: how.facts, onLost });
  }

  /** Looks up anew; false when that was done often enough. */
  #restart(visit: Visit): boolean {
    if (visit.restarts >= MAX_RESTARTS) return false;
    visit.restarts += 1;
    this.#lookUp(visit);
    return true;
  }

  /** Answers from an object that is stored in part, fetching what is missing of the part that is asked for. */
  #fromSlices(
    visit: Visit,
    sliced: Sliced,
    { reuse, facts }: { readonly reuse: Reuse; readonly facts: StatusFacts },
  ): void {
    this.#slices.serve(visit, sliced, {
      reuse,
      facts,
      request: this.#fillRequest(visit, undefined, 'viewer'),
      onNotCached: () => this.#notCached(visit),
      onLost: (error) => {
        if (error.code !== 'CACHE_ORIGIN_CHANGED') this.#fillFailed(visit, error);
        else if (!this.#restart(visit)) this.#forward(visit, 'miss');
      },
    });
  }

  #fillRequest(visit: Visit, object: StoredObject | undefined, purpose: FillRequest['purpose']): FillRequest {
    return {
      key: visit.key,
      resource: visit.target.resource,
      origin: visit.origin,
      fields: fieldsFor(visit, this.#sender, true),
      purpose,
      ...this.#slices.ask(visit.key, object, visit.request.headers.range),
      prefersStale: purpose === 'revalidate' || visit.fallback !== undefined,
      isPinned: object?.isPinned ?? false,
    };
  }

  #fill(visit: Visit, object: StoredObject | undefined, isAlone: boolean): void {
    visit.result = 'miss';
    const request = this.#fillRequest(visit, object, object === undefined ? 'viewer' : 'revalidate');
    follow(
      visit,
      { fills: this.#fills, sender: this.#sender, request, isAlone },
      {
        onHead: (head, reader) => this.#fillHead(visit, head, reader),
        onUnshared: () => this.#fill(visit, object, true),
        onError: (error) => this.#fillFailed(visit, error),
      },
    );
  }

  #fillHead(visit: Visit, head: FillHead, reader: FillReader): void {
    const facts: StatusFacts = { fwd: visit.forward, ...(reader.isCollapsed && { collapsed: true }) };
    if (head.outcome === 'confirmed') {
      visit.result = 'revalidated';
      const { object } = head;
      visit.result = this.#delivery.resultOf(visit, object.headers);
      const reuse = reuseOf(this.#delivery.policyOf(object), object, visit.demands, this.#options.now());
      this.#fromStore(visit, object, { reuse, facts: { ...facts, fwdStatus: 304 } });
      return;
    }
    if (head.outcome !== 'response') {
      this.#partHead(visit, head, facts);
      reader.leave();
      return;
    }
    const nowMs = this.#options.now();
    if (!answerFilled(visit, this.#delivery, { head, reader, facts, nowMs })) this.#forward(visit, 'partial');
  }

  /** Goes on once it is known what the blocks that were asked for are. */
  #partHead(visit: Visit, head: Exclude<FillHead, { outcome: 'response' | 'confirmed' }>, facts: StatusFacts): void {
    if (head.outcome === 'slices') {
      const { object } = head.sliced;
      visit.result = this.#delivery.resultOf(visit, object.headers);
      visit.result = this.#delivery.resultOf(visit, object.headers);
      const reuse = reuseOf(this.#delivery.policyOf(object), object, visit.demands, this.#options.now());
      this.#fromSlices(visit, head.sliced, { reuse, facts: { ...facts, fwdStatus: 206, stored: head.isStored } });
    } else if (head.outcome === 'unsatisfiable' && head.total !== undefined) {
      const status = this.#delivery.status({ ...facts, fwdStatus: 416 }, '');
      this.#delivery.unsatisfiable(visit, head.total, status);
    } else {
      const way = head.outcome === 'unsliceable' ? head.way : 'pass';
      if (head.outcome === 'unsliceable' && head.isOfObject) this.#slices.avoid(visit.key, way);
      if (way === 'whole') this.#fill(visit, undefined, false);
      else this.#forward(visit, visit.forward);
    }
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
    visit.restarts = MAX_RESTARTS;
    const reuse = reuseOf(this.#delivery.policyOf(fallback), fallback, visit.demands, this.#options.now());
    this.#fromStore(visit, fallback, { reuse, facts: { hit: true, detail: 'stale-if-error' } });
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
