// What an origin's head means for a fill: what is stored under which variant, or which stored response it confirms.
import type { Log, Priority, Purpose } from '../contract.ts';
import type { Origin, OriginHead } from '../origin/exchange.ts';
import type { RecentKeys } from '../recent.ts';
import type { Admission } from '../rules/admission.ts';
import { type Refusal, refusalOf } from '../rules/cacheability.ts';
import { confirms } from '../rules/conditional.ts';
import { endToEnd, type Fields, fieldValue } from '../rules/fields.ts';
import { type FreshnessRules, type Policy, policyOf, strippedFields } from '../rules/freshness.ts';
import { resourceOf } from '../rules/key.ts';
import { kindOf } from '../rules/kind.ts';
import type { Part } from '../rules/range.ts';
import { renewedBy } from '../rules/renewal.ts';
import type { Version } from '../rules/slices.ts';
import { namesOf } from '../rules/tags.ts';
import { variantOf, varyOn } from '../rules/vary.ts';
import { removeStored } from '../slices/sliced.ts';
import { type Counters, isPrefetch } from '../stats.ts';
import type { Store, StoredObject, StoredResponse, WriteHint } from '../store/object.ts';

/** Variants of one key that are kept; one more replaces the oldest. */
const MAX_VARIANTS = 32;

/** What a fill is for. `fields`: the first asker's, as forwarded; they decide the variant. */
export type FillRequest = {
  readonly key: string;
  readonly resource: string;
  readonly origin: Origin;
  readonly fields: Fields;
  readonly purpose: Purpose;
  /** A stored response that the origin may confirm by a 304. */
  readonly revalidates: StoredObject | undefined;
  /** A 5xx counts as a failure, because something stale may be served instead (RFC 5861 section 4). */
  readonly prefersStale: boolean;
  readonly isPinned: boolean;
  /** Who is charged for its room on disk: Host.account. */
  readonly account: string;
  /** Whole blocks that are asked for; absent: all of it. */
  readonly part?: Part;
  /** Asked on the way through an object whose head is out: only blocks of this version serve. */
  readonly version?: Version;
};

/** What fills share. */
export type FillTools = {
  readonly store: Store;
  readonly rules: () => FreshnessRules;
  readonly counters: Counters;
  readonly worth: ((key: string) => number | undefined) | undefined;
  /** Decides on what nobody asked for before; undefined: everything is stored. */
  readonly admission: () => Admission | undefined;
  readonly now: () => number;
  readonly log: Log;
  /** Bytes in the windows of all fills. */
  readonly windows: { bytes: number };
  /** Whether somebody more urgent than this priority is being filled. */
  readonly isOutranked: (priority: Priority) => boolean;
  /** Hears of bytes that no viewer waits for; gives the time (performance.now) before which no more should come. */
  readonly spare: (bytes: number) => number;
  /** How often objects have changed lately. */
  readonly changes: RecentKeys<number>;
  /** Hears of every head, with why it is not stored. */
  readonly onHead: (key: string, refusal: Refusal | null) => void;
};

/** A response as it goes to viewers and store. */
export type KeptHead = {
  readonly response: StoredResponse;
  readonly policy: Policy;
  /** Null: may be stored. */
  readonly refusal: Refusal | null;
  /** The store has taken it. */
  readonly isStored: boolean;
  /** May answer who asks after the head came. */
  readonly isFresh: boolean;
};

/** How the answer to a request is stored. */
export function hintFor({ key, isPinned, account }: FillRequest, { worth }: Pick<FillTools, 'worth'>): WriteHint {
  return { isPinned, worth: worth?.(key), host: account };
}

/** What the caller expects at least of a key that it vouches for. */
const VOUCHED = 0.5;

/** Whether what a fetch brings is worth its place: fetched ahead, known, expected, or let in by admission. */
export function isAdmitted({ key, purpose, revalidates }: FillRequest, tools: FillTools): boolean {
  const { counters, now, store, worth } = tools;
  const admission = tools.admission();
  if (admission === undefined || purpose !== 'viewer' || revalidates !== undefined) return true;
  if (store.find(key).length > 0 || (worth?.(key) ?? 0) >= VOUCHED || admission.admits(key, now())) return true;
  counters.notAdmitted += 1;
  return false;
}

/** Reads the head of a new response. A body that only its connection's end delimits is never stored. */
export function keptHead(received: OriginHead, request: FillRequest, tools: FillTools): KeptHead {
  const policy = policyOf(received, tools.rules());
  const asked = {
    method: 'GET',
    hasAuthorization: fieldValue(request.fields, 'authorization') !== undefined,
    noStore: false,
    acceptEncoding: fieldValue(request.fields, 'accept-encoding'),
  };
  const names = varyOn(received.headers);
  const refusal =
    refusalOf(asked, received.status, received.headers, policy) ??
    (names === undefined ? 'vary' : received.isDelimited ? null : 'undelimited');
  const stripped = refusal === null ? strippedFields(policy) : new Set<string>();
  const headers: Fields = endToEnd(received.headers).filter(
    ([name]) => !stripped.has(name) && name !== 'content-length',
  );
  if (refusal === null) dropOldestVariant(request, tools);
  return {
    policy,
    refusal,
    isStored: false,
    isFresh: refusal === null && policy.lifetimeMs > policy.initialAgeMs,
    response: {
      key: request.key,
      variant: variantOf(names ?? [], request.fields),
      varyOn: names ?? [],
      status: received.status,
      headers,
      requestedAt: received.requestedAt,
      receivedAt: received.receivedAt,
      lengthBytes: received.lengthBytes ?? (received.status === 204 ? 0 : undefined),
      purpose: request.purpose,
      tags: namesOf(headers),
    },
  };
}

/**
 * Whether who waits gets an answer that is not stored, instead of asking again one by one: the origin's own failure is
 * nobody's in particular, and a live playlist without any lifetime is the newest for all who asked before it came.
 */
export function isForAll({ response, policy, refusal }: KeptHead): boolean {
  if (refusal !== 'no-freshness') return false;
  if (response.status >= 500) return true;
  const [path = ''] = resourceOf(response.key).split('?');
  const isPlaylist = kindOf(path, fieldValue(response.headers, 'content-type')) === 'manifest';
  const isShared =
    policy.isExplicit && !policy.mustValidate && fieldValue(response.headers, 'set-cookie') === undefined;
  return isPlaylist && isShared;
}

function dropOldestVariant(request: FillRequest, tools: FillTools): void {
  const stored = tools.store.find(request.key);
  if (stored.length < MAX_VARIANTS) return;
  const oldest = stored.reduce((one, other) => (one.receivedAt <= other.receivedAt ? one : other));
  tools.store.remove(oldest);
}

/** Updates a stored response by the head of a 304 or 206 of the same version; undefined when it has left the store. */
export function renew(known: StoredObject, received: OriginHead, tools: FillTools): StoredObject | undefined {
  const headers = renewedBy(known, received, tools.rules());
  if (headers === undefined) {
    removeStored(tools.store, known);
    return undefined;
  }
  tools.store.update(known, {
    headers,
    tags: namesOf(headers),
    requestedAt: received.requestedAt,
    receivedAt: received.receivedAt,
    isInvalidated: false,
  });
  return tools.store.find(known.key).find(({ variant }) => variant === known.variant);
}

/** The stored response that a 304 confirms, updated; undefined when it confirms none, or it has left the store. */
export function revalidated(received: OriginHead, request: FillRequest, tools: FillTools): StoredObject | undefined {
  const known = request.revalidates;
  if (known === undefined || !confirms(received.headers, known.headers)) return undefined;
  return renew(known, received, tools);
}

/** Counts what was fetched ahead, once it is stored. `hadViewer`: one joined while it was still coming. */
export function countPrefetch(object: StoredObject, hadViewer: boolean, { counters, store }: FillTools): void {
  if (!isPrefetch(object.purpose)) return;
  counters.prefetch.storedBytes += object.lengthBytes;
  // That was its first use.
  if (hadViewer && store.touch(object).isFirst) counters.used(object);
}
