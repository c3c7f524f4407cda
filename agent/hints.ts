// What players are told with each segment, as CMSD has it (CTA-5006, CMSD-Dynamic): how fast a segment comes that the cache
// did not have, and the bitrate that they should not exceed while node or origin is loaded.

/** What openHints() needs. */
export type HintsOptions = {
  readonly nodeId: string;
  /** Fetches from origins under way, and whether memory is short. */
  readonly activeFills: () => number;
  readonly isTight: () => boolean;
  readonly now: () => number;
};

/** A segment that was answered. */
type Answered = { readonly isHit: boolean; readonly sentBytes: number; readonly sentMs: number };

/** Open hints. */
export type Hints = {
  readonly served: (answered: Answered) => void;
  /** The field to add to an answer; undefined: nothing to tell. */
  readonly field: (result: string) => readonly [name: string, value: string] | undefined;
};

/** The text is made anew after so long. */
const KEPT_MS = 1_000;
/** Smaller answers say more of round trips than of throughput. */
const LEAST_BYTES = 64 * 1024;
/** Weight of one answer in the mean, and after how long without one nothing is known any more. */
const WEIGHT = 0.2;
const STALE_MS = 60_000;
/** More fetches than this at once are load, as agent/prefetching.ts has it. */
const MANY_FILLS = 8;
/** A player that stays below this share of what the origin gives keeps its buffer (hls.js abrBandWidthUpFactor). */
const SAFE_SHARE = 0.7;
const FROM_CACHE: ReadonlySet<string> = new Set(['hit', 'stale', 'revalidated']);

/** An item of RFC 9651: a quoted string of visible ASCII. */
const quoted = (text: string): string => `"${text.replaceAll(/[^\x20-\x7e]/g, '').replaceAll(/["\\]/g, '\\$&')}"`;

/** Kilobits a second, in hundreds (CTA-5006, keys etp and mb). */
const hundreds = (kbps: number): number => Math.max(100, Math.round(kbps / 100) * 100);

/** Opens hints; until something was fetched from an origin there are none. */
export function openHints({ nodeId, activeFills, isTight, now }: HintsOptions): Hints {
  const name = quoted(nodeId);
  let originKbps: number | undefined;
  let measuredAt = 0;
  let made = { at: Number.NEGATIVE_INFINITY, hit: '', miss: '' };
  const make = (at: number): typeof made => {
    const kbps = at - measuredAt > STALE_MS ? undefined : originKbps;
    const isLoaded = activeFills() > MANY_FILLS || isTight();
    const most = kbps !== undefined && isLoaded ? `;mb=${hundreds(SAFE_SHARE * kbps)}` : '';
    const etp = kbps === undefined ? '' : `;etp=${hundreds(kbps)}`;
    return { at, hit: most === '' ? '' : name + most, miss: etp + most === '' ? '' : name + etp + most };
  };
  return {
    served: ({ isHit, sentBytes, sentMs }) => {
      if (isHit || sentBytes < LEAST_BYTES || sentMs <= 0) return;
      const kbps = (sentBytes * 8) / sentMs;
      originKbps = originKbps === undefined ? kbps : originKbps + WEIGHT * (kbps - originKbps);
      measuredAt = now();
    },
    field: (result) => {
      const at = now();
      if (at - made.at >= KEPT_MS) made = make(at);
      const text = FROM_CACHE.has(result) ? made.hit : made.miss;
      return text === '' ? undefined : ['cmsd-dynamic', text];
    },
  };
}
