// Limits of the viewer listener: bytes, times, and connections per address, so that one address can't take them all.

/** Request line and header fields together. */
export const MAX_REQUEST_HEAD_BYTES = 16 * 1024;
/** From the first byte of a request to the end of its head. */
export const HEAD_TIMEOUT_MS = 10_000;
/** From the first byte of a request to the end of its body. */
export const REQUEST_TIMEOUT_MS = 60_000;
/** A connection on which nothing moves while an answer is written. */
export const STALL_TIMEOUT_MS = 60_000;
/** A connection between two requests. */
export const IDLE_TIMEOUT_MS = 30_000;
/** Connections of one address, generous because of shared addresses (CGNAT). */
export const CONNECTIONS_PER_ADDRESS = 1024;

/** Counts connections per address. */
export type ConnectionLimit = {
  /** False when the address has all that it may have. */
  readonly enter: (address: string) => boolean;
  readonly leave: (address: string) => void;
  readonly count: () => number;
};

/** Opens a counter that allows `most` connections per address. */
export function openConnectionLimit(most: number): ConnectionLimit {
  const counts = new Map<string, number>();
  let total = 0;
  return {
    enter: (address) => {
      const count = counts.get(address) ?? 0;
      if (count >= most) return false;
      counts.set(address, count + 1);
      total += 1;
      return true;
    },
    leave: (address) => {
      const count = counts.get(address);
      if (count === undefined) return;
      total -= 1;
      if (count === 1) counts.delete(address);
      else counts.set(address, count - 1);
    },
    count: () => total,
  };
}
