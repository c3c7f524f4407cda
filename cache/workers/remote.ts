// Who a viewer is to the agent: a keyed hash of the remote address, its key drawn anew each day and never stored.
import { createHmac, randomBytes } from 'node:crypto';
import type { ViewerRequest } from '../listen/viewer.ts';

const DAY_MS = 24 * 3_600_000;

/** The address of a request's viewer. */
export const addressOf = ({ socket }: Pick<ViewerRequest, 'socket'>): string => socket.remoteAddress ?? '';

/** Hashes remote addresses. */
export type RemoteHasher = {
  /** Computed once per connection and day. */
  readonly ofRequest: (request: ViewerRequest) => string;
  readonly ofAddress: (address: string) => string;
};

/** Opens a hasher whose key is drawn anew each day of `now`. */
export function openRemoteHasher(now: () => number): RemoteHasher {
  let day = -1;
  let secret = randomBytes(32);
  let known = new WeakMap<object, string>();
  const turn = (): void => {
    const today = Math.floor(now() / DAY_MS);
    if (today === day) return;
    day = today;
    secret = randomBytes(32);
    known = new WeakMap();
  };
  const hashOf = (address: string): string =>
    createHmac('sha256', secret).update(address).digest('base64url').slice(0, 22);
  return {
    ofRequest: (request) => {
      turn();
      const { socket } = request;
      let hash = known.get(socket);
      if (hash === undefined) {
        hash = hashOf(addressOf(request));
        known.set(socket, hash);
      }
      return hash;
    },
    ofAddress: (address) => {
      turn();
      return hashOf(address);
    },
  };
}
