// Limits of the viewer listener: bytes, times, connections in all and per address, so that nobody can take them all.
import { BlockList, isIP } from 'node:net';
import type { ListenLimits, ShedReason } from '../contract.ts';
import { CacheError } from '../errors.ts';

/** Request line and header fields together. */
export const MAX_REQUEST_HEAD_BYTES = 16 * 1024;
/** A connection between two requests. */
export const IDLE_TIMEOUT_MS = 30_000;
/** Requests that one connection may have sent ahead of their answers (pipelining). */
export const REQUESTS_PER_CONNECTION = 32;
/** Streams of one HTTP/2 connection at once (RFC 9113 section 5.1.2 advises 100 or more). */
export const STREAMS_PER_CONNECTION = 128;
/** Seconds after which a viewer who was turned away may try again. */
export const RETRY_AFTER_SECONDS = 1;

/** Limits of a listener that was told nothing. addressLimit is generous because of shared addresses (CGNAT). */
export const DEFAULT_LIMITS: Required<ListenLimits> = {
  maxConnections: 16_384,
  // Turned away, and open a moment longer for the answer to be read; more are closed without one.
  maxLingering: 1024,
  maxRequests: 8192,
  addressLimit: 1024,
  exemptPrefixes: [],
  headTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  stallTimeoutMs: 60_000,
  pieceTimeoutMs: 300_000,
  // DAGOR's threshold for the mean waiting time of requests (Zhou et al., SoCC 2018, section 4.1).
  overloadDelayMs: 10,
};

type CountedLimits = Pick<Required<ListenLimits>, 'maxConnections' | 'addressLimit' | 'exemptPrefixes'>;

/** Counts connections, in all and per address. */
export type ConnectionLimit = {
  /** Counts one more connection, or says which limit does not let it in. */
  readonly enter: (address: string) => 'admitted' | Extract<ShedReason, 'connections' | 'address'>;
  /** Other limits, which hold once the result is called. Throws CACHE_OPTIONS_INVALID for a malformed exempt prefix. */
  readonly prepareLimits: (limits: CountedLimits) => () => void;
  /** To be called once for each that was admitted. */
  readonly leave: (address: string) => void;
  readonly count: () => number;
};

/** An IPv4 address in IPv6 clothes (RFC 4291 section 2.5.5.2) as what it is. */
function plainAddress(address: string): string {
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
}

/** What is counted as one address: an IPv4 address, or the /64 that an IPv6 site has to itself. */
export function addressGroup(address: string): string {
  const plain = plainAddress(address);
  if (isIP(plain) !== 6) return plain;
  const [head = '', tail] = (plain.split('%')[0] ?? '').split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  // A dotted quad at the end stands for two groups.
  const length = before.length + after.length + (plain.includes('.') ? 1 : 0);
  const groups = [...before, ...new Array<string>(Math.max(0, 8 - length)).fill('0'), ...after];
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':');
}

/** The addresses of CIDR prefixes. Throws CACHE_OPTIONS_INVALID for one that is none. */
function openPrefixes(prefixes: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const prefix of prefixes) {
    const [address = '', bits, ...more] = prefix.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    const most = family === 'ipv6' ? 128 : 32;
    const length = bits === undefined ? most : Number(bits);
    const isGood =
      isIP(address) !== 0 && more.length === 0 && /^\d{0,3}$/.test(bits ?? '') && bits !== '' && length <= most;
    if (!isGood) throw new CacheError('CACHE_OPTIONS_INVALID', `"${prefix}" is no CIDR prefix such as 10.0.0.0/8.`);
    list.addSubnet(address, length, family);
  }
  return (address) => prefixes.length > 0 && list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

/** Opens a counter of connections. Throws CACHE_OPTIONS_INVALID for a malformed exempt prefix. */
export function openConnectionLimit(first: CountedLimits): ConnectionLimit {
  let limits = first;
  let isExempt = openPrefixes(limits.exemptPrefixes);
  const counts = new Map<string, number>();
  let total = 0;
  return {
    enter: (address) => {
      if (total >= limits.maxConnections) return 'connections';
      const group = addressGroup(address);
      const count = counts.get(group) ?? 0;
      if (count >= limits.addressLimit && !isExempt(plainAddress(address))) return 'address';
      counts.set(group, count + 1);
      total += 1;
      return 'admitted';
    },
    prepareLimits: (next) => {
      const isNextExempt = openPrefixes(next.exemptPrefixes);
      return () => {
        isExempt = isNextExempt;
        limits = next;
      };
    },
    leave: (address) => {
      const group = addressGroup(address);
      const count = counts.get(group);
      if (count === undefined) return;
      total -= 1;
      if (count === 1) counts.delete(group);
      else counts.set(group, count - 1);
    },
    count: () => total,
  };
}
