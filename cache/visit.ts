// One viewer's request on its way through the cache: what was asked, how it went, and its record at the end.
import type { Kind, Purpose, RawCmcd, Result, ServedRecord } from './contract.ts';
import type { Host, Place } from './hosts/hosts.ts';
import type { ViewerRequest, ViewerResponse } from './listen/viewer.ts';
import type { Interim, Origin } from './origin/exchange.ts';
import { parseDirectives } from './rules/directives.ts';
import { type Fields, fieldLines, fieldsOf, splitLinks } from './rules/fields.ts';
import { type Demands, demandsOf, NO_DEMANDS } from './rules/freshness.ts';
import type { Target } from './rules/key.ts';
import { asksPlainly, isCmcdField } from './rules/request.ts';
import type { Forward } from './rules/status.ts';
import type { StoredObject } from './store/object.ts';

/** A single-valued request field; Node joins or drops repeated ones. */
export function requestField(request: ViewerRequest, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === 'string' ? value : value?.join(', ');
}

/** Interim responses that one viewer is sent: an origin may send them for as long as its head takes. */
const MAX_INTERIM = 32;

/** A request for something of an origin. */
export class Visit {
  readonly request: ViewerRequest;
  readonly response: ViewerResponse;
  readonly host: Host;
  /** The name that was asked for, as hosts compare it. */
  readonly hostName: string;
  readonly target: Target;
  readonly key: string;
  readonly origin: Origin;
  readonly demands: Demands;
  /** No condition, range, demand or CDN-Loop is among the fields. */
  readonly isPlain: boolean;
  readonly at: number;
  kind: Kind;
  result: Result = 'error';
  forward: Forward = 'uri-miss';
  prefetched: Purpose | undefined;
  /** A stored response that may be served when the origin fails. */
  fallback: StoredObject | undefined;
  /** How often it was looked up anew, because what it was to be answered with turned out unusable. */
  restarts = 0;
  /** Body bytes handed to the connection. */
  bytes = 0;
  firstByteMs = 0;
  #interim = 0;
  #fields: Fields | undefined;
  readonly #startedMs = performance.now();

  constructor(request: ViewerRequest, response: ViewerResponse, place: Place, at: number) {
    this.request = request;
    this.response = response;
    this.host = place.host;
    this.hostName = place.name;
    this.target = place.target;
    this.key = place.key;
    this.origin = place.origin;
    this.at = at;
    this.kind = place.kind;
    // Node makes the object of fields only when it is asked for, which a plain hit need not.
    this.isPlain = asksPlainly(request.rawHeaders);
    this.demands = this.isPlain ? NO_DEMANDS : this.#demands();
  }

  #demands(): Demands {
    const { 'cache-control': control, pragma } = this.request.headers;
    if (control === undefined && pragma === undefined) return NO_DEMANDS;
    return demandsOf(parseDirectives(control === undefined ? [] : [control]), pragma);
  }

  /** The request's fields as they came. */
  get fields(): Fields {
    this.#fields ??= fieldsOf(this.request.rawHeaders);
    return this.#fields;
  }

  get isHead(): boolean {
    return this.request.method === 'HEAD';
  }

  /** Nothing can be written any more. */
  get isGone(): boolean {
    return this.response.destroyed || this.response.writableEnded;
  }

  /** Passes an interim response on, where the viewer's HTTP has them (RFC 9110 section 15.2); late ones are left out. */
  relay({ status, headers }: Interim): void {
    if (this.isGone || this.response.headersSent || this.request.httpVersion === '1.0') return;
    if (this.#interim >= MAX_INTERIM) return;
    this.#interim += 1;
    if (this.response.writeInterim !== undefined) {
      this.response.writeInterim(status, headers);
      return;
    }
    if (status === 102) {
      this.response.writeProcessing?.();
      return;
    }
    if (status !== 103) return;
    const hints: Record<string, string | string[]> = {};
    for (const [name] of headers) {
      const lines = fieldLines(headers, name);
      // Node knows one link a line, though a line may be a list of them (RFC 8288 section 3).
      hints[name] = name === 'link' ? lines.flatMap(splitLinks) : lines.length === 1 ? (lines[0] ?? '') : [...lines];
    }
    try {
      this.response.writeEarlyHints?.(hints);
    } catch {
      // Node refuses a Link that is none. Hints may be lost, their response may not.
    }
  }

  /** To be called when the head is about to be written. */
  markFirstByte(): void {
    this.firstByteMs = performance.now() - this.#startedMs;
  }

  #cmcd(): RawCmcd | undefined {
    const headers: Record<string, string> = {};
    let hasHeaders = false;
    for (const name in this.request.headers) {
      if (!isCmcdField(name)) continue;
      headers[name] = requestField(this.request, name) ?? '';
      hasHeaders = true;
    }
    const query = this.target.cmcd;
    if (query === undefined && !hasHeaders) return undefined;
    return { ...(query !== undefined && { query }), ...(hasHeaders && { headers }) };
  }

  /** The record of this visit once its response has closed. */
  record(remoteHash: string, title: string | undefined): ServedRecord {
    const cmcd = this.#cmcd();
    return {
      at: this.at,
      key: this.key,
      path: this.target.path,
      kind: this.kind,
      status: this.response.headersSent ? this.response.statusCode : 0,
      result: this.result,
      bytes: this.bytes,
      isComplete: this.response.writableFinished,
      firstByteMs: this.firstByteMs,
      remoteHash,
      ...(title !== undefined && { title }),
      ...(this.prefetched !== undefined && { prefetched: this.prefetched }),
      ...(cmcd !== undefined && { cmcd }),
    };
  }
}
