// Answers that go from the origin to one viewer without the store, at the viewer's pace: passes, and rests of answers.
import type { Readable } from 'node:stream';
import type { Purpose } from '../contract.ts';
import type { CacheError } from '../errors.ts';
import type { Exchange, OriginHead, OriginRequest, OriginSink } from '../origin/exchange.ts';
import { strongTag } from '../rules/conditional.ts';
import { type Fields, fieldValue } from '../rules/fields.ts';
import { parseContentRange } from '../rules/range.ts';
import { forwardedFields } from '../rules/request.ts';
import type { Counters } from '../stats.ts';
import { requestField, type Visit } from '../visit.ts';
import type { Role } from '../workers/tier.ts';

/** Names under which this node forwards. */
export type Sender = { readonly name: string; readonly counters: Counters; readonly role: Role };

/** The viewer's fields as an origin gets them, with this node's mark. */
export function fieldsFor(visit: Visit, sender: Sender, isWhole: boolean): Fields {
  const loop = requestField(visit.request, 'cdn-loop');
  const via = requestField(visit.request, 'via');
  const fields = forwardedFields(visit.fields, isWhole);
  if (sender.role === 'worker') {
    // The primary leaves the node's mark.
    const marks: [string, string | undefined][] = [
      ['via', via],
      ['cdn-loop', loop],
    ];
    return [...fields, ...marks.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]))];
  }
  return [
    ...fields,
    ['via', `${via === undefined ? '' : `${via}, `}${visit.request.httpVersion} ${sender.name}`],
    ['cdn-loop', `${loop === undefined ? '' : `${loop}, `}${sender.name}`],
  ];
}

/** What a pass tells; onHead must write the answer's head. */
export type PassHooks = {
  readonly onHead: (head: OriginHead) => void;
  readonly onError: (error: CacheError) => void;
};

/** Sends a request on and streams the answer's body; a cut one ends the viewer's connection. */
export function pass(visit: Visit, sender: Sender, request: OriginRequest, hooks: PassHooks): void {
  const purpose: Purpose = 'viewer';
  sender.counters.originRequests[purpose] += 1;
  let exchange: Exchange | undefined;
  const sink: OriginSink = {
    onInterim: (interim) => visit.relay(interim),
    onHead: (head) => hooks.onHead(head),
    onBytes: (bytes) => {
      sender.counters.originBytes[purpose] += bytes.length;
      if (visit.isGone || visit.isHead) return;
      visit.bytes += bytes.length;
      if (visit.response.write(bytes)) return;
      exchange?.pause();
      visit.response.once('drain', () => exchange?.resume());
    },
    onEnd: () => {
      if (!visit.isGone) visit.response.end();
    },
    onError: (error) => {
      if (visit.response.headersSent) visit.response.destroy();
      else hooks.onError(error);
    },
  };
  exchange = visit.origin.fetch(request, sink);
  visit.response.once('close', () => exchange?.abort());
}

/** The request to pass, with its body where it has one. */
export function passRequest(visit: Visit, sender: Sender): OriginRequest {
  const { request } = visit;
  const length = request.headers['content-length'];
  const hasBody = request.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
  const headers = fieldsFor(visit, sender, false);
  const body: Readable = request;
  return {
    method: request.method ?? 'GET',
    resource: visit.target.resource,
    headers: length === undefined || !hasBody ? headers : [...headers, ['content-length', length]],
    ...(hasBody && { body }),
  };
}

/** Bytes of a representation that a viewer still lacks. Half-open; `total` is its whole length. */
export type Rest = { readonly start: number; readonly end: number; readonly total: number | undefined };

/**
 * Goes on with an answer whose head is written, by a range of the same representation from the origin. Without a
 * strong validator no two answers can be joined (RFC 9110 section 14.5): the connection then ends as incomplete.
 */
export function passRest(visit: Visit, sender: Sender, headers: Fields, rest: Rest): void {
  const tag = strongTag(headers);
  const give = (): void => {
    visit.response.destroy();
  };
  if (tag === undefined || rest.total === undefined || visit.isGone) {
    give();
    return;
  }
  const { start, end, total } = rest;
  const range: Fields = [
    ['range', `bytes=${start}-${end - 1}`],
    ['if-range', tag],
  ];
  const request = {
    method: 'GET',
    resource: visit.target.resource,
    headers: [...fieldsFor(visit, sender, true), ...range],
  };
  pass(visit, sender, request, {
    onHead: (head) => {
      const got = parseContentRange(fieldValue(head.headers, 'content-range'));
      const isSame = head.status === 206 && strongTag(head.headers) === tag;
      if (!isSame || got?.start !== start || got.end !== end || got.total !== total) give();
    },
    onError: give,
  });
}
