// A viewer on a fetch that is under way: its bytes as they come, at the viewer's own pace.
import { AHEAD, type Delivery } from '../deliver/deliver.ts';
import { passRest, type Sender } from '../deliver/pass.ts';
import type { FillHead, FillReader, Listener } from '../deliver/reader.ts';
import type { CacheError } from '../errors.ts';
import { fieldValue } from '../rules/fields.ts';
import { ageMs } from '../rules/freshness.ts';
import { kindOf } from '../rules/kind.ts';
import type { StatusFacts } from '../rules/status.ts';
import { isPrefetch } from '../stats.ts';
import type { Visit } from '../visit.ts';
import type { FillRequest } from './fill-head.ts';
import type { Fills } from './fills.ts';
import { WINDOW_BYTES } from './room.ts';

/** What is followed. `isAlone`: nobody else's fetch serves. */
export type Followed = {
  readonly fills: Fills;
  readonly sender: Sender;
  readonly request: FillRequest;
  readonly isAlone: boolean;
};

/** What the visit decides. onHead writes the answer's head, or leaves the reader. */
export type FollowHooks = {
  readonly onHead: (head: FillHead, reader: FillReader) => void;
  readonly onUnshared: () => void;
  readonly onError: (error: CacheError) => void;
};

/** Joins a fetch or starts one, and writes what comes of it. */
export function follow(visit: Visit, { fills, sender, request, isAlone }: Followed, hooks: FollowHooks): void {
  const { response } = visit;
  let head: FillHead | undefined;
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
  const onBehind = (reader: FillReader): void => {
    if (head?.outcome !== 'response') return;
    const { headers, lengthBytes: total } = head.response;
    passRest(visit, sender, headers, { start: reader.offset, end: Math.min(reader.limit, total ?? 0), total });
  };
  const listener: Listener = {
    onInterim: (interim) => visit.relay(interim),
    onHead: (received, reader) => {
      head = received;
      if (visit.isGone) return;
      hooks.onHead(received, reader);
      if (received.outcome === 'response') pump(reader);
    },
    onReady: pump,
    onUnshared: hooks.onUnshared,
    onBehind,
    onError: hooks.onError,
  };
  const reader = fills.join(request, listener, isAlone);
  response.once('close', () => reader.leave());
}

/** A response that is coming. */
export type Filled = {
  readonly head: Extract<FillHead, { outcome: 'response' }>;
  readonly reader: FillReader;
  readonly facts: StatusFacts;
  readonly nowMs: number;
};

/** Writes the head of what a visit gets of a coming response; false when the origin must answer that part itself. */
export function answerFilled(visit: Visit, delivery: Delivery, { head, reader, facts, nowMs }: Filled): boolean {
  const { response, policy, refusal, isStored } = head;
  if (refusal !== null) visit.result = 'pass';
  if (visit.kind === 'other') visit.kind = kindOf(visit.target.path, fieldValue(response.headers, 'content-type'));
  const ahead = isPrefetch(response.purpose) && AHEAD;
  const fate = isStored ? { ...ahead, stored: true } : { detail: refusal ?? 'not-admitted' };
  visit.result = delivery.resultOf(visit, response.headers);
  const status = delivery.arrived(response.headers, { ...facts, fwdStatus: response.status, ...fate });
  const flat = delivery.flat(response.headers, response.receivedAt);
  const ageSeconds = Math.floor(ageMs(policy, response.receivedAt, nowMs) / 1000);
  if (delivery.isNotModified(visit, response)) {
    delivery.notModified(visit, flat, status, ageSeconds);
    reader.select(0, 0);
    reader.leave();
    return true;
  }
  const { lengthBytes } = response;
  const range =
    lengthBytes === undefined ? ({ choice: 'whole' } as const) : delivery.choose(visit, response, lengthBytes);
  if (range.choice === 'none') {
    delivery.unsatisfiable(visit, lengthBytes ?? 0, status);
    reader.leave();
    return true;
  }
  // Far into a body that only begins to come, or not to be stored.
  if (range.choice === 'part' && (range.start > WINDOW_BYTES || !isStored)) {
    reader.leave();
    return false;
  }
  if (ageSeconds > 0 || fieldValue(response.headers, 'age') !== undefined) flat.push('age', String(ageSeconds));
  flat.push('cache-status', status);
  if (range.choice === 'part') reader.select(range.start, range.end);
  delivery.head(visit, { status: response.status, flat, facts, lengthBytes }, range);
  visit.response.flushHeaders();
  return true;
}
