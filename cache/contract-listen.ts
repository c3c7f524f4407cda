// The viewer listener in types: where it listens, its limits, its certificates, and how it is misused.

/** Where to listen. */
export type Listen = { readonly host: string; readonly port: number };

/** Limits of the viewer listener; what is absent has its default in cache/listen/limit.ts. */
export type ListenLimits = {
  /** Connections open at once; one more is answered with 503 and closed at accept. */
  readonly maxConnections?: number;
  readonly maxLingering?: number;
  /** Requests not yet answered to their end; one more gets 503 at once. */
  readonly maxRequests?: number;
  /** Connections of one IPv4 address or IPv6 /64; one more is closed at accept. */
  readonly addressLimit?: number;
  /** CIDR prefixes, or addresses, that addressLimit does not count. */
  readonly exemptPrefixes?: readonly string[];
  /** From a connection's or request's first byte to the end of its head. */
  readonly headTimeoutMs?: number;
  /** From a request's first byte to the end of its body. */
  readonly requestTimeoutMs?: number;
  /** A connection on which nothing moves while an answer is written. */
  readonly stallTimeoutMs?: number;
  /** The time that a viewer may take for each MiB of a body. */
  readonly pieceTimeoutMs?: number;
  /** Turns of the event loop that take more CPU time than this for long turn newcomers away; 0: none do. */
  readonly overloadDelayMs?: number;
};

/** Paths of a certificate chain, leaf first, and of its private key, both PEM. */
export type CertificateFiles = { readonly cert: string; readonly key: string };

/** The certificates in use. */
export type CertificateStats = {
  /** By the first name of its host, or `default`: when it ends, in milliseconds since the epoch. */
  readonly expiresAt: readonly { readonly host: string; readonly at: number }[];
  /** Changed pairs that were taken. */
  readonly reloads: number;
  /** Changed pairs that could not be used; the old ones stayed. */
  readonly failures: number;
};

/** How HTTP/2 is misused; each ends the session, but `slow`, which ends a stream. */
export const MISUSE_REASONS = ['resets', 'control-frames', 'bytes', 'slow', 'protocol'] as const;
export type MisuseReason = (typeof MISUSE_REASONS)[number];
