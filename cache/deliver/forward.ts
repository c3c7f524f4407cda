// Requests that the origin answers itself: passed on, their answers passed back, and what these say of stored responses.

import type { CacheCode, CacheError } from '../errors.ts';
import { RETRY_AFTER_SECONDS } from '../listen/limit.ts';
import type { OriginHead } from '../origin/exchange.ts';
import { describes } from '../rules/conditional.ts';
import { endToEnd, fieldValue } from '../rules/fields.ts';
import type { FreshnessRules } from '../rules/freshness.ts';
import { invalidatedBy } from '../rules/invalidation.ts';
import { renewedBy } from '../rules/renewal.ts';
import type { StatusFacts } from '../rules/status.ts';
import { groupsInvalidatedBy, namesOf } from '../rules/tags.ts';
import { removeStored, slicedOf } from '../slices/sliced.ts';
import type { Store, StoredObject } from '../store/object.ts';
import { requestField, type Visit } from '../visit.ts';
import type { Delivery } from './deliver.ts';
import { pass, passRequest, type Sender } from './pass.ts';

/** What a viewer is told of an origin's failure; others are 502. */
const FAILED: Partial<Record<CacheCode, readonly [status: number, text: string]>> = {
  CACHE_ORIGIN_TIMEOUT: [504, 'The origin did not answer in time.'],
  CACHE_HOST_QUOTA: [503, 'Too many requests for this host.'],
};

/** What forwarding needs. */
export type ForwarderParts = {
  readonly sender: Sender;
  readonly delivery: Delivery;
  readonly store: Store;
  readonly rules: () => FreshnessRules;
  /** Marks the stored responses of a group as outdated, of those that the visit's origin gave. */
  readonly invalidateGroup: (group: string, visit: Visit) => void;
  /** Removes a path's stored responses of the visit's host and what is coming for them. */
  readonly invalidate: (visit: Visit, url: string) => void;
};

/** Passes requests and their answers. */
export class Forwarder {
  readonly #sender: Sender;
  readonly #delivery: Delivery;
  readonly #store: Store;
  readonly #rules: () => FreshnessRules;
  readonly #invalidateGroup: ForwarderParts['invalidateGroup'];
  readonly #invalidate: ForwarderParts['invalidate'];

  constructor(parts: ForwarderParts) {
    this.#sender = parts.sender;
    this.#delivery = parts.delivery;
    this.#store = parts.store;
    this.#rules = parts.rules;
    this.#invalidate = parts.invalidate;
    this.#invalidateGroup = parts.invalidateGroup;
  }

  /** Answers 502 or 504 for an origin that gave nothing, 503 where the host may not ask one now. */
  failed(visit: Visit, error: CacheError): void {
    const [status, text] = FAILED[error.code] ?? ([502, 'The origin failed.'] as const);
    if (status === 503 && !visit.isGone) visit.response.setHeader('retry-after', RETRY_AFTER_SECONDS);
    this.#delivery.refuse(visit, status, text, { fwd: visit.forward, detail: error.code });
  }

  /** Passes a request to its origin and the answer back. `stored`: what a HEAD's answer may renew. */
  forward(
    visit: Visit,
    why: StatusFacts['fwd'] & string,
    how: { readonly stored: StoredObject | undefined; readonly onError: (error: CacheError) => void },
  ): void {
    visit.result = 'pass';
    visit.forward = why;
    pass(visit, this.#sender, passRequest(visit, this.#sender), {
      onHead: (head) => this.#forwardHead(visit, head, how.stored),
      onError: how.onError,
    });
  }

  #forwardHead(visit: Visit, head: OriginHead, stored: StoredObject | undefined): void {
    const { method = '' } = visit.request;
    const asked = { method, resource: visit.target.resource, host: requestField(visit.request, 'host') ?? 'localhost' };
    for (const url of invalidatedBy(asked, head.status, head.headers)) this.#invalidate(visit, url);
    for (const group of groupsInvalidatedBy(method, head.headers)) this.#invalidateGroup(group, visit);
    if (visit.isHead && stored !== undefined && head.status === 200) this.#freshenByHead(stored, head);
    if (visit.isGone) return;
    const headers = endToEnd(head.headers);
    const flat = this.#delivery.flat(headers, head.receivedAt);
    const age = fieldValue(headers, 'age');
    if (age !== undefined) flat.push('age', age);
    const facts: StatusFacts = { fwd: visit.forward, fwdStatus: head.status };
    flat.push('cache-status', this.#delivery.arrived(headers, facts));
    visit.result = this.#delivery.resultOf(visit, headers);
    const { lengthBytes } = head;
    this.#delivery.head(visit, { status: head.status, flat, facts, lengthBytes }, { choice: 'whole' });
    visit.response.flushHeaders();
  }

  /** RFC 9111 section 4.3.5: a HEAD's answer renews the stored response, or shows that it is outdated. */
  #freshenByHead(stored: StoredObject, head: OriginHead): void {
    if (!describes(head.headers, slicedOf(stored)?.object ?? stored)) {
      this.#store.update(stored, { isInvalidated: true });
      return;
    }
    const { requestedAt, receivedAt } = head;
    const headers = renewedBy(stored, head, this.#rules());
    if (headers === undefined) {
      removeStored(this.#store, stored);
      return;
    }
    this.#store.update(stored, {
      headers,
      tags: namesOf(headers),
      requestedAt,
      receivedAt,
      isInvalidated: false,
    });
  }
}
