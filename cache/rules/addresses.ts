// The addresses of a name: how long an answer counts, what is used when no new one comes, and when connections have to
// follow it.

/** One address of a name. */
export type Address = {
  readonly address: string;
  readonly family: 4 | 6;
  /** How long the answer counts, as its server says; absent: not known. */
  readonly ttlSeconds?: number;
};

/** What is known of a name; a value, never changed in place. Times in milliseconds since the epoch. */
export type Known = {
  /** The last good answer; empty before the first. */
  readonly answer: readonly Address[];
  readonly answeredAt: number;
  /** How long that answer counts. */
  readonly ttlMs: number;
  /** When the name was last asked for, in vain or not. */
  readonly askedAt: number;
  /** When each address was last part of an answer. */
  readonly seenAt: ReadonlyMap<string, number>;
};

/** An answer whose time to live is not known, as from the hosts file and the system's resolver, counts this long. */
export const REFRESH_MS = 30_000;
/** A time to live counts within these: 0 would ask for each connection, days would outlast a move. */
export const TTL_SECONDS = { least: 1, most: 300 } as const;
/** After a failure the name is asked for again no sooner (RFC 8767 section 5 asks for bounds of this kind). */
export const ASK_AGAIN_MS = 5_000;
/** How long a last good answer is used while no new one comes. */
export const KEEP_MS = 3_600_000;
/** An address that has been missing in answers for this long is gone; names with many servers give some of them each time. */
export const GONE_MS = 60_000;
/** Addresses of one name that are remembered. */
const MAX_ADDRESSES = 64;

/** A name that was never asked for. */
export const UNKNOWN: Known = {
  answer: [],
  answeredAt: Number.NEGATIVE_INFINITY,
  askedAt: Number.NEGATIVE_INFINITY,
  ttlMs: 0,
  seenAt: new Map(),
};

/** Whether the name should be asked for now. */
export function isDue({ answeredAt, askedAt, ttlMs }: Known, nowMs: number): boolean {
  // A failure is one that came after the last answer.
  const again = askedAt > answeredAt ? ASK_AGAIN_MS : 0;
  return nowMs >= answeredAt + ttlMs && nowMs >= askedAt + again;
}

/** How long an answer counts: as long as the shortest of its addresses (RFC 2181 section 5.2 wants them equal). */
function ttlMsOf(answer: readonly Address[]): number {
  const seconds = answer.flatMap(({ ttlSeconds }) => (ttlSeconds === undefined ? [] : [ttlSeconds]));
  if (seconds.length === 0) return REFRESH_MS;
  return Math.min(TTL_SECONDS.most, Math.max(TTL_SECONDS.least, Math.min(...seconds))) * 1000;
}

/**
 * The system's addresses with the time to live that name servers tell of the name. Where they tell of other addresses, as
 * when the hosts file or a search list decides, or each answer names others, it counts only if it is short.
 */
export function withTtl(found: readonly Address[], told: readonly Address[]): readonly Address[] {
  if (told.length === 0) return found;
  const known = new Set(told.map(({ address }) => address));
  const isSame = found.some(({ address }) => known.has(address));
  const toldMs = ttlMsOf(told);
  const ttlSeconds = (isSame ? toldMs : Math.min(toldMs, REFRESH_MS)) / 1000;
  return found.map(({ address, family }) => ({ address, family, ttlSeconds }));
}

/**
 * In which order a connection tries them: each in turn is the first of its family, so that servers share the load. The
 * family that the system prefers stays first.
 */
export function inTurn(answer: readonly Address[], turn: number): readonly Address[] {
  const families = [...new Set(answer.map(({ family }) => family))];
  return families.flatMap((wanted) => {
    const alike = answer.filter(({ family }) => family === wanted);
    const first = alike.length === 0 ? 0 : turn % alike.length;
    return [...alike.slice(first), ...alike.slice(0, first)];
  });
}

/** The addresses that may be used; undefined when there is no answer that is good enough. */
export function usable({ answer, answeredAt }: Known, nowMs: number): readonly Address[] | undefined {
  return answer.length > 0 && nowMs < answeredAt + KEEP_MS ? answer : undefined;
}

/** The state after an answer; one without addresses is a failure. */
export function afterAddresses(known: Known, answer: readonly Address[], nowMs: number): Known {
  if (answer.length === 0) return afterNoAnswer(known, nowMs);
  const kept = answer.slice(0, MAX_ADDRESSES);
  // One answer without an address says little, however long answers count.
  const goneMs = Math.max(GONE_MS, 2 * known.ttlMs);
  const seenAt = new Map([...known.seenAt].filter(([, at]) => nowMs < at + goneMs));
  for (const { address } of kept) seenAt.set(address, nowMs);
  while (seenAt.size > MAX_ADDRESSES) {
    const oldest = [...seenAt].reduce((one, other) => (other[1] < one[1] ? other : one));
    seenAt.delete(oldest[0]);
  }
  return { answer: kept, answeredAt: nowMs, askedAt: nowMs, ttlMs: ttlMsOf(kept), seenAt };
}

/** The state after a connection to one of the addresses could not be made: the answer counts no longer than a failure. */
export function afterNoConnection(known: Known): Known {
  return known.ttlMs <= ASK_AGAIN_MS ? known : { ...known, ttlMs: ASK_AGAIN_MS };
}

/** The state after the resolver failed. */
export function afterNoAnswer(known: Known, nowMs: number): Known {
  return { ...known, askedAt: nowMs };
}

/**
 * Whether connections to these addresses have to be given up for new ones: the last answer has none of them, or one of
 * them is gone for good.
 */
export function hasMoved(used: ReadonlySet<string>, { answer, seenAt }: Known): boolean {
  if (used.size === 0 || answer.length === 0) return false;
  const hasNone = !answer.some(({ address }) => used.has(address));
  return hasNone || [...used].some((address) => !seenAt.has(address));
}
