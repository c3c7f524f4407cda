// A viewer on a fetch that is under way: its bytes as they come, at the viewer's own pace.
import type { CacheError } from './errors.ts';
import type { FillRequest } from './fill-head.ts';
import type { Fills } from './fills.ts';
import { passRest, type Sender } from './pass.ts';
import type { FillHead, FillReader } from './reader.ts';
import type { Visit } from './visit.ts';

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
  const listener = {
    onHead: (received: FillHead, reader: FillReader) => {
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
