// The conductor of one viewer's request: receive, find, freshness, then hit | stale | revalidate | miss | pass.
import type { CacheOptions } from './contract.ts';
import { Delivery, HIT, type StoredAnswer } from './deliver/deliver.ts';
import { Forwarder } from './deliver/forward.ts';
import { fieldsFor, passRest, type Sender } from './deliver/pass.ts';
import type { FillHead, FillReader } from './deliver/reader.ts';
import type { CacheError } from './errors.ts';
import type { FillRequest } from './fill/fill-head.ts';
import type { Fills } from './fill/fills.ts';
import { answerFilled, follow } from './fill/follow.ts';
import type { ViewerRequest, ViewerResponse } from './listen/viewer.ts';
import { Reception, type ReceptionParts } from './reception.ts';
import { type FreshnessRules, type Reuse, reuseOf } from './rules/freshness.ts';
import { isLoop, pseudonym, type StatusFacts } from './rules/status.ts';
import { chooseVariant } from './rules/vary.ts';
import { type Sliced, slicedOf } from './slices/sliced.ts';
import { Slices } from './slices/slices.ts';
import type { Counters } from './stats.ts';
import type { Store, StoredObject } from './store/object.ts';
import { requestField, Visit } from './visit.ts';

/** What the handler conducts. */
export type HandlerParts = ReceptionParts & {
  readonly store: Store;
  readonly fills: Fills;
  /** Marks the stored responses of a group as outdated, of those that the visit's origin gave. */
  readonly invalidateGroup: (group: string, visit: Visit) => void;
  /** Removes a path's stored responses of the visit's host and what is coming for them. */
  readonly invalidate: (visit: Visit, url: string) => void;
  readonly rules: () => FreshnessRules;
};

/** How often a visit may start anew after its stored bytes turned out unreadable. */
const MAX_RESTARTS = 2;

const hasPrecondition = ({ headers }: ViewerRequest): boolean =>
  headers['if-match'] !== undefined || headers['if-unmodified-since'] !== undefined;

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
  readonly #reception: Reception;

  constructor(parts: HandlerParts) {
    const { options, store, fills, counters } = parts;
    this.#parts = parts;
    this.#options = options;
    this.#store = store;
    this.#fills = fills;
    this.#counters = counters;
    const { role } = parts;
    this.#sender = { name: pseudonym(options.nodeId), counters, role };
    const { nodeId, segmentField } = options;
    this.#delivery = new Delivery({ rules: parts.rules, store, counters, nodeId, role, segmentField });
    this.#forwarder = new Forwarder({
      sender: this.#sender,
      delivery: this.#delivery,
      store,
      rules: parts.rules,
      invalidate: parts.invalidate,
      invalidateGroup: parts.invalidateGroup,
    });
    this.#slices = new Slices({ ...parts, delivery: this.#delivery, sender: this.#sender, now: options.now });
    const tell = (denial: string): string => this.#delivery.status({ detail: denial }, '');
    this.#reception = new Reception(parts, tell);
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
    const place = this.#reception.receive(request, response);
    if (place === undefined) return;
    const visit = new Visit(request, response, place, this.#options.now());
    this.#answer(visit);
    // A small hit has left by now; then nobody need wait for its end.
    if (response.writableFinished) this.#record(visit);
    else response.once('close', () => this.#record(visit));
  }

  #answer(visit: Visit): void {
    const { request } = visit;
    if (!visit.isPlain && isLoop(requestField(request, 'cdn-loop'), this.#sender.name)) {
      this.#delivery.refuse(visit, 508, 'This request has been here before.', { detail: 'loop' });
      return;
    }
    if (request.method !== 'GET' && !visit.isHead) {
      this.#forward(visit, 'method');
      return;
    }
    // A cache can't evaluate preconditions for the origin (RFC 9111 section 4.3.2).
    if (!visit.isPlain && hasPrecondition(request)) this.#forward(visit, 'request');
    else this.#lookUp(visit);
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
      account: visit.host.account,
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
