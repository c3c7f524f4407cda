// Writing answers: stored responses from memory or disk, answers of the cache itself, and bytes at the viewer's pace.
import { randomUUID } from 'node:crypto';
import type { CacheOptions, Result } from '../contract.ts';
import type { CacheError } from '../errors.ts';
import type { ViewerResponse } from '../listen/viewer.ts';
import { allowsRange, isNotModified } from '../rules/conditional.ts';
import { type Fields, fieldValue } from '../rules/fields.ts';
import { type FreshnessRules, type Policy, policyOf, type Reuse } from '../rules/freshness.ts';
import { kindOf } from '../rules/kind.ts';
import { chooseRange, chooseRanges, contentRange, type Multipart, type RangeChoice } from '../rules/range.ts';
import { cacheStatus, nameItem, pseudonym, type StatusFacts } from '../rules/status.ts';
import { isInternalField } from '../rules/tags.ts';
import { type Counters, isPrefetch } from '../stats.ts';
import type { BodyReader, ByteRange, Store, StoredObject } from '../store/object.ts';
import { requestField, type Visit } from '../visit.ts';
import { type Role, TIER_FIELD, tierResult } from '../workers/tier.ts';
import { writeAll, writeFromDisk, writeParts } from './body.ts';

const WHOLE = { choice: 'whole' } as const;
/** Fields that each answer sets anew, and what only a worker may see. */
const SET_ANEW = new Set(['content-length', 'age', 'cache-status', TIER_FIELD]);
/** Fields of a 304 (RFC 9110 section 15.4.5). */
const NOT_MODIFIED_FIELDS = new Set(['cache-control', 'content-location', 'date', 'etag', 'expires', 'vary', 'via']);

/** The parts of an answer's head. */
export type Head = { readonly status: number; readonly flat: readonly string[]; readonly facts: StatusFacts };

/** The fields of a whole hit, which are the same for all in one second. */
type HitFields = {
  readonly ageSeconds: number;
  readonly ttlSeconds: number;
  readonly common: string[];
  readonly whole: string[];
};

/** A stored head, read once: its policy and the flat list of fields that every answer from it begins with. */
type Prepared = {
  readonly rules: FreshnessRules;
  readonly policy: Policy;
  readonly flat: readonly string[];
  readonly upstreamStatus: string;
  readonly contentType: string | undefined;
  hit: HitFields | undefined;
};

/** What is said of a plain hit; the very object, so that its fields are prepared once a second. */
export const HIT: StatusFacts = { hit: true };

/** What is said beside of an answer that was fetched before anybody asked for it. */
export const AHEAD: StatusFacts = { detail: 'prefetch' };

/** How a stored response is answered with. */
export type StoredAnswer = {
  readonly reuse: Reuse;
  readonly facts: StatusFacts;
  readonly onLost: (error: CacheError, rest?: { readonly start: number; readonly end: number }) => void;
  /** Reads the body where the store alone cannot; it then also counts the use. */
  readonly read?: (part: ByteRange) => BodyReader;
};

/** Writes answers for one cache. */
export class Delivery {
  readonly #rules: () => FreshnessRules;
  readonly #store: Store;
  readonly #counters: Counters;
  readonly #name: string;
  readonly #via: string;
  readonly #role: Role;
  readonly #segmentField: CacheOptions['segmentField'];
  /** Keyed by the header list, which changes exactly when the stored head does. */
  readonly #prepared = new WeakMap<Fields, Prepared>();

  constructor(options: {
    readonly rules: () => FreshnessRules;
    readonly store: Store;
    readonly counters: Counters;
    readonly nodeId: string;
    readonly role: Role;
    readonly segmentField: CacheOptions['segmentField'];
  }) {
    this.#role = options.role;
    this.#segmentField = options.segmentField;
    this.#rules = options.rules;
    this.#store = options.store;
    this.#counters = options.counters;
    this.#name = nameItem(options.nodeId);
    this.#via = `1.1 ${pseudonym(options.nodeId)}`;
  }

  /** The policy of a stored response. */
  policyOf(object: StoredObject): Policy {
    return this.#prepare(object).policy;
  }

  #prepare(object: StoredObject): Prepared {
    const rules = this.#rules();
    const known = this.#prepared.get(object.headers);
    if (known?.rules === rules) return known;
    const prepared: Prepared = {
      rules,
      hit: undefined,
      policy: policyOf(object, rules),
      flat: this.flat(object.headers, object.receivedAt),
      contentType: fieldValue(object.headers, 'content-type'),
      upstreamStatus: fieldValue(object.headers, 'cache-status') ?? '',
    };
    this.#prepared.set(object.headers, prepared);
    return prepared;
  }

  /** Response fields as Node takes them, without those that each answer sets anew, with Via and a Date. */
  flat(headers: Fields, receivedAt: number): string[] {
    const own = this.#rules().target.toLowerCase();
    const flat: string[] = [];
    let via = this.#via;
    let hasDate = false;
    for (const [name, value] of headers) {
      if (name === 'via') via = `${value}, ${this.#via}`;
      // A worker is given what viewers are not.
      else if (!SET_ANEW.has(name) && (this.#role === 'primary' || (name !== own && !isInternalField(name)))) {
        flat.push(name, value);
      }
      if (name === 'date') hasDate = true;
    }
    if (!hasDate) flat.push('date', new Date(receivedAt).toUTCString());
    flat.push('via', via);
    return flat;
  }

  /** Cache-Status of this cache after those of the caches before it. */
  status(facts: StatusFacts, upstream: string): string {
    const own = cacheStatus(this.#name, facts);
    return upstream === '' ? own : `${upstream}, ${own}`;
  }

  /** How a visit was served by an answer that the primary gave to this worker; elsewhere as it is. */
  resultOf(visit: Visit, headers: Fields): Result {
    const tier = this.#role === 'worker' ? fieldValue(headers, TIER_FIELD) : undefined;
    return tier === undefined ? visit.result : tierResult(tier);
  }

  /** Cache-Status of an answer that has just come: in a worker what the primary said of it. */
  arrived(headers: Fields, facts: StatusFacts): string {
    const upstream = fieldValue(headers, 'cache-status') ?? '';
    const tier = this.#role === 'worker' ? fieldValue(headers, TIER_FIELD) : undefined;
    if (tier === undefined) return this.status(facts, upstream);
    return upstream === '' ? tier : `${upstream}, ${tier}`;
  }

  /** An answer of the cache itself, with a short text. */
  refuse(visit: Visit, status: number, text: string, facts: StatusFacts): void {
    if (visit.isGone) return;
    visit.result = 'error';
    const body = `${status} ${text}\n`;
    visit.markFirstByte();
    visit.response.writeHead(status, {
      'content-type': 'text/plain; charset=utf-8',
      'content-length': Buffer.byteLength(body),
      'cache-control': 'no-store',
      'cache-status': this.status(facts, ''),
    });
    if (!visit.isHead) visit.bytes = Buffer.byteLength(body);
    visit.response.end(visit.isHead ? undefined : body);
  }

  /** What the visit asks of a whole representation: all of it, a part, or nothing satisfiable. */
  choose(
    visit: Visit,
    head: { status: number; headers: Fields; receivedAt: number },
    lengthBytes: number,
  ): RangeChoice {
    return chooseRange(this.rangeOf(visit, head), lengthBytes);
  }

  /** The Range field, where it applies to a GET of this representation. */
  rangeOf(visit: Visit, head: { status: number; headers: Fields; receivedAt: number }): string | undefined {
    if (visit.isPlain) return undefined;
    const { range } = visit.request.headers;
    if (range === undefined || head.status !== 200 || visit.isHead) return undefined;
    const isAllowed = allowsRange(requestField(visit.request, 'if-range'), head.headers, head.receivedAt);
    return isAllowed ? range : undefined;
  }

  /** Whether the visit's own copy is this one. */
  isNotModified(visit: Visit, head: { status: number; headers: Fields; receivedAt: number }): boolean {
    if (visit.isPlain) return false;
    const { headers } = visit.request;
    const ifNoneMatch = headers['if-none-match'];
    const ifModifiedSince = headers['if-modified-since'];
    if (ifNoneMatch === undefined && ifModifiedSince === undefined) return false;
    return isNotModified({ ifNoneMatch, ifModifiedSince }, head);
  }

  /** A 304 with the fields that it may update. */
  notModified(visit: Visit, flat: readonly string[], statusText: string, ageSeconds: number): void {
    const kept: string[] = [];
    for (let index = 0; index + 1 < flat.length; index += 2) {
      const name = flat[index] ?? '';
      if (NOT_MODIFIED_FIELDS.has(name)) kept.push(name, flat[index + 1] ?? '');
    }
    kept.push('age', String(ageSeconds), 'cache-status', statusText);
    this.#writeHead(visit, 304, kept);
    visit.response.end();
  }

  /** Node reads the list and keeps no part of it. */
  #writeHead(visit: Visit, status: number, flat: string[]): void {
    visit.markFirstByte();
    const isBody = visit.kind === 'segment' && (status === 200 || status === 206);
    const field = isBody ? this.#segmentField?.(visit.result) : undefined;
    // The list may be that of all hits in this second.
    visit.response.writeHead(status, field === undefined ? flat : [...flat, ...field]);
  }

  /** Writes a head for a body of `lengthBytes`, or of unknown length, of which `range` is sent. */
  head(visit: Visit, head: Head & { readonly lengthBytes: number | undefined }, range: RangeChoice): void {
    const flat = [...head.flat];
    const { lengthBytes } = head;
    if (range.choice === 'part' && lengthBytes !== undefined) {
      flat.push('content-range', contentRange(lengthBytes, range), 'content-length', String(range.end - range.start));
      this.#writeHead(visit, 206, flat);
      return;
    }
    if (lengthBytes !== undefined && head.status !== 204) flat.push('content-length', String(lengthBytes));
    this.#writeHead(visit, head.status, flat);
  }

  /** A 416 that tells the length. */
  unsatisfiable(visit: Visit, lengthBytes: number, statusText: string): void {
    this.#writeHead(visit, 416, [
      ...['content-range', contentRange(lengthBytes), 'content-length', '0', 'accept-ranges', 'bytes'],
      ...['date', new Date(visit.at).toUTCString(), 'via', this.#via, 'cache-status', statusText],
    ]);
    visit.response.end();
  }

  /**
   * Answers from the store. `onLost` hears when the bytes cannot be read: with no offset before the head was written,
   * so that the visit may start anew; else from which byte of the representation somebody else must go on.
   */
  stored(visit: Visit, object: StoredObject, how: StoredAnswer): void {
    const { reuse, facts, onLost } = how;
    const prepared = this.#prepare(object);
    const { contentType } = prepared;
    if (visit.kind === 'other' && contentType !== undefined) visit.kind = kindOf(visit.target.path, contentType);
    if (how.read === undefined) this.#count(visit, object);
    const fields = this.#fieldsOf(object, prepared, reuse, facts);
    if (this.isNotModified(visit, object)) {
      this.notModified(visit, prepared.flat, fields.common.at(-1) ?? '', fields.ageSeconds);
      return;
    }
    const rangeField = this.rangeOf(visit, object);
    const range = rangeField === undefined ? WHOLE : this.#ranges(rangeField, object);
    if (range.choice === 'none') {
      this.unsatisfiable(visit, object.lengthBytes, fields.common.at(-1) ?? '');
      return;
    }
    const read = how.read ?? ((part: ByteRange) => this.#store.read(object, part));
    if (range.choice === 'parts') {
      this.#parts(visit, read, { range, flat: fields.common, onLost });
      return;
    }
    const part = range.choice === 'part' ? range : { start: 0, end: object.lengthBytes };
    const { status, lengthBytes } = object;
    const writeHead = (): void => {
      if (range.choice === 'whole') this.#writeHead(visit, status, fields.whole);
      else this.head(visit, { status, flat: fields.common, facts, lengthBytes }, range);
    };
    if (visit.isHead || part.end === part.start) {
      writeHead();
      visit.response.end();
      return;
    }
    const body = read(part);
    if (body.tier === 'memory') {
      writeHead();
      writeAll(visit, body.bytes);
    } else {
      void writeFromDisk(visit, body, writeHead).then((outcome) => {
        if (outcome === undefined) return;
        const hasHead = visit.response.headersSent;
        onLost(outcome, hasHead ? { start: part.start + visit.bytes, end: part.end } : undefined);
      });
    }
  }

  #ranges(field: string, object: StoredObject): RangeChoice | Multipart {
    return chooseRanges(field, object.lengthBytes, () => ({
      contentType: fieldValue(object.headers, 'content-type'),
      boundary: randomUUID(),
    }));
  }

  /** The fields of an answer from the store; its Cache-Status comes last in `common`. */
  #fieldsOf(object: StoredObject, prepared: Prepared, reuse: Reuse, facts: StatusFacts): HitFields {
    const ageSeconds = Math.floor(reuse.ageMs / 1000);
    const ttlSeconds = Math.ceil(reuse.freshForMs / 1000);
    const { hit } = prepared;
    if (facts === HIT && hit?.ageSeconds === ageSeconds && hit.ttlSeconds === ttlSeconds) return hit;
    const isAhead = facts.hit === true && isPrefetch(object.purpose);
    const told: StatusFacts = { ...(isAhead && AHEAD), ...facts, ttlSeconds };
    const statusText = this.status(told, prepared.upstreamStatus);
    const common = [...prepared.flat, 'age', String(ageSeconds), 'cache-status', statusText];
    const whole = object.status === 204 ? common : [...common, 'content-length', String(object.lengthBytes)];
    const fields: HitFields = { ageSeconds, ttlSeconds, common, whole };
    if (facts === HIT) prepared.hit = fields;
    return fields;
  }

  /** A multipart 206. Nobody can go on in the middle of it, so bytes lost after its head cut the connection. */
  #parts(
    visit: Visit,
    read: (part: ByteRange) => BodyReader,
    how: { readonly range: Multipart; readonly flat: readonly string[]; readonly onLost: StoredAnswer['onLost'] },
  ): void {
    const flat: string[] = [];
    for (let index = 0; index + 1 < how.flat.length; index += 2) {
      const name = how.flat[index] ?? '';
      if (name !== 'content-type') flat.push(name, how.flat[index + 1] ?? '');
    }
    flat.push('content-type', how.range.contentType, 'content-length', String(how.range.totalBytes));
    const writeHead = () => this.#writeHead(visit, 206, flat);
    void writeParts(visit, how.range, read, writeHead).then((error) => {
      if (error === undefined) return;
      if (visit.response.headersSent) visit.response.destroy();
      how.onLost(error);
    });
  }

  #count(visit: Visit, object: StoredObject): void {
    const { isFirst } = this.#store.touch(object);
    if (!isFirst || !isPrefetch(object.purpose)) return;
    visit.prefetched = object.purpose;
    this.#counters.used(object);
  }
}

/** A short answer before anything is known of the request. */
export function answerPlainly(response: ViewerResponse, status: number, text: string): void {
  const body = `${status} ${text}\n`;
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    ...(!response.shouldKeepAlive && { connection: 'close' }),
  });
  response.end(body);
}
